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
    sa.Index("ix_documents_storage_key", "storage_key"),
)
"""A policy has one document per state it was printed in; the last state is the one to show."""

prints = sa.Table(
    "prints",
    metadata,
    sa.Column("policy_id", pg.UUID(as_uuid=True), primary_key=True),
    sa.Column("state", sa.Text, primary_key=True),
    sa.Column("number", sa.Text, nullable=False),
    sa.Column("cancelled_on", sa.Date),
    sa.Column("wanted_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("next_attempt_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("last_error", sa.Text),
    sa.Index("ix_prints_next_attempt_at", "next_attempt_at"),
    sa.Index("ix_prints_number", "number"),
)
"""What is to be printed; a row goes when its document is kept, so the table stays as small as the backlog."""

discarded_objects = sa.Table(
    "discarded_objects",
    metadata,
    sa.Column("storage_key", sa.Text, primary_key=True),
    sa.Column("discarded_at", sa.DateTime(timezone=True), nullable=False),
)
"""Objects that no document points at any more, until they are removed from the storage."""
