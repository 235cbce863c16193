"""Searching sources, and seeing what of it is here."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from assetctl.errors import UsageError
from assetctl.identify.plugins import families
from assetctl.sources import capable
from assetctl.sources.base import Searchable, cancellable

if TYPE_CHECKING:
    from assetctl.operations.workspace import Workspace
    from assetctl.run import Run
    from assetctl.sources.base import Found
    from assetctl.types import Asset


@dataclass(frozen=True, slots=True)
class SearchHit:
    """A model that a source has.

    Attributes:
        found: What the source says of it.
        family: Told by its base model, `None` if that tells none.
        here: The asset that has its bytes, or came from there.
    """

    found: Found
    family: str | None
    here: Asset | None


def search_source(
    workspace: Workspace,
    source: str,
    query: str,
    run: Run,
    *,
    kind: str | None = None,
    family: str | None = None,
    limit: int = 20,
) -> list[SearchHit]:
    """Models of a source that suit `query`, best first.

    Raises:
        UsageError: No source of this name can be searched, or there is no such family.
        SourceError: It cannot be reached.
    """
    places = capable(Searchable, workspace.settings, source)
    if not places:
        raise UsageError(f"There is no source {source!r} that can be searched.", "Name huggingface or civitai.")
    known = {each.name: [name for _, name in each.lineages] for each in families()}
    if family is not None and family not in known:
        raise UsageError(f"There is no family {family!r}.", f"Name one of: {', '.join(sorted(known))}.")
    with cancellable(run):
        found = places[0].search(query, kind, known[family] if family else (), limit)
    offers = [SearchHit(each, _family(each), _here(workspace, each)) for each in found]
    return [offer for offer in offers if family in (None, offer.family)]


def _family(found: Found) -> str | None:
    """The family of what a source calls its base model: Civitai's own word, or what a repository's name tells."""
    text = found.base_model
    if text is None:
        return None
    for family in families():
        if text in {name for _, name in family.lineages}:
            return family.name
    told = {
        family.name
        for family in families()
        if any(re.search(pattern, text.lower()) for pattern, _ in family.lineages)
        or (family.said and re.search(family.said, text.lower()))
    }
    return told.pop() if len(told) == 1 else None


def _here(workspace: Workspace, found: Found) -> Asset | None:
    return workspace.catalog.read.by_sha256(found.sha256) if found.sha256 else None
