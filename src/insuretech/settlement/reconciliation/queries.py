"""All read SQL of reconciliation."""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any, TypeVar
from uuid import UUID

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from insuretech.kit.db import Connection
from insuretech.settlement.reconciliation.domain.life import WAITING, Action
from insuretech.settlement.reconciliation.domain.numbers import number_key
from insuretech.settlement.reconciliation.records import (
    Discrepancy,
    ElsewhereLine,
    KindTotal,
    MonthState,
    Note,
    Statement,
)
from insuretech.settlement.reconciliation.tables import discrepancies, discrepancy_notes, statements
from insuretech.settlement.tables import lines, registers

R = TypeVar("R", bound=msgspec.Struct)

STATEMENT = tuple(statements.c[name] for name in Statement.__struct_fields__)
_DISCREPANCY = tuple(discrepancies.c[name] for name in Discrepancy.__struct_fields__)
_NOTE = tuple(discrepancy_notes.c[name] for name in Note.__struct_fields__)
_WAITS = discrepancies.c.status.in_([status.value for status in WAITING])
_NOTHING = sa.literal(Decimal(0), sa.Numeric(18, 2))

SORTS = {
    "number": (discrepancies.c.number, discrepancies.c.id),
    "difference": (sa.func.abs(discrepancies.c.difference).desc(), discrepancies.c.id),
    "changed": (discrepancies.c.changed_at.desc(), discrepancies.c.id),
}


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """Which discrepancies are meant; what is None or empty does not narrow. ``number`` is the beginning of one."""

    party: str | None = None
    month: date | None = None
    kinds: tuple[str, ...] = ()
    statuses: tuple[str, ...] = ()
    assignee: str | None = None
    number: str = ""


class Page(msgspec.Struct, frozen=True):
    """A part of a list and the number of all."""

    items: list[Discrepancy]
    total: int


def _record(row: Mapping[Any, Any], kind: type[R]) -> R:
    """A row as a record; SQLAlchemy's names of columns are no plain strings."""
    return msgspec.convert({name: row[name] for name in kind.__struct_fields__}, kind)


def statement_from(row: Mapping[Any, Any]) -> Statement:
    """A row of ``statements`` as a record."""
    return _record(row, Statement)


async def _one(connection: Connection, found: sa.Select[Any]) -> Statement | None:
    row = (await connection.execute(found)).mappings().first()
    return None if row is None else statement_from(row)


async def statement(connection: Connection, statement_id: UUID) -> Statement | None:
    """One statement."""
    return await _one(connection, sa.select(*STATEMENT).where(statements.c.id == statement_id))


async def statement_of_file(connection: Connection, party: str, month: date, sha256: str) -> Statement | None:
    """The statement that this very file was taken for before."""
    same = (statements.c.party == party, statements.c.month == month, statements.c.sha256 == sha256)
    return await _one(connection, sa.select(*STATEMENT).where(*same))


async def current_statement(connection: Connection, party: str, month: date) -> Statement | None:
    """What we are held against."""
    same = (statements.c.party == party, statements.c.month == month, statements.c.state == "current")
    return await _one(connection, sa.select(*STATEMENT).where(*same))


async def statement_history(connection: Connection, party: str, month: date) -> list[Statement]:
    """Every file that came for a month, the newest first."""
    same = (statements.c.party == party, statements.c.month == month)
    found = sa.select(*STATEMENT).where(*same).order_by(statements.c.received_at.desc(), statements.c.id.desc())
    return [statement_from(row) for row in (await connection.execute(found.limit(200))).mappings()]


async def latest_statements(connection: Connection, month: date) -> dict[str, Statement]:
    """By party the statement that says most about where a month stands: one being read, the current, a refused one."""
    rank = sa.case({"received": 0, "current": 1, "refused": 2}, value=statements.c.state, else_=3)
    found = (
        sa.select(*STATEMENT)
        .where(statements.c.month == month)
        .ext(pg.distinct_on(statements.c.party))
        .order_by(statements.c.party, rank, statements.c.received_at.desc())
    )
    return {row["party"]: statement_from(row) for row in (await connection.execute(found)).mappings()}


