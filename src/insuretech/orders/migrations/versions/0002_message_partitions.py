"""Outbox and inbox in partitions by time."""

from alembic import op

from insuretech.kit.partitioning import partition_messaging

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    partition_messaging(op.get_bind(), "orders")
