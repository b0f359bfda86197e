"""All write SQL of settlement."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import date, datetime
from uuid import UUID

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from insuretech.kit.db import Connection, Database
from insuretech.kit.events import Event
from insuretech.kit.messaging import Outbox
from insuretech.settlement import queries
from insuretech.settlement.domain import Line, Register, Task
from insuretech.settlement.files import Sink
from insuretech.settlement.tables import deliveries, lines, messaging, register_totals, registers

_LOCK = sa.text("select pg_advisory_xact_lock(hashtextextended(:name, 0))")
_SHARE = sa.text("select pg_advisory_xact_lock_shared(hashtextextended(:name, 0))")
_SUMS = ("premium", "collected", "commission", "vat")


class SettlementRepository:
    """Lines and registers on one connection, in its transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._outbox = Outbox(messaging.outbox)

    # ------------------------------------------------------------ lines

    async def lock_order(self, order_id: UUID) -> None:
        await self._connection.execute(_LOCK, {"name": f"settlement.order:{order_id}"})

    async def policy_line(self, order_id: UUID) -> Line | None:
        return await queries.policy_line(self._connection, order_id)

    async def lines_without_policy(self, order_id: UUID) -> list[Line]:
        return await queries.lines_without_policy(self._connection, order_id)

    async def line(self, line_id: UUID) -> Line | None:
        return await queries.line_by_id(self._connection, line_id)

    async def add(self, line: Line) -> bool:
        statement = pg.insert(lines).values(msgspec.structs.asdict(line)).on_conflict_do_nothing()
        return bool((await self._connection.execute(statement)).rowcount)

    async def complete(self, line: Line) -> None:
        known = ("insurer", "register_month", "product", "policy_id", "policy_number", "starts_on", "ends_on")
        fee = ("commission", "vat", "rate", "agreement")
        statement = (
            sa.update(lines).where(lines.c.id == line.id).values({name: getattr(line, name) for name in (*known, *fee)})
        )
        await self._connection.execute(statement)

    async def unrated(self, insurer: str, until: date, after: UUID | None, limit: int) -> list[Line]:
        return await queries.unrated_lines(self._connection, insurer, until, after, limit)

    # ------------------------------------------------------------ closing

    async def lock_insurer(self, insurer: str) -> None:
        await self._connection.execute(_LOCK, {"name": f"settlement.insurer:{insurer}"})

    async def register(self, insurer: str, month: date) -> Register | None:
        return await queries.register_of(self._connection, insurer, month)

    async def last_closed(self, insurer: str) -> date | None:
        await self._connection.execute(_SHARE, {"name": f"settlement.insurer:{insurer}"})
        return await queries.last_closed(self._connection, insurer)

    async def close(self, register: Register) -> Register | None:
        summed = (
            sa.select(
                sa.literal(register.id),
                lines.c.product,
                lines.c.kind,
                sa.func.count(),
                *(sa.func.sum(lines.c[name]) for name in _SUMS),
            )
            .where(*queries.of_register(register.insurer, register.month))
            .group_by(lines.c.product, lines.c.kind)
        )
        columns = ["register_id", "product", "kind", "lines", *_SUMS]
        await self._connection.execute(sa.insert(register_totals).from_select(columns, summed))
        sums = sa.select(
            *(sa.func.coalesce(sa.func.sum(register_totals.c[name]), 0).label(name) for name in ("lines", *_SUMS))
        ).where(register_totals.c.register_id == register.id)
        closed = register.summed(**(await self._connection.execute(sums)).mappings().one())
        if not closed.lines:
            return None
        await self._connection.execute(sa.insert(registers).values(msgspec.structs.asdict(closed)))
        return closed

    async def add_task(self, task: Task) -> None:
        await self._connection.execute(sa.insert(deliveries).values(msgspec.structs.asdict(task)))

    async def publish(self, events: Sequence[Event], now: datetime) -> None:
        await self._outbox.publish(self._connection, events, now)


class PostgresBooks:
    """The service's own database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[SettlementRepository]:
        async with self._database.transaction() as connection:
            yield SettlementRepository(connection)

    async def insurers_due(self, until: date) -> list[str]:
        async with self._database.reading() as connection:
            return await queries.insurers_due(connection, until)

    async def open_months(self, insurer: str, before: date) -> list[date]:
        async with self._database.reading() as connection:
            return await queries.open_months(connection, insurer, before)

    async def csv(self, register: Register, sink: Sink) -> None:
        async with self._database.reading() as connection:
            await queries.copy_csv(connection, register.insurer, register.month, sink)

    async def sheet_rows(
        self, register: Register, first: int, last: int, styles: Mapping[str, int], sink: Sink
    ) -> None:
        async with self._database.reading() as connection:
            await queries.copy_sheet_rows(connection, register, first, last, styles, sink)
