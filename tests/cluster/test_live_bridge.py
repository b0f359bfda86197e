"""Live messages between replicas over a real Redis Cluster, also while nodes of it die and hang."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from time import perf_counter

import pytest

from cluster.part import RunningRedis
from insuretech.kit.live import LiveHub
from insuretech.kit.live_bridge import LiveBridge
from insuretech.kit.redis_nodes import addresses_of
from tests.system.running import strain


@asynccontextmanager
async def replica(redis_cluster: RunningRedis) -> AsyncIterator[LiveHub]:
    """A hub whose bridge has begun to carry."""
    hub = LiveHub()
    hub.understand("test", bytes.decode)
    addresses = addresses_of(redis_cluster.nodes)
    carrying = asyncio.create_task(LiveBridge(hub, lambda: addresses).run())
    try:
        await asyncio.wait_for(hub.gap.wait(), 10)
        hub.gap.clear()
        yield hub
    finally:
        carrying.cancel()
        await asyncio.gather(carrying, return_exceptions=True)


@pytest.fixture
async def replicas(redis_cluster: RunningRedis) -> AsyncIterator[list[LiveHub]]:
    """Three replicas."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(replica(redis_cluster)) for _ in range(3)]


async def test_a_message_reaches_who_listens_at_another_replica_once(replicas: list[LiveHub]) -> None:
    """A buyer would see offers only if the balancer happened to choose the right process."""
    here, there, other = replicas
    with here.subscribe("test:1") as own, there.subscribe("test:1") as one, other.subscribe("test:2") as two:
        for number in range(50):
            here.publish("test:1", f"m{number}", b"m%d" % number)
        here.publish("test:1", "stays here")
        assert [await one.next(60) for _ in range(50)] == [f"m{number}" for number in range(50)]
        assert [await own.next(60) for _ in range(50)] == [f"m{number}" for number in range(50)]
        assert await two.next(0.05) is None


async def test_other_nodes_carry_on_where_some_die_or_hang(
    redis_cluster: RunningRedis, replicas: list[LiveHub]
) -> None:
    """After the death of one node, half of all buyers would wait for offers until they reload."""
    here, there, _ = replicas
    for fault, victims in (("kill", ("redis-1", "redis-5")), ("freeze", ("redis-2", "redis-6"))):
        for victim in victims:
            getattr(redis_cluster, fault)(victim)
        try:
            assert await heard(here, there) < 8 * strain()
        finally:
            redis_cluster.heal()
        assert await heard(there, here) < 8 * strain()


async def heard(here: LiveHub, there: LiveHub) -> float:
    """Seconds until ten messages in a row arrive within a fifth of a second each."""
    began, good = perf_counter(), 0
    with there.subscribe("test:x") as listening:
        while good < 10:
            here.publish("test:x", "", b"m")
            good = good + 1 if await listening.next(0.2 * strain()) == "m" else 0
            assert perf_counter() - began < 15 * strain(), "no way was found round the nodes that are away"
            await asyncio.sleep(0.02)
    return perf_counter() - began
