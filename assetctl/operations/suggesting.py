"""Suggesting: for what does not fit, the asset of the catalog that is most like it and does."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from assetctl.compat import Opened, run_rules
from assetctl.operations.selecting import alone, with_facts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from assetctl.catalog.reading import Reader
    from assetctl.operations.workspace import Workspace
    from assetctl.types import Asset, CheckReport, Finding, Selection

#: Rules whose first asset should be another one.
_REPLACEABLE = frozenset({
    "family", "kind", "embedding_width", "vae_channels", "coverage", "lineage", "prediction_mismatch", "method",
    "missing_file", "unreadable_file", "damaged_lora", "zero_weight", "format", "licence",
})  # fmt: skip

_FLAGS = {"lora": "--lora", "embedding": "--embedding", "vae": "--vae", "controlnet": "--controlnet"}

#: How many assets are looked at for each search.
_MOST = 20

#: How many of the most alike have their headers read, until one fits.
_MOST_READ = 8


def with_suggestions(workspace: Workspace, selection: Selection, report: CheckReport) -> CheckReport:
    """The report, with what fits better named in its hints, where the catalog has such a thing."""
    search = _Search(workspace, selection)
    return replace(report, findings=tuple(map(search.suggested, report.findings)))


@dataclass(frozen=True)
class _Search:
    """Looks for what fits better than parts of a selection; the checkpoint's file is read once."""

    workspace: Workspace
    selection: Selection

    @cached_property
    def opened(self) -> Opened | None:
        return None if self.selection.checkpoint is None else Opened(self.selection.checkpoint)

    @cached_property
    def roles(self) -> dict[str, tuple[str, Asset]]:
        return dict(_roles(self.selection))

    def suggested(self, finding: Finding) -> Finding:
        """The finding, whose hint names something better if there is such a thing."""
        if finding.rule not in _REPLACEABLE or not finding.assets or finding.severity == "info":
            return finding
        role, asset = self.roles.get(finding.assets[0], (None, None))
        if role is None or asset is None:
            return finding
        if role == "checkpoint":
            other, flag = self.other_checkpoint(finding.rule), "--checkpoint"
        else:
            other, flag = self.alike(role, asset, finding.rule), _FLAGS[role]
        more = [] if other is None else [f"{other.name} of your catalog fits: {flag} {other.typed}."]
        if finding.rule == "family" and role != "checkpoint":
            checkpoint = self.other_checkpoint(finding.rule)
            more += [] if checkpoint is None else [f"All would fit {checkpoint.name}: --checkpoint {checkpoint.typed}."]
        return replace(finding, hint=" ".join([*filter(None, [finding.hint]), *more])) if more else finding

    def alike(self, role: str, asset: Asset, rule: str) -> Asset | None:
        """The asset most like `asset` that no rule finds an error in, nor `rule` anything."""
        checkpoint = self.selection.checkpoint
        if checkpoint is None or checkpoint.family is None:
            return None
        taken = {each.id for each in self.selection.assets()}
        ranked = _ranked(self.workspace.catalog.read, checkpoint, role, asset)
        there = (each for each in ranked if each.id not in taken and _usable(each))
        return next(
            (each for each in islice(there, _MOST_READ) if self.fits(self.trying(each), each, rule)),
            None,
        )

    def other_checkpoint(self, rule: str) -> Asset | None:
        """A checkpoint of the one family that all other assets are of, and that fits them."""
        own = self.selection.checkpoint
        families = {asset.family for asset in self.selection.assets() if asset is not own}
        if len(families) != 1 or None in families or own is None or own.family in families:
            return None
        found = self.workspace.catalog.read.assets(kind="checkpoint", family=families.pop(), limit=_MOST)
        there = islice(filter(_usable, found), _MOST_READ)
        return next((each for each in there if self.fits(replace(self.selection, checkpoint=each), each, rule)), None)

    def trying(self, asset: Asset) -> Selection:
        """The checkpoint with this asset alone, under the same settings."""
        now = self.selection
        bare = alone(now.checkpoint, asset)
        return replace(bare, commercial=now.commercial, steps=now.steps, cfg_scale=now.cfg_scale)

    def fits(self, selection: Selection, asset: Asset, rule: str) -> bool:
        """Whether no rule has an error to tell of `asset` here, `rule` nothing at all, and `generate` applies it."""
        if selection.commercial:
            selection = with_facts(self.workspace.catalog.read, selection)
        opened = self.opened if selection.checkpoint is self.selection.checkpoint else None
        findings = run_rules(selection, opened=opened).findings
        return not any(
            asset.name in finding.assets and (finding.severity == "error" or finding.rule in (rule, "method"))
            for finding in findings
        )


def _roles(selection: Selection) -> Iterator[tuple[str, tuple[str, Asset]]]:
    if selection.checkpoint is not None:
        yield selection.checkpoint.name, ("checkpoint", selection.checkpoint)
    for use in selection.loras:
        yield use.asset.name, ("lora", use.asset)
    for asset in selection.embeddings:
        yield asset.name, ("embedding", asset)
    for asset in selection.controlnets:
        yield asset.name, ("controlnet", asset)
    if selection.vae is not None:
        yield selection.vae.name, ("vae", selection.vae)


def _ranked(read: Reader, checkpoint: Asset, kind: str, asset: Asset) -> list[Asset]:
    """Assets of this kind for this checkpoint, those most like `asset` first: by its name, its words and its tags."""
    found = [fitting for fitting, how in read.fitting(checkpoint, kind=kind, limit=_MOST) if how != "other lineage"]
    for word in sorted(_words(asset.name), key=len, reverse=True)[:3]:
        found += read.search(word, kind=kind, family=checkpoint.family, limit=_MOST)
    if checkpoint.base_model is not None:
        same = [each for each in found if each.base_model in (None, checkpoint.base_model)]
        found = same or found
    return sorted({each.id: each for each in found}.values(), key=lambda each: (-_likeness(each, asset), each.name))


def _usable(asset: Asset) -> bool:
    return asset.format in ("safetensors", "diffusers") and Path(asset.path).exists()


def _likeness(one: Asset, other: Asset) -> float:
    shared = len(_said(one) & _said(other))
    return shared + SequenceMatcher(None, one.name.lower(), other.name.lower()).ratio()


def _said(asset: Asset) -> set[str]:
    return _words(asset.name) | {word.lower() for word in (*asset.trigger_words, *asset.tags)}


def _words(name: str) -> set[str]:
    return {word for word in re.split(r"[\W_\d]+", name.lower()) if len(word) > 2}
