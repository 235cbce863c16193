"""assetctl enrich."""

from __future__ import annotations

from typing import Annotated

import typer

from assetctl.cli import completion
from assetctl.cli.session import Session, command


@command(
    gives="list[operations.acquire.enrich.Enriched]",
    examples=["assetctl enrich", "assetctl enrich whiskers --again"],
    lists=True,
)
def app(
    session: Session,
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME...]", help="By default all assets.", autocompletion=completion.asset_names()),
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="Ask about those too that something is known of.")] = False,
) -> None:
    """Learn trigger words, base models, licences and pages of files that you have.

    Asks Civitai by their hashes, and reads what A1111, Stability Matrix and others left beside them. What you set
    yourself stays, and what was learned stays when a page goes.
    """
    found = session.registry.enrich(*(names or ()), again=again)
    learned = [each for each in found if each.fields]

    def render() -> None:
        for each in learned:
            session.out.line(f"{each.asset.name}: {', '.join(each.fields)} from {', '.join(each.sources) or 'A1111'}")
        session.out.line(f"Something new is known of {len(learned)} of {len(found)} assets.")

    session.out.result(found, render, [each.asset.name for each in learned])
    if session.registry.settings.offline:
        session.out.hint("The network is off, so Civitai was not asked.")
