"""The catalog's one door: opens the file, made or upgraded first and never lost, and hands out connections."""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import secrets
import shutil
import sqlite3
import stat
import threading
from functools import cache, cached_property
from typing import TYPE_CHECKING, NamedTuple, Self

from assetctl.catalog import rows
from assetctl.catalog.generations import Generations
from assetctl.catalog.jobs import Jobs
from assetctl.catalog.reading import Reader
from assetctl.catalog.rows import BUSY_TIMEOUT, HEAD, explain, explained
from assetctl.catalog.snapshot import snapshot
from assetctl.errors import AssetctlError, CatalogError, CatalogTooNewError, InternalError, StorageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from assetctl.catalog.rows import NewAsset
    from assetctl.catalog.writing import Writer


#: What SQLite says where it cannot make the files that it wants beside a catalog.
_NO_ROOM = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY})

#: How many bytes a text, a blob or a row may have: no row of the file fills the memory.
_LONGEST = 2**27

#: How many seconds somebody waits to keep what they learnt by the way.
_GLANCE = 0.2

#: How each connection is set up, by what it is for.
_PRAGMAS = {
    # the disk may be full; and a page of a large list is put together of a thousand of the file's
    "read": ("query_only = ON", "temp_store = MEMORY", "cache_size = -8000"),
    # in WAL mode NORMAL is safe, and commits need not wait for the disk
    "write": ("foreign_keys = ON", "synchronous = NORMAL", "temp_store = MEMORY"),
    # a table that others belong to, or a view reads, may give way to another of its name; see `models.upgrade`
    "upgrade": ("journal_mode = WAL", "foreign_keys = OFF", "legacy_alter_table = ON", "synchronous = NORMAL"),
}


#: Bytes that are kept: SQLite's journal is written back once it has grown to 4 MB.
KEPT = 6 * 2**20

#: A disk with less than this free, in bytes, keeps its last room to itself.
_PLENTY = 64 * 2**20

#: How the file begins; zeros follow. A file that begins otherwise is somebody else's.
_FIRST_LINE = b"assetctl: room for the catalog, to be used when the disk is full. It holds nothing.\n"

_FLAGS = getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
_PIECE = 2**20
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class Opened(NamedTuple):
    """A connection for reading; `is_copy` says that it reads what the file held when it was opened."""

    connection: sqlite3.Connection
    is_copy: bool


