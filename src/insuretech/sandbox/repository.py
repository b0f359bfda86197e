"""The sandbox's books, written: each record once per reference, whatever the number of attempts."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime
from hashlib import sha256
from typing import NamedTuple
from uuid import UUID

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from insuretech.kit.db import Connection, Database
from insuretech.kit.direct import Direct
from insuretech.sandbox import queries
from insuretech.sandbox.deliveries import Claimed
from insuretech.sandbox.domain import Delivery, EndingRecord, OfferRecord, PolicyRecord, ReservationRecord
from insuretech.sandbox.payments import Payment, Refund
from insuretech.sandbox.registers import ReceivedRegister
from insuretech.sandbox.tables import (
    behaviours,
    deliveries,
    endings,
    idempotence_keys,
    metadata,
    offers,
    payments,
    policies,
    policy_numbers,
    refunds,
    register_parts,
    registers,
    reservations,
)


class Books:
    """Insurers' and the provider's books over one connection; implements ``InsurerBooks`` and ``PaymentBooks``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def deliver(self, delivery: Delivery) -> None:
        await self._connection.execute(sa.insert(deliveries).values(msgspec.structs.asdict(delivery)))

    # ------------------------------------------------------------ insurers

    async def offer(self, insurer: str, reference: UUID) -> OfferRecord | None:
        return await queries.offer(self._connection, insurer, reference)

    async def offer_numbered(self, insurer: str, number: str) -> OfferRecord | None:
        return await queries.offer_numbered(self._connection, insurer, number)

    async def reservation(self, insurer: str, reference: UUID) -> ReservationRecord | None:
        return await queries.reservation(self._connection, insurer, reference)

    async def keep_reservation(self, reservation: ReservationRecord) -> ReservationRecord:
        if await self._insert_once(reservations, reservation):
            return reservation
        return await self.reservation(reservation.insurer, reservation.reference) or reservation

    async def policy(self, insurer: str, reference: UUID) -> PolicyRecord | None:
        return await queries.policy(self._connection, insurer, reference)

    async def locked_policy(self, insurer: str, number: str) -> PolicyRecord | None:
        return await queries.locked_policy(self._connection, insurer, number)

    async def next_policy_number(self) -> int:
        return int(await self._connection.scalar(sa.select(policy_numbers.next_value())) or 0)

    async def keep_policy(self, policy: PolicyRecord) -> PolicyRecord | None:
        if await self._insert_once(policies, policy):
            return policy
        return await self.policy(policy.insurer, policy.reference)

    async def ending(self, insurer: str, reference: UUID) -> EndingRecord | None:
        return await queries.ending(self._connection, insurer, reference)

    async def end_policy(self, ending: EndingRecord, at: datetime) -> None:
        await self._connection.execute(sa.insert(endings).values(msgspec.structs.asdict(ending)))
        if ending.outcome == "ended":
            named = (policies.c.insurer == ending.insurer, policies.c.number == ending.policy_number)
            await self._connection.execute(sa.update(policies).where(*named).values(ended_at=at))

    # ------------------------------------------------------------ payment provider

    async def payment(self, payment_id: UUID, *, lock: bool) -> Payment | None:
        return await queries.payment(self._connection, payment_id, lock=lock)

    async def open_payment(self, payment: Payment) -> None:
        await self._connection.execute(sa.insert(payments).values(_payment_row(payment)))

    async def change_payment(self, payment: Payment) -> None:
        statement = sa.update(payments).where(payments.c.id == payment.id).values(_payment_row(payment))
        await self._connection.execute(statement)

    async def expired_payments(self, now: datetime, limit: int) -> list[Payment]:
        return await queries.expired_payments(self._connection, now, limit)

    async def refund(self, refund_id: UUID) -> Refund | None:
        return await queries.refund(self._connection, refund_id)

    async def refunds_of(self, payment_id: UUID) -> list[Refund]:
        return await queries.refunds_of(self._connection, payment_id)

    async def open_refund(self, refund: Refund) -> None:
        await self._connection.execute(sa.insert(refunds).values(_refund_row(refund)))

    async def change_refund(self, refund: Refund) -> None:
        await self._connection.execute(sa.update(refunds).where(refunds.c.id == refund.id).values(_refund_row(refund)))

    async def anything_ripe(self, now: datetime) -> bool:
        return await queries.anything_ripe(self._connection, now)

    async def ripe_refunds(self, now: datetime, limit: int) -> list[Refund]:
        return await queries.ripe_refunds(self._connection, now, limit)

    async def first_answer(self, key: str, fingerprint: bytes, now: datetime) -> tuple[bytes, bytes] | None:
        statement = pg.insert(idempotence_keys).values(key=key, fingerprint=fingerprint, created_at=now)
        result = await self._connection.execute(statement.on_conflict_do_nothing())
        return None if result.rowcount else await queries.first_answer(self._connection, key)

    async def keep_answer(self, key: str, body: bytes) -> None:
        statement = sa.update(idempotence_keys).where(idempotence_keys.c.key == key).values(body=body)
        await self._connection.execute(statement)

    async def _insert_once(self, table: sa.Table, record: msgspec.Struct) -> bool:
        """Insert unless any unique key is taken; waits for another transaction that is about to take it."""
        statement = pg.insert(table).values(msgspec.structs.asdict(record)).on_conflict_do_nothing()
        return bool((await self._connection.execute(statement)).rowcount)


