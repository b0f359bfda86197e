"""All write SQL of the catalogue."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from insuretech.catalogue import queries
from insuretech.catalogue.domain import ConsentText, Listed
from insuretech.catalogue.pages import ready
from insuretech.catalogue.ports import OnSale, Page, PageIndex, ReadyPage
from insuretech.catalogue.tables import consents, messaging, page_builds, product_pages, product_versions, products
from insuretech.kit.db import Connection, Database
from insuretech.kit.events import Event
from insuretech.kit.messaging import Outbox

_LOADING = sa.text("select pg_advisory_xact_lock(hashtext('catalogue.load'))")


class CatalogueRepository:
    """The catalogue on one connection, in its transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._outbox = Outbox(messaging.outbox)

    async def lock(self) -> None:
        await self._connection.execute(_LOADING)

    async def current(self, code: str) -> OnSale | None:
        return await queries.current_product(self._connection, code)

    async def version(self, code: str, version: str) -> Listed | None:
        return await queries.product_version(self._connection, code, version)

    async def consent(self, code: str, version: str) -> ConsentText | None:
        return await queries.consent_text(self._connection, code, version)

    async def put_version(self, listed: Listed, now: datetime) -> None:
        product = listed.product
        insert = pg.insert(product_versions).values(
            code=product.code, version=product.version, content=msgspec.json.encode(listed), loaded_at=now
        )
        await self._connection.execute(
            insert.on_conflict_do_update(
                index_elements=["code", "version"], set_={"content": insert.excluded.content, "loaded_at": now}
            )
        )

    async def put_consent(self, consent: ConsentText, now: datetime) -> None:
        values = {"code": consent.code, "version": consent.version, "loaded_at": now}
        await self._connection.execute(sa.insert(consents).values(content=msgspec.json.encode(consent), **values))

    async def put_current(self, current: OnSale) -> None:
        insert = pg.insert(products).values(msgspec.structs.asdict(current))
        changed = {name: insert.excluded[name] for name in ("version", "on_sale", "changed_at")}
        await self._connection.execute(insert.on_conflict_do_update(index_elements=["code"], set_=changed))

    async def listed(self) -> list[Listed]:
        return await queries.products_on_sale(self._connection)

    async def consents(self) -> list[ConsentText]:
        return await queries.consent_texts(self._connection)

    async def replace_pages(self, pages: Sequence[Page], now: datetime) -> None:
        counted = sa.update(page_builds).values(revision=page_builds.c.revision + 1).returning(page_builds.c.revision)
        revision = (await self._connection.execute(counted)).scalar_one()
        await self._connection.execute(
            sa.delete(product_pages).where(product_pages.c.path.not_in([page.path for page in pages]))
        )
        insert = pg.insert(product_pages)
        statement = insert.on_conflict_do_update(
            index_elements=["path"],
            set_={name: insert.excluded[name] for name in ("body", "etag", "built_at", "revision")},
            where=product_pages.c.etag != insert.excluded.etag,
        )
        rows = [{**msgspec.structs.asdict(page), "built_at": now, "revision": revision} for page in pages]
        await self._connection.execute(statement, rows)

    async def publish(self, events: Sequence[Event], now: datetime) -> None:
        await self._outbox.publish(self._connection, events, now)


def transaction_of(database: Database) -> Callable[[], AbstractAsyncContextManager[CatalogueRepository]]:
    """Opens transactions of the catalogue's own database."""

    @asynccontextmanager
    async def transaction() -> AsyncIterator[CatalogueRepository]:
        async with database.transaction() as connection:
            yield CatalogueRepository(connection)

    return transaction


class PostgresPages:
    """Where hot storage is filled from, and the shelf while that is away."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def index(self) -> PageIndex:
        async with self._database.reading() as connection:
            return await queries.page_index(connection)

    async def numbered(self, paths: set[str]) -> list[tuple[ReadyPage, int]]:
        async with self._database.reading() as connection:
            found = await queries.stored_pages(connection, paths)
        return [(ready(page), revision) for page, revision in found]
