"""Prints that wait, and objects that are to go."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql as pg

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "prints",
        sa.Column("policy_id", pg.UUID(as_uuid=True), nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("number", sa.Text, nullable=False),
        sa.Column("cancelled_on", sa.Date),
        sa.Column("wanted_at", moment, nullable=False),
        sa.Column("next_attempt_at", moment, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
        sa.Column("last_error", sa.Text),
        sa.PrimaryKeyConstraint("policy_id", "state", name="pk_prints"),
        sa.CheckConstraint("state in ('in_force', 'cancelled')", name="ck_prints_state"),
        sa.CheckConstraint("(state = 'cancelled') = (cancelled_on is not null)", name="ck_prints_cancelled_on"),
        schema="documents",
    )
    op.create_index("ix_prints_next_attempt_at", "prints", ["next_attempt_at"], schema="documents")
    op.create_index("ix_prints_number", "prints", ["number"], schema="documents")
    op.create_table(
        "discarded_objects",
        sa.Column("storage_key", sa.Text, nullable=False),
        sa.Column("discarded_at", moment, nullable=False),
        sa.PrimaryKeyConstraint("storage_key", name="pk_discarded_objects"),
        schema="documents",
    )
    op.create_index("ix_documents_storage_key", "documents", ["storage_key"], schema="documents")
