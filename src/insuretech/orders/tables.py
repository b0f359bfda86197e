"""Pictures of the tables in schema ``orders``; the migrations make them."""

from datetime import timedelta

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from insuretech.kit.db import service_metadata
from insuretech.kit.messaging import messaging_tables
from insuretech.kit.partitions import Plan

metadata = service_metadata("orders")
messaging = messaging_tables(metadata)

_moment = sa.DateTime(timezone=True)
_id = pg.UUID(as_uuid=True)
_amount = sa.Numeric(14, 2)


# Spelled out, not bound, so that the planner sees that the partial indexes fit.
LIVE_ORDER = sa.text("status not in ('cancelled', 'expired', 'refunded', 'voided')")
OPEN_OR_BACKED = sa.text("status in ('captured', 'held', 'opening', 'pending')")

products = sa.Table(
    "products",
    metadata,
    sa.Column("code", sa.Text, primary_key=True),
    sa.Column("version", sa.Text, primary_key=True),
    sa.Column("published_at", _moment, nullable=False),
    sa.Column("terms", sa.LargeBinary, nullable=False),
)
"""Versions of products as far as orders need them (JSON of ``ProductTerms``); the newest is in force."""

offers = sa.Table(
    "offers",
    metadata,
    sa.Column("id", _id, primary_key=True),
    sa.Column("quote_id", _id, nullable=False),
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("product", sa.Text, nullable=False),
    sa.Column("product_version", sa.Text, nullable=False),
    sa.Column("insurer", sa.Text, nullable=False),
    sa.Column("offer_number", sa.Text, nullable=False),
    sa.Column("premium", _amount, nullable=False),
    sa.Column("currency", sa.Text, nullable=False),
    sa.Column("expires_at", _moment, nullable=False),
    sa.Column("starts_on", sa.Date, nullable=False),
    sa.Column("ends_on", sa.Date, nullable=False),
    sa.Index("ix_offers_expires_at", "expires_at"),
    postgresql_partition_by="range (id)",
)
"""Our copy of offers, in partitions by their time; forgotten when all of a day have been expired for a day."""
OFFERS = Plan(
    table=offers.name,
    column="id",
    kept=timedelta(days=1),
    held="expires_at > cast(:now as timestamptz) - interval '1 day'",
    trouble=False,
)

