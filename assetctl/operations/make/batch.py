"""Batch: a list of jobs, each made once, in the order that loads least, and gone on with after whatever ended it.

What was done is what the catalog says. Names of pictures follow from their job: one that was saved when the process
was killed is found again, and recorded.
"""

from __future__ import annotations

import errno
import os
import time
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assetctl.errors import (
    AssetctlError,
    CatalogError,
    FileError,
    GenerationError,
    InternalError,
    MissingExtraError,
    NameTakenError,
    StorageError,
)
from assetctl.files.disk import storage_errors
from assetctl.operations.make.generate import (
    Place,
    SavedPicture,
    entry_of,
    find_output_path,
    make,
    record,
    see_files,
    with_hashes,
)
from assetctl.operations.make.jobs import Job, JobResult, folder_of, jobs_of, of_shard, stem_of
from assetctl.operations.make.plan import drawn, resolve
from assetctl.options import OPTIONS
from assetctl.pictures import picture_record, read_record
from assetctl.request import Request, loading_order
from assetctl.run import Finished, Warned, leaving

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from assetctl.operations.make.generate import OutputPath
    from assetctl.operations.workspace import Workspace
    from assetctl.request import Backend, Plan
    from assetctl.run import Run
    from assetctl.types import CheckReport

#: How often a process may end while it makes a job, before others are made first.
_DEADLY = 3

#: Seconds without a picture after which another process is waited for no longer, and between two looks at it.
_PATIENCE, _LOOK = 1800.0, 1.0

#: Seconds for which a plan need not be made anew.
_FRESH = 1.0

#: Jobs that a warning names.
_MOST_NAMED = 10


class InterruptedBatchError(KeyboardInterrupt):
    """A person stopped a batch. What was done is kept, and the same batch goes on with the rest.

    Attributes:
        done: What became of each job.
    """

    def __init__(self, done: Sequence[JobResult]) -> None:
        super().__init__("the batch was interrupted")
        self.done = tuple(done)


def generate_batch(
    workspace: Workspace,
    jobs: bytes | Iterable[Mapping[str, Any]],
    backend: Backend,
    *,
    base: Request | None = None,
    manifest: Path = Path("registry.toml"),
    shard: tuple[int, int] = (1, 1),
    dry_run: bool = False,
    run: Run,
) -> tuple[JobResult, ...]:
    """Make the pictures of all jobs of a list that are not there yet; what one fails by keeps no other.

    All are looked at before anything is loaded. Each is made by one process, whoever works on the same list in the
    same home meanwhile. `Finished` is told of each that ends, with the error's code of one that failed.

    Args:
        workspace: The home.
        jobs: What each asks for; or a text with a JSON object in each line, blank ones and comments (`#`) aside.
        backend: Who makes pictures.
        base: What holds where a job says nothing else; its output names a folder.
        manifest: Where recipes are, which jobs may name.
        shard: Which part of how many is made here: together they are the list, each job in one of them.
        dry_run: Only say what would be made.
        run: Told of every step.

    Returns:
        What became of each job of the shard, in the order of the list.

    Raises:
        UsageError: The list is none, is too large, or the output is no folder.
        InterruptedBatchError, Cancelled: A person stopped it; `done` says what became of each job.
        StorageError, CatalogError, MissingExtraError: Nothing more can be saved, or made; `done` says likewise.
    """
    base = base or Request()
    folder = folder_of(workspace, base.output)
    every = jobs_of(jobs, base, manifest, folder, workspace.settings.home)
    listed = of_shard(every, *shard)
    if not listed:
        what = f"0 of {len(every)} job{'' if len(every) == 1 else 's'} are this part's: there are fewer than parts."
        run.tell(Warned(message=what, hint=f"Write --shard 1/{len(every)} for as many parts as there are jobs."))

    def done() -> tuple[JobResult, ...]:
        return tuple(job.result for job in sorted(listed, key=lambda job: job.line))

    _look_up(workspace, listed)
    waiting = [job for job in listed if job.status == "waiting"]
    _plan(workspace, waiting, run)
    _tell_what_was_seen(listed, run)
    ready = [job for job in waiting if job.status == "waiting"]
    try:
        with leaving(done):
            if not dry_run:
                _clear_marks(workspace, {job.key for job in listed if job.status == "here"})
                _make_all(workspace, _in_order(workspace, ready, run), backend, run)
    except AssetctlError as error:
        error.done = done()
        raise
    except KeyboardInterrupt as stop:
        raise InterruptedBatchError(done()) from stop
    return done()


