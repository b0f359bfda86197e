"""Life cycles of a quote, of each insurer's line in it and of offers, and what an insurer's answer means to us.

Everything here is pure: states and moments go in, the next state comes out, what is not allowed raises.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Generic, TypeVar
from uuid import UUID

from insuretech.contracts.insurers import Declined, Invalid, Offered, Referred
from insuretech.contracts.money import Money
from insuretech.contracts.text import Text

State = TypeVar("State", bound=StrEnum)

LONGEST_REASON = 500
LONGEST_OFFER_NUMBER = 100


class MoveRefused(Exception):
    """A life cycle does not allow this step; the message names the thing and both states."""


class LifeCycle(Generic[State]):
    """The states of one kind of thing and the steps allowed between them."""

    def __init__(self, thing: str, moves: Mapping[State, frozenset[State]]) -> None:
        self.thing = thing
        self._moves = moves

    def move(self, before: State, after: State) -> State:
        """The state after an allowed step; raises ``MoveRefused`` for any other."""
        if after not in self._moves[before]:
            raise MoveRefused(f"{self.thing}: {before} cannot become {after}")
        return after

    def is_final(self, state: State) -> bool:
        return not self._moves[state]


# ---------------------------------------------------------------- quotes


class QuoteStatus(StrEnum):
    """How far a quote is."""

    DRAFT = "draft"
    COLLECTING = "collecting"
    COMPLETED = "completed"
    EXPIRED = "expired"


QUOTES = LifeCycle(
    "quote",
    {
        QuoteStatus.DRAFT: frozenset({QuoteStatus.COLLECTING}),
        QuoteStatus.COLLECTING: frozenset({QuoteStatus.COMPLETED, QuoteStatus.EXPIRED}),
        QuoteStatus.COMPLETED: frozenset(),
        QuoteStatus.EXPIRED: frozenset(),
    },
)


def closing_status(now: datetime, expires_at: datetime) -> QuoteStatus:
    """What a quote becomes when its last insurer has ended: expired only when it was kept waiting past its time."""
    return QUOTES.move(QuoteStatus.COLLECTING, QuoteStatus.COMPLETED if now < expires_at else QuoteStatus.EXPIRED)


# ---------------------------------------------------------------- one insurer's line


class LineStatus(StrEnum):
    """How far one insurer is with a quote; ``sent`` means that the request may have reached it."""

    QUEUED = "queued"
    SENT = "sent"
    PENDING = "pending"
    OFFERED = "offered"
    REFERRED = "referred"
    DECLINED = "declined"
    INVALID = "invalid"
    TIMED_OUT = "timed_out"
    UNAVAILABLE = "unavailable"


_NOT_ANSWERED = frozenset({LineStatus.TIMED_OUT, LineStatus.UNAVAILABLE})
_ANSWERED = frozenset({LineStatus.OFFERED, LineStatus.REFERRED, LineStatus.DECLINED, LineStatus.INVALID})

LINES = LifeCycle(
    "line",
    {
        LineStatus.QUEUED: frozenset({LineStatus.SENT}) | _NOT_ANSWERED,
        LineStatus.SENT: frozenset({LineStatus.PENDING}) | _ANSWERED | _NOT_ANSWERED,
        LineStatus.PENDING: _ANSWERED | _NOT_ANSWERED,
        **{status: frozenset() for status in _ANSWERED | _NOT_ANSWERED},
    },
)
UNFINISHED = tuple(status for status in LineStatus if not LINES.is_final(status))


def takes_late_answers(status: LineStatus) -> bool:
    """Whether an answer that comes now is kept as late: we had given up on the insurer before it."""
    return status in _NOT_ANSWERED


# ---------------------------------------------------------------- what an answer means


@dataclass(frozen=True)
class Limits:
    """The legal corridor an OSAGO premium must lie in, both ends included (art. 9 of 40-FZ)."""

    min: Money
    max: Money
    edition: str

    def allow(self, premium: Money) -> bool:
        return self.min.amount <= premium.amount <= self.max.amount


@dataclass(frozen=True)
class Verdict:
    """How an insurer's line ends: ``offered`` is set for an offer only, ``outside`` for one the law forbids."""

    outcome: LineStatus
    reason: Text | None = None
    offered: Offered | None = None
    outside: Money | None = None


