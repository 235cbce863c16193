"""Pull: bring an asset into the store, verified, once."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from assetctl.catalog import NewAsset
from assetctl.errors import FileError, NotFoundError, OfflineError, SourceError
from assetctl.files.hashing import hash_file, tree_sha256
from assetctl.identify import identify
from assetctl.operations.naming import asset_name, checked_name
from assetctl.operations.scanning import folder_files, single_file
from assetctl.sources import find_source
from assetctl.sources.support import fetch_tokenizer, installed_tokenizer
from assetctl.types import Origin

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from assetctl.operations.workspace import Workspace
    from assetctl.sources.base import FetchProgress, Resolution
    from assetctl.types import Asset, AssetFile, Identification

#: Families whose single-file checkpoints need CLIP's vocabulary beside them.
CLIP_FAMILIES = ("sd1", "sd2", "sdxl")


@dataclass(slots=True)
class PullResult:
    """What one pull came to.

    Attributes:
        asset: The asset, new or known.
        known: Whether its bytes were in the catalog already.
        warnings: What the person should know.
    """

    asset: Asset
    known: bool = False
    warnings: list[str] = field(default_factory=list)


def pull(
    workspace: Workspace,
    reference: str,
    *,
    name: str | None = None,
    tags: Iterable[str] = (),
    report: Callable[[FetchProgress], None] = lambda _: None,
) -> PullResult:
    """Fetch `reference` into the store, unless its bytes are here already.

    An interrupted pull goes on where it stopped when it is run again.

    Raises:
        UsageError: The reference, or the name, makes no sense.
        NotFoundError: A path that does not exist.
        FileError: What came is refused, damaged, or not what was promised.
        SourceError: The source could not be reached, or does not have it.
        StorageError: The disk is full or may not be written.
    """
    wanted_name = None if name is None else checked_name(name)
    source = find_source(reference, workspace.settings)
    resolution = source.resolve(reference)
    key = f"{resolution.source} {resolution.url or resolution.reference} {resolution.revision or ''}"
    with workspace.store.lock(key):
        here = _already_here(workspace, resolution)
        if here is not None:
            return PullResult(here, known=True)
        staging = workspace.store.staging(key)
        fetched = sum(path.stat().st_size for path in staging.rglob("*") if path.is_file())
        workspace.store.free_space_check(resolution.size - fetched)
        staged = source.fetch(resolution, staging, report)
        arrival = _Arrival.of(resolution, staged, wanted_name, tuple(tags))
        try:
            arrival.identify()
        except FileError:
            workspace.store.discard(key)
            raise
        result = _keep(workspace, arrival)
        workspace.store.discard(key)
    _bring_tokenizer(workspace, result, report, remote=resolution.source != "path")
    return result


def pull_tokenizer(workspace: Workspace, report: Callable[[FetchProgress], None] = lambda _: None) -> Path:
    """Fetch CLIP's vocabulary, which single-file checkpoints of sd1, sd2 and sdxl need.

    Raises:
        SourceError: It could not be fetched.
    """
    if workspace.settings.offline and installed_tokenizer(workspace.store) is None:
        raise OfflineError(
            "CLIP's vocabulary is not here, and the network is off.", "Unset ASSETCTL_OFFLINE and HF_HUB_OFFLINE."
        )
    return fetch_tokenizer(workspace.store, report)


@dataclass(slots=True)
class _Arrival:
    """Something fetched and verified, on its way into the store."""

    resolution: Resolution
    path: Path
    name: str
    tags: tuple[str, ...]
    files: tuple[AssetFile, ...] = ()
    sha256: str | None = None
    found: Identification | None = None

    @classmethod
    def of(cls, resolution: Resolution, path: Path, name: str | None, tags: tuple[str, ...]) -> _Arrival:
        """Hash what came; AutoV3 and BLAKE3 cost little while the bytes are still in memory."""
        arrival = cls(resolution, path, name or asset_name(Path(resolution.name)), tags)
        files = folder_files(path) if path.is_dir() else (single_file(path),)
        arrival.files = tuple(_hashed(file) for file in files)
        if path.is_dir():
            entries = [(Path(file.path).relative_to(path).as_posix(), str(file.sha256)) for file in arrival.files]
            arrival.sha256 = tree_sha256(entries)
        else:
            arrival.sha256 = arrival.files[0].sha256
        return arrival

    def identify(self) -> None:
        """Say what it is.

        Raises:
            FileError: It is nothing that assetctl keeps.
        """
        self.found = identify(self.path)

    def entry(self, placed: Path) -> NewAsset:
        """How it enters the catalog, once it lies at `placed`."""
        assert self.found is not None  # noqa: S101 - `identify` comes first
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        origin = Origin(
            self.resolution.source, self.resolution.reference, self.resolution.revision, self.resolution.url, now
        )
        moved = tuple(
            replace(file, path=str(placed / Path(file.path).relative_to(self.path)) if placed.is_dir() else str(placed))
            for file in self.files
        )
        return NewAsset(
            self.name, str(placed), moved, self.found,
            in_store=True, sha256=self.sha256, origin=origin, tags=self.tags,
        )  # fmt: skip


def _hashed(file: AssetFile) -> AssetFile:
    digests = hash_file(Path(file.path))
    return replace(file, sha256=digests.sha256, autov3=digests.autov3, blake3=digests.blake3)


def _already_here(workspace: Workspace, resolution: Resolution) -> Asset | None:
    """The asset that has these bytes, told by the hash that the source promises, or by its exact revision."""
    read = workspace.catalog.read
    if len(resolution.files) == 1 and resolution.files[0].sha256:
        known = read.by_sha256(resolution.files[0].sha256)
    elif resolution.revision:
        known = read.by_origin(resolution.source, resolution.url, resolution.revision)
    else:
        known = None
    return known if known is not None and _is_intact(workspace, known) else None


def _is_intact(workspace: Workspace, asset: Asset) -> bool:
    for file in workspace.catalog.read.files(asset):
        path = Path(file.path)
        if file.role != "copy" and not (path.is_file() and path.stat().st_size == file.size):
            return False
    return True


def _keep(workspace: Workspace, arrival: _Arrival) -> PullResult:
    """Place the bytes and register them; both happen, or neither."""
    known = workspace.catalog.read.by_sha256(str(arrival.sha256))
    if known is not None and _is_intact(workspace, known):
        return PullResult(known, known=True)
    assert arrival.found is not None  # noqa: S101 - told by the caller
    store = workspace.store
    with workspace.catalog.write() as writer:
        placed = store.place(arrival.path, arrival.found.kind, arrival.found.format or "", arrival.name)
        try:
            if known is None:
                (number,) = writer.add([arrival.entry(placed)])
            else:  # its files are gone or damaged: the same asset gets good ones
                number = known.id
                entry = arrival.entry(placed)
                writer.replace_files(number, entry.files)
                writer.set_location(number, entry.path, sha256=entry.sha256, in_store=True)
            writer.flush()
        except BaseException:
            store.remove(placed)
            raise
    asset = workspace.catalog.read.by_id(number)
    result = PullResult(asset)
    if asset.kind == "unknown":
        result.warnings.append(
            f"{asset.name} is of no kind that assetctl knows: set it with `assetctl edit {asset.name} --kind KIND`."
        )
    return result


def _bring_tokenizer(
    workspace: Workspace, result: PullResult, report: Callable[[FetchProgress], None], *, remote: bool
) -> None:
    """A single-file checkpoint lacks one thing: the vocabulary of its text encoder."""
    asset = result.asset
    needed = asset.kind == "checkpoint" and asset.family in CLIP_FAMILIES and asset.format == "safetensors"
    if not needed or Path(asset.path).with_suffix(".config").is_dir() or installed_tokenizer(workspace.store):
        return
    advice = f"To generate with {asset.name}, fetch CLIP's vocabulary once: `assetctl pull --support {asset.family}`."
    if not remote or workspace.settings.offline:
        result.warnings.append(advice)
        return
    try:
        fetch_tokenizer(workspace.store, report)
    except (SourceError, NotFoundError) as error:
        result.warnings.append(f"{error.message} {advice}")
