"""Looking at messages that were given up on, and handing them over once more."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID

import msgspec
import sqlalchemy as sa

from insuretech.kit.db import Database
from insuretech.kit.events import Envelope
from insuretech.kit.messaging import MessagingTables, Reaction
from insuretech.kit.relay import deliver


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """A message no attempt could handle, with the reason of the last attempt."""

    id: UUID
    consumer: str
    event_id: UUID
    type: str
    envelope: Envelope
    reason: str
    attempts: int
    created_at: datetime
    replayed_at: datetime | None


async def dead_letters(database: Database, tables: MessagingTables, *, limit: int = 200) -> list[DeadLetter]:
    """The newest dead letters of a service that were not replayed yet."""
    table = tables.dead_letters
    statement = (
        sa.select(*(table.c[name] for name in DeadLetter.__struct_fields__))
        .where(table.c.replayed_at.is_(None))
        .order_by(table.c.created_at.desc())
        .limit(limit)
    )
    async with database.reading() as connection:
        rows = (await connection.execute(statement)).mappings().all()
    return [DeadLetter(**{**row, "envelope": msgspec.json.decode(row["envelope"], type=Envelope)}) for row in rows]


async def replay(letters: Iterable[DeadLetter], reactions: Sequence[Reaction]) -> list[UUID]:
    """Hand letters to their consumers again, in the order their events occurred; the ids of those handled this time.

    A letter of a service as a whole (its version knew no such event) goes to all its reactions on that event.
    """
    handled = []
    for letter in sorted(letters, key=lambda letter: letter.event_id):
        concerned = [reaction for reaction in reactions if _concerns(letter, reaction)]
        if not concerned:
            continue
        done = [await deliver(reaction, letter.envelope, attempts=1, backoff=0) for reaction in concerned]
        if not all(done):
            continue
        table = concerned[0].tables.dead_letters
        async with concerned[0].database.transaction() as connection:
            await connection.execute(sa.update(table).where(table.c.id == letter.id).values(replayed_at=sa.func.now()))
        handled.append(letter.id)
    return handled


def _concerns(letter: DeadLetter, reaction: Reaction) -> bool:
    if reaction.consumer == letter.consumer:
        return True
    of_this_service = reaction.database.service == letter.consumer
    return of_this_service and any(event.type_name() == letter.type for event in reaction.events)
