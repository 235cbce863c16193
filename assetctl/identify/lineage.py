"""Lineages inside a family, which no tensor shows: what a trainer wrote first, then a title, then the file's name."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from assetctl.identify import metadata
from assetctl.types import Evidence

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from assetctl.identify.features import Family

#: Kinds that are what their names say: a LoRA's name says what it shows, and Pony may be a pony.
_WHOLE = frozenset({"checkpoint", "diffusion-model"})

_DISTILLED = re.compile(r"turbo|lightning|hyper|lcm", re.IGNORECASE)

#: Names of LoRAs that distil and do nothing else: `sdxl_lightning_4step`, `lcm-lora-sdxl`, `sd_xl_turbo_lora_v1`.
#: A word alone is none: lightning bolts and cars have LoRAs as well.
_MODEL = r"(?:[-_ .\d]|sd|xl|v)*+"
_DISTILS = re.compile(
    rf"(?<![a-z])lcm[-_ ]?lora|lora[-_ ]lcm(?![a-z])"
    rf"|(?:turbo|lightning|hyper|lcm){_MODEL}(?:(?<=\d)|(?<=\d[-_ ]))steps?(?![a-z])"
    rf"|\A{_MODEL}(?:turbo|lightning|hyper|lcm){_MODEL}lora(?![a-z])"
)


def lineage(family: Family, kind: str, said: Mapping[str, str], name: str) -> Evidence | None:
    """The base model that a file of this kind names, and where; `name` is that of the file."""
    for key, text in metadata.trained_on(said):
        base_model = _named(family.lineages, text)
        if base_model is not None:
            return Evidence("metadata", f"base_model={base_model}", f"{key} is {text!r}")
    for source, what, text in _called(said, name):
        base_model = _own_lineage(family, kind, text)
        if base_model is not None:
            return Evidence(source, f"base_model={base_model}", f"{what} is {text!r}")
    return None


def _called(said: Mapping[str, str], name: str) -> Iterator[tuple[str, str, str]]:
    """What a file is called: the source, what of it that is, and the words in lower case."""
    yield "metadata", "modelspec.title", metadata.clean(said.get("modelspec.title", "")).lower()
    yield "file name", "its name", metadata.clean(name).lower()


def _own_lineage(family: Family, kind: str, text: str) -> str | None:
    """The lineage of what is called so; of LoRAs, only of those that make of a model what a distilled one is."""
    if kind in _WHOLE:
        return _named(family.lineages, text)
    if kind == "lora" and _DISTILLED.search(text) and _DISTILS.search(text):  # the first is short, and seldom true
        found = (base for pattern, base in family.lineages if _DISTILLED.search(base) and re.search(pattern, text))
        return next(found, None)
    return None


@lru_cache(maxsize=1024)
def _named(lineages: tuple[tuple[str, str], ...], text: str) -> str | None:
    return next((base_model for pattern, base_model in lineages if re.search(pattern, text)), None)
