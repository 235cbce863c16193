"""Sync: make this machine have what a lockfile names, with the names and labels of the manifest."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from assetctl.catalog import free_name
from assetctl.errors import AssetctlError, NotFoundError, OfflineError, OutOfDateError, UsageError
from assetctl.files.disk import see_room_for, storage_errors
from assetctl.manifest import read_lock, read_manifest, write_lock
from assetctl.operations.acquire.pull import PullResult, bring, fetched_before, pull_tokenizer, see_tokenizer_can_come
from assetctl.operations.library.edit import Changes, as_known, edit
from assetctl.operations.library.ingest import is_intact, is_news, learn
from assetctl.operations.library.remove import is_recoverable, plan_removal, remove
from assetctl.operations.provision.lock import (
    VOCABULARY,
    faults_of,
    keep_inside,
    known_lock,
    lock,
    lock_path,
    may_leave,
    named_fault,
    naming_its_place,
    out_of_date,
    pinned_vocabulary,
    refuse_twins,
    resolution_of,
    see_it_can_be_written,
)
from assetctl.operations.workspace import lacks_vocabulary
from assetctl.run import Warned, each_of
from assetctl.sources import confined, source_called, support
from assetctl.sources.base import Plain
from assetctl.sources.transfer import see_ways
from assetctl.text import without_secrets

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from assetctl.manifest import Locked, Lockfile, Manifest, Wanted
    from assetctl.operations.provision.lock import LockResult
    from assetctl.operations.workspace import Workspace
    from assetctl.run import Run
    from assetctl.sources.base import Resolution, Source
    from assetctl.types import Asset

Action = Literal["keep", "adopt", "add", "restore", "change", "remove", "spare"]

#: What brings bytes.
_FETCHED = ("add", "restore", "change")

#: How a manifest says what of an asset a person would `edit`.
_LABELS = ("kind", "family", "base_model", "trigger_words", "notes", "default_weight")


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do for one asset.

    Attributes:
        action: `keep` (it is here, as it should be), `adopt` (its bytes are here; name and labels follow), `add` (fetch
            it), `restore` (its file is missing or was changed: fetch it again), `change` (another asset has its name,
            and gives it up), `remove` (nothing names it), `spare` (likewise, and it cannot be downloaded again).
        name: In the manifest, or in the catalog for what is removed.
        size: Bytes to be fetched, as far as the source says.
        asset: What is here: the asset itself, or the one that steps aside.
        locked: What it is to be.
        changes: What of an asset that is here becomes what the manifest, or its page, says: `name`, `notes`, `facts`, …
    """

    action: Action
    name: str
    size: int = 0
    asset: Asset | None = None
    locked: Locked | None = None
    changes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SyncResult:
    """What sync did, or would do.

    Attributes:
        steps: One for each asset, and one for CLIP's vocabulary where a checkpoint takes it.
        failed: Why something could not be locked or fetched, by name; all else was done.
    """

    steps: tuple[Step, ...]
    failed: Mapping[str, AssetctlError] = field(default_factory=dict)

    @property
    def in_sync(self) -> bool:
        """Whether nothing was to be done."""
        return not self.failed and all(step.action in ("keep", "spare") for step in self.steps)

    @property
    def fetched(self) -> tuple[str, ...]:
        """Names of what was, or would be, fetched."""
        return tuple(step.name for step in self.steps if step.action in _FETCHED and step.name not in self.failed)