TIMED_OUT = Text("Страховая не ответила в отведённое время.", "The insurer did not answer in the time it has.")
NOT_REACHED = Text("Страховая сейчас недоступна.", "The insurer cannot be reached at the moment.")
UNUSABLE = Text(
    "Ответ страховой не удалось использовать.",
    "The insurer's answer could not be used.",
)
OUTSIDE_CORRIDOR = Text(
    "Цена страховой вышла за пределы тарифного коридора ОСАГО, поэтому мы её не показываем.",
    "The insurer's price is outside the legal OSAGO corridor, so we do not show it.",
)
_NO_WORDS = {
    LineStatus.DECLINED: Text("Страховая отказалась от этого риска.", "The insurer does not take this risk."),
    LineStatus.REFERRED: Text(
        "Страховая хочет сначала рассмотреть заявку сама.", "The insurer's underwriter must look at it first."
    ),
    LineStatus.INVALID: Text(
        "Страховой не подошли ответы в таком виде.", "The insurer cannot use the answers as given."
    ),
    LineStatus.TIMED_OUT: TIMED_OUT,
    LineStatus.UNAVAILABLE: NOT_REACHED,
}


def plain_reason(outcome: LineStatus) -> Text:
    """Our own sentence for an end without an offer, free of anything an insurer may have quoted from the answers."""
    return _NO_WORDS[outcome]


_OURS = frozenset({TIMED_OUT, NOT_REACHED, UNUSABLE, OUTSIDE_CORRIDOR, *_NO_WORDS.values()})


def is_plain(reason: Text) -> bool:
    """Whether a reason is in our own words, and so free of anything an insurer may have quoted from the answers."""
    return reason in _OURS


def judge(answer: Offered | Declined | Referred | Invalid, limits: Limits | None, now: datetime) -> Verdict:
    """What an insurer's answer means: an offer is shown only when it can be used and the law allows it."""
    match answer:
        case Offered():
            return _judge_offer(answer, limits, now)
        case Declined():
            return _refusal(LineStatus.DECLINED, answer.reason)
        case Referred():
            return _refusal(LineStatus.REFERRED, answer.reason)
        case Invalid():
            return _refusal(LineStatus.INVALID, answer.reason)


def _judge_offer(offer: Offered, limits: Limits | None, now: datetime) -> Verdict:
    currency = limits.min.currency if limits else "RUB"
    usable = (
        offer.premium.amount > 0
        and offer.premium.currency == currency
        and offer.expires_at.tzinfo is not None
        and offer.expires_at > now
        and offer.offer_number.isprintable()
        and 0 < len(offer.offer_number) <= LONGEST_OFFER_NUMBER
    )
    if not usable:
        return Verdict(LineStatus.UNAVAILABLE, UNUSABLE)
    if limits is not None and not limits.allow(offer.premium):
        return Verdict(LineStatus.DECLINED, OUTSIDE_CORRIDOR, outside=offer.premium)
    return Verdict(LineStatus.OFFERED, offered=offer)


def _refusal(outcome: LineStatus, words: str) -> Verdict:
    """Keep the insurer's own sentence, on one line and of bounded length, or use ours where it has none."""
    said = " ".join("".join(c if c.isprintable() else " " for c in words).split())[:LONGEST_REASON]
    return Verdict(outcome, Text(said, said) if said else plain_reason(outcome))


# ---------------------------------------------------------------- offers


class OfferStatus(StrEnum):
    """Whether an offer may be chosen."""

    ACTIVE = "active"
    RESERVED = "reserved"
    CONSUMED = "consumed"
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"
    REPRICED = "repriced"


