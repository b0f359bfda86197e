"""Nobody is shown an order as it was before, whoever dies: replicas with a real Redis Cluster between them."""

import asyncio
import random
from collections.abc import AsyncIterator
from time import perf_counter

import pytest

from cluster.part import RunningRedis
from insuretech.kit.hot import Entry
from insuretech.kit.projections import Projection
from insuretech.kit.redis_hot import RedisHot
from insuretech.kit.redis_nodes import RedisNodes, addresses_of
from tests.unit.kit.test_projections import Ledger, projection

NAMES = [f"order-{number}" for number in range(30)]


@pytest.fixture
async def replicas(redis_cluster: RunningRedis) -> AsyncIterator[tuple[Ledger, Projection, Projection]]:
    """A source, a replica that changes it and one that is asked; nothing is left in Redis afterwards."""
    ledger = Ledger()
    stores = [RedisHot(RedisNodes(addresses_of(redis_cluster.nodes))) for _ in range(2)]
    yield ledger, projection(stores[0], ledger), projection(stores[1], ledger)
    async for keys in stores[0].keys("test.rows", "1.0"):
        await stores[0].drop(keys)
    for store in stores:
        await store.aclose()


async def test_a_death_between_commit_and_projection_takes_nobody_back(
    replicas: tuple[Ledger, Projection, Projection],
) -> None:
    """A buyer who has just paid would be shown the order unpaid until a sweep finds it, and pay again."""
    ledger, writer, reader = replicas
    chance = random.Random(7)
    for _ in range(300):
        name = chance.choice(NAMES)
        await writer.announce(name, len(ledger.rows.get(name, ())) + 1)
        newest = ledger.change(name)
        if chance.random() < 0.5:  # else the process has died here
            await writer.put({name: newest})
        assert await reader.read(name) == newest


@pytest.mark.parametrize("fault", ["kill", "freeze"])
async def test_who_says_what_they_saw_is_not_taken_back_by_a_failover(
    redis_cluster: RunningRedis, replicas: tuple[Ledger, Projection, Projection], fault: str
) -> None:
    """A new master that had not been told everything would show orders as they were before."""
    ledger, writer, reader = replicas
    for name in NAMES:
        await writer.put({name: ledger.change(name)})
    sweeping = [asyncio.create_task(one.keep_true()) for one in (writer, reader)]
    victim = redis_cluster.masters()[0]
    seen = dict.fromkeys(NAMES, 1)
    chance, until, struck = random.Random(11), perf_counter() + 8, False
    try:
        while perf_counter() < until:
            if not struck and perf_counter() > until - 7:
                getattr(redis_cluster, fault)(victim)
                struck = True
            name = chance.choice(NAMES)
            if chance.random() < 0.3:
                version = len(ledger.rows[name]) + 1
                await writer.announce(name, version)
                writer.put_soon({name: ledger.change(name)})
            found = await reader.read(name, seen[name])
            assert found is not None
            assert found.version >= seen[name]
            seen[name] = found.version
            await asyncio.sleep(0.002)
    finally:
        redis_cluster.heal()
    while writer.in_doubt or reader.in_doubt:
        await asyncio.wait(sweeping, timeout=0.1)
        assert perf_counter() < until + 20, "reads still go to the source long after Redis is back"
    await writer.settled()
    for name in NAMES:
        assert await reader.read(name) == Entry(len(ledger.rows[name]), b"".join(ledger.rows[name]))
    for task in sweeping:
        task.cancel()
    await asyncio.gather(*sweeping, return_exceptions=True)
