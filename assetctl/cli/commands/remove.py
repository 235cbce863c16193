"""assetctl rm."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from assetctl.cli import completion
from assetctl.cli.session import Session, command, tell_expired
from assetctl.errors import UsageError
from assetctl.operations.library.remove import Removal


@command(
    gives="list[operations.library.remove.Removal]",
    examples=[
        "assetctl rm whiskers",
        "assetctl rm whiskers --dry-run",
        "assetctl rm old-1 old-2 --yes",
        "assetctl rm whiskers --delete-files",
        "assetctl rm whiskers --now",
    ],
)
def app(
    session: Session,
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME...", help="Names, paths, or hashes from 6 digits up.", autocompletion=completion.asset_names()
        ),
    ],
    delete_files: Annotated[
        bool, typer.Option("--delete-files", help="Delete your own files too, not only those in the store.")
    ] = False,
    now: Annotated[bool, typer.Option("--now", help="Delete for good, rather than move to the trash.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be removed.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Forget assets, and move their files from the store to the trash: `assetctl trash restore NAME` puts one back.

    At a terminal you are asked first; a script must say --yes where what goes cannot be downloaded again.
    Your own files, registered by `assetctl import`, stay where they are unless you say --delete-files.
    Pictures that were made with an asset stay, and keep its name and hash.
    """
    removals = {removal.asset.id: removal for removal in (
        session.registry.plan_removal(name, delete_files=delete_files) for name in names
    )}  # fmt: skip
    asks = sys.stdin.isatty() and not yes
    _tell(session, list(removals.values()), planned=dry_run or asks, now=now)
    if not (dry_run or yes or _confirmed(list(removals.values()))):
        session.out.note("Nothing was removed.")
        raise typer.Exit(1)
    entries = {}
    for number, removal in () if dry_run else removals.items():
        entries[number] = session.registry.remove(removal, now=now)
    tell_expired(session)
    data = [
        dataclasses.replace(each, removed=not dry_run, trash=entry.id if (entry := entries.get(number)) else None)
        for number, each in removals.items()
    ]
    named = ", ".join(removal.asset.name for removal in removals.values())
    told = f"{'would remove' if dry_run else 'removed'} {named}"
    session.out.result(data, lambda: session.out.line(told), [removal.asset.name for removal in removals.values()])
    if any(entry is not None for entry in entries.values()):
        session.out.hint("`assetctl trash restore NAME` puts one back; `assetctl trash empty` frees the space.")


def _tell(session: Session, removals: Sequence[Removal], *, planned: bool, now: bool) -> None:
    """Name what goes and what stays."""
    moves, deletes = ("would move to the trash", "would delete") if planned else ("moves to the trash", "deletes")
    for removal in removals:
        if removal.generations:
            pictures = "1 recorded picture" if removal.generations == 1 else f"{removal.generations} recorded pictures"
            session.out.warning(f"{removal.asset.name} was used in {pictures}.")
        for path in removal.deletes[:_NAMED]:
            session.out.note(f"{deletes if now else moves}: {path}")
        if len(removal.deletes) > _NAMED:
            session.out.note(f"…and {len(removal.deletes) - _NAMED} more files of {removal.asset.name}")
        for path in removal.keeps:
            session.out.note(f"keeps {path}, which {_why(path, removal)}")


def _why(path: Path, removal: Removal) -> str:
    """Why a file stays."""
    if path in removal.linked:
        return "lies behind a link"
    return "holds other bytes than assetctl put there" if path in removal.changed else "is yours"


#: How many files of one asset are named, where there are more.
_NAMED = 10


def _confirmed(removals: Sequence[Removal]) -> bool:
    """Ask before files go, or what pictures were made with; a script must say --yes for what is here alone."""
    if not any(removal.deletes_bytes or removal.generations for removal in removals):
        return True
    if sys.stdin.isatty():
        return typer.confirm(f"Remove {', '.join(removal.asset.name for removal in removals)}?", err=True)
    final = [removal.asset.name for removal in removals if removal.is_final]
    if final:
        names = ", ".join(final)
        raise UsageError(f"{names} cannot be downloaded again.", "Add --yes if you mean it.")
    return True