def sync(  # noqa: PLR0913 - as many as the command has options
    workspace: Workspace,
    manifest: Path,
    run: Run,
    *,
    locked: bool = False,
    frozen: bool = False,
    prune: bool = False,
    now: bool = False,
    dry_run: bool = False,
    check: bool = False,
    outside: bool = False,
) -> SyncResult:
    """Lock what is not locked yet, then fetch, adopt, rename and label, until the catalog has what the lockfile says.

    Whatever it is interrupted by, running it again goes on: each asset is complete in itself.

    Args:
        workspace: The home.
        manifest: Its path.
        run: Told how far it is, and what the person should know.
        locked: Fail if the lockfile is out of date, rather than bring it up to date.
        frozen: Use the lockfile as it is, whatever the manifest says.
        prune: Move to the trash assets of the store that the lockfile does not name, if they can be downloaded again.
        now: Delete these for good instead.
        dry_run: Only say what would be done, and what could not be.
        check: Only say what would be done.
        outside: Whether paths may lead out of the manifest's folder.

    Raises:
        NotFoundError, UsageError: A file is missing or makes no sense.
        OutOfDateError: The lockfile is, and `locked` was asked for; or it is not to be trusted.
        RefusedFileError: A path leads out of the manifest's folder.
        StorageError: The lockfile cannot be written.
        Cancelled: The run is; each asset that was begun is as it was or done.
    """
    wanted = read_manifest(manifest)
    modes = {"locked": locked, "frozen": frozen, "outside": outside, "write": not (dry_run or check)}
    pins, failed = _pins(workspace, manifest, wanted, run, **modes)
    refuse_twins(manifest, pins.assets)
    steps = plan_sync(workspace, pins, wanted, prune=prune and _may_prune(failed, run))
    known = None if outside else frozenset(each.name for each in pins.assets if may_leave(each, wanted))
    if check or dry_run:
        refused = {} if check else _refused(workspace, pins, steps, wanted, manifest, known)
        return SyncResult(steps, failed | refused)
    fetched = _fetch_all(workspace, steps, wanted, manifest, run, known)
    failed |= _carry_out(workspace, steps, fetched, wanted, manifest.parent, run, now=now)
    failed |= _failures(fetched, run)
    steps, why = _bring_vocabulary(workspace, steps, run)
    _lock_vocabulary(manifest, pins, steps, may_write=not (locked or frozen))
    return SyncResult(steps, failed | why)


def _carry_out(
    workspace: Workspace,
    steps: Sequence[Step],
    fetched: Mapping[str, PullResult | AssetctlError],
    wanted: Manifest,
    base: Path,
    run: Run,
    *,
    now: bool,
) -> dict[str, AssetctlError]:
    """Do what is left to do once all came that could; by name, why an asset could not be named or labelled."""
    failed: dict[str, AssetctlError] = {}
    for step in steps:
        run.check()
        if step.action == "remove" and step.asset is not None:
            _remove(workspace, step.asset, run, now=now)
        elif step.name != VOCABULARY:
            try:
                _do(workspace, step, _asset_of(step, fetched), wanted.get(step.name), base)
            except (UsageError, NotFoundError) as error:
                failed[step.name] = error
    return failed


def _pins(
    workspace: Workspace,
    manifest: Path,
    wanted: Manifest,
    run: Run,
    *,
    locked: bool,
    frozen: bool,
    outside: bool,
    write: bool,
) -> tuple[Lockfile, dict[str, AssetctlError]]:
    """What this machine is to have, locked first where it was not; and why some of it could not be locked."""
    if locked or frozen or (workspace.settings.offline and lock_path(manifest).exists()):
        return _locked_before(workspace, manifest, wanted, locked=locked, frozen=frozen, outside=outside), {}
    result = lock(workspace, manifest, run, write=write, outside=outside, partly=True)
    _tell_faults(result, run, dry_run=not write)
    return result.lock, dict(result.failed)


def _may_prune(failed: Mapping[str, AssetctlError], run: Run) -> bool:
    """Whether what the lockfile lacks may go: what could not be locked is lacking there, and may still be wanted."""
    if failed:
        run.tell(Warned(message=f"Nothing is removed, for the lockfile lacks {', '.join(failed)}."))
    return not failed


