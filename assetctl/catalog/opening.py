"""Opening a catalog file: making it, upgrading it, or refusing it; never losing it."""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

from assetctl.errors import CatalogError, CatalogTooNewError, StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator

#: The schema that this version of assetctl works with: the newest file in `migrations/versions`.
HEAD = "0006"

#: How long one process waits for another's write, in seconds.
BUSY_TIMEOUT = 30.0


def ensure_schema(path: Path, migrations: Path | None = None) -> None:
    """Bring the catalog at `path` to the present schema, making it if there is none.

    An older catalog is copied to `NAME.backup-REVISION` first, and put back if its upgrade fails.

    Raises:
        CatalogError: The file is no catalog, or could not be upgraded.
        CatalogTooNewError: A newer assetctl wrote it.
        StorageError: The folder can not be written.
    """
    if _revision(path) == HEAD:
        return
    from filelock import FileLock  # noqa: PLC0415 - needed only to upgrade

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{path}.lock", timeout=BUSY_TIMEOUT * 10):
            revision = _revision(path)
            if revision != HEAD:
                _upgrade(path, revision, migrations or migrations_folder())
    except OSError as error:
        full = error.errno == errno.ENOSPC
        hint = "Free some space." if full else "Choose another folder with --home or ASSETCTL_HOME."
        raise StorageError(f"The catalog {path} can not be made: {error.strerror or error}.", hint) from error


def connect(path: Path) -> sqlite3.Connection:
    """Connect for reading."""
    connection = _connect(path)
    connection.execute("PRAGMA query_only = ON")
    connection.row_factory = sqlite3.Row
    return connection


def connect_for_writing(path: Path) -> sqlite3.Connection:
    """Connect so that transactions are begun by hand and rows go with the asset that they belong to."""
    connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT, isolation_level=None)
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA synchronous = NORMAL")  # safe in WAL mode, and commits need not wait for the disk
    return connection


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All of what is written in the block, or none of it; two writers queue, since the lock is taken at once."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # a full disk has ended it already
            connection.execute("ROLLBACK")
        raise


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into ours."""
    try:
        yield
    except sqlite3.Error as error:
        raise explain(path, error) from error


def explain(path: Path, error: sqlite3.Error) -> CatalogError | StorageError:
    """Say what SQLite's error means for a person."""
    text = str(error)
    if "not a database" in text or "malformed" in text:
        hint = (
            "Restore a backup, or move the file away: assetctl then starts a new catalog and `import` fills it again."
        )
        return CatalogError(f"{path} is not a catalog, or is damaged ({text}).", hint)
    if "disk is full" in text or "disk I/O error" in text:
        return StorageError(f"The disk is full: {path} could not be written.", "Free some space; nothing was changed.")
    if "readonly" in text or "unable to open" in text:
        hint = "Check the permissions of the folder, or choose another with --home or ASSETCTL_HOME."
        return StorageError(f"The catalog {path} can not be opened for writing ({text}).", hint)
    if "locked" in text:
        hint = "Wait for the other assetctl to finish, then try again."
        return CatalogError(f"Another process has kept {path} locked for {BUSY_TIMEOUT:.0f} s.", hint)
    if "FOREIGN KEY" in text:
        return CatalogError("Another command has removed an asset meanwhile; nothing was changed.", "Run this again.")
    return CatalogError(f"The catalog {path} could not be used: {text}.", "Run again with --debug to see where.")


def migrations_folder() -> Path:
    """Alembic's scripts: inside the package when installed, beside it in a checkout."""
    package = Path(__file__).resolve().parent.parent
    installed = package / "_migrations"
    return installed if installed.is_dir() else package.parent / "migrations"


def _connect(path: Path) -> sqlite3.Connection:
    """A connection; where the folder can not be written, one that needs no files beside the catalog."""
    if os.access(path.parent, os.W_OK):
        return sqlite3.connect(path, timeout=BUSY_TIMEOUT, isolation_level=None)
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True, isolation_level=None)


def _revision(path: Path) -> str | None:
    """The schema of the file: `None` if there is no file, or an empty one."""
    if not path.exists():
        return None
    with explained(path), contextlib.closing(_connect(path)) as connection:
        tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if "alembic_version" in tables:
            row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
            if row is not None:
                return str(row[0])
        if tables - {"alembic_version"}:
            raise CatalogError(
                f"{path} is an SQLite file, but not an assetctl catalog.",
                "Choose another folder with --home or ASSETCTL_HOME, or move the file away.",
            )
    return None


def _upgrade(path: Path, revision: str | None, migrations: Path) -> None:
    from assetctl.catalog import migrating  # noqa: PLC0415 - Alembic costs 400 ms and is needed only to upgrade

    if revision is not None and revision not in migrating.revisions(migrations):
        raise CatalogTooNewError(
            f"The catalog {path} has schema {revision}, which this assetctl (schema {HEAD}) does not know.",
            "A newer assetctl wrote it: upgrade with `pip install -U assetctl`, or use another --home.",
        )
    backup = None if revision is None else _back_up(path, revision)
    try:
        migrating.upgrade(path, migrations)
    except migrating.FAILURES as error:
        if backup is None:
            path.unlink(missing_ok=True)
            original = getattr(error, "orig", error)
            if isinstance(original, sqlite3.Error):
                raise explain(path, original) from error
            raise CatalogError(f"The catalog {path} could not be made: {error}.", "Run again with --debug.") from error
        _copy(backup, path)
        raise CatalogError(
            f"The catalog {path} could not be upgraded from schema {revision} to {HEAD} and is as it was: {error}.",
            f"A copy is kept at {backup}. Use the assetctl that wrote it, and report this.",
        ) from error


def _back_up(path: Path, revision: str) -> Path:
    backup = path.with_name(f"{path.name}.backup-{revision}")
    number = 1
    while backup.exists():
        number += 1
        backup = path.with_name(f"{path.name}.backup-{revision}-{number}")
    _copy(path, backup)
    return backup


def _copy(source: Path, target: Path) -> None:
    """Copy a whole database by SQLite's own online backup: consistent, whatever others do meanwhile."""
    with (
        explained(target),
        contextlib.closing(sqlite3.connect(source)) as reader,
        contextlib.closing(sqlite3.connect(target, timeout=BUSY_TIMEOUT)) as writer,
    ):
        reader.backup(writer)
