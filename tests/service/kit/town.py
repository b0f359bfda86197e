"""A service of our own for tests of messaging: residents move, and two consumers keep lists of them."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from insuretech.kit.db import Database
from insuretech.kit.events import Envelope, Event
from insuretech.kit.messaging import MessagingTables, Outbox, Reaction, messaging_tables
from insuretech.kit.relay import LocalRelay

metadata = sa.MetaData(schema="documents")  # any service's schema has the messaging tables
messaging: MessagingTables = messaging_tables(metadata)
moves = sa.Table(
    "test_moves",
    metadata,
    sa.Column("row", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("consumer", sa.Text, nullable=False),
    sa.Column("resident", sa.Text, nullable=False),
    sa.Column("number", sa.Integer, nullable=False),
)


class ResidentMoved(Event, frozen=True, kw_only=True):
    """The ``number``-th move of a resident."""

    topic = "town.resident.v1"
    name = "moved"
    resident: str
    number: int

    @property
    def key(self) -> str:
        return self.resident


Meddle = Callable[[AsyncConnection, ResidentMoved], Awaitable[None]]


async def leave_alone(_: AsyncConnection, __: ResidentMoved) -> None:
    """Do nothing beside keeping the list."""


@dataclass
class Town:
    """Publishes moves, and hands out consumers that note them and whatever else a test wants."""

    database: Database
    committed: list[tuple[str, int]] = field(default_factory=list)
    together: list[int] = field(default_factory=list)

    async def found(self) -> None:
        async with self.database.transaction() as connection:
            await connection.run_sync(moves.create)

    async def publish(self, *events: ResidentMoved) -> None:
        async with self.database.transaction() as connection:
            await Outbox(messaging.outbox).publish(connection, events, datetime.now(UTC))

    def consumer(self, name: str = "register", meddle: Meddle = leave_alone) -> Reaction:
        async def handle(connection: AsyncConnection, event: ResidentMoved, _: Envelope) -> None:
            row = {"consumer": name, "resident": event.resident, "number": event.number}
            await connection.execute(sa.insert(moves).values(row))
            await meddle(connection, event)

        def noted(event: Event) -> None:
            assert isinstance(event, ResidentMoved)
            self.committed.append((event.resident, event.number))

        return Reaction(name, (ResidentMoved,), self.database, messaging, handle, after_commit=noted)

    def gatherer(self, name: str = "register", meddle: Meddle = leave_alone) -> Reaction:
        """A consumer that takes many events at once."""

        async def handle_all(connection: AsyncConnection, events: Sequence[ResidentMoved]) -> None:
            self.together.append(len(events))
            for event in events:
                row = {"consumer": name, "resident": event.resident, "number": event.number}
                await connection.execute(sa.insert(moves).values(row))
                await meddle(connection, event)

        async def handle(connection: AsyncConnection, event: ResidentMoved, _: Envelope) -> None:
            await handle_all(connection, [event])

        return Reaction(name, (ResidentMoved,), self.database, messaging, handle, handle_all=handle_all)

    def relay(self, *reactions: Reaction, attempts: int = 3, interval: float = 0.05) -> LocalRelay:
        return LocalRelay(self.database, messaging, reactions, attempts=attempts, interval=interval, backoff=0.001)

    async def seen(self, consumer: str = "register") -> dict[str, list[int]]:
        """The numbers each resident's moves were noted with, in the order of noting."""
        statement = (
            sa.select(moves.c.resident, moves.c.number).where(moves.c.consumer == consumer).order_by(moves.c.row)
        )
        found: dict[str, list[int]] = {}
        async with self.database.reading() as connection:
            for resident, number in (await connection.execute(statement)).all():
                found.setdefault(resident, []).append(number)
        return found

    async def unpublished(self) -> int:
        statement = sa.select(sa.func.count()).where(messaging.outbox.c.published_at.is_(None))
        async with self.database.reading() as connection:
            return int((await connection.execute(statement)).scalar_one())

    async def envelopes(self) -> list[Envelope]:
        """Everything that was ever published, in order, whether it was delivered or not."""
        columns = (messaging.outbox.c[name] for name in Envelope.__struct_fields__)
        async with self.database.reading() as connection:
            rows = (await connection.execute(sa.select(*columns).order_by(messaging.outbox.c.position))).mappings()
            return [Envelope(**{**row, "payload": msgspec.Raw(row["payload"])}) for row in rows]

    async def quiet(self, limit: float = 90) -> None:
        """Return when nothing waits in the outbox."""
        async with asyncio.timeout(limit):
            while await self.unpublished():  # noqa: ASYNC110 - a table sets no event
                await asyncio.sleep(0.01)


def all_moves(residents: int, each: int) -> list[ResidentMoved]:
    """Moves of several residents, interleaved, each one's in order."""
    return [ResidentMoved(resident=f"r{who}", number=number) for number in range(each) for who in range(residents)]
