"""Holds a whole month against a whole statement inside PostgreSQL: the rules of ``domain.matching``, on sets.

Both sides become temporary tables, pairs are found by joins over ranks, and what remains goes from pass to pass. A
million lines cost the database a few sorts on disk and this process nothing.
"""

from datetime import date
from typing import Any
from uuid import UUID

import msgspec
import sqlalchemy as sa

from insuretech.kit.db import Connection
from insuretech.settlement.reconciliation.domain.columns import Columns
from insuretech.settlement.reconciliation.domain.numbers import number_key

_CHUNK = 20_000
_SIMPLE = "number ~ '^[A-Za-z0-9 -]*$'"
"""Numbers whose key PostgreSQL can make; of all others Python makes it, so that there is one rule."""

_OURS_OF_INSURER = """
    select l.id as reference, l.policy_number as number,
        case when l.premium < 0 then 'return' else 'premium' end as entry, l.premium as amount,
        coalesce(l.cancelled_on, (l.occurred_at at time zone 'Europe/Moscow')::date) as day
    from settlement.lines l
    where l.insurer = :party and l.register_month = :month and l.policy_number is not null and l.premium <> 0
        and (l.kind in ('policy_issued', 'policy_cancelled') or (l.kind = 'reversal' and not exists (
            select from settlement.lines again where again.restates = l.reverses)))
"""
_OURS_OF_PROVIDER = """
    select l.id as reference, coalesce(nullif(l.payment_reference, ''), l.payment_id::text) as number,
        case when l.kind = 'payment_refunded' then 'return' else 'premium' end as entry, l.collected as amount,
        (l.occurred_at at time zone 'Europe/Moscow')::date as day
    from settlement.lines l
    where l.kind = '{kind}' and l.month = :month and l.collected <> 0
"""
_OURS = {
    "yookassa.payments": _OURS_OF_PROVIDER.format(kind="payment_captured"),
    "yookassa.refunds": _OURS_OF_PROVIDER.format(kind="payment_refunded"),
}

_KEYED = """(
    select reference, number, case when bare ~ '^[0-9]+$' and length(bare) < :digits then lpad(bare, :digits, '0')
        else bare end as key, entry, amount, day
    from (
        select l.*, coalesce(k.key, upper(translate(l.number, ' -', ''))) as bare
        from ({query}) l left join our_keys k using (number)
    ) bare
)"""
_THEIRS = """(
    select line as reference, number, key, entry, amount, day from settlement.statement_lines
    where statement_id = :id
)"""

_FINDINGS = """
create temporary table findings (
    pass integer, kind text, key text, entry text, number text, our_line uuid, our_amount numeric(14, 2), our_day date,
    their_line integer, their_number text, their_amount numeric(14, 2), their_day date, ordinal integer
) on commit drop
"""

_SIDE = """
create temporary table {name} on commit drop as
select *, row_number() over (partition by key, entry, amount, day order by reference) as n from {source} lines
"""
_LEFT = """
create temporary table left_{name} on commit drop as
select s.* from {name} s where not exists (
    select from {other} o
    where (o.key, o.entry, o.amount, o.day, o.n) = (s.key, s.entry, s.amount, s.day, s.n))
"""
_PAIRS = """
insert into findings (pass, kind, key, entry, number, our_line, our_amount, our_day, their_line, their_number,
    their_amount, their_day)
select :pass, cast(:kind as text), o.key, o.entry, o.number, o.reference, o.amount, o.day, t.reference, t.number,
    t.amount, t.day
from (select *, row_number() over ({window}) as place from left_ours) o
join (select *, row_number() over ({window}) as place from left_theirs) t using ({same}, place)
"""
_TAKE_OURS = "delete from left_ours o using findings f where f.pass = :pass and f.our_line = o.reference"
_TAKE_THEIRS = "delete from left_theirs t using findings f where f.pass = :pass and f.their_line = t.reference"

