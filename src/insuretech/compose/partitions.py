"""Who looks after the partitioned tables of the services in a process."""

from collections.abc import Iterable, Sequence
from datetime import timedelta

from insuretech.kit.partition_keeper import PartitionKeeper
from insuretech.kit.partitions import Plan
from insuretech.kit.platform import Background, Platform, Service
from insuretech.kit.retention import Retention, messaging_plans
from insuretech.kit.settings import Settings


def keepers(services: Iterable[Service], platform: Platform) -> list[PartitionKeeper]:
    """A keeper for each service that has tables in partitions."""
    return [
        PartitionKeeper(service.database, plans, platform.clock)
        for service in services
        if service.database is not None and (plans := plans_of(service, platform.settings))
    ]


def plans_of(service: Service, settings: Settings) -> list[Plan]:
    """All tables of a service that are in partitions, and how long their rows stay."""
    topics = _kept_by_topics(service) if settings.kafka else timedelta()
    messages = messaging_plans(Retention.of(settings, topics)) if service.messaging else ()
    return [*messages, *service.partitions]


def _kept_by_topics(service: Service) -> timedelta:
    """The longest that a topic the service listens to keeps its events; compacted ones keep some for good."""
    from insuretech.contracts.topics import topics  # noqa: PLC0415 - Kafka's client is large, and one machine has none

    heard = {event.topic for reaction in service.reactions for event in reaction.events}
    days = (topic.retention_days or 0 for topic in topics() if topic.name in heard)
    return timedelta(days=max(days, default=0))


def loops_of(kept: Sequence[PartitionKeeper]) -> list[Background]:
    """What keeps them at it."""
    return [Background(f"{keeper.service}.partitions", keeper.run) for keeper in kept]


def warnings_of(kept: Sequence[PartitionKeeper]) -> list[str]:
    """What those who watch the processes should know, as ``partition:orders.outbox``."""
    return [warning for keeper in kept for warning in keeper.warnings()]
