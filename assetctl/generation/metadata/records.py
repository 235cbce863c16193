"""assetctl's own record of a picture: everything that it was made from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from assetctl.generation.metadata.infotexts import autov2, software
from assetctl.generation.metadata.values import sound

if TYPE_CHECKING:
    from collections.abc import Mapping

    from assetctl.generation.plan import Plan
    from assetctl.types import Asset


def record(plan: Plan, seed: int, environment: Mapping[str, str]) -> dict[str, Any]:
    """Everything that a picture was made from, each asset with its hashes."""
    selection = plan.selection
    used: list[tuple[str, Asset, float | None]] = []
    if selection.checkpoint is not None:
        used.append(("checkpoint", selection.checkpoint, None))
    used += [("lora", use.asset, use.weight) for use in selection.loras]
    used += [("embedding", each, None) for each in selection.embeddings]
    if selection.vae is not None:
        used.append(("vae", selection.vae, None))
    return {
        "version": 1,
        "software": software(),
        "prompt": sound(plan.prompt.text),
        "negative_prompt": sound(plan.negative_prompt.text),
        "steps": plan.steps,
        "cfg_scale": plan.cfg_scale,
        "sampler": plan.sampler,
        "seed": seed,
        "width": plan.width,
        "height": plan.height,
        "prediction": plan.prediction,
        "assets": [_asset_record(role, asset, weight) for role, asset, weight in used],
        "environment": dict(environment),
    } | ({} if plan.clip_skip == 1 else {"clip_skip": plan.clip_skip})


def _asset_record(role: str, asset: Asset, weight: float | None) -> dict[str, Any]:
    return {
        "role": role,
        "name": sound(asset.name),
        "kind": asset.kind,
        "family": asset.family,
        "base_model": asset.base_model,
        "sha256": asset.sha256,
        "autov2": autov2(asset) or None,
        "autov3": asset.autov3,
        "source": _public(asset.source),
        "trigger_words": [sound(word) for word in asset.trigger_words],
    } | ({} if weight is None else {"weight": weight})


def _public(source: str | None) -> str | None:
    """Where others could get the asset; a path would tell them of this machine, and nothing else."""
    return source if source is not None and source.startswith(("hf://", "https://", "civitai:", "urn:air:")) else None
