"""All write SQL of documents."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from uuid import UUID

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from insuretech.documents import queries
from insuretech.documents.domain import StoredDocument
from insuretech.documents.tables import documents, messaging
from insuretech.kit.db import Connection, Database
from insuretech.kit.events import Event
from insuretech.kit.messaging import Outbox


class DocumentRepository:
    """Documents on one connection, in its transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._outbox = Outbox(messaging.outbox)

    async def add(self, document: StoredDocument) -> bool:
        statement = pg.insert(documents).values(msgspec.structs.asdict(document))
        statement = statement.on_conflict_do_nothing(index_elements=["policy_id", "state"])
        return bool((await self._connection.execute(statement)).rowcount)

    async def move(self, before: StoredDocument, after: StoredDocument) -> bool:
        statement = (
            sa.update(documents)
            .where(documents.c.id == before.id, documents.c.storage_key == before.storage_key)
            .values(storage_key=after.storage_key, sha256=after.sha256, size=after.size)
        )
        return bool((await self._connection.execute(statement)).rowcount)

    async def publish(self, events: Sequence[Event], now: datetime) -> None:
        await self._outbox.publish(self._connection, events, now)


class PostgresDocuments:
    """The rows of the service's own database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def newest(self, number: str, owner: str) -> StoredDocument | None:
        async with self._database.reading() as connection:
            return await queries.newest_document(connection, number, owner)

    async def after(self, last: UUID | None, limit: int) -> list[StoredDocument]:
        async with self._database.reading() as connection:
            return await queries.documents_after(connection, last, limit)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[DocumentRepository]:
        async with self._database.transaction() as connection:
            yield DocumentRepository(connection)
