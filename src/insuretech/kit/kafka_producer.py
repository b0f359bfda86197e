"""Sending events to Kafka so that whoever took over can rely on it: in order, whole batches, and nobody else meanwhile.

Every range of a service's keys has a transactional id of its own. Beginning with it aborts what its former holder left
unfinished and shuts that one out for good (the brokers refuse the older epoch), however late its records arrive. So
events that are read *after* ``begin`` follow in the log whatever was sent before, and none comes from behind.
"""

import time
from collections.abc import Sequence

from confluent_kafka import KafkaException, Producer

from insuretech.kit.events import Envelope
from insuretech.kit.kafka import LARGEST_RECORD, Kafka, reason_of, record_headers

_SLICE = 2.0  # seconds a call may block: a stop need not wait longer
_SEND_LIMIT = 15.0
_TRANSACTION_LIMIT_MS = 20_000
_OVERHEAD = 1024
"""Bytes of a record beside its value, at most: headers and key."""


class NotSent(Exception):
    """A batch was not sent, or nobody knows; the message is Kafka's. A new producer has to begin."""


class RangeProducer:
    """Sends batches of one range, each whole or not at all. Its methods block; one thread at a time.

    ``name`` is the same for every holder of the range, and for nothing else.
    """

    def __init__(self, kafka: Kafka, name: str) -> None:
        self._producer = Producer(
            kafka.client(
                transactional_id=name,
                transaction_timeout_ms=_TRANSACTION_LIMIT_MS,
                message_timeout_ms=int(_SEND_LIMIT * 1000),
                socket_timeout_ms=10_000,
                acks="all",
                enable_idempotence=True,
                partitioner="murmur2_random",  # as the Java clients and Kafka's own tools place keys
                compression_type="lz4",
                linger_ms=100,  # a batch is complete when it is committed, and goes out then
                queue_buffering_max_kbytes=65_536,
                message_max_bytes=LARGEST_RECORD,
            )
        )

    def begin(self) -> bool:
        """Shut former holders out; False when Kafka did not answer in time, and it may be tried again."""
        try:
            self._producer.init_transactions(_SLICE)
        except KafkaException as error:
            if reason_of(error).retriable():
                return False
            raise NotSent(reason_of(error).str()) from error
        return True

    def send(self, envelopes: Sequence[Envelope]) -> list[Envelope]:
        """Send a batch and return when Kafka has it for good; gives the events that Kafka will never take.

        Raises ``NotSent``.
        """
        refused = []
        try:
            self._producer.begin_transaction()
            for envelope in envelopes:
                if len(envelope.payload) > LARGEST_RECORD - _OVERHEAD:
                    refused.append(envelope)
                    continue
                self._producer.produce(
                    envelope.topic,
                    key=envelope.key.encode(),
                    value=bytes(envelope.payload),
                    headers=list(record_headers(envelope)),
                    timestamp=int(envelope.occurred_at.timestamp() * 1000),
                )
            self._commit(time.monotonic() + _SEND_LIMIT)
        except (KafkaException, BufferError) as error:
            reason = reason_of(error) if isinstance(error, KafkaException) else error
            raise NotSent(str(reason)) from error
        return refused

    def _commit(self, until: float) -> None:
        while True:
            try:
                self._producer.commit_transaction(_SLICE)
            except KafkaException as error:
                if not reason_of(error).retriable() or time.monotonic() > until:
                    raise
            else:
                return

    def end(self) -> None:
        """Forget what has not been sent and let go."""
        self._producer.purge(blocking=False)
        del self._producer