_MONTHS = sa.text(
    # Steps from month to month through the index, as there are few months and many lines.
    """
    with recursive step as (
        select min(month) as month from settlement.lines
        union all
        select (select min(month) from settlement.lines where month > step.month) from step where month is not null
    )
    select month from step where month is not null union select month from settlement.statements order by month desc
    """
)


async def months(connection: Connection) -> list[date]:
    """Months in which anything happened, the newest first."""
    return list((await connection.execute(_MONTHS)).scalars())


async def month_states(connection: Connection, month: date, parties: Sequence[str]) -> list[MonthState]:
    """Where every party stands in a month: those asked for, and all that have lines in it."""
    sums = await _our_sums(connection, month)
    counted = (
        sa.select(discrepancies.c.party, sa.func.count(), sa.func.count().filter(_WAITS))
        .where(discrepancies.c.month == month)
        .group_by(discrepancies.c.party)
    )
    counts = {party: (count, waiting) for party, count, waiting in await connection.execute(counted)}
    closed = sa.select(registers.c.insurer, registers.c.number, registers.c.status).where(registers.c.month == month)
    closed_registers = {insurer: (number, status) for insurer, number, status in await connection.execute(closed)}
    files = await latest_statements(connection, month)
    return [
        MonthState(
            party=party,
            month=month,
            register_number=closed_registers.get(party, (None, None))[0],
            register_status=closed_registers.get(party, (None, None))[1],
            our_lines=sums.get(party, (0, Decimal(0)))[0],
            our_total=sums.get(party, (0, Decimal(0)))[1],
            statement=files.get(party),
            waiting=counts.get(party, (0, 0))[1],
            discrepancies=counts.get(party, (0, 0))[0],
        )
        for party in dict.fromkeys([*parties, *sums, *files])
    ]


async def _our_sums(connection: Connection, month: date) -> dict[str, tuple[int, Decimal]]:
    """Lines and their sum by party: premiums by insurer, payments and refunds by the provider's two registers."""
    found = sa.text(
        """
        select case l.kind when 'payment_captured' then 'yookassa.payments'
                when 'payment_refunded' then 'yookassa.refunds' else l.insurer end as party,
            count(*), sum(l.premium + l.collected)
        from settlement.lines l
        where case when l.kind in ('policy_issued', 'policy_cancelled') then coalesce(l.register_month, l.month)
                else l.month end = :month
            and l.kind in ('policy_issued', 'policy_cancelled', 'payment_captured', 'payment_refunded')
            and l.premium + l.collected <> 0
        group by 1
        """
    )
    rows = await connection.execute(found, {"month": month})
    return {party: (count, total) for party, count, total in rows if party is not None}


# ---------------------------------------------------------------- discrepancies


def _discrepancy_from(row: Mapping[Any, Any]) -> Discrepancy:
    return _record(row, Discrepancy)


async def discrepancy(connection: Connection, discrepancy_id: UUID, *, lock: bool = False) -> Discrepancy | None:
    """One discrepancy, locked when it is about to change."""
    found = sa.select(*_DISCREPANCY).where(discrepancies.c.id == discrepancy_id)
    row = (await connection.execute(found.with_for_update() if lock else found)).mappings().first()
    return None if row is None else _discrepancy_from(row)


async def notes(connection: Connection, discrepancy_id: UUID) -> list[Note]:
    """Everything that was done to a discrepancy, in order."""
    found = (
        sa.select(*_NOTE).where(discrepancy_notes.c.discrepancy_id == discrepancy_id).order_by(discrepancy_notes.c.id)
    )
    return [_record(row, Note) for row in (await connection.execute(found)).mappings()]


async def last_step(connection: Connection, discrepancy_id: UUID) -> Note | None:
    """The last note that is more than a comment."""
    mine = (discrepancy_notes.c.discrepancy_id == discrepancy_id, discrepancy_notes.c.action != Action.COMMENT.value)
    found = sa.select(*_NOTE).where(*mine).order_by(discrepancy_notes.c.id.desc()).limit(1)
    row = (await connection.execute(found)).mappings().first()
    return None if row is None else _record(row, Note)


