"""Tables in partitions by time: made ahead, and dropped whole when what is in them is past its retention.

The partition key is a UUIDv7, so that a range of time is a range of ids and needs no further column. Whatever fits
nowhere (an id that is no UUIDv7, a clock that is wrong, days nobody made partitions for) lies in a default partition,
which is empty as long as all is well.

Any number of processes may look after the same table: each step is one transaction under an advisory lock, looks at
what there is, and waits at most ``LOCK_LIMIT`` for locks, since statements of others queue up behind it.
"""

# ruff: noqa: S608 - names of tables cannot be parameters; all of them are ours

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any, TypeVar
from uuid import UUID

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg
from sqlalchemy.engine import Connection

from insuretech.kit.ids import first_id_at, made_at

LOCK_LIMIT = timedelta(milliseconds=200)
MANY = 1000
"""Rows out of place are counted up to this number and sorted in at most so many at a time."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MIDNIGHT = timedelta()
_HOUR = timedelta(hours=1)
_LOCKS = 0x5EA7
"""Namespace of the advisory locks."""

Result = TypeVar("Result")


@dataclass(frozen=True)
class Span:
    """A range of time from ``lower`` up to but not including ``upper``; None is without end."""

    lower: datetime | None
    upper: datetime | None

    def holds(self, moment: datetime) -> bool:
        return (self.lower is None or self.lower <= moment) and (self.upper is None or moment < self.upper)


@dataclass(frozen=True)
class Plan:
    """How a table is partitioned and how long its rows stay.

    ``column`` is the UUIDv7 of the key. Rows for which ``held`` (SQL over the table's columns and ``:now``) is true
    keep their partition from being dropped, which is ``trouble`` unless it is but a matter of time. ``rescue`` is SQL
    that copies what must stay out of the partition named ``{partition}`` before it goes. ``strays`` is the column whose
    time tells the age of rows in the default partition, where the id may tell nothing; without one the id has to do.
    ``storage`` are parameters of each partition.
    """

    table: str
    column: str
    kept: timedelta
    period: timedelta = timedelta(days=1)
    held: str = ""
    trouble: bool = True
    rescue: str = ""
    strays: str = ""
    storage: str = ""

    @property
    def ahead(self) -> timedelta:
        """How far ahead partitions are made: for as long those who make them may be away."""
        return max(timedelta(days=1), 3 * self.period)


class Ending(Enum):
    """What became of a partition past its retention; ``GONE``: somebody else was quicker."""

    DROPPED = "dropped"
    HELD = "held"
    GONE = "gone"


class Partition(msgspec.Struct, frozen=True, kw_only=True):
    """A partition as the catalogue of the database knows it; ``rows`` and ``dead_rows`` are its estimates."""

    table: str
    name: str
    lower: datetime | None
    upper: datetime | None
    default: bool
    bytes: int
    rows: int
    dead_rows: int

    @property
    def span(self) -> Span:
        return Span(self.lower, self.upper)


@dataclass(frozen=True)
class Borders:
    """Partitions by periods counted from 1970, whatever periods those that exist were made with."""

    period: timedelta

    def before(self, moment: datetime) -> datetime:
        """The last border up to a moment."""
        return moment - (moment - _EPOCH) % self.period

    def missing(self, existing: Sequence[Span], start: datetime, end: datetime) -> list[Span]:
        """What must be made so that every moment from the period of ``start`` up to ``end`` has a partition."""
        found = []
        cursor = self.before(start)
        edges = sorted(span.lower for span in existing if span.lower is not None)
        while cursor < end:
            taken = next((span for span in existing if span.holds(cursor)), None)
            if taken is not None:
                if taken.upper is None:
                    break
                cursor = taken.upper
                continue
            upper = self.before(cursor) + self.period
            upper = min([upper, *(edge for edge in edges if edge > cursor)])
            found.append(Span(cursor, upper))
            cursor = upper
        return found


def name_of(table: str, span: Span) -> str:
    """The name of a partition: its first moment in UTC."""
    if span.lower is None:
        return f"{table}_before"
    whole_day = span.lower - span.lower.replace(hour=0, minute=0, second=0, microsecond=0) == _MIDNIGHT
    return f"{table}_{span.lower:{'%Y%m%d' if whole_day else '%Y%m%d_%H%M'}}"


def default_of(table: str) -> str:
    """The name of the default partition."""
    return f"{table}_default"


# ---------------------------------------------------------------- looking

_PARTITIONS = sa.text(
    """
    select part.relname as name, pg_get_expr(part.relpartbound, part.oid) as bounds,
        pg_total_relation_size(part.oid) as bytes, coalesce(told.n_live_tup, 0) as rows,
        coalesce(told.n_dead_tup, 0) as dead_rows
    from pg_inherits
    join pg_class part on part.oid = inhrelid
    left join pg_stat_user_tables told on told.relid = part.oid
    where inhparent = to_regclass(:table)
    """
)
_BOUNDS = re.compile(r"FROM \((?:'([0-9a-f-]{36})'|MINVALUE)\) TO \((?:'([0-9a-f-]{36})'|MAXVALUE)\)")


def partitions(connection: Connection, schema: str, table: str) -> list[Partition]:
    """The partitions of a table by their time, the default one last.

    One that another process drops while we look is listed by the snapshot, but has no bounds any more: it is left out.
    """
    found = [
        _partition(f"{schema}.{table}", dict(row))
        for row in connection.execute(_PARTITIONS, {"table": f'"{schema}"."{table}"'}).mappings()
        if row["bounds"] is not None
    ]
    return sorted(found, key=lambda part: (part.default, part.lower or _EPOCH))


def _partition(table: str, row: dict[str, Any]) -> Partition:
    bounds = _BOUNDS.search(row.pop("bounds"))
    lower, upper = (made_at(UUID(edge)) if edge else None for edge in (bounds.groups() if bounds else (None, None)))
    return Partition(table=table, lower=lower, upper=upper, default=bounds is None, **row)


# ---------------------------------------------------------------- making


@dataclass(frozen=True)
class Shelf:
    """One partitioned table on a connection whose transaction is the caller's. Names are ours, never a caller's."""

    connection: Connection
    schema: str
    plan: Plan

    def take_lock(self) -> bool:
        """Have the table to ourselves among those who look after it, until the end of the transaction."""
        taken = self._run(
            "select pg_try_advisory_xact_lock(:space, hashtext(:name))",
            {"space": _LOCKS, "name": f"{self.schema}.{self.plan.table}"},
        ).scalar()
        self._run(f"set local lock_timeout = {LOCK_LIMIT // timedelta(milliseconds=1)}")
        return bool(taken)

    def existing(self) -> list[Partition]:
        return partitions(self.connection, self.schema, self.plan.table)

    def make_default(self) -> None:
        """The partition of what fits nowhere."""
        self._run(
            f"create table if not exists {self._name(default_of(self.plan.table))} "
            f"partition of {self._name(self.plan.table)} default"
        )

    def make_current(self, now: datetime) -> None:
        """Make what is missing for this very hour; enough for a migration, which everybody waits for."""
        spans = [part.span for part in self.existing() if not part.default]
        for span in Borders(self.plan.period).missing(spans, now, now + _HOUR):
            self._make(span)

    def make_missing(self, now: datetime) -> list[str]:
        """Make what is missing for the last period, for those ahead, and for rows in the default partition.

        Rows older than the retention, or further in the future, stay there: the former go with ``forget_strays``, the
        latter are for a person to look at.
        """
        plan, borders = self.plan, Borders(self.plan.period)
        spans = [part.span for part in self.existing() if not part.default]
        wanted = borders.missing(spans, now - plan.period, now + plan.ahead)
        for moment in self._moments_of_strays(now - plan.kept, now + plan.ahead):
            wanted += borders.missing([*spans, *wanted], moment, moment + timedelta(milliseconds=1))
        return [self._make(span) for span in wanted]

    def _make(self, span: Span) -> str:
        """Make one partition beside the table and attach it: this blocks nobody who reads or writes elsewhere in it."""
        name, fallback = name_of(self.plan.table, span), default_of(self.plan.table)
        lower, upper = (str(first_id_at(edge)) if edge else "" for edge in (span.lower, span.upper))
        within = f"{self.plan.column} >= '{lower}' and {self.plan.column} < '{upper}'"
        storage = f" with ({self.plan.storage})" if self.plan.storage else ""
        self._run(
            f"create table {self._name(name)} "
            f"(like {self._name(self.plan.table)} including defaults including constraints){storage}"
        )
        self._run(f"lock table {self._name(fallback)} in access exclusive mode")
        self._run(
            f"with strays as (delete from {self._name(fallback)} where {within} returning *) "
            f"insert into {self._name(name)} select * from strays"
        )
        self._run(
            f"alter table {self._name(self.plan.table)} attach partition {self._name(name)} "
            f"for values from ('{lower}') to ('{upper}')"
        )
        return name

    # ------------------------------------------------------------ dropping

    def expired(self, now: datetime) -> list[Partition]:
        """Partitions whose last moment is past the retention."""
        return [part for part in self.existing() if part.upper is not None and part.upper <= now - self.plan.kept]

    def rescue(self, part: Partition) -> bool:
        """Copy what must stay; a step of its own, as it may take longer than others should wait."""
        if part.name in {one.name for one in self.existing()}:
            self._run(self.plan.rescue.format(partition=self._name(part.name)))
        return True

    def drop(self, part: Partition, now: datetime) -> Ending:
        """Drop a partition, rows and files, unless rows hold it that may not go yet."""
        if part.name not in {one.name for one in self.existing()}:
            return Ending.GONE
        if self._is_held(part, now):
            return Ending.HELD
        # The table before the partition, as all others do: a row may come to be held between a look and the drop.
        self._run(f"lock table only {self._name(self.plan.table)} in access exclusive mode")
        if self._is_held(part, now):
            return Ending.HELD
        self._run(f"drop table {self._name(part.name)}")
        return Ending.DROPPED

    def _is_held(self, part: Partition, now: datetime) -> bool:
        if not self.plan.held:
            return False
        statement = f"select exists (select from {self._name(part.name)} where {self.plan.held})"
        return bool(self._run(statement, self._at(now)).scalar())

    def _at(self, now: datetime) -> dict[str, datetime]:
        return {"now": now} if ":now" in self.plan.held else {}

    # ------------------------------------------------------------ the default partition

    def strays(self) -> int:
        """How many rows are out of place, up to ``MANY``."""
        found = f"select from {self._name(default_of(self.plan.table))} limit {MANY}"
        return int(self._run(f"select count(*) from ({found}) as found").scalar_one())

    def forget_strays(self, now: datetime) -> int:
        """Delete rows out of place that are past the retention; how many."""
        may_go = f" and not ({self.plan.held})" if self.plan.held else ""
        before = now - self.plan.kept
        is_old = f"{self.plan.strays or self.plan.column} < :before"
        statement = f"delete from {self._name(default_of(self.plan.table))} where {is_old}{may_go}"
        return self._run(
            statement, {"before": before if self.plan.strays else first_id_at(before), **self._at(now)}
        ).rowcount

    def _moments_of_strays(self, start: datetime, end: datetime) -> Iterable[datetime]:
        column = self.plan.column
        ids = self.connection.execute(
            sa.text(
                f"select {column} from {self._name(default_of(self.plan.table))} "
                f"where {column} >= :start and {column} < :end order by {column} limit {MANY}"
            ).bindparams(
                sa.bindparam("start", first_id_at(start), pg.UUID(as_uuid=True)),
                sa.bindparam("end", first_id_at(end), pg.UUID(as_uuid=True)),
            )
        )
        return [made_at(found) for found in ids.scalars()]

    # ------------------------------------------------------------ a table that was there before

    def take_in(self, name: str, now: datetime) -> None:
        """Attach a table of the same columns as the partition of everything up to the next border.

        Rows of the future are put where they belong first. Everything is read once, to see that it fits.
        """
        upper = str(first_id_at(Borders(self.plan.period).before(now + self.plan.period)))
        future = f"{self.plan.column} >= '{upper}'"
        self._run(
            f"with future as (delete from {self._name(name)} where {future} returning *) "
            f"insert into {self._name(self.plan.table)} overriding system value select * from future"
        )
        self._run(
            f"alter table {self._name(self.plan.table)} attach partition {self._name(name)} "
            f"for values from (minvalue) to ('{upper}')"
        )

    # ------------------------------------------------------------ SQL

    def _name(self, table: str) -> str:
        return f'"{self.schema}"."{table}"'

    def _run(self, statement: str, values: Mapping[str, object] | None = None) -> sa.CursorResult[Any]:
        return self.connection.execute(sa.text(statement), values or {})
