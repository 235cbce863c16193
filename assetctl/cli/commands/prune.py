"""assetctl prune."""

from __future__ import annotations

import dataclasses
import shlex
from typing import Annotated

import typer

from assetctl.cli.session import Session, command, confirmed, tell_expired
from assetctl.operations.library.upkeep import Pruning
from assetctl.text import readable_size

_WHY = {
    "unfinished": "a download that was not finished",
    "unregistered": "assetctl placed it and was stopped before the catalog knew of it",
}

#: How many files of others are named, where there are more.
_NAMED = 10


@command(
    gives="operations.library.upkeep.Pruning",
    lists=True,
    examples=["assetctl prune --dry-run", "assetctl prune --yes", "assetctl prune --now", "assetctl prune --missing"],
)
def app(
    session: Session,
    missing: Annotated[
        bool, typer.Option("--missing", help="Also forget assets whose files are gone. Mount all disks first.")
    ] = False,
    now: Annotated[bool, typer.Option("--now", help="Delete for good, rather than move to the trash.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be removed.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Move to the trash what assetctl left in the store: unfinished downloads, and what a killed process placed.

    Whatever else lies in the store, assetctl did not write: it is shown, and left alone. `assetctl import` makes assets
    of it, which stay where they are.
    """
    pruning = session.registry.plan_pruning(missing=missing)
    for leftover in pruning.leftovers:
        session.out.note(f"{leftover.path}: {_WHY[leftover.what]}, {readable_size(leftover.size)}")
    for asset in pruning.missing:
        session.out.note(f"{asset.name}: its file is gone, {asset.path}")
    if pruning.thumbnails:
        session.out.note(f"Small copies of pictures, which are made again: {readable_size(pruning.thumbnails)}")
    _show_strangers(session, pruning)
    something = bool(pruning.leftovers or pruning.missing or pruning.thumbnails)
    if something and not dry_run and not confirmed(session.out, "Remove all of it?", yes=yes):
        raise typer.Exit(1)
    entries = [] if dry_run else session.registry.prune(pruning, now=now)
    tell_expired(session)
    data = dataclasses.replace(pruning, removed=not dry_run, trash=tuple(entry.id for entry in entries))
    gone = sum(each.size for each in pruning.leftovers if now and each.what == "unfinished")
    freed, moved = gone + pruning.thumbnails, pruning.size - gone
    done = [f"{readable_size(freed)} {'would be freed' if dry_run else 'freed'}"] if now or freed else []
    if moved or not done:
        done.append(f"{readable_size(moved)} {'would be moved' if dry_run else 'moved'} to the trash")
    told = f"{', '.join(done)}." if something else "There is nothing to remove."
    names = [*(str(each.path) for each in pruning.leftovers), *(asset.name for asset in pruning.missing)]
    session.out.result(data, lambda: session.out.line(told), names)
    if entries:
        session.out.hint("`assetctl trash empty` frees the space; `assetctl trash restore NAME` puts something back.")


def _show_strangers(session: Session, pruning: Pruning) -> None:
    strangers = pruning.strangers
    for stranger in strangers[:_NAMED]:
        session.out.note(f"{stranger.path}: assetctl did not put it there, and leaves it alone")
    if len(strangers) > _NAMED:
        session.out.note(f"…and {len(strangers) - _NAMED} more.")
    if strangers:
        where = shlex.quote(str(strangers[0].path if len(strangers) == 1 else session.registry.settings.models))
        session.out.hint(f"`assetctl import {where}` registers what of it is a model, where it lies.")
