"""The calls an insurer or the payment provider got lately: in memory, bounded, and without personal data."""

from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from time import perf_counter
from typing import Any

import msgspec

from insuretech.kit.clock import Clock

KEPT = 100
"""Calls kept for each party."""

_SHOWN = (
    {"action", "amount", "bank", "capture", "category", "currency", "debt", "ends_on", "kbm_class", "kind", "method"}
    | {"months", "offer_number", "payment_id", "policy_number", "power_hp", "premium", "product", "purpose", "refund"}
    | {"region", "risks", "starts_on", "status", "sum_insured", "territory", "version"}
)
"""What holds nothing personal; only such texts are kept."""
_MASK = "•••"


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One call: who was called how, what was asked (masked), what was answered, and in how many milliseconds."""

    at: datetime
    party: str
    dialect: str
    operation: str
    reference: str
    asked: dict[str, Any]
    answer: str
    took_ms: float


@dataclass
class OpenCall:
    """A call being answered; ``answer`` is what the log will say of it."""

    answer: str = "error"


class CallLog:
    """The latest calls of every party."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._calls: dict[str, deque[Call]] = {}

    @contextmanager
    def call(
        self, party: str, dialect: str, operation: str, reference: object, asked: Mapping[str, object]
    ) -> Iterator[OpenCall]:
        """Times a call and notes it when it ends, however it ends."""
        started, at, current = perf_counter(), self._clock.now(), OpenCall()
        try:
            yield current
        finally:
            entry = Call(
                at=at,
                party=party,
                dialect=dialect,
                operation=operation,
                reference=str(reference),
                asked={key: masked(value, key) for key, value in asked.items()},
                answer=current.answer,
                took_ms=round((perf_counter() - started) * 1000, 1),
            )
            self._calls.setdefault(party, deque(maxlen=KEPT)).append(entry)

    def latest(self, party: str | None = None, limit: int = KEPT) -> list[Call]:
        """The latest first."""
        chosen = self._calls.values() if party is None else [self._calls.get(party, deque())]
        return sorted((call for calls in chosen for call in calls), key=lambda call: call.at, reverse=True)[:limit]

    def clear(self) -> None:
        self._calls.clear()


def masked(value: object, key: str = "") -> object:
    """The value with every text hidden except under keys known to hold nothing personal."""
    if isinstance(value, Mapping):
        return {str(name): masked(child, str(name)) for name, child in value.items()}
    if isinstance(value, list | tuple):
        return [masked(child, key) for child in value]
    if isinstance(value, bool | int | float) or value is None or key in _SHOWN:
        return value if isinstance(value, bool | int | float | None) else str(value)[:100]
    return _MASK
