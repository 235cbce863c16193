"""Selections by what stands in each role."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from assetctl.catalog import GenerationEntry
from assetctl.request import PlannedUse
from assetctl.types import Asset, AssetUse, Selection

if TYPE_CHECKING:
    from collections.abc import Iterable


def lora_use(asset: Asset, weight: float = 1.0) -> AssetUse:
    return AssetUse("lora", asset, weight)


def selection_of(
    checkpoint: Asset | None = None,
    loras: Iterable[AssetUse] = (),
    embeddings: Iterable[Asset] = (),
    vae: Asset | None = None,
    prompt: str | None = None,
    negative_prompt: str | None = None,
    *,
    controlnets: Iterable[Asset] = (),
    **settings: Any,
) -> Selection:
    roles = {
        "checkpoint": [checkpoint] if checkpoint else [], "embedding": embeddings, "vae": [vae] if vae else [],
        "controlnet": controlnets,
    }  # fmt: skip
    uses = [AssetUse(role, asset) for role, assets in roles.items() for asset in assets]
    return Selection((*uses, *loras), prompt, negative_prompt, settings)


def picture_entry(
    prompt: str = "a cat",
    loras: Iterable[AssetUse] = (),
    negative_prompt: str = "",
    *,
    path: str = "/x.png",
    sha256: str = "cd" * 32,
    record: dict[str, object] | None = None,
    **settings: Any,
) -> GenerationEntry:
    """One picture that was made, for the catalog to keep."""
    usual = {"steps": 20, "cfg_scale": 7.0, "sampler": "Euler a", "seed": 1, "width": 64, "height": 64, "clip_skip": 1}
    uses = [PlannedUse.of(use) for use in loras]
    return GenerationEntry(uses, prompt, negative_prompt, usual | settings, path, sha256, record or {})
