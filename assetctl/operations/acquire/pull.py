"""Pull: bring an asset into the store, verified, once."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from assetctl.errors import (
    AmbiguousNameError,
    AssetctlError,
    FileError,
    HashMismatchError,
    NotFoundError,
    OfflineError,
    SourceError,
    UsageError,
    WithdrawnError,
)
from assetctl.files.disk import see_room_for, storage_errors
from assetctl.identify import identify
from assetctl.operations.library.import_files import import_files
from assetctl.operations.library.ingest import (
    Staged,
    checked_name,
    checked_words,
    ingest,
    is_intact,
    learn,
    named_in_store,
    see_hash,
)
from assetctl.operations.workspace import lacks_vocabulary
from assetctl.run import Saved, Started, each_of, leaving
from assetctl.sources import find_source, resolve
from assetctl.sources.base import Choice, Packing, misspelt
from assetctl.sources.support import fetch_tokenizer, installed_tokenizer
from assetctl.sources.transfer import fetched_bytes, transfer
from assetctl.text import without_secrets

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from assetctl.operations.acquire.enrich import Previews
    from assetctl.operations.acquire.zips import Members, Taken
    from assetctl.operations.library.ingest import Ingested
    from assetctl.operations.workspace import Workspace
    from assetctl.run import Run
    from assetctl.sources.base import Packed, Resolution, Source
    from assetctl.types import Asset

#: Files and assets that one message tells.
_MOST_TOLD = 20


@dataclass(slots=True)
class PullResult:
    """What one pull came to.

    Attributes:
        asset: The asset, new or known.
        known: Whether its bytes were in the catalog already.
        warnings: What the person should know.
        more: The others that came in the same ZIP.
        choices: The files that there were to choose from, where there was more than one.
    """

    asset: Asset
    known: bool = False
    warnings: list[str] = field(default_factory=list)
    more: list[PullResult] = field(default_factory=list)
    choices: tuple[Choice, ...] = ()

    @property
    def all(self) -> tuple[PullResult, ...]:
        """This one, and those that came with it."""
        return (self, *self.more)


@dataclass(frozen=True, slots=True)
class PullPlan:
    """What a pull would do.

    Attributes:
        resolution: What the reference stands for now.
        here: The asset that has its bytes already.
        fetched: Bytes that an earlier, interrupted pull left.
    """

    resolution: Resolution
    here: Asset | None
    fetched: int

    @property
    def missing(self) -> int:
        """Bytes that would come, as far as the source says how many there are."""
        return 0 if self.here else max(0, self.resolution.size - self.fetched)


def plan_pull(
    workspace: Workspace, reference: str, run: Run, *, name: str | None = None, tags: Iterable[str] = ()
) -> PullPlan:
    """Ask a source what a reference stands for, and the catalog whether it is here; nothing is fetched.

    Raises:
        As `pull` does, as far as can be told without the bytes.
    """
    try:
        return _planned(workspace, reference, run, name, tags)
    except AssetctlError as error:
        error.reference = error.reference or without_secrets(reference)
        raise


def _planned(workspace: Workspace, reference: str, run: Run, name: str | None, tags: Iterable[str]) -> PullPlan:
    _checked(name, tags)
    source = _source(workspace, reference)
    resolution = _resolved(workspace, source, reference, run)
    packed = source.packed(resolution) if isinstance(source, Packing) else None
    if packed is None:
        here = _already_here(workspace, resolution)
    else:
        from assetctl.operations.acquire.zips import unpacked_before  # noqa: PLC0415 - as in `_unpack`

        before = unpacked_before(workspace, source, packed, _key(packed.archive))  # type: ignore[arg-type]  # it packs
        here = next((asset for asset, _ in before.came), None)
    plan = PullPlan(resolution, here, fetched_before(workspace, packed.archive if packed else resolution))
    if plan.here is None and named_in_store(workspace, resolution) is None:
        if resolution.source == "path":
            identify(Path(resolution.reference))
        with storage_errors(f"write to {workspace.store.root}"):
            see_room_for(workspace.store.root)
        workspace.store.free_space_check(plan.missing)
    return plan


def _checked(name: str | None, tags: Iterable[str]) -> tuple[str | None, tuple[str, ...]]:
    """A name and labels as an asset can have them.

    Raises:
        UsageError: It cannot.
    """
    return None if name is None else checked_name(name), checked_words(tags)


def pull(
    workspace: Workspace,
    reference: str,
    run: Run,
    *,
    name: str | None = None,
    tags: Iterable[str] = (),
    given: bool = False,
    previews: Previews | None = None,
) -> PullResult:
    """Fetch `reference` into the store, unless its bytes are here already; with a picture that shows it, if wanted.

    An interrupted or cancelled pull goes on where it stopped when it is run again. A file of a person's that lies in
    the store is registered where it lies; if it is `given`, it is assetctl's from then on.

    Raises:
        UsageError: The reference, or the name, makes no sense.
        NotFoundError: A path that does not exist.
        FileError: What came is refused, damaged, or not what was promised.
        SourceError: The source could not be reached, or does not have it.
        StorageError: The disk is full or may not be written.
        Cancelled: The run is.
    """
    name, tags = _checked(name, tags)  # before anybody is asked
    task = without_secrets(reference)
    source = _source(workspace, reference)
    with run.task(task, "fetch"):
        came = _resolved(workspace, source, reference, run)
        result = bring(workspace, source, came, run, task, name=name, tags=tags, given=given)
        result.choices = came.choices
        with leaving(lambda: result):
            for each in result.all:
                if not each.known and each.asset.kind == "checkpoint":  # nothing else lacks one
                    _bring_tokenizer(workspace, each, run, remote=came.source != "path")
                reason = None if previews is None else previews.fetch(each.asset, run).reason
                each.warnings += [] if reason is None else [reason]
        return result


def _source(workspace: Workspace, reference: str) -> Source:
    """Whose reference it is.

    Raises:
        UsageError: Nobody's.
    """
    try:
        return find_source(reference, workspace.settings, paths=workspace.paths)
    except UsageError as error:
        error.reference = misspelt(reference)
        raise


def files_of(workspace: Workspace, reference: str, run: Run, *, file: str | None = None) -> list[str]:
    """References to one file that a page or repository has, by its number or name; else to all that are models.

    Raises:
        UsageError: It is nothing that has several files.
        NotFoundError: It has no such file.
        SourceError: The source could not be reached, or does not have it.
    """
    source = _source(workspace, reference)
    try:
        choices = _resolved(workspace, source, reference, run).choices
        there = [(each, each.reference) for each in choices if each.reference is not None]
    except AmbiguousNameError as error:  # of several files none stands out
        there = [(Choice(each.partition("//")[2].split("/", 2)[-1]), each) for each in error.candidates]
    if file is None:
        return [each for _, each in there] if len(there) > 1 else [reference]
    if not there:
        shown = without_secrets(reference)
        raise UsageError(f"{shown} is one file: there is nothing to choose from.", "Leave out --file.")
    number = [named for each, named in there if str(each.number) == file]
    word = file.lower()
    whole = [named for each, named in there if word in (each.name.lower(), PurePosixPath(each.name).name.lower())]
    found = number or whole or [named for each, named in there if word == PurePosixPath(each.name).stem.lower()]
    if len(found) == 1:
        return found
    listed = ", ".join(f"{each.name} ({each.number})" if each.number else each.name for each, _ in there[:_MOST_TOLD])
    if found:
        raise AmbiguousNameError(
            f"{len(found)} files are called {file!r}.", f"Name one by its number: {listed}.", found
        )
    raise NotFoundError(f"{without_secrets(reference)} has no file {file!r}.", f"It has: {listed}.")


def pull_all(
    workspace: Workspace,
    references: Sequence[str],
    run: Run,
    *,
    tags: Iterable[str] = (),
    previews: Previews | None = None,
) -> list[PullResult | AssetctlError]:
    """Pull several references, some at a time; in their order, what became of each: what one fails by keeps no other.

    Raises:
        Cancelled: The run is; its `done` has what came.
    """
    labels = checked_words(tags)

    def one(reference: str, own_run: Run) -> PullResult:
        return pull(workspace, reference, own_run, tags=labels, previews=previews)

    return each_of(references, one, workspace.settings.downloads, run)


def bring(
    workspace: Workspace,
    source: Source,
    resolution: Resolution,
    run: Run,
    task: str,
    *,
    name: str | None = None,
    tags: Iterable[str] = (),
    given: bool = False,
) -> PullResult:
    """Fetch what a reference was resolved to into the store, unless its bytes are here already.

    What it takes besides, to generate with it, is left to whoever asks.

    Raises:
        HashMismatchError: A path of the store holds other bytes than are wanted.
        Other errors as `pull` does.
    """
    wanted_name, labels = _checked(name, tags)
    packed = source.packed(resolution) if isinstance(source, Packing) else None
    if packed is not None and isinstance(source, Packing):
        return _unpack(workspace, source, packed, resolution, run, task, wanted_name, labels)
    key = _key(resolution)
    theirs = None if given else named_in_store(workspace, resolution)
    if theirs is not None:
        see_hash(theirs, resolution.sha256)
        return _registered(workspace, theirs, resolution, run, wanted_name, labels)
    with workspace.store.lock(key, run):
        here = _already_here(workspace, resolution)
        if here is not None:
            return _known(workspace, here, resolution, wanted_name, labels)
        staging = workspace.store.staging(key)
        workspace.store.free_space_check(resolution.size - fetched_bytes(staging))
        if len(resolution.files) > 1 and all(file.size is not None for file in resolution.files):
            run.tell(Started(task=task, stage="fetch", total=resolution.size))
        came = transfer(source, resolution, staging, run, task)
        try:
            staged = Staged.of(resolution, came.path, wanted_name, labels, came.hashes)
        except FileError as error:
            workspace.store.clear_staging(key, came.path)  # it is whole, and nothing to keep
            error.message = error.message.replace(str(came.path), resolution.reference)
            raise
        run.check()
        kept = ingest(workspace, staged, owned=resolution.source == "path", given=given)
        workspace.store.clear_staging(key, came.path)
    return _kept(workspace, kept, resolution, run, task, wanted_name, labels)


def keep(workspace: Workspace, staged: Staged, run: Run, task: str) -> PullResult:
    """Take in what lies staged, unless its bytes are here, and tell what became of it.

    Raises:
        StorageError: The disk is full or may not be written; store and catalog are as they were.
    """
    run.check()
    wanted = staged.resolution
    return _kept(workspace, ingest(workspace, staged), wanted, run, task, staged.name, staged.tags)


def _kept(
    workspace: Workspace,
    kept: Ingested,
    resolution: Resolution,
    run: Run,
    task: str,
    name: str | None,
    labels: tuple[str, ...],
) -> PullResult:
    """Tell what became of what was taken in, and what the person should know of it."""
    asset = kept.asset
    if kept.known:
        result = _known(workspace, asset, resolution, name, labels)
        with leaving(lambda: result):
            run.tell(Saved(task=task, path=asset.path))
        return result
    if set(labels) - set(asset.tags):  # it was known, and its bytes were lost or not the store's
        _tag(workspace, asset, labels)
        asset = workspace.catalog.read.by_id(asset.id)
    result = PullResult(asset, warnings=[*resolution.warnings, *kept.warnings])
    if name is not None:
        result.warnings += _misnamed(workspace, asset, name)
    if asset.kind == "unknown":
        result.warnings.append(
            f"{asset.name} is of an unknown kind: set it with `assetctl edit {asset.typed} --kind KIND`."
        )
    with leaving(lambda: result):
        run.tell(Saved(task=task, path=asset.path))
    return result


def _unpack(
    workspace: Workspace,
    source: Packing,
    packed: Packed,
    wanted: Resolution,
    run: Run,
    task: str,
    name: str | None,
    labels: tuple[str, ...],
) -> PullResult:
    """Fetch a ZIP and make an asset of each model in it, or of the one that is meant; nothing else of it stays.

    Raises:
        As `pull` does.
    """
    from assetctl.operations.acquire import zips  # noqa: PLC0415 - few files are ZIPs

    archive, store = packed.archive, workspace.store
    key = _key(archive)
    with store.lock(key, run):
        before, refused = zips.unpacked_before(workspace, source, packed, key)
        if packed.member is not None and any(wanted.sha256 not in (None, each.sha256) for each, _ in before):
            before = []  # what is here is not what is wanted: the ZIP may hold that, or tells that it does not
        if name is not None:
            known = zips.known_members(workspace, packed, key).values()
            zips.refuse_one_name(archive, len({digest for digest, _ in known if digest is not None}) or len(before))
        if before:
            first, *others = [_known(workspace, asset, each, name, labels) for asset, each in before]
            first.more = others
            first.warnings += refused
            return first
        staging = store.staging(key)
        store.free_space_check(archive.size - fetched_bytes(staging))
        came = transfer(source, archive, staging, run, task)  # type: ignore[arg-type]  # a source that packs is one
        try:
            taken = zips.taken_out(workspace, source, packed, came.path, zips.fresh_folder(staging), run)
            if name is not None:  # what was fetched stays: the next pull needs it
                zips.refuse_one_name(archive, len(taken), taken[0].resolution.reference)
            results, members = _each_of_zip(workspace, taken, wanted, run, task, name, labels)
            zips.note_members(workspace, packed, key, members)
        except FileError as error:
            store.clear_staging(key, came.path)
            error.message = error.message.replace(str(came.path), archive.files[0].path)
            raise
        finally:
            zips.clear_folders(staging)
        store.clear_staging(key, came.path)
    first, *others = results
    first.more = others
    return first


def _each_of_zip(
    workspace: Workspace,
    taken: Sequence[Taken],
    wanted: Resolution,
    run: Run,
    task: str,
    name: str | None,
    labels: tuple[str, ...],
) -> tuple[list[PullResult], Members]:
    """Take the models of a ZIP in; one that is none keeps no other out. What came, and what became of each.

    Raises:
        FileError: There is none, or it is not what was promised.
    """
    results, refused, members = [], [], dict[str, tuple[str | None, str]]()
    for member, resolution, path in taken:
        try:
            results.append(_one_of_zip(workspace, resolution, path, wanted, run, task, name, labels))
            members[member] = (resolution.sha256, "")
        except FileError as error:
            error.message = error.message.replace(str(path), resolution.reference)
            refused.append(error)
            members[member] = (None, error.message)
    if not results:
        raise refused[0]
    results[0].warnings += [error.message for error in refused]
    return results, members


def _one_of_zip(
    workspace: Workspace,
    resolution: Resolution,
    path: Path,
    wanted: Resolution,
    run: Run,
    task: str,
    name: str | None,
    labels: tuple[str, ...],
) -> PullResult:
    """Take one file of a ZIP in, if it is what was promised, where that was."""
    if wanted.sha256 not in (None, resolution.sha256):
        message = f"{wanted.reference} has the SHA256 {resolution.sha256} where {wanted.sha256} was promised."
        raise HashMismatchError(message, "It is another file now: look at its page.")
    here = _already_here(workspace, resolution)
    if here is not None:
        return _known(workspace, here, resolution, name, labels)
    staged = Staged.of(resolution, path, name, labels, {path.name: resolution.sha256 or ""})
    run.check()
    return _kept(workspace, ingest(workspace, staged), resolution, run, task, name, labels)


def _resolved(workspace: Workspace, source: Source, reference: str, run: Run) -> Resolution:
    """What a reference stands for; of what its source gives away no longer, it is said where its hash is known.

    Raises:
        As `resolve` does.
    """
    try:
        return resolve(source, reference, run)
    except WithdrawnError as error:
        from assetctl.operations.acquire.search import known_elsewhere  # noqa: PLC0415 - few pages are withdrawn

        if known := known_elsewhere(workspace, error):
            error.hint = f"{' '.join(known)} Look for that hash elsewhere."
        raise


def _registered(
    workspace: Workspace, path: Path, resolution: Resolution, run: Run, name: str | None, labels: tuple[str, ...]
) -> PullResult:
    """Register a person's own file where it lies in the store: it is there already, and stays theirs."""
    import_files(workspace, [path], tags=labels, run=run)
    asset = workspace.catalog.read.at_path(str(path)) or workspace.catalog.read.find(str(path))
    return _known(workspace, asset, resolution, name, labels)


