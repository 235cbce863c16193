"""Making, upgrading and refusing a catalog file."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from dataclasses import fields
from pathlib import Path

import orjson
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from material import write_safetensors
from patience import fair

from assetctl.catalog import Catalog, GenerationFilter, NewAsset
from assetctl.catalog.catalog import connect_for_writing
from assetctl.catalog.models import Row, make_engine, migrations_folder
from assetctl.catalog.rows import ASSET, HEAD, TABLES
from assetctl.errors import CatalogError, CatalogTooNewError, NotFoundError, StorageError
from assetctl.types import Asset, Identification

DATA = Path(__file__).parent / "data"

#: A catalog as the first schema wrote it, with one asset in it.
OLD = DATA / "catalog-0001.sql"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "catalog.db"


@pytest.fixture
def old(path):
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript(OLD.read_text())
    return path


def run_sql(path: Path, *statements: str) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


def test_the_models_match_the_migrations(path):
    Catalog(path).close()
    engine = make_engine(lambda: connect_for_writing(path))
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        differences = [
            change for change in compare_metadata(context, Row.metadata) if "asset_search" not in str(change)
        ]
    assert differences == []


def test_the_columns_that_are_read_and_written_are_those_of_the_models_and_the_migrations(path):
    Catalog(path).close()
    models = {
        table.name: [column.name for column in table.columns if column.computed is None]
        for table in Row.metadata.tables.values()
    }
    assert models == {table: list(columns) for table, columns in TABLES.items() if table != "asset_search"}
    with contextlib.closing(sqlite3.connect(path)) as connection:
        for table, columns in TABLES.items():
            made = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
            assert made == list(columns), table
        made = [row[1] for row in connection.execute("PRAGMA table_info(asset_view)")]
    assert made == list(ASSET) == [field.name for field in fields(Asset)]


def test_every_number_is_given_once(path):
    Catalog(path).close()
    numbered = {table.name for table in Row.metadata.tables.values() if "id" in table.columns}
    with contextlib.closing(sqlite3.connect(path)) as connection:
        made = dict(connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'"))
    assert {name for name, sql in made.items() if "AUTOINCREMENT" in sql} == numbered
    options = {table.name: table.dialect_options["sqlite"]["autoincrement"] for table in Row.metadata.tables.values()}
    assert {name for name, option in options.items() if option} == numbered


def test_head_is_the_newest_migration():
    assert ScriptDirectory(str(migrations_folder())).get_current_head() == HEAD


def test_a_new_catalog_uses_wal_and_foreign_keys(path):
    with Catalog(path) as catalog, catalog.write() as writer:
        for pragma, value in (("journal_mode", "wal"), ("foreign_keys", 1)):
            assert writer.connection.execute(f"PRAGMA {pragma}").fetchone()[0] == value


def test_an_older_catalog_is_backed_up_and_upgraded(old):
    with Catalog(old) as catalog:
        (asset,) = catalog.read.assets()
        assert asset.name == "whiskers"
        assert [found.name for found in catalog.read.search("whisk")] == ["whiskers"]
    backup = old.with_name("catalog.db.backup-0001")
    with contextlib.closing(sqlite3.connect(backup)) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchone() == ("0001",)
        assert connection.execute("SELECT name FROM assets").fetchone() == ("whiskers",)


def test_a_catalog_of_the_third_schema_keeps_its_assets_and_is_listed_by_index(path):
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript((DATA / "catalog-0003.sql").read_text())
    with Catalog(path) as catalog:
        assert [asset.name for asset in catalog.read.assets(kind="lora", limit=10)] == ["whiskers"]
        assert [asset.name for asset in catalog.read.search("whisk")] == ["whiskers"]
    with contextlib.closing(sqlite3.connect(path)) as connection:
        indexes = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'index'")}
    assert {"ix_assets_shelf_name", "ix_assets_shelf_size_name", "ix_assets_used_name"} <= indexes
    assert path.with_name("catalog.db.backup-0003").is_file()


def test_a_catalog_of_the_fifth_schema_keeps_what_the_store_has_and_finds_it_by_index(path):
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript((DATA / "catalog-0005.sql").read_text())
    with Catalog(path) as catalog:
        assert [asset.name for asset in catalog.read.assets(in_store=True)] == ["whiskers"]
        assert [asset.name for asset in catalog.read.strays("/new/models")] == ["whiskers"]
        assert catalog.read.strays("/old/models") == []
    with contextlib.closing(sqlite3.connect(path)) as connection:
        plan = connection.execute("EXPLAIN QUERY PLAN SELECT id FROM assets WHERE in_store AND path < 'x'").fetchall()
    assert "ix_assets_stored" in plan[0][-1]


def test_a_catalog_of_the_sixth_schema_keeps_every_asset_and_picture(path):
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript((DATA / "catalog-0006.sql").read_text())
        connection.execute("CREATE VIEW mine AS SELECT name FROM assets")
        old = {
            table: connection.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall()  # noqa: S608 - ours
            for table in ("assets", "files", "trigger_words", "tags", "origins", "overrides", "generation_assets")
        }
        pictures = connection.execute(
            "SELECT id, created_at, prompt, negative_prompt, steps, cfg_scale, sampler, seed, width, height, "
            "image_path, image_sha256, record FROM generations ORDER BY id DESC"
        ).fetchall()
    with Catalog(path) as catalog:
        assert [asset.name for asset in catalog.read.search("bon portraits")] == ["whiskers"]
        assert [each.number for each in catalog.generations.latest(GenerationFilter(seed=2**32 - 1))] == [2]
        listed = catalog.generations.latest(GenerationFilter())
        assert [use.asset for use in listed[1].assets] == ["dreamer", "whiskers", None]
        for kept, was in zip(listed, pictures, strict=True):
            names = ("steps", "cfg_scale", "sampler", "seed", "width", "height")
            skip = {name: value for name, value in orjson.loads(was[12]).items() if name == "clip_skip"}
            assert kept.settings == dict(zip(names, was[4:10], strict=True)) | skip
            record = orjson.dumps(catalog.generations.get(kept.number).record).decode()
            assert (kept.number, kept.created_at, kept.prompt, kept.negative_prompt) == was[:4]
            assert (kept.image_path, kept.image_sha256, record) == was[10:]
        gone = 3  # it had been removed before
        assert catalog.add([NewAsset("new", "/new", (), Identification(), in_store=False)]) == [gone]
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("DELETE FROM assets WHERE name = 'new'")
        for table, rows in old.items():
            now = connection.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall()  # noqa: S608 - ours
            assert [row[: len(rows[0])] for row in now] == rows, table
        assert connection.execute("SELECT count(*) FROM mine").fetchone() == (2,)
    with contextlib.closing(sqlite3.connect(path.with_name("catalog.db.backup-0006"))) as connection:
        assert connection.execute("SELECT count(*) FROM generations WHERE steps > 20").fetchone() == (3,)


def test_a_catalog_of_the_seventh_schema_keeps_every_asset_and_names_are_looked_for_in_its_files(path, tmp_path):
    lora = write_safetensors(tmp_path / "x.safetensors", {"x": (1,)}, {"ss_output_name": "fancy alias"})
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript((DATA / "catalog-0007.sql").read_text())
        connection.execute("UPDATE assets SET path = ? WHERE name = 'whiskers'", [str(lora)])
        connection.commit()
        old = connection.execute("SELECT * FROM assets ORDER BY 1").fetchall()
    with Catalog(path) as catalog:
        assert catalog.read.find_named("Fancy alias", "lora").name == "whiskers"
        assert [asset.name for asset in catalog.read.search("bon portraits")] == ["whiskers"]
    with contextlib.closing(sqlite3.connect(path)) as connection:
        known = {"whiskers": "fancy alias"}
        now = connection.execute("SELECT * FROM assets ORDER BY 1").fetchall()
        assert [row[: len(old[0]) + 1] for row in now] == [(*row, known.get(row[1])) for row in old]


def test_a_catalog_of_the_eighth_schema_keeps_every_picture_and_knows_of_no_jobs(path):
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript((DATA / "catalog-0008.sql").read_text())
        columns = "id, created_at, prompt, negative_prompt, settings, image_path, image_sha256, record"
        old = connection.execute(f"SELECT {columns} FROM generations ORDER BY id").fetchall()  # noqa: S608 - ours
    with Catalog(path) as catalog:
        assert [each.job for each in catalog.generations.latest(GenerationFilter())] == [None] * len(old)
        assert catalog.generations.of_jobs(["x"]) == {}
    with contextlib.closing(sqlite3.connect(path)) as connection:
        now = connection.execute(f"SELECT {columns} FROM generations ORDER BY id").fetchall()  # noqa: S608 - ours
        assert now == old
        plan = connection.execute("EXPLAIN QUERY PLAN SELECT id FROM generations WHERE job IN ('x', 'y')").fetchall()
    assert "ix_generations_job_image_path" in plan[0][-1]
    assert path.with_name("catalog.db.backup-0008").is_file()


def test_a_catalog_of_the_ninth_schema_keeps_the_jobs_of_pictures_and_takes_jobs_for_a_server(path):
    with contextlib.closing(sqlite3.connect(path)) as connection:
        for schema in ("0008", "0009"):
            connection.executescript((DATA / f"catalog-{schema}.sql").read_text())
    with Catalog(path) as catalog:
        assert [each.number for each in catalog.generations.of_jobs(["a-job"])["a-job"]] == [77]
        assert catalog.jobs.latest(10) == []
        assert catalog.jobs.add("generate", {"prompt": "a cat"}).id == 1
        assert [job.request for job in catalog.jobs.latest(10)] == [{"prompt": "a cat"}]
    with contextlib.closing(sqlite3.connect(path)) as connection:
        plan = connection.execute(
            "EXPLAIN QUERY PLAN SELECT id FROM jobs WHERE status = 'queued' ORDER BY priority DESC, id LIMIT 1"
        ).fetchall()
    assert "ix_jobs_status_priority_id" in plan[0][-1]
    assert path.with_name("catalog.db.backup-0009").is_file()


def test_a_catalog_of_the_tenth_schema_keeps_its_jobs_and_lists_assets_by_their_last_use(path):
    with contextlib.closing(sqlite3.connect(path)) as connection:
        for schema in ("0008", "0009", "0010"):
            connection.executescript((DATA / f"catalog-{schema}.sql").read_text())
        old = connection.execute("SELECT id, name, updated_at FROM assets ORDER BY id").fetchall()
    with Catalog(path) as catalog:
        assert [job.id for job in catalog.jobs.latest(10)] == [4]
        assert [each.name for each in catalog.read.assets(sort="used")] == ["dreamer", "whiskers"]
        assert [each.name for each in catalog.read.assets(base_model="sd 1.5", sort="used")] == ["dreamer"]
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT id, name, updated_at FROM assets ORDER BY id").fetchall() == old
        assert connection.execute("SELECT used FROM assets ORDER BY id").fetchall() == [(3,), (2,)]
    assert path.with_name("catalog.db.backup-0010").is_file()


def test_a_row_that_belongs_to_none_keeps_no_catalog_from_being_upgraded(path):
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript((DATA / "catalog-0006.sql").read_text())
        connection.execute("INSERT INTO tags VALUES (77, 'stray')")
        connection.commit()
    with Catalog(path) as catalog:
        assert [asset.name for asset in catalog.read.assets()] == ["dreamer", "whiskers"]


def test_one_damaged_row_keeps_no_catalog_from_being_upgraded(path):
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript((DATA / "catalog-0006.sql").read_text())
        connection.execute("UPDATE trigger_words SET word = x'00'")
        connection.execute("UPDATE generations SET sampler = x'00', record = 'x' WHERE id = 3")
        connection.commit()
    told: list[CatalogError] = []
    with Catalog(path) as catalog:
        assert [asset.name for asset in catalog.read_around(told.append).assets()] == ["dreamer"]
        assert [asset.name for asset in catalog.read.search("dream")] == ["dreamer"]
        assert catalog.generations.get(2).settings["sampler"] == "Euler a"
        with pytest.raises(CatalogError, match="is damaged"):
            catalog.generations.get(3)
    assert len(told) == 1


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE generations SET cfg_scale = 9e999 WHERE id = 1",
        """UPDATE generations SET record = '{"clip_skip": 1e400}' WHERE id = 1""",
        """UPDATE generations SET record = '{"clip_skip": "\\ud800"}' WHERE id = 1""",
    ],
)
def test_numbers_that_no_json_holds_keep_no_catalog_from_being_upgraded(path, damage):
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript((DATA / "catalog-0006.sql").read_text())
        connection.execute(damage)
        connection.commit()
    with Catalog(path) as catalog:
        assert catalog.generations.get(2).settings["seed"] == 2**32 - 1


def test_a_failing_upgrade_restores_the_catalog(old):
    run_sql(old, "CREATE TABLE asset_search (surprise TEXT)")
    with pytest.raises(CatalogError, match="is as it was"):
        Catalog(old)
    with contextlib.closing(sqlite3.connect(old)) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchone() == ("0001",)
        assert connection.execute("SELECT name FROM assets").fetchone() == ("whiskers",)
        assert connection.execute("SELECT sql FROM sqlite_master WHERE name = 'asset_search'").fetchone()


def test_a_newer_catalog_is_refused_by_name_and_left_alone(path):
    Catalog(path).close()
    run_sql(path, "UPDATE alembic_version SET version_num = '9999'")
    before = path.read_bytes()
    with pytest.raises(CatalogTooNewError, match="9999"):
        Catalog(path)
    assert path.read_bytes() == before


def test_a_file_that_is_not_sqlite_is_refused_and_left_alone(path):
    path.write_bytes(b"these are my notes, not a database" * 100)
    with pytest.raises(CatalogError, match="not a catalog"):
        Catalog(path)
    assert path.read_bytes().startswith(b"these are my notes")


def test_another_programs_database_is_refused(path):
    run_sql(path, "CREATE TABLE albums (name TEXT)")
    with pytest.raises(CatalogError, match="not an assetctl catalog"):
        Catalog(path)


def test_a_home_that_can_not_be_made_is_one_clear_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be made"):
        Catalog(tmp_path / "file" / "home" / "catalog.db")


def old_assets(folder, count):
    """As many LoRAs as an older assetctl registered them, the first of which is there and has a name within."""
    first = write_safetensors(folder / "first.safetensors", {"x": (1,)}, {"ss_output_name": "fancy alias"})
    paths = [first, *(folder / f"{number}.safetensors" for number in range(1, count))]
    lora = Identification(kind="lora", family="sd1", format="safetensors")
    return first, [NewAsset(path.stem, str(path), (), lora, in_store=False) for path in paths]


@pytest.mark.parametrize(
    "ask", [lambda read: read.find("Fancy alias"), lambda read: read.find_named("fancy alias", "lora")]
)
def test_what_files_call_themselves_is_learnt_once_of_all_that_an_older_version_registered(path, tmp_path, ask):
    first, entries = old_assets(tmp_path, 1200)
    with Catalog(path) as catalog:
        catalog.add(entries)
        assert ask(catalog.read).name == "first"
        first.unlink()
        assert ask(catalog.read).name == "first"
    with Catalog(path) as catalog:
        assert ask(catalog.read).name == "first"


def test_what_files_call_themselves_is_found_while_others_write_and_kept_later(path, tmp_path):
    first, entries = old_assets(tmp_path, 2)
    with Catalog(path) as catalog, contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        catalog.add(entries)
        other.execute("BEGIN IMMEDIATE")
        begun = time.monotonic()
        assert catalog.read.find("fancy alias").name == "first"
        assert time.monotonic() - begun < fair(5)
        other.execute("ROLLBACK")
        first.unlink()
        assert catalog.read.find("fancy alias").name == "first"


def test_a_file_that_is_not_there_is_looked_into_once_it_is(path, tmp_path):
    first, entries = old_assets(tmp_path, 2)
    away = first.rename(tmp_path / "away")
    with Catalog(path) as catalog:
        catalog.add(entries)
        with pytest.raises(NotFoundError):
            catalog.read.find("fancy alias")
        away.rename(first)
        assert catalog.read.find("fancy alias").name == "first"
        with catalog.write() as writer:
            assert writer.find("fancy alias").name == "first"