def plan_sync(workspace: Workspace, pins: Lockfile, wanted: Manifest, *, prune: bool = False) -> tuple[Step, ...]:
    """What is to be done; reads the catalog and asks the disk, and no source."""
    assets = workspace.catalog.read.assets()
    by_name = {asset.name.lower(): asset for asset in assets}
    by_hash = {asset.sha256: asset for asset in assets if asset.sha256}
    steps, used = [], set()
    for locked in pins.assets:
        here = (by_hash.get(locked.sha256) if locked.sha256 else None) or _folder(workspace, locked)
        namesake = by_name.get(locked.name.lower())
        size = sum(file.size or 0 for file in locked.files)
        if here is None:
            steps.append(Step("change" if namesake else "add", locked.name, size, namesake, locked))
        elif not is_intact(workspace, here):
            steps.append(Step("restore", locked.name, size, here, locked))
        else:
            changes = _changes(workspace, here, locked, wanted.get(locked.name))
            steps.append(Step("adopt" if changes else "keep", locked.name, 0, here, locked, changes))
        used |= {asset.id for asset in (here, namesake if here is None else None) if asset is not None}
    takes = [step.asset for step in steps if step.asset is not None and step.action in ("keep", "adopt")]
    if pins.vocabulary or any(map(lacks_vocabulary, takes)):
        steps.append(_vocabulary_step(workspace))
    if prune:
        unused = [asset for asset in assets if asset.in_store and asset.id not in used]
        steps += [
            Step("remove" if is_recoverable(workspace, asset) else "spare", asset.name, 0, asset) for asset in unused
        ]
    return tuple(steps)


def _locked_before(
    workspace: Workspace, manifest: Path, wanted: Manifest, *, locked: bool, frozen: bool, outside: bool
) -> Lockfile:
    """What a lockfile names; it is seen to follow from the manifest or, if `frozen`, from what it says was wanted."""
    path, base, settings = lock_path(manifest), manifest.parent, workspace.settings
    found = read_lock(path)
    bound = [each for each in found.assets if not (outside or may_leave(each, wanted))]
    keep_inside(path, {("assets", each.name, "wanted"): each.wanted for each in bound}, settings)
    faults = faults_of(found, base, settings)
    if frozen and faults:
        raise _not_trusted(path, faults)
    stale = () if frozen else out_of_date(wanted, found, faults, base)
    if stale and locked:
        hint = "Bring it up to date with `assetctl lock`."
        raise OutOfDateError(f"{path} is out of date: {', '.join(stale)}.", hint)
    stale = tuple(name for name in stale if name != VOCABULARY)  # nobody need be asked for its hashes
    if stale:
        hint = "Unset ASSETCTL_OFFLINE, or leave out --offline, to lock them."
        raise OfflineError(f"{path} lacks {', '.join(stale)}, and the network is off.", hint)
    return found


def _tell_faults(result: LockResult, run: Run, *, dry_run: bool) -> None:
    """Say what was locked anew for it was not to be trusted; a plan alone is not made of that.

    Raises:
        OutOfDateError: Nothing is to be written, and something is wrong with the lockfile.
    """
    if result.faults and dry_run:
        raise _not_trusted(result.path, result.faults)
    for name, fault in result.faults.items():
        if name in result.failed:
            continue
        run.tell(Warned(task=name, message=f"{name} was locked again, because in {result.path} {fault}."))


def _not_trusted(path: Path, faults: Mapping[str, str]) -> OutOfDateError:
    listed = ", ".join(named_fault(*fault) for fault in faults.items())
    return OutOfDateError(f"{path} cannot be trusted: {listed}.", "`assetctl lock` makes those entries again.")


def _folder(workspace: Workspace, locked: Locked) -> Asset | None:
    """A diffusers folder that came from exactly there, whether or not it was hashed as a whole."""
    if locked.format != "diffusers" or locked.revision is None:
        return None
    return workspace.catalog.read.by_origin(locked.source, locked.url, locked.revision)


def _changes(workspace: Workspace, here: Asset, locked: Locked, wanted: Wanted | None) -> tuple[str, ...]:
    """What of an asset that is here is not as the manifest, or its page, has it."""
    name = ("name",) if here.name != locked.name else ()
    facts = ("facts",) if is_news(workspace, here, locked.facts) else ()
    return (*name, *_differing(here, wanted), *facts)


