"""All read SQL of settlement."""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from insuretech.contracts.registers import RegisterFile
from insuretech.kit.db import Connection
from insuretech.settlement.domain import (
    LINES_OF,
    Line,
    LineKind,
    LineState,
    MonthTotal,
    Register,
    RegisterStatus,
    Task,
    TaskState,
    UncollectedPolicy,
)
from insuretech.settlement.files import COLUMNS, WORDS, Sink, file_name
from insuretech.settlement.preparing import Signature, StoredFile
from insuretech.settlement.signing import SigningKey
from insuretech.settlement.tables import (
    deliveries,
    line_states,
    lines,
    register_files,
    register_totals,
    registers,
    signatures,
    signing_keys,
)

_LINE = sa.select(*(lines.c[name] for name in Line.__struct_fields__))
_REGISTER = sa.select(*(registers.c[name] for name in Register.__struct_fields__))


def line_from(row: Mapping[Any, Any]) -> Line:
    """A row of ``lines`` as what the domain knows."""
    return Line(**{**row, "kind": LineKind(row["kind"])})


def register_from(row: Mapping[Any, Any]) -> Register:
    """A row of ``registers`` as what the domain knows."""
    return Register(**{**row, "status": RegisterStatus(row["status"])})


async def _lines(connection: Connection, statement: sa.Select[Any]) -> list[Line]:
    return [line_from(row) for row in (await connection.execute(statement)).mappings()]


async def line_by_id(connection: Connection, line_id: UUID) -> Line | None:
    """One line."""
    found = await _lines(connection, _LINE.where(lines.c.id == line_id))
    return found[0] if found else None


async def policy_line(connection: Connection, order_id: UUID) -> Line | None:
    """The line of the issue of the order's policy."""
    issued = lines.c.kind == LineKind.POLICY_ISSUED
    found = await _lines(connection, _LINE.where(lines.c.order_id == order_id, issued))
    return found[0] if found else None


async def lines_without_policy(connection: Connection, order_id: UUID) -> list[Line]:
    """Lines of an order whose policy was not known when they came."""
    statement = _LINE.where(lines.c.order_id == order_id, lines.c.insurer.is_(None)).order_by(lines.c.id)
    return await _lines(connection, statement)


async def unrated_lines(
    connection: Connection, insurer: str, until: date, after: UUID | None, limit: int
) -> list[Line]:
    """Lines of an insurer's registers up to a month without our fee, in the order of their ids."""
    unrated = (lines.c.insurer == insurer, lines.c.register_month <= until, lines.c.agreement.is_(None))
    statement = _LINE.where(*unrated)
    if after is not None:
        statement = statement.where(lines.c.id > after)
    return await _lines(connection, statement.order_by(lines.c.id).limit(limit))


async def insurers_due(connection: Connection, until: date) -> list[str]:
    """Insurers with lines of a register up to a month that is not closed; one look at an index for each insurer."""
    found = sa.text(
        """
        with recursive insurers as (
            (select insurer from settlement.lines where insurer is not null order by insurer limit 1)
            union all
            select (select l.insurer from settlement.lines l where l.insurer > i.insurer order by l.insurer limit 1)
            from insurers i where i.insurer is not null
        )
        select insurer from insurers i
        where insurer is not null and exists (
            select from settlement.lines l where l.insurer = i.insurer and l.register_month <= :until
                and l.register_month > coalesce(
                    (select max(month) from settlement.registers r where r.insurer = i.insurer), '-infinity'))
        order by insurer
        """
    )
    return list((await connection.execute(found, {"until": until})).scalars())


async def open_months(connection: Connection, insurer: str, before: date) -> list[date]:
    """Months of an insurer before one that have lines and are not closed, the oldest first."""
    last = sa.select(sa.func.max(registers.c.month)).where(registers.c.insurer == insurer).scalar_subquery()
    statement = (
        sa.select(lines.c.register_month)
        .where(lines.c.insurer == insurer, lines.c.register_month < before)
        .where(sa.or_(last.is_(None), lines.c.register_month > last))
        .distinct()
        .order_by(lines.c.register_month)
    )
    return [month for month in (await connection.execute(statement)).scalars() if month is not None]


async def register_of(connection: Connection, insurer: str, month: date) -> Register | None:
    """The closed register of a month."""
    statement = _REGISTER.where(registers.c.insurer == insurer, registers.c.month == month)
    row = (await connection.execute(statement)).mappings().first()
    return None if row is None else register_from(row)


async def last_closed(connection: Connection, insurer: str) -> date | None:
    """The last month closed for an insurer."""
    statement = sa.select(sa.func.max(registers.c.month)).where(registers.c.insurer == insurer)
    month: date | None = await connection.scalar(statement)
    return month


