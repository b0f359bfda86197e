"""Pictures of the tables of staff; migration 0002 makes them. Only hashes of tokens are kept."""

import sqlalchemy as sa

from insuretech.settlement.tables import metadata

_MOMENT = sa.DateTime(timezone=True)

staff = sa.Table(
    "staff",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("created_at", _MOMENT, nullable=False),
    sa.Column("disabled_at", _MOMENT),
)

staff_links = sa.Table(
    "staff_links",
    metadata,
    sa.Column("token_hash", sa.LargeBinary, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("created_at", _MOMENT, nullable=False),
    sa.Column("expires_at", _MOMENT, nullable=False),
    sa.Column("used_at", _MOMENT),
)

staff_sessions = sa.Table(
    "staff_sessions",
    metadata,
    sa.Column("token_hash", sa.LargeBinary, primary_key=True),
    sa.Column("name", sa.Text, nullable=False, index=True),
    sa.Column("created_at", _MOMENT, nullable=False),
    sa.Column("seen_at", _MOMENT, nullable=False),
    sa.Column("expires_at", _MOMENT, nullable=False),
    sa.Column("ended_at", _MOMENT),
)

staff_deeds = sa.Table(
    "staff_deeds",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("at", _MOMENT, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("deed", sa.Text, nullable=False),
    sa.Column("subject", sa.Text, nullable=False, server_default=""),
    sa.Column("detail", sa.Text, nullable=False, server_default=""),
    sa.Index("ix_staff_deeds_at", "at"),
)
"""Append-only: a trigger refuses changes."""
