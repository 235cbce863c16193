"""Whether assets of the store lie where the store is now, asked at every start without reading all of them."""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("CREATE INDEX ix_assets_stored ON assets (path) WHERE in_store")


def downgrade() -> None:
    op.execute("DROP INDEX ix_assets_stored")
