"""What was promised of a file, held against its bytes as they come."""

from __future__ import annotations

import hashlib
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from assetctl.files.disk import LARGEST_FILE, storage_errors
from assetctl.sources._own import reading

if TYPE_CHECKING:
    from concurrent.futures import Future
    from pathlib import Path

    from assetctl.sources.base import RemoteFile

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
        self._is_blob = self._file.sha256 is None and self._file.git_oid is not None and self._file.size is not None
        self._digest = _Digest(hashlib.sha1(usedforsecurity=False) if self._is_blob else hashlib.sha256())
        if self._is_blob:  # a git blob's name is the SHA1 of a short header and the content
            self._digest.update(b"blob %d\0" % (self._file.size or 0))

    def feed(self, data: bytes | memoryview) -> Future[None]:
        """Count and hash what comes next; `data` is needed until the future is done."""
        self.done += len(data)
        return self._digest.update(data)

    def feed_file(self, path: Path) -> None:
        with reading(path) as file:
            while data := file.read(_READ):
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
        wanted = self._file.git_oid if self._is_blob else self._file.sha256
        found = self._digest.hexdigest()
        if wanted is not None and found != wanted:
            return f"has the hash {found} where {wanted} was promised"
        return None

    def sha256(self) -> str | None:
        """The hash of all bytes, unless another one was promised."""
        return None if self._is_blob else self._digest.hexdigest()


def is_there(path: Path, file: RemoteFile) -> bool:
    """Whether `path` holds the bytes that were promised for `file`."""
    with storage_errors(f"read {path}"):
        if not path.is_file() or file.size not in (None, path.stat().st_size):
            return False
        promise = Promise(file)
        promise.feed_file(path)
    return promise.broken() is None
