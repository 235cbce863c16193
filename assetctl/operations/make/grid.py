"""Grid: one request in every combination of some values, each resolved and checked before anything is loaded."""

from __future__ import annotations

import secrets
from contextlib import suppress
from copy import copy
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING

from assetctl.axes import Axis, parse_axes, see_axes
from assetctl.errors import (
    AmbiguousNameError,
    AssetctlError,
    IncompatibleError,
    NotFoundError,
    UsageError,
)
from assetctl.operations.make.generate import (
    SavedPicture,
    find_output_path,
)
from assetctl.operations.make.plan import drawn, resolve
from assetctl.options import MAX_SEED, RANDOM, together, written
from assetctl.pictures.saving import FORMATS
from assetctl.pictures.sheet import Layout, Table, lay_out
from assetctl.prompt.syntax import find_tags
from assetctl.request import Request, Use, loading_order

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from assetctl.catalog.reading import Reader
    from assetctl.operations.workspace import Workspace
    from assetctl.pictures.sheet import Shown
    from assetctl.request import Plan
    from assetctl.types import Asset, CheckReport, Finding


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
    def findings(self) -> tuple[Finding, ...]:
        """What was found of the cells that can be made, each once; a weight of 0 among others is meant."""
        meant = {"zero_weight"} if any(axis.kind == "weight" for axis in self.axes) else set()
        every = (cell.report.findings for cell in self.cells if cell.report is not None)
        return tuple(dict.fromkeys(each for findings in every for each in findings if each.rule not in meant))

    @property
    def failed(self) -> tuple[AssetctlError, ...]:
        """Why cells have no picture: each reason once, which names the first cell that it is about."""
        return _reasons(self.cells)


def plan_grid(workspace: Workspace, request: Request, grid: str | Sequence[Axis]) -> GridResult:
    """Resolve and check every cell of a grid, and where it would go; nothing is loaded or written.

    Raises:
        UsageError: The grid makes no sense, or its sheet would be too large.
        NotFoundError, AmbiguousNameError: A name, of any cell.
        StorageError: Pictures cannot be written there.
        AssetctlError: No cell can be made; its `errors` say why.
    """
    if (request.count or 1) != 1:
        raise UsageError("A cell of a grid is one picture.", "Ask for --count 1; 'seed: 1-4' is an axis of four seeds.")
    axes = parse_axes(grid) if isinstance(grid, str) else tuple(grid)
    see_axes(axes)
    target = find_output_path(workspace, request.output)
    request, axes = _with_seeds(request, axes)
    (request,) = drawn(workspace, request)
    finder = _Finder(workspace.catalog.read, request)
    axes = tuple(map(finder.named, axes))
    judged: dict[object, dict[object, CheckReport]] = {}
    cells = []
    for place in _places(axes):
        asked = finder.request(axes, place)
        known = judged.setdefault((asked.prompt, asked.negative_prompt), {})
        cells.append(_resolved(workspace, asked, _cell(axes, place), known))
    if all(cell.plan is None for cell in cells):
        raise all_failed(cells)
    planned = [number for number, cell in enumerate(cells) if cell.plan is not None]
    plans = [plan for cell in cells if (plan := cell.plan) is not None]
    for order, number in enumerate(loading_order(plans), 1):
        cells[planned[number]] = replace(cells[planned[number]], order=order)
    differs = any("seed" in axis.settings for axis in axes)
    made = GridResult(
        None, None, target.planned(1), axes, tuple(cells), (0, 0), 1.0, None if differs else plans[0].seeds[0], {}, ""
    )
    made = replace(made, title=_title(request, made))
    layout = layout_of(made, target.suffix, [_planned_size(cell) for cell in cells])
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


def _resolved(workspace: Workspace, request: Request, cell: GridCell, judged: dict[object, CheckReport]) -> GridCell:
    """A cell with its plan, or why there is none; a name that is not there is a slip of whoever wrote the grid.

    Raises:
        NotFoundError, AmbiguousNameError: A name.
    """
    try:
        plan, report = resolve(workspace, request, judged)
    except (NotFoundError, AmbiguousNameError):
        raise
    except AssetctlError as error:
        return replace(cell, error=error)
    return replace(cell, plan=plan, report=report)


def all_failed(cells: Sequence[GridCell]) -> AssetctlError:
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
            hint = "Name words as they stand there; a template is searched as it was drawn, by the seed of all cells."
            raise UsageError(f"The prompt has no {axis.about!r:.60} in it: {(self._base.prompt or '')!r:.200}.", hint)
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


def layout_of(grid: GridResult, suffix: str, shown: Sequence[Shown]) -> Layout:
    """How the sheet of a grid will be drawn, with what each cell shows."""
    return lay_out(_tables(grid, shown), title=grid.title, format=FORMATS[suffix.lower()])
