"""ZIPs of models: which of them are here already, and what comes out of one that is."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

from assetctl.errors import RefusedFileError
from assetctl.files.disk import storage_errors
from assetctl.files.zips import models_in, take_out
from assetctl.operations.library.ingest import is_intact
from assetctl.sources.base import RemoteFile, digests
from assetctl.store.placement import remove_any

if TYPE_CHECKING:
    from pathlib import Path

    from assetctl.operations.workspace import Workspace
    from assetctl.run import Run
    from assetctl.sources.base import Packed, Packing, Resolution
    from assetctl.types import Asset

#: How folders are called into which models are taken out.
_UNPACKED = "unpacked-"

#: Files that one message tells.
_MOST_TOLD = 20


def fresh_folder(staging: Path) -> Path:
    """A new folder in the staging folder of a ZIP, to take models out into; no link that was planted there is followed.

    Raises:
        StorageError: The disk refused.
    """
    clear_folders(staging)
    folder = staging / f"{_UNPACKED}{secrets.token_hex(8)}"
    with storage_errors(f"write to {staging}"):
        folder.mkdir()
    return folder


def clear_folders(staging: Path) -> None:
    """Remove such folders, also of a process that was killed.

    Raises:
        StorageError: The disk refused.
    """
    with storage_errors(f"tidy {staging}"):
        for folder in staging.glob(f"{_UNPACKED}*"):
            remove_any(folder)


def unpacked_before(workspace: Workspace, packed: Packed) -> list[Asset]:
    """The assets that came of a ZIP, if all of them did and are here; or the one that is meant."""
    archive, read = packed.archive, workspace.catalog.read
    begin = archive.url or ""
    begin += f"{'&' if '?' in begin else '?'}member="
    came = read.came_below(archive.source, begin, archive.revision or "")
    if packed.member is not None:
        came = [(asset, url) for asset, url in came if parse_qs(urlsplit(url).query).get("member") == [packed.member]]
    elif any(parse_qs(urlsplit(url).query).get("of") != [str(len(came))] for _, url in came):
        return []
    assets = [asset for asset, _ in came]
    return assets if all(is_intact(workspace, asset) for asset in assets) else []


def taken_out(
    workspace: Workspace, source: Packing, packed: Packed, archive: Path, folder: Path, run: Run
) -> list[tuple[Resolution, Path]]:
    """The models of a ZIP that are meant, each in a folder of its own, and what it is by itself."""
    there = models_in(archive)
    members = [each for each in there if packed.member in (None, each.path)]
    if not members:
        hint = f"It holds: {', '.join(each.path for each in there[:_MOST_TOLD])}."
        raise RefusedFileError(f"{archive} holds no {packed.member!r}.", hint)
    workspace.store.free_space_check(sum(each.size for each in members))
    found = {}
    for number, member in enumerate(members):
        place = folder / str(number) / member.name
        with storage_errors(f"write to {folder}"):
            place.parent.mkdir()
        found[member] = (take_out(archive, member, place, lambda _: run.check()), place)
    distinct = {sha256: (member, place) for member, (sha256, place) in reversed(found.items())}
    of = len(distinct) if packed.member is None else len(there)
    return [
        (
            source.unpacked(
                packed.archive, member.path, RemoteFile(member.name, member.size, digests(sha256=sha256)), of
            ),
            place,
        )
        for sha256, (member, place) in reversed(distinct.items())
    ]
