"""What a source says of an asset, on top of what its file says: tensors are never overruled."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from assetctl.identify.plugins import families
from assetctl.types import Evidence, Origin

if TYPE_CHECKING:
    from assetctl.operations.workspace import Workspace
    from assetctl.sources.base import Resolution
    from assetctl.types import Asset, Facts, Identification

#: Kinds whose trigger words a source may tell; an embedding's token is in its file, or is its name.
_WORDED = ("lora", "checkpoint", "diffusion-model")


def with_hearsay(found: Identification, origin: Origin | None) -> Identification:
    """An identification with what the source adds: lineage, trigger words, and a kind or family that the file hides."""
    facts = None if origin is None else origin.facts
    if facts is None:
        return found
    found = _with_base_model(_with_kind(found, facts, facts.source), facts, facts.source)
    if facts.trigger_words and found.kind in _WORDED:
        claim = f"trigger_words={', '.join(facts.trigger_words)}"
        evidence = Evidence(facts.source, claim, "its page names them")
        found = replace(found, trigger_words=facts.trigger_words, evidence=(*found.evidence, evidence))
    return found


def is_news(workspace: Workspace, asset: Asset, facts: Facts | None) -> bool:
    """Whether a source says something of an asset of which nobody has said anything yet."""
    if facts is None:
        return False
    origin = workspace.catalog.read.origin(asset)
    return origin is None or origin.facts is None


def learn(workspace: Workspace, asset: Asset, came: Resolution) -> None:
    """Keep what a source says of an asset that is here already, unless something is known of it."""
    if not is_news(workspace, asset, came.facts):
        return
    details = workspace.catalog.read.details(asset)
    known = details.origin or Origin(came.source, came.reference, came.revision, came.url)
    told = replace(known, facts=came.facts)
    with workspace.catalog.write() as writer:
        writer.set_origin(asset.id, told)
        writer.set_identification(asset.id, with_hearsay(details.identification, told))


def _with_kind(found: Identification, facts: Facts, source: str) -> Identification:
    if facts.kind is None or found.kind == facts.kind:
        return found
    if found.kind != "unknown":
        evidence = Evidence(source, f"kind={facts.kind}", "its page says so, which the tensors contradict")
        return replace(found, evidence=(*found.evidence, evidence))
    evidence = Evidence(source, f"kind={facts.kind}", "its page says so, and the file says nothing")
    return replace(found, kind=facts.kind, confidence="likely", evidence=(*found.evidence, evidence))


def _with_base_model(found: Identification, facts: Facts, source: str) -> Identification:
    if facts.base_model is None:
        return found
    claim = f"base_model={facts.base_model}"
    own = [family.name for family in families() if facts.base_model in {name for _, name in family.lineages}]
    if found.family is None and len(own) == 1:
        evidence = Evidence(source, claim, f"its page says so, which makes it {own[0]}")
        more = (*found.evidence, evidence)
        return replace(found, family=own[0], base_model=facts.base_model, confidence="likely", evidence=more)
    if found.family in own:
        evidence = Evidence(source, claim, "its page says so, which fits")
        return replace(found, base_model=facts.base_model, evidence=(*found.evidence, evidence))
    why = "which the tensors contradict" if own else "which is no base model that is known here"
    return replace(found, evidence=(*found.evidence, Evidence(source, claim, f"its page says so, {why}")))
