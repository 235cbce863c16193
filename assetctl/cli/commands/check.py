"""assetctl check."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from assetctl.cli.request import (
    AutoEmbeddingsOption,
    CheckpointOption,
    EmbeddingsOption,
    LorasOption,
    ManifestOption,
    NegativeOption,
    RecipeOption,
    VaeOption,
    any_asset,
    offering,
    read_prompts,
    setting_parameters,
    settings_of,
    single,
    with_recipe,
)
from assetctl.cli.session import Session, command
from assetctl.request import Request
from assetctl.types import PURPOSES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from assetctl.cli.session import Output
    from assetctl.compat.check import Rule
    from assetctl.types import CheckReport, Coverage

_MARKS = {"error": "✗", "warning": "!", "info": "·"}


@command(
    gives="types.CheckReport | list[compat.check.Rule]",
    examples=[
        "assetctl check dreamshaper whiskers:0.8 easynegative",
        "assetctl check --checkpoint dreamshaper --lora whiskers --prompt 'a cat with long whiskers'",
        "assetctl check dreamshaper --prompt 'a cat <lora:pets/whiskers:0.8>, easynegative'",
        "assetctl check dreamshaper some-sdxl-lora --json",
        "assetctl check sdxl-lightning --steps 30 --cfg 7",
        "assetctl check dreamshaper --controlnet canny",
        "assetctl check flux-dev flux-style --for comfyui",
        "assetctl check --recipe portrait",
        "assetctl check --rules",
    ],
    more=setting_parameters(),
)
def app(
    session: Session,
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME...]",
            help="Assets of any kind; a LoRA may be NAME:WEIGHT.",
            autocompletion=any_asset,
        ),
    ] = None,
    checkpoint: CheckpointOption = None,
    loras: LorasOption = None,
    embeddings: EmbeddingsOption = None,
    auto_embeddings: AutoEmbeddingsOption = None,
    vae: VaeOption = None,
    controlnets: Annotated[
        list[str] | None, typer.Option("--controlnet", metavar="NAME", help="A ControlNet; can be repeated.")
    ] = None,
    prompt: Annotated[str | None, typer.Option("--prompt", help="Also check the prompt against trigger words.")] = None,
    negative: NegativeOption = None,
    purpose: Annotated[
        str | None,
        typer.Option(
            "--for",
            metavar="PURPOSE",
            help="What it is for: generate (the default where there is a checkpoint), comfyui or any.",
            autocompletion=offering(PURPOSES),
        ),
    ] = None,
    commercial: Annotated[
        bool, typer.Option("--commercial", help="Also ask the licences whether models and pictures may be sold.")
    ] = False,
    recipe: RecipeOption = None,
    file: ManifestOption = Path("registry.toml"),
    rules: Annotated[bool, typer.Option("--rules", help="List what is checked, and check nothing.")] = False,
    **settings: Any,  # noqa: ANN401 - the options of a picture
) -> None:
    """Prove whether a selection works together, and whether assetctl can generate with it, before anything is loaded.

    Exits as `generate` would: with 4 if it cannot, 5 if only a file is wrong, 3 if a LoRA tag names nothing. `--for
    comfyui` and `--for any` ask of fit alone: assetctl may not drive the family yet.
    """
    if rules:
        _show_rules(session.out, session.registry.rules())
        return
    typed = Request.of(
        *read_prompts(prompt, negative),
        names=names or (),
        checkpoint=single("--checkpoint", checkpoint),
        loras=loras or (),
        embeddings=embeddings or (),
        vae=single("--vae", vae),
        auto_embeddings=auto_embeddings,
        controlnets=controlnets or (),
        **settings_of(settings),
    )
    report = session.registry.check(with_recipe(typed, recipe, file), purpose=purpose, commercial=commercial)
    from assetctl.compat.check import refusal, verdict  # noqa: PLC0415 - loaded by now, and not for `--help`

    refused = refusal(report)
    last = f"{'✓' if refused is None else '✗'} {verdict(report)}"
    session.out.result(
        report, lambda: _show_report(session.out, report, last), ["ok" if refused is None else refused.code]
    )
    if refused is not None:
        raise typer.Exit(refused.exit_code)


def _show_rules(out: Output, rules: Sequence[Rule]) -> None:
    """What a check looks for."""
    rows = [(rule.name, ", ".join(rule.severities), rule.description) for rule in rules]
    out.result(rules, lambda: out.table(("RULE", "SEVERITY", "WHAT MUST HOLD"), rows), (rule.name for rule in rules))


def _show_report(out: Output, report: CheckReport, last: str) -> None:
    """A report as a page on stdout; its last line is what it comes to."""
    for finding in report.findings:
        out.line(f"{_MARKS[finding.severity]} {finding.message} [{finding.rule}]")
        if finding.hint:
            out.line(f"    {finding.hint}")
    for coverage in report.coverage:
        told = f"  {coverage.lora}: changes {coverage.matched} of {coverage.modules} modules"
        if coverage.unmatched or coverage.shape_conflicts:
            told += f", {len(coverage.unmatched)} match nothing, {len(coverage.shape_conflicts)} have other shapes"
        if coverage.elsewhere:
            told += f", {len(coverage.elsewhere)} are of text encoders, which are not in this file"
        out.line(told + _scaling(coverage))
    out.line(last)


def _scaling(coverage: Coverage) -> str:
    """Rank and alpha as people write them, or the range of each."""
    parts = [
        f"{name} {_range(found)}" for name, found in (("rank", coverage.ranks), ("alpha", coverage.alphas)) if found
    ]
    return f" ({', '.join(parts)})" if parts else ""


def _range(numbers: Sequence[float]) -> str:
    return f"{numbers[0]:g}" if len(numbers) == 1 else f"{numbers[0]:g} to {numbers[-1]:g}"