# What is there, and what can be made.


def made(workspace: Workspace, jobs: Iterable[Mapping[str, Any]]) -> list[int]:
    """The numbers of the pictures that there are of jobs, in their order."""
    listed = _of_home(workspace, jobs)
    _look_up(workspace, listed)
    return [image.number for job in listed for image in job.images]


def clear_claims(workspace: Workspace, jobs: Iterable[Mapping[str, Any]]) -> None:
    """Take away what is left of claims of jobs that nobody makes any more; what a process is at stays its own."""
    jobs = list(jobs)
    if jobs and (workspace.settings.home / "jobs").is_dir():
        _clear_marks(workspace, {job.key for job in _of_home(workspace, jobs)})


def _of_home(workspace: Workspace, jobs: Iterable[Mapping[str, Any]]) -> list[Job]:
    """Jobs that lie over nothing, and whose pictures go into the home."""
    return jobs_of(jobs, Request(), Path("registry.toml"), folder_of(workspace, None), workspace.settings.home)


def _look_up(workspace: Workspace, jobs: Sequence[Job]) -> None:
    """Know of each job which of its pictures are there."""
    known = workspace.catalog.generations.of_jobs(job.key for job in jobs if job.error is None)
    for job in jobs:
        if job.key in known:
            job.images = tuple(
                SavedPicture(each.image_path, each.settings["seed"], each.number, each.image_sha256, {})
                for each in known[job.key]
            )
            if job.status == "waiting" and len(job.images) >= job.count:
                job.status = "here"


def _plan(workspace: Workspace, jobs: Sequence[Job], run: Run) -> None:
    """See of each job whether it can be made, and how; of one that cannot, why."""
    known: dict[object, Any] = {}
    for job in sorted(jobs, key=lambda job: job.line):
        run.check()
        try:
            job.planned = time.monotonic() if len(jobs) == 1 else None
            job.parts = _parts(workspace, job, known)
            if job.request.output not in known:
                known[job.request.output] = _target(workspace, job)
            target: OutputPath = replace(known[job.request.output], stem=stem_of(job))
            wanted = [(number, seed, plan) for number, seed, plan in _missing(job) if target.name is not None]
            target.require_free(
                number for number, seed, plan in wanted if not _saved_before(workspace, plan, target, number, seed)
            )
        except CatalogError:
            raise
        except AssetctlError as error:
            job.fail(error)
        except Exception as error:  # noqa: BLE001 - one job's defect keeps no other
            job.fail(_defect(error))


def _defect(error: Exception) -> InternalError:
    return InternalError(f"{type(error).__name__}: {error}", "Run it alone with --debug, and report it.")


#: What keeps a job's own folder or name from being used, and says nothing of others.
_OWN = frozenset(
    {errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENOENT, errno.ENAMETOOLONG, errno.ELOOP, errno.EACCES}
)


def _is_its_own(error: StorageError) -> bool:
    """Whether what could not be saved is a matter of that job's folder alone."""
    cause = error.__cause__
    return isinstance(error, NameTakenError) or (isinstance(cause, OSError) and cause.errno in _OWN)


def _tell_what_was_seen(jobs: Sequence[Job], run: Run) -> None:
    """Say, before anything is loaded, which jobs cannot be made, and which were made and have lost a picture."""
    failed = [job for job in sorted(jobs, key=lambda job: job.line) if job.status == "failed"]
    for job in failed:
        run.tell(Finished(task=job.place, error=None if job.error is None else job.error.code))
    if failed and len(failed) < len(jobs):
        run.tell(
            Warned(message=f"{len(failed)} of {len(jobs)} jobs cannot be made, and are left out: {_named(failed)}.")
        )
    gone = [job for job in jobs if job.status == "here" and not all(os.path.lexists(each.path) for each in job.images)]
    if gone:
        what = f"Pictures of {len(gone)} jobs that were made are no longer where they were saved: {_named(gone)}."
        run.tell(Warned(message=what, hint="To have a job made once more, give it an `id`, or another --out."))


