"""Lists of any length in the order of their names, without sorting or reading all of them."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

#: The new indexes, and the older ones that they make needless.
_NEW = {
    "kind_name": "kind, name",
    "family_name": "family COLLATE NOCASE, name",
    "base_model_name": "base_model COLLATE NOCASE, name",
    "family_kind_name_base_model": "family COLLATE NOCASE, kind, name, base_model",
}
_OLD = ("family", "kind")


def upgrade() -> None:
    for name, columns in _NEW.items():
        op.execute(f"CREATE INDEX ix_assets_{name} ON assets ({columns})")
    for column in _OLD:
        op.execute(f"DROP INDEX ix_assets_{column}")


def downgrade() -> None:
    for column in _OLD:
        op.execute(f"CREATE INDEX ix_assets_{column} ON assets ({column})")
    for name in _NEW:
        op.execute(f"DROP INDEX ix_assets_{name}")