def _narrowed(asked: Filter) -> list[sa.ColumnElement[bool]]:
    column = discrepancies.c
    chosen: list[sa.ColumnElement[bool]] = []
    if asked.party:
        chosen.append(column.party == asked.party)
    if asked.month:
        chosen.append(column.month == asked.month)
    if asked.kinds:
        chosen.append(column.kind.in_(asked.kinds))
    if asked.statuses:
        chosen.append(column.status.in_(asked.statuses))
    if asked.assignee:
        chosen.append(column.assignee == asked.assignee)
    if asked.number:
        key = number_key(asked.number)
        chosen.append(
            sa.or_(column.key.contains(key, autoescape=True), column.number.contains(asked.number, autoescape=True))
        )
    return chosen


async def page(connection: Connection, asked: Filter, *, sort: str, offset: int, limit: int) -> Page:
    """A part of the discrepancies that are meant."""
    chosen = _narrowed(asked)
    total = await connection.scalar(sa.select(sa.func.count()).select_from(discrepancies).where(*chosen))
    found = sa.select(*_DISCREPANCY).where(*chosen).order_by(*SORTS[sort]).offset(offset).limit(limit)
    rows = (await connection.execute(found)).mappings()
    return Page([_discrepancy_from(row) for row in rows], int(total or 0))


async def beside(connection: Connection, asked: Filter, shown: Discrepancy) -> tuple[UUID | None, UUID | None]:
    """The neighbours of a discrepancy in the list by number, for going through it."""
    chosen = _narrowed(asked)
    place = sa.tuple_(discrepancies.c.number, discrepancies.c.id)
    here = sa.tuple_(sa.literal(shown.number), sa.literal(shown.id))
    order = SORTS["number"]
    following = sa.select(discrepancies.c.id).where(*chosen, place > here).order_by(*order).limit(1)
    backwards = [column.desc() for column in (discrepancies.c.number, discrepancies.c.id)]
    previous = sa.select(discrepancies.c.id).where(*chosen, place < here).order_by(*backwards).limit(1)
    return await connection.scalar(previous), await connection.scalar(following)


async def every(connection: Connection, asked: Filter) -> AsyncIterator[Discrepancy]:
    """All discrepancies that are meant, as they come from the database."""
    found = sa.select(*_DISCREPANCY).where(*_narrowed(asked)).order_by(*SORTS["number"])
    async with connection.stream(found) as rows:
        async for row in rows.mappings():
            yield _discrepancy_from(row)


async def kind_totals(connection: Connection, party: str, month: date) -> list[KindTotal]:
    """Discrepancies of a month by kind."""
    column = discrepancies.c
    summed = (
        sa.func.coalesce(sa.func.sum(column[name]), _NOTHING) for name in ("our_amount", "their_amount", "difference")
    )
    found = (
        sa.select(column.kind, sa.func.count(), sa.func.count().filter(_WAITS), *summed)
        .where(column.party == party, column.month == month)
        .group_by(column.kind)
        .order_by(column.kind)
    )
    return [
        msgspec.convert(dict(zip(KindTotal.__struct_fields__, row, strict=True)), KindTotal)
        for row in await connection.execute(found)
    ]


async def elsewhere(connection: Connection, shown: Discrepancy) -> list[ElsewhereLine]:
    """Our lines with this number outside the month or party: where a missing policy may be."""
    named = lines.c.policy_number.in_({shown.number, shown.their_number or shown.number})
    other = sa.or_(lines.c.month != shown.month, lines.c.insurer.is_distinct_from(shown.party))
    found = (
        sa.select(
            lines.c.id,
            lines.c.insurer,
            lines.c.month,
            lines.c.kind,
            lines.c.premium,
            sa.cast(sa.func.timezone("Europe/Moscow", lines.c.occurred_at), sa.Date),
        )
        .where(named, other, lines.c.premium != 0)
        .order_by(lines.c.occurred_at)
        .limit(20)
    )
    return [
        ElsewhereLine(**dict(zip(ElsewhereLine.__struct_fields__, row, strict=True)))
        for row in await connection.execute(found)
    ]
