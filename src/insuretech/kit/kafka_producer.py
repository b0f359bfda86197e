"""Sending events to Kafka without a gap: acknowledged by the replicas in sync, in the order given, nothing skipped.

The idempotent producer keeps the order and drops its own repeats. A record waits as long as Kafka is away; if one could
ever be left out while a later one went through, the producer ends instead, and whatever was not acknowledged is told
as failed.
"""

import asyncio
import threading
import time
from collections.abc import Sequence

import structlog
from confluent_kafka import KafkaException, Message, Producer
from confluent_kafka.cimpl import KafkaError

from insuretech.kit.events import Envelope
from insuretech.kit.kafka import LARGEST_RECORD, Kafka, reason_of, record_headers

log = structlog.get_logger(__name__)

LARGEST_EVENT = LARGEST_RECORD - 64 * 1024
"""Bytes of an event's JSON: a record has a key and headers too."""

_POLL = 0.5  # seconds; it returns at once when there is something to tell
_FAREWELL = 10.0  # seconds for telling every batch of an abandoned producer that it is not sent


class NotSent(Exception):
    """At least one event of a batch was not acknowledged; the message is Kafka's first reason."""


class EventProducer:
    """Sends batches of events. Used from one event loop; after a failure it is abandoned and another one made."""

    def __init__(self, kafka: Kafka) -> None:
        self._loop = asyncio.get_running_loop()
        self._ended = False
        self._producer = Producer(
            kafka.client(
                enable_idempotence=True,
                enable_gapless_guarantee=True,
                acks="all",
                message_timeout_ms=0,
                partitioner="murmur2_random",  # as the Java clients and Kafka's own tools place keys
                compression_type="lz4",
                linger_ms=1,
                batch_size=256 * 1024,
                queue_buffering_max_kbytes=128 * 1024,
                message_max_bytes=LARGEST_RECORD,
            )
        )
        threading.Thread(target=self._serve, name="kafka-producer", daemon=True).start()

    def send(self, envelopes: Sequence[Envelope]) -> asyncio.Future[None]:
        """Hand a batch over; the future is done when Kafka has all of it, or failed with ``NotSent``."""
        batch = _Batch(len(envelopes), self._loop)
        if not envelopes:
            batch.done.set_result(None)
        try:
            for envelope in envelopes:
                self._producer.produce(
                    envelope.topic,
                    key=envelope.key.encode(),
                    value=bytes(envelope.payload),
                    headers=list(record_headers(envelope)),
                    timestamp=int(envelope.occurred_at.timestamp() * 1000),
                    on_delivery=batch.told,
                )
        except (KafkaException, BufferError) as error:
            batch.fail(reason_of(error).str() if isinstance(error, KafkaException) else str(error))
        return batch.done

    def abandon(self) -> None:
        """Send nothing more: what waits is forgotten and told as failed."""
        self._producer.purge(blocking=False)
        self._ended = True

    def _serve(self) -> None:
        while not self._ended:
            self._hear(_POLL)
        until = time.monotonic() + _FAREWELL
        while len(self._producer) and time.monotonic() < until:
            self._hear(_POLL)

    def _hear(self, seconds: float) -> None:
        """Have batches told what Kafka says of them. A producer that has ended says so first, and then of each."""
        try:
            self._producer.poll(seconds)
        except KafkaException as error:
            log.warning("producer.ended", reason=reason_of(error).str())


class _Batch:
    """Counts what Kafka says of the events of a batch, in the producer's thread."""

    def __init__(self, events: int, loop: asyncio.AbstractEventLoop) -> None:
        self.done: asyncio.Future[None] = loop.create_future()
        self._left = events
        self._loop = loop

    def told(self, error: KafkaError | None, _: Message) -> None:
        self._left -= 1
        if error is not None:
            self._loop.call_soon_threadsafe(self.fail, error.str())
        elif not self._left:
            self._loop.call_soon_threadsafe(self._succeed)

    def fail(self, reason: str) -> None:
        if not self.done.done():
            self.done.set_exception(NotSent(reason))

    def _succeed(self) -> None:
        if not self.done.done():
            self.done.set_result(None)
