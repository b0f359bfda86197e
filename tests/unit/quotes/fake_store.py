"""The store of quotes in memory, for tests that need no database; a contract test holds it against the real one."""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from copy import copy
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from insuretech.contracts.events import QuoteCompleted
from insuretech.contracts.products import ProductDefinition
from insuretech.kit.events import Event
from insuretech.kit.idempotency import Scope, StoredAnswer, fingerprint
from insuretech.kit.problems import IdempotencyKeyReused
from insuretech.quotes.domain import UNFINISHED, LineStatus, Offer, OfferStatus, QuoteStatus, takes_late_answers
from insuretech.quotes.ports import (
    AllEnded,
    Answered,
    Ending,
    KeptOffer,
    LateAnswer,
    Line,
    NewOffer,
    Progress,
    Quote,
    QuoteEvent,
    Store,
    submitted,
)
from insuretech.quotes.questions import KnownProduct


@dataclass
class QuoteRow:
    """A quote with its counters."""

    quote: Quote
    status: QuoteStatus
    open_lines: int
    offers: int = 0
    last_event: int = 0


@dataclass
class Tables:
    """Everything kept; copied at the start of a transaction and put back at its end."""

    requests: dict[Scope, tuple[bytes, StoredAnswer]] = field(default_factory=dict)
    on_sale: dict[str, ProductDefinition] = field(default_factory=dict)
    quotes: dict[UUID, QuoteRow] = field(default_factory=dict)
    lines: dict[UUID, Line] = field(default_factory=dict)
    claims: dict[UUID, UUID | None] = field(default_factory=dict)
    reasons: dict[UUID, Any] = field(default_factory=dict)
    late: dict[UUID, LateAnswer] = field(default_factory=dict)
    offers: dict[UUID, KeptOffer] = field(default_factory=dict)
    events: dict[UUID, list[QuoteEvent]] = field(default_factory=dict)
    engines: dict[UUID, float] = field(default_factory=dict)
    callbacks: dict[tuple[UUID, bytes], bool] = field(default_factory=dict)
    published: list[Event] = field(default_factory=list)

    def copied(self) -> "Tables":
        return Tables(**{name: copy(value) for name, value in vars(self).items()})


class FakeDatabase:
    """Transactions one after the other over tables in memory; ``broken`` makes that many fail at their end."""

    def __init__(self) -> None:
        self.tables = Tables()
        self.broken = 0
        self._lock = asyncio.Lock()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Store]:
        async with self._lock:
            tables = self.tables.copied()
            yield FakeStore(tables)
            await asyncio.sleep(0)
            if self.broken:
                self.broken -= 1
                raise ConnectionError("the database went away")
            self.tables = tables


