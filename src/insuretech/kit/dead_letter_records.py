"""Events that a service gave up on, as records of its dead-letter topic: for alarms and for other programs to read.

The table of dead letters is what counts and what is replayed; the record follows it as well as it can.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import structlog
from confluent_kafka import KafkaException, Message, Producer
from confluent_kafka.cimpl import KafkaError

from insuretech.kit.events import Envelope
from insuretech.kit.kafka import Kafka, record_headers
from insuretech.kit.topics import dead_letter_topic

log = structlog.get_logger(__name__)

_SEND_LIMIT = 10.0


class DeadLetterRecords:
    """Sends them; connects with the first one."""

    def __init__(self, kafka: Kafka, service: str) -> None:
        self._kafka = kafka
        self._topic = dead_letter_topic(service)
        self._producer: Producer | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"dead-letters-{service}")

    async def send(self, consumer: str, envelope: Envelope, reason: str) -> None:
        """Send one; a failure is logged, as the table has it."""
        loop = asyncio.get_running_loop()
        failure = await loop.run_in_executor(self._thread, self._send, consumer, envelope, reason)
        if failure:
            log.error("dead_letter.not_sent", consumer=consumer, event_id=str(envelope.id), reason=failure)

    def _send(self, consumer: str, envelope: Envelope, reason: str) -> str:
        """Returns what went wrong, or nothing."""
        failures: list[str] = []

        def told(error: KafkaError | None, _: Message) -> None:
            if error is not None:
                failures.append(error.str())

        extra = [("consumer", consumer.encode()), ("reason", reason[:2000].encode("utf-8", "replace"))]
        try:
            self._producer = self._producer or Producer(
                self._kafka.client(enable_idempotence=True, acks="all", message_timeout_ms=int(_SEND_LIMIT * 1000))
            )
            self._producer.produce(
                self._topic,
                key=envelope.key.encode("utf-8", "replace"),
                value=bytes(envelope.payload),
                headers=[*record_headers(envelope), *extra],
                on_delivery=told,
            )
            left = self._producer.flush(_SEND_LIMIT)
        except (KafkaException, BufferError) as error:
            return str(error)
        return failures[0] if failures else "Kafka did not answer in time" if left else ""
