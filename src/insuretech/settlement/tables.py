"""Tables of settlement. Triggers of the first migration keep what was closed; see docs/decisions/0017."""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from insuretech.kit.db import service_metadata
from insuretech.kit.messaging import messaging_tables

metadata = service_metadata("settlement")
messaging = messaging_tables(metadata)

_ID = pg.UUID(as_uuid=True)
_MONEY = sa.Numeric(14, 2)
_SUM = sa.Numeric(18, 2)
_MOMENT = sa.DateTime(timezone=True)

registers = sa.Table(
    "registers",
    metadata,
    sa.Column("id", _ID, primary_key=True),
    sa.Column("number", sa.Text, nullable=False, unique=True),
    sa.Column("insurer", sa.Text, nullable=False),
    sa.Column("month", sa.Date, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("closed_at", _MOMENT, nullable=False),
    sa.Column("settlement", sa.Text, nullable=False),
    sa.Column("lines", sa.Integer, nullable=False),
    sa.Column("premium", _SUM, nullable=False),
    sa.Column("collected", _SUM, nullable=False),
    sa.Column("commission", _SUM, nullable=False),
    sa.Column("vat", _SUM, nullable=False),
    sa.Column("payable", _SUM, nullable=False),
    sa.UniqueConstraint("insurer", "month"),
)
lines = sa.Table(
    "lines",
    metadata,
    sa.Column("id", _ID, primary_key=True),
    sa.Column("event_id", _ID, unique=True),
    sa.Column("order_id", _ID, nullable=False, index=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("occurred_at", _MOMENT, nullable=False),
    sa.Column("month", sa.Date, nullable=False),
    sa.Column("insurer", sa.Text),
    sa.Column("register_month", sa.Date),
    sa.Column("product", sa.Text),
    sa.Column("policy_id", _ID),
    sa.Column("policy_number", sa.Text),
    sa.Column("starts_on", sa.Date),
    sa.Column("ends_on", sa.Date),
    sa.Column("cancelled_on", sa.Date),
    sa.Column("payment_id", _ID),
    sa.Column("payment_reference", sa.Text),
    sa.Column("premium", _MONEY, nullable=False),
    sa.Column("collected", _MONEY, nullable=False),
    sa.Column("commission", _MONEY, nullable=False),
    sa.Column("vat", _MONEY, nullable=False),
    sa.Column("rate", sa.Numeric(7, 6)),
    sa.Column("agreement", sa.Text),
    sa.Column("reverses", _ID),
    sa.Column("restates", _ID),
    sa.Column("reason", sa.Text),
    sa.Column("recorded_at", _MOMENT, nullable=False, server_default=sa.func.now()),
    sa.Index("ix_lines_register", "insurer", "register_month", "occurred_at", "id"),
    sa.Index(
        "ix_lines_unrated",
        "insurer",
        "register_month",
        postgresql_where=sa.text("agreement is null and insurer is not null"),
    ),
    sa.Index("uq_lines_issued", "order_id", unique=True, postgresql_where=sa.text("kind = 'policy_issued'")),
    sa.Index("uq_lines_cancelled", "order_id", unique=True, postgresql_where=sa.text("kind = 'policy_cancelled'")),
    sa.Index("uq_lines_reverses", "reverses", unique=True, postgresql_where=sa.text("reverses is not null")),
    sa.Index("uq_lines_restates", "restates", unique=True, postgresql_where=sa.text("restates is not null")),
)
"""A line belongs to the register of ``insurer`` and ``register_month``, whether that is closed yet or not: the month in
which it happened, or the first that was still open when we learned of it. Closing therefore writes no line.
"""

line_states = sa.Table(
    "line_states",
    metadata,
    sa.Column("line_id", _ID, primary_key=True),
    sa.Column("register_id", _ID, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("reason", sa.Text),
    sa.Column("changed_at", _MOMENT, nullable=False),
)
"""Lines that stand elsewhere than the rest of their register; all others stand where its status says."""

register_totals = sa.Table(
    "register_totals",
    metadata,
    sa.Column("register_id", _ID, primary_key=True),
    sa.Column("product", sa.Text, primary_key=True),
    sa.Column("kind", sa.Text, primary_key=True),
    sa.Column("lines", sa.Integer, nullable=False),
    sa.Column("premium", _SUM, nullable=False),
    sa.Column("collected", _SUM, nullable=False),
    sa.Column("commission", _SUM, nullable=False),
    sa.Column("vat", _SUM, nullable=False),
)

register_files = sa.Table(
    "register_files",
    metadata,
    sa.Column("register_id", _ID, primary_key=True),
    sa.Column("kind", sa.Text, primary_key=True),
    sa.Column("storage_key", sa.Text, nullable=False),
    sa.Column("sha256", sa.Text, nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("made_at", _MOMENT, nullable=False),
)

signing_keys = sa.Table(
    "signing_keys",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("public_key", sa.LargeBinary, nullable=False),
    sa.Column("private_key", sa.LargeBinary, nullable=False),
    sa.Column("created_at", _MOMENT, nullable=False),
)
"""Ed25519; the private half is encrypted under the keyring, so that every replica signs with the same key."""

signatures = sa.Table(
    "signatures",
    metadata,
    sa.Column("register_id", _ID, primary_key=True),
    sa.Column("key_id", sa.Text, nullable=False),
    sa.Column("manifest", sa.LargeBinary, nullable=False),
    sa.Column("signature", sa.LargeBinary, nullable=False),
    sa.Column("signed_at", _MOMENT, nullable=False),
)
"""``manifest`` is the JSON that is signed: the register's figures, and its files with hash and size."""

deliveries = sa.Table(
    "deliveries",
    metadata,
    sa.Column("register_id", _ID, primary_key=True),
    sa.Column("channel", sa.Text, nullable=False),
    sa.Column("message_id", sa.Text, nullable=False, unique=True),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("due_at", _MOMENT),
    sa.Column("error", sa.Text),
    sa.Column("sent_at", _MOMENT),
    sa.Column("acknowledged_at", _MOMENT),
    sa.Column("created_at", _MOMENT, nullable=False),
    sa.Index("ix_deliveries_due_at", "due_at", postgresql_where=sa.text("due_at is not null")),
)
"""What is to be done with a register: its files made, then sent, then its acknowledgement asked for.

``due_at`` is when the next step is to be taken, None when nothing is. While a replica is at it, ``due_at`` lies beyond
its time limit, so that another one takes over only after its death; ``attempts`` tells the two apart.
"""
