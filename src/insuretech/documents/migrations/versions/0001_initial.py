"""Documents of policies."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql as pg

from insuretech.kit.migrations import create_messaging

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    create_messaging("documents")
    op.create_table(
        "documents",
        sa.Column("id", pg.UUID(as_uuid=True), nullable=False),
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
        sa.PrimaryKeyConstraint("id", name="pk_documents"),
        sa.UniqueConstraint("policy_id", "state", name="uq_documents_policy_id"),
        sa.CheckConstraint("state in ('in_force', 'cancelled')", name="ck_documents_state"),
        sa.CheckConstraint("(state = 'cancelled') = (cancelled_on is not null)", name="ck_documents_cancelled_on"),
        schema="documents",
    )
    op.create_index("ix_documents_number", "documents", ["number"], schema="documents")