_A, _R, _C = OfferStatus.ACTIVE, OfferStatus.RESERVED, OfferStatus.CONSUMED
OFFERS = LifeCycle(
    "offer",
    {
        _A: frozenset({_R, _C, OfferStatus.EXPIRED, OfferStatus.WITHDRAWN, OfferStatus.REPRICED}),
        # From one order to the next: the news that the first one ended may come second.
        _R: frozenset({_A, _R, _C, OfferStatus.EXPIRED}),
        _C: frozenset(),
        # An order placed in time counts, also when we hear of it after the clock.
        OfferStatus.EXPIRED: frozenset({_R, _C}),
        # A contract that was concluded is a fact, whatever we thought of the offer.
        OfferStatus.WITHDRAWN: frozenset({_C}),
        OfferStatus.REPRICED: frozenset({_C}),
    },
)


@dataclass(frozen=True)
class Offer:
    """An offer as its life cycle sees it: who holds it, and up to when we have heard of orders on it."""

    status: OfferStatus
    expires_at: datetime
    order_id: UUID | None = None
    ordered_at: datetime | None = None

    def can_be_chosen(self, now: datetime) -> bool:
        """Open for an order: also while another holds it, as only orders know whether that one still lives."""
        return self.status in {_A, _R} and now < self.expires_at

    def reserved(self, order_id: UUID, at: datetime) -> "Offer":
        """Taken by an order placed ``at`` that moment; news of an older order than the one known is refused."""
        OFFERS.move(self.status, _R)
        if self.ordered_at is not None and at < self.ordered_at:
            raise MoveRefused("offer: a later order is known already")
        if at >= self.expires_at:
            raise MoveRefused("offer: it had expired when the order was placed")
        return replace(self, status=_R, order_id=order_id, ordered_at=at)

    def released(self, order_id: UUID, at: datetime, now: datetime) -> "Offer":
        """Free again because its order ended ``at`` that moment without a policy; expired when its time is over.

        When another order holds it, or none, only the moment is noted: the order's placing may still be on its way.
        """
        if self.status not in {_A, _R}:
            raise MoveRefused(f"offer: {self.status} has nothing to release")
        noted = replace(self, ordered_at=at if self.ordered_at is None else max(at, self.ordered_at))
        if self.status is _A or self.order_id != order_id:
            return noted
        after = OFFERS.move(self.status, _A if now < self.expires_at else OfferStatus.EXPIRED)
        return replace(noted, status=after, order_id=None)

    def consumed(self, order_id: UUID) -> "Offer":
        """A policy was issued on it."""
        return replace(self, status=OFFERS.move(self.status, _C), order_id=order_id)

    def expired(self, now: datetime) -> "Offer":
        """Its time is over and nobody holds it."""
        if self.status is not _A or now < self.expires_at:
            raise MoveRefused("offer: only a free offer past its time expires")
        return replace(self, status=OFFERS.move(self.status, OfferStatus.EXPIRED))

    def withdrawn(self) -> "Offer":
        """The insurer took it back before anyone chose it."""
        return replace(self, status=OFFERS.move(self.status, OfferStatus.WITHDRAWN))

    def repriced(self) -> "Offer":
        """The insurer replaced it by another offer before anyone chose it."""
        return replace(self, status=OFFERS.move(self.status, OfferStatus.REPRICED))


# ---------------------------------------------------------------- patience with an insurer


@dataclass(frozen=True)
class Patience:
    """How failing calls to an insurer are repeated: at most ``failures`` in a row, pauses in seconds doubling."""

    failures: int = 5
    first_pause: float = 0.2
    longest_pause: float = 5.0
    shortest_poll: float = 0.2
    longest_poll: float = 30.0

    def pause(self, failures: int, chance: float) -> float:
        """Seconds before the next try after so many failures; ``chance`` in [0, 1) spreads callers apart."""
        whole: float = min(self.longest_pause, self.first_pause * 2 ** (failures - 1))
        return whole * (0.5 + chance / 2)

    def poll(self, retry_after: float) -> float:
        """Seconds until a pending insurer is asked again: its own wish within reason (NaN counts as none)."""
        return max(self.shortest_poll, min(self.longest_poll, retry_after))
