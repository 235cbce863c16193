BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0008');
CREATE TABLE "assets" (
        id INTEGER NOT NULL CONSTRAINT pk_assets PRIMARY KEY AUTOINCREMENT,
        name VARCHAR COLLATE "NOCASE" NOT NULL,
        kind VARCHAR NOT NULL,
        family VARCHAR,
        base_model VARCHAR,
        variant VARCHAR,
        prediction VARCHAR,
        format VARCHAR,
        layout VARCHAR,
        path VARCHAR NOT NULL,
        size INTEGER NOT NULL,
        sha256 VARCHAR,
        in_store BOOLEAN NOT NULL,
        default_weight DOUBLE,
        notes VARCHAR,
        added_at VARCHAR NOT NULL,
        updated_at VARCHAR NOT NULL,
        CONSTRAINT ck_assets_size CHECK (size >= 0),
        CONSTRAINT ck_assets_name CHECK (name <> ''),
        CONSTRAINT uq_assets_name UNIQUE (name),
        CONSTRAINT uq_assets_path UNIQUE (path)
        );
INSERT INTO "assets" VALUES(1,'dreamer','checkpoint','sd1','SD 1.5',NULL,NULL,'safetensors','ldm','/models/checkpoints/dreamer.safetensors',20,'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa',1,NULL,NULL,'2026-11-01T10:00:00Z','2026-11-02T10:00:00Z');
INSERT INTO "assets" VALUES(2,'whiskers','lora','sdxl',NULL,NULL,NULL,'safetensors','kohya','/models/loras/whiskers.safetensors',20,'bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb',0,0.7,'très bon for portraits','2026-11-01T10:00:00Z','2026-11-02T10:00:00Z');
CREATE TABLE "files" (
        id INTEGER NOT NULL CONSTRAINT pk_files PRIMARY KEY AUTOINCREMENT,
        asset_id INTEGER NOT NULL,
        path VARCHAR NOT NULL,
        role VARCHAR NOT NULL,
        size INTEGER NOT NULL,
        mtime_ns INTEGER NOT NULL,
        sha256 VARCHAR,
        autov3 VARCHAR,
        blake3 VARCHAR,
        CONSTRAINT ck_files_role CHECK (role IN ('main', 'part', 'copy')),
        CONSTRAINT ck_files_size CHECK (size >= 0),
        CONSTRAINT fk_files_asset_id_assets FOREIGN KEY (asset_id) REFERENCES assets (id) ON DELETE CASCADE,
        CONSTRAINT uq_files_path UNIQUE (path)
        );
INSERT INTO "files" VALUES(1,1,'/models/checkpoints/dreamer.safetensors','main',10,1700000000000000000,'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa','aaaaaaaaaaaa',NULL);
INSERT INTO "files" VALUES(2,1,'/copies/dreamer.safetensors','copy',10,5,'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa',NULL,NULL);
INSERT INTO "files" VALUES(3,2,'/models/loras/whiskers.safetensors','main',10,1700000000000000000,'bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb','bbbbbbbbbbbb',NULL);
INSERT INTO "files" VALUES(4,2,'/copies/whiskers.safetensors','copy',10,5,'bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb',NULL,NULL);
CREATE TABLE "generation_assets" (
        generation_id INTEGER NOT NULL,
        position INTEGER NOT NULL,
        asset_id INTEGER,
        role VARCHAR NOT NULL,
        name VARCHAR NOT NULL,
        sha256 VARCHAR,
        weight DOUBLE,
        CONSTRAINT pk_generation_assets PRIMARY KEY (generation_id, position),
        CONSTRAINT fk_generation_assets_generation_id_generations
            FOREIGN KEY (generation_id) REFERENCES generations (id) ON DELETE CASCADE,
        CONSTRAINT fk_generation_assets_asset_id_assets
            FOREIGN KEY (asset_id) REFERENCES assets (id) ON DELETE SET NULL
        );
