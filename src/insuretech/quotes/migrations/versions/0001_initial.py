"""Products as quotes see them, quotes, lines, offers, their live events, callbacks and engines."""

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
    create_messaging("quotes")
    _products()
    _quotes()
    _lines()
    _offers()
    _live_events()
    _asking()


def _products() -> None:
    op.create_table(
        "products",
        sa.Column("code", sa.Text, nullable=False),
        sa.Column("version", sa.Text, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("on_sale", sa.Boolean, nullable=False),
        sa.Column("definition", sa.LargeBinary, nullable=False),
        sa.Column("published_at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("code", "version", name="pk_products"),
        schema="quotes",
    )
    op.create_index(
        "ix_products_on_sale", "products", ["code"], unique=True, schema="quotes", postgresql_where=sa.text("on_sale")
    )


def _quotes() -> None:
    op.create_table(
        "quotes",
        sa.Column("id", _ID, nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("product", sa.Text, nullable=False),
        sa.Column("product_version", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("answers", sa.LargeBinary, nullable=False),
        sa.Column("corridor_edition", sa.Text),
        sa.Column("corridor_min", _AMOUNT),
        sa.Column("corridor_max", _AMOUNT),
        sa.Column("currency", sa.Text, nullable=False),
        sa.Column("starts_on", sa.Date, nullable=False),
        sa.Column("ends_on", sa.Date, nullable=False),
        sa.Column("expires_at", _MOMENT, nullable=False),
        sa.Column("open_lines", sa.Integer, nullable=False),
        sa.Column("offers", sa.Integer, nullable=False),
        sa.Column("last_event", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_quotes"),
        schema="quotes",
    )
    op.create_index("ix_quotes_expires_at", "quotes", ["expires_at"], schema="quotes")


def _lines() -> None:
    op.create_table(
        "lines",
        sa.Column("id", _ID, nullable=False),
        sa.Column("quote_id", _ID, nullable=False),
        sa.Column("insurer", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("reason_ru", sa.Text),
        sa.Column("reason_en", sa.Text),
        sa.Column("deadline", _MOMENT, nullable=False),
        sa.Column("claimed_by", _ID),
        sa.Column("ended_at", _MOMENT),
        sa.Column("late_outcome", sa.Text),
        sa.Column("late_premium", _AMOUNT),
        sa.Column("late_at", _MOMENT),
        sa.PrimaryKeyConstraint("id", name="pk_lines"),
        sa.ForeignKeyConstraint(["quote_id"], ["quotes.quotes.id"], name="fk_lines_quote_id", ondelete="cascade"),
        sa.UniqueConstraint("quote_id", "insurer", name="uq_lines_quote_id_insurer"),
        schema="quotes",
    )
    op.create_index(
        "ix_lines_unfinished",
        "lines",
        ["claimed_by", "deadline"],
        schema="quotes",
        postgresql_where=sa.text("status in ('queued', 'sent', 'pending')"),
    )


def _offers() -> None:
    op.create_table(
        "offers",
        sa.Column("id", _ID, nullable=False),
        sa.Column("quote_id", _ID, nullable=False),
        sa.Column("line_id", _ID, nullable=False),
        sa.Column("insurer", sa.Text, nullable=False),
        sa.Column("offer_number", sa.Text, nullable=False),
        sa.Column("premium", _AMOUNT, nullable=False),
        sa.Column("currency", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("expires_at", _MOMENT, nullable=False),
        sa.Column("order_id", _ID),
        sa.Column("ordered_at", _MOMENT),
        sa.PrimaryKeyConstraint("id", name="pk_offers"),
        sa.ForeignKeyConstraint(["quote_id"], ["quotes.quotes.id"], name="fk_offers_quote_id", ondelete="cascade"),
        schema="quotes",
    )
    op.create_index("ix_offers_quote_id", "offers", ["quote_id"], schema="quotes")
    op.create_index(
        "uq_offers_line_id",
        "offers",
        ["line_id"],
        unique=True,
        schema="quotes",
        postgresql_where=sa.text("status <> 'repriced'"),
    )
    op.create_index(
        "ix_offers_active", "offers", ["expires_at"], schema="quotes", postgresql_where=sa.text("status = 'active'")
    )


def _live_events() -> None:
    op.create_table(
        "quote_events",
        sa.Column("quote_id", _ID, nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("event", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("quote_id", "sequence", name="pk_quote_events"),
        sa.ForeignKeyConstraint(
            ["quote_id"], ["quotes.quotes.id"], name="fk_quote_events_quote_id", ondelete="cascade"
        ),
        schema="quotes",
    )


def _asking() -> None:
    op.create_table(
        "callbacks",
        sa.Column("reference", _ID, nullable=False),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("received_at", _MOMENT, nullable=False),
        sa.Column("handled_at", _MOMENT),
        sa.PrimaryKeyConstraint("reference", "digest", name="pk_callbacks"),
        schema="quotes",
    )
    op.create_index("ix_callbacks_received_at", "callbacks", ["received_at"], schema="quotes")
    op.create_table(
        "engines",
        sa.Column("id", _ID, nullable=False),
        sa.Column("alive_until", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_engines"),
        schema="quotes",
    )
