"""Downloads from the Hub that go on where they stopped, even after the process was killed.

`hf_hub_download` writes to a file with a random name and removes it when it fails, so it never goes
on across processes; Xet's client fetches in pieces of its own and does not either. One plain stream with
a `Range` does, and its bytes are hashed as they arrive, so a model is not read a second time.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING

import httpx2
from huggingface_hub import constants, get_session, hf_raise_for_status
from huggingface_hub.errors import HfHubHTTPError

from assetctl.errors import HashMismatchError
from assetctl.files.disk import link_or_copy, storage_errors
from assetctl.sources import _hub
from assetctl.sources.base import FetchProgress

if TYPE_CHECKING:
    from io import FileIO

    from assetctl.sources.base import RemoteFile, Report

#: Seconds to wait before each further try that follows one which brought nothing.
PAUSES = (0.5, 1.0, 2.0)

_TRANSIENT = (httpx2.TimeoutException, httpx2.NetworkError, httpx2.RemoteProtocolError)
_TRANSIENT_STATUS = frozenset({408, 429, 500, 502, 503, 504})
_CONTENT_RANGE = re.compile(r"bytes (?P<start>\d+)-\d+/(?P<total>\d+|\*)", re.ASCII)
_READ = 2**20
_FETCH_AGAIN = "Run the command again to fetch it anew; if that does not help, report the repository."


class _Promise:
    """The size and hash that were promised for a file, fed with its bytes as they come."""

    def __init__(self, file: RemoteFile) -> None:
        self._file = file
        self.reset()

    def reset(self) -> None:
        self.done = 0
        self._digest = hashlib.sha256()
        if self._file.sha256 is None:  # a git blob's name is the SHA1 of a short header and the content
            self._digest = hashlib.sha1(usedforsecurity=False)
            self._digest.update(b"blob %d\0" % (self._file.size or 0))

    def feed(self, data: bytes) -> None:
        self._digest.update(data)
        self.done += len(data)

    def feed_file(self, path: Path) -> None:
        with path.open("rb") as file:
            while data := file.read(_READ):
                self.feed(data)

    @property
    def too_long(self) -> bool:
        return self._file.size is not None and self.done > self._file.size

    def broken(self) -> str | None:
        """How the bytes differ from what was promised, or `None`."""
        if self._file.size is not None and self.done != self._file.size:
            return f"has {self.done} bytes where {self._file.size} were promised"
        wanted = self._file.sha256 or (self._file.git_oid if self._file.size is not None else None)
        found = self._digest.hexdigest()
        if wanted is not None and found != wanted:
            return f"has the hash {found} where {wanted} was promised"
        return None


def is_there(path: Path, file: RemoteFile) -> bool:
    """Whether `path` holds the bytes that were promised for `file`."""
    with storage_errors(f"read {path}"):
        if not path.is_file() or file.size not in (None, path.stat().st_size):
            return False
        promise = _Promise(file)
        promise.feed_file(path)
    return promise.broken() is None


def from_hub_cache(repo: str, file: RemoteFile, target: Path) -> bool:
    """Take a large file from the Hub's own cache if it is there and right; no byte is stored twice."""
    if file.sha256 is None:
        return False
    cache = Path(os.environ.get("HF_HUB_CACHE") or constants.HF_HUB_CACHE)
    blob = cache / f"models--{repo.replace('/', '--')}" / "blobs" / file.sha256
    if not is_there(blob, file):
        return False
    with storage_errors(f"copy {blob}"):
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        link_or_copy(blob.resolve(), target)
    return True


def download(repo: str, revision: str, file: RemoteFile, target: Path, partial: Path, report: Report) -> None:
    """Download `file` to `target`, going on with what lies in the folder `partial`.

    Raises:
        HashMismatchError: The bytes are not those that were promised; they are removed.
        SourceError: The Hub failed; what came so far is kept.
        StorageError: The disk refused.
    """
    what = f"{repo}/{file.path}"
    # Named by content where that is known, so that what another revision left is never gone on with.
    key = file.sha256 or file.git_oid or hashlib.sha256(f"{repo}@{revision}/{file.path}".encode()).hexdigest()
    part = partial / f"{key}.part"
    transfer = _Transfer(_hub.file_url(repo, revision, file.path), part, file, report)
    with storage_errors(f"write to {partial}"):
        partial.mkdir(parents=True, exist_ok=True)
        target.parent.mkdir(parents=True, exist_ok=True)
        transfer.take_up()
    if not transfer.complete:
        with _hub.hub_errors(what):
            _persist(transfer)
    broken = transfer.promise.broken()
    with storage_errors(f"write {target}"):
        if broken:
            part.unlink()
            raise HashMismatchError(f"{what} {broken}.", _FETCH_AGAIN)
        part.replace(target)


