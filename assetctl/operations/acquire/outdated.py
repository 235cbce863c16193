"""Outdated: which assets have a newer version where they came from, of the same base model."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from assetctl.errors import AssetctlError, OfflineError, SourceNotFoundError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from assetctl.catalog.reading import Reader
    from assetctl.operations.workspace import Workspace
    from assetctl.types import Asset, Origin

_MODEL = re.compile(r"/models/(\d{1,18})\b|civitai:(\d{1,18})@", re.ASCII)
_NUMBER = re.compile(r"modelVersionId=(\d{1,18})\b", re.ASCII)
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

    A commit of the Hub that was named by its hash is what was wanted, and is not asked about. A newer version that is
    here already, as another asset, is no news.

    Raises:
        NotFoundError, AmbiguousNameError: A name.
        OfflineError: The network is off.
        SourceError: Not one asset could be asked about.
    """
    read = workspace.catalog.read
    if workspace.settings.offline:
        raise OfflineError("Sources cannot be asked: the network is switched off.", "Unset ASSETCTL_OFFLINE.")
    found: list[Newer] = []
    failures: list[AssetctlError] = []
    asked = 0
    for asset in [read.find(name) for name in names] if names else read.assets():
        origin = read.origin(asset)
        ask = None if origin is None else _question(origin)
        if origin is None or ask is None:
            continue
        asked += 1
        try:
            newer = ask(workspace, asset, origin)
        except AssetctlError as error:  # what one page says must not keep the others from being asked
            newer = Newer(asset, origin.revision or "", problem=error.message)
            failures += [error] if not isinstance(error, SourceNotFoundError) else []  # that it is gone is an answer
        found += [newer] if newer is not None else []
    if failures and len(failures) == asked:
        raise type(failures[0])(f"None of {asked} assets could be looked up: {failures[0]}", failures[0].hint)
    return found


def _question(origin: Origin) -> Callable[[Workspace, Asset, Origin], Newer | None] | None:
    """How to ask where an asset came from, if anybody there can be asked."""
    if origin.facts is not None and origin.facts.source == "civitai":
        return _on_civitai if _version(origin) else None
    if origin.source != "huggingface":
        return None
    from assetctl.sources.huggingface import parse  # noqa: PLC0415 - few assets come from there

    try:
        revision = parse(origin.reference).revision
    except UsageError:  # a page of another endpoint: asking tells
        revision = None
    return None if revision is not None and _COMMIT.fullmatch(revision) else _on_the_hub


def _version(origin: Origin | None) -> tuple[int, int] | None:
    """Model and version on Civitai, as its page tells them."""
    facts = None if origin is None else origin.facts
    if facts is None:
        return None
    model = _MODEL.search(facts.page or "") or _MODEL.search(facts.air or "")
    number = _NUMBER.search(facts.page or "")
    return None if model is None or number is None else (int(model[1] or model[2]), int(number[1]))


def _on_civitai(workspace: Workspace, asset: Asset, origin: Origin) -> Newer | None:
    from assetctl.sources.civitai import api  # noqa: PLC0415 - the client costs 60 ms

    known = _version(origin)
    assert known is not None  # noqa: S101 - who asks has looked
    model, number = known
    newest = api.newest_like(model, None if origin.facts is None else origin.facts.base_model)
    if newest is None or newest.number <= number or _has_version(workspace.catalog.read, (model, newest.number)):
        return None
    return Newer(asset, str(number), str(newest.number), f"civitai:{model}@{newest.number}")


def _has_version(read: Reader, version: tuple[int, int]) -> bool:
    return any(_version(read.origin(asset)) == version for asset in read.assets())


def _on_the_hub(workspace: Workspace, asset: Asset, origin: Origin) -> Newer | None:
    from assetctl.sources.huggingface import HuggingFaceSource  # noqa: PLC0415 - few assets come from there

    there = HuggingFaceSource(offline=workspace.settings.offline).resolve(origin.reference)
    read, file = workspace.catalog.read, there.files[0]
    is_here = there.revision == origin.revision or (
        read.by_sha256(file.sha256 or "")
        if there.format == "file"
        else read.by_origin(there.source, there.url, there.revision or "")
    )
    return (
        None if is_here else Newer(asset, (origin.revision or "")[:12], (there.revision or "")[:12], origin.reference)
    )
