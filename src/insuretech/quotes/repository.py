"""Everything quotes write, in SQL. Lines and offers change by conditional update only."""

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from insuretech.contracts.events import QuoteCompleted
from insuretech.contracts.money import Money
from insuretech.contracts.products import ProductDefinition
from insuretech.kit.db import Connection, Database
from insuretech.kit.direct import Direct
from insuretech.kit.events import Event
from insuretech.kit.idempotency import IdempotencyKeys, Scope, StoredAnswer
from insuretech.kit.keyring import Keyring
from insuretech.kit.messaging import Outbox, outbox_row
from insuretech.quotes.domain import UNFINISHED, Limits, LineStatus, Offer, OfferStatus, QuoteStatus
from insuretech.quotes.ports import (
    AllEnded,
    Ending,
    KeptOffer,
    LateAnswer,
    Line,
    NewOffer,
    Progress,
    Quote,
    QuoteEvent,
    Store,
    answers_context,
    stored_answer_context,
)
from insuretech.quotes.queries import ProductCache
from insuretech.quotes.questions import KnownProduct
from insuretech.quotes.tables import callbacks, engines, insured, lines, messaging, offers, products, quotes

_OF_LINE = tuple(lines.c[name] for name in Line.__struct_fields__)
_BATCH = 200

# Spelled out, not bound, so that the planner sees that the partial indexes fit.
_IS_UNFINISHED = lines.c.status.in_([sa.literal_column(f"'{status}'") for status in UNFINISHED])
_IS_ACTIVE = offers.c.status == sa.literal_column(f"'{OfferStatus.ACTIVE}'")

_OUTBOX = Outbox(messaging.outbox)
_KEYS = IdempotencyKeys(messaging.idempotency_keys)