INSERT INTO "generation_assets" VALUES(1,0,1,'checkpoint','dreamer','aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa',NULL);
INSERT INTO "generation_assets" VALUES(1,1,2,'lora','whiskers','bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb',0.5);
INSERT INTO "generation_assets" VALUES(2,0,1,'checkpoint','dreamer','aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa',NULL);
INSERT INTO "generation_assets" VALUES(2,1,2,'lora','whiskers','bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb',0.5);
INSERT INTO "generation_assets" VALUES(2,2,NULL,'lora','gone','cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc',0.5);
INSERT INTO "generation_assets" VALUES(3,0,1,'checkpoint','dreamer','aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa',NULL);
CREATE TABLE "generations" (
        id INTEGER NOT NULL CONSTRAINT pk_generations PRIMARY KEY AUTOINCREMENT,
        created_at VARCHAR NOT NULL,
        prompt VARCHAR NOT NULL,
        negative_prompt VARCHAR NOT NULL,
        settings JSON NOT NULL,
        image_path VARCHAR NOT NULL,
        image_sha256 VARCHAR NOT NULL,
        record JSON NOT NULL,
        seed INTEGER GENERATED ALWAYS AS
            (CASE WHEN json_valid(settings) THEN json_extract(settings, '$.seed') END) VIRTUAL
        );
INSERT INTO "generations" VALUES(1,'2026-11-01T10:00:00Z','a Cat, grey','blurry','{"seed":5,"steps":21,"cfg_scale":7.5,"sampler":"Euler a","width":512,"height":768,"clip_skip":2}','/outputs/1.png','1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e','{"clip_skip":2,"environment":{"torch":"2.3"},"seed":5}');
INSERT INTO "generations" VALUES(2,'2026-11-02T10:00:00Z','a dog','blurry','{"seed":4294967295,"steps":22,"cfg_scale":8.0,"sampler":"Euler a","width":512,"height":768,"clip_skip":2}','/outputs/2.png','2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e','{"clip_skip":2,"environment":{"torch":"2.3"},"seed":4294967295}');
INSERT INTO "generations" VALUES(3,'2026-11-03T10:00:00Z','a cat at night','blurry','{"seed":6,"steps":23,"cfg_scale":8.5,"sampler":"Euler a","width":512,"height":768,"clip_skip":2}','/outputs/3.png','3e3e3e3e3e3e3e3e3e3e3e3e3e3e3e3e3e3e3e3e3e3e3e3e3e3e3e3e3e3e3e3e','{"clip_skip":2,"environment":{"torch":"2.3"},"seed":6}');
CREATE TABLE identifications (
        asset_id INTEGER NOT NULL,
        confidence VARCHAR NOT NULL,
        result JSON NOT NULL,
        evidence JSON NOT NULL,
        identified_at VARCHAR NOT NULL,
        CONSTRAINT pk_identifications PRIMARY KEY (asset_id),
        CONSTRAINT fk_identifications_asset_id_assets FOREIGN KEY (asset_id) REFERENCES assets (id) ON DELETE CASCADE
    );
INSERT INTO "identifications" VALUES(1,'certain','{"kind":"checkpoint","family":"sd1","base_model":"SD 1.5","variant":null,"prediction":null,"format":"safetensors","layout":"ldm","trigger_words":[]}','[]','2026-11-26T12:57:25Z');
INSERT INTO "identifications" VALUES(2,'certain','{"kind":"lora","family":"sd1","base_model":null,"variant":null,"prediction":null,"format":"safetensors","layout":"kohya","trigger_words":["long whiskers","cat"]}','[{"source":"tensors","claim":"family=sd1","detail":"768"}]','2026-11-26T12:57:25Z');
CREATE TABLE origins (
        asset_id INTEGER NOT NULL,
        source VARCHAR NOT NULL,
        reference VARCHAR NOT NULL,
        revision VARCHAR,
        url VARCHAR,
        fetched_at VARCHAR, facts JSON,
        CONSTRAINT pk_origins PRIMARY KEY (asset_id),
        CONSTRAINT fk_origins_asset_id_assets FOREIGN KEY (asset_id) REFERENCES assets (id) ON DELETE CASCADE
    );
