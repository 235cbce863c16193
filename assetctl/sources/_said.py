"""What answers of others hold: of the kind that is wanted, or nothing. Whoever reads so is surprised by no answer."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from assetctl.addresses import redacted
from assetctl.files.disk import LARGEST_FILE

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Characters of a text that is kept.
_LONGEST = 200


def text(said: object) -> str | None:
    """A short text that can be shown."""
    return said.strip()[:_LONGEST] or None if isinstance(said, str) and said.isprintable() else None


def misspelt(reference: str) -> str:
    """A reference that is no address, and may have been meant as one, without the name and password in it."""
    shown = re.sub(r"(?is)^(\s*https?:[/\\]*).*@", r"\1***@", reference)
    return redacted(shown)[:_LONGEST]


def texts(said: object) -> list[str]:
    """The texts of a list."""
    return [item for item in said if isinstance(item, str)] if isinstance(said, list) else []


def number(said: object) -> int | None:
    """A whole number from 0 on, which every database takes."""
    return said if type(said) is int and 0 <= said < 2**63 else None


def size(said: object) -> int | None:
    """How many bytes a file has, if it can have so many."""
    bytes_ = number(said)
    return bytes_ if bytes_ is not None and bytes_ <= LARGEST_FILE else None


def dictionary(said: object) -> Mapping[str, Any]:
    """A JSON object; empty, where it is none."""
    return said if isinstance(said, dict) else {}


def dictionaries(said: object) -> list[dict[str, Any]]:
    """The JSON objects of a list."""
    return [item for item in said if isinstance(item, dict)] if isinstance(said, list) else []
