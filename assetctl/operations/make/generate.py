"""Generate: make the pictures of a plan, save them under free names, and record them."""

from __future__ import annotations

import os
import shlex
import signal
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from itertools import count as counted
from itertools import takewhile
from typing import TYPE_CHECKING

from assetctl import pictures
from assetctl.catalog import FileHashes, GenerationEntry
from assetctl.errors import HashMismatchError, NameTakenError, StorageError, UsageError
from assetctl.files.disk import see_room_for
from assetctl.files.hashing import hash_file
from assetctl.files.paths import absolute
from assetctl.operations.library.ingest import is_intact
from assetctl.operations.library.verify import with_all_hashes
from assetctl.pictures.saving import FORMATS
from assetctl.request import Output
from assetctl.run import Saved, leaving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path
    from types import FrameType

    from assetctl.operations.workspace import Workspace
    from assetctl.request import Backend, Picture, Plan, PlannedUse
    from assetctl.run import Run
    from assetctl.types import Asset, CheckReport, Finding


#: Bytes of the longest name that a file may have; the disks that there are agree on it.
LONGEST_FILE_NAME = 255

#: What a person may take for a format of ours, or wrote by mistake, and would find as the name of a folder.
_OTHERS = (
    ".avif", ".bmp", ".gif", ".heic", ".jxl", ".tif", ".tiff", ".safetensors", ".sft", ".ckpt", ".pt", ".pth", ".bin",
    ".gguf", ".json", ".toml", ".txt", ".mp4", ".pdf", ".svg",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class OutputPath:
    """A folder for pictures, or the name of the first one.

    Attributes:
        folder: Where they go; it may have to be made.
        name: The first picture's name without its suffix, if a person gave one.
        suffix: `.png`, `.jpg`, `.jpeg` or `.webp`.
        force: Whether the file that a person named is replaced. Further names, which nobody typed, are replaced where
            a picture of ours lies.
        is_ours: Whether a file is a picture that assetctl saved, as it was.
        stem: What names that nobody gave begin with, if not with the time: those of a job of a batch can be foretold.
    """

    folder: Path
    name: str | None
    suffix: str
    force: bool = False
    is_ours: Callable[[Path], bool] = lambda _: False
    stem: str | None = None

    def require_free(self, numbers: Iterable[int]) -> None:
        """Refuse names that a person gave and that are taken.

        Raises:
            UsageError: One of the pictures of these numbers would have the name of something that is there.
            StorageError: The name is longer than any file's.
        """
        if self.name is None:
            return
        for number in numbers:
            path = self._named(number)
            if len(path.name.encode()) > LONGEST_FILE_NAME:
                raise StorageError(f"The name {path.name[:40]}… is too long for a file.", "Choose a shorter --out.")
            if path.is_dir():
                raise UsageError(f"{path} is a folder.", "Choose another name with --out.")
            if os.path.lexists(path) and not self._may_replace(path, number):
                hint = "Choose another --out."
                if not self.force:
                    hint = "Choose another --out, or replace it with --force."
                raise UsageError(f"{path} exists already.", hint)

    def require_room(self, count: int) -> None:
        """See that the folder is there or can be made, and takes so many pictures; nothing is left in it.

        Raises:
            StorageError: It cannot be made or written.
        """
        names = [] if self.name is None else [self._named(number).name for number in range(1, count + 1)]
        try:
            see_room_for(self.folder, *names)
        except OSError as error:
            raise _no_room(self.folder, error) from error

    def made(self) -> OutputPath:
        """The same, once the folder is there.

        Raises:
            StorageError: It cannot be made.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _no_room(self.folder, error) from error
        return self

    def planned(self, count: int) -> tuple[str, ...]:
        """Where so many pictures go: their names where a person gave the first, else the folder."""
        if self.name is None:
            return (str(self.folder),)
        return tuple(str(self._named(number)) for number in range(1, count + 1))

    def save(self, number: int, seed: int, write: Callable[[Path, bool], None]) -> Path:
        """Have the picture of this number written under the name that a person gave, or else under a free one.

        Args:
            number: Counted from 1.
            seed: It is part of names that nobody gave.
            write: Told a path, and whether to replace what is there; it raises `NameTakenError` otherwise.

        Raises:
            NameTakenError: The name was free before and is taken now.
        """
        if self.name is not None:
            path = self._named(number)
            write(path, self._may_replace(path, number))
            return path
        for path in self._names(seed):
            if not os.path.lexists(path):
                try:
                    write(path, False)
                except NameTakenError:
                    continue  # someone was faster
                return path
        raise AssertionError  # there is no end of numbers

    def taken(self, number: int, seed: int) -> Iterator[Path]:
        """What lies where `save` would have written the picture of this number, had it not been there."""
        paths = self._names(seed) if self.name is None else [self._named(number)]
        return takewhile(os.path.lexists, paths)

    def after(self, number: int) -> Path | None:
        """The name of the picture after so many, where a person named the first."""
        return None if self.name is None else self._named(number + 1)

    def _may_replace(self, path: Path, number: int) -> bool:
        return self.force and (number == 1 or (os.path.lexists(path) and self.is_ours(path)))

    def _names(self, seed: int) -> Iterator[Path]:
        """Names that nobody gave, one after the other."""
        stem = self.stem or datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
        for again in counted(1):
            yield self.folder / f"{stem}-{seed}{'' if again == 1 else f'-{again}'}{self.suffix}"

    def _named(self, number: int) -> Path:
        return self.folder / f"{self.name}{'' if number == 1 else f'-{number}'}{self.suffix}"


def find_output_path(workspace: Workspace, output: Output | None, *, count: int = 1) -> OutputPath:
    """Where pictures will go: found wanting now rather than when one is done. Nothing is made or written.

    Args:
        workspace: The home, whose outputs folder is taken where nothing else is asked for.
        output: What is asked for.
        count: How many pictures there will be.

    Raises:
        UsageError: It is no format of ours, another than the name says, or the name is taken.
        StorageError: Pictures cannot be written there.
    """
    asked = output or Output()
    out, force = asked.path or workspace.settings.outputs, asked.force
    target = absolute(out)
    suffix = target.suffix.lower()
    if suffix in _OTHERS:
        raise UsageError(
            f"{out.name} is not a name for a picture, which ends in .png, .jpg, .jpeg or .webp.",
            "Name such a file with --out, or a folder.",
        )
    wanted = None if asked.format is None else _format(asked.format)
    if suffix in FORMATS:
        if wanted not in (None, FORMATS[suffix]):
            raise UsageError(f"{out.name} is not the name of a {wanted} file.", "Leave --format out, or name a folder.")
        found = OutputPath(
            target.parent, target.name[: -len(suffix)], target.suffix, force, partial(_is_ours, workspace)
        )
        found.require_free(range(1, count + 1))
    else:
        found = OutputPath(target, None, f".{wanted or 'png'}")
    found.require_room(count)
    return found


def _is_ours(workspace: Workspace, path: Path) -> bool:
    if path.is_symlink() or not path.is_file():
        return False
    return workspace.catalog.generations.has_file(str(hash_file(path, frozenset({"sha256"})).sha256))


def _format(text: str) -> str:
    found = FORMATS.get("." + text.lower().lstrip("."))
    if found is None:
        raise UsageError(f"{text!r} is not a format for pictures.", "Choose one of: png, jpg, webp.")
    return found


def _no_room(folder: Path, error: OSError) -> StorageError:
    why = "written" if folder.is_dir() else "made"
    hint = "Name a folder that can be written with --out."
    return StorageError(f"The folder {folder} cannot be {why}: {error.strerror}.", hint)


@dataclass(frozen=True, slots=True)
class SavedPicture:
    """One picture on disk.

    Attributes:
        number: What `assetctl history` calls it.
        environment: What its bytes depend on beside plan and seed.
    """

    path: str
    seed: int
    number: int
    sha256: str
    environment: dict[str, str]


class InterruptedGenerationError(KeyboardInterrupt):
    """A person stopped a generation. What was done is kept.

    Attributes:
        done: The pictures that were saved and recorded.
        rest: Seeds of those that were not made.
        name: Where the next one would have gone, if a person named the first.
    """

    def __init__(self, done: Sequence[SavedPicture], rest: Sequence[int], name: Path | None) -> None:
        super().__init__(f"{len(done)} of {len(done) + len(rest)} pictures are done")
        self.done, self.rest, self.name = tuple(done), tuple(rest), name


@dataclass(frozen=True, slots=True)
class GenerationResult:
    """What came of a generation.

    Attributes:
        report: The verdict on the selection, and what showed only when it was loaded.
        timings: Seconds: `load` until the first picture is begun, `sample` for all pictures, `total`.
        out: Where the pictures go: their names where a person gave the first, else the folder.
    """

    images: tuple[SavedPicture, ...]
    plan: Plan
    report: CheckReport
    timings: dict[str, float]
    out: tuple[str, ...] = ()


def see_it_can_be_made(workspace: Workspace, plan: Plan, output: Output | None) -> OutputPath:
    """See, before anything is loaded, that a plan's pictures can be made of its files and be saved; where they go.

    Raises:
        UsageError, StorageError: As `find_output_path` does.
        HashMismatchError: A file is not what it was when it was registered.
    """
    target = find_output_path(workspace, output, count=len(plan.seeds))
    see_files(workspace, plan)
    return target


def see_files(workspace: Workspace, plan: Plan) -> None:
    """See that a plan's files are what they were when it was made.

    Raises:
        HashMismatchError: One is not.
    """
    for use in plan.uses:
        _intact(workspace, use)


def generate(
    workspace: Workspace,
    plan: Plan,
    report: CheckReport,
    backend: Backend,
    *,
    output: Output | None = None,
    run: Run,
) -> GenerationResult:
    """Make the plan's pictures, save each with its parameters inside, and record it.

    Args:
        workspace: The home.
        plan: What to make.
        report: The verdict on the plan's selection.
        backend: Who makes it.
        output: Where they go.
        run: Told of every step, and of every picture once it is saved and recorded.

    Raises:
        UsageError, StorageError: Pictures cannot be saved so; see `find_output_path`.
        InterruptedGenerationError, Cancelled: A person stopped it; `done` has the pictures that there are.
        HashMismatchError: A file is not what it was when it was registered.
        MissingExtraError: torch or diffusers is not installed.
        GenerationError: The assets could not be loaded, or a picture could not be made.
        StorageError: A picture could not be saved.
    """
    target = see_it_can_be_made(workspace, plan, output).made()
    return make(workspace, plan, report, backend, target, run)


def generate_each(
    workspace: Workspace,
    plans: Sequence[tuple[Plan, CheckReport]],
    backend: Backend,
    *,
    output: Output | None = None,
    run: Run,
) -> list[GenerationResult]:
    """Make the one picture of each of several plans; they are saved, and told of, as those of one plan are.

    Raises:
        As `generate` does.
    """
    target = find_output_path(workspace, output, count=len(plans))
    for plan, _ in plans:
        see_files(workspace, plan)
    results: list[GenerationResult] = []
    saved: list[SavedPicture] = []
    seeds = [plan.seeds[0] for plan, _ in plans]
    target = target.made()
    with naming_what_is_done(saved, seeds, target):
        for number, (plan, report) in enumerate(plans, 1):
            part, place = run.one_of_all(number, len(plans)), Place(None, [number])
            try:
                results.append(make(workspace, plan, report, backend, target, part, place))
            except BaseException as stop:
                saved += getattr(stop, "done", None) or ()  # it may have come when the picture was there
                raise
            saved += results[-1].images
    return results


@dataclass(frozen=True, slots=True)
class Place:
    """Which pictures of several a plan makes.

    Attributes:
        job: The key of the job of a batch that they are for, if they are for one.
        numbers: One for each of the plan's seeds: which picture it is, counted from 1.
    """

    job: str | None
    numbers: Sequence[int]


def make(
    workspace: Workspace,
    plan: Plan,
    report: CheckReport,
    backend: Backend,
    target: OutputPath,
    run: Run,
    place: Place | None = None,
) -> GenerationResult:
    """As `generate`, where it was seen already that pictures can be saved in `target`, whose folder is there."""
    saved: list[SavedPicture] = []
    clock = _Clock()
    numbers = range(1, len(plan.seeds) + 1) if place is None else place.numbers
    with naming_what_is_done(saved, plan.seeds, target):
        plan = with_hashes(workspace, plan, run)
        for position, picture in enumerate(backend.generate(plan, run)):
            clock.note(picture)
            with _undisturbed():
                entry = _save(plan, picture, target, numbers[position])
                saved.append(record(workspace, replace(entry, job=None if place is None else place.job)))
            report = _with_findings(report, picture.findings)
            run.tell(Saved(path=saved[-1].path, number=saved[-1].number))
    return GenerationResult(tuple(saved), plan, report, clock.timings(), target.planned(len(plan.seeds)))


@contextmanager
def naming_what_is_done(
    saved: Sequence[SavedPicture], seeds: Sequence[int] = (), target: OutputPath | None = None
) -> Iterator[None]:
    """Let whatever ends the work too soon tell of the pictures that there are, and of which are left."""
    try:
        with leaving(lambda: tuple(saved)):
            yield
    except Exception as error:
        error.done = tuple(saved)  # type: ignore[attr-defined]  # a backend may raise anything
        raise
    except KeyboardInterrupt as stop:
        done = len(saved)
        name = None if target is None else target.after(done)
        raise InterruptedGenerationError(saved, seeds[done:], name) from stop


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Let an interrupt wait until a picture is saved and recorded; a second one does not wait."""
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield  # interrupts do not come here
        return
    came: list[tuple[int, FrameType | None]] = []

    def wait(number: int, frame: FrameType | None) -> None:
        if came:
            raise KeyboardInterrupt
        came.append((number, frame))

    signal.signal(signal.SIGINT, wait)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if came:
        before(*came[0])


class _Clock:
    """Notes when the first picture was begun."""

    def __init__(self) -> None:
        self._start = time.perf_counter()
        self._loaded: float | None = None

    def note(self, picture: Picture) -> None:
        if self._loaded is None:
            self._loaded = time.perf_counter() - picture.seconds

    def timings(self) -> dict[str, float]:
        now = time.perf_counter()
        loaded = self._loaded or now
        parts = {"load": loaded - self._start, "sample": now - loaded, "total": now - self._start}
        return {name: round(seconds, 3) for name, seconds in parts.items()}


def _with_findings(report: CheckReport, findings: Iterable[Finding]) -> CheckReport:
    new = tuple(finding for finding in findings if finding not in report.findings)
    return replace(report, findings=(*report.findings, *new)) if new else report


def with_hashes(workspace: Workspace, plan: Plan, run: Run) -> Plan:
    """The plan, its assets with the hashes that pictures carry; those that were left for later are computed and kept.

    Raises:
        HashMismatchError: A file is not what it was when it was registered.
    """
    return replace(plan, uses=hashed(workspace, plan.uses, run))


def hashed(workspace: Workspace, uses: Sequence[PlannedUse], run: Run) -> tuple[PlannedUse, ...]:
    """Assets with the hashes that pictures carry; see `with_hashes`."""
    read = workspace.catalog.read
    assets = [_intact(workspace, use) for use in uses]
    lacking = [asset for asset in dict.fromkeys(assets) if asset.sha256 is None or _wants_autov3(asset)]
    if lacking:
        completed = [file for asset in lacking for file in with_all_hashes(asset, read.files(asset), run)]
        with workspace.catalog.write() as writer:
            writer.set_hashes([FileHashes(file.path, file.sha256, file.autov3, file.blake3) for file in completed])
    known = {asset.id: read.by_id(asset.id) for asset in lacking}  # of all others a picture says what its plan does
    return tuple(
        replace(use, sha256=known[asset.id].sha256, autov3=known[asset.id].autov3)
        if asset.id in known
        else replace(use, sha256=asset.sha256)
        for use, asset in zip(uses, assets, strict=True)
    )


def _intact(workspace: Workspace, use: PlannedUse) -> Asset:
    """The asset that lies where the plan has it, with the bytes that it was registered and planned with."""
    asset = workspace.catalog.read.at_path(use.path)
    if asset is None or use.sha256 not in (None, asset.sha256) or not is_intact(workspace, asset):
        typed = shlex.quote(use.name)
        hint = f"`assetctl verify {typed}` tells more; `assetctl import` registers what it holds now."
        raise HashMismatchError(f"{use.name} is not what it was when it was registered: {use.path}.", hint)
    return asset


def _wants_autov3(asset: Asset) -> bool:
    return asset.autov3 is None and asset.kind in ("lora", "embedding") and asset.format == "safetensors"


def _save(plan: Plan, picture: Picture, target: OutputPath, number: int) -> GenerationEntry:
    record = pictures.picture_record(plan, picture.seed, picture.environment)
    text = pictures.infotext(plan, picture.seed)

    def write(path: Path, replace: bool) -> None:  # noqa: FBT001 - `OutputPath.save` calls it
        pictures.save_picture(picture.image, path, text, record, replace=replace)

    return entry_of(plan, target.save(number, picture.seed, write), picture.seed, record)


def entry_of(plan: Plan, path: Path, seed: int, record: dict[str, object]) -> GenerationEntry:
    """What is kept of a plan's picture that lies at `path`, with the record that was written into it."""
    return GenerationEntry(
        uses=plan.uses,
        prompt=plan.prompt.text,
        negative_prompt=plan.negative_prompt.text,
        settings={**plan.settings, "seed": seed},
        image_path=str(path),
        image_sha256=str(hash_file(path, frozenset({"sha256"})).sha256),
        record=record,
    )


def record(workspace: Workspace, entry: GenerationEntry) -> SavedPicture:
    """Keep what was made in the catalog."""
    number, environment = workspace.catalog.generations.record(entry), entry.record.get("environment")
    known = environment if isinstance(environment, dict) else {}
    return SavedPicture(entry.image_path, entry.settings["seed"], number, entry.image_sha256, known)
