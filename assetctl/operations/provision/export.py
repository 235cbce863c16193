"""Export: a manifest of what the catalog has, or of one selection."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from assetctl.errors import UsageError
from assetctl.manifest import Manifest, Wanted, write_manifest
from assetctl.manifest.manifest import NAMING
from assetctl.request import Request, Use
from assetctl.sources import exact_reference, is_source
from assetctl.types import can_be_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from assetctl.operations.workspace import Workspace
    from assetctl.run import Run
    from assetctl.types import Asset, Origin

_OVERRIDES = ("kind", "family", "base_model", "trigger_words")


@dataclass(frozen=True, slots=True)
class Export:
    """The text of a manifest, assets that came from nowhere but a path of this machine, and those not known by a hash.

    A hash is that of a file: what lies beside that is not known by it.
    """

    text: str
    local: tuple[str, ...]
    unhashed: tuple[str, ...] = ()
    path: Path | None = None


def export(
    workspace: Workspace,
    names: Sequence[str],
    run: Run,
    *,
    recipe: str | None = None,
    base: Path | None = None,
) -> Export:
    """Write a manifest of the named assets, or of all; `recipe` makes a recipe of them too.

    What a person set or took away is written down; what the file says of itself is not. An asset goes by its hash
    where one is known, so that a source that has something else now is found out. A path below `base`, the folder that
    the manifest is to lie in, is written as it counts from there.

    Raises:
        NotFoundError, AmbiguousNameError: A name.
        UsageError: The recipe cannot be called so.
        Cancelled: The run is.
    """
    if recipe is not None and not can_be_name(recipe):
        raise UsageError(f"{recipe!r} cannot be a recipe's name.", NAMING)
    read = workspace.catalog.read
    assets = [read.find(name) for name in names] if names else read.assets()
    wanted = tuple(_wanted(workspace, asset, base, run) for asset in assets)
    local = tuple(item.name for item in wanted if item.source.startswith(("/", "~")) or item.source[1:3] == ":\\")
    recipes = {} if recipe is None else {recipe: _recipe(assets)}
    unhashed = tuple(item.name for item in wanted if item.name in local and not _is_known(item))
    return Export(write_manifest(Manifest(wanted, recipes)), local, unhashed)


def _is_known(item: Wanted) -> bool:
    """Whether an asset of this machine is known by its hash, as a whole."""
    return item.sha256 is not None and not os.path.lexists(Path(item.source).with_suffix(".config"))


def _wanted(workspace: Workspace, asset: Asset, base: Path | None, run: Run) -> Wanted:
    run.check()
    details = workspace.catalog.read.details(asset)
    said = {field: value for field, value in details.overrides.items() if field in _OVERRIDES}
    words = said.pop("trigger_words", None)
    texts = {field: str(value or "") for field, value in said.items()}
    return Wanted(
        asset.name,
        _reference(workspace, asset, details.origin, base),
        sha256=asset.sha256 if asset.format != "diffusers" else None,
        trigger_words=tuple(map(str, words)) if isinstance(words, (list, tuple)) else None,
        tags=asset.tags,
        default_weight=asset.default_weight,
        notes=asset.notes,
        **texts,
    )


def _reference(workspace: Workspace, asset: Asset, origin: Origin | None, base: Path | None) -> str:
    """Where an asset came from, pinned where the source's way of writing can."""
    if origin is None or origin.source == "path" or not is_source(origin.source, workspace.settings):
        return asset.path if base is None else _from(base, asset.path)
    return exact_reference(origin, workspace.settings)


def _from(base: Path, path: str) -> str:
    """A path as it counts from a folder, if it lies below it, links followed."""
    place, folder = Path(os.path.realpath(path)), Path(os.path.realpath(base))
    return f"./{place.relative_to(folder).as_posix()}" if place.is_relative_to(folder) else path


def _recipe(assets: Sequence[Asset]) -> Request:
    roles = ("checkpoint", "lora", "embedding", "vae")
    uses = [Use(role, asset.name) for role in roles for asset in assets if asset.kind == role]
    single = {role: [use for use in uses if use.role == role][:1] for role in ("checkpoint", "vae")}
    return Request(tuple(use for use in uses if use in single.get(str(use.role), uses)))