class FakeStore:
    """One transaction."""

    def __init__(self, tables: Tables) -> None:
        self.tables = tables

    async def answer(self, scope: Scope, body: bytes) -> StoredAnswer | None:
        if scope not in self.tables.requests:
            return None
        mark, answer = self.tables.requests[scope]
        if mark != fingerprint(body):
            raise IdempotencyKeyReused
        return answer

    async def product_on_sale(self, code: str) -> KnownProduct | None:
        found = self.tables.on_sale.get(code)
        return None if found is None else KnownProduct(found)

    async def put_product(self, definition: ProductDefinition, published_at: datetime) -> None:  # noqa: ARG002
        self.tables.on_sale[definition.code] = definition

    async def withdraw_product(self, code: str) -> None:
        self.tables.on_sale.pop(code, None)

    async def add_quote(
        self, quote: Quote, lines: Sequence[Line], claimed_by: UUID | None, answered: Answered | None = None
    ) -> bool:
        if answered is not None:
            if answered.scope in self.tables.requests:
                return False
            self.tables.requests[answered.scope] = (fingerprint(answered.body), answered.answer)
        self.tables.published = [*self.tables.published, submitted(quote, lines)]
        self.tables.quotes[quote.id] = QuoteRow(quote, QuoteStatus.COLLECTING, len(lines))
        for line in lines:
            self.tables.lines[line.id] = line
            self.tables.claims[line.id] = claimed_by
        return True

    async def mark(
        self,
        quote_id: UUID,  # noqa: ARG002 - real storage finds the lines by it
        line_ids: Collection[UUID],
        before: LineStatus,
        after: LineStatus,
        engine: UUID,
    ) -> set[UUID]:
        moved = {
            name for name in line_ids if self.tables.lines[name].status is before and self.tables.claims[name] == engine
        }
        for name in moved:
            self._set_status(name, after)
        return moved

    async def end_lines(
        self,
        quote_id: UUID,
        endings: Sequence[Ending],
        closing: QuoteStatus,
        now: datetime,  # noqa: ARG002
    ) -> Progress | None:
        row = copy(self.tables.quotes[quote_id])
        if row.status is not QuoteStatus.COLLECTING:
            return None
        moved = {each.line_id: each for each in endings if self.tables.lines[each.line_id].status is each.before}
        for ending in moved.values():
            self._set_status(ending.line_id, ending.outcome)
            self.tables.reasons[ending.line_id] = ending.reason
        self.tables.quotes[quote_id] = row
        last = row.open_lines == len(moved)
        row.open_lines -= len(moved)
        row.offers += sum(ending.outcome is LineStatus.OFFERED for ending in moved.values())
        row.last_event += len(moved) + last
        row.status = closing if last else row.status
        self._keep_what_follows(row, [each for each in endings if each.line_id in moved], last=last)
        return Progress(moved=frozenset(moved), status=row.status, last_event=row.last_event, offers=row.offers)

    def _keep_what_follows(self, row: QuoteRow, moved: Sequence[Ending], *, last: bool) -> None:
        events = list(self.tables.events.get(row.quote.id, []))
        for number, each in enumerate(moved, row.last_event - len(moved) - last + 1):
            if each.offer is not None:
                self._keep(each.offer)
            if each.kind is not None and each.told is not None:
                events.append(QuoteEvent(sequence=number, kind=each.kind, data=each.told))
            self.tables.published += each.facts
        if last:
            ended = AllEnded(status=row.status, offers=row.offers)
            events.append(QuoteEvent(sequence=row.last_event, kind="completed", data=ended))
            self.tables.published.append(QuoteCompleted(quote_id=row.quote.id, offers=row.offers))
        self.tables.events[row.quote.id] = events

    def _keep(self, offer: NewOffer) -> None:
        fields = {name: getattr(offer, name) for name in NewOffer.__struct_fields__ if name != "expires_at"}
        self.tables.offers[offer.id] = KeptOffer(**fields, cycle=Offer(OfferStatus.ACTIVE, offer.expires_at))

    async def add_offer(self, offer: NewOffer, now: datetime) -> None:  # noqa: ARG002
        self._keep(offer)

    async def keep_late(self, line: Line, late: LateAnswer, now: datetime) -> bool:  # noqa: ARG002
        if line.id in self.tables.late or not takes_late_answers(self.tables.lines[line.id].status):
            return False
        self.tables.late[line.id] = late
        return True

    async def quotes(self, quote_ids: Collection[UUID]) -> Mapping[UUID, Quote]:
        return {name: self.tables.quotes[name].quote for name in quote_ids if name in self.tables.quotes}

    async def beat(self, engine: UUID, seconds: float, overdue_since: datetime) -> bool:
        self.tables.engines[engine] = asyncio.get_running_loop().time() + seconds
        return bool(self._claimable(engine, overdue_since))

    async def claim(self, engine: UUID, limit: int, overdue_since: datetime) -> list[Line]:
        found = self._claimable(engine, overdue_since)[:limit]
        self.tables.claims.update(dict.fromkeys((line.id for line in found), engine))
        return found

    def _claimable(self, engine: UUID, overdue_since: datetime) -> list[Line]:
        now = asyncio.get_running_loop().time()
        found: list[Line] = []
        for line in sorted(self.tables.lines.values(), key=lambda line: line.deadline):
            owner = self.tables.claims[line.id]
            nobodys = owner is None or (owner != engine and self.tables.engines.get(owner, 0) <= now)
            left_behind = line.deadline < overdue_since or line.status is LineStatus.QUEUED
            if line.status in UNFINISHED and (nobodys or (owner == engine and left_behind)):
                found.append(line)
        return found

    async def retire(self, engine: UUID) -> None:
        for name, owner in list(self.tables.claims.items()):
            if owner == engine and self.tables.lines[name].status in UNFINISHED:
                self.tables.claims[name] = None
        self.tables.engines.pop(engine, None)

    async def offer(self, offer_id: UUID) -> KeptOffer | None:
        return self.tables.offers.get(offer_id)

    async def offer_of_line(self, line: Line) -> KeptOffer | None:
        current = (
            offer
            for offer in self.tables.offers.values()
            if offer.line_id == line.id and offer.cycle.status is not OfferStatus.REPRICED
        )
        return next(current, None)

    async def keep_offer(self, offer: KeptOffer, cycle: Offer) -> None:
        self.tables.offers[offer.id] = msgspec.structs.replace(self.tables.offers[offer.id], cycle=cycle)

    async def expire_offers(self, now: datetime, limit: int) -> int:
        over = [
            offer
            for offer in self.tables.offers.values()
            if offer.cycle.status is OfferStatus.ACTIVE and offer.cycle.expires_at <= now
        ]
        for offer in over[:limit]:
            await self.keep_offer(offer, offer.cycle.expired(now))
        return len(over[:limit])

    async def note_callback(
        self,
        insurer: str,
        reference: UUID,
        digest: bytes,
        now: datetime,  # noqa: ARG002
    ) -> tuple[Line, bool] | None:
        line = self.tables.lines.get(reference)
        if line is None or line.insurer != insurer:
            return None
        fresh = not self.tables.callbacks.get((reference, digest), False)
        if fresh:
            self.tables.callbacks[reference, digest] = line.status in UNFINISHED
        return line, fresh

    async def close_callback(self, reference: UUID, digest: bytes, now: datetime) -> None:  # noqa: ARG002
        self.tables.callbacks[reference, digest] = True

    async def forget(self, now: datetime) -> int:  # noqa: ARG002 - requests of one test are young
        return 0

    async def publish(self, events: Sequence[Event], now: datetime) -> None:  # noqa: ARG002
        self.tables.published = [*self.tables.published, *events]

    def _set_status(self, line_id: UUID, status: LineStatus) -> None:
        self.tables.lines[line_id] = msgspec.structs.replace(self.tables.lines[line_id], status=status)
