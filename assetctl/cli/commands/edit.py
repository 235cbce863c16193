"""assetctl edit."""

from __future__ import annotations

from typing import Annotated

import typer

from assetctl.cli import completion
from assetctl.cli.render import show_assets
from assetctl.cli.session import Session, command
from assetctl.errors import UsageError
from assetctl.operations.library.edit import Changes, near_base_models


@command(
    gives="list[types.Asset]",
    examples=[
        "assetctl edit whiskers --family sd1 --trigger-word 'long whiskers'",
        "assetctl edit whiskers --name cat-whiskers --tag cats --untag todo",
        "assetctl edit whiskers --default-weight 0.7 --notes 'good with portraits'",
        "assetctl edit whiskers --preview ~/pictures/cat.png",
        "assetctl edit whiskers --reset family",
    ],
)
def app(
    session: Session,
    asset: Annotated[
        str,
        typer.Argument(
            metavar="NAME", help="A name, a path, or a hash from 6 digits up.", autocompletion=completion.asset_names()
        ),
    ],
    name: Annotated[str | None, typer.Option("--name", help="Call it so.")] = None,
    kind: Annotated[
        str | None,
        typer.Option("--kind", help="checkpoint, lora, embedding, vae, controlnet…", autocompletion=completion.kinds),
    ] = None,
    family: Annotated[
        str | None,
        typer.Option("--family", help="sd1, sd2, sdxl, flux1…; '' for unknown.", autocompletion=completion.families),
    ] = None,
    base_model: Annotated[str | None, typer.Option("--base-model", help="\"SD 1.5\", Pony…; '' for none.")] = None,
    variant: Annotated[str | None, typer.Option("--variant", help="inpainting, turbo…; '' for none.")] = None,
    prediction: Annotated[str | None, typer.Option("--prediction", help="epsilon, v_prediction or flow.")] = None,
    trigger_words: Annotated[
        list[str] | None, typer.Option("--trigger-word", help="Replace all of them; repeat for several, '' for none.")
    ] = None,
    tags: Annotated[list[str] | None, typer.Option("--tag", help="Add a tag; can be repeated.")] = None,
    untags: Annotated[list[str] | None, typer.Option("--untag", help="Take a tag away; can be repeated.")] = None,
    notes: Annotated[str | None, typer.Option("--notes", help="Replace the notes; '' for none.")] = None,
    default_weight: Annotated[
        str | None, typer.Option("--default-weight", help="The LoRA's weight where none is named; '' for none.")
    ] = None,
    preview: Annotated[
        str | None,
        typer.Option(
            "--preview", metavar="PICTURE", help="Show it by this picture, or number of the history; '' for none."
        ),
    ] = None,
    reset: Annotated[
        list[str] | None, typer.Option("--reset", metavar="FIELD", help="Take back what you set; can be repeated.")
    ] = None,
) -> None:
    """Correct and complete what the catalog says of an asset; its file is left alone.

    What you set outranks what the file says, and survives `assetctl identify --again`.
    """
    words = None if trigger_words is None else tuple(word for word in trigger_words if word)
    fields = [field.replace("-", "_") for field in reset or ()] + ["default_weight"] * (default_weight == "")
    changes = Changes(
        name=name, kind=kind and kind.lower(), family=family and family.lower(), base_model=base_model,
        variant=variant, prediction=prediction,
        trigger_words=words, add_tags=tuple(tags or ()), remove_tags=tuple(untags or ()), notes=notes,
        default_weight=_number(default_weight), reset=tuple(fields), preview=preview,
    )  # fmt: skip
    if changes == Changes():
        raise UsageError("There is nothing to change.", "See `assetctl edit --help` for what can be set.")
    edited = session.registry.edit(asset, changes)
    show_assets(session.out, [edited])
    if changes.family and changes.family not in (known := session.registry.families()):
        session.out.warning(
            f"{changes.family} is not a known family, and fits nothing. Families are: {', '.join(known)}."
        )
    if changes.base_model and edited.base_model not in session.registry.base_models():
        near = near_base_models(changes.base_model)
        session.out.warning(
            f"{changes.base_model} is not a base model that assetctl knows, so no rule can check it.",
            f"Did you mean {' or '.join(near)}?" if near else "Civitai's spelling counts: SD 1.5, Pony…",
        )


def _number(text: str | None) -> float | None:
    if not text:
        return None
    try:
        return float(text)
    except ValueError as error:
        raise UsageError(f"{text!r} is not a weight.", "Weights are numbers, usually between 0 and 1.5.") from error