async def totals_of(connection: Connection, register_id: UUID) -> list[MonthTotal]:
    """The sums of a register by product and kind, in the order they are shown."""
    statement = (
        sa.select(*(register_totals.c[name] for name in MonthTotal.__struct_fields__))
        .where(register_totals.c.register_id == register_id)
        .order_by(register_totals.c.product, register_totals.c.kind)
    )
    rows = (await connection.execute(statement)).mappings()
    return [MonthTotal(**{**row, "kind": LineKind(row["kind"])}) for row in rows]


def of_register(insurer: str, month: date) -> tuple[sa.ColumnElement[bool], ...]:
    """The condition for lines of a register, closed or not."""
    return (lines.c.insurer == insurer, lines.c.register_month == month)


async def sums_of_lines(connection: Connection, insurer: str, month: date) -> Mapping[str, Any]:
    """Number and sums of a register's lines, computed anew."""
    sums = (sa.func.coalesce(sa.func.sum(lines.c[name]), 0).label(name) for name in _AMOUNTS)
    statement = sa.select(sa.func.count().label("lines"), *sums).where(*of_register(insurer, month))
    return dict((await connection.execute(statement)).mappings().one())


# ---------------------------------------------------------------- registers on their way


async def register_by_id(connection: Connection, register_id: UUID) -> Register | None:
    """One register."""
    row = (await connection.execute(_REGISTER.where(registers.c.id == register_id))).mappings().first()
    return None if row is None else register_from(row)


async def register_numbered(connection: Connection, number: str) -> Register | None:
    """The register of this number."""
    row = (await connection.execute(_REGISTER.where(registers.c.number == number))).mappings().first()
    return None if row is None else register_from(row)


async def registers_of(connection: Connection, insurer: str | None, month: date | None, limit: int) -> list[Register]:
    """The newest registers, of one insurer or month where given."""
    statement = _REGISTER.order_by(registers.c.month.desc(), registers.c.insurer).limit(limit)
    if insurer is not None:
        statement = statement.where(registers.c.insurer == insurer)
    if month is not None:
        statement = statement.where(registers.c.month == month)
    return [register_from(row) for row in (await connection.execute(statement)).mappings()]


def task_from(row: Mapping[Any, Any]) -> Task:
    """A row of ``deliveries`` as what the domain knows."""
    return Task(**{**row, "state": TaskState(row["state"])})


async def task_of(connection: Connection, register_id: UUID) -> Task | None:
    """What is to be done with a register."""
    statement = sa.select(deliveries).where(deliveries.c.register_id == register_id)
    row = (await connection.execute(statement)).mappings().first()
    return None if row is None else task_from(row)


async def files_of(connection: Connection, register: Register) -> list[StoredFile]:
    """The files of a register, the lists before the summary."""
    statement = sa.select(register_files).where(register_files.c.register_id == register.id)
    rows = {row["kind"]: row for row in (await connection.execute(statement)).mappings()}
    found = []
    for kind in ("csv", "xlsx", "pdf"):
        if (row := rows.get(kind)) is not None:
            name = file_name(register, kind)
            file = RegisterFile(kind=kind, name=name, sha256=row["sha256"], size=row["size"])
            found.append(StoredFile(file=file, storage_key=row["storage_key"], made_at=row["made_at"]))
    return found


async def signature_of(connection: Connection, register_id: UUID) -> Signature | None:
    """The signed manifest of a register."""
    row = (await connection.execute(sa.select(signatures).where(signatures.c.register_id == register_id))).mappings()
    found = row.first()
    return None if found is None else Signature(**found)


async def signing_keys_kept(connection: Connection) -> list[SigningKey]:
    """All signing keys, the newest first."""
    statement = sa.select(signing_keys).order_by(signing_keys.c.created_at.desc(), signing_keys.c.id)
    return [SigningKey(**row) for row in (await connection.execute(statement)).mappings()]


async def lines_with_states(
    connection: Connection, insurer: str, month: date, state: LineState | None, limit: int
) -> list[tuple[Line, LineState]]:
    """Lines of a register, closed or not, in the order of its files, each with where it stands."""
    whole = sa.case(
        {status.value: of.value for status, of in LINES_OF.items()},
        value=registers.c.status,
        else_=LineState.OPEN.value,
    )
    standing = sa.func.coalesce(line_states.c.state, whole).label("standing")
    held = sa.and_(registers.c.insurer == lines.c.insurer, registers.c.month == lines.c.register_month)
    statement = (
        _LINE.add_columns(standing)
        .select_from(lines.outerjoin(registers, held).outerjoin(line_states, line_states.c.line_id == lines.c.id))
        .where(*of_register(insurer, month))
        .order_by(lines.c.occurred_at, lines.c.id)
        .limit(limit)
    )
    if state is not None:
        statement = statement.where(standing == state.value)
    found = []
    for row in (await connection.execute(statement)).mappings():
        values = dict(row)
        found.append((LineState(values.pop("standing")), values))
    return [(line_from(values), stands) for stands, values in found]


