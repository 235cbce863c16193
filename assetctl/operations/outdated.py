"""Outdated: which assets have a newer version where they came from, of the same base model."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from assetctl.errors import OfflineError, SourceError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from assetctl.operations.workspace import Workspace
    from assetctl.types import Asset, Origin

_MODEL = re.compile(r"/models/(\d+)|civitai:(\d+)@")
_COMMIT = re.compile(r"[0-9a-f]{40}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Newer:
    """An asset, the version that is here and the one that is there, and what to pull; or why nobody can say."""

    asset: Asset
    here: str
    there: str | None = None
    reference: str | None = None
    problem: str | None = None


def outdated(workspace: Workspace, names: Sequence[str] = ()) -> list[Newer]:
    """Ask the sources of the named assets, or of all that came from one. Nothing is fetched.

    A commit of the Hub that was named by its hash is what was wanted, and is not asked about.

    Raises:
        NotFoundError, AmbiguousNameError: A name.
        OfflineError: The network is off.
    """
    read = workspace.catalog.read
    if workspace.settings.offline:
        raise OfflineError("Sources can not be asked: the network is switched off.", "Unset ASSETCTL_OFFLINE.")
    found = []
    for asset in [read.find(name) for name in names] if names else read.assets():
        origin = read.origin(asset)
        if origin is None:
            continue
        try:
            newer = _newer(workspace, asset, origin)
        except SourceError as error:
            newer = Newer(asset, origin.revision or "", problem=error.message)
        if newer is not None:
            found.append(newer)
    return found


def _newer(workspace: Workspace, asset: Asset, origin: Origin) -> Newer | None:
    if origin.facts is not None and origin.facts.source == "civitai":
        return _on_civitai(asset, origin)
    return _on_the_hub(workspace, asset, origin) if origin.source == "huggingface" else None


def _on_civitai(asset: Asset, origin: Origin) -> Newer | None:
    from assetctl.sources import _civitai  # noqa: PLC0415 - the client costs 60 ms

    facts = origin.facts
    assert facts is not None  # noqa: S101 - who calls has looked
    match = _MODEL.search(facts.page or "") or _MODEL.search(facts.air or "")
    number = re.search(r"modelVersionId=(\d+)", facts.page or "")
    if match is None or number is None:
        return None
    model = int(match[1] or match[2])
    newest = _civitai.newest_like(model, facts.base_model)
    if newest is None or newest.number <= int(number[1]):
        return None
    return Newer(asset, number[1], str(newest.number), f"civitai:{model}@{newest.number}")


def _on_the_hub(workspace: Workspace, asset: Asset, origin: Origin) -> Newer | None:
    from assetctl.sources.huggingface import HuggingFaceSource, parse  # noqa: PLC0415 - few assets come from there

    wanted = parse(origin.reference)
    if wanted.revision is not None and _COMMIT.fullmatch(wanted.revision):
        return None
    there = HuggingFaceSource(offline=workspace.settings.offline).resolve(origin.reference)
    same_file = there.format == "file" and there.files[0].sha256 == asset.sha256
    if there.revision == origin.revision or same_file:
        return None
    return Newer(asset, (origin.revision or "")[:12], (there.revision or "")[:12], origin.reference)
