"""A database from before partitions comes through with every row, under the code that runs on it meanwhile."""

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import asyncpg
import pytest
from sqlalchemy.engine import URL

from insuretech.kit.db import Database
from insuretech.kit.ids import first_id_at, new_id
from insuretech.kit.partitioning import partition_messaging

Databases = Callable[[str], Database]

# As revision 0001 made them before outbox and inbox were partitioned.
BEFORE = """
    drop table orders.outbox, orders.inbox;
    create table orders.outbox (
        position bigint generated always as identity, id uuid not null, type text not null, topic text not null,
        key text not null, occurred_at timestamptz not null, trace_id text not null, payload bytea not null,
        published_at timestamptz, primary key (position), unique (id)
    );
    create index ix_outbox_unpublished on orders.outbox (position) where published_at is null;
    create trigger outbox_wake after insert on orders.outbox
        for each statement execute function orders.outbox_wake();
    create table orders.inbox (
        consumer text not null, event_id uuid not null, received_at timestamptz default now() not null,
        primary key (consumer, event_id)
    );
"""

# As the version before says them.
ADD = """
    insert into orders.outbox (id, type, topic, key, occurred_at, trace_id, payload)
    values ($1, 'type', 'topic', $2, now(), '', '{}')
"""
NEXT = """
    select id, type, topic, key, occurred_at, trace_id, payload from orders.outbox
    where published_at is null and key <> all ($1::text[]) order by position limit 200
"""
MARK = "update orders.outbox set published_at = now() where id = any ($1::uuid[])"
RECEIPT = "insert into orders.inbox (consumer, event_id) values ($1, $2) on conflict do nothing"


@pytest.fixture
async def old(admin_url: URL) -> AsyncIterator[asyncpg.Connection]:
    """The version before, at work on its own schema, with statements it has prepared."""
    connection = await asyncpg.connect(
        host=str(admin_url.query["host"]), user="orders", database=admin_url.database, statement_cache_size=100
    )
    await connection.execute(BEFORE)
    yield connection
    await connection.close()


async def upgrade(database: Databases) -> None:
    """What revision 0002 of every service does."""
    async with database("orders").transaction() as connection:
        await connection.run_sync(partition_messaging, "orders")


async def waiting(connection: asyncpg.Connection) -> list[UUID]:
    """What the relay of the version before would hand over next."""
    return [row["id"] for row in await connection.fetch(NEXT, [])]


async def test_events_that_wait_come_through(old: asyncpg.Connection, database: Databases) -> None:
    """Otherwise an upgrade loses orders' events, or delivers them in another order."""
    long_ago, tomorrow = datetime.now(UTC) - timedelta(days=400), datetime.now(UTC) + timedelta(days=1)
    ids = [first_id_at(long_ago), uuid4(), first_id_at(tomorrow), new_id(), new_id(), new_id()]
    for number, event in enumerate(ids):
        await old.execute(ADD, event, f"key{number}")
    await old.execute(MARK, [ids[3]])

    await upgrade(database)

    left = [event for event in ids if event != ids[3]]
    assert await waiting(old) == left
    assert await old.fetchval("select count(*) from orders.outbox") == len(ids)
    await old.execute(ADD, new := new_id(), "key")
    assert await waiting(old) == [*left, new]


async def test_the_version_before_works_on_during_and_after_it(old: asyncpg.Connection, database: Databases) -> None:
    """Otherwise every deployment is an outage."""
    first, second = new_id(), new_id()
    woken: list[object] = []
    await old.add_listener("orders_outbox", lambda *told: woken.append(told))
    for statement, values in ((ADD, (first, "a")), (RECEIPT, ("orders.offers", first)), (MARK, ([first],))):
        for _ in range(7 if statement is MARK else 1):  # often enough for a plan that is kept
            await old.execute(statement, *values)
    assert await waiting(old) == []

    await upgrade(database)

    assert await old.execute(ADD, second, "b") == "INSERT 0 1"
    assert await waiting(old) == [second]
    assert await old.execute(MARK, [second]) == "UPDATE 1"
    assert await waiting(old) == []
    assert await old.execute(RECEIPT, "orders.offers", first) == "INSERT 0 0"
    assert await old.execute(RECEIPT, "orders.offers", second) == "INSERT 0 1"
    assert len(woken) == 2


async def test_a_second_migration_finds_everything_done(old: asyncpg.Connection, database: Databases) -> None:
    """Otherwise replicas that start together undo each other's work."""
    await upgrade(database)
    await upgrade(database)

    partitions = await old.fetch(
        "select inhrelid::regclass::text from pg_inherits where inhparent = $1::regclass", "orders.outbox"
    )
    assert "outbox_before" in {row[0].rpartition(".")[2] for row in partitions}
