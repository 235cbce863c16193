"""assetctl prune."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from assetctl.cli.render import readable_size
from assetctl.cli.session import Session, command
from assetctl.errors import UsageError

_WHY = {"unfinished": "a download that was not finished", "unnamed": "no asset names it"}


@command(examples=["assetctl prune --dry-run", "assetctl prune --yes", "assetctl prune --missing"])
def app(
    session: Session,
    missing: Annotated[
        bool, typer.Option("--missing", help="Also forget assets whose files are gone. Mount all disks first.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would go.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Remove what is of no use in the store: unfinished downloads, and files that no asset names.

    Files outside of the store are never touched, nor what lies beside an asset and is called like it. While assets
    of the store are missing, files that no asset names stay: they may be these.
    """
    pruning = session.registry.plan_pruning(missing=missing)
    for leftover in pruning.leftovers:
        session.out.note(f"{leftover.path}: {_WHY[leftover.what]}, {readable_size(leftover.size)}")
    for asset in pruning.missing:
        session.out.note(f"{asset.name}: its file is gone, {asset.path}")
    something = bool(pruning.leftovers or pruning.missing)
    if something and not dry_run and not yes:
        if not sys.stdin.isatty():
            raise UsageError("Removing files takes a word of yours.", "Add --yes if you mean it.")
        if not typer.confirm("Remove all of it?", err=True):
            session.out.note("Nothing was removed.")
            raise typer.Exit(1)
    if not dry_run:
        session.registry.prune(pruning)
    data = {
        "removed": not dry_run,
        "size": pruning.size,
        "files": [{"path": str(each.path), "size": each.size, "why": each.what} for each in pruning.leftovers],
        "missing": [asset.name for asset in pruning.missing],
    }
    verb = "would be" if dry_run else "are"
    names = [*(str(each.path) for each in pruning.leftovers), *(asset.name for asset in pruning.missing)]
    session.out.result(data, lambda: session.out.line(f"{readable_size(pruning.size)} {verb} free."), names)
