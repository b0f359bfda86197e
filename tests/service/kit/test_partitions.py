"""Partitions are there before they are needed and gone when nobody needs them, whoever looks after them."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from insuretech.kit.clock import FixedClock
from insuretech.kit.db import Database
from insuretech.kit.ids import first_id_at, made_at, new_id
from insuretech.kit.messaging import first_receipt, messaging_tables
from insuretech.kit.partition_keeper import PartitionKeeper
from insuretech.kit.partitions import Partition
from insuretech.kit.retention import Retention, messaging_plans

DAY = timedelta(days=1)
tables = messaging_tables(sa.MetaData(schema="documents"))


@pytest.fixture
def clock() -> FixedClock:
    """Starts at the real time, as the migration made partitions for that."""
    return FixedClock(datetime.now(UTC))


@pytest.fixture
def owner(database: Callable[[str], Database]) -> Database:
    """A service with partitions and nothing else of interest."""
    return database("documents")


@pytest.fixture
def keeper(owner: Database, clock: FixedClock) -> PartitionKeeper:
    """Looks after outbox and inbox with the retention of the defaults."""
    return PartitionKeeper(owner, messaging_plans(Retention()), clock)


def id_at(moment: datetime) -> UUID:
    """A UUIDv7 as it would have been made at another time."""
    return UUID(int=first_id_at(moment).int | new_id().int & (1 << 80) - 1)


async def add_event(owner: Database, event: UUID, *, published: datetime | None = None) -> None:
    """Put an event into the outbox as its transaction would."""
    row = {"id": event, "type": "t", "topic": "t", "key": "k", "occurred_at": datetime.now(UTC), "trace_id": ""}
    async with owner.transaction() as connection:
        await connection.execute(sa.insert(tables.outbox).values(**row, payload=b"{}", published_at=published))


async def parts(keeper: PartitionKeeper, table: str = "outbox") -> list[Partition]:
    """The partitions of one table."""
    return [part for part in await keeper.list() if part.table == f"documents.{table}"]


async def place_of(owner: Database, event: UUID, table: sa.Table = tables.outbox, column: str = "id") -> str:
    """The partition a row lies in."""
    which = sa.text(f"select tableoid::regclass::text from {table.fullname} where {column} = :id")  # noqa: S608
    async with owner.reading() as connection:
        found: str = (await connection.execute(which, {"id": event})).scalar_one()
    return found.rpartition(".")[2]


async def receive(owner: Database, event: UUID, consumer: str = "c") -> bool:
    """Take an event; whether it is new to the consumer."""
    async with owner.transaction() as connection:
        return await first_receipt(connection, tables.inbox, consumer, event)


async def test_there_are_partitions_for_the_coming_days(keeper: PartitionKeeper, clock: FixedClock) -> None:
    """Otherwise events of tomorrow end up where they can only be deleted row by row."""
    for _ in range(40):
        clock.advance(DAY)
        await keeper.maintain()

        spans = [part.span for part in await parts(keeper) if not part.default]
        assert all(any(span.holds(clock.now() + ahead * DAY) for span in spans) for ahead in range(-1, 3))
        assert len(spans) <= 7 + 1 + 3 + 2


async def test_what_was_published_goes_after_its_retention(
    keeper: PartitionKeeper, owner: Database, clock: FixedClock
) -> None:
    """Otherwise the outbox grows for ever."""
    event = id_at(clock.now())
    await add_event(owner, event, published=clock.now())

    clock.advance(7 * DAY)
    await keeper.maintain()
    place = await place_of(owner, event)
    clock.advance(DAY)
    kept = (await keeper.maintain())[0]

    assert place in kept.dropped
    assert place not in {part.name for part in await parts(keeper)}


async def test_an_event_nobody_took_keeps_its_partition(
    keeper: PartitionKeeper, owner: Database, clock: FixedClock
) -> None:
    """Otherwise an outage of Kafka as long as the retention loses what happened."""
    event = id_at(clock.now())
    await add_event(owner, event)
    place = await place_of(owner, event)
    clock.advance(100 * DAY)

    kept = (await keeper.maintain())[0]
    assert kept.held == [place]
    assert await place_of(owner, event) == place

    async with owner.transaction() as connection:
        await connection.execute(sa.update(tables.outbox).values(published_at=clock.now()))
    kept = (await keeper.maintain())[0]
    assert (kept.held, place in kept.dropped) == ([], True)


async def test_rows_of_a_day_without_partition_are_put_in_their_place(
    keeper: PartitionKeeper, owner: Database, clock: FixedClock
) -> None:
    """Otherwise a few days without anybody looking after partitions leave rows that block the new ones."""
    clock.advance(10 * DAY)
    events = [id_at(clock.now() - back * DAY) for back in (0, 1, 3)]
    for event in events:
        await add_event(owner, event)
    assert {await place_of(owner, event) for event in events} == {"outbox_default"}

    kept = (await keeper.maintain())[0]

    assert kept.out_of_place == 0
    for event in events:
        assert await place_of(owner, event) == f"outbox_{made_at(event):%Y%m%d}"


async def test_rows_that_fit_nowhere_are_told_of_and_kept(
    keeper: PartitionKeeper, owner: Database, clock: FixedClock
) -> None:
    """Otherwise a clock that is wrong goes unnoticed, or its events are lost."""
    await keeper.maintain()
    assert keeper.warnings() == []
    await add_event(owner, far := id_at(clock.now() + 400 * DAY))
    await add_event(owner, none := uuid4())

    kept = (await keeper.maintain())[0]

    assert kept.out_of_place == 2
    assert keeper.warnings() == ["partition:documents.outbox"]
    assert {await place_of(owner, far), await place_of(owner, none)} == {"outbox_default"}
    async with owner.transaction() as connection:
        await connection.execute(sa.update(tables.outbox).values(published_at=clock.now()))
    clock.advance(8 * DAY)
    assert (await keeper.maintain())[0].out_of_place == 0
    assert keeper.warnings() == []


async def test_an_event_from_before_a_border_takes_effect_once(
    keeper: PartitionKeeper, owner: Database, clock: FixedClock
) -> None:
    """Otherwise whoever gets an event again on the next day pays twice."""
    event = id_at(clock.now())
    assert await receive(owner, event)
    for _ in range(16):
        clock.advance(DAY)
        await keeper.maintain()
        assert not await receive(owner, event)


async def test_an_event_later_than_any_partition_takes_effect_once(
    keeper: PartitionKeeper, owner: Database, clock: FixedClock
) -> None:
    """Otherwise an event that waited in its outbox for months, and comes twice, counts twice."""
    await keeper.maintain()
    event = id_at(clock.now() - 60 * DAY)

    assert await receive(owner, event)
    await keeper.maintain()
    assert not await receive(owner, event)

    clock.advance(17 * DAY)
    await keeper.maintain()
    async with owner.reading() as connection:
        assert (await connection.execute(sa.select(sa.func.count()).select_from(tables.inbox))).scalar_one() == 0


async def test_many_may_look_after_the_same_tables(owner: Database, clock: FixedClock) -> None:
    """Otherwise replicas would need somebody to tell them who is to do it."""
    keepers = [PartitionKeeper(owner, messaging_plans(Retention()), clock) for _ in range(3)]
    for _ in range(4):
        clock.advance(5 * DAY)
        rounds = await asyncio.gather(*(keeper.maintain() for keeper in keepers))
        made = [name for kept in rounds for name in kept[0].made]
        assert made
        assert len(made) == len(set(made))
    assert not any(kept.out_of_place for kept in await keepers[0].maintain())


async def test_a_long_transaction_is_not_waited_for(
    keeper: PartitionKeeper, owner: Database, clock: FixedClock
) -> None:
    """Otherwise dropping a partition queues up behind somebody's report, and everybody else behind the drop."""
    await keeper.maintain()
    clock.advance(10 * DAY)
    async with owner.transaction() as reading:
        await reading.execute(sa.text("set local idle_in_transaction_session_timeout = 0"))
        await reading.execute(sa.select(sa.func.count()).select_from(tables.outbox))
        async with asyncio.timeout(200):
            kept = (await keeper.maintain())[0]
        assert (kept.postponed, kept.dropped) == (True, [])
        async with asyncio.timeout(60):
            await add_event(owner, id_at(clock.now()))

    kept = (await keeper.maintain())[0]
    assert kept.dropped
    assert not kept.postponed


async def test_days_may_become_hours(owner: Database, clock: FixedClock, keeper: PartitionKeeper) -> None:
    """Otherwise a growing marketplace could not change its mind about how long a partition is."""
    await keeper.maintain()
    now = clock.now()
    hourly = PartitionKeeper(owner, messaging_plans(Retention(period=timedelta(hours=1))), clock)

    for _ in range(60):
        clock.advance(timedelta(hours=2))
        await hourly.maintain()
        await add_event(owner, event := id_at(clock.now()))
        place = await place_of(owner, event)
        assert place != "outbox_default"
        last_hours = clock.now() - now > 4 * DAY
        assert not last_hours or place == f"outbox_{clock.now():%Y%m%d_%H}00".removesuffix("_0000")
