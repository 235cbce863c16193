"""The disk: what it refuses, said plainly; copies that share their bytes; large files written past the page cache."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
import sys
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, Self

from assetctl.errors import CorruptFileError, StorageError, UsageError
from assetctl.files.paths import open_regular

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import IO


COPY_CHUNK = 2**20

#: No file has more bytes than this: 16 TiB is the most that common filesystems take.
LARGEST_FILE = 2**44

#: What makes the last part of a path mean itself; Windows has no such flag, and few who may make links.
NO_LINK = getattr(os, "O_NOFOLLOW", 0)

#: Opens a file that must be new; a link by its name counts as one that is there.
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | NO_LINK | getattr(os, "O_BINARY", 0)

#: How much of a file's name a temporary name repeats, in bytes: file systems end at 255.
_MOST_OF_NAME = 160

#: Linux's request to share extents between two files: see `man 2 ioctl_ficlone`.
_FICLONE = 0x40049409

_FULL = ("the disk is full", "Free some space and run the command again: what was fetched so far is kept.")
_DENIED = ("permission denied", "Check who owns the folder, or set ASSETCTL_MODELS to one that you may write.")
_READ_ONLY = ("the disk is read-only", "Set ASSETCTL_HOME, or for models alone ASSETCTL_MODELS, to a folder elsewhere.")
_TOO_LARGE = (
    "the file is too large for this disk",
    "Set ASSETCTL_MODELS to a folder on another disk: FAT ends at 4 GB.",
)
_REASONS = {
    errno.EFBIG: _TOO_LARGE,
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EACCES: _DENIED,
    errno.EPERM: _DENIED,
    errno.EROFS: _READ_ONLY,
}


@contextmanager
def storage_errors(doing: str) -> Iterator[None]:
    """Turn what the disk refuses inside the block into a `StorageError`; `doing` completes "Cannot …".

    No network call belongs in the block: those errors are `OSError`s too.
    """
    try:
        yield
    except OSError as error:
        otherwise = (error.strerror or "the disk failed", "Check the disk and the path.")
        reason, hint = _REASONS.get(error.errno or 0, otherwise)
        raise StorageError(f"Cannot {doing}: {reason}.", hint) from error


def copy_file(source: Path, target: Path, on_bytes: Callable[[int], None] | None = None) -> None:
    """Copy the bytes of `source` to `target`, sharing them on filesystems that copy on write.

    Args:
        source: Followed if it is a link.
        target: Created anew; what has its name goes first. It may be read by nobody who may not read `source`.
        on_bytes: Told of every piece by its length.

    Raises:
        CorruptFileError: `source` changed meanwhile.
        OSError: The disk refused.
    """
    target.unlink(missing_ok=True)
    descriptor, _ = open_regular(source)
    with os.fdopen(descriptor, "rb") as reading, _created(target, _mode(reading)) as writing:
        before = os.fstat(reading.fileno())
        if _clone(reading, writing):
            if on_bytes:
                on_bytes(before.st_size)
        else:
            _copy_bytes(reading, writing, on_bytes)
        after = os.fstat(reading.fileno())
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        target.unlink()
        raise CorruptFileError(f"{source} changed while it was copied.", "Wait until it is complete; then try again.")


def same_bytes(one: Path, other: Path, on_bytes: Callable[[int], None] = lambda _: None) -> bool:
    """Whether two files hold the same bytes, read whole; nobody may have written to either meanwhile.

    `on_bytes` is told of every piece by its length.

    Raises:
        OSError: One of them cannot be read, or is not a regular file.
    """
    with _opened(one) as first, _opened(other) as second:
        before = [_state(file) for file in (first, second)]
        if before[0][0] != before[1][0]:
            return False
        while chunk := first.read(COPY_CHUNK):
            if chunk != second.read(len(chunk)):
                return False
            on_bytes(len(chunk))
        return [_state(file) for file in (first, second)] == before


def _opened(path: Path) -> FileIO:
    descriptor, _ = open_regular(path)
    return FileIO(descriptor)


def _state(file: FileIO) -> tuple[int, int]:
    status = os.fstat(file.fileno())
    return status.st_size, status.st_mtime_ns


def is_gone(path: str | Path) -> bool:
    """Whether nothing is there; what may not be asked, or lies on a disk that fails, is not said to be gone."""
    try:
        Path(path).stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


def is_written_to(path: Path) -> bool:
    """Whether another program has a file open to write to it, as far as the system tells: Linux does, to its owner."""
    if sys.platform != "linux":
        return False
    import fcntl  # noqa: PLC0415 - exists on Unix alone

    try:
        descriptor, _ = open_regular(path)
    except OSError:
        return False
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return False


def link_or_copy(source: Path, target: Path) -> None:
    """Make `target` another name of the same bytes, or a copy where the filesystem has no hard links.

    Raises:
        OSError: The disk refused, or `target` exists.
    """
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target)) from error
        copy_file(source, target)


#: What filesystems say that have no hard links, or none from there to here.
NO_LINKS = frozenset({errno.EXDEV, errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS})


@contextmanager
def incoming(path: Path, *, replacing: bool = True, lasting: bool = True) -> Iterator[IO[bytes]]:
    """A file to be written beside `path`, which gets that name once the block ends, whole or not at all.

    Its own name until then cannot be foretold and is never one that exists, so that nothing which somebody laid out
    is written to or removed; a link by the name of `path` is replaced, and what it leads to stays as it is.

    Args:
        path: The name that it is to have.
        replacing: Whether what has that name goes; the new file then has its permissions, else those of the umask.
        lasting: Whether it is to survive a power cut, which takes the disk a while.

    Raises:
        FileExistsError: The name is taken, and nothing is to be replaced.
        OSError: The disk refused.
    """
    place = _beside(path)
    mode = _mode_of(path) if replacing else None  # from the beginning on: what it replaces may be for few to read
    file = _created(place, 0o666 if mode is None else mode)
    try:
        with file:
            yield file
            file.flush()
            if replacing:
                _take_mode(file, path)
            if lasting:
                os.fsync(file.fileno())
        if replacing:  # some systems rename no file that is open
            place.replace(path)
        else:
            _name_anew(place, path)
    finally:
        place.unlink(missing_ok=True)
    if lasting:
        with contextlib.suppress(PermissionError):  # a folder that may be written, and not be listed
            sync_folder(path.parent)


def keep_to(file: IO[bytes], original: Path) -> None:
    """Let nobody read a new file who may not read what it is made of.

    Raises:
        OSError: The disk refused.
    """
    if hasattr(os, "fchmod"):
        allowed = original.stat().st_mode | stat.S_IRUSR | stat.S_IWUSR
        os.fchmod(file.fileno(), stat.S_IMODE(os.fstat(file.fileno()).st_mode) & allowed)


def write_text(path: Path, text: str) -> None:
    """Write a file, whole or not at all: beside its place, and then under its name.

    Raises:
        OSError: The disk refused.
    """
    with incoming(path) as file:
        file.write(text.encode("utf-8"))


def _beside(path: Path) -> Path:
    """A name in the same folder that nobody can foretell, and that tells a person what the file was to be."""
    begun = path.name.encode("utf-8", "surrogateescape")[:_MOST_OF_NAME].decode("utf-8", "ignore")
    return path.with_name(f".{begun}.{secrets.token_hex(8)}.incoming")


def _created(path: Path, mode: int = 0o666) -> IO[bytes]:
    """A new file, never one that is there, nor what a link leads to; the umask takes from `mode`.

    Raises:
        OSError: The name is taken, or the disk refused.
    """
    return os.fdopen(os.open(path, _NEW, mode), "wb")


def _take_mode(file: IO[bytes], path: Path) -> None:
    """Give a file the permissions of the one that it replaces, where there is one."""
    mode = _mode_of(path)
    if mode is not None and hasattr(os, "fchmod"):
        os.fchmod(file.fileno(), mode)


def _mode_of(path: Path) -> int | None:
    """The permissions of a file; `None` where there is none: a link's are nobody's."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return None
    return stat.S_IMODE(mode) & 0o777 if stat.S_ISREG(mode) else None


