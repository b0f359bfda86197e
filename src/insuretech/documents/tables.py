"""Tables of the documents service."""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from insuretech.kit.db import service_metadata
from insuretech.kit.messaging import messaging_tables

metadata = service_metadata("documents")
messaging = messaging_tables(metadata)

documents = sa.Table(
    "documents",
    metadata,
    sa.Column("id", pg.UUID(as_uuid=True), primary_key=True),
    sa.Column("policy_id", pg.UUID(as_uuid=True), nullable=False),
    sa.Column("order_id", pg.UUID(as_uuid=True), nullable=False),
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("number", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("cancelled_on", sa.Date),
    sa.Column("storage_key", sa.Text, nullable=False),
    sa.Column("sha256", sa.Text, nullable=False),
    sa.Column("size", sa.Integer, nullable=False),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    sa.UniqueConstraint("policy_id", "state"),
    sa.Index("ix_documents_number", "number"),
)
"""A policy has one document per state it was printed in; the last state is the one to show."""
