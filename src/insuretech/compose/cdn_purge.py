"""What ``insuretech cdn-purge`` runs: product events from Kafka become purges of the CDN's points.

Nothing is kept here. A purge is safe to repeat, so offsets are committed after it, and replicas share the partitions.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Literal, Protocol

import structlog
from confluent_kafka import Consumer, KafkaException, Message

from insuretech.compose.hosting import Stopping, run_until_signal
from insuretech.connectors.cdn import CdnPoints
from insuretech.contracts.events import ProductPublished
from insuretech.contracts.products import LIST_TAG, page_tag
from insuretech.kit.http import new_client
from insuretech.kit.kafka import Kafka, RecordInvalid, ends_client, envelope_of, kafka_of, reason_of
from insuretech.kit.settings import Settings, SettingsInvalid

log = structlog.get_logger(__name__)

SETTLE = 1.5
"""Seconds after which a purge is made again: a replica of the catalogue takes up to one to show a change, and whoever
asked a point in between made it keep the old page once more."""
_TOGETHER = 100  # events that make one purge
_POLL = 0.25
_PAUSE = 1.0

Purge = Callable[[Collection[str]], Awaitable[list[str]]]


class ProductLog(Protocol):
    """The part of Kafka's consumer that is needed; both calls block."""

    def consume(self, num_messages: int, timeout: float) -> list[Message]: ...

    def commit(self, *, asynchronous: Literal[False]) -> object: ...


def tags_of(messages: Sequence[Message]) -> set[str]:
    """What to purge after these records; one that is no event of ours is passed over, as others put it aside."""
    tags: set[str] = set()
    for message in messages:
        if message.error() is not None:
            continue
        try:
            tags |= {LIST_TAG, page_tag(envelope_of(message).key)}
        except RecordInvalid as error:
            log.warning("cdn.record_invalid", reason=str(error))
    return tags


async def follow(events: ProductLog, purge: Purge, settle: float = SETTLE) -> None:
    """Purge after every change, until cancelled; raises ``KafkaException`` when Kafka cannot be gone on with."""
    while True:
        messages = await asyncio.to_thread(events.consume, _TOGETHER, _POLL)
        for message in messages:
            error = message.error()
            if error is not None and ends_client(error):
                raise KafkaException(error)
        tags = tags_of(messages)
        if not tags:
            continue
        await purge(tags)
        await asyncio.sleep(settle)
        await purge(tags)
        await asyncio.to_thread(events.commit, asynchronous=False)
        log.info("cdn.purged", tags=sorted(tags))


def serve_purges(settings: Settings) -> None:
    """Follow product events until SIGINT, SIGTERM or SIGHUP; must run in the main thread."""
    points = [point.strip() for point in settings.cdn_points.split(",") if point.strip()]
    if not points or not settings.cdn_purge_token:
        raise SettingsInvalid("INSURETECH_CDN_POINTS and INSURETECH_CDN_PURGE_TOKEN_FILE are needed.")
    kafka = kafka_of(settings)

    async def main(_: Stopping) -> None:
        async with new_client() as client:
            await keep_following(kafka, CdnPoints(client, points, settings.cdn_purge_token).purge)

    run_until_signal(main)


async def keep_following(kafka: Kafka, purge: Purge) -> None:
    """Follow the products in the log, until cancelled; survives a Kafka that goes away."""
    while True:
        consumer = _consumer(kafka)
        try:
            await follow(consumer, purge)
        except KafkaException as error:
            log.warning("cdn.interrupted", reason=reason_of(error).str())
        finally:
            consumer.close()
        await asyncio.sleep(_PAUSE)


def _consumer(kafka: Kafka) -> Consumer:
    settings = kafka.client(
        group_id="insuretech.cdn-purge",
        session_timeout_ms=6000,
        heartbeat_interval_ms=1500,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        queued_max_messages_kbytes=1024,
        topic_metadata_refresh_interval_ms=30_000,
    )
    consumer = Consumer(settings | ({"group.instance.id": kafka.instance} if kafka.instance else {}))
    consumer.subscribe([ProductPublished.topic])
    return consumer
