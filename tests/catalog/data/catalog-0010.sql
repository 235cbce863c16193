-- What the tenth schema adds to catalog-0009.sql: jobs that wait for a worker, and two orders of lists.
BEGIN TRANSACTION;
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
);
CREATE INDEX ix_jobs_status_priority_id ON jobs (status, priority, id);
CREATE INDEX ix_assets_size_name ON assets (size DESC, name);
CREATE INDEX ix_assets_added_at ON assets (added_at);
INSERT INTO jobs VALUES (4, 'generate', 'queued', 0, '{"prompt": "a cat"}', '[]', NULL, 0, '2026-11-02T00:00:00Z', NULL, NULL);
UPDATE alembic_version SET version_num = '0010';
COMMIT;
