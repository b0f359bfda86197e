"""How long a service's messages stay, and in what partitions.

An event may come again for as long as a copy of it can be sent: until its outbox lets it go and then for as long as
its topic keeps it. The inbox remembers it for longer than both together, so that it takes effect once. Compacted topics
keep an event for good: what is done about it must be right when it is done again (the last state of a product).
"""

from dataclasses import dataclass
from datetime import timedelta

from insuretech.kit.partitions import Plan
from insuretech.kit.settings import Settings

_MARGIN = timedelta(days=2)

# Rows are added, marked once at most, and dropped with their partition long before they would have to be frozen:
# vacuuming what was only inserted would read everything once more for nobody.
_INSERTED = "autovacuum_vacuum_insert_threshold = -1"


@dataclass(frozen=True)
class Retention:
    """``outbox``: of what was published; ``topics``: of what is listened to; ``period``: what one partition holds."""

    outbox: timedelta = timedelta(days=7)
    topics: timedelta = timedelta(days=7)
    period: timedelta = timedelta(days=1)

    @property
    def inbox(self) -> timedelta:
        """Of receipts: as long as an event may come again."""
        return self.outbox + self.topics + _MARGIN

    @classmethod
    def of(cls, settings: Settings, topics: timedelta) -> "Retention":
        """By the settings; ``topics``: how long the topics keep what the service listens to."""
        return cls(
            outbox=timedelta(seconds=settings.outbox_kept),
            topics=topics,
            period=timedelta(seconds=settings.partition_period),
        )


def messaging_plans(retention: Retention) -> tuple[Plan, Plan]:
    """Of the outbox and of the inbox; an event nobody took yet keeps its partition whatever its age."""
    outbox = Plan(
        table="outbox",
        column="id",
        kept=retention.outbox,
        strays="published_at",
        held="published_at is null",
        period=retention.period,
        storage=_INSERTED,
    )
    inbox = Plan(
        table="inbox",
        column="event_id",
        kept=retention.inbox,
        strays="received_at",
        period=retention.period,
        storage=_INSERTED,
    )
    return outbox, inbox
