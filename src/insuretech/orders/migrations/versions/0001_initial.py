"""Offers and products as orders see them, orders, policyholders, payments, policies, cancellations, notifications."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql as pg

from insuretech.kit.migrations import create_messaging

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_ID = pg.UUID(as_uuid=True)
_MOMENT = sa.DateTime(timezone=True)
_AMOUNT = sa.Numeric(14, 2)


def upgrade() -> None:
    create_messaging("orders")
    _projections()
    _orders()
    _payments()
    _policies()
    _cancellations()
    _notifications()


def _projections() -> None:
    op.create_table(
        "products",
        sa.Column("code", sa.Text, nullable=False),
        sa.Column("version", sa.Text, nullable=False),
        sa.Column("published_at", _MOMENT, nullable=False),
        sa.Column("terms", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("code", "version", name="pk_products"),
        schema="orders",
    )
    op.create_table(
        "offers",
        sa.Column("id", _ID, nullable=False),
        sa.Column("quote_id", _ID, nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("product", sa.Text, nullable=False),
        sa.Column("product_version", sa.Text, nullable=False),
        sa.Column("insurer", sa.Text, nullable=False),
        sa.Column("offer_number", sa.Text, nullable=False),
        sa.Column("premium", _AMOUNT, nullable=False),
        sa.Column("currency", sa.Text, nullable=False),
        sa.Column("expires_at", _MOMENT, nullable=False),
        sa.Column("starts_on", sa.Date, nullable=False),
        sa.Column("ends_on", sa.Date, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_offers"),
        schema="orders",
    )
    op.create_index("ix_offers_expires_at", "offers", ["expires_at"], schema="orders")


def _orders() -> None:
    op.create_table(
        "orders",
        sa.Column("id", _ID, nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("offer_id", _ID, nullable=False),
        sa.Column("quote_id", _ID, nullable=False),
        sa.Column("product", sa.Text, nullable=False),
        sa.Column("product_version", sa.Text, nullable=False),
        sa.Column("insurer", sa.Text, nullable=False),
        sa.Column("offer_number", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("premium", _AMOUNT, nullable=False),
        sa.Column("previous_premium", _AMOUNT),
        sa.Column("currency", sa.Text, nullable=False),
        sa.Column("starts_on", sa.Date, nullable=False),
        sa.Column("ends_on", sa.Date, nullable=False),
        sa.Column("offer_expires_at", _MOMENT, nullable=False),
        sa.Column("consents", sa.LargeBinary, nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("stage_at", _MOMENT, nullable=False),
        sa.Column("pay_until", _MOMENT),
        sa.Column("reason", sa.Text),
        sa.Column("detail", sa.Text),
        sa.Column("payment_id", _ID),
        sa.Column("cancellation_id", _ID),
        sa.Column("ask_first", sa.Boolean, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("next_action_at", _MOMENT),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("lease_by", sa.Integer),
        sa.Column("lease_until", _MOMENT),
        sa.PrimaryKeyConstraint("id", name="pk_orders"),
        schema="orders",
    )
    op.create_index(
        "uq_orders_live_offer",
        "orders",
        ["offer_id"],
        unique=True,
        schema="orders",
        postgresql_where=sa.text("status not in ('cancelled', 'expired', 'refunded', 'voided')"),
    )
    op.create_index("ix_orders_owner_id", "orders", ["owner", "id"], schema="orders")
    op.create_index(
        "ix_orders_due",
        "orders",
        ["next_action_at"],
        schema="orders",
        postgresql_where=sa.text("next_action_at is not null"),
    )
    op.create_table(
        "policyholders",
        sa.Column("order_id", _ID, nullable=False),
        sa.Column("key_id", sa.Text, nullable=False),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("order_id", name="pk_policyholders"),
        sa.ForeignKeyConstraint(
            ["order_id"], ["orders.orders.id"], name="fk_policyholders_order_id", ondelete="cascade"
        ),
        schema="orders",
    )


def _payments() -> None:
    op.create_table(
        "payments",
        sa.Column("id", _ID, nullable=False),
        sa.Column("order_id", _ID, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("method", sa.Text, nullable=False),
        sa.Column("amount", _AMOUNT, nullable=False),
        sa.Column("captured", _AMOUNT, nullable=False),
        sa.Column("refunded", _AMOUNT, nullable=False),
        sa.Column("currency", sa.Text, nullable=False),
        sa.Column("return_url", sa.Text, nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("provider_id", sa.Text),
        sa.Column("confirmation_url", sa.Text),
        sa.Column("held_until", _MOMENT),
        sa.Column("reason", sa.Text),
        sa.Column("refund_try", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_payments"),
        sa.UniqueConstraint("provider_id", name="uq_payments_provider_id"),
        sa.CheckConstraint("refunded <= captured and captured <= amount", name="ck_payments_money"),
        sa.ForeignKeyConstraint(["order_id"], ["orders.orders.id"], name="fk_payments_order_id", ondelete="cascade"),
        schema="orders",
    )
    op.create_index(
        "uq_payments_live",
        "payments",
        ["order_id"],
        unique=True,
        schema="orders",
        postgresql_where=sa.text("status in ('captured', 'held', 'opening', 'pending')"),
    )


def _policies() -> None:
    op.create_table(
        "policies",
        sa.Column("id", _ID, nullable=False),
        sa.Column("order_id", _ID, nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("number", sa.Text, nullable=False),
        sa.Column("product", sa.Text, nullable=False),
        sa.Column("insurer", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("premium", _AMOUNT, nullable=False),
        sa.Column("currency", sa.Text, nullable=False),
        sa.Column("starts_on", sa.Date, nullable=False),
        sa.Column("ends_on", sa.Date, nullable=False),
        sa.Column("issued_at", _MOMENT, nullable=False),
        sa.Column("verification_code", sa.Text, nullable=False),
        sa.Column("ended_on", sa.Date),
        sa.Column("document_id", _ID),
        sa.PrimaryKeyConstraint("id", name="pk_policies"),
        sa.UniqueConstraint("order_id", name="uq_policies_order_id"),
        sa.UniqueConstraint("verification_code", name="uq_policies_verification_code"),
        sa.UniqueConstraint("number", "insurer", name="uq_policies_number_insurer"),
        sa.ForeignKeyConstraint(["order_id"], ["orders.orders.id"], name="fk_policies_order_id"),
        schema="orders",
    )


def _cancellations() -> None:
    op.create_table(
        "cancellations",
        sa.Column("id", _ID, nullable=False),
        sa.Column("order_id", _ID, nullable=False),
        sa.Column("policy_id", _ID),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("refund", _AMOUNT, nullable=False),
        sa.Column("retained", _AMOUNT, nullable=False),
        sa.Column("currency", sa.Text, nullable=False),
        sa.Column("cancelled_on", sa.Date, nullable=False),
        sa.Column("ground_ru", sa.Text, nullable=False),
        sa.Column("ground_en", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("unverified", sa.Text),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("expires_at", _MOMENT, nullable=False),
        sa.Column("reason", sa.Text),
        sa.PrimaryKeyConstraint("id", name="pk_cancellations"),
        sa.ForeignKeyConstraint(
            ["order_id"], ["orders.orders.id"], name="fk_cancellations_order_id", ondelete="cascade"
        ),
        sa.ForeignKeyConstraint(["policy_id"], ["orders.policies.id"], name="fk_cancellations_policy_id"),
        schema="orders",
    )
    op.create_index("ix_cancellations_order_id", "cancellations", ["order_id"], schema="orders")


def _notifications() -> None:
    op.create_table(
        "notifications",
        sa.Column("provider_id", sa.Text, nullable=False),
        sa.Column("event", sa.Text, nullable=False),
        sa.Column("received_at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("provider_id", "event", name="pk_notifications"),
        schema="orders",
    )
