"""Relays, consumers and brokers die, freeze and come back while events flow: nothing lost, doubled or out of order."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager

from confluent_kafka.admin import AdminClient

from cluster.part import RunningKafka
from insuretech.kit.relay_statements import RANGES
from insuretech.kit.topics import Topic, Topics, differences
from tests.cluster.events.city import City, running
from tests.cluster.events.test_through_kafka import in_order
from tests.system.running import strain

RESIDENTS = 24


@asynccontextmanager
async def moving(city: City, turns: int, pause: float = 0.1) -> AsyncIterator["asyncio.Task[None]"]:
    """Everybody moves once every ``pause`` seconds, ``turns`` times in all."""

    async def move() -> None:
        for number in range(turns):
            await city.publish(RESIDENTS, range(number, number + 1))
            await asyncio.sleep(pause)

    task = asyncio.create_task(move())
    try:
        yield task
        await task
    finally:
        task.cancel()


async def told_all(city: City, turns: int, limit: float = 200) -> None:
    """Return when nothing waits in the outbox."""
    await city.town.quiet(limit)
    assert city.told() == in_order(RESIDENTS, turns)


async def test_the_others_go_on_when_a_relay_is_killed(city: City) -> None:
    """Otherwise a crash of one replica loses events, or lets a later one overtake an earlier one of its order."""
    with ExitStack() as replicas:
        relays = [replicas.enter_context(city.replica("relay", f"relay-{number}")) for number in range(3)]
        async with moving(city, 80):
            await city.until(lambda: _ranges_held(city, by=3))
            await asyncio.sleep(0.5)
            relays[1].kill()
            await city.until(lambda: _ranges_held(city, by=2), limit=10 * strain())
            assert len(await _holders(city)) == RANGES, "all ranges are taken again"
        await told_all(city, 80)


async def test_a_frozen_relay_is_stepped_over_and_does_no_harm_when_it_thaws(city: City) -> None:
    """Otherwise a replica that hangs stops a part of all orders, or tells old news in front of new when it wakes."""
    with ExitStack() as replicas:
        relays = [replicas.enter_context(city.replica("relay", f"relay-{number}")) for number in range(2)]
        async with moving(city, 200):
            await city.until(lambda: _ranges_held(city, by=2))
            await asyncio.sleep(0.5)
            relays[0].send_signal(signal.SIGSTOP)
            await city.until(lambda: _ranges_held(city, by=1), limit=20 * strain())
            await asyncio.sleep(1)
            relays[0].send_signal(signal.SIGCONT)
            await city.until(lambda: _ranges_held(city, by=2), limit=20 * strain())
        await told_all(city, 200)


async def test_a_relay_whose_session_is_cut_goes_on_with_a_new_one(city: City) -> None:
    """Otherwise a restart of the database or its proxy ends all news, or lets two tell the same side by side."""
    async with running(city.relay(), city.relay()):
        async with moving(city, 60):
            for _ in range(4):
                await asyncio.sleep(1)
                async with city.town.database.reading() as connection:
                    cut = "select pg_terminate_backend(pid) from pg_stat_activity where application_name = $1"
                    await connection.exec_driver_sql(cut, ("documents session",))
        await told_all(city, 60)


async def test_a_broker_is_killed_in_the_middle(city: City, kafka: RunningKafka) -> None:
    """Otherwise the loss of one machine loses what it had acknowledged, or stops all news until it is back."""
    async with running(city.relay(), city.consumers(city.reaction())):
        async with moving(city, 150):
            await asyncio.sleep(3)
            kafka.kill("kafka-2")
            await asyncio.sleep(8)
        await city.until_seen(RESIDENTS, 150)
        kafka.start("kafka-2")
        await told_all(city, 150)
    assert await city.town.seen() == in_order(RESIDENTS, 150)


async def test_kafka_is_away_for_a_while_and_comes_back(city: City, kafka: RunningKafka) -> None:
    """Otherwise an outage of Kafka loses purchases, or the backlog never shrinks again."""
    async with running(city.relay(), city.relay(), city.consumers(city.reaction())):
        async with moving(city, 120):
            await asyncio.sleep(2)
            for number in (1, 2, 3):
                kafka.kill(f"kafka-{number}")
            await asyncio.sleep(5)
            assert await city.town.unpublished() > 0, "it waits in the outbox"
        kafka.heal()
        await city.until_seen(RESIDENTS, 120)
        await told_all(city, 120)
    assert await city.town.seen() == in_order(RESIDENTS, 120)


async def test_a_topic_is_made_anew_under_who_knew_it_before(city: City, kafka: RunningKafka) -> None:
    """Otherwise whoever restores a lost Kafka has to restart every process as well, or events stay behind for good.

    The topic that is gone had many leaders, so clients take what is said of the new one for older than that.
    """
    topics, wanted = Topics(city.kafka), [Topic(city.topic, 6, 1)]
    operator = AdminClient({"bootstrap.servers": city.kafka.servers})

    async def move_without_each_broker(since: int) -> None:
        for number in (1, 2, 3):
            kafka.kill(f"kafka-{number}")
            await city.publish(RESIDENTS, range(since + number, since + number + 1))
            await city.until_seen(RESIDENTS, since + number + 1, limit=120 * strain())
            kafka.start(f"kafka-{number}")
            await city.until(lambda: _in_sync(operator, city.topic))

    async with running(city.relay(patience=8), city.consumers(city.reaction(), patience=8)):
        await city.publish(RESIDENTS, range(1))
        await move_without_each_broker(since=0)
        await move_without_each_broker(since=3)
        await asyncio.to_thread(operator.delete_topics([city.topic])[city.topic].result, 30)
        await city.publish(RESIDENTS, range(7, 8))
        await asyncio.sleep(3)
        topics.apply(wanted, differences(wanted, topics.there([city.topic])))
        await city.until_seen(RESIDENTS, 8, limit=120 * strain())
        await move_without_each_broker(since=7)
    assert await city.town.seen() == in_order(RESIDENTS, 11)


def _in_sync(operator: AdminClient, topic: str) -> bool:
    """Whether all copies of a topic are up to date."""
    partitions = operator.list_topics(topic, 20).topics[topic].partitions.values()
    return all(sorted(one.isrs) == sorted(one.replicas) for one in partitions)


async def test_consumers_are_killed_and_replaced_while_news_flow(city: City) -> None:
    """Otherwise a crash or a deploy of a service loses or doubles what it was doing."""
    with ExitStack() as replicas:
        running_now = [replicas.enter_context(city.replica("consumer", f"c-{number}")) for number in range(3)]
        async with running(city.relay()), moving(city, 250):
            await city.until_seen(1, RESIDENTS)
            running_now[0].kill()
            await asyncio.sleep(2)
            for number in range(3):  # the new version, one after the other
                running_now[number].terminate()
                await asyncio.to_thread(running_now[number].wait, 20)
                running_now[number] = replicas.enter_context(city.replica("consumer", f"c-{number}"))
                await asyncio.sleep(3)
        await city.until_seen(RESIDENTS, 250)
        for each in running_now:
            each.terminate()
            assert await asyncio.to_thread(each.wait, 20) == 0, "it stops in good order"
    assert await city.town.seen() == in_order(RESIDENTS, 250)


async def _holders(city: City) -> dict[int, int]:
    """Which session holds which range."""
    locks = """
        select objid::int as number, pid from pg_locks join pg_stat_activity using (pid)
        where locktype = 'advisory' and granted and objid::bigint < 1000 and application_name = 'documents session'
    """
    async with city.town.database.reading() as connection:
        found = (await connection.exec_driver_sql(locks)).mappings().all()
    return {row["number"]: row["pid"] for row in found}


async def _ranges_held(city: City, by: int) -> bool:
    holders = await _holders(city)
    return len(holders) == RANGES and len(set(holders.values())) == by
