"""Reading a catalog of 100,000 assets, against one of 1,000: whole processes."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from measure import BIN, Row, interleaved, seconds

from assetctl.catalog import Catalog, NewAsset
from assetctl.types import AssetFile, Evidence, Identification

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SMALL, LARGE = 1_000, 100_000
_KINDS = ("lora", "lora", "lora", "lora", "lora", "lora", "embedding", "vae", "controlnet", "checkpoint")
_LINEAGES = {"sdxl": ("SDXL 1.0", "Pony", "Illustrious", None), "sd1": ("SD 1.5", None)}
_SUBJECTS = ("cat", "harbour", "portrait", "neon", "watercolour", "knight", "forest")

#: What is asked of both; `style` is in every name, `harbour` in each seventh, and the last is one asset's.
QUESTIONS = (
    ("list",),
    ("list", "--kind", "lora", "--family", "sdxl"),
    ("search", "style"),
    ("search", "harbour"),
    ("search", "00042"),
    ("list", "--fits", "style-cat-00000"),
    ("inspect", "style-portrait-00010", "--no-hash"),
)


def rows(folder: Path, runs: int = 7) -> list[Row]:
    """Each question to both catalogs in turn."""
    homes = {count: folder / str(count) for count in (SMALL, LARGE)}
    for count, home in homes.items():
        home.mkdir()
        fill(home / "catalog.db", count)

    def ask(count: int, words: tuple[str, ...]) -> float:
        return seconds([BIN / "assetctl", *words], {"ASSETCTL_HOME": str(homes[count])})

    found = []
    for words in QUESTIONS:
        large, small = interleaved(runs, partial(ask, LARGE, words), partial(ask, SMALL, words))
        found.append(Row(f"{' '.join(words)}, {LARGE:,} assets", f"{SMALL:,} assets", large, small, 1.5))
    return found


def fill(catalog: Path, count: int) -> None:
    """A catalog of this many assets that differ."""
    with Catalog(catalog) as opened, opened.write() as writer:
        writer.add(list(_entries(count)))


def _entries(count: int) -> Iterator[NewAsset]:
    for number in range(count):
        kind = "checkpoint" if number == 0 else _KINDS[number * 7 % len(_KINDS)]
        family = "sd1" if number % 3 == 1 else "sdxl"
        lineage = _LINEAGES[family][number // 3 % len(_LINEAGES[family])]
        shared = kind == "vae"
        subject = _SUBJECTS[number * 3 % len(_SUBJECTS)]
        name = f"style-{subject}-{number:05}"
        evidence = tuple(Evidence("tensors", f"family={each}", "its latents have 4 channels") for each in _LINEAGES)
        identification = Identification(
            kind=kind,
            family=None if shared else family,
            base_model=None if shared else lineage,
            format="safetensors",
            confidence="certain",
            trigger_words=(f"{subject} style", f"word{number}"),
            evidence=evidence,
        )
        path = f"/models/{kind}/{name}.safetensors"
        sha256 = f"{number * 2654435761 % 2**32:08x}" * 8
        file = AssetFile(path, 1000 + number, 1, sha256=sha256, autov3=sha256[4:16], blake3=sha256[2:] + "00")
        tags = ("kept",) if number % 50 == 0 else ()
        yield NewAsset(name, path, (file,), identification, in_store=False, sha256=sha256, tags=tags)
