"""assetctl history."""

from __future__ import annotations

from typing import Annotated

import typer

from assetctl.cli import completion
from assetctl.cli.pictures import open_pictures, show_at_terminal, show_generation, show_history
from assetctl.cli.render import tell_damaged
from assetctl.cli.session import Session, command
from assetctl.errors import CatalogError, NotFoundError, UsageError


@command(
    gives="list[catalog.Generation] | operations.make.history.Remade",
    lists=True,
    examples=[
        "assetctl history",
        "assetctl history --with whiskers --since 7d",
        "assetctl history --prompt 'cat sofa' --limit 5 --json",
        "assetctl history 12",
        "assetctl history 12 --show",
        "assetctl history 12 --open",
    ],
)
def app(
    session: Session,
    number: Annotated[
        int | None, typer.Argument(metavar="[NUMBER]", help="Show one picture whole, with its command line.", min=1)
    ] = None,
    used: Annotated[
        str | None,
        typer.Option(
            "--with",
            metavar="ASSET",
            help="Only those that this asset was used for.",
            autocompletion=completion.asset_names(),
        ),
    ] = None,
    prompt: Annotated[str | None, typer.Option("--prompt", metavar="WORDS", help="All of these in the prompt.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Only those of this seed.")] = None,
    since: Annotated[str | None, typer.Option("--since", help="A date, or 12h, 7d, 2w, 3m, 1y ago.")] = None,
    limit: Annotated[int, typer.Option("--limit", help="How many at most; 0 for all.", min=0)] = 20,
    show: Annotated[bool, typer.Option("--show", help="Show the picture at the terminal.")] = False,
    opened: Annotated[bool, typer.Option("--open", help="Open the picture in the system's viewer.")] = False,
) -> None:
    """List the pictures that were made, newest first.

    Pictures stay in the list when their files or their assets are gone. `assetctl reproduce NUMBER`
    makes one again.
    """
    if number is None:
        if show or opened:
            flag = "--open" if opened else "--show"
            raise UsageError("Which picture do you mean?", f"Name its number: `assetctl history NUMBER {flag}`.")
        damaged: list[CatalogError] = []
        found = session.registry.history(
            limit or None, used=used, prompt=prompt, seed=seed, since=since, damaged=damaged.append
        )
        if damaged and not found:
            raise damaged[0]
        show_history(session.out, found)
        if damaged:
            tell_damaged(session.out, damaged, "picture")
        if not found:
            filtered = any(each is not None for each in (used, prompt, seed, since))
            session.out.hint(
                "No picture matches; `assetctl history` lists the latest."
                if filtered
                else "No picture was made yet: try `assetctl generate PROMPT`."
            )
        elif len(found) == limit:
            session.out.hint(f"These are the latest {limit}; --limit shows more.")
        return
    if any(each is not None for each in (used, prompt, seed, since)):
        hint = f"`assetctl history {number}` shows that picture; filters are for the list."
        raise UsageError("A number and a filter do not go together.", hint)
    _show_one(session, number, show=show, opened=opened)


def _show_one(session: Session, number: int, *, show: bool, opened: bool) -> None:
    picture = session.registry.remade(number)
    generation = picture.generation
    show_generation(session.out, picture)
    if (show or opened) and not generation.is_there:
        what = "Another file lies where the picture was" if generation.replaced else "The picture is gone"
        hint = f"`assetctl reproduce {number}` makes it again."
        raise NotFoundError(f"{what}: {generation.image_path}.", hint)
    if show:
        show_at_terminal(session, [generation.image_path])
    if opened:
        open_pictures(session, [generation.image_path])
