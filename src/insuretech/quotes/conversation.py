"""One talk with one insurer about one request for an offer: ask, look up, wait, repeat what is safe to repeat."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from random import SystemRandom

from prometheus_client import Counter

from insuretech.contracts.insurers import (
    Declined,
    InsurerConnector,
    InsurerUnavailable,
    Invalid,
    Offered,
    OfferRequest,
    OfferState,
    OutcomeUnknown,
    Pending,
    Referred,
)
from insuretech.quotes.domain import LineStatus, Patience

REPEATS = Counter(
    "insuretech_insurer_repeats_total", "Calls to insurers that had to be repeated, by why.", ["insurer", "why"]
)

FinalAnswer = Offered | Declined | Referred | Invalid

_chance = SystemRandom().random


class GaveUp(Exception):
    """The insurer failed so many times in a row that it counts as unavailable."""


@dataclass
class Conversation:
    """Asks until there is an answer; whoever calls sets the time limit.

    The request is sent only when it surely was not received before: first of all, or when the insurer says that it
    does not know our reference. ``accepted`` is told once, when the insurer has taken the request; ``woken`` cuts the
    waiting for a pending answer short.
    """

    insurer: str
    connector: InsurerConnector
    request: OfferRequest
    accepted: Callable[[], Awaitable[None]]
    patience: Patience = field(default_factory=Patience)
    woken: asyncio.Event = field(default_factory=asyncio.Event)
    _failures: int = 0
    _accepted: bool = False

    async def answer(self, status: LineStatus) -> FinalAnswer:
        """The insurer's answer, taking the talk up where ``status`` says it was left; raises ``GaveUp``."""
        look_first = status is not LineStatus.QUEUED
        self._accepted = status is LineStatus.PENDING
        while True:
            try:
                state = await self._ask(look_first=look_first)
            except InsurerUnavailable:
                await self._failed("unavailable")
            except OutcomeUnknown:
                look_first = True
                await self._failed("unknown")
            else:
                if isinstance(state, FinalAnswer):
                    return state
                look_first = isinstance(state, Pending)
                if isinstance(state, Pending):
                    await self._wait(state)

    async def _ask(self, *, look_first: bool) -> OfferState:
        if look_first:
            return await self.connector.offer_state(self.request.reference)
        return await self.connector.request_offer(self.request)

    async def _failed(self, why: str) -> None:
        """Pause before the next try. A request that the insurer has taken is looked up until the time limit."""
        self._failures += 1
        if self._failures >= self.patience.failures and not self._accepted:
            raise GaveUp
        REPEATS.labels(self.insurer, why).inc()
        await asyncio.sleep(self.patience.pause(self._failures, _chance()))

    async def _wait(self, pending: Pending) -> None:
        self._failures = 0
        if not self._accepted:
            self._accepted = True
            await self.accepted()
        try:
            async with asyncio.timeout(self.patience.poll(pending.retry_after)):
                await self.woken.wait()
        except TimeoutError:
            return
        self.woken.clear()
