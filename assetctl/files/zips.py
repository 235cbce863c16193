"""ZIPs of models: which there are, and one of them by itself; nothing else of a ZIP is ever written."""

from __future__ import annotations

import hashlib
import os
import re
import stat
import struct
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from assetctl.errors import CorruptFileError, RefusedFileError
from assetctl.files.disk import NO_LINK, storage_errors
from assetctl.files.paths import safe_name

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import IO

#: Limits: entries, bytes of the directory that lists them, models, and bytes of these all together.
_MOST_ENTRIES, _LONGEST_DIRECTORY, _MOST_MODELS, _MOST_BYTES = 10_000, 8 * 2**20, 200, 2**30

#: More than that, what all models come to may be so many times as large as the ZIP: weights hardly get smaller.
_MOST_TIMES = 20

_SUFFIXES = (".safetensors", ".sft")
_READ = 2**20
_DAMAGED = (
    zipfile.BadZipFile, zlib.error, struct.error, NotImplementedError, RuntimeError, EOFError, ValueError, OSError,
)  # fmt: skip
_HINT = "Unpack it yourself, if you trust it; then `assetctl import` what is in it."


@dataclass(frozen=True, slots=True)
class Member:
    """A model in a ZIP: its path there, what its file may be called by itself, and its size."""

    path: str
    name: str
    size: int


def models_in(archive: Path) -> tuple[Member, ...]:
    """The safetensors files of a ZIP, at whatever depth, but for ZIPs in it, which are not opened.

    Raises:
        RefusedFileError: It holds none, or is made to deceive: paths that lead out, links, secrets, sizes beyond all.
        CorruptFileError: It is damaged.
    """
    with storage_errors(f"read {archive}"):
        size = archive.stat().st_size
    try:
        with _opened(archive) as opened:
            entries = opened.infolist()
    except _DAMAGED as error:
        raise _damaged(archive) from error
    if len(entries) > _MOST_ENTRIES:
        raise RefusedFileError(f"{archive} has {len(entries)} entries, more than any ZIP of models.", _HINT)
    if any(PurePosixPath(entry.filename).name == "model_index.json" for entry in entries):
        raise RefusedFileError(f"{archive} is a ZIP of a diffusers folder.", _HINT)
    models = [entry for entry in entries if _is_model(entry)]
    for entry in models:
        _see_safe(archive, entry)
    paths = [_path(entry) for entry in models]
    if len({path.lower() for path in paths}) < len(paths):
        raise RefusedFileError(f"{archive} has two files of the same path.", _HINT)
    whole = sum(entry.file_size for entry in models)
    if len(models) > _MOST_MODELS or whole > max(_MOST_BYTES, _MOST_TIMES * size):
        message = f"{archive} would come to {len(models)} models of {whole} bytes, which no ZIP of models does."
        raise RefusedFileError(message, _HINT)
    if not models:
        raise RefusedFileError(f"{archive} is a ZIP that holds no safetensors file.", _HINT)
    names = _names(paths)
    return tuple(Member(path, names[path], entry.file_size) for path, entry in zip(paths, models, strict=True))


def take_out(archive: Path, member: Member, target: Path, on_bytes: Callable[[int], None]) -> str:
    """Write one of `models_in` as the new file `target`; its SHA256. `on_bytes` is told of each piece, and may raise.

    Raises:
        CorruptFileError: The ZIP is damaged, or the file is another than it says.
        StorageError: The disk refused.
    """
    digest, left = hashlib.sha256(), member.size
    try:
        with _opened(archive) as opened:
            entry = next(each for each in opened.infolist() if _is_model(each) and _path(each) == member.path)
            source = opened.open(entry)
    except (*_DAMAGED, StopIteration) as error:
        raise _damaged(archive) from error
    with source, storage_errors(f"write {target}"):
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | NO_LINK | getattr(os, "O_BINARY", 0), 0o666)
        with os.fdopen(descriptor, "wb") as file:
            while piece := _next(source, archive):
                left -= len(piece)
                if left < 0:
                    raise _damaged(archive)
                on_bytes(len(piece))
                digest.update(piece)
                file.write(piece)
    if left:
        raise _damaged(archive)
    return digest.hexdigest()


def _next(source: IO[bytes], archive: Path) -> bytes:
    try:
        return source.read(_READ)
    except _DAMAGED as error:
        raise _damaged(archive) from error


def _opened(archive: Path) -> zipfile.ZipFile:
    """Open a ZIP; the standard library takes its directory in at one go, so that is looked at before.

    Raises:
        Any of `_DAMAGED`.
    """
    with archive.open("rb") as file:
        end = zipfile._EndRecData(file)  # type: ignore[attr-defined]  # noqa: SLF001 - what ZipFile itself asks first
    if end is None or not 0 <= end[5] <= _LONGEST_DIRECTORY:
        raise zipfile.BadZipFile
    return zipfile.ZipFile(archive)


def _damaged(archive: Path) -> CorruptFileError:
    return CorruptFileError(f"{archive} is a ZIP that is damaged, or no ZIP.", "Get it again, or ask its maker.")


def _path(entry: zipfile.ZipInfo) -> str:
    return entry.filename.replace("\\", "/")


def _is_model(entry: zipfile.ZipInfo) -> bool:
    """Whether it is called as a model is; the Mac's notes on other files are called like these."""
    path = PurePosixPath(_path(entry))
    return path.name.lower().endswith(_SUFFIXES) and not path.name.startswith("._") and path.parts[0] != "__MACOSX"


def _see_safe(archive: Path, entry: zipfile.ZipInfo) -> None:
    """See that an entry is a plain file, inside of the ZIP and for everyone.

    Raises:
        RefusedFileError: It is not.
    """
    path, kind = _path(entry), stat.S_IFMT(entry.external_attr >> 16)
    shown = path[:200]
    if path.startswith("/") or ".." in path.split("/") or re.match(r"[A-Za-z]:", path) or not path.isprintable():
        raise RefusedFileError(f"{archive} has {shown!r}, which would lie outside of it, or hides.", _HINT)
    if entry.is_dir() or kind not in (0, stat.S_IFREG):
        raise RefusedFileError(f"{archive} has {shown!r}, which is a link or no file at all.", _HINT)
    if entry.flag_bits & 0x1:
        raise RefusedFileError(f"{archive} has {shown!r}, which is encrypted.", _HINT)
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise RefusedFileError(f"{archive} has {shown!r}, which is packed in a way that is not read here.", _HINT)


def _names(paths: list[str]) -> dict[str, str]:
    """What each file is to be called: as in the ZIP and, where others are called so too, after its folders."""
    plain = {path: _safe(PurePosixPath(path).name) for path in paths}
    called = [name.lower() for name in plain.values()]
    return {
        path: name if called.count(name.lower()) == 1 else _safe("-".join(PurePosixPath(path).parts))
        for path, name in plain.items()
    }


def _safe(name: str) -> str:
    """A name that every filesystem takes, with the suffix that it has: also where it is nothing else, or very long."""
    suffix = next(suffix for suffix in _SUFFIXES if name.lower().endswith(suffix))
    return f"{safe_name(name[: -len(suffix)])}{suffix}"
