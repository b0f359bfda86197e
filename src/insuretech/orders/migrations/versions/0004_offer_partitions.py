"""Copies of offers in partitions by time: most of what quotes tell is forgotten after two days."""

from datetime import timedelta

from alembic import op
from sqlalchemy.engine import Connection

from insuretech.kit.partitioning import partition_table
from insuretech.kit.partitions import Plan

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    plan = Plan(table="offers", column="id", kept=timedelta(days=1))
    partition_table(op.get_bind(), "orders", plan, _create)


def _create(connection: Connection) -> None:
    connection.exec_driver_sql(
        "create table orders.offers (like orders.offers_before including defaults) partition by range (id)"
    )
    connection.exec_driver_sql("alter table orders.offers add constraint pk_offers primary key (id)")
    connection.exec_driver_sql("create index ix_offers_expires_at on orders.offers (expires_at)")
