"""Full-text search over names, trigger words, tags and notes."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "CREATE VIRTUAL TABLE asset_search USING fts5("
        "name, trigger_words, tags, notes, tokenize = 'unicode61 remove_diacritics 2', prefix = '2 3')"
    )
    op.execute(
        "INSERT INTO asset_search (rowid, name, trigger_words, tags, notes) "
        "SELECT id, name, trigger_words, tags, notes FROM asset_view"
    )


def downgrade() -> None:
    op.execute("DROP TABLE asset_search")
