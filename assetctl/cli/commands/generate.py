"""assetctl generate."""

from __future__ import annotations

import contextlib
import gc
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from assetctl.cli.pictures import (
    NoServerOption,
    open_pictures,
    served,
    show_at_terminal,
    show_grid,
    show_plan,
    tell_grid,
    terminal_image,
)
from assetctl.cli.request import (
    PICTURE,
    AutoEmbeddingsOption,
    CheckpointOption,
    EmbeddingsOption,
    LorasOption,
    ManifestOption,
    NegativeOption,
    RecipeOption,
    VaeOption,
    read_prompts,
    setting_parameters,
    settings_of,
    single,
    with_recipe,
)
from assetctl.cli.session import Session, command, show_findings, tell_result
from assetctl.errors import StoppedError, UsageError
from assetctl.request import Backend, Output, Request
from assetctl.run import Run
from assetctl.text import counted


@command(
    gives="operations.make.generate.GenerationResult | list[operations.make.generate.GenerationResult] | "
    "operations.make.grid.GridResult | list[operations.make.jobs.JobResult]",
    done="list[operations.make.generate.SavedPicture] | "
    "operations.make.grid.GridResult | list[operations.make.jobs.JobResult]",
    examples=[
        "assetctl generate 'a cat with (long whiskers: 1.2)' --checkpoint dreamshaper --lora whiskers:0.8",
        "assetctl generate 'a cat <lora:pets/whiskers:0.8>' --negative '(easynegative:0.9), blurry' --seed 7",
        "assetctl generate 'a cat in my-style' --embedding my-style --no-auto-embeddings",
        "assetctl generate 'a cat' --sampler 'DPM++ 2M Karras' --steps 25 --size 768x512 --count 4",
        "assetctl generate 'a cat' --count 4 --out ~/pictures/cats --format webp",
        "assetctl generate 'a cat' --lora whiskers --dry-run",
        "assetctl generate 'a cat' --grid 'lora whiskers: 0.4, 0.8; steps: 10-30 (+10)' --out whiskers.png",
        "assetctl generate --recipe portrait --seed 7",
        "assetctl generate - --negative 'blurry' --show < prompt.txt",
        "assetctl generate 'a {red|blue} __animal__' --dynamic --count 4",
        "assetctl generate --batch jobs.jsonl --checkpoint dreamshaper --out ~/pictures/cats",
        "assetctl generate --batch jobs.jsonl --shard 2/4",
        "assetctl generate 'a cat' --no-server",
    ],
    more=setting_parameters(),
)
def app(
    session: Session,
    prompt: Annotated[
        str | None,
        typer.Argument(
            metavar="PROMPT", help="What the picture shows, in A1111's dialect; - reads it from standard input."
        ),
    ] = None,
    checkpoint: CheckpointOption = None,
    loras: LorasOption = None,
    embeddings: EmbeddingsOption = None,
    auto_embeddings: AutoEmbeddingsOption = None,
    vae: VaeOption = None,
    recipe: RecipeOption = None,
    file: ManifestOption = Path("registry.toml"),
    negative: NegativeOption = None,
    count: Annotated[
        int | None, typer.Option("--count", help="How many pictures: by default 1.", rich_help_panel=PICTURE)
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="A folder, or a PNG, JPEG or WebP file.", rich_help_panel=PICTURE)
    ] = None,
    format: Annotated[
        str | None,
        typer.Option("--format", help="png, jpg or webp, for a folder: by default png.", rich_help_panel=PICTURE),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace the file that --out names.", rich_help_panel=PICTURE)
    ] = False,
    grid: Annotated[
        str | None,
        typer.Option(
            "--grid",
            metavar="AXES",
            help="One sheet of every combination: 'checkpoint: a, b; lora NAME: 0.4, 0.8; seed: 1-4; prompt cat: dog'. "
            "The first goes across, the second down. Ranges are A1111's: 1-4, 10-30 (+5), 4-10 [4].",
            rich_help_panel=PICTURE,
        ),
    ] = None,
    dynamic: Annotated[
        bool | None,
        typer.Option(
            "--dynamic",
            help="Draw the prompts of each picture by its seed: {red|blue}, and lines of files for __name__.",
            rich_help_panel=PICTURE,
        ),
    ] = None,
    wildcards: Annotated[
        Path | None,
        typer.Option(
            "--wildcards",
            metavar="DIR",
            help="Where these files are: by default wildcards/ in the home.",
            rich_help_panel=PICTURE,
        ),
    ] = None,
    preview: Annotated[
        bool,
        typer.Option("--preview", help="Show at the terminal how each picture comes about.", rich_help_panel=PICTURE),
    ] = False,
    show: Annotated[
        bool, typer.Option("--show", help="Show the pictures at the terminal.", rich_help_panel=PICTURE)
    ] = False,
    opened: Annotated[
        bool, typer.Option("--open", help="Open the pictures in the system's viewer.", rich_help_panel=PICTURE)
    ] = False,
    batch: Annotated[
        str | None,
        typer.Option(
            "--batch", metavar="FILE", help="Make the jobs of a list, one JSON object a line; - reads standard input."
        ),
    ] = None,
    shard: Annotated[
        str | None, typer.Option("--shard", metavar="I/N", help="With --batch: make the Ith of N parts of the list.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the resolved plan and load nothing.")] = False,
    no_server: NoServerOption = False,
    **settings: Any,  # noqa: ANN401 - the options of a picture
) -> None:
    """Make pictures from a prompt and a selection of assets.

    The selection is checked first. Each picture carries its parameters, readable by A1111, and the
    catalog records what it was made of: see `assetctl history` and `assetctl reproduce`.

    With --batch, each line of a list is a job, over what is typed here: {"prompt": "a cat", "loras":
    {"whiskers": 0.8}, "seed": 7}. Each checkpoint is loaded once, and the same command goes on after
    an interruption.

    Where `assetctl serve` runs, its worker makes them, which has loaded already what it made before: the same
    pictures, sooner. ASSETCTL_SERVER=0 turns that off.
    """
    if batch is not None or shard is not None:
        from assetctl.cli.batch import see_batch_usage, tell_batch  # noqa: PLC0415 - most make one thing

        see_batch_usage(prompt, batch, shard, grid, preview=preview)
    typed = Request.of(
        *read_prompts(prompt, negative),
        checkpoint=single("--checkpoint", checkpoint),
        loras=loras or (),
        embeddings=embeddings or (),
        vae=single("--vae", vae),
        auto_embeddings=auto_embeddings,
        count=count,
        output=Output(out, format, force),
        dynamic=dynamic,
        **settings_of(settings),
    )
    request = with_recipe(typed, recipe, file)
    if wildcards is not None and (batch is not None or not request.dynamic):
        raise UsageError("--wildcards goes with --dynamic.", "ASSETCTL_WILDCARDS names the folder for a batch.")
    if batch is not None:
        gc.enable()  # as below
        backend = None if dry_run or no_server else served(session)
        paths = tell_batch(session, batch, request, backend, file=file, shard=shard, dry_run=dry_run)
    else:
        if not request.of_role("checkpoint"):
            _offer_demo(session)
        drawn = _drawn(session, request, wildcards, grid)
        if dry_run:
            _show_plan(session, drawn, grid)
            return
        backend = None if no_server else served(session)
        draws = terminal_image(session) if preview else None
        if grid is None:
            paths = _make(session, drawn, backend, draws)
        else:
            paths = _make_grid(session, drawn[0], grid, backend, draws)
    if show:
        show_at_terminal(session, paths)
    if opened:
        open_pictures(session, paths)