def _persist(transfer: _Transfer) -> None:
    """Try until the stream ends; give up after several tries in a row that brought nothing."""
    failures = 0
    while True:
        before = transfer.promise.done
        try:
            return transfer.stream()
        except (*_TRANSIENT, HfHubHTTPError) as error:
            if isinstance(error, HfHubHTTPError) and error.response.status_code not in _TRANSIENT_STATUS:
                raise
            failures = 0 if transfer.promise.done > before else failures + 1
            if failures > len(PAUSES):
                raise
        time.sleep(PAUSES[max(0, failures - 1)])


def _write_all(opened: FileIO, data: bytes) -> None:
    """Write all of `data`: an unbuffered file may take only some of it when the disk is nearly full."""
    rest = memoryview(data)
    while rest:
        rest = rest[opened.write(rest) :]


class _Transfer:
    """One file on its way to its partial file."""

    def __init__(self, url: str, part: Path, file: RemoteFile, report: Report) -> None:
        self.promise = _Promise(file)
        self._url = url
        self._part = part
        self._file = file
        self._report = report

    @property
    def complete(self) -> bool:
        """Whether all bytes are there already."""
        return self._file.size is not None and self.promise.done == self._file.size

    def take_up(self) -> None:
        """Go on with the bytes of an earlier try."""
        self._part.touch()
        self.promise.feed_file(self._part)
        if self.promise.too_long:
            self._start_over()

    def stream(self) -> None:
        """Append what is missing, as far as the connection lasts."""
        headers = _hub.headers()
        if self.promise.done:
            headers["range"] = f"bytes={self.promise.done}-"
        with get_session().stream(
            "GET", self._url, headers=headers, timeout=constants.HF_HUB_DOWNLOAD_TIMEOUT, follow_redirects=True
        ) as response:
            if response.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and self.promise.done:
                self._start_over()
                raise httpx2.RemoteProtocolError("The range was refused.")
            hf_raise_for_status(response)
            announced = self._agree(response)
            self._append(response)
        if announced is None and self._file.size is not None and self.promise.done < self._file.size:
            raise httpx2.RemoteProtocolError("The stream ended early.")

    def _agree(self, response: httpx2.Response) -> int | None:
        """Begin where the server begins; the whole length it announces, if it does."""
        match = _CONTENT_RANGE.fullmatch(response.headers.get("content-range", ""))
        if response.status_code == HTTPStatus.PARTIAL_CONTENT:
            if match is None or int(match["start"]) != self.promise.done:
                self._start_over()
                raise httpx2.RemoteProtocolError("Another range came than was asked for.")
            total = match["total"]
        else:
            if self.promise.done:  # the server does not do ranges
                self._start_over()
            total = response.headers.get("content-length", "")
        announced = int(total) if total.isdecimal() and "content-encoding" not in response.headers else None
        if None not in (announced, self._file.size) and announced != self._file.size:
            self._remove()
            raise HashMismatchError(
                f"{self._file.path} has {announced} bytes where {self._file.size} were promised.", _FETCH_AGAIN
            )
        return announced

    def _append(self, response: httpx2.Response) -> None:
        with storage_errors(f"write {self._part}"):
            opened = self._part.open("ab", buffering=0)
        with opened:
            for chunk in response.iter_bytes():
                with storage_errors(f"write {self._part}"):
                    _write_all(opened, chunk)
                self.promise.feed(chunk)
                if self.promise.too_long:
                    return
                self._report(FetchProgress(self._file.path, self.promise.done, self._file.size))

    def _start_over(self) -> None:
        with storage_errors(f"write {self._part}"):
            self._part.write_bytes(b"")
        self.promise.reset()

    def _remove(self) -> None:
        with storage_errors(f"remove {self._part}"):
            self._part.unlink()
