"""assetctl trash."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated

import typer

from assetctl.cli.session import Session, command, confirmed
from assetctl.errors import AssetctlError, UsageError
from assetctl.operations.library.trash import Emptied, Restored, planned_restoration
from assetctl.store.trash import Entry
from assetctl.text import readable_size


class Action(StrEnum):
    """What to do with the trash."""

    LIST = "list"
    RESTORE = "restore"
    EMPTY = "empty"


@command(
    gives="list[store.trash.Entry] | list[operations.library.trash.Restored] | operations.library.trash.Emptied",
    lists=True,
    examples=[
        "assetctl trash",
        "assetctl trash restore whiskers",
        "assetctl trash empty",
        "assetctl trash empty whiskers --yes",
        "assetctl trash empty --older-than 7",
    ],
)
def app(
    session: Session,
    action: Annotated[Action, typer.Argument(help="What to do.", show_default=True)] = Action.LIST,
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help="Names or ids; `list` and `empty` take all if none.")
    ] = None,
    older_than: Annotated[
        int | None, typer.Option("--older-than", metavar="DAYS", help="Only what was deleted so long ago.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be done.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Show what `rm`, `prune` and `sync --prune` deleted, put it back, or delete it for good.

    It is kept for 30 days, and at most 100 GB of it, the latest first: the settings trash_days and trash_gigabytes say
    otherwise. An asset comes back with its name, tags and notes.
    """
    if action is Action.RESTORE:
        if not names or older_than is not None:
            raise UsageError("Nothing was named that is to come back.", "Write `assetctl trash restore NAME`.")
        _restore(session, names, dry_run=dry_run)
        return
    entries = session.registry.trash(*(names or ()), older_than=older_than)
    if action is Action.EMPTY:
        _empty(session, entries, dry_run=dry_run, yes=yes)
        return
    rows = [
        (entry.id, entry.name, entry.kind or "", readable_size(entry.size), entry.reason, entry.deleted_at)
        for entry in entries
    ]
    for folder in session.registry.unreadable_trash():
        session.out.warning(f"{folder} does not say what it holds, and is left alone.")
    columns = ("ID", "NAME", "KIND", "SIZE", "BY", "DELETED")
    session.out.result(
        entries,
        lambda: session.out.table(columns, rows, ("SIZE",)) if rows else session.out.line("The trash is empty."),
        [entry.id for entry in entries],
    )


def _restore(session: Session, names: list[str], *, dry_run: bool) -> None:
    done: list[Restored] = []
    failed = []
    for name in names:
        try:
            done.append(_planned(session, name) if dry_run else _restored(session, name))
        except AssetctlError as error:
            error.reference = error.reference or name
            failed.append(error)

    def render() -> None:
        for each in done:
            where = f" at {each.paths[0]}" if each.paths else ""
            session.out.line(f"{each.name} {'would be' if dry_run else 'is'} back{where}")

    session.out.result(done, render, [each.name for each in done], failed)


def _restored(session: Session, name: str) -> Restored:
    done = session.registry.restore(name)
    for path in done.missing:
        session.out.warning(f"{path} is in the trash no more, and did not come back.")
    return done


def _planned(session: Session, name: str) -> Restored:
    (entry, *_) = session.registry.trash(name)
    return planned_restoration(entry)


def _empty(session: Session, entries: Sequence[Entry], *, dry_run: bool, yes: bool) -> None:
    for entry in entries:
        session.out.note(
            f"{'would delete' if dry_run else 'to be deleted for good:'} {entry.name}, {readable_size(entry.size)}"
        )
    if entries and not dry_run and not confirmed(session.out, "Delete all of it for good?", yes=yes):
        raise typer.Exit(1)
    if not dry_run:
        session.registry.empty_trash(entries)
    done = Emptied(tuple(entries), emptied=not dry_run)
    told = f"{readable_size(done.size)} {'would be freed' if dry_run else 'freed'}."
    session.out.result(done, lambda: session.out.line(told), [entry.id for entry in entries])
