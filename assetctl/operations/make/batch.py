"""Batch: a list of jobs, each made once, in the order that loads least, and gone on with after whatever ended it.

What was done is what the catalog says. A job is known by what it asks for, the folder of its pictures, and how many
jobs before it in the list ask for the same. Its seeds, where it names none, follow from that, and so do the names of
its pictures: one that was saved when the process was killed is found again, and recorded.
"""

from __future__ import annotations

import errno
import json
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import orjson

from assetctl.errors import (
    AssetctlError,
    CatalogError,
    FileError,
    IncompatibleError,
    InternalError,
    MissingExtraError,
    NameTakenError,
    NotFoundError,
    RefusedFileError,
    StorageError,
    UsageError,
)
from assetctl.files.disk import storage_errors
from assetctl.files.paths import absolute, read_regular, safe_name, safe_path
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
from assetctl.operations.make.plan import drawn, resolve
from assetctl.options import MAX_SEED, OPTIONS, RANDOM, is_number, option, shown
from assetctl.pictures import picture_record, read_record
from assetctl.pictures.saving import FORMATS
from assetctl.plan import loading_order
from assetctl.request import Output, Request, Use
from assetctl.run import Finished, Warned, leaving

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from assetctl.operations.make.generate import OutputPath
    from assetctl.operations.workspace import Workspace
    from assetctl.plan import Backend, Plan
    from assetctl.run import Run
    from assetctl.types import CheckReport

Status = Literal["made", "here", "failed", "waiting"]

#: Bytes of a list and of one line, and how many jobs a list has.
LARGEST, _LONGEST, _MOST = 2**26, 2**20, 100_000

#: What a job says beside the options of a picture, and how other programs and our own documents call it.
_KEYS = (
    "id", "prompt", "negative", "checkpoint", "loras", "embeddings", "vae", "recipe", "auto_embeddings", "dynamic",
    "count", "out", "format",
)  # fmt: skip
_OTHERS = {
    "negative_prompt": "negative", "model": "checkpoint", "lora": "loras", "embedding": "embeddings",
    "num_images": "count", "batch_size": "count", "n_iter": "count", "output": "out", "path": "out",
}  # fmt: skip

#: Characters of an `id`, and of the part of a key that stands in names of pictures.
_LONGEST_ID, _SHORT = 100, 12

#: Jobs that a warning names.
_MOST_NAMED = 10


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a job failed: an error's code, message and hint."""

    code: str
    message: str
    hint: str | None


@dataclass(frozen=True, slots=True)
class JobResult:
    """What became of one job of a list.

    Attributes:
        line: Where it stands in the list, counted from 1.
        id: What the list calls it.
        status: `made` now, `here` from an earlier run, `failed`, or `waiting`: to be made by another run, or by
            another process, which is at it.
        images: Its pictures, as far as there are any.
        error: Why it failed.
    """

    line: int
    id: str | None
    status: Status
    images: tuple[SavedPicture, ...] = ()
    error: AssetctlError | None = None

    @property
    def failure(self) -> Failure | None:
        """What its document says of the error, which itself says what became of all jobs."""
        return None if self.error is None else Failure(self.error.code, self.error.message, self.error.hint)


class InterruptedBatchError(KeyboardInterrupt):
    """A person stopped a batch. What was done is kept, and the same batch goes on with the rest.

    Attributes:
        done: What became of each job.
    """

    def __init__(self, done: Sequence[JobResult]) -> None:
        super().__init__("the batch was interrupted")
        self.done = tuple(done)


