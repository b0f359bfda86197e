"""Products, consents and the projection of their pages."""

import sqlalchemy as sa
from alembic import op

from insuretech.kit.migrations import create_messaging

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    create_messaging("catalogue")
    moment = sa.DateTime(timezone=True)
    for name in ("product_versions", "consents"):
        op.create_table(
            name,
            sa.Column("code", sa.Text, nullable=False),
            sa.Column("version", sa.Text, nullable=False),
            sa.Column("content", sa.LargeBinary, nullable=False),
            sa.Column("loaded_at", moment, nullable=False),
            sa.PrimaryKeyConstraint("code", "version", name=f"pk_{name}"),
            schema="catalogue",
        )
    op.create_table(
        "products",
        sa.Column("code", sa.Text, nullable=False),
        sa.Column("version", sa.Text, nullable=False),
        sa.Column("on_sale", sa.Boolean, nullable=False),
        sa.Column("changed_at", moment, nullable=False),
        sa.PrimaryKeyConstraint("code", name="pk_products"),
        sa.ForeignKeyConstraint(
            ["code", "version"],
            ["catalogue.product_versions.code", "catalogue.product_versions.version"],
            name="fk_products_code_version",
        ),
        schema="catalogue",
    )
    op.create_table(
        "product_pages",
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("etag", sa.Text, nullable=False),
        sa.Column("built_at", moment, nullable=False),
        sa.PrimaryKeyConstraint("path", name="pk_product_pages"),
        schema="catalogue",
    )
