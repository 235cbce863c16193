"""Making and upgrading the schema with Alembic; it costs 400 ms, and no other command imports it."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING

from alembic.command import upgrade as alembic_upgrade
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import URL, create_engine, event
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from assetctl.catalog.rows import BUSY_TIMEOUT

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Connection, Engine


def make_engine(path: Path) -> Engine:
    """An engine whose transactions take the write lock at once, so that two writers queue instead of failing."""
    url = URL.create("sqlite", database=str(path))
    engine = create_engine(url, poolclass=NullPool, connect_args={"timeout": BUSY_TIMEOUT})
    event.listen(engine, "connect", _on_connect)
    event.listen(engine, "begin", _on_begin)
    return engine


def _on_connect(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # the driver must not open transactions of its own
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA synchronous = NORMAL")  # safe in WAL mode, and commits need not wait for the disk


def _on_begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


#: What a failing migration raises.
FAILURES = (SQLAlchemyError, sqlite3.Error, CommandError)


def revisions(migrations: Path) -> set[str]:
    """All schemas that the scripts in `migrations` know."""
    return {script.revision for script in ScriptDirectory.from_config(_config(migrations)).walk_revisions()}


def upgrade(path: Path, migrations: Path) -> None:
    """Bring the catalog to the newest schema, in one transaction."""
    with contextlib.closing(sqlite3.connect(path)) as plain:  # a property of the file, set outside any transaction
        plain.execute("PRAGMA journal_mode = WAL")
    engine = make_engine(path)
    try:
        with engine.connect() as connection:
            config = _config(migrations)
            config.attributes["connection"] = connection
            with connection.begin():
                alembic_upgrade(config, "head")
    finally:
        engine.dispose()


def _config(migrations: Path) -> Config:
    config = Config()
    config.set_main_option("script_location", str(migrations).replace("%", "%%"))
    return config
