"""assetctl list."""

from __future__ import annotations

from typing import Annotated

import typer

from assetctl.cli.render import show_assets
from assetctl.cli.session import Session, command

_EMPTY = "The catalog is empty: fill it with `assetctl pull REF` or `assetctl import FOLDER`, or try `assetctl demo`."


@command(
    examples=[
        "assetctl list --kind lora --family sdxl",
        "assetctl list --tag cats --json",
        "assetctl list --kind lora --quiet | xargs -d '\\n' -n1 assetctl inspect",
    ]
)
def app(
    session: Session,
    kind: Annotated[
        str | None, typer.Option("--kind", "-k", help="checkpoint, lora, embedding, vae, controlnet…")
    ] = None,
    family: Annotated[str | None, typer.Option("--family", "-f", help="sd1, sd2, sdxl, flux1…")] = None,
    base_model: Annotated[str | None, typer.Option("--base-model", help='"SD 1.5", Pony, Illustrious…')] = None,
    tags: Annotated[list[str] | None, typer.Option("--tag", "-t", help="Only with this tag; can be repeated.")] = None,
    format: Annotated[str | None, typer.Option("--format", help="safetensors or diffusers.")] = None,
    in_store: Annotated[
        bool | None,
        typer.Option("--in-store/--in-place", help="Only what assetctl keeps, or only what lies elsewhere."),
    ] = None,
) -> None:
    """List assets; filters add up."""
    assets = session.registry.list(
        kind=kind, family=family, base_model=base_model, tags=tags or (), in_store=in_store, format=format
    )
    show_assets(session.out, assets)
    if not assets:
        filtered = any((kind, family, base_model, tags, format, in_store is not None))
        session.out.hint("No asset matches; `assetctl list` shows all." if filtered else _EMPTY)
        known = session.registry.families() if family else ()
        if family and family.lower() not in known:
            session.out.hint(f"{family} is no family that assetctl knows: {', '.join(known)}.")
