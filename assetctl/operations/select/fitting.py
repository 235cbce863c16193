"""Fitting: what is like an asset of a selection and fits better, and all that fits a checkpoint."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from functools import cached_property, partial
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from assetctl.compat.check import OpenedCheckpoint, Situation, run_rules
from assetctl.errors import UsageError
from assetctl.identify.plugins import family_called, sharing_latents, strange_lineages
from assetctl.types import LOADED, ROLES, AssetUse, Selection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from assetctl.catalog.reading import Reader
    from assetctl.operations.workspace import Workspace
    from assetctl.options import Settings
    from assetctl.types import Asset, Finding, Purpose

    Fitting = tuple[Asset, str]
    #: What surrounds a checkpoint with one other asset, for a purpose.
    Surrounding = Callable[[Selection, Purpose], Situation]


def alone(checkpoint: Asset, asset: Asset, settings: Settings = MappingProxyType({})) -> Selection:
    """The checkpoint with one other asset, in the place of its kind."""
    role = asset.kind if asset.kind in ROLES else "controlnet"
    return Selection((AssetUse("checkpoint", checkpoint), AssetUse.of(role, asset)), settings=settings)


#: How many assets are looked at for each search.
_MOST = 20

#: How many of the most alike have their headers read, until one fits.
_MOST_READ = 8


#: Rules whose first asset should be another one.
REPLACEABLE = frozenset({
    "family", "kind", "embedding_width", "vae_channels", "coverage", "lineage", "prediction_mismatch", "method",
    "missing_file", "unreadable_file", "damaged_lora", "zero_weight", "format", "licence",
})  # fmt: skip


@dataclass(frozen=True)
class Search:
    """Looks for what fits better than parts of a selection; the checkpoint's file is read once.

    `surrounding` says what surrounds another selection.
    """

    read: Reader
    selection: Selection
    opened: OpenedCheckpoint | None
    surrounding: Callable[[Selection], Situation]

    @cached_property
    def _roles(self) -> dict[str, tuple[str, Asset]]:
        return {use.asset.name: (use.role, use.asset) for use in self.selection.uses}

    def suggested(self, finding: Finding) -> Finding:
        """The finding, whose hint names something better if there is such a thing."""
        if finding.rule not in REPLACEABLE or not finding.assets or finding.severity == "info":
            return finding
        role, asset = self._roles.get(finding.assets[0], (None, None))
        if role is None or asset is None:
            return finding
        if role == "checkpoint":
            other, flag = self.other_checkpoint(finding.rule), "--checkpoint"
        else:
            other, flag = self.alike(role, asset, finding.rule), f"--{role}"
        more = [] if other is None else [f"{other.name} in your catalog fits: `{flag} {other.typed}`."]
        if finding.rule == "family" and role != "checkpoint":
            checkpoint = self.other_checkpoint(finding.rule)
            more += (
                [] if checkpoint is None else [f"All of them fit {checkpoint.name}: `--checkpoint {checkpoint.typed}`."]
            )
        return replace(finding, hint=" ".join([*filter(None, [finding.hint]), *more])) if more else finding

    def alike(self, role: str, asset: Asset, rule: str) -> Asset | None:
        """The asset most like `asset` that no rule finds an error in, nor `rule` anything."""
        checkpoint = self.selection.checkpoint
        if checkpoint is None or checkpoint.family is None:
            return None
        taken = {each.id for each in self.selection.assets()}
        ranked = _ranked(self.read, checkpoint, role, asset)
        there = (each for each in ranked if each.id not in taken and _usable(each))
        settings = self.selection.settings
        tried = ((each, alone(checkpoint, each, settings)) for each in islice(there, _MOST_READ))
        return next((each for each, selection in tried if self.fits(selection, each, rule)), None)

    def other_checkpoint(self, rule: str) -> Asset | None:
        """A checkpoint of the one family that all other assets are of, and that fits them."""
        own = self.selection.checkpoint
        families = {asset.family for asset in self.selection.assets() if asset is not own}
        if len(families) != 1 or None in families or own is None or own.family in families:
            return None
        found = self.read.assets(kind="checkpoint", family=families.pop(), limit=_MOST)
        there = islice(filter(_usable, found), _MOST_READ)
        rest = tuple(use for use in self.selection.uses if use.role != "checkpoint")
        tried = ((each, replace(self.selection, uses=(AssetUse("checkpoint", each), *rest))) for each in there)
        return next((each for each, selection in tried if self.fits(selection, each, rule)), None)

    def fits(self, selection: Selection, asset: Asset, rule: str) -> bool:
        """Whether no rule has an error to tell of `asset` here, `rule` nothing at all, and `generate` applies it."""
        opened = self.opened if selection.checkpoint is self.selection.checkpoint else None
        situation = self.surrounding(selection)
        findings = run_rules(selection, situation, opened=opened).findings
        return not any(
            asset.name in finding.assets and (finding.severity == "error" or finding.rule in (rule, "method", "format"))
            for finding in findings
        )


def _ranked(read: Reader, checkpoint: Asset, kind: str, asset: Asset) -> list[Asset]:
    """Assets of this kind for this checkpoint, those most like `asset` first: by its name, its words and its tags."""
    sharing = sharing_latents(checkpoint.family)
    candidates = read.fitting(checkpoint, sharing=sharing, strange=strange_lineages(checkpoint), kind=kind, limit=_MOST)
    found = [each for each, how in candidates if how != "other lineage" and not _doubtful(each, how)]
    for word in sorted(_words(asset.name), key=len, reverse=True)[:3]:
        found += read.search(word, kind=kind, family=checkpoint.family, limit=_MOST)
    if checkpoint.base_model is not None:
        same = [each for each in found if each.base_model in (None, checkpoint.base_model)]
        found = same or found
    return sorted({each.id: each for each in found}.values(), key=lambda each: (-_likeness(each, asset), each.name))


def _usable(asset: Asset) -> bool:
    return asset.format in LOADED and Path(asset.path).exists()


def _likeness(one: Asset, other: Asset) -> float:
    shared = len(_said(one) & _said(other))
    return shared + SequenceMatcher(None, one.name.lower(), other.name.lower()).ratio()


def _said(asset: Asset) -> set[str]:
    return _words(asset.name) | {word.lower() for word in (*asset.trigger_words, *asset.tags)}


def _words(name: str) -> set[str]:
    return {word for word in re.split(r"[\W_\d]+", name.lower()) if len(word) > 2}


#: The rules that look at files, and so know more than the catalog.
_RULES = frozenset({
    "changed_file", "coverage", "damaged_lora", "embedding_numbers", "embedding_width", "family", "format", "generate",
    "method", "missing_file", "unknown_family", "unreadable_file", "vae_channels",
})  # fmt: skip


def fitting(
    workspace: Workspace,
    name: str,
    surrounding: Surrounding,
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
    read, sharing = workspace.catalog.read, sharing_latents(checkpoint.family)
    strange = strange_lineages(checkpoint)

    def ask(most: int | None) -> list[Fitting]:
        found = read.fitting(
            checkpoint, sharing=sharing, strange=strange, tags=tags, in_store=in_store, limit=most, **filters
        )
        return [each for each in found if each[0].format in (None, *LOADED)]

    opened = OpenedCheckpoint(checkpoint)
    if opened.readable:
        found = map(partial(_fit, opened, surrounding), _in_turn(ask, limit))
        return list(islice(filter(None, found), limit))
    return [each for each in ask(limit) if not _doubtful(*each)]


def looked_at(limit: int) -> int:
    """How many candidates are looked at, at most, for a list of so many."""
    return 4 * limit + 100


def _in_turn(ask: Callable[[int | None], list[Fitting]], limit: int | None) -> Iterator[Fitting]:
    """As many candidates as are wanted, and more if some of those do not fit."""
    first = ask(limit)
    yield from first
    if limit is not None and len(first) == limit:
        yield from ask(looked_at(limit))[limit:]


def _fit(opened: OpenedCheckpoint, surrounding: Surrounding, fitting: Fitting) -> Fitting | None:
    """How well a candidate fits by its header, too; `None` where `check` would refuse it. What is gone stays as it is.

    With a checkpoint that assetctl can generate with, it must be able to generate with both.
    """
    candidate, how = fitting
    if not Path(candidate.path).exists():
        return None if _doubtful(*fitting) else fitting
    findings = _findings(opened, surrounding, candidate)
    if _refused(findings, candidate) is not None:
        return None
    proven = how == "perhaps" and candidate.kind == "vae" and all(each.rule != "unknown_family" for each in findings)
    return candidate, "same latents" if proven else how


def _doubtful(asset: Asset, how: str) -> bool:
    """Whether it is taken for something else, or for nothing, and only a look into its file tells more."""
    return how == "perhaps" and asset.kind != "vae"


def _findings(opened: OpenedCheckpoint, surrounding: Surrounding, candidate: Asset) -> Sequence[Finding]:
    family, pair = family_called(opened.asset.family), alone(opened.asset, candidate)
    drawn = family is not None and family.driven is not None and candidate.kind != "controlnet"
    return run_rules(pair, surrounding(pair, "generate" if drawn else "any"), opened=opened, only=_RULES).findings


def _refused(findings: Sequence[Finding], candidate: Asset) -> Finding | None:
    """The finding for which `check` would refuse a candidate, if there is one."""
    return next((each for each in findings if each.severity == "error" and candidate.name in each.assets), None)


def misfits(workspace: Workspace, checkpoint: str, names: Iterable[str], surrounding: Surrounding) -> dict[str, str]:
    """Which of these assets do not go with a checkpoint, by their names, each with the reason that `check` gives.

    Raises:
        NotFoundError, AmbiguousNameError: A name.
    """
    read = workspace.catalog.read
    opened = OpenedCheckpoint(read.find(checkpoint))
    assets = [read.find(name) for name in names]
    found = {each.name: _refused(_findings(opened, surrounding, each), each) for each in assets if each.kind in ROLES}
    return {name: finding.message for name, finding in found.items() if finding is not None}


def _checkpoint(workspace: Workspace, name: str) -> Asset:
    """The checkpoint of this name, path or hash, whose family is known."""
    asset = workspace.catalog.read.find(name)
    if asset.kind not in ("checkpoint", "diffusion-model"):
        hint = "Name a checkpoint: `assetctl list --kind checkpoint` shows all."
        raise UsageError(f"{asset.name} is of kind {asset.kind}; only of a checkpoint can one ask what fits.", hint)
    if asset.family is None:
        hint = f"If you know it, set it: `assetctl edit {asset.typed} --family FAMILY`."
        if "family" in workspace.catalog.read.set_by_hand(asset):
            hint = f"You set it so: `assetctl edit {asset.typed} --reset family` takes that back."
        raise UsageError(f"The family of {asset.name} is unknown, so what fits it is unknown too.", hint)
    return asset
