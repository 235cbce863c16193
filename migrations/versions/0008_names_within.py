"""What an asset's own metadata call it, which is how A1111 writes LoRAs into prompts."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("assets", sa.Column("alias", sa.String(), nullable=True))


def downgrade() -> None:
    op.drop_column("assets", "alias")
