"""When an order changed last, so that a projection finds what it missed."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "orders",
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        schema="orders",
    )
    op.create_index("ix_orders_changed_at", "orders", ["changed_at"], schema="orders")