def _drawn(session: Session, request: Request, wildcards: Path | None, grid: str | None) -> Sequence[Request]:
    """What a request of dynamic prompts comes to; see `Registry.draw`."""
    drawn = session.registry.draw(request, wildcards=wildcards, run=Run(session.out.warn))
    if grid is not None and len(drawn) > 1:
        raise UsageError("A grid has one prompt for all its cells.", "Leave --count out.")
    return drawn


def _show_plan(session: Session, requests: Sequence[Request], grid: str | None) -> None:
    if grid is not None:
        planned = session.registry.plan_grid(requests[0], grid)
        session.out.result(planned, lambda: show_grid(session.out, planned))
        return
    from assetctl.operations.make.generate import GenerationResult  # noqa: PLC0415 - as where one is made

    results = []
    for request in requests:
        plan, report = session.registry.plan(request)
        out = tuple(session.registry.check_picture_paths(plan, request.output))
        results.append(GenerationResult((), plan, report, {}, out))

    def render() -> None:
        for result in results:
            show_plan(session, result.plan, result.out)

    session.out.result(results if len(results) > 1 else results[0], render)
    for result in results:
        show_findings(() if session.out.json else result.report.findings)


@contextlib.contextmanager
def _naming_what_is_done() -> Iterator[None]:
    """Let an interrupt tell of the pictures that there are, and how to make the rest."""
    from assetctl.operations.make.generate import InterruptedGenerationError  # noqa: PLC0415 - a dry run needs none of it

    try:
        yield
    except InterruptedGenerationError as stopped:
        count = len(stopped.done) + len(stopped.rest)
        rest = {"--seed": str(stopped.rest[0]), "--count": str(len(stopped.rest))} if stopped.rest else {}
        if rest and stopped.done and stopped.name is not None:
            rest["--out"] = str(stopped.name)
        done = f"{len(stopped.done)} of {count} pictures are done" if count > 1 else "the picture is not done"
        done = "the picture is done" if count == len(stopped.done) == 1 else done
        error = StoppedError(f"Interrupted: {done}.", None, rest)
        error.done = stopped.done
        raise error from None


