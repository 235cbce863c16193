"""assetctl search."""

from __future__ import annotations

from typing import Annotated

import typer

from assetctl.cli.render import show_assets
from assetctl.cli.session import Session, command


@command(examples=["assetctl search whiskers", 'assetctl search "cat ear" --kind lora'])
def app(
    session: Session,
    words: Annotated[list[str], typer.Argument(metavar="WORD...", help="Beginnings of words; all must be there.")],
    kind: Annotated[str | None, typer.Option("--kind", "-k", help="Only of this kind.")] = None,
    family: Annotated[str | None, typer.Option("--family", "-f", help="Only of this family.")] = None,
) -> None:
    """Search names, trigger words, tags and notes, best matches first."""
    assets = session.registry.search(" ".join(words), kind=kind, family=family)
    show_assets(session.out, assets)
    if not assets:
        session.out.hint("Nothing was found; `assetctl list` shows all assets.")
