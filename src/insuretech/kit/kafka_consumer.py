"""What a service hears from Kafka: its reactions run on records as on events of its own machine.

Replicas of a service share the partitions (cooperative rebalancing; a member keeps its own over a restart, by its
instance name). A partition is handled in the log's order, several records in one transaction where that works; the
inbox row in it makes a repeat harmless, so offsets are committed after the fact and need not be exact. A record that
fails is tried again while its partition waits, then goes aside (``kit.relay``); what cannot even be read goes aside at
once. While the database is away the partition waits and nothing goes aside.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from prometheus_client import Counter, Gauge

from insuretech.kit.kafka import Kafka, ends_client, reason_of
from insuretech.kit.kafka_lane import USUAL_PACE, Handling, Lane, Pace
from insuretech.kit.kafka_silence import Brokers, Place, Silences
from insuretech.kit.messaging import Reaction

log = structlog.get_logger(__name__)
Answer = TypeVar("Answer")

LAG = Gauge("insuretech_consumer_lag", "Records that a service has not handled yet, by topic.", ["service", "topic"])
QUEUED = Gauge("insuretech_consumer_queued", "Records fetched and not handled yet; bounded.", ["service"])
PARTITIONS = Gauge("insuretech_consumer_partitions", "Partitions this process handles.", ["service"])
REBALANCES = Counter("insuretech_consumer_rebalances_total", "Times that partitions came or went.", ["service"])
SILENT = Counter("insuretech_consumer_silences_total", "Times that a client was given up as silent.", ["service"])

_POLL = 0.25  # seconds
_FETCH = 500  # records taken from the client at once
_ENOUGH, _LITTLE = 1000, 250  # records of a partition that wait here
_COMMIT_EVERY = 0.5
_MEASURE_EVERY = 15.0
_REVOKE_LIMIT = 10.0
_CLOSE_LIMIT = 10.0


class Silent(Exception):
    """Records of a partition do not come although there are some."""


class KafkaConsumers:
    """Runs the reactions of one service on the topics they ask for, as one of its replicas.

    ``known`` are the types of events this version knows: another one goes aside to be replayed by a version that does
    (empty: it is skipped). Where records of a partition do not come for ``patience`` seconds although there are some,
    another client takes over. On cancellation transactions under way have ``grace`` seconds to end.
    """

    def __init__(
        self,
        service: str,
        reactions: Sequence[Reaction],
        kafka: Kafka,
        *,
        known: frozenset[str] = frozenset(),
        pace: Pace = USUAL_PACE,
        patience: float = 30.0,
        grace: float = 2.0,
    ) -> None:
        self._service = service
        self._kafka = kafka
        self._silences = Silences(patience, Brokers(kafka))
        self._measure_every = min(_MEASURE_EVERY, patience / 2)
        self._topics = sorted({event.topic for reaction in reactions for event in reaction.events})
        self._handling = Handling(service, reactions, kafka, known, pace)
        self._grace = grace
        self._lanes: dict[Place, Lane] = {}
        self._assigned: set[Place] = set()
        self._committed_at = self._measured_at = 0.0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"consumer-{service}")
        self._loop: asyncio.AbstractEventLoop

    async def run(self) -> None:
        """Consume until cancelled; survives a Kafka and a database that go away."""
        if not self._topics:
            await asyncio.Event().wait()
        self._loop = asyncio.get_running_loop()
        while True:
            try:
                await self._consume()
            except KafkaException as error:
                log.warning("consumer.interrupted", service=self._service, reason=reason_of(error).str())
            except Silent as error:
                SILENT.labels(self._service).inc()
                log.warning("consumer.silent", service=self._service, reason=str(error))
            await asyncio.sleep(1.0)

    async def _consume(self) -> None:
        consumer: Consumer = await self._threaded(self._subscribed)
        try:
            while True:
                for message in await self._threaded(self._poll, consumer):
                    self._lane(_place(message)).put(message)
        finally:
            await self._finish(consumer)

    def _subscribed(self) -> Consumer:
        consumer = Consumer(self._settings())
        consumer.subscribe(self._topics, on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost)
        return consumer

    def _settings(self) -> dict[str, Any]:
        settings = self._kafka.client(
            group_id=f"insuretech.{self._service}",
            partition_assignment_strategy="cooperative-sticky",
            session_timeout_ms=6000,
            heartbeat_interval_ms=1500,
            max_poll_interval_ms=120_000,
            enable_auto_commit=False,
            enable_auto_offset_store=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            queued_min_messages=2000,
            queued_max_messages_kbytes=8192,
            fetch_error_backoff_ms=100,
            topic_metadata_refresh_interval_ms=30_000,
        )
        return settings | ({"group.instance.id": self._kafka.instance} if self._kafka.instance else {})

    def _lane(self, place: Place) -> Lane:
        lane = self._lanes.get(place)
        if lane is None:
            lane = self._lanes[place] = Lane(self._handling)
        return lane

    # ------------------------------------------------------------ in the thread of the client

    async def _threaded(self, work: Callable[..., Answer], *arguments: Any) -> Answer:
        """Everything that concerns the client happens in one thread; a call that began is waited for."""
        future = asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            await asyncio.wait({future})
            raise

    def _poll(self, consumer: Consumer) -> list[Message]:
        """Records that are there, after at most a quarter of a second; commits what was handled meanwhile."""
        self._commit(consumer)
        self._hold_back(consumer)
        self._measure(consumer)
        first = consumer.poll(_POLL)
        if first is None:
            return []
        usable = [message for message in [first, *consumer.consume(_FETCH, 0)] if self._usable(message)]
        for message in usable:
            self._silences.came(_place(message), message.offset() or 0)
        return usable

    def _usable(self, message: Message) -> bool:
        """Whether it is a record of a partition that is still ours, not an error in its place."""
        error = message.error()
        if error is None:
            return _place(message) in self._assigned
        if ends_client(error):
            raise KafkaException(error)
        if error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001 - a constant
            log.warning("consumer.error", service=self._service, reason=error.str())
        return False

    def _hold_back(self, consumer: Consumer) -> None:
        """Fetch no more for a partition that has enough waiting, until it has little."""
        lanes = [(place, lane) for place, lane in list(self._lanes.items()) if place in self._assigned]
        full = [(place, lane) for place, lane in lanes if not lane.paused and lane.waiting >= _ENOUGH]
        empty = [(place, lane) for place, lane in lanes if lane.paused and lane.waiting <= _LITTLE]
        if full:
            consumer.pause([TopicPartition(*place) for place, _ in full])
        if empty:
            consumer.resume([TopicPartition(*place) for place, _ in empty])
        for _, lane in [*full, *empty]:
            lane.paused = not lane.paused
        QUEUED.labels(self._service).set(sum(lane.waiting for _, lane in lanes))

    def _commit(self, consumer: Consumer) -> None:
        if time.monotonic() - self._committed_at < _COMMIT_EVERY:
            return
        self._committed_at = time.monotonic()
        offsets = self._handled(set(self._assigned))
        if offsets:
            consumer.commit(offsets=offsets, asynchronous=True)

    def _handled(self, places: set[Place]) -> list[TopicPartition]:
        """Offsets to go on from in these partitions, where they moved since they were last asked for."""
        lanes = [(place, lane) for place, lane in list(self._lanes.items()) if place in places]
        moved = [(place, offset) for place, lane in lanes if (offset := lane.take_progress()) is not None]
        return [TopicPartition(topic, partition, offset) for (topic, partition), offset in moved]

    def _commit_now(self, consumer: Consumer, places: set[Place]) -> None:
        offsets = self._handled(places)
        if not offsets:
            return
        try:
            consumer.commit(offsets=offsets, asynchronous=False)
        except KafkaException as error:  # the next to handle them sees by its inbox what was done
            log.warning("consumer.not_committed", service=self._service, reason=reason_of(error).str())

    def _on_assign(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        places = {(one.topic, one.partition) for one in partitions}
        self._assigned |= places
        self._silences.forget(places)
        REBALANCES.labels(self._service).inc()
        PARTITIONS.labels(self._service).set(len(self._assigned))
        log.info("consumer.assigned", service=self._service, partitions=len(partitions), now=len(self._assigned))

    def _on_revoke(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Finish what is under way and commit, so that whoever is next begins where we ended."""
        places = self._taken_away(partitions)
        self._in_loop(self._stop_lanes(places, _REVOKE_LIMIT))
        self._commit_now(consumer, places)
        self._forget(places)

    def _on_lost(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        """Others have had them for a while: leave at once; the inbox has kept apart what both did."""
        places = self._taken_away(partitions)
        log.warning("consumer.lost", service=self._service, partitions=len(places))
        self._in_loop(self._stop_lanes(places, 0.0))
        self._forget(places)

    def _taken_away(self, partitions: list[TopicPartition]) -> set[Place]:
        places = {(one.topic, one.partition) for one in partitions}
        self._assigned -= places
        self._silences.forget(places)
        REBALANCES.labels(self._service).inc()
        PARTITIONS.labels(self._service).set(len(self._assigned))
        return places

    def _forget(self, places: set[Place]) -> None:
        for place in places:
            self._lanes.pop(place, None)

    def _in_loop(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def _measure(self, consumer: Consumer) -> None:
        """How far behind we are, as the brokers see it; raises ``Silent`` when that does not change by itself."""
        now = time.monotonic()
        lanes = dict(self._lanes)
        try:
            if now - self._measured_at >= self._measure_every:
                self._measured_at = now
                self._silences.ask(consumer, set(self._assigned))
            ends = self._silences.look({place for place, lane in lanes.items() if lane.waiting}, now)
        except KafkaException as error:
            log.info("consumer.not_measured", service=self._service, reason=reason_of(error).str())
            self._silences.nothing_known()
            return
        if ends is None:
            return
        lags = dict.fromkeys(self._topics, 0)
        for place, end in ends.items():
            handled = lanes[place].next_offset if place in lanes else None
            lags[place[0]] += max(0, end - (self._silences.reached(place) if handled is None else handled))
        for topic, lag in lags.items():
            LAG.labels(self._service, topic).set(lag)
        if silent := self._silences.too_long(now):
            raise Silent(", ".join(f"{topic}/{partition}" for topic, partition in silent))

    # ------------------------------------------------------------ in the event loop

    async def _stop_lanes(self, places: set[Place], grace: float) -> None:
        lanes = [lane for place, lane in self._lanes.items() if place in places]
        await asyncio.gather(*(lane.stop(grace) for lane in lanes))

    async def _finish(self, consumer: Consumer) -> None:
        """Let transactions under way end, commit, leave."""
        places = set(self._lanes)
        await self._stop_lanes(places, self._grace)

        def leave() -> None:
            self._commit_now(consumer, places & self._assigned)
            consumer.close()

        left = asyncio.get_running_loop().run_in_executor(self._thread, leave)
        await asyncio.wait({left}, timeout=_CLOSE_LIMIT)
        self._silences.forget(places | self._assigned)
        self._lanes.clear()
        self._assigned.clear()


def _place(message: Message) -> Place:
    return message.topic() or "", message.partition() or 0
