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
from insuretech.kit.events import Event
from insuretech.kit.idempotency import IdempotencyKeys, Scope, StoredAnswer, answered_row, key_was_used
from insuretech.kit.keyring import Keyring
from insuretech.kit.messaging import Outbox, outbox_row
from insuretech.kit.positions import note_written
from insuretech.quotes.domain import Limits, LineStatus, Offer, OfferStatus, QuoteStatus
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
    answers_context,
    stored_answer_context,
    submitted,
)
from insuretech.quotes.queries import ProductCache
from insuretech.quotes.questions import KnownProduct
from insuretech.quotes.statements import (
    ADD_QUOTE,
    ADD_QUOTE_ANSWERED,
    BEAT,
    CLAIM,
    END_LINES,
    EXPIRE_OFFERS,
    IS_UNFINISHED,
    MARK,
    NOTE_CALLBACK,
    ON_SALE,
)
from insuretech.quotes.tables import callbacks, engines, insured, lines, messaging, offers, products, quotes

_BATCH = 200
_OUTBOX = Outbox(messaging.outbox)
_KEYS = IdempotencyKeys(messaging.idempotency_keys)


class QuoteStore:
    """The store over one connection, in the transaction of its caller."""

    def __init__(self, connection: Connection, products_known: ProductCache) -> None:
        self._connection = connection
        self._products = products_known

    # ------------------------------------------------------------ requests that may be repeated

    async def answer(self, scope: Scope, body: bytes) -> StoredAnswer | None:
        return await _KEYS.answer(self._connection, scope, body)

    # ------------------------------------------------------------ products

    async def product_on_sale(self, code: str) -> KnownProduct | None:
        found = await ON_SALE.first(self._connection, {"code": code})
        if found is None:
            return None
        return await self._products.get(self._connection, code, found["version"], found["revision"])

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

    async def add_quote(
        self, quote: Quote, new_lines: Sequence[Line], claimed_by: UUID | None, answered: Answered | None = None
    ) -> bool:
        values = _added_values(quote, new_lines, claimed_by)
        if answered is None:
            await ADD_QUOTE.all(self._connection, values)
        else:
            key = answered_row(answered.scope, answered.body, answered.answer, quote.created_at)
            values.update((f"idempotency_keys_{name}", value) for name, value in key.items())
            try:
                await ADD_QUOTE_ANSWERED.all(self._connection, values)
            except sa.exc.IntegrityError as error:
                if not key_was_used(error):
                    raise
                return False
        note_written(values["outbox_type"], values["outbox_id"])
        return True

    async def mark(
        self, quote_id: UUID, line_ids: Collection[UUID], before: LineStatus, after: LineStatus, engine: UUID
    ) -> set[UUID]:
        arguments = {"quote": quote_id, "ids": list(line_ids), "before": before, "after": after, "engine": engine}
        return {row["id"] for row in await MARK.all(self._connection, arguments)}

    async def end_lines(
        self, quote_id: UUID, endings: Sequence[Ending], closing: QuoteStatus, now: datetime
    ) -> Progress | None:
        row = await END_LINES.first(self._connection, _ended_values(quote_id, endings, closing, now))
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

    async def beat(self, engine: UUID, seconds: float, overdue_since: datetime) -> bool:
        values = {"engine": engine, "lease": timedelta(seconds=seconds), "overdue_since": overdue_since}
        (row,) = await BEAT.all(self._connection, values)
        return bool(row["waits"])

    async def claim(self, engine: UUID, limit: int, overdue_since: datetime) -> list[Line]:
        values = {"engine": engine, "most": limit, "overdue_since": overdue_since}
        return [_line(row) for row in await self._connection.execute(CLAIM, values)]

    async def retire(self, engine: UUID) -> None:
        hand_back = sa.update(lines).where(lines.c.claimed_by == engine, IS_UNFINISHED).values(claimed_by=None)
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
        return len(await EXPIRE_OFFERS.all(self._connection, {"now": now, "most": limit}))

    # ------------------------------------------------------------ callbacks

    async def note_callback(
        self, insurer: str, reference: UUID, digest: bytes, now: datetime
    ) -> tuple[Line, bool] | None:
        arguments = {"insurer": insurer, "reference": reference, "digest": digest, "now": now}
        row = await NOTE_CALLBACK.first(self._connection, arguments)
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


def _added_values(quote: Quote, new_lines: Sequence[Line], claimed_by: UUID | None) -> dict[str, Any]:
    """Parameters of ``ADD_QUOTE``."""
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
    fact = outbox_row(submitted(quote, new_lines), quote.created_at)
    return {
        **{f"quotes_{name}": value for name, value in row.items()},
        **{f"outbox_{name}": value for name, value in fact.items()},
        "lines_id": [line.id for line in new_lines],
        "lines_insurer": [line.insurer for line in new_lines],
        "lines_status": [line.status for line in new_lines],
        "lines_deadline": [line.deadline for line in new_lines],
        "lines_claimed_by": claimed_by,
    }


def _ended_values(quote_id: UUID, endings: Sequence[Ending], closing: QuoteStatus, now: datetime) -> dict[str, Any]:
    """Parameters of ``END_LINES``. What only the database will know is left off: numbers in front, counts behind."""
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
