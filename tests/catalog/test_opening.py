"""Making, upgrading and refusing a catalog file."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from assetctl.catalog import Catalog, opening
from assetctl.catalog.migrating import make_engine
from assetctl.catalog.models import Row
from assetctl.errors import CatalogError, CatalogTooNewError, StorageError

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
    engine = make_engine(path)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        differences = [
            change for change in compare_metadata(context, Row.metadata) if "asset_search" not in str(change)
        ]
    assert differences == []


def test_head_is_the_newest_migration():
    assert ScriptDirectory(str(opening.migrations_folder())).get_current_head() == opening.HEAD


def test_a_new_catalog_uses_wal_and_foreign_keys(path):
    Catalog(path).close()
    engine = make_engine(path)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1


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
    assert {"ix_assets_kind_name", "ix_assets_family_kind_name_base_model"} <= indexes
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
