"""Uploads: bytes that somebody sends are staged, judged as any file is, and taken in, or looked into and let go."""

from __future__ import annotations

import hashlib
import re
import secrets
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from assetctl.errors import AssetctlError, CorruptFileError, UsageError
from assetctl.files.disk import storage_errors
from assetctl.identify.identification import identify_path
from assetctl.operations.acquire.pull import keep
from assetctl.operations.library.identify_files import Identified
from assetctl.operations.library.ingest import Staged, checked_name, checked_words
from assetctl.sources.base import RemoteFile, Resolution
from assetctl.store import safe_name
from assetctl.types import Identification

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from assetctl.operations.acquire.pull import PullResult
    from assetctl.operations.workspace import Workspace
    from assetctl.run import Run

#: Whose an asset is that came so.
_SOURCE = "upload"

#: How files begin, by the suffix that says so.
_BEGINNINGS = {
    ".safetensors": re.compile(rb".{8}\{", re.DOTALL), ".gguf": re.compile(rb"GGUF"),
    ".png": re.compile(rb"\x89PNG"), ".pt": re.compile(rb"PK\x03\x04"),
}  # fmt: skip

_SUFFIX = re.compile("[A-Za-z0-9]{1,16}")


class Upload(NamedTuple):
    """What somebody sends.

    Attributes:
        filename: What they call it: a name, and no path.
        chunks: Its bytes, as they come.
        size: How many there are to be.
    """

    filename: str
    chunks: Iterable[bytes]
    size: int


class _Came(NamedTuple):
    path: Path
    sha256: str


def take_in(
    workspace: Workspace, upload: Upload, run: Run, *, name: str | None = None, tags: Iterable[str] = ()
) -> PullResult:
    """Make an asset of an upload, unless its bytes are here already.

    Raises:
        UsageError: The file's name, the asset's, or a tag makes no sense.
        FileError: It is nothing that assetctl keeps, or not whole.
        StorageError: The disk is full or may not be written.
    """
    wanted = None if name is None else checked_name(name)
    labels = checked_words(tags)
    with uploaded(workspace, upload, run) as came:
        files = (RemoteFile(came.path.name, came.path.stat().st_size),)
        resolution = Resolution(_SOURCE, came.path.name, None, None, came.path.name, "file", files)
        staged = Staged.of(resolution, came.path, wanted, labels, {came.path.name: came.sha256})
        return keep(workspace, staged, run, _SOURCE)


def identify_upload(workspace: Workspace, upload: Upload, run: Run) -> Identified:
    """What an upload is, or why that cannot be said; nothing of it is kept.

    Raises:
        UsageError: The file's name makes no sense.
        StorageError: The disk is full or may not be written.
    """
    with uploaded(workspace, upload, run) as came:
        try:
            with _called(came.path):
                return Identified(came.path.name, identify_path(came.path), named=True)
        except AssetctlError as error:
            return Identified(came.path.name, Identification(), error, named=True)


@contextmanager
def uploaded(workspace: Workspace, upload: Upload, run: Run) -> Iterator[_Came]:
    """An upload as a file of the store's staging folder, whole; gone after the block, unless it was moved.

    Raises:
        UsageError: The file's name makes no sense.
        CorruptFileError: Fewer or more bytes came than there were to be.
        StorageError: The disk is full or may not be written.
    """
    name, store = _file_name(upload.filename), workspace.store
    key = f"upload {secrets.token_hex(16)}"
    with store.lock(key):
        store.free_space_check(upload.size)
        path = store.staging(key) / name
        try:
            digest, size = hashlib.sha256(), 0
            with storage_errors(f"write {path}"), path.open("xb") as file:
                for chunk in upload.chunks:
                    run.check()
                    size += len(chunk)
                    digest.update(chunk)
                    file.write(chunk)
            if size != upload.size:
                raise CorruptFileError(f"{name} is not whole: {size} of {upload.size} bytes came.", "Send it again.")
            if not path.suffix:
                path = path.rename(path.with_name(name + _suffix_of(path)))
            with _called(path):
                yield _Came(path, digest.hexdigest())
        finally:
            store.clear_staging(key, path)


def _suffix_of(path: Path) -> str:
    """The suffix by which other programs know a file of which nobody said it."""
    with path.open("rb") as file:
        start = file.read(16)
    return next((suffix for suffix, begins in _BEGINNINGS.items() if begins.match(start)), "")


@contextmanager
def _called(path: Path) -> Iterator[None]:
    """In errors, an upload goes by the name that it came with."""
    try:
        yield
    except AssetctlError as error:
        error.message = error.message.replace(str(path), path.name)
        error.hint = None if error.hint is None else error.hint.replace(str(path), path.name)
        raise


def _file_name(filename: str) -> str:
    """The name under which an upload is kept: its own, without what a disk would not take.

    Raises:
        UsageError: It is no name of a file.
    """
    if not filename.strip(". ") or any(each in filename for each in "/\\\0"):
        raise UsageError(f"{filename!r:.60} is no name of a file.", "Give its name alone, as whiskers.safetensors.")
    stem, _, suffix = filename.rpartition(".")
    return f"{safe_name(stem)}.{suffix.lower()}" if stem and _SUFFIX.fullmatch(suffix) else safe_name(filename)