orders = sa.Table(
    "orders",
    metadata,
    sa.Column("id", _id, primary_key=True),
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("offer_id", _id, nullable=False),
    sa.Column("quote_id", _id, nullable=False),
    sa.Column("product", sa.Text, nullable=False),
    sa.Column("product_version", sa.Text, nullable=False),
    sa.Column("insurer", sa.Text, nullable=False),
    sa.Column("offer_number", sa.Text, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("premium", _amount, nullable=False),
    sa.Column("previous_premium", _amount),
    sa.Column("currency", sa.Text, nullable=False),
    sa.Column("starts_on", sa.Date, nullable=False),
    sa.Column("ends_on", sa.Date, nullable=False),
    sa.Column("offer_expires_at", _moment, nullable=False),
    sa.Column("consents", sa.LargeBinary, nullable=False),
    sa.Column("created_at", _moment, nullable=False),
    sa.Column("stage_at", _moment, nullable=False),
    sa.Column("pay_until", _moment),
    sa.Column("reason", sa.Text),
    sa.Column("detail", sa.Text),
    sa.Column("payment_id", _id),
    sa.Column("cancellation_id", _id),
    sa.Column("ask_first", sa.Boolean, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("next_action_at", _moment),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("lease_by", sa.Integer),
    sa.Column("lease_until", _moment),
    sa.Column("changed_at", _moment, nullable=False, server_default=sa.func.now()),
    sa.Index("ix_orders_changed_at", "changed_at"),
    sa.Index("uq_orders_live_offer", "offer_id", unique=True, postgresql_where=LIVE_ORDER),
    sa.Index("ix_orders_owner_id", "owner", "id"),
    sa.Index("ix_orders_due", "next_action_at", postgresql_where=sa.text("next_action_at is not null")),
)
"""Orders with what happens to them next. ``consents`` is JSON; ``lease_by`` the worker that has the order in hand."""

policyholders = sa.Table(
    "policyholders",
    metadata,
    sa.Column("order_id", _id, sa.ForeignKey(orders.c.id, ondelete="cascade"), primary_key=True),
    sa.Column("key_id", sa.Text, nullable=False),
    sa.Column("sealed", sa.LargeBinary, nullable=False),
)
"""The person of each order, encrypted; ``key_id`` names the key within ``sealed`` once more, to be found by."""

payments = sa.Table(
    "payments",
    metadata,
    sa.Column("id", _id, primary_key=True),
    sa.Column("order_id", _id, sa.ForeignKey(orders.c.id, ondelete="cascade"), nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("method", sa.Text, nullable=False),
    sa.Column("amount", _amount, nullable=False),
    sa.Column("captured", _amount, nullable=False),
    sa.Column("refunded", _amount, nullable=False),
    sa.Column("currency", sa.Text, nullable=False),
    sa.Column("return_url", sa.Text, nullable=False),
    sa.Column("created_at", _moment, nullable=False),
    sa.Column("provider_id", sa.Text, unique=True),
    sa.Column("confirmation_url", sa.Text),
    sa.Column("held_until", _moment),
    sa.Column("reason", sa.Text),
    sa.Column("refund_try", sa.Integer, nullable=False),
    sa.CheckConstraint("refunded <= captured and captured <= amount", name="money"),
    sa.Index("uq_payments_live", "order_id", unique=True, postgresql_where=OPEN_OR_BACKED),
)
"""Attempts to pay; at most one of an order can be paid or stand behind it."""

policies = sa.Table(
    "policies",
    metadata,
    sa.Column("id", _id, primary_key=True),
    sa.Column("order_id", _id, sa.ForeignKey(orders.c.id), nullable=False, unique=True),
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("number", sa.Text, nullable=False),
    sa.Column("product", sa.Text, nullable=False),
    sa.Column("insurer", sa.Text, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("premium", _amount, nullable=False),
    sa.Column("currency", sa.Text, nullable=False),
    sa.Column("starts_on", sa.Date, nullable=False),
    sa.Column("ends_on", sa.Date, nullable=False),
    sa.Column("issued_at", _moment, nullable=False),
    sa.Column("verification_code", sa.Text, nullable=False, unique=True),
    sa.Column("ended_on", sa.Date),
    sa.Column("document_id", _id),
    sa.UniqueConstraint("number", "insurer"),
)
"""At most one policy an order, whatever else happens."""

cancellations = sa.Table(
    "cancellations",
    metadata,
    sa.Column("id", _id, primary_key=True),
    sa.Column("order_id", _id, sa.ForeignKey(orders.c.id, ondelete="cascade"), nullable=False, index=True),
    sa.Column("policy_id", _id, sa.ForeignKey(policies.c.id)),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("refund", _amount, nullable=False),
    sa.Column("retained", _amount, nullable=False),
    sa.Column("currency", sa.Text, nullable=False),
    sa.Column("cancelled_on", sa.Date, nullable=False),
    sa.Column("ground_ru", sa.Text, nullable=False),
    sa.Column("ground_en", sa.Text, nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("unverified", sa.Text),
    sa.Column("created_at", _moment, nullable=False),
    sa.Column("expires_at", _moment, nullable=False),
    sa.Column("reason", sa.Text),
)
"""Previews of what ending would give back, and the confirmed ones on their way."""

notifications = sa.Table(
    "notifications",
    metadata,
    sa.Column("provider_id", sa.Text, primary_key=True),
    sa.Column("event", sa.Text, primary_key=True),
    sa.Column("received_at", _moment, nullable=False),
)
"""Notifications about payments of ours, so that a repeated one makes no call."""