def _payment_row(payment: Payment) -> dict[str, object]:
    row = msgspec.structs.asdict(payment)
    row |= {name: row[name].amount for name in ("amount", "captured", "refunded")}
    return {**row, "currency": payment.amount.currency}


def _refund_row(refund: Refund) -> dict[str, object]:
    row = msgspec.structs.asdict(refund)
    return {**row, "amount": refund.amount.amount, "currency": refund.amount.currency}


def writing(database: Database) -> Callable[[], AbstractAsyncContextManager[Books]]:
    """Books within one transaction."""

    @asynccontextmanager
    async def transaction() -> AsyncIterator[Books]:
        async with database.transaction() as connection:
            yield Books(connection)

    return transaction


def looking(database: Database) -> Callable[[], AbstractAsyncContextManager[Books]]:
    """Books to read from, without a transaction."""

    @asynccontextmanager
    async def look() -> AsyncIterator[Books]:
        async with database.reading() as connection:
            yield Books(connection)

    return look


class _Waiting(NamedTuple):
    offer: OfferRecord
    told_by: Sequence[Delivery]
    kept: asyncio.Future[OfferRecord]


class GroupedOffers:
    """Keeps offers that arrive together, and the messages that tell of them, with one statement and one commit;
    implements ``OfferJournal``.

    All insurers answer a quote at about the same moment, so waiting for the disk once instead of ten times is what
    makes an insurer of 0 ms one.
    """

    _INSERT = Direct(
        sa.text(
            """
    with kept as (
        insert into sandbox.offers
        select * from jsonb_populate_recordset(null::sandbox.offers, cast(:offers as jsonb))
        on conflict do nothing returning insurer, reference
    ),
    told as (
        insert into sandbox.deliveries (url, body, signature, due_at)
        select url, convert_to(body, 'UTF8'), signature, due_at
        from jsonb_to_recordset(cast(:told as jsonb))
            as d (insurer text, reference uuid, url text, body text, signature text, due_at timestamptz)
        join kept using (insurer, reference)
    )
    select insurer, reference from kept
    """
        )
    )

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: list[_Waiting] = []
        self._writer: asyncio.Task[None] | None = None

    async def keep(self, offer: OfferRecord, told_by: Sequence[Delivery] = ()) -> OfferRecord:
        future: asyncio.Future[OfferRecord] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(offer, told_by, future))
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write())
        return await future

    async def _write(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[:500], self._waiting[500:]
            try:
                kept = await self._keep(batch)
            except Exception as error:  # noqa: BLE001 - each caller gets it
                for one in batch:
                    if not one.kept.done():
                        one.kept.set_exception(error)
                continue
            for one, offer in zip(batch, kept, strict=True):
                if not one.kept.done():
                    one.kept.set_result(offer)

    async def _keep(self, batch: Sequence[_Waiting]) -> list[OfferRecord]:
        firsts: dict[tuple[str, UUID], _Waiting] = {}
        for one in batch:
            firsts.setdefault((one.offer.insurer, one.offer.reference), one)
        values = {
            "offers": _as_json([one.offer for one in firsts.values()]),
            "told": _as_json([_telling(one.offer, each) for one in firsts.values() for each in one.told_by]),
        }
        async with self._database.reading() as connection:  # one statement commits by itself
            rows = await self._INSERT.all(connection, values)
            fresh = {(row["insurer"], row["reference"]) for row in rows}
            kept = []
            for one in batch:
                key = (one.offer.insurer, one.offer.reference)
                known = None if key in fresh else await queries.offer(connection, *key)
                fresh.discard(key)  # the same once more in one batch gets what was kept of the first
                kept.append(known or one.offer)
            return kept


def _as_json(items: Sequence[object]) -> str:
    return msgspec.json.encode(items).decode()


def _telling(offer: OfferRecord, message: Delivery) -> dict[str, object]:
    row = {**msgspec.structs.asdict(message), "body": message.body.decode()}
    return {"insurer": offer.insurer, "reference": offer.reference, **row}


class StoredBehaviours:
    """Behaviours that were set; implements ``BehaviourStore``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def all(self) -> dict[str, bytes]:
        async with self._database.reading() as connection:
            return await queries.behaviour_documents(connection)

    async def put(self, name: str, document: bytes) -> None:
        statement = pg.insert(behaviours).values(name=name, document=document)
        statement = statement.on_conflict_do_update(index_elements=["name"], set_={"document": document})
        async with self._database.transaction() as connection:
            await connection.execute(statement)

    async def clear(self) -> None:
        async with self._database.transaction() as connection:
            await connection.execute(sa.delete(behaviours))


async def clear_books(database: Database) -> None:
    """Forget offers, policies, payments and messages; the numbering of policies goes on."""
    kept = {behaviours.name}
    async with database.transaction() as connection:
        for table in metadata.tables.values():
            if table.name not in kept:
                await connection.execute(sa.delete(table))


class StoredMessages:
    """Messages waiting to be sent; implements ``Postbox``."""

    _DUE = (
        sa.select(deliveries.c.id)
        .where(
            deliveries.c.ended_at.is_(None), deliveries.c.due_at <= sa.bindparam("now", type_=deliveries.c.due_at.type)
        )
        .order_by(deliveries.c.due_at)
        .limit(sa.bindparam("most", type_=sa.Integer))
        .with_for_update(skip_locked=True)
    )
    _CLAIM = Direct(
        sa.update(deliveries)
        .where(deliveries.c.id.in_(_DUE))
        .values(due_at=sa.bindparam("until", type_=deliveries.c.due_at.type), attempts=deliveries.c.attempts + 1)
        .returning(*(deliveries.c[name] for name in Claimed.__struct_fields__))
    )

    _DONE = Direct(
        sa.update(deliveries)
        .where(deliveries.c.id == sa.bindparam("delivery", type_=deliveries.c.id.type))
        .values(
            ended_at=sa.bindparam("at", type_=deliveries.c.ended_at.type),
            result=sa.bindparam("told", type_=deliveries.c.result.type),
        )
    )

    def __init__(self, database: Database) -> None:
        self._database = database

    async def claim(self, now: datetime, until: datetime, limit: int) -> list[Claimed]:
        values = {"now": now, "until": until, "most": limit}
        async with self._database.reading() as connection:  # one statement commits by itself
            return [Claimed(**row) for row in await self._CLAIM.all(connection, values)]

    async def next_due_at(self) -> datetime | None:
        async with self._database.reading() as connection:
            return await queries.next_delivery_at(connection)

    async def done(self, delivery: int, at: datetime, result: str) -> None:
        async with self._database.reading() as connection:
            await self._DONE.all(connection, {"delivery": delivery, "at": at, "told": result})

    async def again(self, delivery: int, due_at: datetime, result: str) -> None:
        await self._change(delivery, {"due_at": due_at, "result": result})

    async def tidy(self, before: datetime) -> None:
        async with self._database.transaction() as connection:
            await connection.execute(sa.delete(deliveries).where(deliveries.c.ended_at < before))
            await connection.execute(sa.delete(idempotence_keys).where(idempotence_keys.c.created_at < before))
            known = sa.select(reservations.c.offer_number).where(reservations.c.insurer == offers.c.insurer)
            unused = offers.c.number.not_in(known)
            await connection.execute(sa.delete(offers).where(offers.c.expires_at < before, unused))

    async def _change(self, delivery: int, values: dict[str, object]) -> None:
        async with self._database.transaction() as connection:
            await connection.execute(sa.update(deliveries).where(deliveries.c.id == delivery).values(values))


class StoredRegisters:
    """Registers that insurers received; implements ``RegisterBooks``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def register(self, insurer: str, register_id: UUID) -> ReceivedRegister | None:
        columns = (registers.c[name] for name in ReceivedRegister.__struct_fields__)
        statement = sa.select(*columns).where(registers.c.insurer == insurer, registers.c.id == register_id)
        async with self._database.reading() as connection:
            row = (await connection.execute(statement)).mappings().first()
        return None if row is None else ReceivedRegister(**row)

    async def note(self, register: ReceivedRegister) -> None:
        statement = pg.insert(registers).values(msgspec.structs.asdict(register)).on_conflict_do_nothing()
        async with self._database.transaction() as connection:
            await connection.execute(statement)

    async def sizes(self, register_id: UUID) -> dict[str, int]:
        parts = register_parts.c
        size, end = sa.func.length(parts.content), parts.starts_at + sa.func.length(parts.content)
        statement = (
            sa.select(parts.sha256, sa.func.sum(size).label("size"), sa.func.max(end).label("end"))
            .where(parts.register_id == register_id)
            .group_by(parts.sha256)
        )
        async with self._database.reading() as connection:
            rows = (await connection.execute(statement)).all()
        return {row.sha256: int(row.size) for row in rows if row.size == row.end}

    async def append(self, register_id: UUID, digest: str, starts_at: int, content: bytes) -> None:
        row = {"register_id": register_id, "sha256": digest, "starts_at": starts_at, "content": content}
        async with self._database.transaction() as connection:
            await connection.execute(pg.insert(register_parts).values(row).on_conflict_do_nothing())

    async def digest(self, register_id: UUID, digest: str) -> str:
        parts = register_parts.c
        statement = sa.select(parts.content).where(parts.register_id == register_id, parts.sha256 == digest)
        result = sha256()
        async with (
            self._database.transaction() as connection,
            connection.stream(statement.order_by(parts.starts_at), execution_options={"yield_per": 16}) as rows,
        ):
            async for row in rows:
                result.update(row.content)
        return result.hexdigest()

    async def end(self, register_id: UUID, received_at: datetime | None, refusal: str | None) -> None:
        statement = sa.update(registers).where(registers.c.id == register_id, registers.c.received_at.is_(None))
        async with self._database.transaction() as connection:
            await connection.execute(statement.values(received_at=received_at, refusal=refusal))