async def uncollected(
    connection: Connection, before: datetime, month: date | None, limit: int
) -> list[UncollectedPolicy]:
    """Policies whose premium by contract is more than what was collected for them, the oldest first.

    ``before`` leaves out those whose capture is only just under way.
    """
    premium, collected = sa.func.sum(lines.c.premium), sa.func.sum(lines.c.collected)
    first = sa.func.min(lines.c.occurred_at)
    statement = (
        sa.select(
            lines.c.order_id,
            sa.func.min(lines.c.insurer).label("insurer"),
            sa.func.min(lines.c.policy_number).label("policy_number"),
            first.label("since"),
            premium.label("premium"),
            collected.label("collected"),
        )
        .where(lines.c.insurer.is_not(None))
        .group_by(lines.c.order_id)
        .having(premium > collected, first < before)
        .order_by(first)
        .limit(limit)
    )
    if month is not None:
        of_month = sa.select(lines.c.order_id).where(lines.c.register_month == month, lines.c.kind == "policy_issued")
        statement = statement.where(lines.c.order_id.in_(of_month))
    return [UncollectedPolicy(**row) for row in (await connection.execute(statement)).mappings()]


# ---------------------------------------------------------------- lines as the files hold them

_AMOUNTS = ("premium", "collected", "commission", "vat")
_VALUES = {
    "line": "l.line",
    "kind": "l.kind",
    "happened_on": "(l.occurred_at at time zone 'Europe/Moscow')::date",
    "reference": "l.order_id",
    "line_id": "l.id",
    "corrects": "coalesce(l.reverses, l.restates)",
}
_IDS = {"reference", "line_id", "corrects"}
_CONTROLS = "E'" + "".join(f"\\x{code:02x}" for code in range(1, 32)) + "\\ufffe\\uffff'"
"""Characters that XML 1.0 cannot hold, as an SQL literal."""
_FROM = """from (
    select *, row_number() over (order by occurred_at, id) as line from settlement.lines
    where insurer = $1 and register_month = $2
) l"""


async def copy_csv(connection: Connection, insurer: str, month: date, sink: Sink) -> None:
    """A header line and a line each, as RFC 4180 without its carriage returns.

    A text that a spreadsheet would take for a formula gets an apostrophe before it; numbers of policies have none.
    """
    columns = ", ".join(f"{_in_csv(column.name, column.kind)} as {column.name}" for column in COLUMNS)
    statement = f"select {columns} {_FROM} order by l.line"
    await _copy(connection, statement, (insurer, month), sink, format="csv", header=True)


async def copy_sheet_rows(
    connection: Connection, register: Register, first: int, last: int, styles: Mapping[str, int], sink: Sink
) -> None:
    """Rows of a worksheet (ECMA-376 part 1, 18.3.1.73) for the lines of these numbers; ``styles`` by column."""
    cells = ", ".join(_cell(column.name, column.kind, styles[column.name]) for column in COLUMNS)
    where = f"{_FROM} where l.line between $3 and $4 order by l.line"
    statement = f"select concat('<row>', {cells}, '</row>') {where}"
    # Quoting is left to characters that no text holds, so that what is copied is the bare XML.
    marks = {"delimiter": "\x02", "quote": "\x01"}
    place = (register.insurer, register.month, first, last)
    await _copy(connection, statement, place, sink, format="csv", **marks)


async def _copy(connection: Connection, statement: str, values: tuple[object, ...], sink: Sink, **options: Any) -> None:
    """Stream a result into ``sink`` as it comes; what is not wanted to its end ends the connection."""
    driver: Any = (await connection.get_raw_connection()).driver_connection
    try:
        await driver.copy_from_query(statement, *values, output=sink, encoding="utf-8", **options)
    except BaseException:
        driver.terminate()
        await connection.invalidate()
        raise


def _in_csv(name: str, kind: str) -> str:
    value = _VALUES.get(name, f"l.{name}")
    if kind != "text" or name == "kind" or name in _IDS:
        return value
    return f"case when left({value}, 1) in ('=', '+', '-', '@') then '''' else '' end || {value}"


def _cell(name: str, kind: str, style: int) -> str:
    """An SQL expression that gives a cell; an empty one keeps its place."""
    value = _VALUES.get(name, f"l.{name}")
    if name == "kind":
        words = " ".join(f"when '{code.value}' then '{word}'" for code, word in WORDS.items())
        value = f"case l.kind {words} end"
    elif kind != "text":
        value = f"({value} - date '1899-12-30')" if kind == "date" else value
        return f"coalesce('<c s=\"{style}\"><v>' || {value} || '</v></c>', '<c/>')"
    elif name not in _IDS:
        value = f"replace(translate({value}, {_CONTROLS}, ''), '&', '&amp;')"
        value = f"replace(replace({value}, '<', '&lt;'), '>', '&gt;')"
    return f"coalesce('<c t=\"inlineStr\" s=\"{style}\"><is><t>' || {value} || '</t></is></c>', '<c/>')"
