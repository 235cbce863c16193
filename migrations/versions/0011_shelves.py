"""Pages of lists at any size: alike assets stand on one shelf, in every order; and when each was used last."""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

#: What assets of one shelf have in common; a base model, which may be any text, comes last.
_SHELF = (
    "kind || char(31) || coalesce(family, '') || char(31) || coalesce(format, '') || char(31) || in_store "
    "|| char(31) || coalesce(base_model, '')"
)

#: The new indexes, and the older ones that they make needless.
_NEW = {
    "shelf_name": "shelf, name",
    "shelf_size_name": "shelf, size DESC, name",
    "shelf_added_at": "shelf, added_at",
    "shelf_used_name": "shelf, used DESC, name",
    "used_name": "used DESC, name",
}
_OLD = {
    "kind_name": "kind, name",
    "family_name": "family COLLATE NOCASE, name",
    "base_model_name": "base_model COLLATE NOCASE, name",
    "family_kind_name_base_model": "family COLLATE NOCASE, kind, name, base_model",
}

_USED = "UPDATE assets SET used = new.generation_id WHERE id = new.asset_id AND used < new.generation_id;"


def upgrade() -> None:
    op.execute("ALTER TABLE assets ADD COLUMN used INTEGER NOT NULL DEFAULT 0")
    op.execute(f"ALTER TABLE assets ADD COLUMN shelf VARCHAR GENERATED ALWAYS AS ({_SHELF}) VIRTUAL")
    last = "SELECT max(generation_id) FROM generation_assets WHERE asset_id = assets.id"
    op.execute(f"UPDATE assets SET used = coalesce(({last} AND typeof(generation_id) = 'integer'), 0)")
    for name in _OLD:
        op.execute(f"DROP INDEX ix_assets_{name}")
    for name, columns in _NEW.items():
        op.execute(f"CREATE INDEX ix_assets_{name} ON assets ({columns})")
    op.execute(f"CREATE TRIGGER uses_insert AFTER INSERT ON generation_assets BEGIN {_USED} END")
    op.execute(f"CREATE TRIGGER uses_update AFTER UPDATE OF asset_id ON generation_assets BEGIN {_USED} END")


def downgrade() -> None:
    for name in ("uses_insert", "uses_update"):
        op.execute(f"DROP TRIGGER {name}")
    for name in _NEW:
        op.execute(f"DROP INDEX ix_assets_{name}")
    for name, columns in _OLD.items():
        op.execute(f"CREATE INDEX ix_assets_{name} ON assets ({columns})")
    op.execute("ALTER TABLE assets DROP COLUMN shelf")
    op.execute("ALTER TABLE assets DROP COLUMN used")
