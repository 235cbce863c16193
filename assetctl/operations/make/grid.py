"""Grid: one request in every combination of some values; each is a picture as any other, and all are on one sheet.

Every cell is resolved and checked before anything is loaded. One that cannot work is shown with the reason, and ends no
other. What was made before, and lies where it would be saved, is taken as it is: a grid that was stopped goes on.
"""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from copy import copy
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import count as counted
from itertools import islice, product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from assetctl import pictures
from assetctl.axes import Axis, parse_axes, see_axes
from assetctl.errors import (
    AmbiguousNameError,
    AssetctlError,
    FileError,
    GenerationError,
    IncompatibleError,
    NotFoundError,
    StorageError,
    UsageError,
)
from assetctl.files.disk import see_room_for
from assetctl.files.hashing import hash_file
from assetctl.operations.make.generate import (
    InterruptedGenerationError,
    SavedPicture,
    find_output_path,
    generate,
    hashed,
)
from assetctl.operations.make.plan import drawn, resolve
from assetctl.options import MAX_SEED, RANDOM, together, written
from assetctl.pictures.saving import FORMATS
from assetctl.pictures.sheet import Layout, Table, lay_out
from assetctl.plan import loading_order
from assetctl.prompt.syntax import find_tags
from assetctl.request import Output, Request, Use
from assetctl.run import Cancelled, Saved, Step, Warned

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from assetctl.catalog.reading import Reader
    from assetctl.operations.make.generate import OutputPath
    from assetctl.operations.workspace import Workspace
    from assetctl.pictures.sheet import Shown
    from assetctl.plan import Backend, Plan, PlannedUse
    from assetctl.run import Event, Run
    from assetctl.types import Asset, CheckReport

#: Files of a folder that are looked at for cells that were made before.
_MOST_FILES = 2000


@dataclass(frozen=True, slots=True)
class GridCell:
    """One combination of values.

    Attributes:
        values: What each axis has here, in their order.
        column: Where it stands, from 1; so do `row` and `block`, which is what the third axis and further ones make.
        order: As which it is made, from 1; `None` of one that cannot be.
        plan: What it comes to.
        image: Its picture, once there is one.
        was_there: Whether that was made before.
        error: Why there is none.
    """

    values: tuple[str, ...]
    column: int
    row: int
    block: int
    order: int | None = None
    plan: Plan | None = None
    report: CheckReport | None = None
    image: SavedPicture | None = None
    was_there: bool = False
    error: AssetctlError | None = None

    @property
    def name(self) -> str:
        """What its values are, in a line."""
        return ", ".join(self.values)

    @property
    def reason(self) -> str:
        """Why there is no picture, in a sentence."""
        if self.error is None:
            return "" if self.image is not None else "Not made yet."
        found = self.error.findings if isinstance(self.error, IncompatibleError) else ()
        return next((each.message for each in found if each.severity == "error"), self.error.message)


@dataclass(frozen=True, slots=True)
class GridResult:
    """What came of a grid, or would.

    Attributes:
        sheet: The file with all of it; `None` where none was written.
        folder: Where the pictures of the cells are; `None` where that is not named yet.
        out: Where the sheet goes: its name, where a person gave one, else the folder.
        axes: The first goes across, the second down, all others make blocks of them.
        cells: Row by row, block by block.
        size: Width and height of the sheet in pixels.
        scale: What pictures are scaled by on the sheet, so that it is not too large.
        seed: What all cells share; `None` where it differs.
        timings: Seconds, of all cells.
    """

    sheet: str | None
    folder: str | None
    out: tuple[str, ...]
    axes: tuple[Axis, ...]
    cells: tuple[GridCell, ...]
    size: tuple[int, int]
    scale: float
    seed: int | None
    timings: dict[str, float]
    title: str

    @property
    def failed(self) -> tuple[AssetctlError, ...]:
        """Why cells have no picture: each reason once, which names the first cell that it is about."""
        return _reasons(self.cells)