def _named(jobs: Sequence[Job]) -> str:
    return ", ".join(job.place for job in jobs[:_MOST_NAMED]) + (", …" if len(jobs) > _MOST_NAMED else "")


def _parts(
    workspace: Workspace, job: Job, known: dict[object, Any] | None = None
) -> list[tuple[int, Plan, CheckReport]]:
    """The plans of a job: one, or one for each picture of which the prompts are drawn."""
    found, number = [], 1
    for request in drawn(workspace, job.request):
        plan, report = resolve(workspace, request, known)
        found.append((number, plan, report))
        number += len(plan.seeds)
    return found


def _missing(job: Job) -> list[tuple[int, int, Plan]]:
    """Number, seed and plan of each picture that is not there."""
    there = {image.seed for image in job.images}
    return [
        (number, seed, plan)
        for first, plan, _ in job.parts
        for number, seed in enumerate(plan.seeds, first)
        if seed not in there
    ]


def _target(workspace: Workspace, job: Job) -> OutputPath:
    return replace(find_output_path(workspace, job.request.output, count=0), stem=stem_of(job))


# Making them.


def _in_order(workspace: Workspace, jobs: Sequence[Job], run: Run) -> list[Job]:
    """The jobs as they load least; those come last that ended the process each time that they were begun.

    Their checkpoint comes last with them: it is loaded once all the same.
    """
    plans = [job.parts[0][1] for job in jobs]
    order = loading_order(plans)
    deadly = {number for number, job in enumerate(jobs) if _begun(workspace, job.key) >= _DEADLY}
    for number in sorted(deadly):
        run.tell(Warned(message=f"{jobs[number].place} comes last: the process ended whenever it was begun."))
    late = [plans[number].checkpoint for number in order if number in deadly]
    groups = {checkpoint: position for position, checkpoint in enumerate(dict.fromkeys(late), 1)}
    order.sort(key=lambda number: (groups.get(plans[number].checkpoint, 0), number in deadly))
    return [jobs[number] for number in order]


def _make_all(workspace: Workspace, jobs: Sequence[Job], backend: Backend, run: Run) -> None:
    """Make these jobs; what another process is at is waited for, and made here as far as that leaves it."""
    busy = [job for job in jobs if not _make(workspace, job, backend, run)]
    if busy:
        which = f"{len(busy)} job{'' if len(busy) == 1 else 's'}: {_named(busy)}"
        run.tell(Warned(message=f"Another process is at {which}. What it leaves is made here.", hint=None))
    since, there = time.monotonic(), 0
    while busy := [job for job in busy if not _make(workspace, job, backend, run)]:
        _look_up(workspace, busy)
        if (now := sum(len(job.images) for job in busy) - len(busy)) != there:
            since, there = time.monotonic(), now
        if time.monotonic() - since > _PATIENCE:
            break
        run.wait(_LOOK)
    for job in busy:
        what = f"another process is at it, and has made no picture for {_PATIENCE / 60:g} minutes"
        error = GenerationError(f"{job.place}: {what}.", "Run the same command when that process has ended.")
        error.reference, job.error = job.place, error


def _make(workspace: Workspace, job: Job, backend: Backend, run: Run) -> bool:
    """Make one job; whether it is done, or has failed, and is not another process's.

    Raises:
        StorageError, CatalogError, MissingExtraError: What keeps all others from being made as well.
    """
    with _claimed(workspace, job.key) as is_ours:
        if not is_ours:
            return False
        try:
            _make_missing(workspace, job, backend, run)
        except (CatalogError, MissingExtraError):
            raise
        except StorageError as error:
            if not _is_its_own(error):
                raise
            job.fail(error)
        except AssetctlError as error:
            job.fail(error)
        except Exception as error:  # noqa: BLE001 - whatever a backend raises is told of the job that it is about
            job.fail(_defect(error))
    run.tell(Finished(task=job.place, error=None if job.error is None else job.error.code))
    return True


