"""All read SQL of documents."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from insuretech.documents.domain import Backlog, StoredDocument, WantedPrint
from insuretech.documents.tables import discarded_objects, documents, prints
from insuretech.kit.db import Connection
from insuretech.kit.direct import Direct

_ROW = sa.select(*(documents.c[name] for name in StoredDocument.__struct_fields__))
_WANTED = sa.select(*(prints.c[name] for name in WantedPrint.__struct_fields__))
# The press asks these every second.
_BACKLOG = Direct(sa.select(sa.func.count().label("waiting"), sa.func.min(prints.c.wanted_at).label("oldest")))
_DISCARDED = Direct(
    sa.select(discarded_objects.c.storage_key)
    .where(discarded_objects.c.discarded_at < sa.bindparam("before", type_=discarded_objects.c.discarded_at.type))
    .order_by(discarded_objects.c.discarded_at)
    .limit(sa.bindparam("most", type_=sa.Integer))
)


async def newest_document(connection: Connection, number: str, owner: str) -> StoredDocument | None:
    """The document of the last state of the owner's policy of this number."""
    return await _one(
        connection,
        _ROW.where(documents.c.number == number, documents.c.owner == owner)
        .order_by(documents.c.state == "in_force", documents.c.id.desc())
        .limit(1),
    )


async def document_of(connection: Connection, document_id: UUID) -> StoredDocument | None:
    """A document by its id."""
    return await _one(connection, _ROW.where(documents.c.id == document_id))


async def documents_after(connection: Connection, last: UUID | None, limit: int) -> list[StoredDocument]:
    """Documents in the order of their ids, beginning after ``last``."""
    statement = _ROW.order_by(documents.c.id).limit(limit)
    if last is not None:
        statement = statement.where(documents.c.id > last)
    return [StoredDocument(**row) for row in (await connection.execute(statement)).mappings()]


async def wanted_prints(connection: Connection, number: str) -> list[WantedPrint]:
    """Prints that wait for policies of this number."""
    return await _wanted(connection, _WANTED.where(prints.c.number == number))


async def overdue_prints(connection: Connection, before: datetime, limit: int) -> list[WantedPrint]:
    """Prints wanted before a moment, the oldest first."""
    return await _wanted(
        connection, _WANTED.where(prints.c.wanted_at < before).order_by(prints.c.wanted_at).limit(limit)
    )


async def print_backlog(connection: Connection) -> Backlog:
    """How many prints wait, and since when."""
    (row,) = await _BACKLOG.all(connection, {})
    return Backlog(**row)


async def discarded_keys(connection: Connection, before: datetime, limit: int) -> list[str]:
    """Objects discarded before a moment."""
    rows = await _DISCARDED.all(connection, {"before": before, "most": limit})
    return [row["storage_key"] for row in rows]


async def keys_in_use(connection: Connection, storage_keys: Sequence[str]) -> set[str]:
    """Which of these objects a document points at."""
    statement = sa.select(documents.c.storage_key).where(documents.c.storage_key.in_(storage_keys))
    return set((await connection.execute(statement)).scalars())


async def _one(connection: Connection, statement: sa.Select[Any]) -> StoredDocument | None:
    found = (await connection.execute(statement)).mappings().first()
    return None if found is None else StoredDocument(**found)


async def _wanted(connection: Connection, statement: sa.Select[Any]) -> list[WantedPrint]:
    return [WantedPrint(**row) for row in (await connection.execute(statement)).mappings()]
