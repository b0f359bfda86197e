"""Tables of the quotes service.

Ids are UUIDv7, so each table's key already orders it by time: partitioning by ranges of ids needs no other key.
"""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from insuretech.kit.db import service_metadata
from insuretech.kit.messaging import messaging_tables

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
    sa.Index("ix_quotes_expires_at", "expires_at"),
)

lines = sa.Table(
    "lines",
    metadata,
    sa.Column("id", _id, primary_key=True),
    sa.Column("quote_id", _id, sa.ForeignKey(quotes.c.id, ondelete="cascade"), nullable=False),
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
)
"""One insurer asked for one quote; ``id`` is our reference at the insurer."""

offers = sa.Table(
    "offers",
    metadata,
    sa.Column("id", _id, primary_key=True),
    sa.Column("quote_id", _id, sa.ForeignKey(quotes.c.id, ondelete="cascade"), nullable=False),
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
    sa.Index("uq_offers_line_id", "line_id", unique=True, postgresql_where=sa.text("status <> 'repriced'")),
    sa.Index("ix_offers_active", "expires_at", postgresql_where=sa.text("status = 'active'")),
)

events = sa.Table(
    "quote_events",
    metadata,
    sa.Column("quote_id", _id, sa.ForeignKey(quotes.c.id, ondelete="cascade"), primary_key=True),
    sa.Column("sequence", sa.BigInteger, primary_key=True),
    sa.Column("event", sa.LargeBinary, nullable=False),
)
"""What the live stream of a quote told, in order and without gaps."""

callbacks = sa.Table(
    "callbacks",
    metadata,
    sa.Column("reference", _id, primary_key=True),
    sa.Column("digest", sa.LargeBinary, primary_key=True),
    sa.Column("received_at", _moment, nullable=False),
    sa.Column("handled_at", _moment),
    sa.Index("ix_callbacks_received_at", "received_at"),
)
"""Genuine callbacks by what they said, so that a repeated one makes no call."""

engines = sa.Table(
    "engines",
    metadata,
    sa.Column("id", _id, primary_key=True),
    sa.Column("alive_until", _moment, nullable=False),
)
"""Processes that ask insurers. A line belongs to ``claimed_by`` for as long as that engine lives by its own word."""
