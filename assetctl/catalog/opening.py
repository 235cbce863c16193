"""Opening a catalog file: making it, upgrading it, or refusing it; never losing it."""

from __future__ import annotations

import contextlib
import errno
import os
import shlex
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from assetctl.catalog import rows
from assetctl.catalog.rows import BUSY_TIMEOUT, HEAD, DamagedAssetError, NoCatalogError, harden, is_undecodable
from assetctl.errors import CatalogError, CatalogTooNewError, StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator


#: What SQLite says where it cannot make the files that it wants beside a catalog.
_NO_ROOM = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY})


class Opened(NamedTuple):
    """A connection for reading; `is_copy` says that it reads what the file held when it was opened."""

    connection: sqlite3.Connection
    is_copy: bool


def open_catalog(path: Path, migrations: Path | None = None) -> Opened:
    """Open the catalog at `path` for reading, bringing it to the present schema first, or making it if there is none.

    An older catalog is copied to `NAME.backup-REVISION` first, and put back if its upgrade fails.

    Raises:
        CatalogError: The file is no catalog, or could not be upgraded.
        CatalogTooNewError: A newer assetctl wrote it.
        StorageError: The folder cannot be written, and there is no catalog of this schema; or it cannot be read.
    """
    if path.exists():
        opened = connect(path)
        with explained(path):
            if rows.revision(opened.connection) == HEAD:
                return opened
        opened.connection.close()
    _ensure_schema(path, migrations)
    return connect(path)


def connect(path: Path) -> Opened:
    """Connect for reading: to the file, or to a copy of it in memory where SQLite can make no files beside it.

    Raises:
        CatalogError: The file is no catalog, or is damaged.
        StorageError: It cannot be read.
    """
    connection = _connect_to_file(path)
    if connection is not None:
        return Opened(_for_reading(connection), is_copy=False)
    # No connection of this process has the file open, so that nobody loses a lock by its being read and closed.
    connection = sqlite3.connect(":memory:", isolation_level=None)
    with explained(path):
        load(connection, path)
    return Opened(_for_reading(connection), is_copy=True)


def load(connection: sqlite3.Connection, path: Path) -> None:
    """Let a connection to memory hold what the file holds now."""
    from assetctl.catalog.unwritable import snapshot  # noqa: PLC0415 - hardly ever

    content = snapshot(path)
    if content:
        connection.deserialize(content)


def _connect_to_file(path: Path) -> sqlite3.Connection | None:
    """A connection to the file, with SQLite's own files beside it; `None` where it cannot have them."""
    if os.access(path.parent, os.W_OK):
        connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT, isolation_level=None)
    elif all(path.with_name(f"{path.name}-{kind}").exists() for kind in ("wal", "shm")):  # somebody may be writing
        uri = f"{path.absolute().as_uri()}?mode=ro"
        connection = sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT, isolation_level=None)
    else:
        return None
    try:
        connection.execute("PRAGMA schema_version")
    except sqlite3.OperationalError as error:
        connection.close()
        if error.sqlite_errorcode & 0xFF in _NO_ROOM:
            return None
        raise explain(path, error) from error
    except sqlite3.Error as error:
        connection.close()
        raise explain(path, error) from error
    return connection


def _for_reading(connection: sqlite3.Connection) -> sqlite3.Connection:
    harden(connection)
    connection.execute("PRAGMA query_only = ON")
    connection.execute("PRAGMA temp_store = MEMORY")  # the disk may be full
    connection.row_factory = sqlite3.Row
    return connection


def connect_for_writing(path: Path) -> sqlite3.Connection:
    """Connect so that transactions are begun by hand and rows go with the asset that they belong to."""
    connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT, isolation_level=None)
    harden(connection)
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
    kind = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF  # the rest of the number says where
    text = str(error)
    if isinstance(error, NoCatalogError):
        meaning = _FOREIGN
    elif isinstance(error, (sqlite3.ProgrammingError, sqlite3.InterfaceError)):
        meaning = _UNKNOWN
    elif "FOREIGN KEY" in text:
        meaning = _GONE
    else:
        # Our own statements are right where the catalog is: what SQLite cannot make sense of is in the file.
        meaning = _MEANINGS.get(kind, _DAMAGED)
    what = "a text in it is not valid UTF-8" if is_undecodable(error) else text
    hint = meaning.hint
    if isinstance(error, DamagedAssetError):
        hint += f" `assetctl rm {shlex.quote(error.name)} --now` removes this asset for good, without the trash."
    return meaning.error(meaning.message.format(path=path, what=what), hint)


class _Meaning(NamedTuple):
    error: type[CatalogError | StorageError]
    message: str
    hint: str


_FOREIGN = _Meaning(
    CatalogError,
    "{path} is an SQLite file, but not an assetctl catalog.",
    "Choose another folder with --home or ASSETCTL_HOME, or move the file away.",
)
_DAMAGED = _Meaning(
    CatalogError,
    "{path} is not a catalog, or is damaged: {what}.",
    "Restore a backup, or move the file away: assetctl then starts a new catalog and `import` fills it again.",
)
_GONE = _Meaning(
    CatalogError, "Another command has removed an asset meanwhile; nothing was changed.", "Run this again."
)
_UNKNOWN = _Meaning(
    CatalogError, "The catalog {path} could not be used: {what}.", "Run again with --debug to see where."
)
_FULL = _Meaning(
    StorageError,
    "The disk is full: {path} could not be written.",
    "Free some space, with `assetctl prune` for example; nothing was changed.",
)
_DENIED = _Meaning(
    StorageError,
    "The catalog {path} cannot be opened for writing ({what}).",
    "Check the permissions of the folder, or choose another with --home or ASSETCTL_HOME.",
)
_LOCKED = _Meaning(
    CatalogError,
    f"Another process has kept {{path}} locked for {BUSY_TIMEOUT:.0f} s.",
    "Wait for the other assetctl to finish, then try again.",
)
_MEANINGS = {
    sqlite3.SQLITE_FULL: _FULL,
    sqlite3.SQLITE_IOERR: _FULL,
    sqlite3.SQLITE_READONLY: _DENIED,
    sqlite3.SQLITE_CANTOPEN: _DENIED,
    sqlite3.SQLITE_PERM: _DENIED,
    sqlite3.SQLITE_BUSY: _LOCKED,
    sqlite3.SQLITE_LOCKED: _LOCKED,
    sqlite3.SQLITE_CONSTRAINT: _UNKNOWN,
}


def migrations_folder() -> Path:
    """Alembic's scripts: inside the package when installed, beside it in a checkout."""
    package = Path(__file__).resolve().parent.parent
    installed = package / "_migrations"
    return installed if installed.is_dir() else package.parent / "migrations"


def _ensure_schema(path: Path, migrations: Path | None) -> None:
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
        raise StorageError(f"The catalog {path} cannot be made: {error.strerror or error}.", hint) from error


def _revision(path: Path) -> str | None:
    """The schema of the file: `None` if there is no file, or an empty one."""
    if not path.exists():
        return None
    with contextlib.closing(connect(path).connection) as connection, explained(path):
        return rows.revision(connection)


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
