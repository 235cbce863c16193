"""Lock: resolve every asset of a manifest to exact revisions, sizes and hashes."""

from __future__ import annotations

import os
import re
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from assetctl.errors import (
    AssetctlError,
    HashMismatchError,
    NotFoundError,
    RefusedFileError,
    SourceError,
    UsageError,
)
from assetctl.files.disk import see_room_for, storage_errors
from assetctl.files.paths import absolute
from assetctl.identify import identify
from assetctl.manifest import Locked, Lockfile, place_of, read_lock, read_manifest, rebased, write_lock
from assetctl.manifest.lockfile import LockedFile, writing_place
from assetctl.operations.acquire.pull import bring
from assetctl.operations.library.ingest import family_of
from assetctl.operations.workspace import is_driven
from assetctl.run import Saved, each_of
from assetctl.sources import confined, departure, find_source, resolve, support
from assetctl.sources.base import Plain, RemoteFile, Resolution, digests
from assetctl.text import mark_of_hidden, without_secrets

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from assetctl.manifest import Manifest, Wanted
    from assetctl.operations.workspace import Workspace
    from assetctl.run import Run
    from assetctl.settings import Settings
    from assetctl.sources.base import Source


#: References that name a source.
_ADDRESS = re.compile(r"[a-z]{2,}:", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class LockResult:
    """What locking came to.

    Attributes:
        path: The lockfile.
        lock: What is in it now, or would be.
        resolved: Names that were asked for anew.
        removed: Names that the manifest has no longer.
        faults: What was wrong with entries of the lockfile that were not as the manifest demands, by name.
        failed: Why assets could not be resolved, by name, where the others were locked without them.
    """

    path: Path
    lock: Lockfile
    resolved: tuple[str, ...] = field(default=())
    removed: tuple[str, ...] = field(default=())
    faults: Mapping[str, str] = field(default_factory=dict)
    failed: Mapping[str, AssetctlError] = field(default_factory=dict)

    @property
    def stale(self) -> tuple[str, ...]:
        """What was out of date, with what was wrong with it, for a list."""
        names = (*self.resolved, *self.removed)
        return tuple(named_fault(name, self.faults[name]) if name in self.faults else name for name in names)

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
    run: Run,
    *,
    upgrade: bool = False,
    write: bool = True,
    outside: bool = False,
    partly: bool = False,
) -> LockResult:
    """Resolve what the lockfile does not have yet, and all of it with `upgrade`; the rest stays as it was.

    A file whose hash neither its source nor the manifest says is fetched into the store, for else nobody could know it
    again; unless it is to `write`, nothing comes, and nobody is asked what the manifest tells. A path may lead out of
    the manifest's folder only with `outside`, or where the manifest has its hash: who fetches a manifest of others does
    not mean to hand over files that those could not know. What lies beside a file stays inside even then. What cannot
    be resolved is told in the result and left out of it, if the lockfile may be made `partly`; what the file has of
    that stays there, out of date.

    Raises:
        NotFoundError, UsageError: The manifest, or a reference in it; or two names in it for the same bytes.
        RefusedFileError: A path leads out of the manifest's folder.
        HashMismatchError: A source promises other bytes than the manifest wants.
        SourceError: A source cannot be reached; its `errors` are of all assets that could not be resolved.
        StorageError: The lockfile cannot be written.
        Cancelled: The run is; the lockfile is as it was.
    """
    wanted = read_manifest(manifest)
    path, settings = lock_path(manifest), workspace.settings
    known = known_lock(path)
    bound = [item for item in wanted.assets if not (outside or item.sha256)]
    keep_inside(manifest, {("assets", item.name, "source"): item.source for item in bound}, settings)
    still = () if upgrade else tuple(filter(None, (_still(known, item) for item in wanted.assets)))
    faults = faults_of(Lockfile(still, known.vocabulary), manifest.parent, settings)
    kept = {locked.name: locked for locked in still if locked.name not in faults}
    missing = [item for item in wanted.assets if item.name not in kept]
    if write and (missing or not path.exists()):
        see_it_can_be_written(path)  # before anything is fetched
    fresh, failed = _resolve_all(workspace, missing, manifest, run, fetch=write, outside=outside)
    if failed and not partly:
        raise _all_of(failed)
    every = kept | fresh
    assets = tuple(every[item.name] for item in wanted.assets if item.name in every)
    refuse_twins(manifest, assets)
    result = _result(path, known, wanted, assets, tuple(fresh), faults, failed)
    if not write and not known.vocabulary:  # as in a lockfile of old: its hashes are known anyway
        result = replace(result, resolved=tuple(name for name in result.resolved if name != VOCABULARY))
    if write and (result.changed or not path.exists()):
        run.check()
        unsure = {name: locked for name in failed if (locked := known.get(name)) is not None}
        pins = (every.get(item.name, unsure.get(item.name)) for item in wanted.assets)
        write_lock(path, replace(result.lock, assets=tuple(filter(None, pins))))
        run.tell(Saved(path=str(path)))
    return result


