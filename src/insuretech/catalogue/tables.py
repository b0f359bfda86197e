"""Tables of the catalogue."""

import sqlalchemy as sa

from insuretech.kit.db import service_metadata
from insuretech.kit.messaging import messaging_tables

metadata = service_metadata("catalogue")
messaging = messaging_tables(metadata)

products = sa.Table(
    "products",
    metadata,
    sa.Column("code", sa.Text, primary_key=True),
    sa.Column("version", sa.Text, nullable=False),
    sa.Column("on_sale", sa.Boolean, nullable=False),
    sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(
        ["code", "version"], ["catalogue.product_versions.code", "catalogue.product_versions.version"]
    ),
)
"""What is sold now, and in which version."""

product_versions = sa.Table(
    "product_versions",
    metadata,
    sa.Column("code", sa.Text, primary_key=True),
    sa.Column("version", sa.Text, primary_key=True),
    sa.Column("content", sa.LargeBinary, nullable=False),
    sa.Column("loaded_at", sa.DateTime(timezone=True), nullable=False),
)
"""Every version ever loaded, as JSON of ``domain.Listed``; quotes and policies refer to them."""

consents = sa.Table(
    "consents",
    metadata,
    sa.Column("code", sa.Text, primary_key=True),
    sa.Column("version", sa.Text, primary_key=True),
    sa.Column("content", sa.LargeBinary, nullable=False),
    sa.Column("loaded_at", sa.DateTime(timezone=True), nullable=False),
)
"""Every text anybody may have agreed to, as JSON of ``domain.ConsentText``; never changed."""

product_pages = sa.Table(
    "product_pages",
    metadata,
    sa.Column("path", sa.Text, primary_key=True),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Column("etag", sa.Text, nullable=False),
    sa.Column("built_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("revision", sa.BigInteger, nullable=False, server_default="0"),
)
"""Projection: answers of the public API as they leave, by path below ``/api/v1``, with the build that changed them."""

page_builds = sa.Table(
    "page_builds",
    metadata,
    sa.Column("of", sa.Text, primary_key=True),
    sa.Column("revision", sa.BigInteger, nullable=False),
)
"""One row: how often the pages were built."""
