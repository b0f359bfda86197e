"""The outside world's books: insurers' behaviours, offers, policies; payments and refunds; messages to deliver."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql as pg

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_REFERENCE = pg.UUID(as_uuid=True)
_MONEY = sa.Numeric(14, 2)
_MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "behaviours",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("document", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_behaviours"),
        schema="sandbox",
    )
    _insurers()
    _policies()
    _payments()
    _deliveries()


def _insurers() -> None:
    op.create_table(
        "offers",
        sa.Column("insurer", sa.Text, nullable=False),
        sa.Column("reference", _REFERENCE, nullable=False),
        sa.Column("number", sa.Text, nullable=False),
        sa.Column("product", sa.Text, nullable=False),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("premium", _MONEY, nullable=False),
        sa.Column("floor", _MONEY),
        sa.Column("ceiling", _MONEY),
        sa.Column("starts_on", sa.Date),
        sa.Column("ends_on", sa.Date),
        sa.Column("ready_at", _MOMENT, nullable=False),
        sa.Column("expires_at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("insurer", "reference", name="pk_offers"),
        sa.UniqueConstraint("insurer", "number", name="uq_offers_insurer_number"),
        schema="sandbox",
    )
    op.create_table(
        "reservations",
        sa.Column("insurer", sa.Text, nullable=False),
        sa.Column("reference", _REFERENCE, nullable=False),
        sa.Column("offer_number", sa.Text, nullable=False),
        sa.Column("premium", _MONEY, nullable=False),
        sa.Column("expires_at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("insurer", "reference", name="pk_reservations"),
        schema="sandbox",
    )


def _policies() -> None:
    op.create_table(
        "policies",
        sa.Column("insurer", sa.Text, nullable=False),
        sa.Column("reference", _REFERENCE, nullable=False),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("offer_number", sa.Text, nullable=False),
        sa.Column("number", sa.Text),
        sa.Column("premium", _MONEY, nullable=False),
        sa.Column("starts_on", sa.Date),
        sa.Column("ends_on", sa.Date),
        sa.Column("concluded_at", _MOMENT, nullable=False),
        sa.Column("told_from", _MOMENT, nullable=False),
        sa.Column("ended_at", _MOMENT),
        sa.PrimaryKeyConstraint("insurer", "reference", name="pk_policies"),
        sa.UniqueConstraint("number", name="uq_policies_number"),
        schema="sandbox",
    )
    op.create_index(
        "uq_policies_offer",
        "policies",
        ["insurer", "offer_number"],
        unique=True,
        schema="sandbox",
        postgresql_where=sa.text("outcome = 'issued'"),
    )
    op.execute("create sequence sandbox.policy_numbers")
    op.create_table(
        "endings",
        sa.Column("insurer", sa.Text, nullable=False),
        sa.Column("reference", _REFERENCE, nullable=False),
        sa.Column("policy_number", sa.Text, nullable=False),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("refund", _MONEY, nullable=False),
        sa.PrimaryKeyConstraint("insurer", "reference", name="pk_endings"),
        schema="sandbox",
    )


def _payments() -> None:
    op.create_table(
        "payments",
        sa.Column("id", _REFERENCE, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("amount", _MONEY, nullable=False),
        sa.Column("currency", sa.Text, nullable=False),
        sa.Column("captured", _MONEY, nullable=False),
        sa.Column("refunded", _MONEY, nullable=False),
        sa.Column("capture", sa.Boolean, nullable=False),
        sa.Column("method", sa.Text, nullable=False),
        sa.Column("description", sa.Text),
        sa.Column("metadata", pg.JSONB, nullable=False),
        sa.Column("return_url", sa.Text, nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("expires_at", _MOMENT),
        sa.Column("captured_at", _MOMENT),
        sa.Column("cancelled_by", sa.Text),
        sa.Column("cancel_reason", sa.Text),
        sa.PrimaryKeyConstraint("id", name="pk_payments"),
        sa.CheckConstraint("refunded <= captured and captured <= amount", name="ck_payments_balance"),
        schema="sandbox",
    )
    op.create_index(
        "ix_payments_expires_at",
        "payments",
        ["expires_at"],
        schema="sandbox",
        postgresql_where=sa.text("expires_at is not null"),
    )
    op.create_table(
        "refunds",
        sa.Column("id", _REFERENCE, nullable=False),
        sa.Column("payment_id", _REFERENCE, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("amount", _MONEY, nullable=False),
        sa.Column("currency", sa.Text, nullable=False),
        sa.Column("description", sa.Text),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("ready_at", _MOMENT),
        sa.PrimaryKeyConstraint("id", name="pk_refunds"),
        schema="sandbox",
    )
    op.create_index("ix_refunds_payment_id", "refunds", ["payment_id"], schema="sandbox")
    op.create_index(
        "ix_refunds_ready_at",
        "refunds",
        ["ready_at"],
        schema="sandbox",
        postgresql_where=sa.text("status = 'pending'"),
    )
    op.create_table(
        "idempotence_keys",
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("fingerprint", sa.LargeBinary, nullable=False),
        sa.Column("body", sa.LargeBinary),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_idempotence_keys"),
        schema="sandbox",
    )


def _deliveries() -> None:
    op.create_table(
        "deliveries",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), nullable=False),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("signature", sa.Text, nullable=False),
        sa.Column("due_at", _MOMENT, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
        sa.Column("ended_at", _MOMENT),
        sa.Column("result", sa.Text),
        sa.PrimaryKeyConstraint("id", name="pk_deliveries"),
        schema="sandbox",
    )
    op.create_index(
        "ix_deliveries_due_at",
        "deliveries",
        ["due_at"],
        schema="sandbox",
        postgresql_where=sa.text("ended_at is null"),
    )
