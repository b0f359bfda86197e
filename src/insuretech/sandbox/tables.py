"""The sandbox's own books: what the outside world believes. None of our services may see them."""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from insuretech.kit.db import service_metadata

metadata = service_metadata("sandbox")

_REFERENCE = pg.UUID(as_uuid=True)
_MONEY = sa.Numeric(14, 2)
_MOMENT = sa.DateTime(timezone=True)

behaviours = sa.Table(
    "behaviours",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("document", sa.LargeBinary, nullable=False),
)

offers = sa.Table(
    "offers",
    metadata,
    sa.Column("insurer", sa.Text, primary_key=True),
    sa.Column("reference", _REFERENCE, primary_key=True),
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
    sa.UniqueConstraint("insurer", "number"),
)

reservations = sa.Table(
    "reservations",
    metadata,
    sa.Column("insurer", sa.Text, primary_key=True),
    sa.Column("reference", _REFERENCE, primary_key=True),
    sa.Column("offer_number", sa.Text, nullable=False),
    sa.Column("premium", _MONEY, nullable=False),
    sa.Column("expires_at", _MOMENT, nullable=False),
)

policies = sa.Table(
    "policies",
    metadata,
    sa.Column("insurer", sa.Text, primary_key=True),
    sa.Column("reference", _REFERENCE, primary_key=True),
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("offer_number", sa.Text, nullable=False),
    sa.Column("number", sa.Text, unique=True),
    sa.Column("premium", _MONEY, nullable=False),
    sa.Column("starts_on", sa.Date),
    sa.Column("ends_on", sa.Date),
    sa.Column("concluded_at", _MOMENT, nullable=False),
    sa.Column("told_from", _MOMENT, nullable=False),
    sa.Column("ended_at", _MOMENT),
    sa.Index(
        "uq_policies_offer", "insurer", "offer_number", unique=True, postgresql_where=sa.text("outcome = 'issued'")
    ),
)

policy_numbers = sa.Sequence("policy_numbers", metadata=metadata)

endings = sa.Table(
    "endings",
    metadata,
    sa.Column("insurer", sa.Text, primary_key=True),
    sa.Column("reference", _REFERENCE, primary_key=True),
    sa.Column("policy_number", sa.Text, nullable=False),
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("refund", _MONEY, nullable=False),
)

payments = sa.Table(
    "payments",
    metadata,
    sa.Column("id", _REFERENCE, primary_key=True),
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
    sa.CheckConstraint("refunded <= captured and captured <= amount", name="balance"),
    sa.Index("ix_payments_expires_at", "expires_at", postgresql_where=sa.text("expires_at is not null")),
)

refunds = sa.Table(
    "refunds",
    metadata,
    sa.Column("id", _REFERENCE, primary_key=True),
    sa.Column("payment_id", _REFERENCE, nullable=False, index=True),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("amount", _MONEY, nullable=False),
    sa.Column("currency", sa.Text, nullable=False),
    sa.Column("description", sa.Text),
    sa.Column("created_at", _MOMENT, nullable=False),
    sa.Column("ready_at", _MOMENT),
    sa.Index("ix_refunds_ready_at", "ready_at", postgresql_where=sa.text("status = 'pending'")),
)

idempotence_keys = sa.Table(
    "idempotence_keys",
    metadata,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("fingerprint", sa.LargeBinary, nullable=False),
    sa.Column("body", sa.LargeBinary),
    sa.Column("created_at", _MOMENT, nullable=False),
)

deliveries = sa.Table(
    "deliveries",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("url", sa.Text, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Column("signature", sa.Text, nullable=False),
    sa.Column("due_at", _MOMENT, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
    sa.Column("ended_at", _MOMENT),
    sa.Column("result", sa.Text),
    sa.Index("ix_deliveries_due_at", "due_at", postgresql_where=sa.text("ended_at is null")),
)

registers = sa.Table(
    "registers",
    metadata,
    sa.Column("id", _REFERENCE, primary_key=True),
    sa.Column("insurer", sa.Text, nullable=False),
    sa.Column("number", sa.Text, nullable=False),
    sa.Column("message_id", sa.Text, nullable=False),
    sa.Column("manifest", sa.LargeBinary, nullable=False),
    sa.Column("signature", sa.LargeBinary, nullable=False),
    sa.Column("public_key", sa.LargeBinary, nullable=False),
    sa.Column("told_at", _MOMENT, nullable=False),
    sa.Column("received_at", _MOMENT),
    sa.Column("refusal", sa.Text),
)

register_parts = sa.Table(
    "register_parts",
    metadata,
    sa.Column("register_id", _REFERENCE, primary_key=True),
    sa.Column("sha256", sa.Text, primary_key=True),
    sa.Column("starts_at", sa.BigInteger, primary_key=True),
    sa.Column("content", sa.LargeBinary, nullable=False),
)
