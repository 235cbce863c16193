"""Our own unfinished files in a staging folder: their bytes on the way to the disk, and what has come of them."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import shutil
import stat
import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from io import FileIO
from mmap import mmap
from typing import TYPE_CHECKING, Self

from assetctl.files.disk import LARGEST_FILE, NO_LINK, write_all
from assetctl.files.paths import below

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from pathlib import Path

    from assetctl.run import Run
    from assetctl.sources.base import Digest, RemoteFile

    #: Told how many bytes of a file there are; ends its transfer by raising.
    Tell = Callable[[int], None]


def without_links(path: str, flags: int) -> int:
    """An opener for `open`: it fails where the file is a link."""
    return os.open(path, flags | NO_LINK)


def clear(root: Path, path: Path) -> None:
    """Make the folders that `path`, which lies below `root`, is to lie in; only a file is in its place, if anything.

    What else is in the way was left by a try at other files, or put there, and goes; of a link, the link alone.

    Raises:
        OSError: The disk refused.
    """
    folder = root
    folder.mkdir(parents=True, exist_ok=True)
    for name in path.relative_to(root).parts[:-1]:
        folder /= name
        if folder.is_symlink() or folder.is_file():
            folder.unlink()
        folder.mkdir(exist_ok=True)
    if path.is_symlink():
        path.unlink()
    elif path.is_dir():
        shutil.rmtree(path)


def prune_staged(folder: Path, wanted: Collection[str]) -> None:
    """Remove what an earlier try left in a folder of ours, such as one at another state of the original.

    Raises:
        OSError: The disk refused.
    """
    for path in list(below(folder)):
        if (path.is_symlink() or not path.is_dir()) and path.relative_to(folder).as_posix() not in wanted:
            path.unlink()


def keep_file(path: Path) -> None:
    """See that `path` is a file that is nothing else besides: what is one stays, else there is an empty one.

    Raises:
        OSError: The disk refused.
    """
    try:
        about = path.lstat()
    except FileNotFoundError:
        about = None
    if about is not None and not (stat.S_ISREG(about.st_mode) and about.st_nlink <= 1):
        path.unlink()
        about = None
    if about is None:
        os.close(_new(path))


def forget(path: Path) -> None:
    """Remove a partial file, if it is there, and what is known of it.

    Raises:
        OSError: The disk refused.
    """
    for known in (path, path.with_suffix(".etag"), path.with_suffix(SUFFIX)):
        known.unlink(missing_ok=True)


def make_empty(path: Path) -> None:
    """Make an empty file of `path`, whatever lies there.

    Raises:
        OSError: The disk refused.
    """
    path.unlink(missing_ok=True)
    os.close(_new(path))


def reading(path: Path) -> FileIO:
    """Open a file to read it, without a buffer.

    Raises:
        OSError: There is none, or it is a link.
    """
    return open(path, "rb", buffering=0, opener=without_links)


def text_of(path: Path, most: int) -> str:
    """What is written in a small file, as ASCII; "" where that is none, or larger than `most` bytes.

    Raises:
        OSError: The disk refused.
    """
    if not path.is_file() or path.is_symlink() or path.stat().st_size > most:
        return ""
    with reading(path) as file:
        return file.read(most).decode("ascii", "replace")


def write(path: Path, text: str) -> None:
    """Write a small file anew, in one step, as ASCII.

    Raises:
        OSError: The disk refused.
    """
    fresh = path.with_name(f"{path.name}.{secrets.token_hex(8)}.fresh")
    try:
        with FileIO(_new(fresh), "w") as opened:  # some systems rename no file that is open
            write_all(opened, text.encode("ascii", "replace"))
        fresh.replace(path)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise


def appending(path: Path) -> FileIO:
    """Open a file that is there to add to it, without a buffer.

    Raises:
        OSError: There is none, or it is a link.
    """
    return FileIO(os.open(path, os.O_WRONLY | os.O_APPEND | NO_LINK | getattr(os, "O_BINARY", 0)), "a")


@contextmanager
def new_file(folder: Path, target: Path) -> Iterator[Path]:
    """A new file in `folder`, on the same disk, which becomes `target` when the block ends well.

    Raises:
        OSError: The disk refused.
    """
    path = folder / f"{secrets.token_hex(8)}.incoming"
    os.close(_new(path))
    try:
        yield path
        path.replace(target)
    finally:
        path.unlink(missing_ok=True)


def _new(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | NO_LINK | getattr(os, "O_BINARY", 0), 0o666)


_READ = 2**20

#: Pieces that may wait to be hashed.
_AHEAD = 16


class _Digest:
    """A hash computed in a thread of its own, while the next bytes come."""

    def __init__(self, digest: hashlib._Hash) -> None:
        self._digest = digest
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="digest")
        self._waiting: deque[Future[None]] = deque()

    def update(self, data: bytes | memoryview) -> Future[None]:
        if len(self._waiting) >= _AHEAD:
            self._waiting.popleft().result()
        done = self._thread.submit(self._digest.update, data)
        self._waiting.append(done)
        return done

    def hexdigest(self) -> str:
        while self._waiting:
            self._waiting.popleft().result()
        return self._digest.hexdigest()


_UNKNOWN: tuple[Digest | None, hashlib._Hash | None] = (None, None)


class Promise:
    """The size and hash that were promised for a file, fed with its bytes as they come.

    Args:
        file: What was promised.
        most: Limit on its bytes, where no size was promised.
    """

    def __init__(self, file: RemoteFile, most: int = LARGEST_FILE) -> None:
        self._file = file
        self._most = most if file.size is None else file.size
        self.reset()

    def reset(self) -> None:
        self.done = 0
        begun = ((digest, digest.begun(self._file.size)) for digest in self._file.digests)
        self._wanted, known = next((each for each in begun if each[1] is not None), _UNKNOWN)
        self._digest = _Digest(known or hashlib.sha256())

    def feed(self, data: bytes | memoryview) -> Future[None]:
        """Count and hash what comes next; `data` is needed until the future is done."""
        self.done += len(data)
        return self._digest.update(data)

    def feed_file(self, path: Path, run: Run) -> None:
        with reading(path) as file:
            while data := file.read(_READ):
                run.check()
                self.feed(data)

    @property
    def too_long(self) -> bool:
        return self.done > self._most

    def broken(self) -> str | None:
        """How the bytes differ from what was promised, or `None`."""
        if self._file.size is not None and self.done != self._file.size:
            return f"has {self.done} bytes where {self._file.size} were promised"
        if self.too_long:
            return f"has more than {self._most} bytes"
        found = self._digest.hexdigest()
        if self._wanted is not None and found != self._wanted.value:
            return f"has the hash {found} where {self._wanted.value} was promised"
        return None

    def sha256(self) -> str | None:
        """The hash of all bytes, unless another one was promised."""
        return self._digest.hexdigest() if self._wanted is None or self._wanted.kind == "sha256" else None


#: Bytes that are written and hashed at a time, and how many such pieces one connection has on their way.
PIECE, PIECES = 2**20, 8

#: Seconds after which less is written too: what a kill may lose of a slow download.
SLOW = 0.2


class Flow:
    """Gathers bytes into pieces that end at multiples of their size, so that they can go straight to the disk.

    Leaving the block waits until all that was handed on is written; after a piece that could not be, none is.

    Args:
        feed: Told of each piece by its position, at once; the future of what it does with it, or `None`.
        write: Writes a piece, in a thread of its own, in turn; told besides whether `feed` had a use for it.
    """

    def __init__(
        self,
        feed: Callable[[int, memoryview], Future[None] | None],
        write: Callable[[int, memoryview, bool], None],
    ) -> None:
        self._feed, self._write = feed, write
        self._broken = False
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="write")
        self._pieces: deque[tuple[memoryview, list[Future[None]]]] = deque()
        self._piece = _fresh()
        self._filled, self._since = 0, 0.0
        self.position = 0

    def begin(self, position: int) -> None:
        """What comes next belongs at `position`; what came before is flushed."""
        self.position, self._since = position, time.monotonic()

    def take(self, data: bytes) -> None:
        """Take what comes next, in pieces of whatever size.

        Raises:
            What `write` or what was fed raised.
        """
        rest = memoryview(data)
        while rest:
            room = PIECE - self.position % PIECE - self._filled
            some = rest[:room]
            self._piece[self._filled : self._filled + len(some)] = some
            self._filled += len(some)
            if len(some) == room or time.monotonic() - self._since > SLOW:
                self.flush()
            rest = rest[len(some) :]

    def flush(self) -> None:
        """Hand on what was gathered."""
        self._since = time.monotonic()
        if not self._filled:
            return
        data = self._piece[: self._filled]
        fed = self._feed(self.position, data)
        written = self._thread.submit(self._write_next, self.position, data, fed is not None)
        self._pieces.append((self._piece, [written] if fed is None else [written, fed]))
        self.position += self._filled
        self._filled = 0
        _, uses = self._pieces[0]
        idle = len(self._pieces) == PIECES or all(use.done() for use in uses)
        self._piece = self._oldest() if idle else _fresh()

    def wait(self) -> None:
        """Wait until all that was handed on is written.

        Raises:
            What `write` or what was fed raised.
        """
        while self._pieces:
            self._oldest()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.wait()
        finally:
            self._thread.shutdown(cancel_futures=True)

    def _write_next(self, position: int, data: memoryview, fed: bool) -> None:  # noqa: FBT001 - as `write` has it
        """Write a piece, unless one before it could not be written: what is there must have no holes."""
        if self._broken:
            return
        try:
            self._write(position, data, fed)
        except BaseException:
            self._broken = True
            raise

    def _oldest(self) -> memoryview:
        """The buffer of the piece that was handed on first, once nobody needs it any more."""
        piece, uses = self._pieces.popleft()
        for use in uses:
            use.result()
        return piece


def _fresh() -> memoryview:
    return memoryview(mmap(-1, PIECE))  # its own pages, as the disk wants them


SUFFIX = ".chunks"

#: Limit on a journal, in bytes, and on the chunks of a file.
_LARGEST, _MOST_CHUNKS = 64 * 2**20, 2**20
_NUMBER = re.compile(r"\d{1,15}", re.ASCII)


class Journal:
    """The journal of one file.

    Attributes:
        got: Bytes of each chunk that have come, from its beginning on.
    """

    def __init__(self, path: Path, size: int, chunk: int) -> None:
        self.path = path
        self._size, self._chunk = size, chunk
        self.got = [0] * -(-size // chunk)
        self._opened: FileIO | None = None

    def length(self, number: int) -> int:
        """Bytes of a whole chunk."""
        return min(self._chunk, self._size - number * self._chunk)

    def open(self, there: int) -> None:
        """Read what an earlier run wrote, as far as a file of `there` bytes can bear it out, and get ready to go on."""
        head = f"{self._size} {self._chunk}\n"
        lines = text_of(self.path, _LARGEST).splitlines(keepends=True)
        for line in lines[1:] if lines[:1] == [head] else ():
            self._read(line)
        self.got = [min(count, max(0, there - number * self._chunk)) for number, count in enumerate(self.got)]
        # Written anew, in one step: lines of a long download do not pile up over its runs.
        text = head + "".join(f"{number} {count}\n" for number, count in enumerate(self.got) if count)
        write(self.path, text)
        self._opened = appending(self.path)

    def add(self, number: int, count: int) -> None:
        """So many more bytes of a chunk are in the file."""
        self.got[number] += count
        if self._opened is not None:
            write_all(self._opened, f"{number} {self.got[number]}\n".encode())

    def close(self) -> None:
        """Write no more."""
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    def _read(self, line: str) -> None:
        number, _, count = line.rstrip("\n").partition(" ")
        if not line.endswith("\n") or not (_NUMBER.fullmatch(number) and _NUMBER.fullmatch(count)):
            return
        if int(number) < len(self.got) and int(count) <= self.length(int(number)):
            self.got[int(number)] = max(self.got[int(number)], int(count))


def fetched_bytes(folder: Path) -> int:
    """How many bytes of files lie in a staging folder, whole or not: a file in chunks has holes."""
    total = 0
    for path in below(folder):
        if not path.is_symlink() and path.is_file() and path.suffix not in (SUFFIX, ".etag", ".fresh"):
            journal = path.with_suffix(SUFFIX)
            total += _of_chunks(journal) if journal.is_file() else path.stat().st_size
    return total


def _of_chunks(path: Path) -> int:
    head, *lines = text_of(path, _LARGEST).splitlines() or [""]
    size, _, chunk = head.partition(" ")
    if not (_NUMBER.fullmatch(size) and _NUMBER.fullmatch(chunk)):
        return 0
    if int(chunk) == 0 or int(size) > int(chunk) * _MOST_CHUNKS:
        return 0
    journal = Journal(path, int(size), int(chunk))
    for line in lines:
        journal._read(f"{line}\n")  # noqa: SLF001 - its own module
    return sum(journal.got)