class InterruptedGridError(KeyboardInterrupt):
    """A person stopped a grid. What was done is kept, and is on a sheet.

    Attributes:
        done: What there is.
        rest: Options that the same command needs to go on.
    """

    def __init__(self, done: GridResult, rest: dict[str, str]) -> None:
        super().__init__("The grid was stopped.")
        self.done, self.rest = done, rest


def plan_grid(workspace: Workspace, request: Request, grid: str | Sequence[Axis]) -> GridResult:
    """Resolve and check every cell of a grid, and where it would go; nothing is loaded or written.

    Raises:
        UsageError: The grid makes no sense, or its sheet would be too large.
        NotFoundError, AmbiguousNameError: A name, of any cell.
        StorageError: Pictures cannot be written there.
        AssetctlError: No cell can be made; its `errors` say why.
    """
    if (request.count or 1) != 1:
        raise UsageError("A cell of a grid is one picture.", "Leave --count out; 'seed: 1-4' is an axis of four seeds.")
    axes = parse_axes(grid) if isinstance(grid, str) else tuple(grid)
    see_axes(axes)
    target = find_output_path(workspace, request.output)
    request, axes = _with_seeds(request, axes)
    (request,) = drawn(workspace, request)
    finder = _Finder(workspace.catalog.read, request)
    axes = tuple(map(finder.named, axes))
    cells = [_resolved(workspace, finder.request(axes, place), _cell(axes, place)) for place in _places(axes)]
    if all(cell.plan is None for cell in cells):
        raise _all_failed(cells)
    planned = [number for number, cell in enumerate(cells) if cell.plan is not None]
    plans = [plan for cell in cells if (plan := cell.plan) is not None]
    for order, number in enumerate(loading_order(plans), 1):
        cells[planned[number]] = replace(cells[planned[number]], order=order)
    differs = any("seed" in axis.settings for axis in axes)
    made = GridResult(
        None, None, target.planned(1), axes, tuple(cells), (0, 0), 1.0, None if differs else plans[0].seeds[0], {}, ""
    )
    made = replace(made, title=_title(request, made))
    layout = _layout(made, target.suffix, [_planned_size(cell) for cell in cells])
    return replace(made, size=layout.size, scale=round(layout.scale, 3))


def _with_seeds(request: Request, axes: tuple[Axis, ...]) -> tuple[Request, tuple[Axis, ...]]:
    """One seed for all cells; where it is an axis, one for each value that leaves it to chance."""
    if not any("seed" in axis.settings for axis in axes):
        asked = request.settings.get("seed")
        seed = secrets.randbelow(MAX_SEED) if asked in (None, RANDOM) else asked
        return replace(request, settings={**request.settings, "seed": seed}), axes
    made = []
    for axis in axes:
        values = axis.values
        if axis.settings == ("seed",):
            seeds = [each.settings["seed"] for each in values]
            seeds = [secrets.randbelow(MAX_SEED) if seed == RANDOM else seed for seed in seeds]
            values = tuple(replace(values[0], text=str(seed), settings={"seed": seed}) for seed in seeds)
        is_other = values != axis.values
        labels = tuple(f"{axis.name}: {each.text}" for each in values) if is_other else axis.labels
        made.append(replace(axis, values=values, labels=labels))
    return request, tuple(made)


def _places(axes: Sequence[Axis]) -> Iterator[tuple[int, ...]]:
    """The number of each axis' value in every cell, the first axis' changing fastest."""
    return (place[::-1] for place in product(*(range(len(axis.values)) for axis in reversed(axes))))


def _cell(axes: Sequence[Axis], place: tuple[int, ...]) -> GridCell:
    block = 0
    for axis, number in zip(axes[2:][::-1], place[2:][::-1], strict=True):
        block = block * len(axis.values) + number
    values = tuple(axis.labels[number] for axis, number in zip(axes, place, strict=True))
    return GridCell(values, place[0] + 1, (place[1] if len(place) > 1 else 0) + 1, block + 1)


