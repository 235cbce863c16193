"""Lock: resolve every asset of a manifest to exact revisions, sizes and hashes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from assetctl.addresses import without_secrets
from assetctl.errors import HashMismatchError, NotFoundError, UsageError
from assetctl.files.hashing import hash_file, tree_sha256
from assetctl.manifest import Locked, Lockfile, place_of, read_lock, write_lock
from assetctl.manifest.lockfile import LockedFile
from assetctl.operations.pull import bring, told_by
from assetctl.operations.recipes import wanted_in
from assetctl.sources import find_source
from assetctl.sources.base import Pinning, RemoteFile, Resolution
from assetctl.threads import all_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from assetctl.manifest import Manifest, Wanted
    from assetctl.operations.workspace import Workspace
    from assetctl.sources.base import FetchProgress, Source


@dataclass(frozen=True, slots=True)
class LockResult:
    """What locking came to.

    Attributes:
        path: The lockfile.
        lock: What is in it now, or would be.
        resolved: Names that were asked for anew.
        removed: Names that the manifest has no longer.
    """

    path: Path
    lock: Lockfile
    resolved: tuple[str, ...] = field(default=())
    removed: tuple[str, ...] = field(default=())

    @property
    def changed(self) -> bool:
        """Whether the lockfile was out of date."""
        return bool(self.resolved or self.removed)


def lock_path(manifest: Path) -> Path:
    """Where the lockfile of a manifest lies: beside it."""
    return manifest.with_suffix(".lock")


def lock(
    workspace: Workspace,
    manifest: Path,
    *,
    upgrade: bool = False,
    write: bool = True,
    report: Callable[[FetchProgress], None] = lambda _: None,
) -> LockResult:
    """Resolve what the lockfile does not have yet, and all of it with `upgrade`; the rest stays as it was.

    A file that no hash is promised for is fetched into the store, for else nobody could know it again.

    Raises:
        NotFoundError, UsageError: The manifest, or a reference in it; or two names in it for the same bytes.
        HashMismatchError: A source promises other bytes than the manifest wants.
        SourceError: A source can not be reached.
    """
    wanted = wanted_in(manifest)
    path = lock_path(manifest)
    before = Lockfile() if upgrade else known_lock(path)
    kept = {item.name: locked for item in wanted.assets if (locked := _still(before, item)) is not None}
    fresh = _resolve_all(
        workspace, [item for item in wanted.assets if item.name not in kept], manifest.parent, report, fetch=write
    )
    result = LockResult(
        path,
        Lockfile(tuple((kept | fresh)[item.name] for item in wanted.assets)),
        tuple(fresh),
        _gone(known_lock(path), wanted),
    )
    refuse_twins(manifest, result.lock.assets)
    if write and (result.changed or not path.exists()):
        write_lock(path, result.lock)
    return result


def out_of_date(wanted: Manifest, lock: Lockfile) -> tuple[str, ...]:
    """Names of a manifest that a lockfile lacks or has otherwise, and of the lockfile that the manifest lacks."""
    return (*(item.name for item in wanted.assets if _still(lock, item) is None), *_gone(lock, wanted))


def refuse_twins(manifest: Path, assets: Sequence[Locked]) -> None:
    """See that no two names stand for the same bytes: those are one asset of the catalog, which has one name.

    Raises:
        UsageError: Two do.
    """
    seen: dict[object, Locked] = {}
    for locked in assets:
        same = locked.sha256 or (locked.revision and (locked.source, locked.url, locked.revision))
        twin = seen.setdefault(same, locked) if same else locked
        if twin is not locked:
            message = f"{place_of(manifest, 'assets', locked.name)} has the same bytes as another asset"
            raise UsageError(
                f"{message}: {place_of(manifest, 'assets', twin.name)}.", "Keep one of the two; recipes may share it."
            )


def known_lock(path: Path) -> Lockfile:
    """The lockfile, empty if there is none."""
    try:
        return read_lock(path)
    except NotFoundError:
        return Lockfile()


def resolution_of(locked: Locked, base: Path) -> Resolution:
    """What a locked asset is fetched by; `base` is the folder of its lockfile."""
    files = tuple(RemoteFile(file.path, file.size, file.sha256, file.git_oid, file.url) for file in locked.files)
    reference = rebased(locked.reference, base) if locked.source == "path" else locked.reference
    return Resolution(
        locked.source, reference, locked.revision, locked.url, locked.name, locked.format, files, locked.facts
    )


def _gone(lock: Lockfile, wanted: Manifest) -> tuple[str, ...]:
    names = {item.name for item in wanted.assets}
    return tuple(locked.name for locked in lock.assets if locked.name not in names)


def _still(lock: Lockfile, wanted: Wanted) -> Locked | None:
    """What is locked for an asset, if that is still what is wanted."""
    locked = lock.get(wanted.name)
    if locked is None or wanted.sha256 not in (None, locked.sha256):
        return None
    # A token in an address may change, and is in no lockfile that this program writes.
    return locked if _shown(locked.wanted) == _shown(wanted.source) else None


def _shown(reference: str) -> str:
    """A reference of a manifest as a lockfile may hold it."""
    return without_secrets(reference)


def _resolve_all(
    workspace: Workspace,
    wanted: Sequence[Wanted],
    base: Path,
    report: Callable[[FetchProgress], None],
    *,
    fetch: bool,
) -> dict[str, Locked]:
    """Resolve some at a time; by name."""

    def one(item: Wanted, going_on: Callable[[], None]) -> Locked:
        with workspace.another() as own:
            return _resolved(own, item, base, told_by(report, going_on), fetch=fetch)

    return {locked.name: locked for locked in all_of(wanted, one, workspace.settings.downloads)}


def _resolved(
    workspace: Workspace, wanted: Wanted, base: Path, report: Callable[[FetchProgress], None], *, fetch: bool
) -> Locked:
    source = find_source(rebased(wanted.source, base), workspace.settings)
    resolution = _with_hashes(source, source.resolve(rebased(wanted.source, base)))
    sha256 = _whole_hash(resolution)
    if sha256 is None and resolution.format == "file":
        sha256 = _learned(workspace, source, resolution, report, fetch=fetch)
    if wanted.sha256 not in (None, sha256):
        message = f"{wanted.name}: {wanted.source} has the SHA256 {sha256}, and the manifest wants {wanted.sha256}."
        raise HashMismatchError(message, "It is another file now: look at its page, then mend the manifest.")
    remote = resolution.files
    if resolution.format == "file":
        remote = (replace(remote[0], sha256=sha256), *remote[1:])
    files = tuple(
        LockedFile(file.path, file.size, file.sha256, file.git_oid, file.url and without_secrets(file.url))
        for file in remote
    )
    return Locked(
        name=wanted.name,
        wanted=wanted.source if resolution.source == "path" else without_secrets(wanted.source),
        source=resolution.source,
        reference=wanted.source if resolution.source == "path" else resolution.reference,
        revision=resolution.revision,
        url=resolution.url,
        format=resolution.format,
        sha256=sha256,
        files=files,
        facts=resolution.facts,
    )


def _with_hashes(source: Source, resolution: Resolution) -> Resolution:
    """The same, with the SHA256 of every file where it can be had without fetching the asset."""
    if resolution.source == "path" and resolution.format == "diffusers":
        folder = Path(resolution.reference).expanduser()
        hashed = (hash_file(folder / file.path, frozenset({"sha256"})).sha256 for file in resolution.files)
        files = zip(resolution.files, hashed, strict=True)
        return replace(resolution, files=tuple(replace(file, sha256=sha256) for file, sha256 in files))
    if isinstance(source, Pinning) and resolution.format == "diffusers":
        return source.with_hashes(resolution)
    return resolution


def _whole_hash(resolution: Resolution) -> str | None:
    """The hash of the file, or of the folder as a whole, where those of its files are known."""
    if resolution.format == "file":
        return resolution.files[0].sha256
    hashes = [(file.path, file.sha256) for file in resolution.files if file.sha256]
    return tree_sha256(hashes) if len(hashes) == len(resolution.files) else None


def _learned(
    workspace: Workspace,
    source: Source,
    resolution: Resolution,
    report: Callable[[FetchProgress], None],
    *,
    fetch: bool,
) -> str | None:
    """The hash of a file that its source promises none for: from this disk, or by fetching it."""
    if resolution.source == "path":
        return hash_file(Path(resolution.reference).expanduser(), frozenset({"sha256"})).sha256
    return bring(workspace, source, resolution, report=report).asset.sha256 if fetch else None


def rebased(reference: str, base: Path) -> str:
    """A path in a manifest counts from the manifest's folder."""
    return str(base / reference) if reference.startswith(("./", "../")) else reference
