"""Tables of the quotes service.

What grows with quotes is partitioned by the quote's id, a UUIDv7, which is to say by the quote's time: a quote lies
whole in partitions of one age. Statements that name the quote besides the line or the offer look into one partition
only; those that cannot look into the index of each. No foreign keys: a partition that rows of others point to could not
be dropped, and a line, offer or event is only written together with its quote.
"""

from datetime import timedelta

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from insuretech.kit.db import service_metadata
from insuretech.kit.messaging import messaging_tables
from insuretech.kit.partitions import Plan

metadata = service_metadata("quotes")
messaging = messaging_tables(metadata)

_id = pg.UUID(as_uuid=True)
_moment = sa.DateTime(timezone=True)
_amount = sa.Numeric(14, 2)
_UNFINISHED = sa.text("status in ('queued', 'sent', 'pending')")

products = sa.Table(
    "products",
    metadata,
    sa.Column("code", sa.Text, primary_key=True),
    sa.Column("version", sa.Text, primary_key=True),
    sa.Column("revision", sa.BigInteger, nullable=False),
    sa.Column("on_sale", sa.Boolean, nullable=False),
    sa.Column("definition", sa.LargeBinary, nullable=False),
    sa.Column("published_at", _moment, nullable=False),
    sa.Index("ix_products_on_sale", "code", unique=True, postgresql_where=sa.text("on_sale")),
)
"""Projection of the catalogue; old versions stay, as quotes were given under them."""

quotes = sa.Table(
    "quotes",
    metadata,
    sa.Column("id", _id, primary_key=True),
    sa.Column("created_at", _moment, nullable=False),
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("product", sa.Text, nullable=False),
    sa.Column("product_version", sa.Text, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("answers", sa.LargeBinary, nullable=False),
    sa.Column("corridor_edition", sa.Text),
    sa.Column("corridor_min", _amount),
    sa.Column("corridor_max", _amount),
    sa.Column("currency", sa.Text, nullable=False),
    sa.Column("starts_on", sa.Date, nullable=False),
    sa.Column("ends_on", sa.Date, nullable=False),
    sa.Column("expires_at", _moment, nullable=False),
    sa.Column("open_lines", sa.Integer, nullable=False),
    sa.Column("offers", sa.Integer, nullable=False),
    sa.Column("last_event", sa.BigInteger, nullable=False),
    postgresql_partition_by="range (id)",
)

lines = sa.Table(
    "lines",
    metadata,
    sa.Column("id", _id, primary_key=True),
    sa.Column("quote_id", _id, primary_key=True),
    sa.Column("insurer", sa.Text, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("reason_ru", sa.Text),
    sa.Column("reason_en", sa.Text),
    sa.Column("deadline", _moment, nullable=False),
    sa.Column("claimed_by", _id),
    sa.Column("ended_at", _moment),
    sa.Column("late_outcome", sa.Text),
    sa.Column("late_premium", _amount),
    sa.Column("late_at", _moment),
    sa.UniqueConstraint("quote_id", "insurer"),
    sa.Index("ix_lines_unfinished", "claimed_by", "deadline", postgresql_where=_UNFINISHED),
    postgresql_partition_by="range (quote_id)",
)
"""One insurer asked for one quote; ``id`` is our reference at the insurer."""

offers = sa.Table(
    "offers",
    metadata,
    sa.Column("id", _id, primary_key=True),
    sa.Column("quote_id", _id, primary_key=True),
    sa.Column("line_id", _id, nullable=False),
    sa.Column("insurer", sa.Text, nullable=False),
    sa.Column("offer_number", sa.Text, nullable=False),
    sa.Column("premium", _amount, nullable=False),
    sa.Column("currency", sa.Text, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("created_at", _moment, nullable=False),
    sa.Column("expires_at", _moment, nullable=False),
    sa.Column("order_id", _id),
    sa.Column("ordered_at", _moment),
    sa.Index("ix_offers_quote_id", "quote_id"),
    sa.Index("uq_offers_line_id", "line_id", "quote_id", unique=True, postgresql_where=sa.text("status <> 'repriced'")),
    sa.Index("ix_offers_active", "expires_at", postgresql_where=sa.text("status = 'active'")),
    sa.Index("ix_offers_consumed", "quote_id", postgresql_where=sa.text("status = 'consumed'")),
    postgresql_partition_by="range (quote_id)",
)

events = sa.Table(
    "quote_events",
    metadata,
    sa.Column("quote_id", _id, primary_key=True),
    sa.Column("sequence", sa.BigInteger, primary_key=True),
    sa.Column("event", sa.LargeBinary, nullable=False),
    postgresql_partition_by="range (quote_id)",
)
"""What the live stream of a quote told, in order and without gaps."""

callbacks = sa.Table(
    "callbacks",
    metadata,
    sa.Column("reference", _id, primary_key=True),
    sa.Column("digest", sa.LargeBinary, primary_key=True),
    sa.Column("received_at", _moment, nullable=False),
    sa.Column("handled_at", _moment),
    postgresql_partition_by="range (reference)",
)
"""Genuine callbacks by what they said, so that a repeated one makes no call; ``reference`` is the line's id."""

insured = sa.Table(
    "insured",
    metadata,
    sa.Column("quote_id", _id, primary_key=True),
    sa.Column("product", sa.Text, nullable=False),
    sa.Column("product_version", sa.Text, nullable=False),
    sa.Column("answers", sa.LargeBinary, nullable=False),
)
"""What policies were issued on, of quotes that are gone: the document may have to be printed again."""

engines = sa.Table(
    "engines",
    metadata,
    sa.Column("id", _id, primary_key=True),
    sa.Column("alive_until", _moment, nullable=False),
)
"""Processes that ask insurers. A line belongs to ``claimed_by`` for as long as that engine lives by its own word."""


_RESCUE = """
    insert into quotes.insured (quote_id, product, product_version, answers)
    select id, product, product_version, answers from {partition}
    where id in (select quote_id from quotes.offers where status = 'consumed')
    on conflict do nothing
"""


def partition_plans(kept: timedelta, period: timedelta) -> tuple[Plan, ...]:
    """How long quotes stay, counted from when they were asked for; they go before the offers that tell of policies."""
    rescued = Plan(table=quotes.name, column="id", kept=kept, period=period, rescue=_RESCUE)
    others = ((callbacks, "reference"), (events, "quote_id"), (lines, "quote_id"), (offers, "quote_id"))
    return rescued, *(Plan(table=table.name, column=column, kept=kept, period=period) for table, column in others)