def _resolved(workspace: Workspace, request: Request, cell: GridCell) -> GridCell:
    """A cell with its plan, or why there is none; a name that is not there is a slip of whoever wrote the grid.

    Raises:
        NotFoundError, AmbiguousNameError: A name.
    """
    try:
        plan, report = resolve(workspace, request)
    except (NotFoundError, AmbiguousNameError):
        raise
    except AssetctlError as error:
        return replace(cell, error=error)
    return replace(cell, plan=plan, report=report)


def _all_failed(cells: Sequence[GridCell]) -> AssetctlError:
    """The error of a grid without a single picture; where reasons differ, it knows them all."""
    first = next(cell.error for cell in cells if cell.error is not None)
    reasons = _reasons(cells)
    if len(reasons) > 1:
        first.errors = reasons
    return first


def _reasons(cells: Sequence[GridCell]) -> tuple[AssetctlError, ...]:
    found: dict[str, list[GridCell]] = {}
    for cell in cells:
        if cell.error is not None:
            found.setdefault(cell.reason, []).append(cell)
    return tuple(_told(several) for several in found.values())


def _told(cells: Sequence[GridCell]) -> AssetctlError:
    """The error of cells that lack a picture for one reason, in a sentence that says so."""
    first, more = cells[0], len(cells) - 1
    told = copy(first.error)
    assert told is not None  # noqa: S101 - as was asked for
    others = "" if not more else " and 1 cell more" if more == 1 else f" and {more} cells more"
    told.message, told.reference = f"There is no picture of {first.name}{others}: {first.reason}", first.name
    if isinstance(told, IncompatibleError):
        told.hint = next((each.hint for each in told.findings if each.severity == "error"), told.hint)
        told.findings = ()
    return told


