"""All read SQL of settlement."""

from collections.abc import Mapping
from datetime import date
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from insuretech.kit.db import Connection
from insuretech.settlement.domain import Line, LineKind, LineState, Register, RegisterStatus
from insuretech.settlement.tables import lines, registers

_LINE = sa.select(*(lines.c[name] for name in Line.__struct_fields__))
_REGISTER = sa.select(*(registers.c[name] for name in Register.__struct_fields__))
_OPEN = lines.c.register_id.is_(None)


def line_from(row: Mapping[Any, Any]) -> Line:
    """A row of ``lines`` as what the domain knows."""
    return Line(**{**row, "kind": LineKind(row["kind"]), "state": LineState(row["state"])})


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
    """Open lines of an insurer up to a month without our fee, in the order of their ids."""
    statement = _LINE.where(lines.c.insurer == insurer, _OPEN, lines.c.month <= until, lines.c.agreement.is_(None))
    if after is not None:
        statement = statement.where(lines.c.id > after)
    return await _lines(connection, statement.order_by(lines.c.id).limit(limit))


async def any_open(connection: Connection, insurer: str, until: date) -> bool:
    """Whether an insurer has open lines up to a month."""
    statement = sa.select(sa.exists().where(lines.c.insurer == insurer, _OPEN, lines.c.month <= until))
    return bool(await connection.scalar(statement))


async def insurers_due(connection: Connection, until: date) -> list[str]:
    """Insurers with open lines up to a month that was not closed for them."""
    closed = sa.exists().where(registers.c.insurer == lines.c.insurer, registers.c.month >= until)
    statement = (
        sa.select(lines.c.insurer)
        .where(_OPEN, lines.c.month <= until, lines.c.insurer.is_not(None), ~closed)
        .distinct()
        .order_by(lines.c.insurer)
    )
    return list((await connection.execute(statement)).scalars())


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