def _name_anew(place: Path, path: Path) -> None:
    """Give a file a name that must be free.

    Raises:
        FileExistsError: It is not.
        OSError: The disk refused.
    """
    try:
        os.link(place, path)
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        _created(path).close()  # no hard links here: claim the name, then replace our own claim
        place.replace(path)


def write_all(opened: FileIO, data: bytes | memoryview) -> None:
    """Write all of `data`: an unbuffered file may take only some of it when the disk is nearly full."""
    rest = memoryview(data)
    while rest:
        rest = rest[opened.write(rest) :]


def see_room_for(folder: Path, *names: str) -> None:
    """See that a folder is there or can be made, and takes new files, those of some names too; nothing is left in it.

    Raises:
        OSError: It does not, as whoever writes there would be told.
    """
    there = next(place for place in (folder, *folder.parents) if os.path.lexists(place))
    if not there.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(there))
    most = os.pathconf(there, "PC_NAME_MAX") if hasattr(os, "pathconf") else 255
    if any(len(os.fsencode(part)) > most for part in (*folder.relative_to(there).parts, *names)):
        raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG), str(folder))
    if not os.access(there, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(there))
    try:
        if hasattr(os, "O_TMPFILE"):  # a file without a name, gone when closed
            os.close(os.open(there, os.O_TMPFILE | os.O_RDWR, 0o600))
            return
    except OSError as error:
        if error.errno not in (*NO_LINKS, errno.EISDIR, errno.ENOENT, errno.EINVAL):
            raise
    probe = there / f".assetctl-{secrets.token_hex(16)}"  # root may write anywhere, but where nothing can be made
    probe.mkdir(mode=0o700)
    probe.rmdir()