@dataclass(slots=True)
class _Job:
    """One line of a list, and what is known of it.

    Attributes:
        content: What it asks for, in one spelling.
        digest: Of that, and of how many before it ask for the same: what its seeds follow from, on any machine.
        key: Of that and of where its pictures go: what the catalog knows it by.
        parts: Its plans, each with the number of its first picture.
    """

    line: int
    id: str | None = None
    request: Request = field(default_factory=Request)
    content: bytes = b""
    digest: bytes = b""
    key: str = ""
    status: Status = "waiting"
    images: tuple[SavedPicture, ...] = ()
    error: AssetctlError | None = None
    parts: list[tuple[int, Plan, CheckReport]] = field(default_factory=list)

    @property
    def count(self) -> int:
        """How many pictures it has."""
        return self.request.count or 1

    @property
    def place(self) -> str:
        """What it is called in the list."""
        return f"line {self.line}" if self.id is None else f"line {self.line} ({self.id})"

    @property
    def result(self) -> JobResult:
        """What became of it."""
        return JobResult(self.line, self.id, self.status, self.images, self.error)

    def fail(self, error: AssetctlError) -> None:
        """Let the job have failed, and its error say which one it is."""
        error.reference, error.done = self.place, None
        if isinstance(error, IncompatibleError):  # a list of findings for each of many jobs is more than anybody reads
            error.message = next((each.message for each in error.findings if each.severity == "error"), error.message)
        if not error.message.startswith(self.place):
            error.message = f"{self.place}: {error.message}"
        self.status, self.error = "failed", error


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
    same home meanwhile. `Finished` is told of each, with the error's code of one that failed.

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
    folder = _folder(workspace, base.output)
    listed = _of_shard(_read(jobs, base, manifest, folder), *shard)

    def done() -> tuple[JobResult, ...]:
        return tuple(job.result for job in sorted(listed, key=lambda job: job.line))

    _look_up(workspace, listed)
    waiting = [job for job in listed if job.status == "waiting"]
    _plan(workspace, waiting, run)
    _tell_failed(listed, run)
    ready = [job for job in waiting if job.status == "waiting"]
    order = loading_order([job.parts[0][1] for job in ready])
    try:
        with leaving(done):
            _make_all(workspace, [] if dry_run else [ready[number] for number in order], backend, run)
    except AssetctlError as error:
        error.done = done()
        raise
    except KeyboardInterrupt as stop:
        raise InterruptedBatchError(done()) from stop
    return done()


def _folder(workspace: Workspace, output: Output | None) -> Path:
    """Where pictures of all jobs go, or below it.

    Raises:
        UsageError: It is the name of a picture.
    """
    out = absolute(workspace.settings.outputs if output is None or output.path is None else output.path)
    if out.suffix.lower() in FORMATS:
        raise UsageError(f"{out.name} is one picture, and a batch makes several.", "Name a folder with --out.")
    return out


# What jobs ask for.


def _read(jobs: bytes | Iterable[Mapping[str, Any]], base: Request, manifest: Path, folder: Path) -> list[_Job]:
    """The jobs of a list, those too that say nothing sensible, each with its error."""
    given = list(islice(_lines(jobs) if isinstance(jobs, bytes) else enumerate(jobs, 1), _MOST + 1))
    if len(given) > _MOST:
        raise UsageError(f"The list has more than {_MOST:,} jobs.", "Split it.")
    recipes: dict[str, Request] = {}
    seen: dict[bytes, int] = {}
    found = list[_Job]()
    for line, said in given:
        job = _Job(line, content=said if isinstance(said, bytes) else b"")
        found.append(job)
        try:
            asked = _parsed(said) if isinstance(said, bytes) else said
            _understand(job, asked, base, manifest, recipes, folder)
        except AssetctlError as error:
            job.fail(error)
        ordinal = seen[job.content] = seen.get(job.content, -1) + 1
        job.digest = sha256(job.content + b"\n%d" % ordinal).digest()
        job.key = sha256(job.digest + str(folder).encode()).hexdigest()[:32]
        if job.error is None:
            job.request = _with_seed(job)
    if not found:
        raise UsageError("The list has no jobs.", """Write one a line: {"prompt": "a cat", "seed": 7}.""")
    return found


def read_list(path: Path) -> bytes:
    """What a file says that has a job in each line.

    Raises:
        NotFoundError: There is none.
        UsageError: It is too large.
        StorageError: It cannot be read.
    """
    place = absolute(path)
    if not place.exists():
        raise NotFoundError(f"There is no file {path}.", "Name a file with one JSON object a line, or - for stdin.")
    try:
        return read_regular(place, LARGEST)
    except OSError as error:
        if error.errno == errno.EFBIG:
            raise UsageError(f"{path} has more than {LARGEST // 2**20} MB.", "Split it.") from error
        raise StorageError(f"{path} cannot be read: {error.strerror}.", "Check the path and its rights.") from error


