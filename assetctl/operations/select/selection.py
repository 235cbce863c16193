"""Names that a person gave, or a recipe of a manifest, become a selection of assets."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from assetctl.errors import NotFoundError, UsageError
from assetctl.generation.samplers import canonical_sampler
from assetctl.manifest import read_manifest
from assetctl.manifest.manifest import find_recipe
from assetctl.prompt import parse_prompt
from assetctl.types import Selection, WeightedAsset

if TYPE_CHECKING:
    from pathlib import Path

    from assetctl.catalog.reading import Reader
    from assetctl.manifest import Manifest, Recipe
    from assetctl.types import Asset


@dataclass(frozen=True, slots=True)
class Choice:
    """What a person chose, by name, path or hash.

    Attributes:
        names: Assets of any kind, each of which finds its own place by its kind.
        loras: Each `NAME` or `NAME:WEIGHT`; those in the prompt's `<lora:…>` tags come on top.
        prompt: `None` where there is no prompt to check against.
        commercial: Whether the pictures or the models are to be sold.
        steps: How many steps are to be made; `None` where nobody asks.
        cfg_scale: How strongly the prompt is to be followed; likewise.

    Raises:
        UsageError: One text stands where several names are taken.
    """

    checkpoint: str | None = None
    loras: tuple[str, ...] = ()
    embeddings: tuple[str, ...] = ()
    vae: str | None = None
    prompt: str | None = None
    negative_prompt: str | None = None
    names: tuple[str, ...] = field(default=())
    commercial: bool = False
    controlnets: tuple[str, ...] = ()
    steps: int | None = None
    cfg_scale: float | None = None

    def __post_init__(self) -> None:
        """Refuse one name where several are taken: it would be read letter by letter."""
        for several in ("loras", "embeddings", "names", "controlnets"):
            if isinstance(getattr(self, several), str):
                hint = f"Write {several}=({getattr(self, several)!r},)."
                raise UsageError(f"{several} takes several names, not one text.", hint)


def select(read: Reader, choice: Choice, *, note_unknown_tags: bool = False) -> Selection:
    """Find everything that was chosen.

    A LoRA tag with a name that no asset has is an error, or only noted in the selection.

    Raises:
        NotFoundError, AmbiguousNameError: A name.
        UsageError: A weight that is no number, or two checkpoints.
    """
    loras = [_weighted(read, text) for text in choice.loras]
    tags = [tag for text in (choice.prompt, choice.negative_prompt) if text for tag in parse_prompt(text).loras]
    unknown = []
    for name, weight in tags:
        try:
            loras.append(as_weighted(read.find(name), weight))
        except NotFoundError as error:
            if not note_unknown_tags:
                raise
            unknown.append((name, error.hint or ""))
    selection = Selection(
        checkpoint=None if choice.checkpoint is None else read.find(choice.checkpoint),
        loras=tuple(loras),
        embeddings=tuple(read.find(name) for name in choice.embeddings),
        vae=None if choice.vae is None else read.find(choice.vae),
        prompt=choice.prompt,
        negative_prompt=choice.negative_prompt,
        unknown_loras=tuple(unknown),
        commercial=choice.commercial,
        controlnets=tuple(read.find(name) for name in choice.controlnets),
        steps=choice.steps,
        cfg_scale=choice.cfg_scale,
    )
    selection = _with_others(read, _with_named(read, selection, choice.names))
    return with_facts(read, selection) if choice.commercial else selection


def alone(checkpoint: Asset | None, asset: Asset) -> Selection:
    """The checkpoint with one other asset, in the place of its kind."""
    selection = Selection(checkpoint)
    if asset.kind == "lora":
        return replace(selection, loras=(as_weighted(asset),))
    if asset.kind == "embedding":
        return replace(selection, embeddings=(asset,))
    return replace(selection, vae=asset) if asset.kind == "vae" else replace(selection, controlnets=(asset,))


def _with_others(read: Reader, selection: Selection) -> Selection:
    """Note which embeddings are at hand and not chosen, if there is a prompt that could name them."""
    if not (selection.prompt or selection.negative_prompt):
        return selection
    chosen = {asset.id for asset in selection.embeddings}
    others = tuple(asset for asset in read.assets(kind="embedding") if asset.id not in chosen)
    return replace(selection, others=others)


def with_facts(read: Reader, selection: Selection) -> Selection:
    """Note what the sources of all assets said of them."""
    origins = ((asset.path, read.origin(asset)) for asset in dict.fromkeys(selection.assets()))
    facts = tuple((path, origin.facts) for path, origin in origins if origin is not None and origin.facts is not None)
    return replace(selection, facts=facts)


def _weighted(read: Reader, text: str) -> WeightedAsset:
    name, weight = _split(text)
    return as_weighted(read.find(name), weight)


def _split(text: str) -> tuple[str, float | None]:
    """`NAME:WEIGHT`; only a number behind the last colon is a weight, so that paths with colons work."""
    name, _, number = text.rpartition(":")
    try:
        weight = float(number)
    except ValueError:
        return text, None
    if not name:
        return text, None
    if not math.isfinite(weight):
        raise UsageError(f"The weight of {name!r} is {number}.", "Weights are numbers, usually between 0 and 1.5.")
    return name, weight


def as_weighted(asset: Asset, weight: float | None = None) -> WeightedAsset:
    """A weight that was not named is the asset's own, or 1."""
    if weight is None:
        weight = 1.0 if asset.default_weight is None else asset.default_weight
    return WeightedAsset(asset, weight)