def _differing(asset: Asset, wanted: Wanted | None) -> tuple[str, ...]:
    """The labels of a manifest that an asset has otherwise."""
    if wanted is None:
        return ()
    labels = [
        label
        for label in _LABELS
        if (value := getattr(wanted, label)) is not None and _as_kept(label, value) != getattr(asset, label)
    ]
    lacks = {tag.lower() for tag in wanted.tags} - {tag.lower() for tag in asset.tags}
    return (*labels, *(("tags",) if lacks else ()))


def _as_kept(label: str, value: object) -> object:
    """What of a label stands in the catalog once it is set."""
    if label == "trigger_words" and isinstance(value, tuple):
        return tuple(dict.fromkeys(value))
    if label == "base_model" and isinstance(value, str):
        value = as_known(value)
    return None if value == "" else value


def _fetch_all(
    workspace: Workspace,
    steps: Sequence[Step],
    wanted: Manifest,
    manifest: Path,
    run: Run,
    known: frozenset[str] | None,
) -> dict[str, PullResult | AssetctlError]:
    """Bring what is missing, some at a time; by its name, what came of each or why it could not be had.

    Of this machine, what lies beside the manifest is taken, and assets whose hash is `known`; all, where it is `None`.
    """
    base = manifest.parent
    missing = [step.locked for step in steps if step.action in _FETCHED and step.locked is not None]

    def one(locked: Locked, own_run: Run) -> PullResult:
        with own_run.task(locked.name, "fetch"):
            resolution, source = _source_of(workspace, locked, wanted.get(locked.name), base, known)
            with naming_its_place(manifest, locked.name, source):
                return bring(workspace, source, resolution, own_run, locked.name)

    outcomes = each_of(missing, one, workspace.settings.downloads, run)
    return {locked.name: outcome for locked, outcome in zip(missing, outcomes, strict=True)}


def _failures(fetched: Mapping[str, PullResult | AssetctlError], run: Run) -> dict[str, AssetctlError]:
    """Why some of it could not be had, by name; of the rest, what the person should know is told."""
    for name, pulled in fetched.items():
        for text in pulled.warnings if isinstance(pulled, PullResult) else ():
            run.tell(Warned(task=name, message=text))
    return {name: each for name, each in fetched.items() if isinstance(each, AssetctlError)}


def _refused(
    workspace: Workspace,
    pins: Lockfile,
    steps: Sequence[Step],
    wanted: Manifest,
    manifest: Path,
    known: frozenset[str] | None,
) -> dict[str, AssetctlError]:
    """Why what would be fetched could not be, as far as this machine alone can tell; by name.

    Raises:
        RefusedFileError, StorageError: The lockfile could not be written.
    """
    if pins != known_lock(lock_path(manifest)):
        see_it_can_be_written(lock_path(manifest))
    needed, refused = 0, dict[str, AssetctlError]()
    for step in steps:
        if step.action not in _FETCHED:
            continue
        try:
            with storage_errors(f"write to {workspace.store.root}"):
                see_room_for(workspace.store.root)
            if step.locked is not None:
                item = wanted.get(step.name)
                resolution, source = _source_of(workspace, step.locked, item, manifest.parent, known)
                staged = fetched_before(workspace, resolution)
                with naming_its_place(manifest, step.name, source):
                    see_ways(source, resolution, staged)
                needed += max(0, step.size - staged)
                workspace.store.free_space_check(needed)
            else:
                see_tokenizer_can_come(workspace)
        except AssetctlError as error:
            error.reference = step.name
            refused[step.name] = error
    return refused


def _source_of(
    workspace: Workspace, locked: Locked, item: Wanted | None, base: Path, known: frozenset[str] | None
) -> tuple[Resolution, Source]:
    """What is fetched of a locked asset, and the source that has it; see `_fetch_all` for what is `known`."""
    source = source_called(locked.source, workspace.settings)
    written = item.source if item is not None else locked.reference
    if isinstance(source, Plain) and written != locked.reference == without_secrets(written):
        source.unasked(written)  # it asks with the token or password that the manifest has, and no lockfile
    source = source if known is None else confined(source, base, known=locked.name in known)
    return resolution_of(locked, base), source