class _Finder:
    """Finds what axes name, and makes the request of each cell."""

    def __init__(self, read: Reader, request: Request) -> None:
        self._read, self._base = read, request
        self._found: dict[str, Asset] = {}

    def _asset(self, reference: str) -> Asset:
        if reference not in self._found:
            self._found[reference] = self._read.find(reference)
        return self._found[reference]

    def named(self, axis: Axis) -> Axis:
        """An axis with the names of its assets for labels; all that it names is there.

        Raises:
            NotFoundError, AmbiguousNameError: A name.
            UsageError: No prompt has the word.
        """
        if axis.kind == "weight":
            self._asset(axis.about)
        if axis.kind == "prompt" and not any(axis.about in (text or "") for text in self._prompts):
            raise UsageError(f"No prompt has {axis.about!r:.60} in it.", "Name words as they stand in the prompt.")
        if axis.kind not in ("checkpoint", "vae", "lora"):
            return axis
        labels = []
        for value in axis.values:
            if value.is_none and axis.kind != "checkpoint":
                labels.append(f"{axis.kind}: none")
                continue
            use = Use.parse("lora", value.text) if axis.kind == "lora" else Use(axis.kind, value.text)
            labels.append(f"{axis.kind}: {replace(use, reference=self._asset(use.reference).name)}")
        return replace(axis, labels=tuple(labels))

    @property
    def _prompts(self) -> tuple[str | None, str | None]:
        return self._base.prompt, self._base.negative_prompt

    def request(self, axes: Sequence[Axis], place: tuple[int, ...]) -> Request:
        """What is asked for in one cell: words of prompts are replaced one axis after the other, then assets."""
        made = self._base
        for axis, number in sorted(zip(axes, place, strict=True), key=lambda pair: pair[0].kind != "prompt"):
            made = self._changed(made, axis, number)
        return made

    def _changed(self, request: Request, axis: Axis, number: int) -> Request:
        value = axis.values[number]
        if axis.kind == "option":
            return replace(request, settings={**request.settings, **value.settings})
        if axis.kind == "prompt":
            texts = (request.prompt, request.negative_prompt)
            prompt, negative = (text and text.replace(axis.about, value.text) for text in texts)
            return replace(request, prompt=prompt, negative_prompt=negative)
        if axis.kind == "weight":
            use = None if value.is_none else Use("lora", axis.about, float(value.text))
            return self._with_lora(request, axis.about, use)
        if axis.kind == "lora":
            use = Use.parse("lora", value.text)
            return request if value.is_none else self._with_lora(request, use.reference, use)
        role = axis.kind
        others = tuple(use for use in request.uses if not self._is(use, role))
        uses = others if value.is_none and role == "vae" else (Use(role, value.text), *others)
        return replace(request, uses=uses)

    def _is(self, use: Use, role: str) -> bool:
        kinds = ("checkpoint", "diffusion-model") if role == "checkpoint" else (role,)
        return use.role == role or (use.role is None and self._asset(use.reference).kind in kinds)

    def _with_lora(self, request: Request, reference: str, use: Use | None) -> Request:
        """The request with this use of a LoRA, or none, in place of what options and tags of the prompts say of it."""
        asset = self._asset(reference)
        own = [each.role in ("lora", None) and self._asset(each.reference) == asset for each in request.uses]
        uses = [each for each, is_own in zip(request.uses, own, strict=True) if not is_own]
        if use is not None:
            uses.insert(own.index(True) if any(own) else len(uses), use)
        prompt, negative = (
            text and self._without_tag(text, asset) for text in (request.prompt, request.negative_prompt)
        )
        return replace(request, uses=tuple(uses), prompt=prompt, negative_prompt=negative)

    def _without_tag(self, text: str, asset: Asset) -> str:
        for tag in find_tags(text):
            with suppress(NotFoundError, AmbiguousNameError):  # whoever resolves it tells
                if self._read.find_named(tag.name, "lora") == asset:
                    text = text.replace(f" {tag.text}", "").replace(tag.text, "")
        return text


def _title(request: Request, grid: GridResult) -> str:
    """What stands above the sheet: the prompts, and what is the same in all cells."""
    plan = next(cell.plan for cell in grid.cells if cell.plan is not None)
    lines = [_in_line(request.prompt)]
    if _in_line(request.negative_prompt):
        lines.append(f"Negative prompt: {_in_line(request.negative_prompt)}")
    differs = {name for axis in grid.axes for name in axis.settings}
    said = [
        f"{field}: {value}"
        for field, options in together("field").items()
        if differs.isdisjoint(each.name for each in options) and (value := written(options, plan.settings)) is not None
    ]
    kinds = {axis.kind for axis in grid.axes}
    said += [f"Model: {plan.checkpoint.name}"] if "checkpoint" not in kinds else []
    said += [f"VAE: {plan.vae.name}"] if plan.vae is not None and "vae" not in kinds else []
    if kinds.isdisjoint(("lora", "weight", "prompt")):
        said += [f"LoRA: {use.name}:{use.weight:g}" for use in plan.of("lora")]
    return "\n".join([*lines, ", ".join(said)])


def _in_line(text: str | None) -> str:
    return " ".join((text or "").split())


def _tables(grid: GridResult, shown: Sequence[Shown]) -> list[Table]:
    """The blocks of a sheet, with what each cell shows."""
    columns = grid.axes[0].labels
    rows = grid.axes[1].labels if len(grid.axes) > 1 else ()
    size = len(columns) * max(len(rows), 1)
    tables = []
    for start in range(0, len(grid.cells), size):
        lines = [shown[place : place + len(columns)] for place in range(start, start + size, len(columns))]
        tables.append(Table(lines, columns, rows, ", ".join(grid.cells[start].values[2:])))
    return tables


def _planned_size(cell: GridCell) -> Shown:
    return cell.reason if cell.plan is None else (cell.plan.settings["width"], cell.plan.settings["height"])


