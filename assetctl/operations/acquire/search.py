"""Searching sources, and seeing what of it is here; and where what a source gives away no longer is known."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from assetctl.errors import AssetctlError, UsageError
from assetctl.identify.plugins import families
from assetctl.manifest import read_lock
from assetctl.manifest.manifest import NAME
from assetctl.sources import capable
from assetctl.sources.base import Searchable, Versioned, cancellable
from assetctl.types import Origin

if TYPE_CHECKING:
    from collections.abc import Sequence

    from assetctl.errors import WithdrawnError
    from assetctl.manifest import Locked
    from assetctl.operations.workspace import Workspace
    from assetctl.run import Run
    from assetctl.sources.base import Found
    from assetctl.types import Asset


#: Assets that one message tells.
_MOST_TOLD = 20


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
    here = _here(workspace, places[0].name, found)
    offers = [SearchHit(each, _family(each), here.get(each.reference)) for each in found]
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


def _here(workspace: Workspace, source: str, found: Sequence[Found]) -> dict[str, Asset]:
    """What has the bytes of what was found or, where the source does not say which these are, came from its page."""
    read = workspace.catalog.read
    known = {each.reference: read.by_sha256(each.sha256) for each in found if each.sha256}
    pages = {each.page: each.reference for each in found if not each.sha256}
    came: dict[str, int] = {}
    for number, origin in read.origins(source).items() if pages else ():
        for page, reference in pages.items():
            if f"{origin.url}/".startswith(f"{page}/"):
                came.setdefault(reference, number)
    assets = {each.id: each for each in read.by_ids(came.values())}
    return {
        **{reference: asset for reference, asset in known.items() if asset is not None},
        **{reference: assets[number] for reference, number in came.items() if number in assets},
    }


def known_elsewhere(workspace: Workspace, gone: WithdrawnError) -> list[str]:
    """Sentences that tell which asset, or which entry of the lockfile here, has the bytes that were withdrawn."""
    read = workspace.catalog.read
    versioned = capable(Versioned, workspace.settings)

    def is_it(origin: Origin | None) -> bool:
        versions = (each.version(origin) or "" for each in versioned if origin is not None)
        return any(
            each == gone.version or (gone.version.endswith("@") and each.startswith(gone.version)) for each in versions
        )

    origins = read.origins()
    told = [
        f"{asset.name} in your catalog came from there: its SHA256 is {asset.sha256}."
        for asset in read.assets()
        if is_it(origins.get(asset.id)) or asset.sha256 in gone.hashes
    ]
    lockfile = Path(NAME).with_suffix(".lock")
    entries: Sequence[Locked] = ()
    with contextlib.suppress(AssetctlError):
        entries = read_lock(lockfile).assets if lockfile.is_file() else ()
    told += [
        f"{each.name} in {lockfile} was locked from there: its SHA256 is {each.sha256}."
        for each in entries
        if each.sha256 and is_it(Origin(each.source, each.reference, each.revision, each.url, facts=each.facts))
    ]
    told += [f"Its page still names the SHA256 {sha256}." for sha256 in gone.hashes if not told]
    return told[:_MOST_TOLD]
