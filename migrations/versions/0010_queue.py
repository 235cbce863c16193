"""Jobs that wait for the worker; and pages of a list by size, or by when assets were added, without sorting all."""

from alembic import op

revision = "0010"
down_revision = "0009"
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
            pictures JSON NOT NULL,
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
    op.execute("CREATE INDEX ix_assets_size_name ON assets (size DESC, name)")
    op.execute("CREATE INDEX ix_assets_added_at ON assets (added_at)")


def downgrade() -> None:
    op.drop_index("ix_assets_size_name")
    op.drop_index("ix_assets_added_at")
    op.drop_table("jobs")
