"""Where bytes come from: each module here with a function `source(settings)` is one source.

Sources of others are found by the entry point group `assetctl.sources`, which names such functions. Tokens for
all of them come from the environment or the system's keyring, which also keeps them.
"""

from __future__ import annotations

import contextlib
import os
import shlex
from functools import cache
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import TYPE_CHECKING, TypeVar

from assetctl.errors import StorageError, UnauthorizedError, UsageError
from assetctl.sources.base import Accountable, Confinable, Exact, Pinning, cancellable, misspelt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
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


def find_source(reference: str, settings: Settings, *, paths: bool = True) -> Source:
    """The source in whose way `reference` is written.

    Args:
        reference: As somebody wrote it.
        settings: The settings in force.
        paths: Whether files of this machine are meant too. Without, nothing here is looked at, so that nobody elsewhere
            is told what lies on the disk; nor is anything asked that only machines near this one can reach.

    Raises:
        UsageError: It is written in no source's way.
    """
    for module in _modules():
        is_bare = not paths and hasattr(module, "is_bare") and module.is_bare(reference)
        if is_bare or reference.lower().startswith(getattr(module, "SCHEMES", ())):
            made: Source = module.source(settings)
            return made
    for make in _sources():
        source = make(settings)
        if not paths and source.name == "path":
            continue
        try:
            accepted = source.accepts(reference)
        except ValueError:  # `https://[`
            raise UsageError(f"{misspelt(reference)!r} is not a usable address.", _FORMS) from None
        if accepted:
            from assetctl.sources.url import UrlSource  # noqa: PLC0415 - it is one of those that were just found

            if isinstance(source, UrlSource):
                source.is_public = not (paths or settings.pull_private)
            return source
    if not paths:
        message = f"{misspelt(reference)!r} names no source, and files of this machine are not fetched over HTTP."
        raise UsageError(message, "Upload a file: POST /v1/assets. Elsewhere: hf://ORG/REPO[/FILE], civitai:MODEL.")
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


def is_source(name: str, settings: Settings) -> bool:
    """Whether there is a source of this name, which can be asked again; an upload came from none."""
    return any(make(settings).name == name for make in _sources())


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


#: Under this name the keyring shows our entries to people.
_ENTRY = "assetctl"

#: Where each source's token is looked for first.
VARIABLES = {"civitai": "CIVITAI_API_TOKEN", "huggingface": "HF_TOKEN"}


def find_token(source: str) -> tuple[str, str] | None:
    """The token for a source and where it is from, or `None`.

    Raises:
        UnauthorizedError: It has characters that cannot be sent.
    """
    variable = VARIABLES[source]
    token, where = os.environ.get(variable, "").strip(), variable
    if not token:
        token, where = _kept(source) or "", "the system's keyring"
    return (checked_token(token, where), where) if token else None


def checked_token(token: str, where: str) -> str:
    """`token`, if it can be one; it is not repeated in the message otherwise.

    Raises:
        UnauthorizedError: It has characters that cannot be sent.
    """
    if not token.isascii() or not token.isprintable() or " " in token:
        raise UnauthorizedError(f"The token of {where} has characters that no token has.", f"Mend {where}.")
    return token


def keep_token(source: str, token: str) -> None:
    """Put a token into the system's keyring.

    Raises:
        StorageError: There is no keyring, or it refuses.
    """
    import keyring  # noqa: PLC0415 - 100 ms that only logins pay
    from keyring.errors import KeyringError  # noqa: PLC0415

    try:
        keyring.set_password(_ENTRY, source, token)
    except KeyringError as error:
        raise StorageError(
            "There is no keyring on this machine that could keep the token.",
            f"Set {VARIABLES[source]} instead: nothing was kept.",
        ) from error
    if _ask(source) != token:  # the null keyring takes everything and keeps nothing
        raise StorageError("The keyring of this machine did not keep the token.", f"Set {VARIABLES[source]} instead.")
    note = _note(source)
    try:
        note.parent.mkdir(parents=True, exist_ok=True)
        note.touch()
    except OSError as error:
        forget_token(source)  # nobody would ask for it
        message = f"{note} cannot be written: {error.strerror}."
        raise StorageError(message, f"Set {VARIABLES[source]} instead: nothing was kept.") from error
    _kept.cache_clear()


def forget_token(source: str) -> bool:
    """Whether the keyring had a token, which is gone now."""
    import keyring  # noqa: PLC0415 - as above
    from keyring.errors import KeyringError  # noqa: PLC0415

    had = _ask(source) is not None
    with contextlib.suppress(KeyringError):
        keyring.delete_password(_ENTRY, source)
    with contextlib.suppress(OSError):
        _note(source).unlink(missing_ok=True)
    _kept.cache_clear()
    return had


@cache
def _kept(source: str) -> str | None:
    """What the keyring has, if it was ever given something."""
    return _ask(source) if os.path.exists(_note(source)) else None  # noqa: PTH110 - a folder that is closed has none


def _ask(source: str) -> str | None:
    """What the keyring has; a machine without one has nothing."""
    import keyring  # noqa: PLC0415 - as above

    try:
        return keyring.get_password(_ENTRY, source) or None
    except Exception:  # noqa: BLE001 - none, locked or broken: what is for everyone must come all the same
        return None


def _note(source: str) -> Path:
    """The empty file that says that the keyring has a token for a source."""
    import platformdirs  # noqa: PLC0415 - as above

    return Path(platformdirs.user_config_dir("assetctl", appauthor=False)) / "logins" / source


def where_else(source: str) -> str | None:
    """Where else a source's own tools keep a token, if they do: the Hub's client has a login of its own."""
    if source != "huggingface":
        return None
    from huggingface_hub import get_token  # noqa: PLC0415 - costs 200 ms

    return "a login of the Hub's own tools" if get_token() else None