def _layout(grid: GridResult, suffix: str, shown: Sequence[Shown]) -> Layout:
    return lay_out(_tables(grid, shown), title=grid.title, format=FORMATS[suffix.lower()])


def make_grid(
    workspace: Workspace, planned: GridResult, backend: Backend, *, output: Output | None = None, run: Run
) -> GridResult:
    """Make every cell of a grid that was planned, in the order that loads least, and its sheet.

    Args:
        workspace: The home.
        planned: See `plan_grid`.
        backend: Who makes the pictures.
        output: Where the sheet goes; pictures of cells go into a folder beside it that has its name.
        run: Told of every step, of all cells, and of every picture once it is saved.

    Raises:
        InterruptedGridError, Cancelled: A person stopped it; `done` has what there is, which is on a sheet.
        AssetctlError: No cell could be made; its `errors` say why.
        StorageError: A picture could not be saved, or the sheet.
    """
    making = _Making(workspace, planned, backend, _target(workspace, output, planned.seed), run)
    _warn(planned, run)
    try:
        making.make()
    except KeyboardInterrupt as stop:
        raise InterruptedGridError(making.left(), making.rest()) from stop
    except Cancelled as stop:
        stop.done = making.left()
        raise
    except Exception as error:
        error.done = making.left()  # type: ignore[attr-defined]  # a backend may raise anything
        raise
    if all(cell.image is None for cell in making.grid.cells):
        raise _all_failed(making.grid.cells)
    result = making.drawn()
    run.tell(Saved(path=str(result.sheet)))
    return result


def _warn(planned: GridResult, run: Run) -> None:
    """Tell beforehand what will be wanting."""
    if planned.scale < 1:
        message = f"The sheet shows pictures at {planned.scale:.0%} of their size: it would be too large otherwise."
        run.tell(Warned(message=message, hint="The pictures themselves are saved as they are."))
    failed = [cell for cell in planned.cells if cell.plan is None]
    if failed:
        number = f"{len(failed)} of {len(planned.cells)} cells"
        message = f"{number} cannot be made, and the sheet says why. {failed[0].name}: {failed[0].reason}"
        run.tell(Warned(message=message, hint="`--dry-run` lists all cells, and what stands against each."))


def _target(workspace: Workspace, output: Output | None, seed: int | None) -> OutputPath:
    """Where the sheet goes; its name without a suffix is that of the cells' folder.

    Raises:
        UsageError, StorageError: It cannot be written there.
    """
    target = find_output_path(workspace, output)
    if target.name is None:
        stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S") + ("" if seed is None else f"-{seed}") + "-grid"
        names = (f"{stamp}{'' if again == 1 else f'-{again}'}" for again in counted(1))
        free = (
            n for n in names if not any(os.path.lexists(target.folder / f"{n}{end}") for end in ("", target.suffix))
        )
        target = replace(target, name=next(free))
    folder = target.folder / str(target.name)
    try:
        see_room_for(folder)
    except OSError as error:
        hint = "Cells go into a folder with the name of the sheet: choose another --out."
        raise StorageError(f"The folder {folder} cannot be made or written: {error.strerror}.", hint) from error
    return target


