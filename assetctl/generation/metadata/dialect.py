"""Dialects, found by their place: every module in `dialects/` offers one as `DIALECT`."""

from __future__ import annotations

import pkgutil
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from assetctl.generation.metadata.parameters import PictureParameters


@dataclass(frozen=True, slots=True)
class Dialect:
    """One program's way to write parameters into a picture.

    Attributes:
        name: The program's.
        rank: Lower ones are asked first; the first answer counts.
        read: From a picture's texts by name (see `read_texts`) what they say, or `None` if they are not of this
            dialect. It must take anything and raise nothing.
    """

    name: str
    rank: int
    read: Callable[[Mapping[str, str]], PictureParameters | None]


@cache
def dialects() -> tuple[Dialect, ...]:
    """All dialects in the order in which they are asked."""
    from assetctl.generation.metadata import dialects as folder  # noqa: PLC0415 - its files import this module

    names = (module.name for module in pkgutil.iter_modules(folder.__path__))
    found: list[Dialect] = [import_module(f"{folder.__name__}.{name}").DIALECT for name in names]
    return tuple(sorted(found, key=lambda each: (each.rank, each.name)))
