"""What pictures say and how they are made, as lines."""

from __future__ import annotations

import logging
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from assetctl.cli.render import local, short
from assetctl.cli.session import show_findings
from assetctl.operations.make.history import lines_of as made_of
from assetctl.operations.make.inspect_picture import is_page, lines_of
from assetctl.options import label, together, written
from assetctl.pictures.saving import FORMATS
from assetctl.server import SOCKET
from assetctl.text import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from assetctl.catalog import Generation
    from assetctl.cli.session import Output, Session
    from assetctl.operations.make.grid import GridResult
    from assetctl.operations.make.history import Remade
    from assetctl.operations.make.inspect_picture import PictureDetails, ResolvedAsset
    from assetctl.request import Backend, Plan


COLUMNS = ("NUMBER", "MADE", "PROMPT", "CHECKPOINT", "SEED", "SIZE", "FILE")

#: Of commands that make pictures.
NoServerOption = Annotated[
    bool, typer.Option("--no-server", help="Make it here, even where a server of this home runs.")
]

#: How a person says that none is wanted.
_FALSE = frozenset({"0", "off", "no", "false"})

#: Rows of a terminal that a picture takes at most.
_ROWS = 32

#: How cells of a grid are called, whichever grid it is.
_CELL = re.compile(r"x\d+(-y\d+)?(-z\d+)?(-\d+)?")

_MARKS = {"here": "✓", "other_bytes": "!", "missing": "✗", "ambiguous": "?"}


def served(session: Session) -> Backend | None:
    """What has pictures made by the server of the home; `None` where none runs, or a person wants none."""
    home = session.registry.settings.home
    if os.environ.get("ASSETCTL_SERVER", "").strip().lower() in _FALSE or not (home / SOCKET).exists():
        return None
    from assetctl.server.client import find_painter  # noqa: PLC0415 - most homes have no server

    return find_painter(home, session.registry.backend, session.out.note)


def show_picture(out: Output, details: PictureDetails) -> None:
    """Give all that is known of a picture, or of a text from one, as a result."""
    file, said = details.file, details.parameters

    def render() -> None:
        size = "" if file.width is None else f"{file.width}x{file.height} "
        if file.format is not None:
            out.labelled("picture", f"{file.path}  ({size}{file.format.upper()})")
        if said is None:
            out.line(details.silence or "")
            return
        for name, value in lines_of(said):
            out.labelled(name, value, prose=True)
        show_resolved(out, details.assets)
        if details.outlook is not None:
            out.labelled("again", details.outlook.verdict, prose=True)
            for remark in details.outlook.remarks:
                out.labelled("", remark, prose=True)

    here = [each.asset.name for each in details.assets if each.asset is not None and each.status == "here"]
    out.result(details, render, here)
    _hint_at(out, details)


def _hint_at(out: Output, details: PictureDetails) -> None:
    """What to do with a picture."""
    file, said = details.file, details.parameters
    if details.embedding:
        typed = shlex.quote(str(file.path))
        out.hint(f"`assetctl convert {typed}` makes a safetensors file of the embedding in it.")
    elif said is None and not details.unread:
        out.hint(
            "Such data are lost when a picture is edited, or sent through a messenger: look for the original file."
        )
    elif details.outlook is not None and details.outlook.error is not None:
        if details.outlook.error.hint:
            out.hint(details.outlook.error.hint)
    elif details.outlook is not None and details.outlook.likeness is not None and file.format is not None:
        out.hint(f"`assetctl reproduce {shlex.quote(str(file.path))}` makes it again.")
    if details.unhashed:
        number = "1 asset lacks" if details.unhashed == 1 else f"{details.unhashed} assets lack"
        out.hint(
            f"{number} a hash, and could be what is missing: `assetctl verify` computes all, "
            "`assetctl inspect NAME --hash` one's."
        )


def show_resolved(out: Output, assets: Sequence[ResolvedAsset]) -> None:
    """Assets that a picture names, each with what is here of it."""
    for each in assets:
        used = each.used
        weight = "" if used.weight is None else f" at {used.weight:g}"
        weight += "" if used.text_weight is None else f", and {used.text_weight:g} for text encoders"
        digits = f" [{used.hash[:12]}]" if used.hash else ""
        out.labelled(used.role, f"{_MARKS[each.status]} {used.name or 'no name'}{weight}{digits}: {each.verdict}")
        if each.status != "here":
            for source in each.sources:
                out.labelled("", f"  from {source}{_how(source)}")


