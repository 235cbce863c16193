"""assetctl pull."""

from __future__ import annotations

from typing import Annotated

import typer

from assetctl.cli.render import show_assets
from assetctl.cli.session import Session, command
from assetctl.errors import UsageError


@command(
    examples=[
        "assetctl pull hf://stabilityai/stable-diffusion-xl-base-1.0",
        "assetctl pull hf://ORG/REPO/whiskers.safetensors --tag cats",
        "assetctl pull civitai:328553@368189",
        "assetctl pull ~/Downloads/whiskers.safetensors --name whiskers",
        "assetctl pull --support sd1",
    ]
)
def app(
    session: Session,
    references: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="REF...",
            help=r"hf://ORG/REPO[@REVISION]\[/FILE], civitai:MODEL[@VERSION], a page, https://…, or a path.",
        ),
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="Call the asset so.")] = None,
    tags: Annotated[list[str] | None, typer.Option("--tag", help="Label it; can be repeated.")] = None,
    support: Annotated[
        str | None,
        typer.Option("--support", metavar="FAMILY", help="Fetch what single-file checkpoints need: sd1, sd2 or sdxl."),
    ] = None,
) -> None:
    """Bring assets into the store: verified, and never twice.

    An interrupted pull goes on where it stopped when you run it again. To use files where they
    lie, without a copy, see `assetctl import`.
    """
    references = references or []
    if not references and support is None:
        raise UsageError("There is nothing to pull.", "Name a reference: `assetctl pull hf://ORG/REPO`, or a path.")
    if name is not None and len(references) != 1:
        raise UsageError("--name goes with one reference.", "Pull them one by one, or `assetctl edit` them later.")
    if support is not None:
        _pull_support(session, support)
    assets = []
    for reference in references:
        with session.out.byte_progress() as report:
            result = session.registry.pull(reference, name=name, tags=tags or (), report=report)
        session.out.note(f"{result.asset.name}: {'already here' if result.known else 'pulled'}, {result.asset.path}")
        for text in result.warnings:
            session.out.warning(text)
        assets.append(result.asset)
    if references or session.out.json:
        show_assets(session.out, assets)


def _pull_support(session: Session, family: str) -> None:
    if family not in ("sd1", "sd2", "sdxl"):
        raise UsageError(f"Nothing needs support for {family!r}.", "Name sd1, sd2 or sdxl.")
    with session.out.byte_progress() as report:
        folder = session.registry.pull_tokenizer(report)
    session.out.note(f"CLIP's vocabulary is at {folder}: single-file checkpoints of {family} can be used offline.")