class Catalog:
    """An open catalog, for any number of threads. It costs `sqlite3` alone; only making or upgrading one imports more.

    Each thread that asks has a connection of its own, and all share one that writes, one at a time.

    Args:
        path: Its file.
        migrations: Where Alembic's scripts are, if not at their place.
        make: Whether the file is made now, where there is none; else it is when something is written, and what is asked
            before is answered by an empty catalog.
        elsewhere: Tells a person where else there is something of a name that no asset has; `None` if nowhere.
        paths: As `Reader` has it.

    Raises:
        CatalogError: The file is no catalog, or could not be upgraded.
        CatalogTooNewError: A newer assetctl wrote it.
        StorageError: The folder cannot be written.
    """

    def __init__(
        self,
        path: Path,
        migrations: Path | None = None,
        *,
        make: bool = True,
        elsewhere: Callable[[str], str | None] | None = None,
        paths: bool = True,
    ) -> None:
        self.path = path
        self._elsewhere, self._paths = elsewhere, paths
        self._migrations = migrations
        self._is_missing = not make and not path.exists()
        opened = _empty(path, migrations) if self._is_missing else open_catalog(path, migrations)
        self._reading = {threading.current_thread(): opened}
        self._opening = threading.Lock()
        self._writing: sqlite3.Connection | None = None
        self._writes = threading.Lock()
        self._writes_in: threading.Thread | None = None
        self._moves: tuple[Mapping[str, str], Mapping[int, str]] | None = None
        self._has_kept_room = self._is_closed = False

    @cached_property
    def read(self) -> Reader:
        """Everything that only reads."""
        return self._reader()

    def read_around(self, damaged: Callable[[CatalogError], None]) -> Reader:
        """A reader that leaves out what is damaged, and tells of it: for showing to a person, not to act upon."""
        return self._reader(damaged)

    def _reader(self, damaged: Callable[[CatalogError], None] | None = None) -> Reader:
        return Reader(
            self._to_read, self.path, damaged, elsewhere=self._elsewhere, paths=self._paths, learn=self._learn
        )

    def _learn(self, aliases: Mapping[int, str]) -> None:
        """Keep what files call themselves, unless that is not possible now: whoever asked only reads."""
        if not self._is_missing and self._writes_in is None:
            with contextlib.suppress(AssetctlError), self.write(patience=_GLANCE) as writer:
                writer.set_aliases(aliases)

    @cached_property
    def generations(self) -> Generations:
        """The pictures that were made: reading them, and adding one."""
        return Generations(self._to_read, self.path, self.write)

    @cached_property
    def jobs(self) -> Jobs:
        """What waits for the worker."""
        return Jobs(self._to_read, self.path, self.write)

    @contextlib.contextmanager
    def write(self, patience: float = BUSY_TIMEOUT) -> Iterator[Writer]:
        """One transaction: all of it is kept when the block ends, none of it when the block raises.

        What a decision rests on is asked of the `Writer`, which alone sees what the block has changed: others that
        want to write wait until it ends. What a thread asks of `read` meanwhile is as it was before.

        Args:
            patience: How many seconds to wait for others who write.

        Raises:
            CatalogError: The catalog is damaged, or others keep it locked.
            StorageError: The disk refused; nothing was changed.
            InternalError: This thread is writing already, and would wait for itself.
        """
        if self._writes_in is threading.current_thread():
            raise InternalError("A transaction of the catalog was begun within another of the same thread.")
        with explained(self.path):
            if not self._writes.acquire(timeout=patience):
                raise rows.LockedError
            try:
                self._writes_in = threading.current_thread()
                connection = self._to_write()
                connection.execute(f"PRAGMA busy_timeout = {patience * 1000:.0f}")
                self._keep_room()
                with transaction(connection):
                    if self._moves is not None:  # now they can be written
                        _follow(connection, *self._moves)
                    yield self._writer
                self._moves = None
            except BaseException:
                self._writer.forget()
                raise
            finally:
                self._drop_copies()
                self._writes_in = None
                self._writes.release()

    def add(self, entries: Sequence[NewAsset]) -> list[int]:
        """Add assets in one transaction; see `Writer.add`."""
        with self.write() as writer:
            return writer.add(entries)

    def follow(self, files: Mapping[str, str], assets: Mapping[int, str]) -> None:
        """Files, by their old paths, and assets lie at other paths now.

        Where nothing can be written, as on a read-only disk, the copy in memory that is read has it so; what is written
        next has it, too.
        """
        try:
            with self.write() as writer:
                writer.follow(files, assets)
        except StorageError:
            self._moves = (files, assets)
            self._drop_copies()

    def close(self) -> None:
        """Let go of the file, in every thread.

        What another thread is asking or writing at this moment comes to its end; what it asks next is an error.
        """
        with self._opening:
            self._is_closed = True
            here = threading.current_thread()
            for thread in [each for each in self._reading if each is here or not each.is_alive()]:
                self._reading.pop(thread).connection.close()
            if self._writing is not None and self._writes.acquire(blocking=False):  # else somebody is writing
                self._writing.close()
                self._writes.release()
                self._writing = None
            # SQLite must not close what another thread may be using: that goes when nobody holds it any more
            others, self._writing = bool(self._reading or self._writing), None
            self._reading.clear()
        if others:
            gc.collect()  # a connection and its statements hold each other

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _to_read(self) -> sqlite3.Connection:
        """The connection with which this thread reads."""
        if self._is_missing and self.path.exists():
            with self._opening:
                self._take_up()
        thread = threading.current_thread()
        opened = self._reading.get(thread)
        return opened.connection if opened is not None else self._open_for(thread)

    def _open_for(self, thread: threading.Thread) -> sqlite3.Connection:
        with self._opening:
            if self._is_closed:
                raise sqlite3.ProgrammingError("it was closed")
            for ended in [other for other in self._reading if not other.is_alive()]:
                self._reading.pop(ended).connection.close()
            if self._is_missing:
                self._reading[thread] = _empty(self.path, self._migrations)
                return self._reading[thread].connection
            # where this process has the file open, reading it as a file would lose its locks
            is_open = self._writing is not None or any(not opened.is_copy for opened in self._reading.values())
            opened = connect(self.path, may_copy=not is_open)
            if opened.is_copy and self._moves is not None:
                opened.connection.execute("PRAGMA query_only = OFF")
                _follow(opened.connection, *self._moves)
                opened.connection.execute("PRAGMA query_only = ON")
            self._reading[thread] = opened
            return opened.connection

    @cached_property
    def _writer(self) -> Writer:
        from assetctl.catalog.writing import Writer  # noqa: PLC0415 - most commands write nothing

        return Writer(self._of_the_transaction, self.path, paths=self._paths)

    def _to_write(self) -> sqlite3.Connection:
        with self._opening:
            if self._is_closed:
                raise sqlite3.ProgrammingError("it was closed")
            if self._is_missing:
                self._take_up()
            if self._writing is None:
                self._writing = connect_for_writing(self.path)
            return self._writing

    def _take_up(self) -> None:
        """Have the file in the place of the empty catalog that was read until now; others may just have made it."""
        _ensure_schema(self.path, self._migrations)
        self._is_missing = False
        self._reading.clear()  # others may be using theirs, which end with them

    def _of_the_transaction(self) -> sqlite3.Connection:
        if self._writing is None or self._writes_in is not threading.current_thread():
            raise sqlite3.ProgrammingError("its transaction has ended")
        return self._writing

    def _drop_copies(self) -> None:
        """Read what is so now, where the file itself could not be opened for reading."""
        with self._opening:
            copies = [thread for thread, opened in self._reading.items() if opened.is_copy]
            if copies and self._writing is not None:  # it must not have the file open when that is read as one
                self._writing.close()
                self._writing = None
            for thread in copies:
                self._reading.pop(thread)

    def _keep_room(self) -> None:
        """See to it, once, that the disk has room for taking things out of the catalog."""
        if not self._has_kept_room:
            keep_room(self.path)
            self._has_kept_room = True


