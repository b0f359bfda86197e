"""Looks after a service's partitioned tables for as long as the process runs; replicas may do so side by side."""

import asyncio
import random
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

import msgspec
import sqlalchemy as sa
import structlog
from prometheus_client import Counter, Gauge
from sqlalchemy.engine import Connection

from insuretech.kit.clock import Clock
from insuretech.kit.db import Database
from insuretech.kit.partitions import Ending, Partition, Plan, Shelf, partitions

log = structlog.get_logger(__name__)

OUT_OF_PLACE = Gauge(
    "insuretech_partition_rows_out_of_place",
    "Rows in the default partition, up to a thousand; none as long as all is well.",
    ["service", "table"],
)
HELD = Gauge(
    "insuretech_partitions_held",
    "Partitions past their retention that may not go, as events in them were never published.",
    ["service", "table"],
)
AHEAD = Gauge(
    "insuretech_partitions_ahead_seconds", "For how long from now on there are partitions.", ["service", "table"]
)
DROPPED = Counter(
    "insuretech_partitions_dropped_total", "Partitions dropped after their retention.", ["service", "table"]
)

_EVERY = 600.0
_SOON = 30.0
_TRIES = 5
_LONGEST_PAUSE = 1.0
_BUSY = {"55P03", "40P01"}
"""SQLSTATEs of a lock that could not be had in time."""

Result = TypeVar("Result")


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """What was done about one table, and how it stands.

    ``held``: partitions past their retention that rows keep; ``out_of_place``: rows in the default partition;
    ``postponed``: something was in the way and is left for the next time.
    """

    table: str
    made: list[str] = []
    dropped: list[str] = []
    held: list[str] = []
    out_of_place: int = 0
    postponed: bool = False


class PartitionKeeper:
    """Makes partitions ahead, drops those past their retention, and tells what is not as it should be."""

    def __init__(self, database: Database, plans: Sequence[Plan], clock: Clock) -> None:
        self._database = database
        self._plans = plans
        self._clock = clock
        self._warnings: dict[str, str] = {}

    @property
    def service(self) -> str:
        return self._database.service

    def warnings(self) -> list[str]:
        """Tables with rows out of place, as ``partition:orders.outbox``; as of the last look."""
        return list(self._warnings.values())

    async def run(self) -> None:
        """Maintain now and again until cancelled."""
        while True:
            kept = await self.maintain()
            pause = _SOON if any(one.postponed for one in kept) else _EVERY
            await asyncio.sleep(pause * random.uniform(0.9, 1.1))  # noqa: S311 - so that replicas part

    async def maintain(self) -> list[Kept]:
        """One round over all tables."""
        return [await self._keep(plan, self._clock.now()) for plan in self._plans]

    async def list(self) -> list[Partition]:
        """Every partition as the database knows it."""
        async with self._database.reading() as connection:
            return [
                part
                for plan in self._plans
                for part in await connection.run_sync(partitions, self._database.service, plan.table)
            ]

    async def _keep(self, plan: Plan, now: datetime) -> Kept:
        made = await self._alone(plan, lambda shelf: shelf.make_missing(now))
        old = await self._look(plan, lambda shelf: shelf.expired(now))
        ends = {part.name: await self._let_go(plan, part, now) for part in old}
        strays = await self._look(plan, lambda shelf: shelf.strays())
        if strays and await self._alone(plan, lambda shelf: shelf.forget_strays(now)):
            strays = await self._look(plan, lambda shelf: shelf.strays())
        kept = Kept(
            table=f"{self.service}.{plan.table}",
            made=made or [],
            dropped=[name for name, end in ends.items() if end is Ending.DROPPED],
            held=[name for name, end in ends.items() if end is Ending.HELD],
            out_of_place=strays,
            postponed=made is None or None in ends.values(),
        )
        await self._tell(plan, kept, now)
        return kept

    async def _let_go(self, plan: Plan, part: Partition, now: datetime) -> Ending | None:
        """What became of it; None when something was in the way."""
        if plan.rescue and not await self._alone(plan, partial(Shelf.rescue, part=part)):
            return None
        return await self._alone(plan, partial(Shelf.drop, part=part, now=now))

    async def _tell(self, plan: Plan, kept: Kept, now: datetime) -> None:
        labels = (self.service, plan.table)
        spans = await self._look(plan, lambda shelf: [part.span for part in shelf.existing() if not part.default])
        last = max((span.upper for span in spans if span.upper is not None), default=now)
        AHEAD.labels(*labels).set(max(timedelta(), last - now).total_seconds())
        HELD.labels(*labels).set(len(kept.held) if plan.trouble else 0)
        OUT_OF_PLACE.labels(*labels).set(kept.out_of_place)
        DROPPED.labels(*labels).inc(len(kept.dropped))
        self._warnings.pop(kept.table, None)
        if kept.out_of_place:
            self._warnings[kept.table] = f"partition:{kept.table}"
            log.warning("partitions.rows_out_of_place", table=kept.table, rows=kept.out_of_place)
        if kept.held and plan.trouble:
            log.warning("partitions.held", table=kept.table, partitions=kept.held)
        if kept.made or kept.dropped:
            log.info("partitions.kept", table=kept.table, made=kept.made, dropped=kept.dropped)

    # ------------------------------------------------------------ one step, one transaction

    async def _look(self, plan: Plan, look: Callable[[Shelf], Result]) -> Result:
        async with self._database.reading() as connection:
            return await connection.run_sync(lambda plain: look(Shelf(plain, self.service, plan)))

    async def _alone(self, plan: Plan, step: Callable[[Shelf], Result]) -> Result | None:
        """Run a step with the table to ourselves; None when another process or a lock was in the way.

        A lock that cannot be had at once is left to others and tried again a little later.
        """

        def taken(connection: Connection) -> Result | None:
            shelf = Shelf(connection, self.service, plan)
            return step(shelf) if shelf.take_lock() else None

        for left in reversed(range(_TRIES)):
            try:
                async with self._database.transaction() as connection:
                    return await connection.run_sync(taken)
            except sa.exc.DBAPIError as error:
                if getattr(error.orig, "sqlstate", None) not in _BUSY:
                    raise
                log.info("partitions.locked", table=f"{self.service}.{plan.table}", tries_left=left)
            await asyncio.sleep(random.uniform(0, _LONGEST_PAUSE))  # noqa: S311 - no secret
        return None