def pull_tokenizer(workspace: Workspace, run: Run) -> Path:
    """Fetch CLIP's vocabulary, which single-file checkpoints of sd1, sd2 and sdxl need.

    Raises:
        SourceError: It could not be fetched.
    """
    see_tokenizer_can_come(workspace)
    return fetch_tokenizer(workspace.store, run)


def see_tokenizer_can_come(workspace: Workspace) -> None:
    """See that CLIP's vocabulary is here, or that the network may be asked for it.

    Raises:
        OfflineError: Neither.
    """
    if workspace.settings.offline and installed_tokenizer(workspace.store) is None:
        raise OfflineError(
            "CLIP's vocabulary is not here, and the network is off.", "Unset ASSETCTL_OFFLINE and HF_HUB_OFFLINE."
        )


def fetched_before(workspace: Workspace, resolution: Resolution) -> int:
    """Bytes that an earlier, interrupted pull left."""
    return fetched_bytes(workspace.store.staging_of(_key(resolution)))


def _key(resolution: Resolution) -> str:
    """What the staging folder of an asset is found by."""
    return f"{resolution.source} {resolution.url or resolution.reference} {resolution.revision or ''}"


def _known(
    workspace: Workspace, asset: Asset, resolution: Resolution, name: str | None, tags: tuple[str, ...]
) -> PullResult:
    """A known asset gets the tags that were asked for and what the source says of it, and keeps its name."""
    learn(workspace, asset, resolution)
    added = [tag for tag in tags if tag not in asset.tags]
    if added:
        _tag(workspace, asset, tags)
    result = PullResult(workspace.catalog.read.by_id(asset.id), known=True)
    if added:
        result.warnings.append(f"It was here already, as {asset.name}, which is tagged now: {', '.join(added)}.")
    if name is not None:
        result.warnings += _misnamed(workspace, asset, name)
    return result


