"""Product events in a real Kafka become purges, and only those that were not purged yet."""

import asyncio
import time
from collections.abc import Collection
from datetime import UTC, datetime

import msgspec
import pytest
from confluent_kafka import Producer

from cluster.part import RunningKafka
from insuretech.compose.cdn_purge import SETTLE, keep_following
from insuretech.contracts.events import ProductWithdrawn
from insuretech.kit.events import Envelope
from insuretech.kit.ids import new_id
from insuretech.kit.kafka import Kafka, record_headers
from insuretech.kit.topics import Topic, Topics, differences
from tests.system.running import strain

TOPIC = ProductWithdrawn.topic


class Purges:
    """What points were told, with the moments."""

    def __init__(self) -> None:
        self.told: asyncio.Queue[tuple[float, frozenset[str]]] = asyncio.Queue()

    async def purge(self, tags: Collection[str]) -> list[str]:
        await self.told.put((time.monotonic(), frozenset(tags)))
        return []


@pytest.fixture
def following(kafka: RunningKafka) -> Kafka:
    """Kafka with the topic of products."""
    known = Kafka(kafka.bootstrap)
    topics = Topics(known)
    topics.apply([Topic(TOPIC, 3, 3)], differences([Topic(TOPIC, 3, 3)], topics.there([TOPIC])))
    return known


def withdraw(kafka: Kafka, code: str) -> float:
    """Tell that a product is no longer sold; the moment."""
    event = ProductWithdrawn(code=code)
    envelope = Envelope(
        id=new_id(),
        type=event.type_name(),
        topic=TOPIC,
        key=code,
        occurred_at=datetime.now(UTC),
        trace_id="",
        payload=msgspec.Raw(msgspec.json.encode(event)),
        position=1,
    )
    producer = Producer({"bootstrap.servers": kafka.servers})
    headers: list[tuple[str, str | bytes | None]] = [*record_headers(envelope)]
    producer.produce(TOPIC, key=code.encode(), value=bytes(envelope.payload), headers=headers)
    assert producer.flush(30) == 0
    return time.monotonic()


async def test_a_change_is_purged_within_five_seconds_and_once_for_good(following: Kafka) -> None:
    """Otherwise the CDN offers what is no longer sold; after a restart it would purge the history of all products."""
    first = Purges()
    running = asyncio.create_task(keep_following(following, first.purge))
    withdraw(following, "warm")  # the first one waits for the group to come together
    for _ in range(2):
        assert (await asyncio.wait_for(first.told.get(), 90))[1] == {"products", "product-warm"}
    began = await asyncio.to_thread(withdraw, following, "osago")
    moments = [await asyncio.wait_for(first.told.get(), 90) for _ in range(2)]
    assert [tags for _, tags in moments] == [{"products", "product-osago"}] * 2
    assert moments[1][0] - began < 5 * strain()
    assert moments[1][0] - moments[0][0] >= SETTLE
    await asyncio.sleep(3)  # for the commit
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)

    second = Purges()
    running = asyncio.create_task(keep_following(following, second.purge))
    await asyncio.to_thread(withdraw, following, "travel")
    assert (await asyncio.wait_for(second.told.get(), 90))[1] == {"products", "product-travel"}
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
