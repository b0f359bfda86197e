"""All write SQL of reconciliation; the comparison itself is in ``comparison``."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date, datetime
from typing import Any
from uuid import UUID

import msgspec
import sqlalchemy as sa

from insuretech.kit.db import Connection, Database
from insuretech.settlement.reconciliation import queries
from insuretech.settlement.reconciliation.comparison import compare
from insuretech.settlement.reconciliation.domain.columns import Columns
from insuretech.settlement.reconciliation.domain.life import Action, Resolution, Status
from insuretech.settlement.reconciliation.records import SYSTEM, Discrepancy, Note, Statement
from insuretech.settlement.reconciliation.tables import (
    discrepancies,
    discrepancy_notes,
    statement_lines,
    statements,
)

_LOCK = sa.text("select pg_advisory_xact_lock(hashtextextended(:name, 0))")

# Of a discrepancy that is found again: whether its figures are others now, and what becomes of it (domain.life).
_MET = """
create temporary table met on commit drop as
select d.id, d.status as before,
    (d.our_amount, d.our_day, d.their_amount, d.their_day)
        is distinct from (f.our_amount, f.our_day, f.their_amount, f.their_day) as changed, f.*
from settlement.discrepancies d join findings f using (key, entry, kind, ordinal)
where d.party = :party and d.month = :month
"""
_MET_NOTES = """
insert into settlement.discrepancy_notes (discrepancy_id, at, author, action, status_before, status)
select id, :now, :author, case when comes_back then 'found_again' else 'changed' end, before,
    case when comes_back then 'reopened' else before end
from (select *, before = 'resolved' or (before = 'written_off' and changed) as comes_back from met) m
where comes_back or changed
"""
_MET_AGAIN = """
update settlement.discrepancies d set
    statement_id = :statement, our_line = m.our_line, our_amount = m.our_amount, our_day = m.our_day,
    their_line = m.their_line, their_number = m.their_number, their_amount = m.their_amount, their_day = m.their_day,
    difference = coalesce(m.their_amount, 0) - coalesce(m.our_amount, 0),
    resolution = case when comes_back then null else d.resolution end,
    status = case when comes_back then 'reopened' else d.status end,
    changed_at = case when comes_back or changed then :now else d.changed_at end,
    version = d.version + (comes_back or changed)::integer
from (select *, before = 'resolved' or (before = 'written_off' and changed) as comes_back from met) m
where d.id = m.id
"""
_NEW = """
insert into settlement.discrepancies (id, party, month, kind, key, entry, ordinal, number, statement_id, our_line,
    our_amount, our_day, their_line, their_number, their_amount, their_day, difference, status, found_at, changed_at)
select gen_random_uuid(), :party, :month, kind, key, entry, ordinal, number, :statement, our_line, our_amount, our_day,
    their_line, their_number, their_amount, their_day, coalesce(their_amount, 0) - coalesce(our_amount, 0), 'open',
    :now, :now
from findings
on conflict (party, month, key, entry, kind, ordinal) do nothing
"""
_GONE_NOTES = """
insert into settlement.discrepancy_notes (discrepancy_id, at, author, action, status_before, status)
select d.id, :now, :author, 'gone', d.status, 'resolved' from settlement.discrepancies d
where d.party = :party and d.month = :month and d.status not in ('resolved', 'written_off')
    and not exists (select from met m where m.id = d.id)
"""
_GONE = """
update settlement.discrepancies d
set status = 'resolved', resolution = 'gone', changed_at = :now, version = version + 1
where d.party = :party and d.month = :month and d.status not in ('resolved', 'written_off')
    and not exists (select from met m where m.id = d.id)
