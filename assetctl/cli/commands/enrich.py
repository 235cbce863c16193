"""assetctl enrich."""

from __future__ import annotations

from typing import Annotated

import typer

from assetctl.cli import completion
from assetctl.cli.commands.pull import see_nsfw
from assetctl.cli.session import Session, command


@command(
    gives="list[operations.acquire.enrich.Enriched]",
    examples=["assetctl enrich", "assetctl enrich whiskers --again", "assetctl enrich --previews"],
    lists=True,
)
def app(
    session: Session,
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME...]", help="By default all assets.", autocompletion=completion.asset_names()),
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="Ask about those too that something is known of.")] = False,
    previews: Annotated[
        bool, typer.Option("--previews", help="Keep a picture of those that have none, as their pages show them.")
    ] = False,
    nsfw: Annotated[
        bool, typer.Option("--nsfw", help="With --previews: any picture, not just one that is rated as safe.")
    ] = False,
) -> None:
    """Learn trigger words, base models, licences and pages of files that you have.

    Asks Civitai by their hashes, and reads what A1111, Stability Matrix and others left beside them. What you set
    yourself stays, and what was learned stays when a page goes.
    """
    see_nsfw(previews=previews, nsfw=nsfw)
    with session.out.progress() as run:
        found = session.registry.enrich(*(names or ()), again=again, previews=previews, nsfw=nsfw, run=run)
    learned = [each for each in found if each.fields]

    def render() -> None:
        for each in learned:
            session.out.line(f"{each.asset.name}: {', '.join(each.fields)} from {', '.join(each.sources) or 'A1111'}")
        session.out.line(f"Something new is known of {len(learned)} of {len(found)} assets.")

    session.out.result(found, render, [each.asset.name for each in learned])
    if session.registry.settings.offline:
        session.out.hint(f"The network is off, so Civitai was not asked{', and no preview came' if previews else ''}.")
