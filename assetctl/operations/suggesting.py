"""Suggesting: for what does not fit, the asset of the catalog that is most like it and does."""

from __future__ import annotations

import re
from dataclasses import replace
from difflib import SequenceMatcher
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from assetctl.operations.workspace import Workspace
    from assetctl.types import Asset, CheckReport, Finding, Selection

#: Rules whose first asset should be another one.
_REPLACEABLE = frozenset({
    "family", "kind", "embedding_width", "vae_channels", "coverage", "lineage", "prediction_mismatch", "method",
    "missing_file", "unreadable_file", "zero_weight", "format", "licence",
})  # fmt: skip

_FLAGS = {"lora": "--lora", "embedding": "--embedding", "vae": "--vae", "controlnet": "--controlnet"}

#: How many assets are looked at for each search.
_MOST = 20


def with_suggestions(workspace: Workspace, selection: Selection, report: CheckReport) -> CheckReport:
    """The report, with what fits better named in its hints, where the catalog has such a thing."""
    roles = dict(_roles(selection))
    findings = tuple(_suggested(workspace, selection, roles, finding) for finding in report.findings)
    return replace(report, findings=findings)


def _suggested(
    workspace: Workspace, selection: Selection, roles: dict[str, tuple[str, Asset]], finding: Finding
) -> Finding:
    if finding.rule not in _REPLACEABLE or not finding.assets or finding.severity == "info":
        return finding
    role, asset = roles.get(finding.assets[0], (None, None))
    if role is None or asset is None:
        return finding
    if role == "checkpoint":
        other, flag = _other_checkpoint(workspace, selection), "--checkpoint"
    else:
        other, flag = _alike(workspace, selection, role, asset), _FLAGS[role]
    more = [] if other is None else [f"{other.name} of your catalog fits: {flag} {other.typed}."]
    if finding.rule == "family" and role != "checkpoint":
        checkpoint = _other_checkpoint(workspace, selection)
        more += [] if checkpoint is None else [f"All would fit {checkpoint.name}: --checkpoint {checkpoint.typed}."]
    return replace(finding, hint=" ".join([*filter(None, [finding.hint]), *more])) if more else finding


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


def _alike(workspace: Workspace, selection: Selection, kind: str, asset: Asset) -> Asset | None:
    """The asset of this kind that fits the checkpoint and is most like `asset`; by its name, its words and its tags."""
    checkpoint = selection.checkpoint
    if checkpoint is None or checkpoint.family is None:
        return None
    read = workspace.catalog.read
    found = [fitting for fitting, how in read.fitting(checkpoint, kind=kind, limit=_MOST) if how != "other lineage"]
    for word in sorted(_words(asset.name), key=len, reverse=True)[:3]:
        found += read.search(word, kind=kind, family=checkpoint.family, limit=_MOST)
    if checkpoint.base_model is not None:
        same = [each for each in found if each.base_model in (None, checkpoint.base_model)]
        found = same or found
    taken = {each.id for each in selection.assets()}
    ranked = sorted({each.id: each for each in found}.values(), key=lambda each: (-_likeness(each, asset), each.name))
    return next((each for each in ranked if each.id not in taken and _usable(each)), None)


def _other_checkpoint(workspace: Workspace, selection: Selection) -> Asset | None:
    """A checkpoint of the one family that all other assets are of."""
    own = selection.checkpoint
    families = {asset.family for asset in selection.assets() if asset is not own}
    if len(families) != 1 or None in families or own is None or own.family in families:
        return None
    found = workspace.catalog.read.assets(kind="checkpoint", family=families.pop(), limit=_MOST)
    return next((asset for asset in found if _usable(asset)), None)


def _usable(asset: Asset) -> bool:
    return asset.format in ("safetensors", "diffusers") and Path(asset.path).exists()


def _likeness(one: Asset, other: Asset) -> float:
    shared = len(_said(one) & _said(other))
    return shared + SequenceMatcher(None, one.name.lower(), other.name.lower()).ratio()


def _said(asset: Asset) -> set[str]:
    return _words(asset.name) | {word.lower() for word in (*asset.trigger_words, *asset.tags)}


def _words(name: str) -> set[str]:
    return {word for word in re.split(r"[\W_\d]+", name.lower()) if len(word) > 2}
