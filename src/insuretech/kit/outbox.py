"""Looking at what waits in a service's outbox, waiting for it, and sending a part of it again."""

import asyncio
from collections.abc import Sequence
from datetime import datetime

import msgspec
import sqlalchemy as sa

from insuretech.kit.db import Database
from insuretech.kit.messaging import MessagingTables


class OutboxState(msgspec.Struct, frozen=True, kw_only=True):
    """One service's outbox at a moment; ``oldest`` is when the first event that waits occurred."""

    service: str
    waiting: int
    oldest: datetime | None
    published: int
    dead_letters: int


async def outbox_state(database: Database, tables: MessagingTables) -> OutboxState:
    """How many events wait, went out, and could not be handled by this service's own consumers."""
    outbox, letters = tables.outbox, tables.dead_letters
    waits = outbox.c.published_at.is_(None)
    events = sa.select(
        sa.func.count().filter(waits).label("waiting"),
        sa.func.min(outbox.c.occurred_at).filter(waits).label("oldest"),
        sa.func.count().filter(~waits).label("published"),
    )
    dead = sa.select(sa.func.count()).select_from(letters).where(letters.c.replayed_at.is_(None))
    async with database.reading() as connection:
        row = (await connection.execute(events)).mappings().one()
        return OutboxState(service=database.service, dead_letters=(await connection.execute(dead)).scalar_one(), **row)


async def publish_again(
    database: Database, tables: MessagingTables, *, since: datetime | None = None, types: Sequence[str] = ()
) -> int:
    """Mark published events as waiting, so that the relay hands them over once more; gives their number.

    Consumers that have had an event ignore it (inbox): this is for consumers that are new or lost their data.
    """
    outbox = tables.outbox
    chosen: list[sa.ColumnElement[bool]] = [outbox.c.published_at.is_not(None)]
    if since is not None:
        chosen.append(outbox.c.occurred_at >= since)
    if types:
        chosen.append(outbox.c.type.in_(types))
    async with database.transaction() as connection:
        result = await connection.execute(sa.update(outbox).where(*chosen).values(published_at=None))
        return result.rowcount


async def until_delivered(database: Database, tables: MessagingTables, limit: float) -> bool:
    """Return when every event that waits now has been handed over, or False after ``limit`` seconds."""
    outbox = tables.outbox
    waits = outbox.c.published_at.is_(None)
    async with database.reading() as connection:
        last = (await connection.execute(sa.select(sa.func.max(outbox.c.position)).where(waits))).scalar_one()
    if last is None:
        return True
    still = sa.select(sa.exists().where(waits, outbox.c.position <= last))
    until = asyncio.get_running_loop().time() + limit
    while True:
        async with database.reading() as connection:
            if not (await connection.execute(still)).scalar_one():
                return True
        if asyncio.get_running_loop().time() > until:
            return False
        await asyncio.sleep(0.01)
