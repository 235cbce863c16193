-- What the ninth schema adds to catalog-0008.sql: pictures know the job that they were made for.
BEGIN TRANSACTION;
ALTER TABLE generations ADD COLUMN job VARCHAR;
CREATE UNIQUE INDEX ix_generations_job_image_path ON generations (job, image_path) WHERE job IS NOT NULL;
INSERT INTO generations (id, created_at, prompt, negative_prompt, settings, image_path, image_sha256, record, job)
VALUES (
77, '2026-11-01T00:00:00Z', 'a cat', '', '{"steps": 20, "cfg_scale": 7.0, "sampler": "Euler a", "seed": 7, "width": 64, "height": 64}', '/pictures/cat.png',
'abababababababababababababababababababababababababababababababab', '{}', 'a-job');
UPDATE alembic_version SET version_num = '0009';
COMMIT;
