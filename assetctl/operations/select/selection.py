"""Names that a person gave, or a recipe of a manifest, become a selection of assets."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, NoReturn

from assetctl.errors import NotFoundError, UsageError
from assetctl.manifest import read_manifest
from assetctl.manifest.manifest import find_recipe
from assetctl.prompt import parse_prompt
from assetctl.types import ROLES, AssetUse, Selection

if TYPE_CHECKING:
    from pathlib import Path

    from assetctl.catalog.reading import Reader
    from assetctl.options import Settings
    from assetctl.request import Request, Use
    from assetctl.types import Asset


def select(read: Reader, request: Request, *, note_unknown_tags: bool = False) -> Selection:
    """Find everything that a request names.

    A LoRA tag with a name that no asset has is an error, or only noted in the selection.

    Raises:
        NotFoundError, AmbiguousNameError: A name.
        UsageError: A weight for what takes none, or two checkpoints.
    """
    uses = [_found(read, use) for use in request.uses]
    for role in ("checkpoint", "vae"):
        several = [use.asset for use in uses if use.role == role]
        if len(several) > 1:
            _refuse_place(several[1])
    unknown = []
    prompts = (request.prompt, request.negative_prompt)
    for name, weight in (tag for text in prompts if text for tag in parse_prompt(text).loras):
        try:
            uses.append(_weighted("lora", read.find_named(name, "lora"), weight))
        except NotFoundError as error:
            if not note_unknown_tags:
                raise
            unknown.append((name, error.hint or ""))
    return Selection(tuple(uses), *prompts, request.settings, tuple(unknown))


def alone(checkpoint: Asset, asset: Asset, settings: Settings = MappingProxyType({})) -> Selection:
    """The checkpoint with one other asset, in the place of its kind."""
    role = asset.kind if asset.kind in ROLES else "controlnet"
    return Selection((AssetUse("checkpoint", checkpoint), _weighted(role, asset, None)), settings=settings)


def _found(read: Reader, use: Use) -> AssetUse:
    asset = read.find(use.reference)
    role = use.role or ("checkpoint" if asset.kind == "diffusion-model" else asset.kind)
    if role not in ROLES:
        _refuse_place(asset)
    if use.weight is not None and role != "lora":
        hint = f"Name it alone: {asset.typed}."
        if asset.kind == "embedding":
            hint += f" Its token may have a weight in the prompt: ({asset.name}:1.2)."
        raise UsageError(f"{use} gives a weight to {asset.name}, but only LoRAs take weights.", hint)
    return _weighted(role, asset, use.weight)


def _refuse_place(asset: Asset) -> NoReturn:
    hint = (
        "A selection has one checkpoint, one VAE, LoRAs, embeddings and ControlNets; `assetctl edit` sets a wrong kind."
    )
    raise UsageError(f"{asset.name} is a {asset.kind}, and there is no place for it in this selection.", hint)


def _weighted(role: str, asset: Asset, weight: float | None) -> AssetUse:
    """A weight that was not named is the asset's own, or 1; only LoRAs have one."""
    if weight is None:
        weight = 1.0 if asset.default_weight is None or role != "lora" else asset.default_weight
    return AssetUse(role, asset, weight)


def read_recipe(manifest: Path, name: str) -> Request:
    """The recipe of this name.

    Raises:
        NotFoundError: There is no manifest.
        UsageError: It makes no sense, or has no such recipe.
    """
    return find_recipe(read_manifest(manifest), name, manifest)
