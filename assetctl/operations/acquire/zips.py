"""ZIPs of models: which of them are here already, and what comes out of one that is."""

from __future__ import annotations

import json
import re
import secrets
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

from assetctl.errors import RefusedFileError, UsageError
from assetctl.files.disk import storage_errors, write_text
from assetctl.files.paths import loads, read_regular
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


class Before(NamedTuple):
    """What is here of a ZIP that was fetched before.

    Attributes:
        came: The assets that it became, or that had its bytes already, each with what that is by itself.
        refused: Why the rest of it did not come, for a person.
    """

    came: list[tuple[Asset, Resolution]]
    refused: tuple[str, ...] = ()


def unpacked_before(workspace: Workspace, source: Packing, packed: Packed, key: str) -> Before:
    """What is here of a ZIP, if that is all of it that can be, or the one file that is meant; else nothing.

    Args:
        workspace: The home.
        source: Whose it is.
        packed: The ZIP.
        key: What its staging folder is found by.
    """
    if came := _came_of(workspace, packed):
        return Before([(asset, packed.archive) for asset in came])
    members = known_members(workspace, packed, key)
    there = {path: told[0] for path, told in members.items() if told[0] is not None}
    here = []
    for path, digest in there.items():
        asset = workspace.catalog.read.by_sha256(digest)
        if asset is None or not is_intact(workspace, asset):
            return Before([])
        file = RemoteFile(path.rpartition("/")[2], asset.size, digests(sha256=digest))
        here.append((asset, source.unpacked(packed.archive, path, file, len(there))))
    return Before(here, tuple(why for digest, why in members.values() if digest is None))


def _came_of(workspace: Workspace, packed: Packed) -> list[Asset]:
    """The assets that the catalog says came of a ZIP, if all of them did and are here; or the one that is meant."""
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


#: The ending of notes of what a ZIP held, and how many bytes one may have.
_NOTE, _LONGEST_NOTE = ".unpacked", 2**20

_DIGEST = re.compile(r"[0-9a-f]{64}")

#: A member's SHA256, or `None` and why it was refused, by its path.
Members = dict[str, tuple[str | None, str]]


def note_members(workspace: Workspace, packed: Packed, key: str, members: Members) -> None:
    """Note which files a ZIP held, so that it need not come again to tell; nothing depends on that.

    The catalog says that of assets which came with it. Those that were here before have another origin, and of what
    was refused it says nothing.
    """
    known, place = _noted(workspace, packed.archive, key), workspace.store.staging_of(key).with_suffix(_NOTE)
    whole = packed.member is None or known["whole"]
    rows = [[path, *told] for path, told in {**known["members"], **members}.items()]
    with suppress(OSError):
        write_text(place, json.dumps({"archive": packed.archive.files[0].sha256, "whole": whole, "members": rows}))


def known_members(workspace: Workspace, packed: Packed, key: str) -> Members:
    """What was noted of all files of a ZIP, or of the one that is meant; empty where nothing was."""
    noted = _noted(workspace, packed.archive, key)
    members: Members = noted["members"]
    if packed.member is not None:
        return {path: told for path, told in members.items() if path == packed.member and told[0] is not None}
    return members if noted["whole"] else {}


def _noted(workspace: Workspace, archive: Resolution, key: str) -> dict[str, Any]:
    nothing: dict[str, Any] = {"whole": False, "members": {}}
    try:
        found: Any = loads(read_regular(workspace.store.staging_of(key).with_suffix(_NOTE), _LONGEST_NOTE))
        members = {str(path): (digest, str(why)) for path, digest, why in found["members"]}
        whole, of = found["whole"], found["archive"]
    except (OSError, ValueError, TypeError, LookupError):
        return nothing
    is_other = None not in (of, archive.files[0].sha256) and of != archive.files[0].sha256
    if is_other or not all(digest is None or _is_digest(digest) for digest, _ in members.values()):
        return nothing
    return {"whole": whole is True, "members": members}


def _is_digest(text: object) -> bool:
    return isinstance(text, str) and _DIGEST.fullmatch(text) is not None


def refuse_one_name(archive: Resolution, count: int, one: str | None = None) -> None:
    """See that a name is meant for one asset.

    Raises:
        UsageError: There are several.
    """
    if count > 1:
        hint = "Leave it out, or name one of them with `member=`" + (f": {one}" if one else ".")
        raise UsageError(f"--name goes with one asset, and {archive.files[0].path} holds {count}.", hint)


class Taken(NamedTuple):
    """A model that was taken out of a ZIP: its path there, what it is by itself, and where it lies now."""

    member: str
    resolution: Resolution
    path: Path


def taken_out(
    workspace: Workspace, source: Packing, packed: Packed, archive: Path, folder: Path, run: Run
) -> list[Taken]:
    """The models of a ZIP that are meant, each in a folder of its own."""
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
        Taken(
            member.path,
            source.unpacked(
                packed.archive, member.path, RemoteFile(member.name, member.size, digests(sha256=sha256)), of
            ),
            place,
        )
        for sha256, (member, place) in reversed(distinct.items())
    ]