@contextmanager
def new_file(path: Path, *, dry_run: bool = False) -> Iterator[IO[bytes] | None]:
    """As `incoming`, of a name that must be free in a folder that is there; `None` is to be written in a dry run.

    Raises:
        UsageError: The name is taken; what has it stays.
        StorageError: The disk refused.
    """
    taken = UsageError(f"{path} exists already.", "Choose another name, or move it away.")
    if os.path.lexists(path):
        raise taken
    try:
        if not path.parent.is_dir():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path.parent))
        see_room_for(path.parent, path.name)
        if dry_run:
            yield None
            return
        with incoming(path, replacing=False) as file:
            yield file
    except FileExistsError as error:
        raise taken from error
    except OSError as error:
        raise StorageError(f"{path} cannot be written: {error.strerror}.", "Choose another folder.") from error


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` survive a power cut, where the system can sync folders."""
    if sys.platform == "win32":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _mode(reading: IO[bytes]) -> int:
    """What whoever copies an open file may let others do with it: no more than the file does; we may write to ours."""
    return os.fstat(reading.fileno()).st_mode & 0o666 | stat.S_IRUSR | stat.S_IWUSR


def _copy_bytes(reading: IO[bytes], writing: IO[bytes], on_bytes: Callable[[int], None] | None) -> None:
    while chunk := reading.read(COPY_CHUNK):
        writing.write(chunk)
        if on_bytes:
            on_bytes(len(chunk))


def _clone(reading: IO[bytes], writing: IO[bytes]) -> bool:
    if sys.platform != "linux":
        return False
    import fcntl  # noqa: PLC0415 - exists on Unix alone

    try:
        fcntl.ioctl(writing.fileno(), _FICLONE, reading.fileno())
    except OSError:
        return False
    return True


#: What positions, lengths and buffers are multiples of when they go straight to a disk.
BLOCK = 4096


class DirectFile:
    """A file that exists and is no link, open for writing anywhere in it; not for several threads at a time."""

    def __init__(self, path: Path) -> None:
        self._plain = open(path, "r+b", buffering=0, opener=_open_plain)  # noqa: SIM115 - closed below
        self._direct = _open_direct(path)

    def write(self, position: int, data: memoryview, *, cached: bool = False) -> None:
        """Write all of `data` at `position`; keep it in the cache if it will be read again soon.

        Whole blocks from the beginning of a page of memory on (as an `mmap` has them) go past the cache, else.

        Raises:
            OSError: The disk refused.
        """
        done = 0
        if not cached and self._direct is not None and data and not (position % BLOCK or len(data) % BLOCK):
            done = self._write_direct(position, data)
        if done < len(data):
            self._plain.seek(position + done)
            write_all(self._plain, data[done:])

    def close(self) -> None:
        """Let go of the file."""
        self._plain.close()
        if self._direct is not None:
            os.close(self._direct)
            self._direct = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _write_direct(self, position: int, data: memoryview) -> int:
        """How much of `data` went past the cache; the rest may not go so: a disk can say that late."""
        done = 0
        while done < len(data) and done % BLOCK == 0 and self._direct is not None:
            try:
                done += os.pwrite(self._direct, data[done:], position + done)
            except OSError as error:
                if error.errno != errno.EINVAL:
                    raise
                os.close(self._direct)
                self._direct = None
        return done


def _open_plain(path: str, flags: int) -> int:
    return os.open(path, flags | NO_LINK)


def _open_direct(path: Path) -> int | None:
    flag = getattr(os, "O_DIRECT", None)  # Linux has it, and there some filesystems have it not
    if flag is None:
        return None
    try:
        return os.open(path, os.O_WRONLY | flag | NO_LINK)
    except OSError:
        return None
