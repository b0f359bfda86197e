"""What a million orders leave behind: outbox, inbox and quotes over simulated weeks, marked by the relay and dropped.

Rows are made by PostgreSQL itself, a day at a time, as many a day as thirty days share; the keeper goes through the
days with a clock of its own. A durable server with the settings of ``make run`` works on them, autovacuum and all.
"""

# ruff: noqa: S608 - names and numbers of ours

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import asyncpg
from rich.progress import Progress
from sqlalchemy.engine import URL, make_url

from bench.report import Figure
from bench.stage import console
from insuretech.compose.database import create_database
from insuretech.kit.clock import FixedClock
from insuretech.kit.db import Database
from insuretech.kit.embedded_postgres import EmbeddedPostgres
from insuretech.kit.logging import configure_logging
from insuretech.kit.migrations import migrate
from insuretech.kit.outbox_floor import OutboxFloor
from insuretech.kit.partition_keeper import PartitionKeeper
from insuretech.kit.relay_statements import RANGES, RelayStatements
from insuretech.kit.retention import Retention, messaging_plans
from insuretech.kit.roles import service_url
from insuretech.orders.tables import messaging
from insuretech.quotes.tables import partition_plans

Result = TypeVar("Result")

DAYS = 30
KEPT = timedelta(days=26)  # thirty partitions with those ahead
BATCH = 500
EVENTS_AN_ORDER = 5  # placed, reserved, paid, issued, closed
RECEIPTS_AN_ORDER = 10
LINES_A_QUOTE = 10
OFFERS_A_QUOTE = 7

_ID = """(lpad(to_hex((extract(epoch from $1::timestamptz) * 1000)::bigint + {each} * 86400000 / $2), 12, '0') || '7'
    || substr(md5(random()::text), 1, 3) || '8' || substr(md5(random()::text), 1, 15))::uuid"""


def _made(each: str = "n") -> str:
    return _ID.format(each=each)


_EVENTS = f"""
    insert into orders.outbox (id, type, topic, key, occurred_at, trace_id, payload)
    select {_made()}, 'orders.order.v1.placed', 'orders.order.v1', (n / {EVENTS_AN_ORDER})::text, now(),
        repeat('0', 32), convert_to(repeat('x', 400), 'UTF8')
    from generate_series(0, $2::bigint - 1) n
"""
_RECEIPTS = f"""
    insert into orders.inbox (consumer, event_id) select 'orders.offers', {_made()}
    from generate_series(0, $2::bigint - 1) n
"""
_QUOTES = f"""
    with made as (
        insert into quotes.quotes
        select {_made()}, $1, repeat('o', 70), 'osago', '1', 'completed', convert_to(repeat('a', 900), 'UTF8'),
            'e', 1, 2, 'RUB', $1::date, $1::date, $1 + interval '1 day', 0, {OFFERS_A_QUOTE}, {LINES_A_QUOTE + 1}
        from generate_series(0, $2::bigint - 1) n returning id
    ),
    asked as (
        insert into quotes.lines (id, quote_id, insurer, status, deadline, ended_at)
        select {_made("n")}, made.id, 'insurer' || n, 'offered', $1, $1
        from made, generate_series(1, {LINES_A_QUOTE}) n
    ),
    offered as (
        insert into quotes.offers
        select {_made("n")}, made.id, gen_random_uuid(), 'insurer' || n, 'N-1', 5000, 'RUB', 'expired', $1, $1
        from made, generate_series(1, {OFFERS_A_QUOTE}) n
    )
    insert into quotes.quote_events
    select made.id, n, convert_to(repeat('e', 150), 'UTF8') from made, generate_series(1, {LINES_A_QUOTE + 1}) n
"""
_WAITS = "published_at is null"
_STATE = """
    select sum(n_dead_tup)::bigint as dead, sum(n_live_tup)::bigint as live, sum(autovacuum_count)::bigint as vacuums,
        sum(pg_total_relation_size(relid))::bigint as bytes, count(*) as tables
    from pg_stat_user_tables where schemaname in ('orders', 'quotes')
"""