def _make_missing(workspace: Workspace, job: Job, backend: Backend, run: Run) -> None:
    """Make the pictures of a job that are not there: what is known of it is asked anew where it may have changed."""
    _look_up(workspace, [job])
    if job.status == "here":
        return
    if job.planned is None or time.monotonic() - job.planned > _FRESH:
        job.parts = _parts(workspace, job)
    for _, plan, _ in job.parts:
        see_files(workspace, plan)
    target = _target(workspace, job).made()
    _take_up(workspace, job, target, run)
    wanted = {seed: number for number, seed, _ in _missing(job)}
    target.require_free(wanted.values())
    for _, plan, report in job.parts:
        seeds = tuple(seed for seed in plan.seeds if seed in wanted)
        if not seeds:
            continue
        place = Place(job.key, [wanted[seed] for seed in seeds])
        try:
            result = make(workspace, replace(plan, seeds=seeds), report, backend, target, run, place)
        except BaseException as stop:
            job.images += tuple(getattr(stop, "done", None) or ())
            raise
        job.images += result.images
    job.status = "made"


def _take_up(workspace: Workspace, job: Job, target: OutputPath, run: Run) -> None:
    """Record the pictures of a job that were saved when the process ended which made them."""
    for number, seed, plan in _missing(job):
        whole = with_hashes(workspace, plan, run) if next(target.taken(number, seed), None) else plan
        found = _saved_before(workspace, whole, target, number, seed)
        if found is not None:
            said = read_record(found) or {}
            job.images += (record(workspace, replace(entry_of(whole, found, seed, said), job=job.key)),)


def _saved_before(workspace: Workspace, plan: Plan, target: OutputPath, number: int, seed: int) -> Path | None:
    """The picture that was made of this plan with this seed for this very place, and is in no history."""
    for path in target.taken(number, seed):
        try:
            said = read_record(path) if path.is_file() and not path.is_symlink() else None
        except (FileError, StorageError):
            continue
        if said is None or _essence(said) != _essence(picture_record(plan, seed, {})):
            continue
        entry = entry_of(plan, path, seed, said)
        if not workspace.catalog.generations.has_file(entry.image_sha256, entry.image_path):
            return path
    return None


def _essence(said: Mapping[str, Any]) -> object:
    """What a record says of the picture, whoever wrote it and on what machine."""
    settings = {each.name: said.get(each.name, each.silent) for each in OPTIONS}
    assets = [
        (each["role"], each["sha256"], each.get("weight"), each.get("text_weight"))
        for each in _objects(said.get("assets"))
    ]
    return said.get("prompt"), said.get("negative_prompt"), said.get("prediction"), settings, assets


def _objects(said: object) -> list[dict[str, Any]]:
    """Assets of a record, which may be anyone's."""
    found = said if isinstance(said, list) else []
    return [each for each in found if isinstance(each, dict) and {"role", "sha256"} <= each.keys()]


def _begun(workspace: Workspace, key: str) -> int:
    """How often a job was begun and never ended."""
    try:
        return _mark(workspace, key).stat().st_size
    except OSError:
        return 0


def _mark(workspace: Workspace, key: str) -> Path:
    """A file that is there while a job is made, with a byte for each time that it was begun."""
    return workspace.settings.home / "jobs" / f"{key}.begun"


def _clear_marks(workspace: Workspace, keys: AbstractSet[str]) -> None:
    """Take away what is left of claims: their process was killed."""
    folder = workspace.settings.home / "jobs"
    with storage_errors(f"read {folder}"):
        left = {path.stem for path in folder.iterdir()} & keys if keys and folder.is_dir() else set()
    for key in left:
        with _claimed(workspace, key):
            pass


@contextmanager
def _claimed(workspace: Workspace, key: str) -> Iterator[bool]:
    """Whether a job is ours while the block runs: the system takes the claim back from a process that has ended."""
    from filelock import FileLock, Timeout  # noqa: PLC0415 - as where the store's locks are

    from assetctl.store.store import release  # noqa: PLC0415 - likewise

    path = workspace.settings.home / "jobs" / f"{key}.lock"
    lock = FileLock(path)
    with storage_errors(f"lock {path}"):
        path.parent.mkdir(parents=True, exist_ok=True)
        while not (lock.is_locked and path.exists()):  # whoever held it before has removed it
            lock.release()
            try:
                lock.acquire(timeout=0)
            except Timeout:
                break
    if not lock.is_locked:
        yield False
        return
    mark = _mark(workspace, key)
    try:
        with storage_errors(f"write {mark}"), mark.open("ab") as file:
            file.write(b".")
        yield True
    finally:
        with suppress(OSError):
            mark.unlink()
        release(lock)
