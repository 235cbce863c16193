"""Jobs that wait for the worker, and the job that a picture was made for."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE jobs (
            id INTEGER NOT NULL CONSTRAINT pk_jobs PRIMARY KEY AUTOINCREMENT,
            kind VARCHAR NOT NULL,
            status VARCHAR NOT NULL,
            priority INTEGER NOT NULL,
            request JSON NOT NULL,
            error JSON,
            attempts INTEGER NOT NULL,
            created_at VARCHAR NOT NULL,
            started_at VARCHAR,
            finished_at VARCHAR,
            CONSTRAINT ck_jobs_status CHECK (status IN ('queued', 'running', 'done', 'failed', 'cancelled'))
        )
        """
    )
    op.create_index("ix_jobs_status_priority_id", "jobs", ["status", "priority", "id"])
    op.add_column("generations", sa.Column("job_id", sa.Integer(), nullable=True))
    op.create_index("ix_generations_job_id", "generations", ["job_id"], sqlite_where=sa.text("job_id IS NOT NULL"))


def downgrade() -> None:
    op.drop_index("ix_generations_job_id", "generations")
    op.drop_column("generations", "job_id")
    op.drop_table("jobs")
