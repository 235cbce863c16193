"""assetctl outdated."""

from __future__ import annotations

from typing import Annotated

import typer

from assetctl.cli import completion
from assetctl.cli.session import Session, command


@command(
    gives="list[operations.acquire.outdated.Newer]",
    examples=["assetctl outdated", "assetctl outdated whiskers --json"],
    lists=True,
)
def app(
    session: Session,
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME...]", help="By default all assets.", autocompletion=completion.asset_names()),
    ] = None,
) -> None:
    """Show which assets have a newer version on Hugging Face or Civitai, made for the same base model.

    Nothing is fetched. A newer version becomes an asset of its own when you pull it; the old one stays, and is
    not shown here any more. Exits with 6 if not one asset could be asked about.
    """
    found = session.registry.outdated(*(names or ()))
    newer = [each for each in found if each.problem is None]

    def render() -> None:
        columns = ("NAME", "HERE", "THERE", "PULL")
        rows = [(each.asset.name, each.here, each.there or "", f"assetctl pull {each.reference}") for each in newer]
        if rows:
            session.out.table(columns, rows)
        elif not found:
            session.out.line("No asset came from Hugging Face or Civitai, so there is nothing to look up.")
        else:
            unknown = len(found) - len(newer)
            session.out.line("Nothing newer was found" + (f"; {unknown} could not be looked up." if unknown else "."))

    session.out.result(found, render, [each.asset.name for each in newer])
    for each in found:
        if each.problem is not None:
            session.out.warning(f"{each.asset.name}: {each.problem}")
