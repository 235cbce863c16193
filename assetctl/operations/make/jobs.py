"""Jobs: what a list asks for, line by line, and what each job is known by.

A job is known by what it asks for, the folder of its pictures, and how many jobs before it in the list ask for the
same. Its seeds, where it names none, follow from that, on any machine.
"""

from __future__ import annotations

import errno
import json
from collections import Counter
from dataclasses import dataclass, field, replace
from hashlib import sha256
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

import orjson

from assetctl.errors import (
    AssetctlError,
    IncompatibleError,
    NotFoundError,
    RefusedFileError,
    StorageError,
    UsageError,
)
from assetctl.files.paths import absolute, read_regular, safe_name, safe_path
from assetctl.options import MAX_SEED, OPTIONS, RANDOM, option, parse_sides, shown, together
from assetctl.pictures.saving import FORMATS
from assetctl.request import Output, Request, Use, lora_uses

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from assetctl.operations.make.generate import SavedPicture
    from assetctl.operations.workspace import Workspace
    from assetctl.request import Plan
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
            another process, which is at it: then there is an error that says so.
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


@dataclass(slots=True)
class Job:
    """One line of a list, and what is known of it.

    Attributes:
        content: What it asks for, in one spelling.
        digest: Of that, and of how many before it ask for the same: what its seeds follow from, on any machine.
        key: Of that and of where its pictures go: what the catalog knows it by.
        parts: Its plans, each with the number of its first picture.
        is_written: Whether it is a line of a text, which its errors then name for who reads many of them.
        planned: When they were made, on the clock of `time.monotonic`, if no other job's word was taken for it.
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
    is_written: bool = True
    planned: float | None = None

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
        """Let the job have failed, and its error say why, and of a line of a text, which one it is."""
        error.reference, error.done = self.place, None
        if isinstance(error, IncompatibleError):  # a list of findings for each of many jobs is more than anybody reads
            error.message = next((each.message for each in error.findings if each.severity == "error"), error.message)
        if self.is_written and not error.message.startswith(self.place):
            error.message = f"{self.place}: {error.message}"
        self.status, self.error = "failed", error


def folder_of(workspace: Workspace, output: Output | None) -> Path:
    """Where pictures of all jobs go, or below it.

    Raises:
        UsageError: It is the name of a picture.
    """
    out = absolute(workspace.settings.outputs if output is None or output.path is None else output.path)
    if out.suffix.lower() in FORMATS:
        raise UsageError(f"{out.name} is one picture, and a batch makes several.", "Name a folder with --out.")
    return out


def jobs_of(
    jobs: bytes | Iterable[Mapping[str, Any]], base: Request, manifest: Path, folder: Path, home: Path
) -> list[Job]:
    """The jobs of a list, those too that say nothing sensible, each with its error."""
    given = list(islice(_lines(jobs) if isinstance(jobs, bytes) else enumerate(jobs, 1), _MOST + 1))
    if len(given) > _MOST:
        raise UsageError(f"The list has more than {_MOST:,} jobs.", "Split it.")
    where = folder.relative_to(home) if folder.is_relative_to(home) else folder  # a home may be moved
    recipes: dict[str, Request] = {}
    seen: dict[bytes, int] = {}
    found: list[Job] = []
    for line, said in given:
        job = Job(line, content=said if isinstance(said, bytes) else b"", is_written=isinstance(said, bytes))
        found.append(job)
        try:
            asked: Any = _parsed(said) if isinstance(said, bytes) else said
            _understand(job, asked, base, manifest, recipes, folder)
        except AssetctlError as error:
            job.fail(error)
        ordinal = seen[job.content] = seen.get(job.content, -1) + 1
        job.digest = sha256(job.content + b"\n%d" % ordinal).digest()
        job.key = sha256(job.digest + str(where).encode()).hexdigest()[:32]
        if job.error is None:
            job.request = _with_seed(job)
    if not found:
        raise UsageError("The list has no jobs.", """Write one a line: {"prompt": "a cat", "seed": 7}.""")
    _see_names(found)
    return found


def _see_names(jobs: Sequence[Job]) -> None:
    """Let a job fail whose picture has the name of one before it in the list, whichever run or machine makes that."""
    owners: dict[Path, Job] = {}
    for job in jobs:
        path = None if job.request.output is None else job.request.output.path
        if job.error is not None or path is None or path.suffix.lower() not in FORMATS:
            continue
        names = [path.with_stem(f"{path.stem}-{number}") if number > 1 else path for number in range(1, job.count + 1)]
        taken = next((each for name in names for each in (name, *name.parents) if each in owners), None)
        if taken is not None:
            hint = "Name another file in out, or a folder."
            job.fail(UsageError(f"{owners[taken].place} has {taken} already.", hint))
            continue
        owners |= dict.fromkeys(names, job)


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
    except RecursionError as error:
        raise UsageError(
            "This is JSON in JSON, too deep.", """A job is one line, like {"prompt": "a cat"}."""
        ) from error
    except ValueError as error:
        why = "it is no UTF-8" if isinstance(error, UnicodeDecodeError) else str(error).partition(": line ")[0]
        raise UsageError(f"This is no JSON: {why}.", """A job is one line, like {"prompt": "a cat"}.""") from error
    if not isinstance(found, dict):
        raise UsageError("A job is a JSON object.", """Write {"prompt": "a cat", "seed": 7}, for example.""")
    return found


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(name for name, times in Counter(name for name, _ in pairs).items() if times > 1)
        raise UsageError(f"It says {shown(twice)} twice.", "Leave one of them out.")
    return found


def _understand(
    job: Job, asked: Mapping[str, Any], base: Request, manifest: Path, recipes: dict[str, Request], folder: Path
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
    said = _by_names(said)
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


def _by_names(said: dict[str, Any]) -> dict[str, Any]:
    """What a job says, options by their names: it may use those of recipes too.

    Raises:
        UsageError: It says a thing by both names, or a size that is none.
    """
    found = dict(said)
    for key, options in together("key").items():
        if key not in said or key == options[0].name:
            continue
        for each in options:
            if each.name in said:
                raise UsageError(f"It has a {key} and a {each.name}.", "Leave one of them out.")
        value = found.pop(key)
        if len(options) == 1:
            found[options[0].name] = value
        elif isinstance(value, str):
            found |= parse_sides(options, value)
        else:
            raise UsageError(f"{shown(value)} is no {key}.", "Write width and height in pixels, like 768x512.")
    return found


def _see_key(name: str) -> None:
    """See that a job can say this.

    Raises:
        UsageError: It cannot.
    """
    if not isinstance(name, str):
        raise UsageError(f"A job has no {shown(name)}.", "Its keys are texts.")
    if name in _KEYS or name == "negative_prompt" or any(name in (each.name, each.key) for each in OPTIONS):
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
    loras = said.get("loras", [])
    uses += lora_uses(loras if isinstance(loras, dict) else _names(loras, "loras"))
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


def _content(job: Job, below: str) -> bytes:
    """What makes a job another one: all that it asks for, however it is written down."""
    request, output = job.request, job.request.output or Output()
    numbers = {each.name for each in OPTIONS if each.type is float}
    settings = {name: float(value) if name in numbers else value for name, value in request.settings.items()}
    said = {
        "uses": [
            (use.role, use.reference, use.weight, *([] if use.text_weight is None else [use.text_weight]))
            for use in request.uses
        ],
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


def _with_seed(job: Job) -> Request:
    """The request with a seed: one by chance is the same in every run, and on every machine."""
    if job.request.settings.get("seed", RANDOM) != RANDOM:
        return job.request
    seed = int.from_bytes(job.digest[:8], "big") % (MAX_SEED - job.count)
    return replace(job.request, settings={**job.request.settings, "seed": seed})


#: How often all parts of a list are held against each other.
_ROUNDS = 64


def of_shard(jobs: list[Job], part: int, parts: int) -> list[Job]:
    """The jobs that are made here: each part makes as many pictures, as nearly as whole jobs come to that.

    Jobs of one checkpoint lie together where that costs no evenness. It follows from the list alone, on any machine.
    """
    if not 1 <= part <= parts:
        raise UsageError(f"There is no part {part} of {parts}.", "Write --shard 1/4, …, --shard 4/4 for four machines.")
    assets = {id(job): [(use.role or "", use.reference) for use in job.request.uses] for job in jobs}
    together = sorted(jobs, key=lambda job: (assets[id(job)], job.digest))
    if parts >= len(together):
        return together[part - 1 : part]
    found, whole, rest = list[list[Job]](), sum(job.count for job in jobs), parts
    for job in sorted(together, key=lambda job: -job.count):  # one that is more than a part has it to itself
        if job.count * rest <= whole:
            break
        found.append([job])
        whole, rest = whole - job.count, rest - 1
    alone, before = {id(job) for each in found for job in each}, 0
    shared: list[list[Job]] = [[] for _ in range(rest)]
    for job in together:
        if id(job) not in alone:
            shared[(2 * before + job.count) * rest // (2 * whole)].append(job)  # where the middle of its pictures lies
            before += job.count
    _even_out(shared)
    return (found + shared)[part - 1]


def _even_out(parts: list[list[Job]]) -> None:
    """Let parts with many pictures hand jobs to those with few, or exchange some, until that evens out nothing."""
    loads = [sum(job.count for job in each) for each in parts]
    for _ in range(_ROUNDS):
        order = sorted(range(len(parts)), key=lambda number: (loads[number], number))
        moved = 0
        for few, most in zip(order[: len(order) // 2], reversed(order), strict=False):
            if loads[most] - loads[few] < 2:  # a picture more than another is as even as it gets
                break
            moved += (by := _exchange(parts[most], parts[few], loads[most] - loads[few]))
            loads[most], loads[few] = loads[most] - by, loads[few] + by
        if not moved:
            return


def _exchange(more: list[Job], fewer: list[Job], apart: int) -> int:
    """Move a job, or exchange two, so that two parts differ least; the number of pictures that went over."""
    giving, taking = ({job.count: number for number, job in enumerate(each)} for each in (more, fewer))
    gains = ((abs(apart - 2 * (give - take)), take, give) for give in giving for take in (0, *taking))
    left, take, give = min(gains)
    if left >= apart:
        return 0
    given = more.pop(giving[give])
    if take:
        more.append(fewer.pop(taking[take]))
    fewer.append(given)
    return give - take


def stem_of(job: Job) -> str:
    """What names of its pictures begin with, where it names none."""
    return job.key[:_SHORT] if job.id is None else f"{safe_name(job.id)[: _LONGEST_ID // 2]}-{job.key[: _SHORT // 2]}"
