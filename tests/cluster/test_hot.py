"""Hot storage in a real Redis Cluster: it keeps to the contract, and whatever befalls Redis takes bounded time."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from time import perf_counter

import pytest
import redis

from cluster.part import RunningRedis
from insuretech.kit.hot import Entry, HotAway, HotStore
from insuretech.kit.redis_hot import RedisHot
from insuretech.kit.redis_nodes import LIMIT, RedisNodes, addresses_of
from tests.system.running import strain
from tests.unit.kit import hot_contract
from tests.unit.kit.hot_contract import key


@pytest.fixture
async def hot(redis_cluster: RunningRedis) -> AsyncIterator[RedisHot]:
    """A process's hot storage."""
    opened = RedisHot(RedisNodes(addresses_of(redis_cluster.nodes)))
    yield opened
    await opened.aclose()


@pytest.mark.parametrize(
    "promise",
    [
        hot_contract.newer_entries_win,
        hot_contract.many_are_put_and_got_at_once,
        hot_contract.entries_grow_in_order,
        hot_contract.states_and_turns,
    ],
)
async def test_the_contract(hot: RedisHot, promise: Callable[[HotStore], Awaitable[None]]) -> None:
    """With replicas people would see other things than on one machine."""
    await promise(hot)


async def test_any_order_leaves_the_same(hot: RedisHot) -> None:
    """What people see would depend on which of two replicas was quicker."""
    await hot_contract.any_order_leaves_the_same(hot, hot_contract.shuffled_orders())


@pytest.mark.parametrize("fault", ["kill", "freeze"])
async def test_a_lost_master_costs_bounded_time_and_its_keys_come_back(
    redis_cluster: RunningRedis, hot: RedisHot, fault: str
) -> None:
    """Everybody would wait for Redis although PostgreSQL has the answer, or Redis would stay unused for good."""
    names = [key(f"fault-{number}") for number in range(30)]
    await hot.put_many({name: Entry(1, b"before") for name in names}, 60)
    victim = redis_cluster.masters()[0]
    getattr(redis_cluster, fault)(victim)
    try:
        slowest, away, served = 0.0, 0, 0
        until = perf_counter() + 20 * strain()
        while True:
            began = perf_counter()
            found = await asyncio.gather(
                *(hot.put(name, Entry(2, b"after"), 60) for name in names), return_exceptions=True
            )
            slowest = max(slowest, perf_counter() - began)
            failed = [one for one in found if isinstance(one, BaseException)]
            assert all(isinstance(one, HotAway) for one in failed), failed
            away, served = away + len(failed), served + len(found) - len(failed)
            if away and not failed:
                break
            assert perf_counter() < until, "the slots of a dead master were not found elsewhere"
            await asyncio.sleep(0.05)
    finally:
        redis_cluster.heal()
    assert slowest < 3 * LIMIT * strain()
    assert served > away / 2, "other shards go on"
    assert set(await hot.get_many(names)) == {Entry(2, b"after")}


async def test_a_full_redis_lets_go_what_it_cannot_replace(redis_cluster: RunningRedis, hot: RedisHot) -> None:
    """An order would be shown as it was before Redis was full."""
    await hot.put(key("full"), Entry(1, b"old"), 60)
    for name, value in (("maxmemory-policy", "noeviction"), ("maxmemory", "1mb")):
        configure(redis_cluster, name, value)
    try:
        with pytest.raises(HotAway):
            await hot.put(key("full"), Entry(2, b"new"), 60)
        assert await hot.get(key("full")) is None
    finally:
        configure(redis_cluster, "maxmemory", "128mb")
        configure(redis_cluster, "maxmemory-policy", "volatile-lru")
    assert await hot.put(key("full"), Entry(2, b"new"), 60)


async def test_nobody_there_is_told_at_once() -> None:
    """Without Redis every request would take longer than its visitor waits."""
    hot = RedisHot(RedisNodes([("127.0.0.1", 1)]))
    for _ in range(5):
        began = perf_counter()
        with pytest.raises(HotAway):
            await hot.get(key("a"))
        assert perf_counter() - began < LIMIT * strain()
    await hot.aclose()


def configure(cluster: RunningRedis, name: str, value: str) -> None:
    """Set an option on every node."""
    for host, port in addresses_of(cluster.nodes):
        with redis.Redis(host, port, socket_timeout=60) as client:
            client.config_set(name, value)
