"""Who looks after the partitioned tables of the services in a process."""

from collections.abc import Iterable, Sequence

from insuretech.kit.partition_keeper import PartitionKeeper
from insuretech.kit.platform import Background, Platform, Service
from insuretech.kit.retention import Retention, messaging_plans


def keepers(services: Iterable[Service], platform: Platform) -> list[PartitionKeeper]:
    """A keeper for each service that has tables in partitions."""
    messages = messaging_plans(Retention.of(platform.settings))
    return [
        PartitionKeeper(
            service.database, [*(messages if service.messaging else ()), *service.partitions], platform.clock
        )
        for service in services
        if service.database is not None and (service.messaging is not None or service.partitions)
    ]


def loops_of(kept: Sequence[PartitionKeeper]) -> list[Background]:
    """What keeps them at it."""
    return [Background(f"{keeper.service}.partitions", keeper.run) for keeper in kept]


def warnings_of(kept: Sequence[PartitionKeeper]) -> list[str]:
    """What those who watch the processes should know, as ``partition:orders.outbox``."""
    return [warning for keeper in kept for warning in keeper.warnings()]