def _how(source: str) -> str:
    return " (open in a browser, then `assetctl import`)" if is_page(source) else ""


def show_history(out: Output, generations: Sequence[Generation]) -> None:
    """Give pictures of the history as a result."""

    def render() -> None:
        if generations:
            out.table(COLUMNS, map(_row, generations), right=("NUMBER", "SEED"))

    out.result(generations, render, (each.image_path for each in generations))


def _row(each: Generation) -> tuple[str, ...]:
    checkpoint = next((use.asset or f"{use.name} (removed)" for use in each.assets if use.role == "checkpoint"), "-")
    path = Path(each.image_path)
    file = f"{path.parent.name}/{path.name}" if _CELL.fullmatch(path.stem) else path.name
    file += "" if each.is_there else " (replaced)" if each.replaced else " (gone)"
    size = written(together("field")["Size"], each.settings) or ""
    made, seed = local(each.created_at), str(each.settings["seed"])
    return str(each.number), made, short(each.prompt), checkpoint, seed, size, file


def show_generation(out: Output, picture: Remade) -> None:
    """Give one picture of the history as a result, with the command line that makes it again."""
    generation, command = picture.generation, picture.command
    state = "" if generation.is_there else "  (another file is there now)" if generation.replaced else "  (gone)"

    def render() -> None:
        lines = [
            ("number", str(generation.number)),
            ("made", local(generation.created_at)),
            ("file", generation.image_path + state),
            ("SHA256", generation.image_sha256),
            *made_of(generation),
        ]
        for name, value in lines:
            if value:
                out.labelled(name, value, prose=name in ("prompt", "negative"))
        for use in generation.assets:
            weight = "" if use.weight is None else f" at {use.weight:g}"
            now = (
                "" if use.asset == use.name else f", {use.asset} now" if use.asset else ", not in the catalog any more"
            )
            out.labelled(use.role, f"{use.name}{weight}{now}")
        environment = (generation.record or {}).get("environment") or {}
        out.labelled("with", ", ".join(f"{name} {value}" for name, value in environment.items()))
        out.labelled("command", shlex.join(command), prose=True)

    out.result(picture, render, [generation.image_path])


def tell_grid(out: Output, grid: GridResult) -> None:
    """Give a grid as a result: its sheet, and why cells have no picture."""
    paths = [str(grid.sheet)]
    there = sum(each.was_there for each in grid.cells)
    made = sum(each.image is not None for each in grid.cells)
    before = f", {there} of them made before" if there else ""
    out.note(f"{counted(made, 'cell')} in {grid.folder}{before}; made in {grid.timings.get('total', 0.0):.1f} s")
    show_findings(() if out.json else grid.findings)
    out.result(grid, lambda: out.lines(paths), paths, grid.failed)


def show_grid(out: Output, grid: GridResult) -> None:
    """The cells of a grid in the order in which they are made, and its sheet, as a page on stdout."""
    cells = sorted(grid.cells, key=lambda each: (each.order is None, each.order))
    rows = []
    for each in cells:
        values = [said.removeprefix(f"{axis.name}: ") for axis, said in zip(grid.axes, each.values, strict=True)]
        rows.append((str(each.order or "-"), *values, each.reason if each.plan is None else "ok"))
    out.table(("ORDER", *(axis.name.upper() for axis in grid.axes), "CHECK"), rows, right=("ORDER",))
    if first := grid.title.partition("\n")[0]:
        out.labelled("prompt", first, prose=True)
    plans = [each.plan for each in cells if each.plan is not None]
    loads = len({(plan.checkpoint, plan.vae) for plan in plans})
    seed = "" if grid.seed is None else f", all with seed {grid.seed}"
    out.labelled("cells", f"{len(plans)} of {len(grid.cells)} can be made{seed}")
    out.labelled("loads", f"{loads} {'checkpoint' if loads == 1 else 'checkpoints'}, each once")
    small = "" if grid.scale == 1 else f", pictures at {grid.scale:.0%} of their size"
    out.labelled("sheet", f"{grid.size[0]}x{grid.size[1]}{small}")
    for place in grid.out:
        out.labelled("saved in" if Path(place).suffix.lower() not in FORMATS else "saved as", place)
    show_findings(grid.findings)


