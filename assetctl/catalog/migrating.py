"""Running Alembic; imported only when a catalog is made or upgraded."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING

from alembic.command import upgrade as alembic_upgrade
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy.exc import SQLAlchemyError

from assetctl.catalog.engine import make_engine

if TYPE_CHECKING:
    from pathlib import Path

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
