"""Fitting: what can be used with a checkpoint. The catalog names candidates, and their headers are asked."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from assetctl.compat import Opened, run_rules
from assetctl.errors import UsageError
from assetctl.operations.selecting import alone

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from assetctl.operations.workspace import Workspace
    from assetctl.types import Asset

    Fitting = tuple[Asset, str]

#: The rules that read headers, and so know more than the catalog.
_RULES = frozenset({"coverage", "damaged_lora", "embedding_width", "vae_channels", "unreadable_file"})


def fitting(
    workspace: Workspace,
    name: str,
    *,
    tags: Iterable[str] = (),
    in_store: bool | None = None,
    limit: int | None = None,
    **filters: str | None,
) -> list[Fitting]:
    """What can be used with the checkpoint of this name, best first, each with how well it fits.

    What `check` would refuse is left out, and the next ones move up, as far as `looked_at` goes. What is not there
    to be read stays as the catalog has it; if that is the checkpoint, everything does.

    Raises:
        UsageError: It is no checkpoint, or nobody knows its family.
        NotFoundError, AmbiguousNameError: The name.
    """
    checkpoint = _checkpoint(workspace, name)
    read = workspace.catalog.read

    def ask(most: int | None) -> list[Fitting]:
        return read.fitting(checkpoint, tags=tags, in_store=in_store, limit=most, **filters)

    opened = Opened(checkpoint)
    if opened.readable:
        return list(islice((each for each in _in_turn(ask, limit) if _fits(opened, each[0])), limit))
    return ask(limit)


def looked_at(limit: int) -> int:
    """How many candidates are looked at, at most, for a list of so many."""
    return 4 * limit + 100


def _in_turn(ask: Callable[[int | None], list[Fitting]], limit: int | None) -> Iterator[Fitting]:
    """As many candidates as are wanted, and more if some of those do not fit."""
    first = ask(limit)
    yield from first
    if limit is not None and len(first) == limit:
        yield from ask(looked_at(limit))[limit:]


def _fits(opened: Opened, candidate: Asset) -> bool:
    """Whether no rule finds an error in the candidate's header; so too where there is no file to read."""
    selection = alone(opened.asset, candidate)
    return not Path(candidate.path).exists() or run_rules(selection, opened=opened, only=_RULES).ok


def _checkpoint(workspace: Workspace, name: str) -> Asset:
    """The checkpoint of this name, path or hash, whose family is known."""
    asset = workspace.catalog.read.find(name)
    if asset.kind not in ("checkpoint", "diffusion-model"):
        hint = "Name a checkpoint: `assetctl list --kind checkpoint` shows all."
        raise UsageError(f"{asset.name} is of kind {asset.kind}, and what fits is asked of a checkpoint.", hint)
    if asset.family is None:
        hint = f"If you know it, set it: `assetctl edit {asset.typed} --family FAMILY`."
        raise UsageError(f"The family of {asset.name} is unknown, so nobody can tell what fits it.", hint)
    return asset
