"""Names that a person gave, or a recipe of a manifest, become a selection of assets."""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import TYPE_CHECKING, NoReturn

from assetctl.errors import NotFoundError, UsageError
from assetctl.manifest import read_manifest
from assetctl.manifest.manifest import find_recipe
from assetctl.options import check_weight
from assetctl.prompt import parse_prompt
from assetctl.types import ROLES, AssetUse, Selection

if TYPE_CHECKING:
    from collections.abc import Sequence
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
    uses = _singled([(use, _found(read, use)) for use in request.uses])
    unknown = []
    prompts = (request.prompt, request.negative_prompt)
    for name, weight in (tag for text in prompts if text for tag in parse_prompt(text).loras):
        try:
            asset = read.find_named(name, "lora")
            if weight is not None:
                check_weight(weight, f"<lora:{name}>")
            uses.append(_weighted("lora", asset, weight))
        except NotFoundError as error:
            if not note_unknown_tags:
                raise
            unknown.append((name, error.hint or ""))
    return Selection(tuple(uses), *prompts, request.settings, tuple(unknown))


def _singled(found: Sequence[tuple[Use, AssetUse]]) -> list[AssetUse]:
    """What was found, with one checkpoint and one VAE: what a recipe names makes way, and the same may be named twice.

    Raises:
        UsageError: There are two of them.
    """
    left = list(found)
    for role, called in _SINGLE.items():
        own = any(use.role == role and not asked.yields for asked, use in left)
        there = {use.asset.id: use for asked, use in left if use.role == role and not (own and asked.yields)}
        if len(there) > 1:
            names = [use.asset.name for use in there.values()]
            told = f"{' and '.join(names)} are {len(names)} {called}, and a selection has one."
            raise UsageError(told, f"Leave out all but one: {', '.join(names)}.")
        left = [each for each in left if each[1].role != role or each[1] is there.get(each[1].asset.id)]
    return [use for _, use in left]


#: Roles of which a selection has one asset, and what several are called.
_SINGLE = {"checkpoint": "checkpoints", "vae": "VAEs"}


def alone(checkpoint: Asset, asset: Asset, settings: Settings = MappingProxyType({})) -> Selection:
    """The checkpoint with one other asset, in the place of its kind."""
    role = asset.kind if asset.kind in ROLES else "controlnet"
    return Selection((AssetUse("checkpoint", checkpoint), _weighted(role, asset, None)), settings=settings)


def _found(read: Reader, use: Use) -> AssetUse:
    try:
        asset = read.find(use.reference)
    except NotFoundError as error:
        comma = _COMMA.fullmatch(use.reference)
        if comma is None:
            raise
        typed = f"{comma['name']}:{comma['weight'].replace(',', '.')}"
        raise NotFoundError(error.message, f"A weight is written with a point, not a comma: {typed}.") from error
    role = use.role or ("checkpoint" if asset.kind == "diffusion-model" else asset.kind)
    if role not in ROLES:
        _refuse_place(asset)
    if use.weight is not None and role != "lora":
        hint = f"Name it alone: {asset.typed}."
        if asset.kind == "embedding":
            hint += f" Its token may have a weight in the prompt: ({asset.name}:1.2)."
        raise UsageError(f"{use} gives a weight to {asset.name}, but only LoRAs take weights.", hint)
    return _weighted(role, asset, use.weight)


#: A weight as half of Europe writes it.
_COMMA = re.compile(r"(?P<name>.+):(?P<weight>[+-]?\d{0,3},\d{1,9})", re.DOTALL)


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
