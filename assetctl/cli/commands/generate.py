"""assetctl generate."""

from __future__ import annotations

import gc
import sys
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from assetctl.cli import completion
from assetctl.cli.pictures import naming_what_is_done, show_plan, tell_result
from assetctl.cli.render import show_findings
from assetctl.cli.session import (
    CheckpointOption,
    EmbeddingsOption,
    LorasOption,
    ManifestOption,
    RecipeOption,
    Session,
    VaeOption,
    command,
)
from assetctl.errors import UsageError
from assetctl.manifest import Recipe
from assetctl.operations.select.selection import Choice, read_recipe, with_recipe
from assetctl.plan import GenerationRequest

_PANEL = "Picture"


@command(
    gives="operations.make.generate.GenerationResult",
    done="list[operations.make.generate.SavedPicture]",
    examples=[
        "assetctl generate 'a cat with (long whiskers: 1.2)' --checkpoint dreamshaper --lora whiskers:0.8",
        "assetctl generate 'a cat <lora:whiskers:0.8>' --negative easynegative --embedding easynegative --seed 7",
        "assetctl generate 'a cat' --sampler 'DPM++ 2M Karras' --steps 25 --size 768x512 --count 4",
        "assetctl generate 'a cat' --count 4 --out ~/pictures/cats --format webp",
        "assetctl generate 'a cat' --lora whiskers --dry-run",
        "assetctl generate --recipe portrait --seed 7",
    ],
)
def app(
    session: Session,
    prompt: Annotated[
        str | None, typer.Argument(metavar="PROMPT", help="What the picture shows, in A1111's dialect.")
    ] = None,
    checkpoint: CheckpointOption = None,
    loras: LorasOption = None,
    embeddings: EmbeddingsOption = None,
    vae: VaeOption = None,
    recipe: RecipeOption = None,
    file: ManifestOption = Path("registry.toml"),
    negative: Annotated[str | None, typer.Option("--negative", "-n", help="What it must not show.")] = None,
    steps: Annotated[
        int | None, typer.Option("--steps", help="Denoising steps: 20 unless named.", rich_help_panel=_PANEL)
    ] = None,
    cfg: Annotated[
        float | None,
        typer.Option("--cfg", help="How closely to follow the prompt: 7 unless named.", rich_help_panel=_PANEL),
    ] = None,
    sampler: Annotated[
        str | None,
        typer.Option(
            "--sampler",
            help="As A1111 names it, in any case: Euler a unless named.",
            autocompletion=completion.samplers,
            rich_help_panel=_PANEL,
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="By chance unless named.", rich_help_panel=_PANEL)] = None,
    size: Annotated[
        str | None,
        typer.Option("--size", metavar="WxH", help="The checkpoint's own unless named.", rich_help_panel=_PANEL),
    ] = None,
    clip_skip: Annotated[
        int | None,
        typer.Option("--clip-skip", help="SD 1: which text layer to read, from the last.", rich_help_panel=_PANEL),
    ] = None,
    count: Annotated[int, typer.Option("--count", help="How many pictures.", rich_help_panel=_PANEL)] = 1,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="A folder, or a PNG, JPEG or WebP file.", rich_help_panel=_PANEL)
    ] = None,
    format: Annotated[
        str | None,
        typer.Option("--format", help="png, jpg or webp, for a folder: png unless named.", rich_help_panel=_PANEL),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace the file that --out names.", rich_help_panel=_PANEL)
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the resolved plan and load nothing.")] = False,
) -> None:
    """Make pictures from a prompt and a selection of assets.

    The selection is checked first. Each picture carries its parameters, readable by A1111, and the
    catalog records what it was made of: see `assetctl history` and `assetctl reproduce`.
    """
    choice = Choice(
        checkpoint, tuple(loras or ()), tuple(embeddings or ()), vae, prompt, negative, steps=steps, cfg_scale=cfg
    )
    found = Recipe("") if recipe is None else read_recipe(file, recipe)
    choice = with_recipe(choice, found)
    request = _request(choice, found, sampler, seed, size, clip_skip, count)
    if choice.checkpoint is None:
        _offer_demo(session)
    place = _Place(out, format, force)
    if dry_run:
        _show_plan(session, request, choice, place)
    else:
        _make(session, request, choice, place)


class _Place(NamedTuple):
    """Where pictures go; see `Registry.generate`."""

    out: Path | None
    format: str | None
    force: bool


def _request(
    choice: Choice,
    recipe: Recipe,
    sampler: str | None,
    seed: int | None,
    size: str | None,
    clip_skip: int | None,
    count: int,
) -> GenerationRequest:
    """What was asked for, else what the recipe says, else the request's own defaults."""
    if choice.prompt is None:
        raise UsageError("There is no prompt.", "Say what the picture shows: `assetctl generate 'a cat'`.")
    width, height = _size(size or recipe.size)
    asked = {
        "negative_prompt": choice.negative_prompt,
        "steps": choice.steps,
        "cfg_scale": choice.cfg_scale,
        "sampler": sampler or recipe.sampler,
        "seed": recipe.seed if seed is None else seed,
        "clip_skip": recipe.clip_skip if clip_skip is None else clip_skip,
    }
    given: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
    return GenerationRequest(choice.prompt, width=width, height=height, count=count, **given)


def _show_plan(session: Session, request: GenerationRequest, choice: Choice, place: _Place) -> None:
    from assetctl.operations.make.generate import GenerationResult  # noqa: PLC0415 - as where one is made

    plan, report = session.registry.plan(request, choice, out=place.out, format=place.format, force=place.force)
    session.out.result(GenerationResult((), plan, report, {}), lambda: show_plan(session, plan))
    show_findings(() if session.out.json else report.findings)


def _make(session: Session, request: GenerationRequest, choice: Choice, place: _Place) -> None:
    gc.enable()  # it was off for a short life, and this one is long
    with naming_what_is_done(), session.out.progress() as run:
        result = session.registry.generate(
            request, choice, out=place.out, format=place.format, force=place.force, run=run
        )
    paths = [image.path for image in result.images]
    session.out.result(result, lambda: session.out.lines(paths), paths)
    tell_result(session, result)


def _offer_demo(session: Session) -> None:
    """Ask a person who has no checkpoint whether the demo family will do."""
    is_person = sys.stdin.isatty() and sys.stderr.isatty() and not (session.out.json or session.out.quiet)
    if not is_person or session.registry.list(kind="checkpoint"):
        return
    question = "There is no checkpoint yet. Bring in the small family that ships with assetctl (15 MB)?"
    if typer.confirm(question, default=True, err=True):
        session.registry.pull_demo()


def _size(text: str | None) -> tuple[int | None, int | None]:
    if text is None:
        return None, None
    text = text[:20]
    width, _, height = text.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal()):
        raise UsageError(f"{text!r} is no size.", "Write width and height in pixels, like 768x512.")
    return int(width), int(height)