def _tag(workspace: Workspace, asset: Asset, tags: tuple[str, ...]) -> None:
    with workspace.catalog.write() as writer:
        writer.change_tags(asset.id, tags)


def _misnamed(workspace: Workspace, asset: Asset, name: str) -> list[str]:
    """A warning where an asset is not called as it was asked for: the name is another's, or it had one of its own."""
    if asset.name == name:
        return []
    taken = any(
        other.name.lower() == name.lower() != asset.name.lower() for other in workspace.catalog.read.called(name)
    )
    if taken:
        return [f"Another asset is called {name} already: this one is {asset.name}."]
    advice = f"`assetctl edit {asset.typed} --name {shlex.quote(name)}` renames it."
    return [f"These bytes are here already, as {asset.name}: {advice}"]


def _already_here(workspace: Workspace, resolution: Resolution) -> Asset | None:
    """The asset that has these bytes, told by the hash that the source promises, or by its exact revision."""
    read = workspace.catalog.read
    if len(resolution.files) == 1 and resolution.files[0].sha256:
        known = read.by_sha256(resolution.files[0].sha256)
    elif resolution.revision:
        known = read.by_origin(resolution.source, resolution.url, resolution.revision)
    else:
        known = None
    return known if known is not None and is_intact(workspace, known) else None


def _bring_tokenizer(workspace: Workspace, result: PullResult, run: Run, *, remote: bool) -> None:
    """A single-file checkpoint lacks one thing: the vocabulary of its text encoder."""
    asset = result.asset
    if not lacks_vocabulary(asset) or installed_tokenizer(workspace.store):
        return
    advice = f"To generate with {asset.name}, fetch CLIP's vocabulary once: `assetctl pull --support {asset.family}`."
    if not remote or workspace.settings.offline:
        result.warnings.append(advice)
        return
    try:
        fetch_tokenizer(workspace.store, run)
    except (SourceError, NotFoundError, FileError) as error:  # the asset is here, and whole
        result.warnings.append(f"{error.message} {advice}")
