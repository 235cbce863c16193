"""assetctl search."""

from __future__ import annotations

from typing import Annotated

import typer

from assetctl.cli.commands.list_assets import LIMIT
from assetctl.cli.render import list_limit, show_assets, tell_rest
from assetctl.cli.session import Session, command


@command(examples=["assetctl search whiskers", 'assetctl search "cat ear" --kind lora'])
def app(
    session: Session,
    words: Annotated[list[str], typer.Argument(metavar="WORD...", help="Beginnings of words; all must be there.")],
    kind: Annotated[str | None, typer.Option("--kind", "-k", help="Only of this kind.")] = None,
    family: Annotated[str | None, typer.Option("--family", "-f", help="Only of this family.")] = None,
    limit: Annotated[int | None, LIMIT] = None,
) -> None:
    """Search names, trigger words, tags and notes, best matches first."""
    text, most = " ".join(words), list_limit(session.out, limit)
    assets = session.registry.search(text, kind=kind, family=family, limit=most)
    show_assets(session.out, assets)
    tell_rest(
        session.out,
        len(assets),
        most,
        lambda _: session.registry.count_matches(text, kind=kind, family=family),
        most=1000,
    )
    if not assets:
        session.out.hint("Nothing was found; `assetctl list` shows all assets.")