class _Making:
    """A grid on its way."""

    def __init__(
        self, workspace: Workspace, planned: GridResult, backend: Backend, target: OutputPath, run: Run
    ) -> None:
        self._workspace, self._backend, self._target, self._run = workspace, backend, target, run
        self._folder = target.folder / str(target.name)
        self.grid = replace(planned, folder=str(self._folder))
        self._timings: dict[str, float] = {}

    def make(self) -> None:
        """Make all cells that can be, each as a picture by itself."""
        self._hash()
        for number in self._take_over():
            cell = self.grid.cells[number]
            assert cell.plan is not None  # noqa: S101 - what has an order has a plan
            assert cell.report is not None  # noqa: S101 - likewise
            output = Output(self._free_name(cell))
            try:
                result = generate(
                    self._workspace, cell.plan, cell.report, self._backend, output=output, run=self._part(cell)
                )
            except (GenerationError, IncompatibleError, FileError, NotFoundError) as error:
                self._set(number, error=error)
                continue
            except (InterruptedGenerationError, Cancelled) as stop:
                self._set(number, image=next(iter(stop.done or ()), None))  # type: ignore[call-overload]
                raise
            self._set(number, image=result.images[0], plan=result.plan, report=result.report)
            for name, seconds in result.timings.items():
                self._timings[name] = round(self._timings.get(name, 0.0) + seconds, 3)

    def _hash(self) -> None:
        """Have all plans name the same hashes of the same files: what is loaded for one then serves the next."""
        known: dict[str, PlannedUse] = {}
        for number, cell in enumerate(self.grid.cells):
            if cell.plan is None:
                continue
            for use in cell.plan.uses:
                if use.path not in known:
                    known[use.path] = use
                    with suppress(FileError):  # what is wrong with a file is told where it is to be loaded
                        (known[use.path],) = hashed(self._workspace, [use], self._run)
            uses = tuple(
                replace(use, sha256=known[use.path].sha256, autov3=known[use.path].autov3) for use in cell.plan.uses
            )
            self._set(number, plan=replace(cell.plan, uses=uses))

    def _set(self, number: int, **changes: Any) -> None:  # noqa: ANN401 - fields of a cell
        cells = list(self.grid.cells)
        cells[number] = replace(cells[number], **changes)
        self.grid = replace(self.grid, cells=tuple(cells))

    def _part(self, cell: GridCell) -> Run:
        """A run in which the steps of one picture are those of one of all."""
        every, order = sum(each.plan is not None for each in self.grid.cells), cell.order or 1

        def of_all(event: Event) -> Event:
            return replace(event, picture=order, pictures=every) if isinstance(event, Step) else event

        return self._run.part(of_all)

    def _free_name(self, cell: GridCell) -> Path:
        """`x2-y1.png`: which column, which row, and which block."""
        places = {"x": cell.column, "y": cell.row, "z": cell.block}
        name = "-".join(f"{axis}{n}" for axis, n in islice(places.items(), min(len(self.grid.axes), 3)))
        names = (f"{name}{'' if again == 1 else f'-{again}'}{self._target.suffix}" for again in counted(1))
        return next(path for each in names if not os.path.lexists(path := self._folder / each))

    def _take_over(self) -> list[int]:
        """Take the pictures that were made of these very plans before; the numbers of all other cells, in order."""
        ordered = [(cell.order, number) for number, cell in enumerate(self.grid.cells) if cell.order is not None]
        there = _made_before(self._folder)
        left = []
        for _, number in sorted(ordered):
            plan = self.grid.cells[number].plan
            image = self._same(plan, there) if there and plan is not None else None
            if image is None:
                left.append(number)
            else:
                self._set(number, image=image, was_there=True)
        return left

    def _same(self, plan: Plan, there: dict[bytes, list[tuple[Path, Any]]]) -> SavedPicture | None:
        """A picture of this plan that is here and that we know, made as it would be made now."""
        for path, environment in there.get(_key(pictures.picture_record(plan, plan.seeds[0], {})), ()):
            if environment == self._environment(plan):
                sha256 = str(hash_file(path, frozenset({"sha256"})).sha256)
                number = self._workspace.catalog.generations.number_of(sha256)
                if number is not None:
                    return SavedPicture(str(path), plan.seeds[0], number, sha256, environment)
        return None

    def _environment(self, plan: Plan) -> dict[str, str]:
        """What a picture of a plan would record, in the precision of the program whose picture it is."""
        found = self._backend.environment(plan.device, plan.dtype, plan.threads)
        if plan.dtype == "auto" and plan.settings["flavour"] in ("a1111", "comfyui"):
            theirs = "fp32" if found["device"].startswith("cpu") else "fp16"
            found = self._backend.environment(plan.device, theirs, plan.threads)
        return found

    def drawn(self) -> GridResult:
        """The grid with its sheet.

        Raises:
            StorageError: It cannot be saved.
        """
        shown: list[Shown] = [cell.reason if cell.image is None else Path(cell.image.path) for cell in self.grid.cells]
        layout = _layout(self.grid, self._target.suffix, shown)
        first = next(cell for cell in self.grid.cells if cell.image is not None and cell.plan is not None)
        assert first.plan is not None  # noqa: S101 - as was asked for
        text = pictures.infotext(first.plan, first.plan.seeds[0], _as_a1111(self.grid.axes))
        image, record = layout.draw(), self._record()

        def write(path: Path, replace: bool) -> None:  # noqa: FBT001 - `OutputPath.save` calls it
            try:
                pictures.save_picture(image, path, text, record, replace=replace)
            except GenerationError:  # a JPEG holds no long text; the cells have theirs
                pictures.save_picture(image, path, "", {}, replace=replace)

        path = self._target.made().save(1, first.plan.seeds[0], write)
        return replace(
            self.grid, sheet=str(path), size=layout.size, scale=round(layout.scale, 3), timings=self._timings
        )

    def left(self) -> GridResult:
        """What there is of a grid that ends too soon, with a sheet if it can have one."""
        with suppress(AssetctlError, OSError):
            if any(cell.image is not None for cell in self.grid.cells):
                return self.drawn()
        return self.grid

    def rest(self) -> dict[str, str]:
        """Options that go on with it: under the same name, with the same seed; the sheet is drawn anew."""
        found = {} if self.grid.seed is None else {"--seed": str(self.grid.seed)}
        sheet = self._target.folder / f"{self._target.name}{self._target.suffix}"
        return {**found, "--out": str(sheet), **({"--force": ""} if sheet.exists() else {})}

    def _record(self) -> dict[str, Any]:
        """What the sheet says of itself to programs."""
        axes = [{"name": axis.name, "values": list(axis.labels)} for axis in self.grid.axes]
        cells = [
            {"values": list(cell.values), "sha256": cell.image and cell.image.sha256, "reason": cell.reason or None}
            for cell in self.grid.cells
        ]
        return {"version": 1, "software": pictures.software(), "grid": {"axes": axes, "cells": cells}}


