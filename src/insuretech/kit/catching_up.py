"""Waiting until a service has heard of certain events: what its inbox holds, it has handled."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from prometheus_client import Counter
from sqlalchemy.dialects import postgresql as pg

from insuretech.kit.clock import Clock
from insuretech.kit.db import Database
from insuretech.kit.direct import Direct
from insuretech.kit.messaging import MessagingTables, Reaction
from insuretech.kit.positions import Position, is_fresh, positions_in

WAITED = Counter("insuretech_position_waits_total", "Reads that named positions, by how it ended.", ["service", "end"])

_FRESH = timedelta(seconds=60)
"""An event older than this has been handled, or will not be soon."""
_FIRST_PAUSE = 0.01


class CatchingUp:
    """Lets reads wait, ``limit`` seconds at most, until the reactions of a service have handled what a caller wrote."""

    def __init__(
        self,
        database: Database,
        tables: MessagingTables,
        reactions: Sequence[Reaction],
        clock: Clock,
        *,
        limit: float = 0.5,
    ) -> None:
        self._database = database
        self._clock = clock
        self._limit = limit
        self._consumers: dict[str, list[str]] = {}
        for reaction in reactions:
            for event in reaction.events:
                self._consumers.setdefault(event.type_name(), []).append(reaction.consumer)
        inbox = tables.inbox
        consumers = sa.bindparam("consumers", type_=pg.ARRAY(sa.Text))
        events = sa.bindparam("events", type_=pg.ARRAY(pg.UUID(as_uuid=True)))
        handled = sa.select(sa.func.count().label("handled"))
        self._handled = Direct(
            handled.where(inbox.c.consumer == sa.any_(consumers), inbox.c.event_id == sa.any_(events))
        )

    async def with_position(self, header: str | None) -> bool:
        """Return when everything the header names has been handled, or False when that takes too long."""
        now = self._clock.now()
        named = [one for one in positions_in(header) if one.version is None and one.type in self._consumers]
        positions = [one for one in named if is_fresh(one, now, _FRESH)]
        if not positions:
            return True
        until = asyncio.get_running_loop().time() + self._limit
        pause = _FIRST_PAUSE
        while not await self._all_handled(positions):
            if asyncio.get_running_loop().time() + pause > until:
                WAITED.labels(self._database.service, "given up").inc()
                return False
            await asyncio.sleep(pause)
            pause = min(2 * pause, 0.1)
        WAITED.labels(self._database.service, "caught up").inc()
        return True

    async def _all_handled(self, positions: Sequence[Position]) -> bool:
        wanted = sum(len(self._consumers[one.type]) for one in positions)
        values: dict[str, Any] = {
            "consumers": sorted({consumer for one in positions for consumer in self._consumers[one.type]}),
            "events": [one.id for one in positions],
        }
        async with self._database.reading() as connection:
            found = await self._handled.first(connection, values)
        return found is not None and found["handled"] >= wanted
