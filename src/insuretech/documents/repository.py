"""All write SQL of documents."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from uuid import UUID

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from insuretech.documents import queries
from insuretech.documents.domain import Backlog, StoredDocument, WantedPrint
from insuretech.documents.tables import discarded_objects, documents, messaging, prints
from insuretech.kit.db import Connection, Database
from insuretech.kit.direct import Direct
from insuretech.kit.events import Event
from insuretech.kit.messaging import Outbox

_RIPE = (
    sa.select(prints.c.policy_id, prints.c.state)
    .where(prints.c.next_attempt_at <= sa.bindparam("now", type_=prints.c.next_attempt_at.type))
    .order_by(prints.c.next_attempt_at)
    .limit(sa.bindparam("most", type_=sa.Integer))
    .with_for_update(skip_locked=True)
    .cte("ripe")
)
_CLAIM = Direct(
    sa.update(prints)
    .where(prints.c.policy_id == _RIPE.c.policy_id, prints.c.state == _RIPE.c.state)
    .values(next_attempt_at=sa.bindparam("until", type_=prints.c.next_attempt_at.type), attempts=prints.c.attempts + 1)
    .returning(*(prints.c[name] for name in WantedPrint.__struct_fields__))
)


class DocumentRepository:
    """Documents on one connection, in its transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._outbox = Outbox(messaging.outbox)

    async def want(self, wanted: WantedPrint) -> bool:
        made = sa.select(documents.c.id).where(
            documents.c.policy_id == wanted.policy_id, documents.c.state == wanted.state
        )
        if (await self._connection.execute(made)).first() is not None:
            return False
        row = {**msgspec.structs.asdict(wanted), "next_attempt_at": wanted.wanted_at}
        statement = pg.insert(prints).values(row).on_conflict_do_nothing()
        return bool((await self._connection.execute(statement)).rowcount)

    async def done(self, policy_id: UUID, state: str) -> None:
        await self._connection.execute(
            sa.delete(prints).where(prints.c.policy_id == policy_id, prints.c.state == state)
        )

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

    async def discard(self, storage_key: str, now: datetime) -> None:
        statement = pg.insert(discarded_objects).values(storage_key=storage_key, discarded_at=now)
        await self._connection.execute(
            statement.on_conflict_do_update(index_elements=["storage_key"], set_={"discarded_at": now})
        )

    async def publish(self, events: Sequence[Event], now: datetime) -> None:
        await self._outbox.publish(self._connection, events, now)


class PostgresDocuments:
    """The rows of the service's own database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def newest(self, number: str, owner: str) -> StoredDocument | None:
        async with self._database.reading() as connection:
            return await queries.newest_document(connection, number, owner)

    async def document(self, document_id: UUID) -> StoredDocument | None:
        async with self._database.reading() as connection:
            return await queries.document_of(connection, document_id)

    async def after(self, last: UUID | None, limit: int) -> list[StoredDocument]:
        async with self._database.reading() as connection:
            return await queries.documents_after(connection, last, limit)

    async def wanted(self, number: str) -> list[WantedPrint]:
        async with self._database.reading() as connection:
            return await queries.wanted_prints(connection, number)

    async def overdue(self, before: datetime, limit: int) -> list[WantedPrint]:
        async with self._database.reading() as connection:
            return await queries.overdue_prints(connection, before, limit)

    async def backlog(self) -> Backlog:
        async with self._database.reading() as connection:
            return await queries.print_backlog(connection)

    async def claim(self, now: datetime, lease: timedelta, limit: int) -> list[WantedPrint]:
        values = {"now": now, "until": now + lease, "most": limit}
        async with self._database.reading() as connection:  # one statement commits by itself
            return [WantedPrint(**row) for row in await _CLAIM.all(connection, values)]

    async def postpone(self, wanted: WantedPrint, until: datetime, error: str) -> None:
        statement = (
            sa.update(prints)
            .where(prints.c.policy_id == wanted.policy_id, prints.c.state == wanted.state)
            .values(next_attempt_at=until, last_error=error)
        )
        async with self._database.transaction() as connection:
            await connection.execute(statement)

    async def discarded(self, before: datetime, limit: int) -> list[str]:
        async with self._database.reading() as connection:
            return await queries.discarded_keys(connection, before, limit)

    async def forget(self, storage_key: str) -> None:
        async with self._database.transaction() as connection:
            await connection.execute(sa.delete(discarded_objects).where(discarded_objects.c.storage_key == storage_key))

    async def pointed_at(self, storage_keys: Sequence[str]) -> set[str]:
        async with self._database.reading() as connection:
            return await queries.keys_in_use(connection, storage_keys)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[DocumentRepository]:
        async with self._database.transaction() as connection:
            yield DocumentRepository(connection)