@contextlib.contextmanager
def _naming_cells_that_are_done() -> Iterator[None]:
    """Likewise, of the cells of a grid, which are on a sheet."""
    from assetctl.operations.make.grid_making import InterruptedGridError  # noqa: PLC0415 - grids alone

    try:
        yield
    except InterruptedGridError as stopped:
        cells = [each for each in stopped.done.cells if each.plan is not None]
        made = sum(each.image is not None for each in cells)
        error = StoppedError(f"Interrupted: {made} of {counted(len(cells), 'cell')} are done.", None, stopped.rest)
        error.done = stopped.done
        raise error from None


def _make(session: Session, requests: Sequence[Request], backend: Backend | None, draws: Any) -> list[str]:  # noqa: ANN401 - see `Bars`
    gc.enable()  # it was off for a short life, and this one is long
    with _naming_what_is_done(), session.out.progress(draws=draws) as run:
        if len(requests) > 1:
            results = session.registry.generate_each(requests, backend=backend, run=run)
        else:
            results = [session.registry.generate(requests[0], backend=backend, run=run)]
    paths = [image.path for result in results for image in result.images]
    session.out.result(results if len(results) > 1 else results[0], lambda: session.out.lines(paths), paths)
    for result in results:
        tell_result(session, result)
    return paths


def _make_grid(session: Session, request: Request, grid: str, backend: Backend | None, draws: Any) -> list[str]:  # noqa: ANN401 - likewise
    gc.enable()  # as above
    with _naming_cells_that_are_done(), session.out.progress(draws=draws) as run:
        result = session.registry.generate_grid(request, grid, backend=backend, run=run)
    tell_grid(session.out, result)
    return [str(result.sheet)]


def _offer_demo(session: Session) -> None:
    """Ask a person who has no checkpoint whether the demo family will do."""
    is_person = sys.stdin.isatty() and sys.stderr.isatty() and not (session.out.json or session.out.quiet)
    if not is_person or session.registry.list(kind="checkpoint"):
        return
    question = "There is no checkpoint yet. Bring in the small family that ships with assetctl (15 MB)?"
    if typer.confirm(question, default=True, err=True):
        session.registry.pull_demo()