# What every quote runs is made once: building a statement costs more than running it.
_ON_SALE = sa.select(products.c.version, products.c.revision).where(
    products.c.code == sa.bindparam("code"), products.c.on_sale
)
_ADD_QUOTE, _ADD_LINE = sa.insert(quotes), sa.insert(lines)
_ID, _MOMENT = pg.UUID(as_uuid=True), sa.DateTime(timezone=True)
_MARK = Direct(
    sa.text(
        """
    update quotes.lines set status = :after
    where quote_id = :quote and id = any(cast(:ids as uuid[])) and status = :before and claimed_by = :engine
    returning id
    """
    ).bindparams(
        *(sa.bindparam(name, type_=_ID) for name in ("quote", "engine")),
        *(sa.bindparam(name, type_=sa.Text) for name in ("before", "after")),
    )
)
# One statement, as it stands between an insurer's answer and the buyer, and each way to the database costs: the lines,
# the quote that counts and numbers them, and whatever follows from those that moved.
_END_LINES = Direct(
    sa.text(
        """
    with moved as (
        update quotes.lines set status = e.outcome, reason_ru = e.reason_ru, reason_en = e.reason_en, ended_at = :now
        from unnest(
            cast(:ids as uuid[]), cast(:befores as text[]), cast(:outcomes as text[]),
            cast(:reasons_ru as text[]), cast(:reasons_en as text[]), cast(:events as bytea[])
        ) with ordinality as e (id, before, outcome, reason_ru, reason_en, event, place)
        where lines.quote_id = :quote and lines.id = e.id and lines.status = e.before
        returning lines.id, lines.status, e.event, e.place
    ),
    counted as (
        select count(*) as ended, count(*) filter (where status = 'offered') as made, array_agg(id) as ids from moved
    ),
    done as (
        update quotes.quotes set
            open_lines = open_lines - counted.ended,
            offers = offers + counted.made,
            last_event = last_event + counted.ended + case when open_lines = counted.ended then 1 else 0 end,
            status = case when open_lines = counted.ended then :closing else status end
        from counted
        where quotes.id = :quote and quotes.status = 'collecting'
        returning quotes.status, quotes.last_event, quotes.offers, counted.ended, counted.ids,
            case when quotes.open_lines = 0 then 1 else 0 end as completed
    ),
    told as (
        insert into quotes.quote_events (quote_id, sequence, event)
        select :quote, number, convert_to('{"sequence":' || number, 'UTF8') || event
        from (
            select last_event - completed - ended + row_number() over (order by place) as number, event
            from moved cross join done
            union all
            select last_event, cast(:last_event as bytea) || convert_to(offers || '}}', 'UTF8')
            from done where completed = 1
        ) as numbered
        where event is not null
    ),
    made as (
        insert into quotes.offers
            (id, quote_id, line_id, insurer, offer_number, premium, currency, status, created_at, expires_at)
        select o.id, :quote, line_id, insurer, offer_number, amount, currency, 'active', :now, expires_at
        from unnest(
            cast(:offers as uuid[]), cast(:offer_lines as uuid[]), cast(:insurers as text[]), cast(:numbers as text[]),
            cast(:amounts as numeric[]), cast(:currencies as text[]), cast(:expire_at as timestamptz[])
        ) as o (id, line_id, insurer, offer_number, amount, currency, expires_at)
        join moved on moved.id = line_id cross join done
    ),
    facts as (
        insert into quotes.outbox (id, type, topic, key, occurred_at, trace_id, payload)
        select id, type, :topic, :key, :now, :trace, payload
        from (
            select f.id, type, payload, f.place
            from unnest(
                cast(:facts as uuid[]), cast(:fact_lines as uuid[]), cast(:types as text[]), cast(:payloads as bytea[])
            ) with ordinality as f (id, line_id, type, payload, place)
            join moved on moved.id = line_id cross join done
            union all
            select :last_fact, :last_type, cast(:last_payload as bytea) || convert_to(offers || '}', 'UTF8'), 2147483647
            from done where completed = 1
        ) as facts
        order by place
    )
    select status, last_event, offers, ids from done
    """
    ).bindparams(
        *(sa.bindparam(name, type_=_ID) for name in ("quote", "last_fact")),
        *(sa.bindparam(name, type_=sa.Text) for name in ("closing", "topic", "key", "trace", "last_type")),
        sa.bindparam("now", type_=_MOMENT),
    )
)
_NOTE_CALLBACK = Direct(
    sa.text(
        """
    with line as (
        select id, quote_id, insurer, status, deadline from quotes.lines where id = :reference and insurer = :insurer
    ),
    noted as (
        insert into quotes.callbacks as known (reference, digest, received_at, handled_at)
        select id, :digest, :now, case when status in ('queued', 'sent', 'pending') then :now end from line
        on conflict (reference, digest) do update set received_at = :now where known.handled_at is null
        returning reference
    )
    select line.*, exists (select from noted) as fresh from line
    """
    ).bindparams(
        sa.bindparam("now", type_=_MOMENT),
        sa.bindparam("reference", type_=_ID),
        sa.bindparam("insurer", type_=sa.Text),
        sa.bindparam("digest", type_=sa.LargeBinary),
    )
)