def _bring_vocabulary(
    workspace: Workspace, steps: tuple[Step, ...], run: Run
) -> tuple[tuple[Step, ...], dict[str, AssetctlError]]:
    """Fetch CLIP's vocabulary if that is a step, or becomes one, as a checkpoint has come that takes it."""
    if not any(step.name == VOCABULARY for step in steps):
        names = {step.name for step in steps if step.action in _FETCHED}
        came = (asset for asset in workspace.catalog.read.assets(kind="checkpoint") if asset.name in names)
        if not any(map(lacks_vocabulary, came)):
            return steps, {}
        steps = (*steps, _vocabulary_step(workspace))
    if any(step.name == VOCABULARY and step.action == "add" for step in steps):
        try:
            with run.task(VOCABULARY, "fetch"):
                pull_tokenizer(workspace, run)
        except AssetctlError as error:
            return steps, {VOCABULARY: error}
    return steps, {}


def _lock_vocabulary(manifest: Path, pins: Lockfile, steps: Sequence[Step], *, may_write: bool) -> None:
    """Write down that this manifest takes the vocabulary, if that showed only when a checkpoint was here."""
    if may_write and not pins.vocabulary and any(step.name == VOCABULARY for step in steps):
        path = lock_path(manifest)
        write_lock(path, replace(known_lock(path), vocabulary=pinned_vocabulary()))


def _vocabulary_step(workspace: Workspace) -> Step:
    return Step("keep" if support.installed_tokenizer(workspace.store) else "add", VOCABULARY)


def _asset_of(step: Step, fetched: Mapping[str, PullResult | AssetctlError]) -> Asset | AssetctlError | None:
    outcome = fetched.get(step.name, step.asset)
    return outcome.asset if isinstance(outcome, PullResult) else outcome


def _remove(workspace: Workspace, asset: Asset, run: Run, *, now: bool) -> None:
    """Remove an asset that nothing names, unless it has changed since that was asked."""
    try:
        removal = plan_removal(workspace, asset.path)
        if removal.asset == asset and not removal.is_final:
            remove(workspace, removal, reason="sync", now=now)
            return
    except NotFoundError:
        pass
    run.tell(Warned(task=asset.name, message=f"{asset.name} was changed meanwhile, and stays."))


def _do(
    workspace: Workspace, step: Step, asset: Asset | AssetctlError | None, wanted: Wanted | None, base: Path
) -> None:
    """Name and label an asset that is here, and keep what its source says of it."""
    if step.action in ("keep", "spare") or isinstance(asset, AssetctlError):
        return
    assert asset is not None  # noqa: S101 - the plan names it, or it was fetched
    _name(workspace, asset, step.name)
    if step.locked is not None:  # also where its bytes came anew: the asset may be older than what is known of it
        learn(workspace, asset, resolution_of(step.locked, base))
        asset = workspace.catalog.read.by_id(asset.id)
    if wanted is not None and _differing(asset, wanted):
        labels = {label: value for label in _LABELS if (value := getattr(wanted, label)) is not None}
        edit(workspace, step.name, Changes(**labels, add_tags=wanted.tags), labelled=True)


def _name(workspace: Workspace, asset: Asset, name: str) -> None:
    """Give an asset its name of the manifest; whoever has that name steps aside, and keeps all else."""
    if asset.name == name:
        return
    with workspace.catalog.write() as writer:
        same = (each for each in writer.called(name) if each.name.lower() == name.lower())
        namesake = next((each for each in same if each.id != asset.id), None)
        taken = writer.names() - {asset.name.lower()}
        # Out of the way, for the namesake may need what it was called. No asset has a name with a colon.
        writer.rename(asset.id, f":{secrets.token_hex(8)}")
        if namesake is not None:
            writer.rename(namesake.id, free_name(name, taken))
        writer.rename(asset.id, name)
