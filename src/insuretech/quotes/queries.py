"""Everything quotes read, in SQL: the state of a quote, its live events, and what other services ask about offers."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from insuretech.contracts.events import OfferReceived
from insuretech.contracts.money import Money
from insuretech.contracts.policies import LabelledValue
from insuretech.contracts.products import ProductDefinition
from insuretech.kit.db import Connection, Database
from insuretech.kit.direct import Direct
from insuretech.kit.ids import first_id_at
from insuretech.kit.keyring import Keyring
from insuretech.quotes.domain import OfferStatus, QuoteStatus
from insuretech.quotes.insured import in_words
from insuretech.quotes.ports import QuoteEvent, answers_context
from insuretech.quotes.questions import KnownProduct
from insuretech.quotes.tables import events, insured, lines, messaging, offers, products, quotes

_IDS = pg.ARRAY(pg.UUID(as_uuid=True))
_PORTION = 500
_EVENT = msgspec.json.Decoder(QuoteEvent)


class ProductCache:
    """Products read from the projection before, by version and revision, under which their content never changes."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str, int], KnownProduct] = {}

    async def get(self, connection: Connection, code: str, version: str, revision: int) -> KnownProduct:
        key = (code, version, revision)
        if key not in self._known:
            statement = sa.select(products.c.definition).where(products.c.code == code, products.c.version == version)
            definition = msgspec.json.decode((await connection.execute(statement)).scalar_one(), type=ProductDefinition)
            while len(self._known) >= 64:
                self._known.pop(next(iter(self._known)))
            self._known[key] = KnownProduct(definition)
        return self._known[key]


class LineState(msgspec.Struct, frozen=True, kw_only=True):
    """One insurer's line as it is now; ``reason`` in Russian and English."""

    insurer: str
    outcome: str
    reason_ru: str | None
    reason_en: str | None


class OfferState(msgspec.Struct, frozen=True, kw_only=True):
    """An offer as it is now."""

    id: UUID
    insurer: str
    premium: Money
    expires_at: datetime
    status: OfferStatus


class QuoteState(msgspec.Struct, frozen=True, kw_only=True):
    """A quote as it is now; ``insured`` is personal data, for the holder of the token only."""

    id: UUID
    product: str
    status: QuoteStatus
    created_at: datetime
    expires_at: datetime
    corridor_edition: str | None
    corridor_min: Money | None
    corridor_max: Money | None
    insured: tuple[LabelledValue, ...]
    lines: tuple[LineState, ...]
    offers: tuple[OfferState, ...]


class ToldByStream(msgspec.Struct, frozen=True, kw_only=True):
    """Whose a quote is, and what its live stream has told."""

    owner: str
    last_event: int
    events: tuple[QuoteEvent, ...]


_QUOTE = sa.select(quotes, products.c.revision).select_from(
    quotes.outerjoin(
        products, sa.and_(products.c.code == quotes.c.product, products.c.version == quotes.c.product_version)
    )
)
_INSURED = sa.select(
    insured.c.quote_id.label("id"), insured.c.product, insured.c.product_version, insured.c.answers, products.c.revision
).select_from(
    insured.outerjoin(
        products, sa.and_(products.c.code == insured.c.product, products.c.version == insured.c.product_version)
    )
)
_OWNED = _QUOTE.where(quotes.c.id == sa.bindparam("quote_id"), quotes.c.owner == sa.bindparam("owner"))
_TOLD = Direct(
    sa.select(
        quotes.c.id,
        quotes.c.owner,
        quotes.c.last_event,
        sa.select(sa.func.array_agg(pg.aggregate_order_by(events.c.event, events.c.sequence)))
        .where(events.c.quote_id == quotes.c.id)
        .scalar_subquery()
        .label("events"),
    ).where(quotes.c.id == sa.any_(sa.bindparam("quote_ids", type_=_IDS)))
)
# Whatever a stream tells is told in an event, too, and these lie in the order of time.
_LAST_EVENTS = Direct(
    sa.select(quotes.c.id, quotes.c.last_event).where(quotes.c.id == sa.any_(sa.bindparam("quote_ids", type_=_IDS)))
)
_TOLD_SINCE = Direct(
    sa.select(quotes.c.id, quotes.c.last_event).where(
        quotes.c.id.in_(
            sa.select(sa.cast(messaging.outbox.c.key, pg.UUID(as_uuid=True))).where(
                messaging.outbox.c.id >= sa.bindparam("first", type_=pg.UUID(as_uuid=True))
            )
        )
    )
)
_SUBMITTED_SINCE = Direct(
    sa.select(quotes.c.id)
    .where(quotes.c.id > sa.bindparam("first", type_=pg.UUID(as_uuid=True)))
    .order_by(quotes.c.id)
    .limit(_PORTION)
)
_EVENTS_AFTER = (
    sa.select(events.c.event)
    .where(events.c.quote_id == sa.bindparam("quote_id"), events.c.sequence > sa.bindparam("sequence"))
    .order_by(events.c.sequence)
)
_LINES = (
    sa.select(
        lines.c.insurer,
        lines.c.status.label("outcome"),
        lines.c.reason_ru,
        lines.c.reason_en,
        offers.c.id.label("offer_id"),
        offers.c.premium,
        offers.c.currency,
        offers.c.expires_at,
        offers.c.status.label("offer_status"),
    )
    .select_from(
        lines.outerjoin(offers, sa.and_(offers.c.line_id == lines.c.id, offers.c.quote_id == sa.bindparam("quote_id")))
    )
    .where(lines.c.quote_id == sa.bindparam("quote_id"))
    .order_by(lines.c.id, offers.c.id)
)