class QuoteStore:
    """The store over one connection, in the transaction of its caller."""

    def __init__(self, connection: Connection, products_known: ProductCache) -> None:
        self._connection = connection
        self._products = products_known

    # ------------------------------------------------------------ requests that may be repeated

    async def begin_request(self, scope: Scope, body: bytes, now: datetime) -> StoredAnswer | None:
        return await _KEYS.begin(self._connection, scope, body, now)

    async def answer(self, scope: Scope, body: bytes) -> StoredAnswer | None:
        return await _KEYS.answer(self._connection, scope, body)

    async def finish_request(self, scope: Scope, answer: StoredAnswer) -> None:
        await _KEYS.finish(self._connection, scope, answer)

    # ------------------------------------------------------------ products

    async def product_on_sale(self, code: str) -> KnownProduct | None:
        found = (await self._connection.execute(_ON_SALE, {"code": code})).first()
        if found is None:
            return None
        return await self._products.get(self._connection, code, found.version, found.revision)

    async def put_product(self, definition: ProductDefinition, published_at: datetime) -> None:
        await self.withdraw_product(definition.code)
        content = {"on_sale": True, "definition": msgspec.json.encode(definition), "published_at": published_at}
        statement = pg.insert(products).values(code=definition.code, version=definition.version, revision=1, **content)
        statement = statement.on_conflict_do_update(
            index_elements=["code", "version"], set_={"revision": products.c.revision + 1, **content}
        )
        await self._connection.execute(statement)

    async def withdraw_product(self, code: str) -> None:
        await self._connection.execute(
            sa.update(products).where(products.c.code == code, products.c.on_sale).values(on_sale=False)
        )

    # ------------------------------------------------------------ quotes and their lines

    async def add_quote(self, quote: Quote, new_lines: Sequence[Line], claimed_by: UUID | None) -> None:
        limits = quote.limits
        row = {
            **{name: getattr(quote, name) for name in Quote.__struct_fields__ if name != "limits"},
            "status": QuoteStatus.COLLECTING,
            "corridor_edition": limits.edition if limits else None,
            "corridor_min": limits.min.amount if limits else None,
            "corridor_max": limits.max.amount if limits else None,
            "currency": limits.min.currency if limits else "RUB",
            "open_lines": len(new_lines),
            "offers": 0,
            "last_event": 0,
        }
        await self._connection.execute(_ADD_QUOTE, [row])
        if new_lines:
            rows = [{**msgspec.structs.asdict(line), "claimed_by": claimed_by} for line in new_lines]
            await self._connection.execute(_ADD_LINE, rows)

    async def mark(
        self, quote_id: UUID, line_ids: Collection[UUID], before: LineStatus, after: LineStatus, engine: UUID
    ) -> set[UUID]:
        arguments = {"quote": quote_id, "ids": list(line_ids), "before": before, "after": after, "engine": engine}
        return {row["id"] for row in await _MARK.all(self._connection, arguments)}

    async def end_lines(
        self, quote_id: UUID, endings: Sequence[Ending], closing: QuoteStatus, now: datetime
    ) -> Progress | None:
        row = await _END_LINES.first(self._connection, _ended_values(quote_id, endings, closing, now))
        if row is None:
            return None
        return Progress(
            moved=frozenset(row["ids"] or ()),
            status=QuoteStatus(row["status"]),
            last_event=row["last_event"],
            offers=row["offers"],
        )

    async def add_offer(self, offer: NewOffer, now: datetime) -> None:
        row = {name: getattr(offer, name) for name in NewOffer.__struct_fields__ if name != "premium"}
        premium = {"premium": offer.premium.amount, "currency": offer.premium.currency}
        statement = sa.insert(offers).values(**row, **premium, status=OfferStatus.ACTIVE, created_at=now)
        await self._connection.execute(statement)

    async def keep_late(self, line: Line, late: LateAnswer, now: datetime) -> bool:
        amount = late.premium.amount if late.premium else None
        statement = (
            sa.update(lines)
            .where(lines.c.quote_id == line.quote_id, lines.c.id == line.id, lines.c.late_at.is_(None))
            .where(lines.c.status.in_((LineStatus.TIMED_OUT, LineStatus.UNAVAILABLE)))
            .values(late_outcome=late.outcome, late_premium=amount, late_at=now)
        )
        return bool((await self._connection.execute(statement)).rowcount)

    async def quotes(self, quote_ids: Collection[UUID]) -> Mapping[UUID, Quote]:
        rows = await self._connection.execute(sa.select(quotes).where(quotes.c.id.in_(list(quote_ids))))
        return {row.id: _quote(row) for row in rows}

    # ------------------------------------------------------------ who asks

    async def beat(self, engine: UUID, seconds: float) -> None:
        until = sa.func.clock_timestamp() + timedelta(seconds=seconds)
        statement = pg.insert(engines).values(id=engine, alive_until=until)
        statement = statement.on_conflict_do_update(index_elements=["id"], set_={"alive_until": until})
        await self._connection.execute(statement)

    async def claim(self, engine: UUID, limit: int, overdue_since: datetime) -> list[Line]:
        living = sa.select(engines.c.id).where(engines.c.alive_until > sa.func.clock_timestamp())
        nobodys = sa.or_(lines.c.claimed_by.is_(None), lines.c.claimed_by.not_in(living))
        left_behind = sa.or_(lines.c.deadline < overdue_since, lines.c.status == LineStatus.QUEUED)
        forgotten = sa.and_(lines.c.claimed_by == engine, left_behind)
        free = (
            sa.select(lines.c.id)
            .where(_IS_UNFINISHED, sa.or_(nobodys, forgotten))
            .order_by(lines.c.deadline)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        statement = sa.update(lines).where(lines.c.id.in_(free)).values(claimed_by=engine).returning(*_OF_LINE)
        return [_line(row) for row in await self._connection.execute(statement)]

    async def retire(self, engine: UUID) -> None:
        hand_back = sa.update(lines).where(lines.c.claimed_by == engine, _IS_UNFINISHED).values(claimed_by=None)
        await self._connection.execute(hand_back)
        long_dead = engines.c.alive_until < sa.func.clock_timestamp() - timedelta(hours=1)
        await self._connection.execute(sa.delete(engines).where(sa.or_(engines.c.id == engine, long_dead)))

    # ------------------------------------------------------------ offers

    async def offer(self, offer_id: UUID) -> KeptOffer | None:
        return await self._kept_offer(offers.c.id == offer_id)

    async def offer_of_line(self, line: Line) -> KeptOffer | None:
        return await self._kept_offer(
            offers.c.quote_id == line.quote_id, offers.c.line_id == line.id, offers.c.status != OfferStatus.REPRICED
        )

    async def _kept_offer(self, *which: sa.ColumnElement[bool]) -> KeptOffer | None:
        row = (await self._connection.execute(sa.select(offers).where(*which).with_for_update())).first()
        return None if row is None else _offer(row)

    async def keep_offer(self, offer: KeptOffer, cycle: Offer) -> None:
        statement = sa.update(offers).where(offers.c.quote_id == offer.quote_id, offers.c.id == offer.id)
        values = {"status": cycle.status, "order_id": cycle.order_id, "ordered_at": cycle.ordered_at}
        await self._connection.execute(statement.values(**values))

    async def expire_offers(self, now: datetime, limit: int) -> int:
        over = (
            sa.select(offers.c.id)
            .where(_IS_ACTIVE, offers.c.expires_at <= now)
            .order_by(offers.c.expires_at)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        statement = sa.update(offers).where(offers.c.id.in_(over)).values(status=OfferStatus.EXPIRED)
        return (await self._connection.execute(statement)).rowcount

    # ------------------------------------------------------------ callbacks

    async def note_callback(
        self, insurer: str, reference: UUID, digest: bytes, now: datetime
    ) -> tuple[Line, bool] | None:
        arguments = {"insurer": insurer, "reference": reference, "digest": digest, "now": now}
        row = await _NOTE_CALLBACK.first(self._connection, arguments)
        if row is None:
            return None
        known = {name: row[name] for name in Line.__struct_fields__}
        return Line(**{**known, "status": LineStatus(row["status"])}), row["fresh"]

    async def close_callback(self, reference: UUID, digest: bytes, now: datetime) -> None:
        statement = sa.update(callbacks).where(callbacks.c.reference == reference, callbacks.c.digest == digest)
        await self._connection.execute(statement.values(handled_at=now))

    # ------------------------------------------------------------ housekeeping

    async def forget(self, now: datetime) -> int:
        return await _KEYS.drop_old(self._connection, now)

    async def publish(self, facts: Sequence[Event], now: datetime) -> None:
        await _OUTBOX.publish(self._connection, facts, now)


def transactions(database: Database, products_known: ProductCache) -> Callable[[], AbstractAsyncContextManager[Store]]:
    """How use cases open a transaction on this database."""

    @asynccontextmanager
    async def transaction() -> AsyncIterator[Store]:
        async with database.transaction() as connection:
            yield QuoteStore(connection, products_known)

    return transaction


def statements(database: Database, products_known: ProductCache) -> Callable[[], AbstractAsyncContextManager[Store]]:
    """Opens connections of this database as stores on which every statement is a transaction of its own."""

    @asynccontextmanager
    async def connected() -> AsyncIterator[Store]:
        async with database.reading() as connection:
            yield QuoteStore(connection, products_known)

    return connected


async def reencrypt(database: Database, keyring: Keyring) -> int:
    """Encrypt answers, and first answers kept for repetitions, under the current key; how many were under another."""
    keys = messaging.idempotency_keys
    return sum(
        [
            await _rekey(database, keyring, quotes.c.id, quotes.c.answers, answers_context),
            await _rekey(database, keyring, insured.c.quote_id, insured.c.answers, answers_context),
            await _rekey(database, keyring, keys.c.key, keys.c.body, stored_answer_context),
        ]
    )


async def _rekey(
    database: Database,
    keyring: Keyring,
    name: sa.Column[Any],
    secret: sa.Column[Any],
    context: Callable[[Any], str],
) -> int:
    """One column of ciphertexts, in short transactions; a row that changes meanwhile is left to its new content."""
    mark = keyring.encrypt(b"", "")[: 2 + len(keyring.current.encode())]  # version and key id stand in front
    old = sa.func.substring(secret, 1, len(mark)) != sa.literal(mark, sa.LargeBinary)
    changed = 0
    while True:
        async with database.transaction() as connection:
            rows = (await connection.execute(sa.select(name, secret).where(old).limit(_BATCH).with_for_update())).all()
            for where, ciphertext in rows:
                fresh = keyring.encrypt(keyring.decrypt(ciphertext, context(where)), context(where))
                statement = sa.update(name.table).where(name == where, secret == ciphertext)
                await connection.execute(statement.values({secret: fresh}))
        changed += len(rows)
        if len(rows) < _BATCH:
            return changed


def _ended_values(quote_id: UUID, endings: Sequence[Ending], closing: QuoteStatus, now: datetime) -> dict[str, Any]:
    """Parameters of ``_END_LINES``. What only the database will know is left off: numbers in front, counts behind."""
    made = [ending.offer for ending in endings if ending.offer]
    facts = [(ending.line_id, outbox_row(fact, now)) for ending in endings for fact in ending.facts]
    completed = outbox_row(QuoteCompleted(quote_id=quote_id, offers=0), now)
    last = QuoteEvent(sequence=0, kind="completed", data=AllEnded(status=closing, offers=0))
    return {
        "quote": quote_id,
        "closing": closing,
        "now": now,
        "ids": [ending.line_id for ending in endings],
        "befores": [ending.before for ending in endings],
        "outcomes": [ending.outcome for ending in endings],
        "reasons_ru": [ending.reason.ru if ending.reason else None for ending in endings],
        "reasons_en": [ending.reason.en if ending.reason else None for ending in endings],
        "events": [_unnumbered(ending) for ending in endings],
        "last_event": msgspec.json.encode(last).removeprefix(_NUMBER).removesuffix(b"0}}"),
        "offers": [offer.id for offer in made],
        "offer_lines": [offer.line_id for offer in made],
        "insurers": [offer.insurer for offer in made],
        "numbers": [offer.offer_number for offer in made],
        "amounts": [offer.premium.amount for offer in made],
        "currencies": [offer.premium.currency for offer in made],
        "expire_at": [offer.expires_at for offer in made],
        "topic": completed["topic"],
        "key": completed["key"],
        "trace": completed["trace_id"],
        "facts": [row["id"] for _, row in facts],
        "fact_lines": [line_id for line_id, _ in facts],
        "types": [row["type"] for _, row in facts],
        "payloads": [row["payload"] for _, row in facts],
        "last_fact": completed["id"],
        "last_type": completed["type"],
        "last_payload": completed["payload"].removesuffix(b"0}"),
    }


_NUMBER = b'{"sequence":0'


def _unnumbered(ending: Ending) -> bytes | None:
    if ending.kind is None or ending.told is None:
        return None
    event = QuoteEvent(sequence=0, kind=ending.kind, data=ending.told)
    return msgspec.json.encode(event).removeprefix(_NUMBER)


def _line(row: Any) -> Line:
    return Line(
        id=row.id, quote_id=row.quote_id, insurer=row.insurer, status=LineStatus(row.status), deadline=row.deadline
    )


def _quote(row: Any) -> Quote:
    limits = None
    if row.corridor_edition is not None:
        limits = Limits(
            Money(row.corridor_min, row.currency), Money(row.corridor_max, row.currency), row.corridor_edition
        )
    plain = {name: getattr(row, name) for name in Quote.__struct_fields__ if name != "limits"}
    return Quote(**plain, limits=limits)


def _offer(row: Any) -> KeptOffer:
    return KeptOffer(
        id=row.id,
        quote_id=row.quote_id,
        line_id=row.line_id,
        insurer=row.insurer,
        offer_number=row.offer_number,
        premium=Money(row.premium, row.currency),
        cycle=Offer(OfferStatus(row.status), row.expires_at, row.order_id, row.ordered_at),
    )
