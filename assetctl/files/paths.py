"""Paths, names and small files from outside: below what they lie, fit for any filesystem, read where a file is.

The JSON files are those of a model folder, of which anyone may be the writer, with the `NaN` that diffusers writes.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import stat
import unicodedata
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from assetctl.errors import RefusedFileError, UnusableError, UsageError
from assetctl.text import hidden_in, visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping


def absolute(path: str | Path) -> Path:
    """`path` made absolute, `~` expanded; links in it are kept, so that a person recognises it.

    Raises:
        UsageError: No path can be written like that.
    """
    try:
        expanded = Path(path).expanduser()
        str(expanded).encode("utf-8")
    except (RuntimeError, UnicodeEncodeError) as error:
        shown = ascii(str(path))
        raise UsageError(
            f"{shown} cannot be used as a path: {error}.", "Name another path, or rename the file."
        ) from error
    if "\0" in str(expanded):
        raise UsageError("A path cannot hold a null character.", "Check what wrote it.")
    return Path(os.path.abspath(expanded))  # noqa: PTH100 - `resolve` would follow links


def below(folder: Path) -> Iterator[Path]:
    """All files, links and folders below a folder, however deep they nest, each after the folder it lies in.

    Links are not followed, and what may not be looked into is passed over; missing is fine.
    """
    left = [folder]
    while left:
        place = left.pop()
        with contextlib.suppress(PermissionError, FileNotFoundError, NotADirectoryError), os.scandir(place) as entries:
            for entry in entries:
                path = place / entry.name
                if entry.is_dir(follow_symlinks=False):
                    left.append(path)
                yield path


#: A pipe is opened without waiting for who writes to it.
_READ = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


def open_regular(path: Path) -> tuple[int, os.stat_result]:
    """A descriptor to read `path` by, which whoever asks closes, and what the system says of the file.

    Raises:
        OSError: It cannot be opened, or is a folder, a pipe or a device.
    """
    descriptor = os.open(path, _READ)
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is not a regular file")
    return descriptor, status


def read_regular(path: Path, most: int) -> bytes:
    """All of a file that should be small.

    Args:
        path: The file.
        most: How many bytes it may have.

    Raises:
        OSError: It has more, cannot be read, or is a folder, a pipe or a device.
    """
    descriptor, status = open_regular(path)
    with os.fdopen(descriptor, "rb") as file:
        content = file.read(most + 1) if status.st_size <= most else b""
    if status.st_size > most or len(content) > most:  # it may have grown meanwhile
        raise OSError(errno.EFBIG, f"it has more than {most} bytes")
    return content


def loads(content: bytes) -> object:
    """What `content` says.

    Raises:
        ValueError: It is no JSON, or too deep.
    """
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        if not (b"Infinity" in content or b"NaN" in content):
            raise
    try:
        return json.loads(content)
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error


#: No real configuration comes near this size in bytes.
MAX_CONFIG = 2**20

_HINT = "Fetch the folder again."


def read_object(path: Path, root: Path, most: int = MAX_CONFIG) -> dict[str, Any]:
    """Read one JSON object of a model folder.

    Args:
        path: The file.
        root: The model's folder: a link that leads out of it is not followed, unless into the Hub cache's own blobs.
        most: Its greatest size in bytes.

    Raises:
        UnusableError: There is none, it is too large, damaged, or a link to elsewhere.
    """
    try:
        found = loads(read_bytes(path, root, most))
    except ValueError as error:
        raise UnusableError(f"{path} cannot be read: {error}.", _HINT) from error
    if not isinstance(found, dict):
        raise UnusableError(f"{path} is not a JSON object.", _HINT)
    return found


def read_bytes(path: Path, root: Path, most: int) -> bytes:
    """Read a whole file of a model folder.

    Raises:
        UnusableError: There is none, it is too large, or a link to elsewhere.
    """
    try:
        if not _is_within(path, root):
            raise UnusableError(
                f"{path} is a link that leads out of its folder, and is not followed.", "Put the file itself there."
            )
        descriptor, status = open_regular(path)
        with os.fdopen(descriptor, "rb") as file:
            content = file.read(most + 1) if status.st_size <= most else b""
    except (OSError, RuntimeError) as error:  # a loop of links is the latter
        why = getattr(error, "strerror", None) or str(error)
        raise UnusableError(f"{path} cannot be read: {why}.", _HINT) from error
    if len(content) > most or (status.st_size and not content):
        raise UnusableError(f"{path} is too large: more than {most} bytes.", _HINT)
    return content


def _is_within(path: Path, root: Path) -> bool:
    """Whether a file is where its folder is; the Hub's cache keeps a snapshot's files as links to its blobs."""
    if path.is_relative_to(root) and ".." not in (parts := path.relative_to(root).parts):
        below = [root.joinpath(*parts[:number]) for number in range(1, len(parts) + 1)]
        if not any(map(os.path.islink, below)):  # as most are: no need to look at all that is above
            return True
    found, top = path.resolve(), root.resolve()
    if found.is_relative_to(top):
        return True
    snapshots = next((parent for parent in (top, *top.parents) if parent.name == "snapshots"), None)
    return snapshots is not None and found.is_relative_to(snapshots.parent / "blobs")


def write_json(path: Path, config: Mapping[str, Any]) -> None:
    """Write a configuration, with the folder that it is in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(config, indent=2), "utf-8")  # as Python writes it: some numbers are without end


