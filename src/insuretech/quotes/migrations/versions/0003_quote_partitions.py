"""Quotes and all that belongs to them in partitions by the quote's time; what policies were issued on stays."""

from datetime import timedelta
from functools import partial

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql as pg
from sqlalchemy.engine import Connection

from insuretech.kit.partitioning import partition_table
from insuretech.kit.partitions import Plan

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_UNFINISHED = "where status in ('queued', 'sent', 'pending')"
_KEYS = {
    "quotes": ("id", ["alter table quotes.quotes add constraint pk_quotes primary key (id)"]),
    "lines": (
        "quote_id",
        [
            "alter table quotes.lines add constraint pk_lines primary key (id, quote_id)",
            "alter table quotes.lines add constraint uq_lines_quote_id_insurer unique (quote_id, insurer)",
            f"create index ix_lines_unfinished on quotes.lines (claimed_by, deadline) {_UNFINISHED}",
        ],
    ),
    "offers": (
        "quote_id",
        [
            "alter table quotes.offers add constraint pk_offers primary key (id, quote_id)",
            "create index ix_offers_quote_id on quotes.offers (quote_id)",
            "create unique index uq_offers_line_id on quotes.offers (line_id, quote_id) where status <> 'repriced'",
            "create index ix_offers_active on quotes.offers (expires_at) where status = 'active'",
            "create index ix_offers_consumed on quotes.offers (quote_id) where status = 'consumed'",
        ],
    ),
    "quote_events": (
        "quote_id",
        ["alter table quotes.quote_events add constraint pk_quote_events primary key (quote_id, sequence)"],
    ),
    "callbacks": (
        "reference",
        ["alter table quotes.callbacks add constraint pk_callbacks primary key (reference, digest)"],
    ),
}
_OUTDATED = ("pk_lines", "pk_offers", "uq_offers_line_id")


def upgrade() -> None:
    for table, (column, keys) in _KEYS.items():
        plan = Plan(table=table, column=column, kept=timedelta(days=91), period=timedelta(days=7))
        partition_table(op.get_bind(), "quotes", plan, partial(_create, table, column, keys), outdated=_OUTDATED)
    op.create_table(
        "insured",
        sa.Column("quote_id", pg.UUID(as_uuid=True), nullable=False),
        sa.Column("product", sa.Text, nullable=False),
        sa.Column("product_version", sa.Text, nullable=False),
        sa.Column("answers", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("quote_id", name="pk_insured"),
        schema="quotes",
    )


def _create(table: str, column: str, keys: list[str], connection: Connection) -> None:
    """The columns as they are; keys that name the partition's column."""
    connection.exec_driver_sql(
        f"create table quotes.{table} (like quotes.{table}_before including defaults) partition by range ({column})"
    )
    for key in keys:
        connection.exec_driver_sql(key)
