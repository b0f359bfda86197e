"""Pictures of the tables of reconciliation; migration 0002 makes them."""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from insuretech.settlement.tables import metadata

_ID = pg.UUID(as_uuid=True)
_MONEY = sa.Numeric(14, 2)
_SUM = sa.Numeric(18, 2)
_MOMENT = sa.DateTime(timezone=True)

statements = sa.Table(
    "statements",
    metadata,
    sa.Column("id", _ID, primary_key=True),
    sa.Column("party", sa.Text, nullable=False),
    sa.Column("month", sa.Date, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("version", sa.Integer),
    sa.Column("file_name", sa.Text, nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("sha256", sa.Text, nullable=False),
    sa.Column("storage_key", sa.Text, nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("received_by", sa.Text, nullable=False),
    sa.Column("received_at", _MOMENT, nullable=False),
    sa.Column("taken_until", _MOMENT),
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
    sa.Column("columns_version", sa.Text),
    sa.Column("read_at", _MOMENT),
    sa.Column("lines", sa.Integer, nullable=False, server_default="0"),
    sa.Column("total", _SUM, nullable=False, server_default="0"),
    sa.Column("left_out", sa.Integer, nullable=False, server_default="0"),
    sa.Column("faults", pg.JSONB, nullable=False, server_default="[]"),
    sa.Column("fault_count", sa.Integer, nullable=False, server_default="0"),
    sa.Column("matched_at", _MOMENT),
    sa.Column("our_lines", sa.Integer, nullable=False, server_default="0"),
    sa.Column("our_total", _SUM, nullable=False, server_default="0"),
    sa.Column("agreed", sa.Integer, nullable=False, server_default="0"),
    sa.Column("agreed_total", _SUM, nullable=False, server_default="0"),
    sa.UniqueConstraint("party", "month", "sha256"),
)
"""Files of the other side, one row each; ``taken_until`` is set while a replica reads the file."""

statement_lines = sa.Table(
    "statement_lines",
    metadata,
    sa.Column("statement_id", _ID, primary_key=True),
    sa.Column("line", sa.Integer, primary_key=True),
    sa.Column("number", sa.Text, nullable=False),
    sa.Column("key", sa.Text, nullable=False),
    sa.Column("entry", sa.Text, nullable=False),
    sa.Column("amount", _MONEY, nullable=False),
    sa.Column("day", sa.Date, nullable=False),
)
"""What was read of the current file; of others only the file itself is kept."""

discrepancies = sa.Table(
    "discrepancies",
    metadata,
    sa.Column("id", _ID, primary_key=True),
    sa.Column("party", sa.Text, nullable=False),
    sa.Column("month", sa.Date, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("key", sa.Text, nullable=False),
    sa.Column("entry", sa.Text, nullable=False),
    sa.Column("ordinal", sa.Integer, nullable=False),
    sa.Column("number", sa.Text, nullable=False),
    sa.Column("statement_id", _ID, nullable=False),
    sa.Column("our_line", _ID),
    sa.Column("our_amount", _MONEY),
    sa.Column("our_day", sa.Date),
    sa.Column("their_line", sa.Integer),
    sa.Column("their_number", sa.Text),
    sa.Column("their_amount", _MONEY),
    sa.Column("their_day", sa.Date),
    sa.Column("difference", _MONEY, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("assignee", sa.Text),
    sa.Column("resolution", sa.Text),
    sa.Column("found_at", _MOMENT, nullable=False),
    sa.Column("changed_at", _MOMENT, nullable=False),
    sa.Column("version", sa.Integer, nullable=False, server_default="1"),
    sa.UniqueConstraint("party", "month", "key", "entry", "kind", "ordinal"),
)

discrepancy_notes = sa.Table(
    "discrepancy_notes",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("discrepancy_id", _ID, nullable=False),
    sa.Column("at", _MOMENT, nullable=False),
    sa.Column("author", sa.Text, nullable=False),
    sa.Column("action", sa.Text, nullable=False),
    sa.Column("status_before", sa.Text, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("text", sa.Text, nullable=False, server_default=""),
)
"""Append-only: a trigger refuses changes."""
