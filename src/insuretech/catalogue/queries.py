"""All read SQL of the catalogue."""

import msgspec
import sqlalchemy as sa

from insuretech.catalogue.domain import ConsentText, Listed
from insuretech.catalogue.ports import OnSale, Page, PageIndex
from insuretech.catalogue.tables import consents, page_builds, product_pages, product_versions, products
from insuretech.kit.db import Connection


async def current_product(connection: Connection, code: str) -> OnSale | None:
    """Which version of a product is current."""
    rows = await connection.execute(sa.select(products).where(products.c.code == code))
    row = rows.mappings().first()
    return None if row is None else msgspec.convert(row, OnSale)


async def current_products(connection: Connection) -> list[OnSale]:
    """Every product ever loaded, with its current version."""
    rows = await connection.execute(sa.select(products).order_by(products.c.code))
    return [msgspec.convert(row, OnSale) for row in rows.mappings()]


async def product_version(connection: Connection, code: str, version: str) -> Listed | None:
    """One version of a product, current or not."""
    statement = sa.select(product_versions.c.content).where(
        product_versions.c.code == code, product_versions.c.version == version
    )
    content = (await connection.execute(statement)).scalar()
    return None if content is None else msgspec.json.decode(content, type=Listed)


async def products_on_sale(connection: Connection) -> list[Listed]:
    """The current version of everything on sale."""
    statement = (
        sa.select(product_versions.c.content)
        .join(
            products,
            sa.and_(products.c.code == product_versions.c.code, products.c.version == product_versions.c.version),
        )
        .where(products.c.on_sale)
    )
    return [msgspec.json.decode(content, type=Listed) for content in (await connection.execute(statement)).scalars()]


async def consent_text(connection: Connection, code: str, version: str) -> ConsentText | None:
    """One version of a consent's text."""
    statement = sa.select(consents.c.content).where(consents.c.code == code, consents.c.version == version)
    content = (await connection.execute(statement)).scalar()
    return None if content is None else msgspec.json.decode(content, type=ConsentText)


async def consent_texts(connection: Connection) -> list[ConsentText]:
    """Every version of every consent."""
    statement = sa.select(consents.c.content).order_by(consents.c.code, consents.c.version)
    rows = (await connection.execute(statement)).scalars()
    return [msgspec.json.decode(content, type=ConsentText) for content in rows]


async def page_index(connection: Connection) -> PageIndex:
    """Which pages are stored, as one statement sees them."""
    statement = sa.select(
        page_builds.c.revision.label("build"), product_pages.c.path, product_pages.c.etag, product_pages.c.revision
    ).select_from(page_builds.outerjoin(product_pages, sa.true()))
    rows = (await connection.execute(statement)).all()
    found = [row for row in rows if row.path is not None]
    return PageIndex(
        revision=rows[0].build,
        tags={row.path: row.etag for row in found},
        revisions={row.path: row.revision for row in found},
    )


async def stored_pages(connection: Connection, paths: set[str]) -> list[tuple[Page, int]]:
    """Stored pages by path, with the builds that changed them last."""
    statement = sa.select(product_pages).where(product_pages.c.path.in_(paths))
    return [
        (Page(path=row.path, body=row.body, etag=row.etag), row.revision) for row in await connection.execute(statement)
    ]
