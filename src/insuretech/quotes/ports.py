"""What the use cases of quotes need from the outside: a store that is one transaction, and the shapes it keeps."""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import date, datetime
from typing import Any, Literal, Protocol
from uuid import UUID

import msgspec

from insuretech.contracts.events import QuoteSubmitted
from insuretech.contracts.money import Money
from insuretech.contracts.products import ProductDefinition
from insuretech.contracts.text import Text
from insuretech.kit.events import Event
from insuretech.kit.idempotency import Scope, StoredAnswer
from insuretech.quotes.domain import Limits, LineStatus, Offer, QuoteStatus
from insuretech.quotes.questions import KnownProduct


class Quote(msgspec.Struct, frozen=True, kw_only=True):
    """A quote being collected; ``answers`` is the ciphertext of the answers as JSON."""

    id: UUID
    owner: str
    product: str
    product_version: str
    answers: bytes
    limits: Limits | None
    starts_on: date
    ends_on: date
    created_at: datetime
    expires_at: datetime


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One insurer asked for one quote; ``id`` is our reference at the insurer."""

    id: UUID
    quote_id: UUID
    insurer: str
    status: LineStatus
    deadline: datetime


class NewOffer(msgspec.Struct, frozen=True, kw_only=True):
    """An insurer's offer, free to be chosen."""

    id: UUID
    quote_id: UUID
    line_id: UUID
    insurer: str
    offer_number: str
    premium: Money
    expires_at: datetime


class LateAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What an insurer said after we had given up on it: kept for the record, never shown as an offer."""

    outcome: LineStatus
    premium: Money | None


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """A quote after some of its lines ended.

    ``moved`` are the lines that did; ``last_event`` is the highest number handed out to the quote's live events.
    """

    moved: frozenset[UUID]
    status: QuoteStatus
    last_event: int
    offers: int


class OfferLine(msgspec.Struct, frozen=True, kw_only=True, tag="offer"):
    """Live event: an insurer's offer."""

    offer_id: UUID
    insurer: str
    premium: Money
    expires_at: datetime


class NoOfferLine(msgspec.Struct, frozen=True, kw_only=True, tag="no_offer"):
    """Live event: an insurer ended without an offer."""

    insurer: str
    outcome: str
    reason: Text


class AllEnded(msgspec.Struct, frozen=True, kw_only=True, tag="completed"):
    """Live event: every insurer has ended; the last one of a quote."""

    status: QuoteStatus
    offers: int


EventKind = Literal["offer", "declined", "timed_out", "unavailable", "completed"]


class QuoteEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One event of a quote's live stream; ``sequence`` counts from 1 without gaps."""

    sequence: int
    kind: EventKind
    data: OfferLine | NoOfferLine | AllEnded


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """A line's last step, and what follows from it; taken only if the line still is as it was ``before``.

    ``told`` is what the live stream says of it, ``facts`` what others hear.
    """

    line_id: UUID
    insurer: str
    before: LineStatus
    outcome: LineStatus
    reason: Text | None
    offer: NewOffer | None = None
    kind: EventKind | None = None
    told: OfferLine | NoOfferLine | None = None
    facts: tuple[Event, ...] = ()


class KeptOffer(msgspec.Struct, frozen=True, kw_only=True):
    """An offer with its life cycle, locked for change."""

    id: UUID
    quote_id: UUID
    line_id: UUID
    insurer: str
    offer_number: str
    premium: Money
    cycle: Offer


class Answered(msgspec.Struct, frozen=True, kw_only=True):
    """A request that may be repeated, and the answer that its repetitions get."""

    scope: Scope
    body: bytes
    answer: StoredAnswer