def _result(
    path: Path,
    known: Lockfile,
    wanted: Manifest,
    assets: tuple[Locked, ...],
    fresh: tuple[str, ...],
    faults: Mapping[str, str],
    failed: Mapping[str, AssetctlError],
) -> LockResult:
    """What a lockfile becomes, with the vocabulary that its assets take."""
    vocabulary = vocabulary_for(assets, wanted, path.parent, known)
    more, less = changed_vocabulary(known, vocabulary)
    gone = (*_gone(known, wanted), *less)
    return LockResult(path, Lockfile(assets, vocabulary), (*fresh, *more), gone, faults, failed)


def _all_of(failed: Mapping[str, AssetctlError]) -> AssetctlError:
    """The first of what failed, which says of the others."""
    first, *_ = errors = list(failed.values())
    first.errors = errors
    return first


def see_it_can_be_written(path: Path) -> None:
    """See that a lockfile can be written, without writing one.

    Raises:
        RefusedFileError: It is a link that leads out of its folder.
        StorageError: The disk refuses.
    """
    with storage_errors(f"write {path}"):
        see_room_for(writing_place(path).parent)


def out_of_date(wanted: Manifest, lock: Lockfile, faults: Mapping[str, str], base: Path) -> tuple[str, ...]:
    """Names of a manifest that a lockfile lacks or has otherwise, and of the lockfile that the manifest lacks.

    An entry that has a fault is one of them, with what is wrong with it.
    """
    stale = (item.name for item in wanted.assets if _still(lock, item) is None and item.name not in faults)
    left = [locked for locked in lock.assets if wanted.get(locked.name) is not None]
    _, less = changed_vocabulary(lock, vocabulary_for(left, wanted, base, lock))
    words = () if VOCABULARY in faults else less  # what lacks it needs no other: its hashes are known anyway
    return (*stale, *(named_fault(*fault) for fault in faults.items()), *_gone(lock, wanted), *words)


def named_fault(name: str, fault: str) -> str:
    """An entry of a lockfile and what is wrong with it, for a list."""
    return f"{name} ({fault})"


def faults_of(lock: Lockfile, base: Path, settings: Settings) -> dict[str, str]:
    """What is wrong with entries of a lockfile, by name: each must pin every byte, and follow from what was wanted.

    Anyone may have written a lockfile, so nothing in it says whom to ask, but what the manifest says of it too.
    """
    faults = {}
    if is_other_vocabulary(lock):
        faults[VOCABULARY] = "its files are not those that assetctl knows"
    for locked in lock.assets:
        if any(file.sha256 is None for file in locked.files):
            faults[locked.name] = "a file of it has no sha256"
        elif locked.sha256 != resolution_of(locked, base).sha256:
            faults[locked.name] = "its sha256 is not that of its files"
        elif key := _departure(locked, base, settings):
            faults[locked.name] = f"its {key} does not follow from what was wanted"
    return faults


