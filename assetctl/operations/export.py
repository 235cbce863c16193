"""Export: a manifest of what the catalog has, or of one selection."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from assetctl.errors import UsageError
from assetctl.manifest import Manifest, Recipe, Wanted, write_manifest
from assetctl.manifest.manifest import NAMING, can_be_name
from assetctl.sources import exact_reference

if TYPE_CHECKING:
    from collections.abc import Sequence

    from assetctl.operations.workspace import Workspace
    from assetctl.types import Asset, Origin

_OVERRIDES = ("kind", "family", "base_model", "trigger_words")


@dataclass(frozen=True, slots=True)
class Export:
    """The text of a manifest, and assets that came from nowhere but a path of this machine."""

    text: str
    local: tuple[str, ...]


def export(workspace: Workspace, names: Sequence[str] = (), *, recipe: str | None = None) -> Export:
    """Write a manifest of the named assets, or of all; `recipe` makes a recipe of them too.

    What a person set or took away is written down; what the file says of itself is not. An asset goes by its hash
    where one is known, so that a source that has something else now is found out.

    Raises:
        NotFoundError, AmbiguousNameError: A name.
        UsageError: The recipe can not be called so.
    """
    if recipe is not None and not can_be_name(recipe):
        raise UsageError(f"{recipe!r} can not be a recipe's name.", NAMING)
    read = workspace.catalog.read
    assets = [read.find(name) for name in names] if names else read.assets()
    wanted = tuple(_wanted(workspace, asset) for asset in assets)
    local = tuple(item.name for item in wanted if item.source.startswith(("/", "~")) or item.source[1:3] == ":\\")
    recipes = {} if recipe is None else {recipe: _recipe(recipe, assets)}
    return Export(write_manifest(Manifest(wanted, recipes)), local)


def _wanted(workspace: Workspace, asset: Asset) -> Wanted:
    details = workspace.catalog.read.details(asset)
    said = {field: value for field, value in details.overrides.items() if field in _OVERRIDES}
    words = said.pop("trigger_words", None)
    texts = {field: str(value or "") for field, value in said.items()}
    return Wanted(
        asset.name,
        _reference(workspace, asset, details.origin),
        sha256=asset.sha256 if asset.format != "diffusers" else None,
        trigger_words=tuple(map(str, words)) if isinstance(words, (list, tuple)) else None,
        tags=asset.tags,
        default_weight=asset.default_weight,
        notes=asset.notes,
        **texts,
    )


def _reference(workspace: Workspace, asset: Asset, origin: Origin | None) -> str:
    """Where an asset came from, pinned where the source's way of writing can."""
    if origin is None or origin.source == "path":
        return asset.path
    return exact_reference(origin, workspace.settings)


def _recipe(name: str, assets: Sequence[Asset]) -> Recipe:
    def named(kind: str) -> tuple[str, ...]:
        return tuple(asset.name for asset in assets if asset.kind == kind)

    first = {kind: next(iter(named(kind)), None) for kind in ("checkpoint", "vae")}
    return Recipe(name, first["checkpoint"], named("lora"), named("embedding"), first["vae"])