def _follow(connection: sqlite3.Connection, files: Mapping[str, str], assets: Mapping[int, str]) -> None:
    from assetctl.catalog.writing import follow  # noqa: PLC0415 - seldom needed

    follow(connection, files, assets)


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


def _empty(path: Path, migrations: Path | None) -> Opened:
    """What is read where there is no file: a catalog in memory, in which nothing is."""
    connection = _sqlite(":memory:")
    with explained(path):
        connection.deserialize(_nothing(migrations))
        return Opened(prepared(connection, "read"), is_copy=True)


@cache
def _nothing(migrations: Path | None) -> bytes:
    """A catalog in which nothing is."""
    from assetctl.catalog import models  # noqa: PLC0415 - as where one is made

    name = f"file:assetctl-{secrets.token_hex(16)}?mode=memory&cache=shared"
    with contextlib.closing(_sqlite(name, uri=True)) as connection:  # it holds what all by the name share
        models.upgrade(lambda: prepared(_sqlite(name, uri=True), "upgrade"), migrations)
        return connection.serialize()


def connect(path: Path, *, may_copy: bool = True) -> Opened:
    """Connect for reading: to the file, or to a copy of it in memory where SQLite can make no files beside it.

    Args:
        path: The catalog.
        may_copy: Whether no connection of this process has the file open: reading and closing it loses their locks.

    Raises:
        CatalogError: The file is no catalog, or is damaged.
        StorageError: It cannot be read.
    """
    connection = _connect_to_file(path)
    if connection is not None:
        with explained(path):
            return Opened(prepared(connection, "read"), is_copy=False)
    if not may_copy:
        raise StorageError(f"The catalog {path} cannot be opened once more.", "Free some space, then try again.")
    connection = _sqlite(":memory:")
    content = snapshot(path)
    with explained(path):
        if content:
            connection.deserialize(content)
        return Opened(prepared(connection, "read"), is_copy=True)


