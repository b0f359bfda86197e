"""Insurers that behave as a test tells them to, and count how often they were asked."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import NoReturn
from uuid import UUID

from insuretech.contracts.insurers import (
    EndAnswer,
    InsurerProfile,
    IssueAnswer,
    IssueRequest,
    IssueState,
    NotKnown,
    OfferAnswer,
    OfferRequest,
    OfferState,
    Pending,
    PriceConfirmed,
    PriceRefused,
)
from insuretech.contracts.money import Money
from insuretech.contracts.text import Text

HANG = "hang"
Event = OfferAnswer | Exception | str


class ScriptedInsurer:
    """One insurer: remembers every reference it has received, as a real one does.

    ``answer`` is what a request comes to; ``script`` is what happens to the first calls before that: an exception is
    raised (after taking the request down where ``takes`` says so), ``HANG`` never answers. ``pending`` polls come
    before the answer.
    """

    def __init__(
        self,
        answer: OfferAnswer | Callable[[], OfferAnswer],
        *,
        delay: float = 0.0,
        script: Iterable[Event] = (),
        takes: bool = True,
        pending: int = 0,
        retry_after: float = 0.01,
    ) -> None:
        self.answer = answer
        self.delay = delay
        self.script = list(script)
        self.takes = takes
        self.pending = pending
        self.retry_after = retry_after
        self.requests: Counter[UUID] = Counter()
        self.looks: Counter[UUID] = Counter()
        self.known: dict[UUID, int] = {}
        self.seen: list[OfferRequest] = []

    async def request_offer(self, request: OfferRequest) -> OfferAnswer:
        self.requests[request.reference] += 1
        self.seen.append(request)
        await self._play(request.reference)
        self.known.setdefault(request.reference, self.pending)
        return self._state(request.reference)

    async def offer_state(self, reference: UUID) -> OfferState:
        self.looks[reference] += 1
        await self._play(None)
        return self._state(reference) if reference in self.known else NotKnown()

    async def _play(self, taken: UUID | None) -> None:
        if self.delay:
            await asyncio.sleep(self.delay)
        if not self.script:
            return
        event = self.script.pop(0)
        if taken is not None and self.takes:
            self.known.setdefault(taken, self.pending)
        if event == HANG:
            await asyncio.sleep(3600)
        if isinstance(event, Exception):
            raise event

    def _state(self, reference: UUID) -> OfferAnswer:
        if self.known[reference]:
            self.known[reference] -= 1
            return Pending(retry_after=self.retry_after)
        return self.answer() if callable(self.answer) else self.answer

    def verify_callback(self, body: bytes, signature: str) -> UUID | None:
        """The body is the reference itself; the right signature is ``genuine``."""
        return UUID(body.decode()) if signature == "genuine" else None

    async def confirm_price(self, reference: UUID, offer_number: str) -> PriceConfirmed | PriceRefused:
        _never(reference, offer_number)

    async def issue(self, request: IssueRequest) -> IssueAnswer:
        _never(request)

    async def issue_state(self, reference: UUID) -> IssueState:
        _never(reference)

    async def end_policy(self, reference: UUID, policy_number: str, refund: Money) -> EndAnswer:
        _never(reference, policy_number, refund)


def _never(*_: object) -> NoReturn:
    raise AssertionError("quotes never conclude or end contracts")


class ScriptedDirectory:
    """A directory of scripted insurers, all with one time limit in seconds."""

    def __init__(self, time_limit: float = 60.0, **insurers: ScriptedInsurer) -> None:
        self.insurers = insurers
        self.time_limit = time_limit

    def profile(self, code: str) -> InsurerProfile:
        if code not in self.insurers:
            raise KeyError(code)
        return InsurerProfile(
            code=code,
            name=Text(f"Страховая {code}", f"Insurer {code}"),
            dialect="json_polling",
            url="http://insurer.invalid",
            claims_days=7,
            commission=Decimal("0.1"),
            time_limit=self.time_limit,
        )

    def connector(self, code: str) -> ScriptedInsurer:
        return self.insurers[code]

    def codes(self) -> tuple[str, ...]:
        return tuple(self.insurers)
