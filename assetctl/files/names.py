"""Names from outside, made fit for any filesystem."""

from __future__ import annotations

import re
import unicodedata

#: Limit on a name's length in bytes of UTF-8; leaves room for a number, a suffix and a temporary mark.
MAX_BYTES = 120

#: What a name becomes of which nothing is left.
NAMELESS = "asset"

#: Characters that some filesystem or shell takes for something else.
_SEPARATORS = re.compile(r'[<>:"/\\|?*]')

#: Devices of Windows, whatever suffix follows.
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(?= *(\.|$))", re.IGNORECASE)


def safe_name(text: str) -> str:
    """A file or folder name like `text` that every filesystem takes, and no shell or program misreads.

    No separators, control or invisible characters, no dots or dashes in front, no dots or blanks
    at the end, no device names of Windows; in Unicode's composed form, never empty.
    """
    visible = "".join(map(_visible, text))
    name = _SEPARATORS.sub("-", unicodedata.normalize("NFC", visible))
    name = _shorten(" ".join(name.split()).lstrip(".- "), MAX_BYTES - 1)
    return _RESERVED.sub(r"\1_", name, count=1) if _RESERVED.match(name) else name or NAMELESS


def _visible(character: str) -> str:
    category = unicodedata.category(character)
    if category.startswith("Z"):
        return " "
    return " " if character in "\t\n\r" else "" if category.startswith("C") else character


def _shorten(name: str, limit: int) -> str:
    return name.encode()[:limit].decode(errors="ignore").rstrip(". ")
