"""Numbers that never return, an index of words that keeps itself, and settings of pictures that come and go."""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

#: How each table is made from now on, and of what its rows are made.
_TABLES = {
    "assets": (
        """
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
        """,
        """
        id, name, kind, family, base_model, variant, prediction, format, layout, path, size, sha256, in_store,
        default_weight, notes, added_at, updated_at
        """,
    ),
    "files": (
        """
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
        """,
        "id, asset_id, path, role, size, mtime_ns, sha256, autov3, blake3",
    ),
    "generations": (
        """
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
        """,
        """
        id, created_at, prompt, negative_prompt,
        CASE WHEN 'blob' IN (typeof(seed), typeof(steps), typeof(cfg_scale), typeof(sampler), typeof(width),
            typeof(height)) THEN '{}' ELSE json_patch(
            json_object('seed', seed, 'steps', steps,
                'cfg_scale', CASE WHEN typeof(cfg_scale) <> 'real' OR abs(cfg_scale) < 1e300 THEN cfg_scale END,
                'sampler', sampler, 'width', width, 'height', height),
            json_object('clip_skip', CASE WHEN json_valid(record) THEN
                CASE json_type(record, '$.clip_skip') WHEN 'integer' THEN json_extract(record, '$.clip_skip') END END)
        ) END,
        image_path, image_sha256, record
        """,
    ),
    "generation_assets": (
        """
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
        """,
        "generation_id, position, asset_id, role, name, sha256, weight",
    ),
}

_INDEXES = {
    "assets_sha256": "assets (sha256)",
    "assets_kind_name": "assets (kind, name)",
    "assets_family_name": "assets (family COLLATE NOCASE, name)",
    "assets_base_model_name": "assets (base_model COLLATE NOCASE, name)",
    "assets_family_kind_name_base_model": "assets (family COLLATE NOCASE, kind, name, base_model)",
    "assets_stored": "assets (path) WHERE in_store",
    **{f"files_{column}": f"files ({column})" for column in ("asset_id", "autov3", "blake3", "sha256")},
    **{
        f"generations_{column}": f"generations ({column})"
        for column in ("created_at", "image_sha256", "prompt", "seed")
    },
    "generation_assets_asset_id": "generation_assets (asset_id)",
}

#: Assets with a word that is none, which no JSON can hold: one of them keeps no catalog from being upgraded.
_DAMAGED = (
    "SELECT asset_id FROM trigger_words WHERE typeof(word) = 'blob' "
    "UNION SELECT asset_id FROM tags WHERE typeof(tag) = 'blob'"
)

_SEARCHED = "(rowid, name, trigger_words, tags, notes) SELECT id, name, trigger_words, tags, notes FROM asset_view"
_NOW = "strftime('%Y-%m-%dT%H:%M:%SZ', 'now')"


def _trigger(name: str, event: str, *does: str) -> str:
    return f"CREATE TRIGGER {name} {event} BEGIN {''.join(f'{each}; ' for each in does)}END"


def _labels_trigger(table: str, event: str, which: str) -> str:
    """Words and tags belong to what is searched; one of a row that has no asset yet changes nothing."""
    said = f"(SELECT {table} FROM asset_view WHERE id = asset_search.rowid)"
    return _trigger(
        f"{table}_{event}",
        f"AFTER {event.upper()} ON {table}",
        f"UPDATE assets SET updated_at = {_NOW} WHERE id {which}",
        f"UPDATE asset_search SET {table} = {said} WHERE rowid {which}",
    )


_TRIGGERS = (
    _trigger(
        "assets_change",
        "AFTER UPDATE OF name, kind, family, base_model, variant, prediction, format, layout, size, in_store, "
        "default_weight, notes ON assets",
        f"UPDATE assets SET updated_at = {_NOW} WHERE id = new.id",
    ),
    _trigger("assets_insert", "AFTER INSERT ON assets", f"INSERT INTO asset_search {_SEARCHED} WHERE id = new.id"),
    _trigger(
        "assets_update",
        "AFTER UPDATE OF name, notes ON assets",
        "UPDATE asset_search SET name = new.name, notes = new.notes WHERE rowid = new.id",
    ),
    _trigger("assets_delete", "BEFORE DELETE ON assets", "DELETE FROM asset_search WHERE rowid = old.id"),
    *(
        _labels_trigger(table, event, which)
        for table in ("trigger_words", "tags")
        for event, which in (
            ("insert", "= new.asset_id"),
            ("update", "IN (old.asset_id, new.asset_id)"),
            ("delete", "= old.asset_id"),
        )
    ),
)


def upgrade() -> None:
    for table, (columns, values) in _TABLES.items():
        op.execute(f"CREATE TABLE new_{table} ({columns})")
        op.execute(f"INSERT INTO new_{table} SELECT {values} FROM {table}")
        op.execute(f"DROP TABLE {table}")
        op.execute(f"ALTER TABLE new_{table} RENAME TO {table}")
    for name, columns in _INDEXES.items():
        op.execute(f"CREATE INDEX ix_{name} ON {columns}")
    op.execute("DELETE FROM asset_search")
    op.execute(f"INSERT INTO asset_search {_SEARCHED} WHERE id NOT IN ({_DAMAGED})")
    for trigger in _TRIGGERS:
        op.execute(trigger)


def downgrade() -> None:
    raise NotImplementedError("the upgrade keeps a copy of the catalog as it was: put that back")