@dataclass
class Run:
    """What was seen on the way; times in milliseconds."""

    looks: list[float] = field(default_factory=list)
    marks: list[float] = field(default_factory=list)
    rounds: list[float] = field(default_factory=list)
    dropped: int = 0
    marked: int = 0
    most_dead: int = 0


async def measure(orders: int) -> list[Figure]:
    """Figures over ``orders`` orders in thirty simulated days and ten more, in which nobody buys."""
    configure_logging("ERROR")
    with TemporaryDirectory(prefix="insuretech-bench-") as folder:
        await asyncio.to_thread(Path(folder).chmod, 0o755)  # PostgreSQL may have to run as another user than root
        with EmbeddedPostgres(Path(folder) / "postgres") as server:
            admin = make_url(server.dsn(database="bench"))
            await create_database(admin)
            await migrate(admin, ["orders", "quotes"])
            return await _measure(admin, orders)


async def _measure(admin: URL, orders: int) -> list[Figure]:
    run, a_day = Run(), max(1, orders // DAYS)
    connection = await asyncpg.connect(
        host=str(admin.query["host"]), user=admin.username, database=admin.database, server_settings={"jit": "off"}
    )
    owners = {name: Database(name, service_url(admin, name)) for name in ("orders", "quotes")}
    clock = FixedClock(datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1))
    keepers = [
        PartitionKeeper(owners["orders"], messaging_plans(Retention(outbox=KEPT, topics=timedelta())), clock),
        PartitionKeeper(owners["quotes"], partition_plans(kept=timedelta(days=14), period=timedelta(days=1)), clock),
    ]
    relay = _Relay(connection, run)
    try:
        with Progress(console=console, transient=True) as progress:
            for _ in progress.track(range(DAYS), description=f"{orders:,} orders"):
                await _keep(keepers, run)
                await connection.execute(_RECEIPTS, clock.now(), a_day * RECEIPTS_AN_ORDER, timeout=3600)
                await connection.execute(_QUOTES, clock.now(), a_day, timeout=3600)
                for _ in range(4):
                    await connection.execute(_EVENTS, clock.now(), a_day * EVENTS_AN_ORDER // 4, timeout=3600)
                    await relay.until_empty()
                state = await connection.fetchrow(_STATE)
                run.most_dead = max(run.most_dead, state["dead"] if state else 0)
                clock.advance(timedelta(days=1))
        await asyncio.sleep(1.5)  # statistics are told a second late
        before = await connection.fetchrow(_STATE)
        limits = await _limits(connection, clock.now())
        for _ in range(10):
            clock.advance(timedelta(days=4))
            await _keep(keepers, run)
        await asyncio.sleep(1.5)
        after = await connection.fetchrow(_STATE)
        return _figures(orders, run, limits, before, after)
    finally:
        await connection.close()
        for owner in owners.values():
            await owner.dispose()


class _Relay:
    """What the relay to Kafka says to the database, without Kafka."""

    def __init__(self, connection: "asyncpg.Connection[Any]", run: Run) -> None:
        self._connection = connection
        self._run = run
        self._sql = RelayStatements(messaging)
        self._floor = OutboxFloor(messaging.outbox)

    async def until_empty(self) -> None:
        every = list(range(RANGES))
        while True:
            if self._floor.is_due(time.monotonic()):
                self._floor.learn((await self._connection.fetch(self._floor.sql))[0])
            look = self._connection.fetch(self._sql.waiting, every, BATCH, self._floor.value)
            rows = await _timed(self._run.looks, look)
            if not rows:
                return
            ids = [row["id"] for row in rows]
            await _timed(self._run.marks, self._connection.execute(self._sql.mark, ids))
            self._run.marked += len(ids)


async def _timed(into: list[float], work: Awaitable[Result]) -> Result:
    began = time.perf_counter()
    found = await work
    into.append((time.perf_counter() - began) * 1000)
    return found


async def _keep(keepers: list[PartitionKeeper], run: Run) -> None:
    """One round of housekeeping for all tables."""
    for keeper in keepers:
        began = time.perf_counter()
        run.dropped += sum(len(kept.dropped) for kept in await keeper.maintain())
        run.rounds.append((time.perf_counter() - began) * 1000)


@dataclass(frozen=True)
class Limits:
    """What the same is like without partitions, in milliseconds; ``ours`` beside ``plain`` and ``by_rows``."""

    looks: list[float]
    plain_looks: list[float]
    drop: float
    by_rows: float


async def _limits(connection: "asyncpg.Connection[Any]", now: datetime) -> Limits:
    """A day of the outbox as a plain table: looking for what waits, deleting it row by row, dropping it."""
    run = _script(connection)
    day = await connection.fetchval(
        "select inhrelid::regclass::text from pg_inherits where inhparent = 'orders.outbox'::regclass "
        "order by pg_relation_size(inhrelid) desc limit 1"
    )
    for name in ("plain", "rows", "whole"):
        await run(f"create table public.{name} (like {day} including all)")
        await run(f"insert into public.{name} overriding system value select * from {day}")
        await run(f"vacuum analyze public.{name}")
    await connection.execute(_EVENTS, now, BATCH)
    await run(f"insert into public.plain overriding system value select * from orders.outbox where {_WAITS}")
    looks: list[float] = []
    plain_looks: list[float] = []
    sql, floor = RelayStatements(messaging), OutboxFloor(messaging.outbox)
    for _ in range(100):
        if floor.is_due(time.monotonic()):
            floor.learn((await connection.fetch(floor.sql))[0])
        every = list(range(RANGES))
        await _timed(looks, connection.fetch(sql.waiting, every, BATCH, floor.value))
        plain = sql.waiting.replace(messaging.outbox.fullname, "public.plain")
        await _timed(plain_looks, connection.fetch(plain, every, BATCH, 0))
    times: list[float] = []
    await _timed(times, run("delete from public.rows"))
    await _timed(times, run("vacuum public.rows"))
    drop: list[float] = []
    await _timed(drop, run("drop table public.whole"))
    await run("drop table public.plain, public.rows")
    return Limits(looks, plain_looks, drop[0], sum(times))


def _script(connection: "asyncpg.Connection[Any]") -> Callable[[str], Awaitable[str]]:
    return lambda sql: connection.execute(sql, timeout=3600)


def _figures(orders: int, run: Run, limits: Limits, before: Any, after: Any) -> list[Figure]:
    marks = sorted(run.marks)
    look, plain = median(limits.looks), median(limits.plain_looks)
    rows = f"{before['live'] / 1e6:.1f} million rows in {before['tables']} tables, {before['bytes'] / 1e9:.1f} GB"
    return [
        Figure(
            name="dead rows left by orders whose partitions are gone",
            value=after["dead"],
            value_unit="rows",
            direction="at most",
            aim=1000,
            ours=after["dead"],
            limit=before["dead"],
            unit="rows",
            notes=f"{orders:,} orders over {DAYS} days: {rows}; at most {run.most_dead:,} dead at a time, "
            f"{before['vacuums']} autovacuums; {run.dropped} partitions dropped, {after['bytes'] / 1e6:.0f} MB left",
        ),
        Figure(
            name="letting a day of the outbox go",
            value=limits.drop / limits.by_rows,
            value_unit="×",
            direction="at most",
            aim=0.5,
            ours=limits.drop,
            limit=limits.by_rows,
            unit="ms",
            notes=f"dropping the table against delete and vacuum of the same rows; a round of housekeeping over all "
            f"tables of a service {median(run.rounds):.0f} ms",
        ),
        Figure(
            name="a relay's look over thirty partitions",
            value=look / plain,
            value_unit="×",
            direction="at most",
            aim=2.0,
            ours=look,
            limit=plain,
            unit="ms",
            notes=f"{BATCH} events that wait, against a plain table just vacuumed; while days went by {len(run.looks)} "
            f"looks of {median(run.looks):.1f} ms and marks of {median(marks):.1f} ms",
            runs=[median(part) for part in _fifths(run.looks)],
        ),
    ]


def _fifths(looks: list[float]) -> list[list[float]]:
    """In the order of time, to see whether they grow slower."""
    size = max(1, len(looks) // 5)
    return [looks[start : start + size] for start in range(0, size * 5, size) if looks[start : start + size]]
