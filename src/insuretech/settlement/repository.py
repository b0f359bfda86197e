"""All write SQL of settlement."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import date, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from insuretech.kit.db import Connection, Database
from insuretech.kit.events import Event
from insuretech.kit.messaging import Outbox
from insuretech.settlement import queries
from insuretech.settlement.domain import (
    LINE_MOVES,
    LINES_OF,
    REGISTER_MOVES,
    Line,
    LineState,
    MonthTotal,
    Register,
    RegisterStatus,
    Task,
    UncollectedPolicy,
    sources_of,
)
from insuretech.settlement.files import Sink
from insuretech.settlement.preparing import Signature, StoredFile
from insuretech.settlement.signing import SigningKey
from insuretech.settlement.tables import (
    deliveries,
    line_states,
    lines,
    messaging,
    register_files,
    register_totals,
    registers,
    signatures,
    signing_keys,
)

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

    # ------------------------------------------------------------ on the way to the insurer

    async def change_task(self, before: Task, after: Task) -> bool:
        statement = (
            sa.update(deliveries)
            .where(
                deliveries.c.register_id == before.register_id,
                deliveries.c.state == before.state,
                deliveries.c.attempts == before.attempts,
            )
            .values(msgspec.structs.asdict(after))
        )
        return bool((await self._connection.execute(statement)).rowcount)

    async def move_register(self, register_id: UUID, status: RegisterStatus) -> bool:
        sources = [one.value for one in sources_of(status, REGISTER_MOVES)]
        statement = sa.update(registers).where(registers.c.id == register_id, registers.c.status.in_(sources))
        moved = (await self._connection.execute(statement.values(status=status.value))).rowcount
        if moved and status is RegisterStatus.SETTLED:
            agreed = (line_states.c.register_id == register_id, line_states.c.state == LineState.ACKNOWLEDGED.value)
            await self._connection.execute(sa.update(line_states).where(*agreed).values(state=LineState.SETTLED.value))
        return bool(moved)

    async def keep_files(self, files: Sequence[StoredFile], signature: Signature) -> bool:
        statement = pg.insert(signatures).values(msgspec.structs.asdict(signature)).on_conflict_do_nothing()
        if not (await self._connection.execute(statement)).rowcount:
            return False
        rows = [
            {
                "register_id": signature.register_id,
                "kind": one.file.kind,
                "storage_key": one.storage_key,
                "sha256": one.file.sha256,
                "size": one.file.size,
                "made_at": one.made_at,
            }
            for one in files
        ]
        await self._connection.execute(sa.insert(register_files), rows)
        return True

    async def move_line(self, register: Register, line_id: UUID, state: LineState, reason: str, now: datetime) -> bool:
        of_register = sa.select(lines.c.id).where(
            lines.c.id == line_id, *queries.of_register(register.insurer, register.month)
        )
        if (await self._connection.execute(of_register)).first() is None:
            return False
        sources = sources_of(state, LINE_MOVES)
        changes = {"state": state.value, "reason": reason, "changed_at": now}
        from_there = line_states.c.state.in_([one.value for one in sources])
        if LINES_OF[register.status] in sources:
            row = {"line_id": line_id, "register_id": register.id, **changes}
            insert = pg.insert(line_states).values(row)
            statement: sa.Insert | sa.Update = insert.on_conflict_do_update(
                index_elements=["line_id"], set_=changes, where=from_there
            )
        else:  # its register cannot move so, but a line that stands apart from it may
            statement = sa.update(line_states).where(line_states.c.line_id == line_id, from_there).values(changes)
        return bool((await self._connection.execute(statement)).rowcount)

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

    async def claim(self, now: datetime, lease: timedelta, register_id: UUID | None = None) -> Task | None:
        """Take a task whose time has come, or a certain one whatever its time, for ``lease``."""
        due = deliveries.c.due_at <= now if register_id is None else deliveries.c.register_id == register_id
        chosen = (
            sa.select(deliveries.c.register_id)
            .where(due)
            .order_by(deliveries.c.due_at)
            .limit(1)
            .with_for_update(skip_locked=True)
        )
        statement = (
            sa.update(deliveries)
            .where(deliveries.c.register_id == chosen.scalar_subquery())
            .values(due_at=now + lease, attempts=deliveries.c.attempts + 1)
            .returning(deliveries)
        )
        async with self._database.transaction() as connection:
            row = (await connection.execute(statement)).mappings().first()
        return None if row is None else queries.task_from(row)

    async def keep_prepared(self, register: Register, files: Sequence[StoredFile], signature: Signature) -> bool:
        async with self.transaction() as store:
            if not await store.keep_files(files, signature):
                return False
            return await store.move_register(register.id, RegisterStatus.PREPARED)

    async def totals(self, register_id: UUID) -> list[MonthTotal]:
        async with self._database.reading() as connection:
            return await queries.totals_of(connection, register_id)

    async def register(self, register_id: UUID) -> Register | None:
        async with self._database.reading() as connection:
            return await queries.register_by_id(connection, register_id)

    async def register_numbered(self, number: str) -> Register | None:
        async with self._database.reading() as connection:
            return await queries.register_numbered(connection, number)

    async def registers(self, insurer: str | None, month: date | None, limit: int) -> list[Register]:
        async with self._database.reading() as connection:
            return await queries.registers_of(connection, insurer, month, limit)

    async def task(self, register_id: UUID) -> Task | None:
        async with self._database.reading() as connection:
            return await queries.task_of(connection, register_id)

    async def files(self, register: Register) -> list[StoredFile]:
        async with self._database.reading() as connection:
            return await queries.files_of(connection, register)

    async def signature(self, register_id: UUID) -> Signature | None:
        async with self._database.reading() as connection:
            return await queries.signature_of(connection, register_id)

    async def sums_of_lines(self, register: Register) -> Mapping[str, Decimal]:
        async with self._database.reading() as connection:
            return await queries.sums_of_lines(connection, register.insurer, register.month)

    async def lines(
        self, insurer: str, month: date, state: LineState | None, limit: int
    ) -> list[tuple[Line, LineState]]:
        async with self._database.reading() as connection:
            return await queries.lines_with_states(connection, insurer, month, state, limit)

    async def uncollected(self, before: datetime, month: date | None, limit: int) -> list[UncollectedPolicy]:
        async with self._database.reading() as connection:
            return await queries.uncollected(connection, before, month, limit)

    # ------------------------------------------------------------ signing keys

    async def newest_key(self) -> SigningKey | None:
        found = await self.keys()
        return found[0] if found else None

    async def keys(self) -> list[SigningKey]:
        async with self._database.reading() as connection:
            return await queries.signing_keys_kept(connection)

    async def add_first_key(self, key: SigningKey) -> None:
        async with self._database.transaction() as connection:
            await connection.execute(_LOCK, {"name": "settlement.signing_keys"})
            if not await queries.signing_keys_kept(connection):
                await connection.execute(sa.insert(signing_keys).values(msgspec.structs.asdict(key)))

    async def add_key(self, key: SigningKey) -> None:
        async with self._database.transaction() as connection:
            await connection.execute(sa.insert(signing_keys).values(msgspec.structs.asdict(key)))

    async def replace_private_key(self, key: SigningKey) -> None:
        statement = sa.update(signing_keys).where(signing_keys.c.id == key.id).values(private_key=key.private_key)
        async with self._database.transaction() as connection:
            await connection.execute(statement)

    async def csv(self, register: Register, sink: Sink) -> None:
        async with self._database.reading() as connection:
            await queries.copy_csv(connection, register.insurer, register.month, sink)

    async def sheet_rows(
        self, register: Register, first: int, last: int, styles: Mapping[str, int], sink: Sink
    ) -> None:
        async with self._database.reading() as connection:
            await queries.copy_sheet_rows(connection, register, first, last, styles, sink)
