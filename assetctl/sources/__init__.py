"""Where bytes come from: each module here with a function `source(settings)` is one source.

Sources of others are found by the entry point group `assetctl.sources`, which names such functions.
"""

from __future__ import annotations

import shlex
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING, TypeVar

from assetctl.errors import UsageError
from assetctl.sources.base import Accountable, Confinable, Exact, Pinning, cancellable, misspelt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from types import ModuleType

    from assetctl.run import Run
    from assetctl.settings import Settings
    from assetctl.sources.base import Resolution, Source
    from assetctl.types import Origin

Ability = TypeVar("Ability")

_FORMS = (
    "Give hf://ORG/REPO[@REVISION][/FILE], ORG/REPO, civitai:MODEL[@VERSION], the address of a page or file, "
    "or the path of a file or a diffusers folder."
)


def find_source(reference: str, settings: Settings) -> Source:
    """The source in whose way `reference` is written.

    Raises:
        UsageError: It is written in no source's way.
    """
    for module in _modules():
        if reference.lower().startswith(getattr(module, "SCHEMES", ())):
            made: Source = module.source(settings)
            return made
    for make in _sources():
        source = make(settings)
        try:
            accepted = source.accepts(reference)
        except ValueError:  # `https://[`
            raise UsageError(f"{misspelt(reference)!r} is not a usable address.", _FORMS) from None
        if accepted:
            return source
    raise UsageError(f"{misspelt(reference)!r} is not something that assetctl can fetch.", _FORMS)


def resolve(source: Source, reference: str, run: Run, *, hashed: bool = False) -> Resolution:
    """What a reference stands for; with the SHA256 of every file, if they are to be `hashed` and can be unfetched.

    Raises:
        As `Source.resolve` and `Pinning.with_hashes` do.
        UsageError: Hashes are wanted of a ZIP, whose models have each its own.
        Cancelled: The run is; the source is not waited for.
    """
    with cancellable(run):
        resolution = source.resolve(reference)
        if hashed and resolution.format == "archive":
            message = f"{resolution.reference} is a ZIP of models, which are known one by one, and not as a whole."
            hint = (
                f"`assetctl pull {shlex.quote(resolution.reference)}` brings them; then `assetctl export` names each."
            )
            raise UsageError(message, hint)
        return source.with_hashes(resolution) if hashed and isinstance(source, Pinning) else resolution


def confined(source: Source, folder: Path, *, known: bool) -> Source:
    """A source that takes nothing of this machine but what lies in one folder, and the asset if its hash is `known`."""
    return source.confined(folder, known=known) if isinstance(source, Confinable) else source


def source_called(name: str, settings: Settings) -> Source:
    """The source of this name.

    Raises:
        UsageError: There is none.
    """
    for source in (make(settings) for make in _sources()):
        if source.name == name:
            return source
    raise UsageError(f"There is no source {name!r}.", "A newer assetctl, or a plug-in, knows it.")


def departure(wanted: str, said: Resolution, settings: Settings) -> str | None:
    """Which part of what somebody says a reference was resolved to does not follow from it; `None` if all does."""
    try:
        source = find_source(wanted, settings)
    except UsageError:
        return "wanted"
    if source.name != said.source:
        return "source"
    if isinstance(source, Accountable):
        try:
            return source.departure(wanted, said)
        except ValueError:  # `https://[`
            return "url"
    return None if said.reference == wanted else "reference"


def exact_reference(origin: Origin, settings: Settings) -> str:
    """The reference that brings exactly what came from there, where its source can write one; else the one it had."""
    for source in capable(Exact, settings, origin.source):
        return source.exact(origin)
    return origin.reference


def capable(ability: type[Ability], settings: Settings, called: str | None = None) -> list[Ability]:
    """The sources that can do something, one of the protocols of `base`; all, or that which goes by a name."""
    able = (source for source in (make(settings) for make in _sources()) if isinstance(source, ability))
    return [source for source in able if called is None or called.lower() in _names(source)]


def _names(source: object) -> tuple[str, ...]:
    return (str(getattr(source, "name", "")), *getattr(source, "aliases", ()))


@cache
def _modules() -> tuple[ModuleType, ...]:
    """The modules of this folder that are sources."""
    names = [found.name for found in iter_modules(__path__) if found.name[0] != "_"]
    modules = [import_module(f"{__name__}.{name}") for name in names]
    return tuple(module for module in modules if hasattr(module, "source"))


@cache
def _plugins() -> tuple[Callable[[Settings], Source], ...]:
    """Makers of others' sources; looking for them takes milliseconds, and a lockfile has thousands of addresses."""
    from importlib.metadata import entry_points  # noqa: PLC0415 - 10 ms that `import` need not pay

    return tuple(entry.load() for entry in entry_points(group="assetctl.sources"))


def _sources() -> Iterator[Callable[[Settings], Source]]:
    """Makers of sources; what would take any address comes last."""
    modules = _modules()
    yield from (module.source for module in modules if not hasattr(module, "LAST"))
    yield from _plugins()
    yield from (module.source for module in modules if hasattr(module, "LAST"))
