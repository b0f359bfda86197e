"""Outbox, inbox, dead letters and idempotency keys: the four tables every service's schema has.

Outbox and inbox are partitioned by ranges of the event's id, which is to say by time (``kit.retention``).

An event is written to ``outbox`` in the transaction of the change it tells of. A relay hands it on at least once; a
receiver writes ``inbox`` in the transaction of its effect, so that the effect happens once.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg
from sqlalchemy.ext.asyncio import AsyncConnection

from insuretech.kit.db import Database
from insuretech.kit.events import Envelope, Event
from insuretech.kit.ids import new_id
from insuretech.kit.positions import note_written
from insuretech.kit.tracing import current_trace_id


@dataclass(frozen=True)
class MessagingTables:
    """The messaging tables of one service."""

    outbox: sa.Table
    inbox: sa.Table
    dead_letters: sa.Table
    idempotency_keys: sa.Table


def messaging_tables(metadata: sa.MetaData) -> MessagingTables:
    """Describe the four tables in a service's schema."""
    moment = sa.DateTime(timezone=True)
    outbox = sa.Table(
        "outbox",
        metadata,
        sa.Column("position", sa.BigInteger, sa.Identity(always=True), nullable=False),
        sa.Column("id", pg.UUID(as_uuid=True), primary_key=True),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("topic", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("occurred_at", moment, nullable=False),
        sa.Column("trace_id", sa.Text, nullable=False),
        sa.Column("payload", sa.LargeBinary, nullable=False),
        sa.Column("published_at", moment),
        sa.Index("ix_outbox_unpublished", "position", postgresql_where=sa.text("published_at is null")),
        postgresql_partition_by="range (id)",
    )
    inbox = sa.Table(
        "inbox",
        metadata,
        sa.Column("consumer", sa.Text, primary_key=True),
        sa.Column("event_id", pg.UUID(as_uuid=True), primary_key=True),
        sa.Column("received_at", moment, nullable=False, server_default=sa.func.now()),
        postgresql_partition_by="range (event_id)",
    )
    dead_letters = sa.Table(
        "dead_letters",
        metadata,
        sa.Column("id", pg.UUID(as_uuid=True), primary_key=True),
        sa.Column("consumer", sa.Text, nullable=False),
        sa.Column("event_id", pg.UUID(as_uuid=True), nullable=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("envelope", sa.LargeBinary, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("created_at", moment, nullable=False, server_default=sa.func.now()),
        sa.Column("replayed_at", moment),
        sa.UniqueConstraint("consumer", "event_id"),
    )
    idempotency_keys = sa.Table(
        "idempotency_keys",
        metadata,
        sa.Column("client", sa.Text, primary_key=True),
        sa.Column("route", sa.Text, primary_key=True),
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("fingerprint", sa.LargeBinary, nullable=False),
        sa.Column("locked_until", moment, nullable=False),
        sa.Column("status", sa.SmallInteger),
        sa.Column("body", sa.LargeBinary),
        sa.Column("created_at", moment, nullable=False, server_default=sa.func.now()),
        sa.Index("ix_idempotency_keys_created_at", "created_at"),
    )
    return MessagingTables(outbox, inbox, dead_letters, idempotency_keys)


class Outbox:
    """Writes events of one service; the statement trigger ``outbox_wake`` tells the relay on commit."""

    def __init__(self, table: sa.Table) -> None:
        self._insert = sa.insert(table)

    async def publish(self, connection: AsyncConnection, events: Sequence[Event], occurred_at: datetime) -> None:
        """Store events in the caller's transaction, in order."""
        if not events:
            return
        rows = [outbox_row(event, occurred_at) for event in events]
        await connection.execute(self._insert, rows)
        for row in rows:
            note_written(row["type"], row["id"])


def outbox_row(event: Event, occurred_at: datetime) -> dict[str, Any]:
    """An event as a row of an outbox, for those who write it within a statement of their own.

    Once it is written it is for them to note its position.
    """
    return {
        "id": new_id(),
        "type": event.type_name(),
        "topic": event.topic,
        "key": event.key,
        "occurred_at": occurred_at,
        "trace_id": current_trace_id(),
        "payload": msgspec.json.encode(event),
    }


Handler = Callable[[AsyncConnection, Any, Envelope], Awaitable[None]]


@dataclass(frozen=True)
class Reaction:
    """One consumer of some event types.

    ``handle`` runs in a transaction of ``database`` that also holds the inbox row, so its SQL takes effect once;
    whatever it does beyond SQL must be safe to repeat. ``after_commit`` runs once the effect stands. ``handle_all``
    does what ``handle`` does for several events of one key and type, in their order, where that costs less.
    """

    consumer: str
    events: tuple[type[Event], ...]
    database: Database
    tables: MessagingTables
    handle: Handler
    after_commit: Callable[[Event], None] | None = None
    handle_all: Callable[[AsyncConnection, Sequence[Any]], Awaitable[None]] | None = None

    def decode(self, envelope: Envelope) -> Event:
        """The typed event; raises ``msgspec.ValidationError`` when the payload is not what its type says."""
        event = next(event for event in self.events if event.type_name() == envelope.type)
        return msgspec.json.decode(envelope.payload, type=event)


async def first_receipt(connection: AsyncConnection, inbox: sa.Table, consumer: str, event_id: UUID) -> bool:
    """Note the receipt; False when this consumer has had this event before."""
    result = await connection.execute(_receipt(inbox), {"consumer": consumer, "event_id": event_id})
    return bool(result.rowcount)


async def first_receipts(
    connection: AsyncConnection, inbox: sa.Table, consumer: str, event_ids: Sequence[UUID]
) -> set[UUID]:
    """Note the receipt of several; those that this consumer has not had before."""
    result = await connection.execute(_receipts(inbox), {"consumer": consumer, "event_ids": list(event_ids)})
    return set(result.scalars())


@cache
def _receipts(inbox: sa.Table) -> sa.Insert:
    ids = sa.func.unnest(sa.bindparam("event_ids", type_=pg.ARRAY(pg.UUID(as_uuid=True))))
    told = sa.select(sa.bindparam("consumer", type_=sa.Text), ids)
    receipts = pg.insert(inbox).from_select(["consumer", "event_id"], told)
    return receipts.on_conflict_do_nothing().returning(inbox.c.event_id)


@cache
def _receipt(inbox: sa.Table) -> sa.Insert:
    """Made once: building a statement costs more than running it, and every event runs this one."""
    return pg.insert(inbox).on_conflict_do_nothing()
