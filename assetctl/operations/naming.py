"""Names of assets: what a person types, so nothing that a shell or a prompt would trip over."""

from __future__ import annotations

import os
import re
import unicodedata
from typing import TYPE_CHECKING

from assetctl.asset_names import SPECIAL
from assetctl.errors import UsageError
from assetctl.store import safe_name
from assetctl.visible import hidden_in

if TYPE_CHECKING:
    from collections.abc import Iterable

_SPECIAL = re.compile(f"[{SPECIAL}]")


def asset_name(path: str) -> str:
    """The name that an asset at `path` gets, made safe: its stem, and the suffix too of what is no safetensors file.

    So a pickle leaves the good name to the safetensors file that is made of it.
    """
    name = os.path.basename(path)  # noqa: PTH119 - thousands may be named in a row
    stem, _, suffix = name.rpartition(".")
    return safe_name(_SPECIAL.sub("-", stem if stem and suffix.lower() in ("safetensors", "sft") else name))


def checked_name(name: str) -> str:
    """`name` in Unicode's composed form, if an asset can be called so.

    Raises:
        UsageError: It is empty, or has characters that a prompt or a path would trip over.
    """
    safe = safe_name(_SPECIAL.sub("-", name))
    if unicodedata.normalize("NFC", name) != safe:
        hint = f"Leave out slashes, colons, angle brackets and control characters: {safe!r}."
        raise UsageError(f"{name!r} can not be an asset's name.", hint)
    return safe


def checked_words(words: Iterable[str]) -> tuple[str, ...]:
    """Tags or trigger words without repetition, whatever their case.

    Raises:
        UsageError: One is empty, or holds control characters.
    """
    unique: dict[str, str] = {}
    for word in words:
        if not word.strip() or not word.isprintable() or hidden_in(word):
            raise UsageError(f"{word!r} can not be a trigger word or a tag.", "Use words without control characters.")
        unique.setdefault(word.lower(), word)
    return tuple(unique.values())