def _departure(locked: Locked, base: Path, settings: Settings) -> str | None:
    if locked.source == "path" and locked.reference != locked.wanted:
        return "reference"
    return departure(rebased(locked.wanted, base), resolution_of(locked, base), settings)


def keep_inside(file: Path, references: Mapping[tuple[str, ...], str], settings: Settings) -> None:
    """See that no path of a manifest or lockfile leads out of its folder, links followed.

    Args:
        file: The manifest or lockfile.
        references: What it names, by key.
        settings: The home's.

    Raises:
        RefusedFileError: One does.
    """
    inside = Path(os.path.realpath(file.parent))
    for where, written in references.items():
        reference = rebased(written, file.parent)
        if _ADDRESS.match(reference) or not _is_path(reference, settings):
            continue
        place = Path(os.path.realpath(absolute(reference)))
        if not place.is_relative_to(inside):
            raise RefusedFileError(
                f"{place_of(file, *where)} leads out of that file's folder, to {place}.",
                "Put it beside the manifest, or give its sha256. If you wrote both yourself, add --allow-outside.",
            )


def _is_path(reference: str, settings: Settings) -> bool:
    if reference.startswith(("/", "~")):
        return True
    try:
        return find_source(reference, settings).name == "path"
    except UsageError:  # whoever resolves it will say so
        return False


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
    files = tuple(
        RemoteFile(file.path, file.size, digests(sha256=file.sha256, git=file.git_oid), file.url)
        for file in locked.files
    )
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
    is_same = without_secrets(locked.wanted) == without_secrets(wanted.source)
    return locked if is_same and locked.mark == mark_of_hidden(wanted.source) else None


def _resolve_all(
    workspace: Workspace,
    wanted: Sequence[Wanted],
    manifest: Path,
    run: Run,
    *,
    fetch: bool,
    outside: bool,
) -> tuple[dict[str, Locked], dict[str, AssetctlError]]:
    """Resolve some at a time; by name, what came of each or why it could not be resolved."""
    base = manifest.parent

    def one(item: Wanted, own_run: Run) -> Locked:
        with own_run.task(item.name, "fetch"):
            source = find_source(rebased(item.source, base), workspace.settings)
            source = source if outside else confined(source, base, known=item.sha256 is not None)
            with naming_its_place(manifest, item.name, source):
                return _locked(workspace, item, source, base, own_run, fetch=fetch)

    outcomes = each_of(wanted, one, workspace.settings.downloads, run)
    by_name = {item.name: outcome for item, outcome in zip(wanted, outcomes, strict=True)}
    failed = {name: each for name, each in by_name.items() if isinstance(each, AssetctlError)}
    return {name: each for name, each in by_name.items() if isinstance(each, Locked)}, failed


@contextmanager
def naming_its_place(manifest: Path, name: str, source: Source) -> Iterator[None]:
    """Say which line of a manifest names a path of this machine that is not there.

    Raises:
        NotFoundError: It is not.
    """
    try:
        yield
    except NotFoundError as error:
        if source.name != "path":
            raise
        hint = "Copy it there, or write where it is now: another path, hf://…, civitai:…, https://…."
        message = f"{place_of(manifest, 'assets', name, 'source')} names what is not there. {error.message}"
        raise NotFoundError(message, hint) from error


