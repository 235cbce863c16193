"""Discovery: a kind or family is found by its place, or by the entry points of an installed package.

Third parties name theirs in `[project.entry-points."assetctl.kinds"]` or `."assetctl.families"`, each pointing
at a `Kind` or a `Family`.
"""

from __future__ import annotations

import pkgutil
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from itertools import pairwise
from typing import TypeVar

from assetctl.errors import UsageError
from assetctl.identify import families as family_files
from assetctl.identify import kinds as kind_files
from assetctl.identify.features import Family, Kind

_Plugin = TypeVar("_Plugin", Kind, Family)


@cache
def kinds() -> tuple[Kind, ...]:
    """All kinds, ours and third parties', by name.

    Raises:
        UsageError: A third party's can not be loaded.
    """
    ours = [module.KIND for module in map(import_module, _modules(kind_files.__name__, list(kind_files.__path__)))]
    return _unique([*ours, *_third_party("assetctl.kinds", Kind)])


@cache
def families() -> tuple[Family, ...]:
    """All families, ours and third parties', by name.

    Raises:
        UsageError: A third party's can not be loaded.
    """
    places = _modules(family_files.__name__, list(family_files.__path__))
    ours = [module.FAMILY for module in map(import_module, places)]
    return _unique([*ours, *_third_party("assetctl.families", Family)])


def _modules(package: str, folders: list[str]) -> list[str]:
    return [f"{package}.{module.name}" for module in pkgutil.iter_modules(folders)]


def _third_party(group: str, wanted: type[_Plugin]) -> list[_Plugin]:
    found = []
    for entry in entry_points(group=group):
        hint = f"Update or uninstall the package that provides it: {entry.value}."
        try:
            plugin = entry.load()
        except (ImportError, AttributeError) as error:
            raise UsageError(f"The plug-in {entry.name} of {group} can not be loaded: {error}.", hint) from error
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
