"""A town that tells its news through Kafka: relays and consumers as replicas, and the log as it came to be."""

import asyncio
import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

import sqlalchemy as sa
from confluent_kafka import Consumer, Message, TopicPartition
from sqlalchemy.ext.asyncio import AsyncConnection

from insuretech.kit.events import Envelope, Event
from insuretech.kit.kafka import Kafka, envelope_of
from insuretech.kit.kafka_consumer import KafkaConsumers
from insuretech.kit.kafka_lane import Pace
from insuretech.kit.kafka_relay import KafkaRelay
from insuretech.kit.messaging import Outbox, Reaction
from tests.service.kit.town import Meddle, Town, leave_alone, messaging, moves


class Running(Protocol):
    """What has a loop of its own."""

    async def run(self) -> None: ...


@dataclass
class City:
    """One town, its topic, and a service name (and so a consumer group) of its own for every test."""

    town: Town
    kafka: Kafka
    topic: str
    moved: type[Event] = field(init=False)

    def __post_init__(self) -> None:
        self.moved = moved_event(self.topic)

    @property
    def service(self) -> str:
        return self.topic.replace("resident.", "")

    async def publish(self, residents: int, numbers: range) -> None:
        """Every resident moves so often, all in one transaction, in turns."""
        events = [self.moved(resident=f"r{who}", number=number) for number in numbers for who in range(residents)]
        async with self.town.database.transaction() as connection:
            await Outbox(messaging.outbox).publish(connection, events, datetime.now(UTC))

    def relay(self, **settings: float) -> KafkaRelay:
        return KafkaRelay(self.town.database, messaging, self.kafka, **settings)  # type: ignore[arg-type]

    def reaction(self, name: str = "register", meddle: Meddle = leave_alone) -> Reaction:
        """Notes every move in a table, and does what a test wants besides."""

        async def handle(connection: AsyncConnection, event: Event, _: Envelope) -> None:
            row = {"consumer": name, "resident": event.resident, "number": event.number}  # type: ignore[attr-defined]
            await connection.execute(sa.insert(moves).values(row))
            await meddle(connection, event)  # type: ignore[arg-type]

        return Reaction(name, (self.moved,), self.town.database, messaging, handle)

    def consumers(
        self, *reactions: Reaction, instance: str = "", pace: Pace | None = None, patience: float = 30.0
    ) -> KafkaConsumers:
        kafka, known = Kafka(self.kafka.servers, instance), frozenset({f"{self.topic}.moved"})
        pace = pace or Pace(attempts=3, backoff=0.01)
        return KafkaConsumers(self.service, reactions, kafka, known=known, pace=pace, patience=patience)

    @contextmanager
    def replica(self, what: str, instance: str) -> Iterator["subprocess.Popen[bytes]"]:
        """A ``relay`` or a ``consumer`` as a process of its own."""
        url = self.town.database.url.render_as_string(hide_password=False)
        words = [
            sys.executable,
            "-m",
            "tests.cluster.events.replica",
            what,
            url,
            self.kafka.servers,
            self.topic,
            instance,
        ]
        with subprocess.Popen(words) as process:
            try:
                yield process
            finally:
                process.kill()

    async def until(self, done: Callable[[], object], limit: float = 200) -> None:
        """Return when what is asked for again and again is so."""
        async with asyncio.timeout(limit):
            while True:
                found = done()
                if asyncio.iscoroutine(found):
                    found = await found
                if found:
                    return
                await asyncio.sleep(0.05)

    async def until_seen(self, residents: int, each: int, consumer: str = "register", limit: float = 200) -> None:
        """Return when a consumer has noted that every resident moved so often."""
        await self.until_noted(residents * each, consumer, limit)

    async def until_noted(self, moved: int, consumer: str = "register", limit: float = 200) -> None:
        """Return when a consumer has noted so many moves."""

        async def all_there() -> bool:
            seen = await self.town.seen(consumer)
            return sum(len(numbers) for numbers in seen.values()) >= moved

        await self.until(all_there, limit)

    def log(self, topic: str = "") -> list[Envelope]:
        """Every committed record of the topic; each partition in its order."""
        return [envelope_of(message) for message in self.records(topic)]

    def records(self, topic: str = "") -> list[Message]:
        settings = {
            "bootstrap.servers": self.kafka.servers,
            "group.id": "reads-without-committing",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "enable.partition.eof": True,
        }
        consumer, topic = Consumer(settings), topic or self.topic
        partitions = consumer.list_topics(topic, 20).topics[topic].partitions
        consumer.assign([TopicPartition(topic, number, 0) for number in partitions])
        found, ends = [], 0
        while ends < len(partitions):
            message = consumer.poll(20)
            assert message is not None, "Kafka fell silent"
            if message.error() is None:
                found.append(message)
            else:
                ends += 1
        consumer.close()
        return found

    def told(self) -> dict[str, list[int]]:
        """What the log tells of every resident, in its order, repeats left out as receivers do."""
        seen, found = set(), defaultdict(list)
        for envelope in self.log():
            if envelope.id not in seen:
                seen.add(envelope.id)
                found[envelope.key].append(json.loads(bytes(envelope.payload))["number"])
        return dict(found)


def moved_event(topic: str) -> type[Event]:
    """The move of a resident, under a topic of the test's own."""

    class Moved(Event, frozen=True, kw_only=True):
        name = "moved"
        resident: str
        number: int

        @property
        def key(self) -> str:
            return self.resident

    Moved.topic = topic
    return Moved


@asynccontextmanager
async def running(*loops: Running) -> AsyncIterator[list["asyncio.Task[None]"]]:
    """Relays and consumers at work."""
    tasks = [asyncio.create_task(loop.run()) for loop in loops]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task