def _refuse_weight(asset: Asset, text: str) -> None:
    hint = f"Name it alone: {asset.typed}."
    if asset.kind == "embedding":
        hint += f" Its token may have a weight in the prompt: ({asset.name}:1.2)."
    raise UsageError(f"{text} gives a weight to {asset.name}, but only LoRAs take weights.", hint)


def _with_named(read: Reader, selection: Selection, names: tuple[str, ...]) -> Selection:
    checkpoint, vae = selection.checkpoint, selection.vae
    loras, embeddings = list(selection.loras), list(selection.embeddings)
    controlnets = list(selection.controlnets)
    for text in names:
        name, weight = _split(text)
        asset = read.find(name)
        if weight is not None and asset.kind != "lora":
            _refuse_weight(asset, text)
        if asset.kind == "lora":
            loras.append(as_weighted(asset, weight))
        elif asset.kind == "embedding":
            embeddings.append(asset)
        elif asset.kind == "controlnet":
            controlnets.append(asset)
        elif asset.kind == "vae" and vae is None:
            vae = asset
        elif asset.kind in ("checkpoint", "diffusion-model") and checkpoint is None:
            checkpoint = asset
        else:
            hint = (
                "A selection has one checkpoint, one VAE, LoRAs, embeddings and ControlNets; "
                "`assetctl edit` sets a wrong kind."
            )
            raise UsageError(f"{asset.name} is a {asset.kind}, and there is no place for it in this selection.", hint)
    return replace(
        selection,
        checkpoint=checkpoint,
        loras=tuple(loras),
        embeddings=tuple(embeddings),
        vae=vae,
        controlnets=tuple(controlnets),
    )


def wanted_in(manifest: Path) -> Manifest:
    """What a manifest wants; its recipes name samplers that there are.

    Raises:
        NotFoundError: There is no manifest.
        UsageError: It makes no sense; says in which line and key.
    """
    return read_manifest(manifest, canonical_sampler)


def read_recipe(manifest: Path, name: str) -> Recipe:
    """The recipe of this name.

    Raises:
        NotFoundError: There is no manifest.
        UsageError: It makes no sense, or has no such recipe.
    """
    return find_recipe(wanted_in(manifest), name, manifest)


def with_recipe(choice: Choice, recipe: Recipe) -> Choice:
    """What the recipe selects, and what was chosen beside it; a checkpoint, VAE or prompt of one's own counts."""
    return replace(
        choice,
        checkpoint=choice.checkpoint or recipe.checkpoint,
        loras=(*recipe.loras, *choice.loras),
        embeddings=(*recipe.embeddings, *choice.embeddings),
        vae=choice.vae or recipe.vae,
        prompt=recipe.prompt if choice.prompt is None else choice.prompt,
        negative_prompt=recipe.negative_prompt if choice.negative_prompt is None else choice.negative_prompt,
        steps=recipe.steps if choice.steps is None else choice.steps,
        cfg_scale=recipe.cfg if choice.cfg_scale is None else choice.cfg_scale,
    )
