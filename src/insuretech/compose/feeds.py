"""How events leave a service that runs apart, and how those of others reach it: the loops beside its own."""

from collections.abc import Sequence

import structlog

from insuretech.contracts.events import EVENTS
from insuretech.kit.kafka import kafka_of
from insuretech.kit.kafka_consumer import KafkaConsumers
from insuretech.kit.kafka_relay import KafkaRelay
from insuretech.kit.platform import Background, Platform, Service

log = structlog.get_logger(__name__)


def feeds_of(service: Service, platform: Platform) -> Sequence[Background]:
    """A relay of the service's outbox to Kafka, and its reactions on what Kafka brings.

    Where no Kafka is set, events stay in the outbox and none come: said loudly, as it is right for tests alone.
    """
    if not platform.settings.kafka:
        log.warning("events.nowhere", service=service.name, why="INSURETECH_KAFKA is not set")
        return ()
    kafka, loops = kafka_of(platform.settings), []
    if service.database is not None and service.messaging is not None:
        relay = KafkaRelay(service.database, service.messaging, kafka)
        loops.append(Background(f"{service.name}.relay", relay.run))
    if service.reactions:
        consumers = KafkaConsumers(service.name, service.reactions, kafka, known=frozenset(EVENTS))
        loops.append(Background(f"{service.name}.consumers", consumers.run))
    return loops
