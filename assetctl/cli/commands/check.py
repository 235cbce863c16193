"""assetctl check."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from assetctl.cli import completion
from assetctl.cli.render import show_report, show_rules
from assetctl.cli.request import (
    AutoEmbeddingsOption,
    CheckpointOption,
    EmbeddingsOption,
    LorasOption,
    ManifestOption,
    NegativeOption,
    RecipeOption,
    VaeOption,
    setting_parameters,
    settings_of,
    with_recipe,
)
from assetctl.cli.session import Session, command
from assetctl.errors import IncompatibleError
from assetctl.request import Request


@command(
    gives="types.CheckReport | list[compat.check.Rule]",
    examples=[
        "assetctl check dreamshaper whiskers:0.8 easynegative",
        "assetctl check --checkpoint dreamshaper --lora whiskers --prompt 'a cat with long whiskers'",
        "assetctl check dreamshaper some-sdxl-lora --json",
        "assetctl check sdxl-lightning --steps 30 --cfg 7",
        "assetctl check dreamshaper --controlnet canny",
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
            autocompletion=completion.asset_names(),
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
    commercial: Annotated[
        bool, typer.Option("--commercial", help="Also ask the licences whether models and pictures may be sold.")
    ] = False,
    recipe: RecipeOption = None,
    file: ManifestOption = Path("registry.toml"),
    rules: Annotated[bool, typer.Option("--rules", help="List what is checked, and check nothing.")] = False,
    **settings: Any,  # noqa: ANN401 - the options of a picture
) -> None:
    """Prove whether a selection can work together, before anything is loaded.

    Exits with 4 if it cannot.
    """
    if rules:
        show_rules(session.out, session.registry.rules())
        return
    typed = Request.of(
        prompt,
        negative,
        names=names or (),
        checkpoint=checkpoint,
        loras=loras or (),
        embeddings=embeddings or (),
        vae=vae,
        auto_embeddings=auto_embeddings,
        controlnets=controlnets or (),
        **settings_of(settings),
    )
    report = session.registry.check(with_recipe(typed, recipe, file), commercial=commercial)
    session.out.result(report, lambda: show_report(report), ["ok" if report.ok else "incompatible"])
    if not report.ok:
        raise typer.Exit(IncompatibleError.exit_code)
