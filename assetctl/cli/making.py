"""What `generate` and `reproduce` show alike: a plan, its progress, and what came of it."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING, Any

from assetctl.cli.findings import findings_data, show_findings
from assetctl.errors import StoppedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from assetctl.cli.session import Session
    from assetctl.generation.plan import Plan
    from assetctl.operations.generate import GenerationResult
    from assetctl.types import CheckReport


@contextlib.contextmanager
def step_progress(session: Session) -> Iterator[Callable[[Any], None]]:
    """A bar of denoising steps on stderr, for a person at a terminal."""
    if session.out.quiet or not sys.stderr.isatty():
        yield lambda _: None
        return
    from assetctl.cli.progress import step_bar  # noqa: PLC0415 - needs Rich, for people at a terminal

    with step_bar() as advance:
        yield advance


@contextlib.contextmanager
def naming_what_is_done() -> Iterator[None]:
    """Let an interrupt tell of the pictures that there are, and how to make the rest."""
    from assetctl.operations.generate import InterruptedGenerationError  # noqa: PLC0415 - a dry run needs none of it

    try:
        yield
    except InterruptedGenerationError as stopped:
        count = len(stopped.done) + len(stopped.rest)
        rest = {"--seed": str(stopped.rest[0]), "--count": str(len(stopped.rest))} if stopped.rest else {}
        if rest and stopped.done and stopped.name is not None:
            rest["--out"] = str(stopped.name)
        done = f"{len(stopped.done)} of {count} {'picture is' if count == 1 else 'pictures are'} done"
        error = StoppedError(f"Interrupted: {done}.", None, rest)
        error.done = [picture.data for picture in stopped.done]
        raise error from None


def plan_data(plan: Plan, report: CheckReport) -> dict[str, Any]:
    """A plan as the JSON contract has it: no pictures yet."""
    findings = findings_data(report.findings)
    return {
        "images": [], "selection": _selection(plan), "findings": findings, "timings": {}, "plan": _parameters(plan),
    }  # fmt: skip


def result_data(result: GenerationResult) -> dict[str, Any]:
    """What came of a plan, as the JSON contract has it."""
    images = [image.data for image in result.images]
    data = plan_data(result.plan, result.report) | {"images": images, "timings": result.timings}
    del data["plan"]
    return data


def tell_result(session: Session, result: GenerationResult) -> None:
    """Findings, and the time it took."""
    show_findings(() if session.out.json else result.report.findings)
    session.out.note(f"loaded in {result.timings['load']:.1f} s, made in {result.timings['sample']:.1f} s")


def show_plan(session: Session, plan: Plan) -> None:
    """A plan as a page on stdout."""
    for item in _selection(plan):
        weight = "" if item["weight"] is None else f" at {item['weight']:g}"
        session.out.line(f"{item['role']:>12}  {item['name']}{weight}  ({item['family'] or 'family unknown'})")
    for label, prompt in (("prompt", plan.prompt), ("negative", plan.negative_prompt)):
        segments = " ".join(f"{part.strip()!r}:{weight:g}" for part, weight in prompt.segments)
        session.out.line(f"{label:>12}  {segments}")
    seeds = ", ".join(map(str, plan.seeds))
    size = f"{plan.width}x{plan.height}"
    skip = "" if plan.clip_skip == 1 else f", clip skip {plan.clip_skip}"
    session.out.line(
        f"{'picture':>12}  {size}, {plan.steps} steps of {plan.sampler}, CFG {plan.cfg_scale:g}, seed {seeds}{skip}"
    )


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
        "threads": plan.threads, "clip_skip": plan.clip_skip,
    }  # fmt: skip