def _connect_to_file(path: Path) -> sqlite3.Connection | None:
    """A connection to the file, with SQLite's own files beside it; `None` where it cannot have them."""
    if os.access(path.parent, os.W_OK):
        connection = _sqlite(path)
    elif all(path.with_name(f"{path.name}-{kind}").exists() for kind in ("wal", "shm")):  # somebody may be writing
        uri = f"{path.absolute().as_uri()}?mode=ro"
        connection = _sqlite(uri, uri=True)
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


def _sqlite(database: str | Path, *, uri: bool = False) -> sqlite3.Connection:
    """A connection that begins no transaction by itself, and that whichever thread closes it may close."""
    return sqlite3.connect(database, timeout=BUSY_TIMEOUT, isolation_level=None, check_same_thread=False, uri=uri)


def prepared(connection: sqlite3.Connection, purpose: str) -> sqlite3.Connection:
    """A connection with all that is set for its purpose: `read`, `write` or `upgrade`."""
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST)
    connection.row_factory = sqlite3.Row
    connection.create_function("casefold", 1, str.casefold, deterministic=True)  # its `lower` knows ASCII alone
    for pragma in _PRAGMAS[purpose]:
        connection.execute(f"PRAGMA {pragma}")
    return connection


def connect_for_writing(path: Path, purpose: str = "write") -> sqlite3.Connection:
    """Connect so that transactions are begun by hand and rows go with the asset that they belong to."""
    return prepared(_sqlite(path), purpose)


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All of what is written in the block, or none of it; two writers queue, since the lock is taken at once."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.execute("PRAGMA defer_foreign_keys = ON")  # a row may come before what it belongs to
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # a full disk has ended it already
            connection.execute("ROLLBACK")
        raise


def _ensure_schema(path: Path, migrations: Path | None) -> None:
    from filelock import FileLock  # noqa: PLC0415 - needed only to upgrade

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{path}.lock", timeout=BUSY_TIMEOUT * 10):
            revision = _revision(path)
            if revision != HEAD:
                _upgrade(path, revision, migrations)
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


def _upgrade(path: Path, revision: str | None, migrations: Path | None) -> None:
    from assetctl.catalog import models  # noqa: PLC0415 - Alembic costs 400 ms and is needed only to upgrade

    if revision is not None and revision not in models.revisions(migrations):
        raise CatalogTooNewError(
            f"The catalog {path} has schema {revision}, which this assetctl (schema {HEAD}) does not know.",
            "A newer assetctl wrote it: upgrade with `pip install -U assetctl`, or use another --home.",
        )
    backup = None if revision is None else _back_up(path, revision)
    try:
        if revision is None:
            _make(path, migrations)
        else:
            models.upgrade(lambda: connect_for_writing(path, "upgrade"), migrations)
    except models.FAILURES as error:
        if backup is None:
            path.unlink(missing_ok=True)
            original = getattr(error, "orig", error)
            if isinstance(original, sqlite3.Error):
                raise explain(path, original) from error
            raise CatalogError(f"The catalog {path} could not be made: {error}.", "Run again with --debug.") from error
        _copy(backup, path)
        backup.unlink()  # the catalog is what the copy was; each further try would leave one more
        original = getattr(error, "orig", error)
        why = explain(path, original) if isinstance(original, sqlite3.Error) else error
        if isinstance(why, StorageError):
            raise why from error
        raise CatalogError(
            f"The catalog {path} could not be upgraded from schema {revision} to {HEAD} and is as it was: {error}.",
            "Use the assetctl that wrote it, and report this.",
        ) from error


def _make(path: Path, migrations: Path | None) -> None:
    """Make the file of a catalog in which nothing is; migrations take a tenfold of this, and are run once a process."""
    with (
        contextlib.closing(_sqlite(":memory:")) as nothing,
        contextlib.closing(connect_for_writing(path, "upgrade")) as made,
    ):
        nothing.deserialize(_nothing(migrations))
        nothing.backup(made)


