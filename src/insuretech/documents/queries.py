"""All read SQL of documents."""

from uuid import UUID

import sqlalchemy as sa

from insuretech.documents.domain import StoredDocument
from insuretech.documents.tables import documents
from insuretech.kit.db import Connection

_ROW = sa.select(*(documents.c[name] for name in StoredDocument.__struct_fields__))


async def newest_document(connection: Connection, number: str, owner: str) -> StoredDocument | None:
    """The document of the last state of the owner's policy of this number."""
    statement = (
        _ROW.where(documents.c.number == number, documents.c.owner == owner)
        .order_by(documents.c.state == "in_force", documents.c.id.desc())
        .limit(1)
    )
    found = (await connection.execute(statement)).mappings().first()
    return None if found is None else StoredDocument(**found)


async def documents_after(connection: Connection, last: UUID | None, limit: int) -> list[StoredDocument]:
    """Documents in the order of their ids, beginning after ``last``."""
    statement = _ROW.order_by(documents.c.id).limit(limit)
    if last is not None:
        statement = statement.where(documents.c.id > last)
    return [StoredDocument(**row) for row in (await connection.execute(statement)).mappings()]
