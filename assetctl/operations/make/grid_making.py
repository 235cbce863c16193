"""Making a grid: each cell is a picture as any other, and all are drawn on one sheet.

A cell that cannot work is shown with the reason, and ends no other. What was made before, and lies where it would be
saved, is taken as it is: a grid that was stopped goes on.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count as counted
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from assetctl import pictures
from assetctl.errors import (
    AssetctlError,
    FileError,
    GenerationError,
    IncompatibleError,
    NotFoundError,
    StorageError,
    UnusableError,
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
from assetctl.operations.make.grid import all_failed, layout_of
from assetctl.pictures.saving import FORMATS
from assetctl.request import Output
from assetctl.run import Cancelled, Saved, Warned

if TYPE_CHECKING:
    from collections.abc import Sequence

    from assetctl.axes import Axis
    from assetctl.operations.make.generate import OutputPath
    from assetctl.operations.make.grid import GridCell, GridResult
    from assetctl.operations.workspace import Workspace
    from assetctl.pictures.sheet import Shown
    from assetctl.request import Backend, Plan, PlannedUse
    from assetctl.run import Run

#: Files of a folder that are looked at for cells that were made before.
_MOST_FILES = 2000


class InterruptedGridError(KeyboardInterrupt):
    """A person stopped a grid. What was done is kept, and is on a sheet.

    Attributes:
        done: What there is.
        rest: Options that the same command needs to go on.
    """

    def __init__(self, done: GridResult, rest: dict[str, str]) -> None:
        super().__init__("The grid was stopped.")
        self.done, self.rest = done, rest


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
        result = making.drawn()
        run.tell(Saved(path=str(result.sheet)))
    except KeyboardInterrupt as stop:
        raise InterruptedGridError(making.left(), making.rest()) from stop
    except Cancelled as stop:
        stop.done = making.left()
        raise
    except Exception as error:
        error.done = making.left()  # type: ignore[attr-defined]  # a backend may raise anything
        raise
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
        self._unloadable: dict[tuple[PlannedUse, ...], AssetctlError] = {}

    def make(self) -> None:
        """Make all cells that can be, each as a picture by itself.

        Raises:
            AssetctlError: None could be.
        """
        self._hash()
        for number in self._take_over():
            self._make(number)
        for number in [number for number, cell in enumerate(self.grid.cells) if _is_gone(cell)]:
            self._make(number)  # somebody took its picture away meanwhile
        if all(cell.image is None for cell in self.grid.cells):
            raise all_failed(self.grid.cells)

    def _make(self, number: int) -> None:
        """Make a cell, or note why it cannot be."""
        cell = self.grid.cells[number]
        assert cell.plan is not None  # noqa: S101 - what has an order has a plan
        assert cell.report is not None  # noqa: S101 - likewise
        output = Output(self._free_name(cell))
        if (known := self._unloadable.get(cell.plan.uses)) is not None:
            self._set(number, error=known)  # what cannot be loaded takes as long to fail again
            return
        try:
            result = generate(
                self._workspace, cell.plan, cell.report, self._backend, output=output, run=self._part(cell)
            )
        except (GenerationError, IncompatibleError, FileError, NotFoundError) as error:
            self._set(number, error=error)
            if isinstance(error, (UnusableError, FileError)):
                self._unloadable[cell.plan.uses] = error
            return
        except (InterruptedGenerationError, Cancelled) as stop:
            self._set(number, image=next(iter(stop.done or ()), None))  # type: ignore[call-overload]
            raise
        self._set(number, image=result.images[0], plan=result.plan, report=result.report, was_there=False)
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
        return self._run.one_of_all(cell.order or 1, sum(each.plan is not None for each in self.grid.cells))

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
        shown = [_shown(cell) for cell in self.grid.cells]
        layout = layout_of(self.grid, self._target.suffix, shown)
        first = next(cell for cell in self.grid.cells if cell.image is not None and cell.plan is not None)
        assert first.plan is not None  # noqa: S101 - as was asked for
        plain, text = (
            pictures.infotext(first.plan, first.plan.seeds[0], more) for more in ({}, _as_a1111(self.grid.axes))
        )
        image, record = layout.draw(), self._record()

        def write(path: Path, replace: bool) -> None:  # noqa: FBT001 - `OutputPath.save` calls it
            try:
                pictures.save_picture(image, path, text, record, replace=replace)
            except GenerationError:  # a JPEG holds no long text: the axes stand on the sheet, and cells have theirs
                small = {**record, "grid": {"axes": [], "cells": []}}
                pictures.save_picture(image, path, plain, small, replace=replace)

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
        # seeds that were drawn by chance are named
        axes = {"--grid": "; ".join(map(str, self.grid.axes))}
        found = axes if self.grid.seed is None else {"--seed": str(self.grid.seed)}
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


def _is_gone(cell: GridCell) -> bool:
    """Whether a cell's picture was made and is there no longer."""
    return cell.image is not None and not Path(cell.image.path).is_file()


def _shown(cell: GridCell) -> Shown:
    """What stands for a cell on the sheet."""
    if cell.image is None:
        return cell.reason
    return "Its picture was taken away." if _is_gone(cell) else Path(cell.image.path)


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