def _lines(text: bytes) -> Iterator[tuple[int, bytes]]:
    """The lines that are jobs, and their numbers."""
    if len(text) > LARGEST:
        raise UsageError(f"The list has more than {LARGEST // 2**20} MB.", "Split it.")
    for number, line in enumerate(text.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        stripped = line.strip()
        if stripped and not stripped.startswith(b"#"):
            yield number, stripped


def _parsed(line: bytes) -> Mapping[str, Any]:
    """The object that a line is.

    Raises:
        UsageError: It is none, or says a thing twice.
    """
    if len(line) > _LONGEST:
        raise UsageError(f"It has more than {_LONGEST // 2**20} MB.", "A job is a prompt and settings.")
    try:
        found = orjson.loads(line)  # which refuses what Python's own reader lets pass: NaN, halves of characters
        if isinstance(found, dict):
            found = json.loads(line, object_pairs_hook=_each_once)
    except ValueError as error:
        why = "it is no UTF-8" if isinstance(error, UnicodeDecodeError) else str(error).partition(":")[0]
        raise UsageError(f"This is no JSON: {why}.", """A job is one line, like {"prompt": "a cat"}.""") from error
    if not isinstance(found, dict):
        raise UsageError("A job is a JSON object.", """Write {"prompt": "a cat", "seed": 7}, for example.""")
    return found


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise UsageError(f"It says {shown(twice)} twice.", "Leave one of them out.")
    return found


def _understand(
    job: _Job, asked: Mapping[str, Any], base: Request, manifest: Path, recipes: dict[str, Request], folder: Path
) -> None:
    """Fill in what a job asks for, laid over its recipe and over what all jobs share.

    Raises:
        UsageError: It makes no sense.
        NotFoundError: There is no such recipe.
    """
    if not isinstance(asked, dict):
        raise UsageError(f"A job is a JSON object, not {shown(asked)}.", """Write {"prompt": "a cat"}, for example.""")
    said = {name: value for name, value in asked.items() if value is not None}
    for name in said:
        _see_key(name)
    if "negative_prompt" in said:
        if "negative" in said:
            raise UsageError("It has a negative and a negative_prompt.", "Leave one of them out.")
        said["negative"] = said.pop("negative_prompt")
    job.id = _text(said, "id", _LONGEST_ID)
    recipe, out, format = _text(said, "recipe"), _text(said, "out"), _text(said, "format")  # noqa: A001 - as in a job
    request = _request(said)
    if recipe is not None:
        if recipe not in recipes:
            from assetctl.operations.select.check import read_recipe  # noqa: PLC0415 - most jobs name none

            recipes[recipe] = read_recipe(manifest, recipe)
        request = request.over(recipes[recipe])
    request = request.over(base)
    below = "" if out is None else _below(out)
    shared = base.output or Output()
    job.request = replace(
        request, output=Output(folder / below if below else folder, format or shared.format, shared.force)
    )
    job.content = _content(job, below)


def _see_key(name: str) -> None:
    """See that a job can say this.

    Raises:
        UsageError: It cannot.
    """
    if name in _KEYS or name == "negative_prompt" or any(name == each.name for each in OPTIONS):
        return
    if name in _OTHERS:
        raise UsageError(f"A job has no {shown(name)}.", f"Did you mean {_OTHERS[name]}?")
    try:
        option(name)
    except UsageError as error:
        near = error.hint if error.hint and error.hint.startswith("Did you mean") else f"It may have {', '.join(_KEYS)}"
        hint = near.partition("? There are")[0] + ("?" if near is error.hint else ", and the options of a picture.")
        raise UsageError(f"A job has no {shown(name)}.", hint) from None


def _text(said: Mapping[str, Any], name: str, most: int = _LONGEST) -> str | None:
    found = said.get(name)
    if found is None:
        return None
    if not isinstance(found, str) or not found or len(found) > most or "\0" in found:
        raise UsageError(f"{name} must be a text, not {shown(found)}.", None)
    return found


def _request(said: Mapping[str, Any]) -> Request:
    """What a job itself asks for."""
    uses = [Use(role, name) for role in ("checkpoint", "vae") if (name := _text(said, role)) is not None]
    uses += _loras(said.get("loras", []))
    uses += [Use("embedding", name) for name in _names(said.get("embeddings", []), "embeddings")]
    for name in ("auto_embeddings", "dynamic"):
        if not isinstance(said.get(name, False), bool):
            raise UsageError(f"{name} must be true or false, not {shown(said[name])}.")
    return Request(
        tuple(uses),
        said.get("prompt"),
        said.get("negative"),
        {each.name: said[each.name] for each in OPTIONS if each.name in said},
        count=said.get("count"),
        auto_embeddings=said.get("auto_embeddings"),
        dynamic=said.get("dynamic"),
    )


def _loras(said: object) -> list[Use]:
    if not isinstance(said, dict):
        return [Use.parse("lora", name) for name in _names(said, "loras")]
    for name, weight in said.items():
        if weight is not None and not is_number(weight):
            raise UsageError(f"The weight of {shown(name)} is {shown(weight)}.", """Write {"whiskers": 0.8}.""")
    return [Use("lora", name, None if weight is None else float(weight)) for name, weight in said.items()]


def _names(said: object, called: str) -> list[str]:
    if not isinstance(said, list) or not all(isinstance(each, str) and each for each in said):
        raise UsageError(f"{called} must be a list of names, not {shown(said)}.", f'Write "{called}": ["whiskers"].')
    return said


def _below(out: str) -> str:
    """A folder or a picture's name within the folder of the batch: a list is not to write elsewhere.

    Raises:
        UsageError: It leads out of that.
    """
    try:
        return safe_path(out.removeprefix("./").removesuffix("/"), "It")
    except RefusedFileError as error:
        hint = "Name a file or folder below that of the batch, which --out names."
        raise UsageError(f"out leads out of the batch's folder, or is no path: {shown(out)}.", hint) from error


def _content(job: _Job, below: str) -> bytes:
    """What makes a job another one: all that it asks for, however it is written down."""
    request, output = job.request, job.request.output or Output()
    numbers = {each.name for each in OPTIONS if each.type is float}
    settings = {name: float(value) if name in numbers else value for name, value in request.settings.items()}
    said = {
        "uses": [(use.role, use.reference, use.weight) for use in request.uses],
        "prompts": (request.prompt, request.negative_prompt),
        "settings": {name: value for name, value in settings.items() if (name, value) != ("seed", RANDOM)},
        "count": job.count,
        "words": (request.auto_embeddings is not False, bool(request.dynamic)),
        "out": (below, output.format),
        "id": job.id,
    }
    try:
        return orjson.dumps(said, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError as error:
        raise UsageError("It has a text that is no valid Unicode.", "Write it anew.") from error


def _with_seed(job: _Job) -> Request:
    """The request with a seed: one by chance is the same in every run, and on every machine."""
    if job.request.settings.get("seed", RANDOM) != RANDOM:
        return job.request
    seed = int.from_bytes(job.digest[:8], "big") % (MAX_SEED - job.count)
    return replace(job.request, settings={**job.request.settings, "seed": seed})


def _of_shard(jobs: list[_Job], part: int, parts: int) -> list[_Job]:
    """The jobs that are made here: those of one checkpoint lie together, and every part makes as many pictures."""
    if not 1 <= part <= parts:
        raise UsageError(f"There is no part {part} of {parts}.", "Write --shard 1/4, …, --shard 4/4 for four machines.")
    assets = {id(job): [(use.role or "", use.reference) for use in job.request.uses] for job in jobs}
    together = sorted(jobs, key=lambda job: (assets[id(job)], job.digest))
    whole, before = sum(job.count for job in jobs), 0
    found = list[_Job]()
    for job in together:
        if before * parts // whole == part - 1:
            found.append(job)
        before += job.count
    return found


# What is there, and what can be made.


def _look_up(workspace: Workspace, jobs: Sequence[_Job]) -> None:
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


def _plan(workspace: Workspace, jobs: Sequence[_Job], run: Run) -> None:
    """See of each job whether it can be made, and how; of one that cannot, why."""
    known: dict[object, Any] = {}
    names: dict[Path, _Job] = {}
    for job in sorted(jobs, key=lambda job: job.line):
        run.check()
        try:
            job.parts = _parts(workspace, job, known)
            if job.request.output not in known:
                known[job.request.output] = _target(workspace, job)
            target: OutputPath = replace(known[job.request.output], stem=_stem(job))
            for path in () if target.name is None else target.planned(job.count):
                if (other := names.setdefault(Path(path), job)) is not job:
                    raise UsageError(f"{other.place} has {path} already.", "Name another file in out, or a folder.")
            wanted = [(number, seed, plan) for number, seed, plan in _missing(job) if target.name is not None]
            target.require_free(
                number for number, seed, plan in wanted if not _saved_before(workspace, plan, target, number, seed)
            )
        except CatalogError:
            raise
        except AssetctlError as error:
            job.fail(error)


def _tell_failed(jobs: Sequence[_Job], run: Run) -> None:
    """Say, before anything is loaded, which jobs cannot be made."""
    failed = [job.place for job in sorted(jobs, key=lambda job: job.line) if job.status == "failed"]
    if failed and len(failed) < len(jobs):
        named = ", ".join(failed[:_MOST_NAMED]) + (", …" if len(failed) > _MOST_NAMED else "")
        run.tell(Warned(message=f"{len(failed)} of {len(jobs)} jobs cannot be made, and are left out: {named}."))


def _parts(
    workspace: Workspace, job: _Job, known: dict[object, Any] | None = None
) -> list[tuple[int, Plan, CheckReport]]:
    """The plans of a job: one, or one for each picture of which the prompts are drawn."""
    found, number = [], 1
    for request in drawn(workspace, job.request):
        plan, report = resolve(workspace, request, known)
        found.append((number, plan, report))
        number += len(plan.seeds)
    return found


def _missing(job: _Job) -> list[tuple[int, int, Plan]]:
    """Number, seed and plan of each picture that is not there."""
    there = {image.seed for image in job.images}
    return [
        (number, seed, plan)
        for first, plan, _ in job.parts
        for number, seed in enumerate(plan.seeds, first)
        if seed not in there
    ]


def _target(workspace: Workspace, job: _Job) -> OutputPath:
    return replace(find_output_path(workspace, job.request.output, count=0), stem=_stem(job))


def _stem(job: _Job) -> str:
    """What names of its pictures begin with, where it names none."""
    return job.key[:_SHORT] if job.id is None else f"{safe_name(job.id)[: _LONGEST_ID // 2]}-{job.key[: _SHORT // 2]}"


# Making them.


def _make_all(workspace: Workspace, jobs: Sequence[_Job], backend: Backend, run: Run) -> None:
    """Make these jobs; those that another process is at are looked at again when all others are done."""
    busy = [job for job in jobs if not _make(workspace, job, backend, run)]
    for job in busy:
        _make(workspace, job, backend, run)


def _make(workspace: Workspace, job: _Job, backend: Backend, run: Run) -> bool:
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
            if not isinstance(error, NameTakenError):
                raise
            job.fail(error)
        except AssetctlError as error:
            job.fail(error)
        except Exception as error:  # noqa: BLE001 - whatever a backend raises is told of the job that it is about
            job.fail(InternalError(f"{type(error).__name__}: {error}", "Run it alone with --debug, and report it."))
    run.tell(Finished(task=job.place, error=None if job.error is None else job.error.code))
    return True


def _make_missing(workspace: Workspace, job: _Job, backend: Backend, run: Run) -> None:
    """Make the pictures of a job that are not there: what is known of it is asked anew, since it may have changed."""
    _look_up(workspace, [job])
    if job.status == "here":
        return
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


def _take_up(workspace: Workspace, job: _Job, target: OutputPath, run: Run) -> None:
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
        if not workspace.catalog.generations.has_file(entry.image_sha256):
            return path
    return None


def _essence(said: Mapping[str, Any]) -> object:
    """What a record says of the picture, whoever wrote it and on what machine."""
    settings = {each.name: said.get(each.name, each.silent) for each in OPTIONS}
    assets = [(each["role"], each["sha256"], each.get("weight")) for each in _objects(said.get("assets"))]
    return said.get("prompt"), said.get("negative_prompt"), said.get("prediction"), settings, assets


def _objects(said: object) -> list[dict[str, Any]]:
    """Assets of a record, which may be anyone's."""
    found = said if isinstance(said, list) else []
    return [each for each in found if isinstance(each, dict) and {"role", "sha256"} <= each.keys()]


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
    try:
        yield lock.is_locked
    finally:
        if lock.is_locked:
            release(lock)