class Store(Protocol):
    """Storage of quotes inside one transaction; what is published leaves with the same commit."""

    # requests that may be repeated

    async def answer(self, scope: Scope, body: bytes) -> StoredAnswer | None:
        """The first answer under a key, if there is one; raises ``IdempotencyKeyReused`` for another body."""
        ...

    # products

    async def product_on_sale(self, code: str) -> KnownProduct | None: ...

    async def put_product(self, definition: ProductDefinition, published_at: datetime) -> None:
        """Put a version on sale in place of the one before."""
        ...

    async def withdraw_product(self, code: str) -> None: ...

    # quotes and their lines

    async def add_quote(
        self, quote: Quote, lines: Sequence[Line], claimed_by: UUID | None, answered: Answered | None = None
    ) -> bool:
        """Keep a quote with its lines, tell of it, and keep the answer of the request that made it.

        False, and nothing is kept, when a request was answered under that key before: whoever opened a transaction for
        this then leaves it. One statement, which may stand for itself.
        """
        ...

    async def mark(
        self, quote_id: UUID, line_ids: Collection[UUID], before: LineStatus, after: LineStatus, engine: UUID
    ) -> set[UUID]:
        """Move lines of a quote that are still as ``before`` and still this engine's; the ids that moved."""
        ...

    async def end_lines(
        self, quote_id: UUID, endings: Sequence[Ending], closing: QuoteStatus, now: datetime
    ) -> Progress | None:
        """Take last steps of lines that are still as expected, and count them on their quote, which is locked.

        Offers, live events and facts of those that moved are kept with them. Each gets the next number for its live
        event, in the order given. When no line is left open the quote becomes ``closing``, and its last event and the
        fact of it are added. None when that had happened before. One statement, which may stand for itself.
        """
        ...

    async def add_offer(self, offer: NewOffer, now: datetime) -> None:
        """Keep a free offer that took the place of another."""
        ...

    async def keep_late(self, line: Line, late: LateAnswer, now: datetime) -> bool:
        """Keep the first answer that came after we had given up; False when there was one already."""
        ...

    async def quotes(self, quote_ids: Collection[UUID]) -> Mapping[UUID, Quote]: ...

    # who asks

    async def beat(self, engine: UUID, seconds: float, overdue_since: datetime) -> bool:
        """Say that this engine lives for so many seconds more; whether there is anything it might claim.

        One statement, which may stand for itself.
        """
        ...

    async def claim(self, engine: UUID, limit: int, overdue_since: datetime) -> list[Line]:
        """Take over unfinished lines nobody living works on, and our own that seem forgotten.

        Those are lines never begun, and lines that should have ended before ``overdue_since``.
        """
        ...

    async def retire(self, engine: UUID) -> None:
        """Hand an engine's lines back and forget it; dead engines are forgotten with it."""
        ...

    # offers

    async def offer(self, offer_id: UUID) -> KeptOffer | None:
        """An offer, locked until the end of the transaction."""
        ...

    async def offer_of_line(self, line: Line) -> KeptOffer | None:
        """The current offer of a line, locked until the end of the transaction."""
        ...

    async def keep_offer(self, offer: KeptOffer, cycle: Offer) -> None: ...

    async def expire_offers(self, now: datetime, limit: int) -> int:
        """Mark free offers past their time as expired; how many."""
        ...

    # callbacks

    async def note_callback(
        self, insurer: str, reference: UUID, digest: bytes, now: datetime
    ) -> tuple[Line, bool] | None:
        """Note a genuine callback: the line it speaks of, and False when the same was handled before.

        None when this insurer was not asked under that reference. While a line is open its insurer is asked again
        anyway, so that its callback counts as handled at once.
        """
        ...

    async def close_callback(self, reference: UUID, digest: bytes, now: datetime) -> None: ...

    # housekeeping

    async def forget(self, now: datetime) -> int:
        """Delete idempotency keys past their retention; how many. Quotes go with their partitions."""
        ...

    async def publish(self, events: Sequence[Event], now: datetime) -> None: ...


Transaction = Callable[[], AbstractAsyncContextManager[Store]]
"""Opens a transaction that commits on leaving and rolls back on any exception."""

Answers = dict[str, Any]


def submitted(quote: Quote, lines: Sequence[Line]) -> QuoteSubmitted:
    """How others hear of a new quote."""
    return QuoteSubmitted(
        quote_id=quote.id,
        owner=quote.owner,
        product=quote.product,
        product_version=quote.product_version,
        insurers=tuple(line.insurer for line in lines),
        expires_at=quote.expires_at,
    )


def answers_context(quote_id: UUID) -> str:
    """Where the encrypted answers of a quote belong."""
    return f"quotes.quote:{quote_id}"


def stored_answer_context(key: str) -> str:
    """Where the encrypted answer to a repeatable request belongs."""
    return f"quotes.idempotency:{key}"
