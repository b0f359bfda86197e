"""Looks for waiting events pass over what was published long ago, and over nothing else."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa

from insuretech.kit.db import Connection, Database
from insuretech.kit.messaging import Outbox
from insuretech.kit.outbox import publish_again
from insuretech.kit.outbox_floor import OutboxFloor
from tests.service.kit.town import ResidentMoved, Town, messaging


class Watched:
    """A floor and the outbox it is of."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.floor = OutboxFloor(messaging.outbox)

    async def look(self, times: int = 1) -> int:
        for _ in range(times):
            async with self.database.reading() as connection:
                self.floor.learn((await connection.execute(sa.text(self.floor.sql))).mappings().one())
        return self.floor.value

    async def publish_everything(self) -> None:
        async with self.database.transaction() as connection:
            await connection.execute(sa.update(messaging.outbox).values(published_at=sa.func.now()))

    async def lowest_waiting(self) -> int:
        statement = sa.select(sa.func.min(messaging.outbox.c.position)).where(messaging.outbox.c.published_at.is_(None))
        async with self.database.reading() as connection:
            return int((await connection.execute(statement)).scalar_one())


@pytest.fixture
def watched(database: Callable[[str], Database]) -> Watched:
    """The outbox of the town."""
    return Watched(database("documents"))


async def add(connection: Connection, *events: ResidentMoved) -> None:
    """Events in a transaction of the test's own."""
    await Outbox(messaging.outbox).publish(connection, events, datetime.now(UTC))


async def test_what_was_published_is_passed_over(watched: Watched) -> None:
    """Otherwise each look passes everything since the last vacuum, and the relay slows down as the day goes on."""
    town = Town(watched.database)
    await town.publish(*(ResidentMoved(resident="a", number=number) for number in range(5)))
    await watched.publish_everything()
    await town.publish(ResidentMoved(resident="a", number=5))

    assert await watched.look(10) == await watched.lowest_waiting()


async def test_an_event_that_is_still_to_be_committed_is_waited_for(watched: Watched) -> None:
    """Otherwise it goes out late, after later ones of the same order."""
    town = Town(watched.database)
    async with watched.database.transaction() as slow:
        await add(slow, ResidentMoved(resident="slow", number=1))
        await town.publish(ResidentMoved(resident="quick", number=1))
        await watched.publish_everything()
        await watched.look(10)
    assert await watched.look() <= await watched.lowest_waiting()
    assert await watched.look(10) == await watched.lowest_waiting()


async def test_events_that_are_to_go_out_again_are_found(watched: Watched) -> None:
    """Otherwise a replay does nothing until the relay starts anew."""
    town = Town(watched.database)
    await town.publish(ResidentMoved(resident="a", number=1), ResidentMoved(resident="a", number=2))
    await watched.publish_everything()
    assert await watched.look(10) > 2

    await publish_again(watched.database, messaging)

    assert await watched.look() <= await watched.lowest_waiting()


async def test_a_relay_with_a_floor_delivers_everything_in_order(watched: Watched) -> None:
    """Otherwise events are lost or swapped as soon as the relay has run for a few seconds."""
    town = Town(watched.database)
    await town.found()
    relay = town.relay(town.consumer())
    relay._floor._every = 0.0
    running = asyncio.create_task(relay.run())
    for round_ in range(12):
        async with watched.database.transaction() as slow:
            await add(slow, ResidentMoved(resident=f"slow{round_}", number=1))
            await town.publish(ResidentMoved(resident="quick", number=round_))
            await asyncio.sleep(0.1)
        await town.publish(ResidentMoved(resident=f"slow{round_}", number=2))
        await asyncio.sleep(0.02)
    await town.quiet()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)

    seen = await town.seen()
    assert seen.pop("quick") == list(range(12))
    assert list(seen.values()) == [[1, 2]] * 12
    assert relay._floor.value > 0