"""


class ReconciliationRepository:
    """The books of reconciliation on one connection; implements ``ReconciliationStore``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def lock(self, party: str, month: date) -> None:
        await self._connection.execute(_LOCK, {"name": f"settlement.reconciliation:{party}:{month}"})

    # ------------------------------------------------------------ statements

    async def known_file(self, party: str, month: date, sha256: str) -> Statement | None:
        return await queries.statement_of_file(self._connection, party, month, sha256)

    async def add_statement(self, statement: Statement) -> None:
        row = msgspec.structs.asdict(statement) | {"faults": msgspec.to_builtins(statement.faults)}
        await self._connection.execute(sa.insert(statements).values(row))

    async def read_anew(self, statement: UUID) -> None:
        fresh: dict[str, Any] = {
            "state": "received",
            "taken_until": None,
            "attempts": 0,
            "faults": [],
            "fault_count": 0,
        }
        refused = (statements.c.id == statement, statements.c.state == "refused")
        await self._connection.execute(sa.update(statements).where(*refused).values(fresh))

    async def take_lines(self, lines: AsyncIterator[bytes]) -> None:
        # Begins SQLAlchemy's transaction, within which the driver then copies.
        await self._connection.execute(sa.text("select 1"))
        driver: Any = (await self._connection.get_raw_connection()).driver_connection
        await driver.copy_to_table(
            statement_lines.name,
            schema_name=statement_lines.schema,
            source=lines,
            columns=[column.name for column in statement_lines.columns],
            format="text",
        )

    async def drop_lines(self, statement: UUID) -> None:
        await self._connection.execute(sa.delete(statement_lines).where(statement_lines.c.statement_id == statement))

    async def current(self, party: str, month: date) -> Statement | None:
        return await queries.current_statement(self._connection, party, month)

    async def succeed(self, statement: Statement) -> Statement:
        same = (statements.c.party == statement.party, statements.c.month == statement.month)
        highest = sa.select(sa.func.coalesce(sa.func.max(statements.c.version), 0)).where(*same)
        version = int(await self._connection.scalar(highest) or 0) + 1
        before = await self.current(statement.party, statement.month)
        if before is not None:
            superseded = sa.update(statements).where(statements.c.id == before.id).values(state="superseded")
            await self._connection.execute(superseded)
            await self.drop_lines(before.id)
        following = msgspec.structs.replace(statement, state="current", version=version)
        await self._keep(following)
        return following

    async def refuse(self, statement: Statement) -> None:
        await self._keep(msgspec.structs.replace(statement, state="refused"))

    async def _keep(self, statement: Statement) -> None:
        row = msgspec.structs.asdict(statement) | {"faults": msgspec.to_builtins(statement.faults)}
        row.pop("attempts")
        change = sa.update(statements).where(statements.c.id == row.pop("id")).values({**row, "taken_until": None})
        await self._connection.execute(change)

    # ------------------------------------------------------------ comparing

    async def compare(self, statement: Statement, columns: Columns, now: datetime) -> Statement:
        sums = await compare(self._connection, statement.party, statement.month, statement.id, columns)
        scope = {"party": statement.party, "month": statement.month}
        await self._run(_MET, scope)
        await self._run("analyze met", {})
        await self._run(_MET_NOTES, {"now": now, "author": SYSTEM})
        await self._run(_MET_AGAIN, {"now": now, "statement": statement.id})
        await self._run(_GONE_NOTES, {**scope, "now": now, "author": SYSTEM})
        await self._run(_GONE, {**scope, "now": now})
        await self._run(_NEW, {**scope, "now": now, "statement": statement.id})
        compared = msgspec.structs.replace(
            statement,
            matched_at=now,
            our_lines=sums.our_lines,
            our_total=sums.our_total,
            agreed=sums.agreed,
            agreed_total=sums.agreed_total,
        )
        await self._keep(compared)
        # A second comparison in this transaction begins with none of these.
        await self._run("drop table ours, theirs, left_ours, left_theirs, our_keys, findings, met", {})
        return compared

    async def _run(self, statement: str, values: dict[str, Any]) -> None:
        await self._connection.execute(sa.text(statement), values)

    # ------------------------------------------------------------ discrepancies

    async def discrepancy(self, discrepancy: UUID) -> Discrepancy | None:
        return await queries.discrepancy(self._connection, discrepancy, lock=True)

    async def last_step(self, discrepancy: UUID) -> Note | None:
        return await queries.last_step(self._connection, discrepancy)

    async def change(
        self, found: Discrepancy, *, status: Status, assignee: str | None, resolution: Resolution | None, now: datetime
    ) -> None:
        change = sa.update(discrepancies).where(discrepancies.c.id == found.id)
        values = {"status": status.value, "assignee": assignee, "resolution": resolution, "changed_at": now}
        await self._connection.execute(change.values(**values, version=found.version + 1))

    async def note(
        self, found: Discrepancy, *, author: str, action: Action, status: Status, text: str, now: datetime
    ) -> None:
        values = {"discrepancy_id": found.id, "at": now, "author": author, "action": action.value, "text": text}
        states = {"status_before": found.status.value, "status": status.value}
        await self._connection.execute(sa.insert(discrepancy_notes).values(**values, **states))


class PostgresReconciliation:
    """The service's own database; implements ``ReconciliationBooks``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[ReconciliationRepository]:
        async with self._database.transaction() as connection:
            yield ReconciliationRepository(connection)

    async def postpone(self, statement: Statement, until: datetime) -> None:
        change = sa.update(statements).where(statements.c.id == statement.id, statements.c.state == "received")
        async with self._database.transaction() as connection:
            await connection.execute(change.values(taken_until=until, attempts=statement.attempts - 1))

    async def claim(self, now: datetime, until: datetime) -> Statement | None:
        free = sa.or_(statements.c.taken_until.is_(None), statements.c.taken_until < now)
        due = (
            sa.select(statements.c.id)
            .where(statements.c.state == "received", free)
            .order_by(statements.c.received_at)
            .limit(1)
            .with_for_update(skip_locked=True)
        )
        statement = (
            sa.update(statements)
            .where(statements.c.id.in_(due))
            .values(taken_until=until, attempts=statements.c.attempts + 1)
            .returning(*queries.STATEMENT)
        )
        async with self._database.transaction() as connection:
            row = (await connection.execute(statement)).mappings().first()
        return None if row is None else queries.statement_from(row)
