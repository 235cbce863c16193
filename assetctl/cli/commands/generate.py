"""assetctl generate."""

from __future__ import annotations

import contextlib
import gc
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from assetctl.cli.findings import findings_data, show_findings
from assetctl.cli.selection import CheckpointOption, EmbeddingsOption, LorasOption, VaeOption
from assetctl.cli.session import Session, command
from assetctl.errors import UsageError
from assetctl.generation.plan import GenerationRequest, Plan
from assetctl.operations.selecting import Choice
from assetctl.types import CheckReport

_PANEL = "Picture"


@command(
    examples=[
        "assetctl generate 'a cat with (long whiskers: 1.2)' --checkpoint dreamshaper --lora whiskers:0.8",
        "assetctl generate 'a cat <lora:whiskers:0.8>' --negative easynegative --embedding easynegative --seed 7",
        "assetctl generate 'a cat' --sampler 'DPM++ 2M Karras' --steps 25 --size 768x512 --count 4",
        "assetctl generate 'a cat' --lora whiskers --dry-run",
    ]
)
def app(
    session: Session,
    prompt: Annotated[str, typer.Argument(metavar="PROMPT", help="What the picture shows, in A1111's dialect.")],
    checkpoint: CheckpointOption = None,
    loras: LorasOption = None,
    embeddings: EmbeddingsOption = None,
    vae: VaeOption = None,
    negative: Annotated[str, typer.Option("--negative", "-n", help="What it must not show.")] = "",
    steps: Annotated[int, typer.Option("--steps", help="Denoising steps.", rich_help_panel=_PANEL)] = 20,
    cfg: Annotated[
        float, typer.Option("--cfg", help="How closely to follow the prompt.", rich_help_panel=_PANEL)
    ] = 7.0,
    sampler: Annotated[
        str, typer.Option("--sampler", help="As A1111 names it, in any case.", rich_help_panel=_PANEL)
    ] = "Euler a",
    seed: Annotated[int | None, typer.Option("--seed", help="By chance unless named.", rich_help_panel=_PANEL)] = None,
    size: Annotated[
        str | None,
        typer.Option("--size", metavar="WxH", help="The family's own unless named.", rich_help_panel=_PANEL),
    ] = None,
    count: Annotated[int, typer.Option("--count", help="How many pictures.", rich_help_panel=_PANEL)] = 1,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="A PNG file or a folder.", rich_help_panel=_PANEL)
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the resolved plan and load nothing.")] = False,
) -> None:
    """Make pictures from a prompt and a selection of assets.

    The selection is checked first. Each PNG carries its parameters, readable by A1111, and the
    catalog records what it was made of.
    """
    width, height = _size(size)
    request = GenerationRequest(prompt, negative, steps, cfg, sampler, seed, width, height, count)
    choice = Choice(checkpoint, tuple(loras or ()), tuple(embeddings or ()), vae)
    if dry_run:
        plan, report = session.registry.plan(request, choice)
        data = _data(plan, report) | {"plan": _parameters(plan)}
        session.out.result(data, lambda: _show_plan(session, plan))
        show_findings(() if session.out.json else report.findings)
        return
    gc.enable()  # it was off for a short life, and this one is long
    with _bar(session) as progress:
        result = session.registry.generate(request, choice, out=out, progress=progress)
    show_findings(() if session.out.json else result.report.findings)
    if out is not None and out.suffix.lower() == ".png" and Path(result.images[0].path).name != out.name:
        session.out.warning(f"{out} was there already, so the picture is {result.images[0].path}.")
    images = [{"path": image.path, "seed": image.seed} for image in result.images]
    data = _data(result.plan, result.report) | {"images": images, "timings": result.timings}
    paths = [image.path for image in result.images]
    session.out.result(data, lambda: session.out.line("\n".join(paths)), paths)
    session.out.note(f"loaded in {result.timings['load']:.1f} s, made in {result.timings['sample']:.1f} s")


def _data(plan: Plan, report: CheckReport) -> dict[str, Any]:
    findings = findings_data(report.findings)
    return {"images": [], "selection": _selection(plan), "findings": findings, "timings": {}}


def _size(text: str | None) -> tuple[int | None, int | None]:
    if text is None:
        return None, None
    text = text[:20]
    width, _, height = text.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal()):
        raise UsageError(f"{text!r} is no size.", "Write width and height in pixels, like 768x512.")
    return int(width), int(height)


@contextlib.contextmanager
def _bar(session: Session) -> Iterator[Callable[[Any], None]]:
    if session.out.quiet or not sys.stderr.isatty():
        yield lambda _: None
        return
    from assetctl.cli.progress import step_bar  # noqa: PLC0415 - needs Rich, for people at a terminal

    with step_bar() as advance:
        yield advance


def _selection(plan: Plan) -> list[dict[str, Any]]:
    chosen = plan.selection
    uses: list[tuple[str, Any, float | None]] = [("checkpoint", chosen.checkpoint, None)]
    uses += [("lora", use.asset, use.weight) for use in chosen.loras]
    uses += [("embedding", asset, None) for asset in chosen.embeddings]
    uses += [("vae", chosen.vae, None)]
    return [
        {"role": role, "name": asset.name, "family": asset.family, "sha256": asset.sha256, "weight": weight}
        for role, asset, weight in uses
        if asset is not None
    ]


def _parameters(plan: Plan) -> dict[str, Any]:
    return {
        "prompt": [list(segment) for segment in plan.prompt.segments],
        "negative_prompt": [list(segment) for segment in plan.negative_prompt.segments],
        "steps": plan.steps, "cfg_scale": plan.cfg_scale, "sampler": plan.sampler, "seeds": list(plan.seeds),
        "width": plan.width, "height": plan.height, "device": plan.device, "dtype": plan.dtype,
    }  # fmt: skip


def _show_plan(session: Session, plan: Plan) -> None:
    for item in _selection(plan):
        weight = "" if item["weight"] is None else f" at {item['weight']:g}"
        session.out.line(f"{item['role']:>12}  {item['name']}{weight}  ({item['family'] or 'family unknown'})")
    for label, prompt in (("prompt", plan.prompt), ("negative", plan.negative_prompt)):
        segments = " ".join(f"{part.strip()!r}:{weight:g}" for part, weight in prompt.segments)
        session.out.line(f"{label:>12}  {segments}")
    seeds = ", ".join(map(str, plan.seeds))
    size = f"{plan.width}x{plan.height}"
    session.out.line(
        f"{'picture':>12}  {size}, {plan.steps} steps of {plan.sampler}, CFG {plan.cfg_scale:g}, seed {seeds}"
    )
