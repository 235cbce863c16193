"""Downloads that go on where they stopped, even after the process was killed.

`promise` says how a file is asked for and holds what was promised against what comes, `stream` fetches by one
connection and `ranges` by several. (The Hub's own client writes to a file with a random name and removes it when it
fails; Xet's fetches in pieces of its own: neither goes on across processes.)
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from assetctl.errors import HashMismatchError
from assetctl.files.disk import storage_errors
from assetctl.sources import _local
from assetctl.sources._download.promise import FETCH_AGAIN, Way, is_there
from assetctl.sources._download.ranges import NoRangesError, Ranges
from assetctl.sources._download.stream import Stream

if TYPE_CHECKING:
    from pathlib import Path

    from assetctl.sources.base import RemoteFile, Report

__all__ = ["Way", "download", "is_there"]


def download(way: Way, file: RemoteFile, target: Path, partial: Path, report: Report) -> str | None:
    """Download `file` to `target`, going on with what lies in the folder `partial`, which lies where `target` does.

    Returns:
        Its SHA256, computed on the way; `None` for one that is known by git's hash.

    Raises:
        HashMismatchError: The bytes are not those that were promised; they are removed.
        RefusedFileError: A web page or the like came instead.
        SourceError: The source failed; what came so far is kept.
        StorageError: The disk refused.
    """
    # Named by content where that is known, so that what another revision left is never gone on with.
    key = file.sha256 or file.git_oid or hashlib.sha256(way.url.encode()).hexdigest()
    part = partial / f"{key}.part"
    with storage_errors(f"write to {partial}"):
        _local.clear(partial.parent, part)
        _local.clear(partial.parent, target)
    fetched = _fetch(way, part, file, report)
    broken = fetched.promise.broken()
    with storage_errors(f"write {target}"):
        if broken:
            fetched.remove()
            raise HashMismatchError(f"{way.what} {broken}.", FETCH_AGAIN)
        part.replace(target)
        fetched.remove()
    return fetched.promise.sha256()


def _fetch(way: Way, part: Path, file: RemoteFile, report: Report) -> Stream | Ranges:
    """Fetch by ranges what is large enough, where the server knows them; else by one stream."""
    if Ranges.suit(part, file):
        ranges = Ranges(way, part, file, report)
        try:
            ranges.run()
        except NoRangesError:
            ranges.remove()
        else:
            return ranges
    stream = Stream(way, part, file, report)
    stream.run()
    return stream
