"""Names from outside, made fit for any filesystem."""

from __future__ import annotations

import re
import unicodedata
from itertools import accumulate
from typing import TYPE_CHECKING

from assetctl.errors import RefusedFileError
from assetctl.visible import hidden_in, visible

if TYPE_CHECKING:
    from collections.abc import Iterable

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
    name = _shorten(" ".join(name.split()).lstrip(".- "), MAX_BYTES - 1)
    return _RESERVED.sub(r"\1_", name, count=1) if _RESERVED.match(name) else name or NAMELESS


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
