"""Kinds and families, found by their place or by the entry points of an installed package, and asked for by name."""

from __future__ import annotations

import pkgutil
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from itertools import pairwise
from typing import TYPE_CHECKING, TypeVar

from assetctl.errors import UsageError
from assetctl.identify import families as family_files
from assetctl.identify import kinds as kind_files
from assetctl.identify.features import Family, Kind

if TYPE_CHECKING:
    from assetctl.types import Asset

_Plugin = TypeVar("_Plugin", Kind, Family)


@cache
def kinds() -> tuple[Kind, ...]:
    """All kinds, ours and third parties', by name.

    Raises:
        UsageError: A third party's cannot be loaded.
    """
    ours = [module.KIND for module in map(import_module, _modules(kind_files.__name__, list(kind_files.__path__)))]
    return _unique([*ours, *_third_party("assetctl.kinds", Kind)])


@cache
def families() -> tuple[Family, ...]:
    """All families, ours and third parties', by name.

    Raises:
        UsageError: A third party's cannot be loaded.
    """
    places = _modules(family_files.__name__, list(family_files.__path__))
    ours = [module.FAMILY for module in map(import_module, places)]
    return _unique([*ours, *_third_party("assetctl.families", Family)])


@cache
def family_called(name: str | None) -> Family | None:
    """What is known of the family of this name; `None` of one that nobody brought, and of none.

    Raises:
        UsageError: A third party's cannot be loaded.
    """
    if name is None:
        return None
    place = f"{family_files.__name__}.{name.replace('-', '_')}"
    if name.replace("-", "_").isidentifier() and find_spec(place) is not None:
        family = getattr(import_module(place), "FAMILY", None)
        if isinstance(family, Family) and family.name == name:
            return family
    return next((family for family in _third_party("assetctl.families", Family) if family.name == name), None)


def assumed_prediction(checkpoint: Asset) -> str | None:
    """What a checkpoint is taken to predict that does not say it: nothing in the tensors of some families tells."""
    family = family_called(checkpoint.family)
    if family is None or checkpoint.format == "diffusers" or checkpoint.prediction is not None:
        return None
    return family.assumed_prediction


def strange_lineages(checkpoint: Asset) -> tuple[str, ...]:
    """Base models in lower case whose LoRAs and embeddings work with a checkpoint in part: of other lineages."""
    family = family_called(checkpoint.family)
    known = {} if family is None else {name.lower(): lineage for name, lineage in family.lineage.items()}
    own = known.get((checkpoint.base_model or "").lower())
    if family is None or own is None:
        return ()
    return tuple(name for name, lineage in known.items() if lineage not in (own, *family.descent.get(own, ())))


def sharing_latents(name: str | None) -> tuple[str, ...]:
    """Names of the other families whose latents are the same, so that they share VAEs."""
    family = family_called(name)
    if family is None:
        return ()
    return tuple(each.name for each in families() if each.latent_spaces & family.latent_spaces and each.name != name)


def driven_families() -> tuple[str, ...]:
    """Names of the families that can be generated with."""
    return tuple(family.name for family in families() if family.driven is not None)


def _modules(package: str, folders: list[str]) -> list[str]:
    return [f"{package}.{module.name}" for module in pkgutil.iter_modules(folders)]


def _third_party(group: str, wanted: type[_Plugin]) -> list[_Plugin]:
    from importlib.metadata import entry_points  # noqa: PLC0415 - 30 ms, which a family of our own does without

    found = []
    for entry in entry_points(group=group):
        hint = f"Update or uninstall the package that provides it: {entry.value}."
        try:
            plugin = entry.load()
        except (ImportError, AttributeError) as error:
            raise UsageError(f"The plug-in {entry.name} of {group} cannot be loaded: {error}.", hint) from error
        if not isinstance(plugin, wanted):
            raise UsageError(f"The plug-in {entry.name} of {group} is no {wanted.__name__}.", hint)
        found.append(plugin)
    return found


def _unique(plugins: list[_Plugin]) -> tuple[_Plugin, ...]:
    by_name = {plugin.name: plugin for plugin in plugins}
    if len(by_name) < len(plugins):
        names = sorted(plugin.name for plugin in plugins)
        twice = next(name for name, following in pairwise(names) if name == following)
        raise UsageError(f"Two plug-ins are named {twice}.", "Uninstall one of the packages that provide it.")
    return tuple(by_name[name] for name in sorted(by_name))