_ALONE_OURS = """
insert into findings (pass, kind, key, entry, number, our_line, our_amount, our_day)
select 5, case when place = 1 and not exists (select from theirs t where (t.key, t.entry) = (o.key, o.entry))
    then 'only_ours' else 'duplicate_ours' end, key, entry, number, reference, amount, day
from (select *, row_number() over (partition by key, entry order by amount, day, reference) as place from left_ours) o
"""
_ALONE_THEIRS = """
insert into findings (pass, kind, key, entry, number, their_line, their_number, their_amount, their_day)
select 6, case when place = 1 and not exists (select from ours o where (o.key, o.entry) = (t.key, t.entry))
    then 'only_theirs' else 'duplicate_theirs' end, key, entry, number, reference, number, amount, day
from (select *, row_number() over (partition by key, entry order by amount, day, reference) as place from left_theirs) t
"""
_ORDINALS = """
update findings f set ordinal = numbered.ordinal
from (
    select ctid, row_number() over (partition by key, entry, kind order by pass, coalesce(our_amount, their_amount),
        coalesce(our_day, their_day), our_line, their_line) as ordinal from findings
) numbered where numbered.ctid = f.ctid
"""
_PASSES = ((2, "day_differs", "amount"), (3, "amount_differs", "day"), (4, "amount_differs", ""))


class Sums(msgspec.Struct, frozen=True):
    """How much of our books was compared and how much of it agreed: counts and amounts."""

    our_lines: int
    our_total: Any
    agreed: int
    agreed_total: Any


async def compare(connection: Connection, party: str, month: date, statement: UUID, columns: Columns) -> Sums:
    """Fill the temporary table ``findings`` with everything that does not agree."""
    scope = {"party": party, "month": month}
    await connection.execute(sa.text("set local work_mem = '64MB'"))
    await _our_side(connection, _OURS.get(party, _OURS_OF_INSURER), scope, columns.digits)
    await connection.execute(sa.text(_SIDE.format(name="theirs", source=_THEIRS)), {"id": statement})
    for name in ("ours", "theirs"):
        await connection.execute(sa.text(f"analyze {name}"))
    await connection.execute(sa.text(_LEFT.format(name="ours", other="theirs")))
    await connection.execute(sa.text(_LEFT.format(name="theirs", other="ours")))
    await connection.execute(sa.text(_FINDINGS))
    for number, kind, same in _PASSES:
        await _pass(connection, number, kind, same)
        if number == 2 and not columns.compare_days:
            await connection.execute(sa.text("delete from findings"))
    await connection.execute(sa.text(_ALONE_OURS))
    await connection.execute(sa.text(_ALONE_THEIRS))
    await connection.execute(sa.text(_ORDINALS))
    return await _sums(connection)


async def _our_side(connection: Connection, query: str, scope: dict[str, Any], digits: int) -> None:
    """Our lines with keys, in the table ``ours``."""
    await connection.execute(sa.text("create temporary table our_keys (number text, key text) on commit drop"))
    numbers = f"select distinct number from ({query}) lines where not ({_SIMPLE})"  # noqa: S608 - our own text
    driver: Any = (await connection.get_raw_connection()).driver_connection
    async with connection.stream(sa.text(numbers), scope) as found:
        async for numbers_found in found.scalars().partitions(_CHUNK):
            records = [(number, number_key(number)) for number in numbers_found]
            await driver.copy_records_to_table("our_keys", records=records, columns=("number", "key"))
    await connection.execute(sa.text("analyze our_keys"))
    source = _KEYED.format(query=query)
    await connection.execute(sa.text(_SIDE.format(name="ours", source=source)), {**scope, "digits": digits})


async def _pass(connection: Connection, number: int, kind: str, same: str) -> None:
    keys = "key, entry" + (f", {same}" if same else "")
    window = f"partition by {keys} order by amount, day, reference"
    pairs = _PAIRS.format(window=window, same=keys)
    await connection.execute(sa.text(pairs), {"pass": number, "kind": kind})
    await connection.execute(sa.text(_TAKE_OURS), {"pass": number})
    await connection.execute(sa.text(_TAKE_THEIRS), {"pass": number})


async def _sums(connection: Connection) -> Sums:
    statement = sa.text(
        "select (select count(*) from ours), (select coalesce(sum(amount), 0) from ours),"
        " (select count(*) from ours) - count(our_line),"
        " (select coalesce(sum(amount), 0) from ours) - coalesce(sum(our_amount), 0) from findings"
    )
    return Sums(*(await connection.execute(statement)).one())