INSERT INTO "origins" VALUES(1,'civitai','civitai:1@2','2','https://civitai.com/api/download/models/2','2026-11-01T10:00:00Z','{"base_model":null,"kind":null,"trigger_words":["a"],"licence":null,"commercial":false,"page":null,"air":null,"creator":null,"source":"civitai"}');
INSERT INTO "origins" VALUES(2,'civitai','civitai:1@2','2','https://civitai.com/api/download/models/2','2026-11-01T10:00:00Z','{"base_model":null,"kind":null,"trigger_words":["a"],"licence":null,"commercial":false,"page":null,"air":null,"creator":null,"source":"civitai"}');
CREATE TABLE overrides (
        asset_id INTEGER NOT NULL,
        field VARCHAR NOT NULL,
        value JSON NOT NULL,
        set_at VARCHAR NOT NULL,
        CONSTRAINT pk_overrides PRIMARY KEY (asset_id, field),
        CONSTRAINT fk_overrides_asset_id_assets FOREIGN KEY (asset_id) REFERENCES assets (id) ON DELETE CASCADE
    );
INSERT INTO "overrides" VALUES(2,'family','"sdxl"','2026-11-26T12:57:25Z');
CREATE TABLE tags (
        asset_id INTEGER NOT NULL,
        tag VARCHAR COLLATE "NOCASE" NOT NULL,
        CONSTRAINT pk_tags PRIMARY KEY (asset_id, tag),
        CONSTRAINT fk_tags_asset_id_assets FOREIGN KEY (asset_id) REFERENCES assets (id) ON DELETE CASCADE
    );
INSERT INTO "tags" VALUES(2,'Cats');
INSERT INTO "tags" VALUES(2,'wip');
CREATE TABLE trigger_words (
        asset_id INTEGER NOT NULL,
        position INTEGER NOT NULL,
        word VARCHAR NOT NULL,
        CONSTRAINT pk_trigger_words PRIMARY KEY (asset_id, position),
        CONSTRAINT fk_trigger_words_asset_id_assets FOREIGN KEY (asset_id) REFERENCES assets (id) ON DELETE CASCADE
    );
INSERT INTO "trigger_words" VALUES(2,0,'long whiskers');
INSERT INTO "trigger_words" VALUES(2,1,'cat');
CREATE INDEX ix_tags_tag ON tags (tag);
CREATE VIEW asset_view AS
    SELECT a.id, a.name, a.kind, a.family, a.base_model, a.variant, a.prediction, a.format, a.layout, a.size, a.sha256,
        (SELECT f.autov3 FROM files f WHERE f.asset_id = a.id AND f.role = 'main') AS autov3,
        (SELECT json_group_array(word) FROM
            (SELECT word FROM trigger_words w WHERE w.asset_id = a.id ORDER BY position)) AS trigger_words,
        (SELECT json_group_array(tag) FROM
            (SELECT tag FROM tags t WHERE t.asset_id = a.id ORDER BY tag)) AS tags,
        a.path, a.in_store,
        (SELECT o.reference FROM origins o WHERE o.asset_id = a.id) AS source,
        a.default_weight, a.notes, a.added_at
    FROM assets a;
