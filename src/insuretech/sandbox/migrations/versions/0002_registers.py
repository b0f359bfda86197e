"""Registers that insurers receive from the marketplace."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        create table sandbox.registers (
            id uuid constraint pk_registers primary key,
            insurer text not null,
            number text not null,
            message_id text not null,
            manifest bytea not null,
            signature bytea not null,
            public_key bytea not null,
            told_at timestamptz not null,
            received_at timestamptz,
            refusal text
        )
        """
    )
    op.execute(
        """
        create table sandbox.register_parts (
            register_id uuid not null,
            sha256 text not null,
            starts_at bigint not null,
            content bytea not null,
            constraint pk_register_parts primary key (register_id, sha256, starts_at)
        )
        """
    )
