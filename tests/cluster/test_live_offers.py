"""Live offers over replicas: a browser at one, the insurers' answers at another, Redis and PostgreSQL between them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import timedelta
from time import perf_counter

import pytest

from cluster.part import RunningRedis
from insuretech.compose.hot import open_hot
from insuretech.contracts.insurers import Declined
from insuretech.kit.db import Database
from insuretech.kit.keyring import Keyring
from insuretech.kit.settings import Settings
from tests.service.quotes.world import World
from tests.unit.quotes.scripted import ScriptedDirectory, ScriptedInsurer
from tests.unit.quotes.specimens import offered

FAR = timedelta(days=3650)
OWN_WORDS = "Отказ: Ромашкина А. П."


def insurers(first: float = 0.3, second: float = 0.6, third: float = 0.9) -> ScriptedDirectory:
    """Three insurers that answer after so many seconds."""
    return ScriptedDirectory(
        first=ScriptedInsurer(offered("5000.00", ttl=FAR), delay=first),
        second=ScriptedInsurer(Declined(reason=OWN_WORDS), delay=second),
        third=ScriptedInsurer(offered("6000.00", ttl=FAR), delay=third),
    )


MakeReplica = Callable[[ScriptedDirectory], Awaitable[World]]


@pytest.fixture
async def make_replica(redis_cluster: RunningRedis, database: Callable[[str], Database]) -> AsyncIterator[MakeReplica]:
    """Starts replicas over one database, one Redis and one key; gives each when its bridge carries."""
    keyring = Keyring.generate()
    replicas: list[World] = []

    async def make(directory: ScriptedDirectory) -> World:
        hot = open_hot(Settings(redis=redis_cluster.nodes))
        replica = World(database("quotes"), directory, keyring=keyring, hot=hot)
        replicas.append(replica)
        replica.start()
        await asyncio.sleep(1)
        return replica

    yield make
    for replica in replicas:
        await replica.stop()


async def test_offers_reach_a_browser_at_another_replica(make_replica: MakeReplica) -> None:
    """Behind a balancer two of three buyers would see offers late, by the second look into the database."""
    directory = insurers()
    here, there = await make_replica(directory), await make_replica(directory)
    await here.sell()
    delays = []
    for _ in range(3):
        created = (await here.submit()).json()
        async with here.stream(created) as own, there.stream(created) as other:
            while True:
                first = await own.next()
                seen = perf_counter()
                second = await other.next()
                assert first == second
                if first is None:
                    break
                delays.append(perf_counter() - seen)
    assert sorted(delays)[len(delays) // 2] < 0.5, "not by the look around, which comes once a second"


async def test_a_stream_goes_on_at_another_replica_without_the_database(make_replica: MakeReplica) -> None:
    """When a replica dies, all its streams come back at once: the database would be asked by each."""
    directory = insurers()
    here, there = await make_replica(directory), await make_replica(directory)
    await here.sell()
    created = (await here.submit()).json()
    await here.completed(created)
    await here.quotes.service.hot[0].settled()
    asked = 0
    plain = there.quotes.offers.told

    async def counted(quote_ids: object) -> object:
        nonlocal asked
        asked += 1
        return await plain(quote_ids)  # type: ignore[arg-type]

    there.quotes.offers.told = counted  # type: ignore[method-assign, assignment]
    async with there.stream(created, **{"Last-Event-ID": "1"}) as stream:
        rest = await stream.rest()
    assert [(event.id, event.event) for event in rest] == [("2", "declined"), ("3", "offer"), ("4", "completed")]
    assert rest[0].data["reason"] == OWN_WORDS
    assert asked == 0


async def test_a_replica_that_stops_hands_its_streams_over(make_replica: MakeReplica) -> None:
    """A deployment would make offers appear twice or never."""
    directory = insurers(0.2, 2.0, 3.0)
    here, there = await make_replica(directory), await make_replica(directory)
    await here.sell()
    created = (await here.submit()).json()
    async with here.stream(created) as stream:
        first = await stream.next()
        assert first is not None
        await here.stop()
    async with there.stream(created, **{"Last-Event-ID": first.id}) as stream:
        rest = await stream.rest(15)
    assert [event.id for event in rest] == ["2", "3", "4"]


async def test_offers_come_also_while_redis_is_away(redis_cluster: RunningRedis, make_replica: MakeReplica) -> None:
    """Redis would be one more thing that can stop the sale."""
    directory = insurers()
    here, there = await make_replica(directory), await make_replica(directory)
    await here.sell()
    for victim in redis_cluster.names:
        redis_cluster.freeze(victim)
    try:
        created = (await here.submit()).json()
        async with AsyncExitStack() as stack:
            streams = [await stack.enter_async_context(one.stream(created)) for one in (here, there)]
            for stream in streams:
                assert [event.id for event in await stream.rest(10)] == ["1", "2", "3", "4"]
    finally:
        redis_cluster.heal()


async def test_what_lies_in_redis_shows_no_words_of_insurers(make_replica: MakeReplica) -> None:
    """An insurer may repeat the answers, which are personal data, in its refusal."""
    here = await make_replica(insurers(0.01, 0.02, 0.03))
    await here.sell()
    created = (await here.submit()).json()
    await here.completed(created)
    await here.quotes.service.hot[0].settled()
    entry = await here.hot.store.get(f"{{quotes.offers:{created['id']}}}:1.0")
    assert entry is not None
    assert entry.version == 4
    assert OWN_WORDS.encode() not in entry.value
    assert b"5000.00" in entry.value