CREATE INDEX ix_assets_sha256 ON assets (sha256);
CREATE INDEX ix_assets_kind_name ON assets (kind, name);
CREATE INDEX ix_assets_family_name ON assets (family COLLATE NOCASE, name);
CREATE INDEX ix_assets_base_model_name ON assets (base_model COLLATE NOCASE, name);
CREATE INDEX ix_assets_family_kind_name_base_model ON assets (family COLLATE NOCASE, kind, name, base_model);
CREATE INDEX ix_assets_stored ON assets (path) WHERE in_store;
CREATE INDEX ix_files_asset_id ON files (asset_id);
CREATE INDEX ix_files_autov3 ON files (autov3);
CREATE INDEX ix_files_blake3 ON files (blake3);
CREATE INDEX ix_files_sha256 ON files (sha256);
CREATE INDEX ix_generations_created_at ON generations (created_at);
CREATE INDEX ix_generations_image_sha256 ON generations (image_sha256);
CREATE INDEX ix_generations_prompt ON generations (prompt);
CREATE INDEX ix_generations_seed ON generations (seed);
CREATE INDEX ix_generation_assets_asset_id ON generation_assets (asset_id);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('assets',2);
INSERT INTO "sqlite_sequence" VALUES('files',4);
INSERT INTO "sqlite_sequence" VALUES('generations',3);
CREATE VIRTUAL TABLE asset_search USING fts5(name, trigger_words, tags, notes, tokenize = 'unicode61 remove_diacritics 2', prefix = '2 3');
INSERT INTO asset_search (rowid, name, trigger_words, tags, notes) VALUES(1, 'dreamer', '[]', '[]', NULL);
INSERT INTO asset_search (rowid, name, trigger_words, tags, notes) VALUES(2, 'whiskers', '["long whiskers","cat"]', '["Cats","wip"]', 'très bon for portraits');
CREATE TRIGGER assets_change AFTER UPDATE OF name, kind, family, base_model, variant, prediction, format, layout, size, in_store, default_weight, notes ON assets BEGIN UPDATE assets SET updated_at = strftime('%Y-%m-%dT%H:%M:%SZ', 'now') WHERE id = new.id; END;
CREATE TRIGGER assets_insert AFTER INSERT ON assets BEGIN INSERT INTO asset_search (rowid, name, trigger_words, tags, notes) SELECT id, name, trigger_words, tags, notes FROM asset_view WHERE id = new.id; END;
CREATE TRIGGER assets_update AFTER UPDATE OF name, notes ON assets BEGIN UPDATE asset_search SET name = new.name, notes = new.notes WHERE rowid = new.id; END;
CREATE TRIGGER assets_delete BEFORE DELETE ON assets BEGIN DELETE FROM asset_search WHERE rowid = old.id; END;
CREATE TRIGGER trigger_words_insert AFTER INSERT ON trigger_words BEGIN UPDATE assets SET updated_at = strftime('%Y-%m-%dT%H:%M:%SZ', 'now') WHERE id = new.asset_id; UPDATE asset_search SET trigger_words = (SELECT trigger_words FROM asset_view WHERE id = asset_search.rowid) WHERE rowid = new.asset_id; END;
CREATE TRIGGER trigger_words_update AFTER UPDATE ON trigger_words BEGIN UPDATE assets SET updated_at = strftime('%Y-%m-%dT%H:%M:%SZ', 'now') WHERE id IN (old.asset_id, new.asset_id); UPDATE asset_search SET trigger_words = (SELECT trigger_words FROM asset_view WHERE id = asset_search.rowid) WHERE rowid IN (old.asset_id, new.asset_id); END;
CREATE TRIGGER trigger_words_delete AFTER DELETE ON trigger_words BEGIN UPDATE assets SET updated_at = strftime('%Y-%m-%dT%H:%M:%SZ', 'now') WHERE id = old.asset_id; UPDATE asset_search SET trigger_words = (SELECT trigger_words FROM asset_view WHERE id = asset_search.rowid) WHERE rowid = old.asset_id; END;
CREATE TRIGGER tags_insert AFTER INSERT ON tags BEGIN UPDATE assets SET updated_at = strftime('%Y-%m-%dT%H:%M:%SZ', 'now') WHERE id = new.asset_id; UPDATE asset_search SET tags = (SELECT tags FROM asset_view WHERE id = asset_search.rowid) WHERE rowid = new.asset_id; END;
CREATE TRIGGER tags_update AFTER UPDATE ON tags BEGIN UPDATE assets SET updated_at = strftime('%Y-%m-%dT%H:%M:%SZ', 'now') WHERE id IN (old.asset_id, new.asset_id); UPDATE asset_search SET tags = (SELECT tags FROM asset_view WHERE id = asset_search.rowid) WHERE rowid IN (old.asset_id, new.asset_id); END;
CREATE TRIGGER tags_delete AFTER DELETE ON tags BEGIN UPDATE assets SET updated_at = strftime('%Y-%m-%dT%H:%M:%SZ', 'now') WHERE id = old.asset_id; UPDATE asset_search SET tags = (SELECT tags FROM asset_view WHERE id = asset_search.rowid) WHERE rowid = old.asset_id; END;
ALTER TABLE assets ADD COLUMN alias VARCHAR;
COMMIT;
