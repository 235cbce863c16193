"""Reading a catalog where SQLite can make no files beside it: all of it that was committed, without writing."""

from __future__ import annotations

import struct
import time
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from assetctl.errors import CatalogError, StorageError

if TYPE_CHECKING:
    from pathlib import Path


#: How many bytes the catalog and its log may have, to be held in memory.
_MOST_BYTES, _MOST_LOG_BYTES = 2**30, 2**28

#: How often a catalog is read that others are writing to, and how long they are given in between, in seconds.
_ATTEMPTS, _PAUSE = 20, 0.05

#: A file that was written so short a time ago may be written to again without another time, in nanoseconds.
_RECENT = 2_000_000_000

_MAGIC = b"SQLite format 3\0"
_LOG_HEADER, _FRAME_HEADER = struct.Struct(">8I"), struct.Struct(">6I")
_LITTLE_ENDIAN, _BIG_ENDIAN = 0x377F0682, 0x377F0683
_LOG_VERSION = 3007000


#: By what one sees that a file was written to: its number, size and time.
_State: TypeAlias = tuple[int, int, int]


class _Content(NamedTuple):
    """Both files, and how they stood when they were read; a state is `None` where there is no file."""

    states: tuple[_State | None, ...]
    database: bytes
    log: bytes


def snapshot(path: Path) -> bytes:
    """The database at `path`, whole, with all that was committed; as if it had no log.

    Raises:
        CatalogError: It is too large, or its log is damaged.
        StorageError: It may not be read, or does not hold still.
    """
    _refuse_a_journal(path)
    previous = None
    for attempt in range(_ATTEMPTS):
        if attempt:
            time.sleep(_PAUSE)
        content = _read(path)
        if content.states == _states(path) and (_are_settled(content) or content == previous):
            return _with_log(path, content)
        previous = content
    raise StorageError(
        f"The catalog {path} is being written to without a pause.",
        "Wait for the other assetctl to finish, then try again.",
    )


def _read(path: Path) -> _Content:
    states = _states(path)
    places = (path, _MOST_BYTES), (_log_of(path), _MOST_LOG_BYTES)
    database, log = (_bytes(place, state) for place, state in zip(places, states, strict=True))
    return _Content(states, database, log)


def _log_of(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def _refuse_a_journal(path: Path) -> None:
    """A journal left behind says that the file is half written; only who may write can mend that."""
    journal = path.with_name(f"{path.name}-journal")
    state = _state(journal)
    if state is not None and state[1]:
        raise StorageError(
            f"The catalog {path} was left half written, and cannot be repaired while it cannot be written.",
            "Run any command of assetctl where it can be written.",
        )


def _states(path: Path) -> tuple[_State | None, ...]:
    return _state(path), _state(_log_of(path))


def _state(path: Path) -> _State | None:
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unreadable(path, error) from error
    return status.st_ino, status.st_size, status.st_mtime_ns


def _are_settled(content: _Content) -> bool:
    """Whether a write while they were read would show in the files' times."""
    now = time.time_ns()
    return all(state is None or abs(now - state[2]) > _RECENT for state in content.states)


def _bytes(place: tuple[Path, int], state: _State | None) -> bytes:
    path, most = place
    if state is None or not state[1]:
        return b""
    if state[1] > most:
        raise CatalogError(f"{path} is too large to be read while it cannot be written.", "Make its folder writable.")
    try:
        with path.open("rb") as opened:
            return opened.read(most)
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> StorageError:
    what = ", which holds the catalog's latest changes," if path.name.endswith("-wal") else ""
    hint = "Check the permissions of the folder, or choose another with --home or ASSETCTL_HOME."
    return StorageError(f"{path}{what} cannot be read: {error.strerror or error}.", hint)


def _damaged(path: Path) -> CatalogError:
    return CatalogError(f"The log of {path} is damaged.", "Restore a backup of both.")


def _with_log(path: Path, content: _Content) -> bytes:
    """The database with the log's committed pages in their places."""
    database = bytearray(content.database)
    page_size, count, pages = _committed(content.log, path)
    if count * page_size > _MOST_BYTES:
        raise _damaged(path)
    if count:
        size = count * page_size
        del database[size:]
        database.extend(bytes(size - len(database)))
        for number, page in pages.items():
            if 0 < number <= count:
                database[(number - 1) * page_size : number * page_size] = page
    if database.startswith(_MAGIC):
        database[18:20] = b"\x01\x01"  # in memory there is no log
    return bytes(database)


def _committed(log: bytes, path: Path) -> tuple[int, int, dict[int, bytes]]:
    """Of a log: the size of its pages, how many the database has after its last commit, and those that it changed.

    As SQLite does, everything behind the first frame that is not whole and of this log is left out.
    """
    nothing: tuple[int, int, dict[int, bytes]] = (0, 0, {})
    if len(log) < _LOG_HEADER.size:
        return nothing
    magic, version, page_size, _, *salt, sum_1, sum_2 = _LOG_HEADER.unpack_from(log)
    order = {_LITTLE_ENDIAN: "<", _BIG_ENDIAN: ">"}.get(magic)
    if order is None or page_size not in {2**n for n in range(9, 17)}:
        return nothing
    sums = _checksum(order, log[:24], (0, 0))
    if sums != (sum_1, sum_2):
        return nothing
    if version != _LOG_VERSION:
        raise _damaged(path)
    count, pages, pending = 0, dict[int, bytes](), dict[int, bytes]()
    for start in range(_LOG_HEADER.size, len(log) - _FRAME_HEADER.size - page_size + 1, _FRAME_HEADER.size + page_size):
        number, committed, *own_salt, sum_1, sum_2 = _FRAME_HEADER.unpack_from(log, start)
        page = log[start + _FRAME_HEADER.size : start + _FRAME_HEADER.size + page_size]
        if own_salt != salt:
            break
        sums = _checksum(order, page, _checksum(order, log[start : start + 8], sums))
        if sums != (sum_1, sum_2):
            break
        pending[number] = page
        if committed:
            count = committed
            pages |= pending
            pending = {}
    return page_size, count, pages


def _checksum(order: str, data: bytes, sums: tuple[int, int]) -> tuple[int, int]:
    """SQLite's sums over pairs of words, going on from others."""
    first, second = sums
    words = struct.unpack(f"{order}{len(data) // 4}I", data)
    for one, other in zip(words[::2], words[1::2], strict=True):
        first = (first + one + second) & 0xFFFFFFFF
        second = (second + other + first) & 0xFFFFFFFF
    return first, second