#: Limit on a name's length in bytes of UTF-8; leaves room for a number, a suffix and a temporary mark.
MAX_BYTES = 120

#: What a name becomes of which nothing is left.
NAMELESS = "asset"

#: Characters that some filesystem or shell takes for something else.
_SEPARATORS = re.compile(r'[<>:"/\\|?*]')

#: Devices of Windows, whatever suffix follows.
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(?= *(\.|$))", re.IGNORECASE)


#: What most names are: nothing about them is to be mended.
_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,100}[A-Za-z0-9_-]", re.ASCII)

#: For whole paths.
_UNSAFE_CHARACTER = re.compile(r"[\x00-\x1f\x7f\\\ud800-\udfff]")
_DRIVE = re.compile(r"[A-Za-z]:")
_LONGEST_PATH = 1000


def safe_name(text: str) -> str:
    """A file or folder name like `text` that every filesystem takes, and no shell or program misreads.

    No separators, control or invisible characters, no dots or dashes in front, no dots or blanks
    at the end, no device names of Windows; in Unicode's composed form, never empty.
    """
    if _PLAIN.fullmatch(text) and not _RESERVED.match(text):
        return text
    seen = "".join(map(_visible, visible(text)))
    name = _SEPARATORS.sub("-", unicodedata.normalize("NFC", seen))
    name = " ".join(name.split()).lstrip(".- ")
    name = _RESERVED.sub(r"\1_", name, count=1) if _RESERVED.match(name) else name
    return _shorten(name, MAX_BYTES - 1) or NAMELESS


def _visible(character: str) -> str:
    category = unicodedata.category(character)
    if category.startswith("Z"):
        return " "
    return " " if character in "\t\n\r" else "" if category.startswith("C") else character


def _shorten(name: str, limit: int) -> str:
    return name.encode()[:limit].decode(errors="ignore").rstrip(". ")


def clashing(paths: Iterable[str]) -> str | None:
    """The first of some relative paths that could not lie beside the others everywhere; `None` if all could.

    It is there twice, differs from another in case or in Unicode's form alone, or would lie in what is a file.
    """
    files: set[str] = set()
    folders: dict[str, str] = {}
    for path in paths:
        same = _same(path)
        *above, _ = accumulate(path.split("/"), "{}/{}".format)
        if (
            same in files
            or same in folders
            or any(_same(folder) in files or folders.setdefault(_same(folder), folder) != folder for folder in above)
        ):
            return path
        files.add(same)
    return None


def _same(path: str) -> str:
    """What is equal for paths that some filesystem takes for one."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", path).casefold())


def safe_path(path: str, where: str) -> str:
    """`path` itself, if it stays below whatever folder it is put into.

    Args:
        path: A relative path from outside.
        where: What it came from, for the message.

    Raises:
        RefusedFileError: It is absolute, climbs, or names a drive or something invisible.
    """
    parts = path.split("/")
    if (
        _UNSAFE_CHARACTER.search(path)
        or hidden_in(path, prose=True)
        or len(path) > _LONGEST_PATH
        or any(part in ("", ".", "..") or _DRIVE.match(part) for part in parts)
    ):
        raise RefusedFileError(
            f"{where} has a file by the unsafe name {path[:200]!r}.",
            "Such a name could write outside the folder it is meant for: report the repository, and do not use it.",
        )
    return path
