"""Finding pictures by seed and by words of the prompt, without reading the records of all."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_COLUMNS = ("prompt", "seed")


def upgrade() -> None:
    for column in _COLUMNS:
        op.execute(f"CREATE INDEX ix_generations_{column} ON generations ({column})")


def downgrade() -> None:
    for column in _COLUMNS:
        op.execute(f"DROP INDEX ix_generations_{column}")