class QuoteQueries:
    """Answers questions about quotes, each with a fixed number of statements."""

    def __init__(self, database: Database, keyring: Keyring, products_known: ProductCache) -> None:
        self._database = database
        self._keyring = keyring
        self._products = products_known

    async def state(self, quote_id: UUID, owner: str, now: datetime) -> QuoteState | None:
        """The whole state of a quote for its owner; two statements."""
        async with self._database.reading() as connection:
            row = (await connection.execute(_OWNED, {"quote_id": quote_id, "owner": owner})).first()
            if row is None:
                return None
            insured = await self._insured(connection, row)
            found = (await connection.execute(_LINES, {"quote_id": quote_id})).all()
        return QuoteState(
            id=row.id,
            product=row.product,
            status=QuoteStatus(row.status),
            created_at=row.created_at,
            expires_at=row.expires_at,
            corridor_edition=row.corridor_edition,
            corridor_min=_money(row.corridor_min, row.currency),
            corridor_max=_money(row.corridor_max, row.currency),
            insured=insured,
            lines=_lines(found),
            offers=tuple(_offer(line, now) for line in found if line.offer_id is not None),
        )

    async def told(self, quote_ids: Collection[UUID]) -> Mapping[UUID, ToldByStream]:
        """What the live streams of these quotes have told; unknown quotes are left out."""
        async with self._database.reading() as connection:
            rows = await _TOLD.all(connection, {"quote_ids": list(quote_ids)})
        return {
            row["id"]: ToldByStream(
                owner=row["owner"],
                last_event=row["last_event"],
                events=tuple(_EVENT.decode(event) for event in row["events"] or ()),
            )
            for row in rows
        }

    async def told_since(self, moment: datetime) -> Mapping[UUID, int]:
        """Quotes whose live stream has told something since then, and the number of its newest event."""
        async with self._database.reading() as connection:
            rows = await _TOLD_SINCE.all(connection, {"first": first_id_at(moment)})
        return {row["id"]: row["last_event"] for row in rows}

    async def submitted_since(self, moment: datetime) -> AsyncIterator[Sequence[UUID]]:
        """Quotes submitted since then, in portions, oldest first."""
        first = first_id_at(moment)
        while True:
            async with self._database.reading() as connection:
                rows = await _SUBMITTED_SINCE.all(connection, {"first": first})
            if not rows:
                return
            yield [row["id"] for row in rows]
            first = rows[-1]["id"]

    async def events_after(self, quote_id: UUID, sequence: int) -> list[QuoteEvent]:
        """Live events of a quote that come after a number, in order."""
        async with self._database.reading() as connection:
            arguments = {"quote_id": quote_id, "sequence": sequence}
            found = (await connection.execute(_EVENTS_AFTER, arguments)).scalars().all()
        return [_EVENT.decode(event) for event in found]

    async def last_events(self, quote_ids: Collection[UUID]) -> Mapping[UUID, int]:
        """The number of the newest live event of each of these quotes."""
        async with self._database.reading() as connection:
            rows = await _LAST_EVENTS.all(connection, {"quote_ids": list(quote_ids)})
        return {row["id"]: row["last_event"] for row in rows}

    async def offer(self, offer_id: UUID) -> OfferReceived | None:
        """An offer as its event tells of it, from where it is written; None when unknown, withdrawn or replaced."""
        statement = (
            sa.select(offers, quotes.c.owner, quotes.c.product, quotes.c.product_version)
            .add_columns(quotes.c.starts_on, quotes.c.ends_on)
            .join_from(offers, quotes, quotes.c.id == offers.c.quote_id)
            .where(offers.c.id == offer_id)
            .where(offers.c.status.not_in((OfferStatus.WITHDRAWN, OfferStatus.REPRICED)))
        )
        async with self._database.reading() as connection:
            row = (await connection.execute(statement)).mappings().first()
        if row is None:
            return None
        plain = set(OfferReceived.__struct_fields__) - {"offer_id", "premium"}
        premium = Money(row["premium"], row["currency"])
        return OfferReceived(offer_id=row["id"], premium=premium, **{name: row[name] for name in plain})

    async def insured(self, quote_id: UUID) -> tuple[LabelledValue, ...]:
        """What is insured, line by line; empty for an unknown quote. Personal data."""
        async with self._database.reading() as connection:
            for statement in (_QUOTE.where(quotes.c.id == quote_id), _INSURED.where(insured.c.quote_id == quote_id)):
                if (row := (await connection.execute(statement)).first()) is not None:
                    return await self._insured(connection, row)
        return ()

    async def _insured(self, connection: Connection, row: Any) -> tuple[LabelledValue, ...]:
        if row.revision is None:
            return ()
        product = await self._products.get(connection, row.product, row.product_version, row.revision)
        answers = msgspec.json.decode(self._keyring.decrypt(row.answers, answers_context(row.id)))
        return in_words(product.definition.question_set, answers)


def _lines(rows: Collection[Any]) -> tuple[LineState, ...]:
    """One line per insurer, however many offers it has made."""
    found = {
        row.insurer: LineState(
            insurer=row.insurer, outcome=row.outcome, reason_ru=row.reason_ru, reason_en=row.reason_en
        )
        for row in rows
    }
    return tuple(found.values())


def _offer(row: Any, now: datetime) -> OfferState:
    """An offer past its time is shown as expired, also before the sweep has come to it."""
    status = OfferStatus(row.offer_status)
    if status is OfferStatus.ACTIVE and now >= row.expires_at:
        status = OfferStatus.EXPIRED
    return OfferState(
        id=row.offer_id,
        insurer=row.insurer,
        premium=Money(row.premium, row.currency),
        expires_at=row.expires_at,
        status=status,
    )


def _money(amount: Decimal | None, currency: str) -> Money | None:
    return None if amount is None else Money(amount, currency)
