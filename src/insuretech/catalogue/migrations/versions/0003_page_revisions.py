"""Pages carry the number of the build that changed them last, so that copies of them know which is newer."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "product_pages", sa.Column("revision", sa.BigInteger, nullable=False, server_default="0"), schema="catalogue"
    )
    builds = op.create_table(
        "page_builds",
        sa.Column("of", sa.Text, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("of", name="pk_page_builds"),
        schema="catalogue",
    )
    op.bulk_insert(builds, [{"of": "pages", "revision": 0}])