def open_pictures(session: Session, paths: Sequence[str]) -> None:
    """Open pictures in the system's viewer; where there is none, one warning says so."""
    for path in paths:
        if not _opened(path):
            others = "" if len(paths) == 1 else f" and {len(paths) - 1} more" if path == paths[0] else ", for example"
            session.out.warning(f"No viewer could be started: the picture is {path}{others}.")
            return


def _opened(path: str) -> bool:
    """Whether the system's viewer was started; what it says itself is not ours to show."""
    program = {"darwin": "open", "win32": None}.get(sys.platform, "xdg-open")
    try:
        if program is None:
            return typer.launch(path) == 0
        quiet = subprocess.DEVNULL
        viewer = subprocess.Popen([program, path], stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True)
        return viewer.wait(_STARTING) == 0
    except subprocess.TimeoutExpired:  # it is looked at
        return True
    except OSError:
        return False


#: Seconds in which a viewer that cannot be started says so.
_STARTING = 2.0


def show_at_terminal(session: Session, paths: Sequence[str]) -> None:
    """Draw pictures at a terminal, as well as it can: in pixels (kitty, sixel), or in half characters."""
    drawn = terminal_image(session)
    if drawn is None:
        return
    from rich.console import Console  # noqa: PLC0415 - only who looks pays

    console = Console()
    for path in paths:
        try:
            console.print(drawn(path, height=min(_ROWS, max(console.height - 2, 1))))
        except (OSError, ValueError) as error:  # it is saved all the same
            session.out.warning(f"{path} cannot be shown: {error}.")


def terminal_image(session: Session) -> Any:  # noqa: ANN401 - a class of a package that only who looks pays
    """What draws a picture at this terminal, for Rich; `None`, and a word on it, where it cannot."""
    out = session.out
    if out.json or out.quiet:
        return None
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        out.note("Pictures are shown at a terminal alone.")
        return None
    logging.getLogger("textual_image").setLevel(logging.CRITICAL)  # a terminal that does not answer is no news
    try:
        from textual_image.renderable import Image  # noqa: PLC0415 - it asks the terminal what it can
    except ImportError:
        out.warning(
            "Showing pictures needs a package that is not installed: textual-image.",
            "Install it with `pip install 'assetctl[generate]'`.",
        )
        return None
    return Image


def _segments(segments: Sequence[tuple[str, float]]) -> str:
    return " ".join(f"{part.strip()!r}:{weight:g}" for part, weight in segments)


def numbers(found: Sequence[int]) -> str:
    """Numbers in a rising order as a person writes them: 1-10, or 1, 3, 5, …."""
    runs: list[list[int]] = []
    for each in found:
        if runs and each == runs[-1][1] + 1:
            runs[-1][1] = each
        else:
            runs.append([each, each])
    said = [f"{first}" if first == last else f"{first}-{last}" for first, last in runs]
    return ", ".join(said[:_MOST_RUNS]) + (", …" if len(said) > _MOST_RUNS else "")


#: Runs of numbers that a line has room for.
_MOST_RUNS = 5


def show_plan(session: Session, plan: Plan, places: Sequence[str]) -> None:
    """A plan as a page on stdout, and where its pictures would go."""
    for use in plan.uses:
        weight = "" if use.applied_weight is None else f" at {use.applied_weight:g}"
        weight += "" if use.text_weight is None else f", and {use.text_weight:g} for text encoders"
        why = "" if use.found_by is None else f", found by {use.found_by!r} in the prompts"
        session.out.line(f"{use.role:>12}  {use.name}{weight}  ({use.family or 'family unknown'}){why}")
    for called, prompt in (("prompt", plan.prompt), ("negative", plan.negative_prompt)):
        if not prompt.stretches:
            session.out.line(f"{called:>12}  {_segments(prompt.segments)}")
        for each in prompt.stretches:
            weight = "" if each.weight == 1 else f", weighing {each.weight:g}"
            session.out.line(f"{called:>12}  {_segments(each.segments)}  (steps {numbers(each.steps)}{weight})")
            called = ""  # noqa: PLW2901 - it stands before the first
    settings = {**plan.settings, "seed": ", ".join(map(str, plan.seeds))}
    said = [(label(options), written(options, settings)) for options in together("field").values()]
    line = ", ".join(f"{name} {value}" for name, value in said if value is not None)
    session.out.line(f"{'picture':>12}  {line}")
    for place in places:
        session.out.line(f"{'saved in' if Path(place).suffix.lower() not in FORMATS else 'saved as':>12}  {place}")