def _locked(workspace: Workspace, wanted: Wanted, source: Source, base: Path, run: Run, *, fetch: bool) -> Locked:
    reference = rebased(wanted.source, base)
    if wanted.sha256 and not fetch and isinstance(source, Plain):  # that is all there is to know of it
        resolution = source.unasked(reference)
    else:
        resolution = resolve(source, reference, run, hashed=True)
    sha256 = resolution.sha256
    if (
        sha256 is None and resolution.format == "file"
    ):  # no hash is promised: the manifest's, or else what comes is hashed
        sha256 = wanted.sha256
        if sha256 is None and fetch:
            sha256 = bring(workspace, source, resolution, run, wanted.name).asset.sha256
    if wanted.sha256 not in (None, sha256):
        message = f"{wanted.name}: {wanted.source} has the SHA256 {sha256}, and the manifest wants {wanted.sha256}."
        raise HashMismatchError(message, "It is another file now: look at its page, then mend the manifest.")
    remote = resolution.files
    if resolution.format == "file":
        known = digests(sha256=sha256, git=remote[0].digest("git"))
        remote = (replace(remote[0], digests=known), *remote[1:])
    files = tuple(
        LockedFile(file.path, file.size, file.sha256, file.digest("git"), file.url and without_secrets(file.url))
        for file in remote
    )
    locked = Locked(
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
        mark=mark_of_hidden(wanted.source),
    )
    if fetch and replace(resolution, files=remote).sha256 is None:
        raise SourceError(f"{wanted.name} cannot be locked: its source gives no hash.", "Name a file of it.")
    return locked


def may_leave(locked: Locked, wanted: Manifest) -> bool:
    """Whether a manifest names the hash of what was locked, so that whoever wrote it knows the bytes already."""
    item = wanted.get(locked.name)
    return item is not None and item.sha256 is not None and item.sha256 == locked.sha256


#: What the lockfile has besides assets, by the name that a person sees.
VOCABULARY = "CLIP's vocabulary"


def pinned_vocabulary() -> tuple[LockedFile, ...]:
    """The files of CLIP's vocabulary, which assetctl knows by their hashes."""
    return tuple(LockedFile(file.path, file.size, file.sha256) for file in support.TOKENIZER_FILES)


def vocabulary_for(assets: Sequence[Locked], wanted: Manifest, base: Path, known: Lockfile) -> tuple[LockedFile, ...]:
    """The vocabulary, if an asset takes it; one that is locked stays as long as an asset may."""
    takes = {_takes_vocabulary(locked, wanted.get(locked.name), base) for locked in assets}
    return pinned_vocabulary() if True in takes or (None in takes and known.vocabulary) else ()


def changed_vocabulary(known: Lockfile, vocabulary: Sequence[LockedFile]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Its name, where a lockfile is to have it and does not, and where it has it and is not to."""
    if _pairs(known.vocabulary) == _pairs(vocabulary):
        return (), ()
    return ((VOCABULARY,), ()) if vocabulary else ((), (VOCABULARY,))


def is_other_vocabulary(lock: Lockfile) -> bool:
    """Whether a lockfile has a vocabulary, and another than the one that assetctl knows."""
    return bool(lock.vocabulary) and _pairs(lock.vocabulary) != _pairs(pinned_vocabulary())


def _pairs(files: Sequence[LockedFile]) -> set[tuple[str, str | None]]:
    return {(file.path, file.sha256) for file in files}


def _takes_vocabulary(locked: Locked, item: Wanted | None, base: Path) -> bool | None:
    """Whether an asset is a checkpoint in one file that is generated with; `None` where only the file would tell."""
    if locked.format != "file" or not locked.files[0].path.lower().endswith((".safetensors", ".sft")):
        return False
    kind, family = (None, None) if item is None else (item.kind, item.family)
    if locked.facts is not None:
        kind, family = kind or locked.facts.kind, family or family_of(locked.facts.base_model)
    if locked.source == "path" and not (kind and family):
        path = absolute(rebased(locked.reference, base))
        with suppress(AssetctlError):
            found = identify(path)
            kind, family = kind or found.kind, family or found.family
            if path.with_suffix(".config").is_dir():
                return False
    if kind not in (None, "checkpoint"):
        return False
    return is_driven(family) if kind and family else None