def _made_before(folder: Path) -> dict[bytes, list[tuple[Path, Any]]]:
    """Pictures in a folder that say how they were made, by that; each with what else it depends on."""
    found: dict[bytes, list[tuple[Path, Any]]] = {}
    with suppress(OSError):
        for path in sorted(islice(folder.iterdir(), _MOST_FILES)):
            if path.suffix.lower() in FORMATS and not path.is_symlink():
                with suppress(AssetctlError, TypeError):  # another's file: it says nothing to us
                    record = pictures.read_record(path) or {}
                    found.setdefault(_key(record), []).append((path, record.get("environment")))
    return found


def _key(record: dict[str, Any]) -> bytes:
    """What a record says, but for the environment."""
    return orjson.dumps({**record, "environment": None}, option=orjson.OPT_SORT_KEYS)


def _as_a1111(axes: Sequence[Axis]) -> dict[str, str]:
    """The axes as A1111 notes them in the infotext of a sheet."""
    found = {"Script": "X/Y/Z plot"}
    for number, axis in enumerate(axes):
        letter = "XYZ"[number] if number < 3 else f"Axis {number + 1}"
        called = {"checkpoint": "Checkpoint name", "vae": "VAE", "prompt": "Prompt S/R"}.get(axis.kind, axis.name)
        found |= {f"{letter} Type": called, f"{letter} Values": str(axis).partition(": ")[2]}
    return found
