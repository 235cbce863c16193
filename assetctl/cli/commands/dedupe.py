"""assetctl dedupe."""

from __future__ import annotations

from typing import Annotated

import typer

from assetctl.cli.session import Session, command, confirmed
from assetctl.errors import AssetctlError
from assetctl.operations.library.upkeep import Duplicate
from assetctl.text import readable_size


@command(
    gives="list[operations.library.upkeep.Duplicate]",
    lists=True,
    examples=["assetctl dedupe", "assetctl dedupe --link", "assetctl dedupe --link --outside --yes"],
)
def app(
    session: Session,
    link: Annotated[bool, typer.Option("--link", help="Let files that assetctl placed share their bytes.")] = False,
    outside: Annotated[bool, typer.Option("--outside", help="Also your own files, in the store or elsewhere.")] = False,
    hard_links: Annotated[
        bool,
        typer.Option(
            "--hard-links",
            help="Where there are no reflinks, make both one file: a change to one shows in the other.",
        ),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Show files that hold the same bytes, and with --link let them share them.

    Both are read and compared first. By a reflink (Btrfs, XFS, …) they stay two files with their own permissions and
    times, and a change to the one never shows in the other. Symbolic links are left as they are.
    """
    found = session.registry.find_duplicates()
    wanted = [each for each in found if link and (each.owned or outside)]
    for each in wanted:
        session.out.note(f"{each.copy} is to share its bytes with {each.path}, {readable_size(each.size)}")
    if wanted and not confirmed(session.out, "Let them share their bytes?", yes=yes):
        raise typer.Exit(1)
    done = [_shared(session, each, hard_links=hard_links) if each in wanted else each for each in found]
    session.out.result(done, lambda: _render(session, done), [str(each.copy) for each in done])
    if any(each.shared is None for each in done) and not link:
        session.out.hint("`assetctl dedupe --link` lets those in the store share their bytes, --outside others too.")


def _shared(session: Session, duplicate: Duplicate, *, hard_links: bool) -> Duplicate:
    try:
        return session.registry.share_duplicate(duplicate, hard_links=hard_links)
    except AssetctlError as error:
        session.out.warning(error.message, error.hint)
        return duplicate


def _render(session: Session, done: list[Duplicate]) -> None:
    for each in done:
        how = "holds the same bytes as" if each.shared is None else f"shares its bytes, by a {each.shared}, with"
        session.out.line(
            f"{each.copy} {how} {each.path}, {readable_size(each.size if each.shared is None else each.freed)}"
        )
    freed, left = sum(each.freed for each in done), sum(each.size for each in done if each.shared is None)
    if freed:
        session.out.line(f"{readable_size(freed)} freed.")
    elif not left:
        session.out.line("There is nothing to free.")
    if left:
        session.out.line(f"{readable_size(left)} could be freed.")
