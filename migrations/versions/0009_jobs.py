"""Which job of a batch a picture was made for: each picture of one is there once, whoever makes it."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("generations", sa.Column("job", sa.String(), nullable=True))
    op.execute(
        "CREATE UNIQUE INDEX ix_generations_job_image_path ON generations (job, image_path) WHERE job IS NOT NULL"
    )


def downgrade() -> None:
    op.execute("DROP INDEX ix_generations_job_image_path")
    op.drop_column("generations", "job")