def _back_up(path: Path, revision: str) -> Path:
    backup = path.with_name(f"{path.name}.backup-{revision}")
    number = 1
    while backup.exists():
        number += 1
        backup = path.with_name(f"{path.name}.backup-{revision}-{number}")
    try:
        _copy(path, backup)
    except BaseException:
        backup.unlink(missing_ok=True)  # a part of one looks like a backup, and is none
        raise
    return backup


def _copy(source: Path, target: Path) -> None:
    """Copy a whole database by SQLite's own online backup: consistent, whatever others do meanwhile."""
    with (
        explained(target),
        contextlib.closing(sqlite3.connect(source)) as reader,
        contextlib.closing(sqlite3.connect(target, timeout=BUSY_TIMEOUT)) as writer,
    ):
        reader.backup(writer)


def reserve_of(catalog: Path) -> Path:
    """Where the room for a catalog is kept."""
    return catalog.with_name(f"{catalog.name}.reserve")


def keep_room(catalog: Path, *, free: int = _PLENTY) -> None:
    """Make the file, unless it is there, something else is, or the disk has less than `free` bytes.

    What the disk refuses is no failure: nobody asked for the file.
    """
    path = reserve_of(catalog)
    with contextlib.suppress(OSError):
        if _size_of(path) == KEPT or shutil.disk_usage(catalog.parent).free < free:
            return
        if os.path.lexists(path):
            if not _is_ours(path):
                return
            path.unlink()  # cut short: whoever made it was killed
        _make_reserve(path)


@contextlib.contextmanager
def room_given_back(catalog: Path) -> Iterator[None]:
    """While the block runs, a full disk has the room that was kept; it is kept again where the disk is full no more."""
    given = _give_back(catalog)
    try:
        yield
    finally:
        if given:
            keep_room(catalog, free=2 * KEPT)


def _give_back(catalog: Path) -> bool:
    """Give the room back to a disk that is full; whether that was done."""
    path = reserve_of(catalog)
    try:
        if _has_room(catalog.parent) or not _is_ours(path):
            return False
        path.unlink()
    except FileNotFoundError:  # another process was faster, and makes it again
        return False
    except OSError:
        return False
    return True


def _has_room(folder: Path) -> bool:
    """Whether the disk takes as much as is kept; beside its own free space, quotas may have a say."""
    if shutil.disk_usage(folder).free < KEPT:
        return False
    if not hasattr(os, "O_TMPFILE") or not hasattr(os, "posix_fallocate"):
        return True
    try:
        handle = os.open(folder, os.O_TMPFILE | os.O_RDWR | _FLAGS, 0o600)  # a file without a name, gone when closed
    except OSError:
        return True
    try:
        os.posix_fallocate(handle, 0, KEPT)
    except OSError as error:
        return error.errno not in _FULL
    finally:
        os.close(handle)
    return True


def _size_of(path: Path) -> int | None:
    """The size of a regular file, which is no link."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def _is_ours(path: Path) -> bool:
    """Whether this is the file that `_make_reserve` makes, whole or cut short: a person's own file is left alone."""
    size = _size_of(path)
    if size is None or not len(_FIRST_LINE) <= size <= KEPT or path.lstat().st_nlink != 1:
        return False
    with open(os.open(path, os.O_RDONLY | _FLAGS), "rb") as opened:  # noqa: PTH123 - no link is followed
        if opened.read(len(_FIRST_LINE)) != _FIRST_LINE:
            return False
        while chunk := opened.read(_PIECE):
            if chunk.count(0) != len(chunk):
                return False
    return True


def _make_reserve(path: Path) -> None:
    """Write the file so that its bytes are really taken.

    Raises:
        OSError: The disk refused, and there is no file; or one was there.
    """
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _FLAGS, 0o644)
    try:
        with open(handle, "wb", buffering=0) as opened:  # noqa: PTH123 - as above
            opened.write(_FIRST_LINE)
            _allocate(handle)
    except OSError:
        path.unlink()
        raise


def _allocate(handle: int) -> None:
    if hasattr(os, "posix_fallocate"):
        with contextlib.suppress(OSError):  # some filesystems cannot
            os.posix_fallocate(handle, 0, KEPT)
            return
    left = KEPT - len(_FIRST_LINE)
    while left:
        left -= os.write(handle, bytes(min(left, _PIECE)))
