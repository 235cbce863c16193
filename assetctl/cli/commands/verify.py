"""assetctl verify."""

from __future__ import annotations

from typing import Annotated

import typer

from assetctl.cli import completion
from assetctl.cli.session import Session, command
from assetctl.errors import FileError
from assetctl.text import counted


@command(
    gives="list[operations.library.verify.Verification]",
    lists=True,
    examples=["assetctl verify", "assetctl verify whiskers", "assetctl verify --quick --json"],
)
def app(
    session: Session,
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME...]", help="By default all assets.", autocompletion=completion.asset_names()),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Compare sizes and times of writing only.")] = False,
) -> None:
    """Say which files are missing or changed: sizes first, then hashes, or with --quick the times of writing.

    Exits with 5 if any file is not as it was. Warns of checkpoints that lack what generation needs besides.
    """
    with session.out.progress() as run:
        results = session.registry.verify(*(names or ()), quick=quick, run=run)
    files = [result for result in results if result.status != "unsupported"]
    bad = [result for result in files if result.status != "ok"]

    def render() -> None:
        for result in bad:
            session.out.line(f"{result.status:>10}  {result.name}: {result.path}: {result.detail}")
        said = "have the size and time that they had; hashes were not compared" if quick else "unchanged"
        session.out.line(f"{len(files) - len(bad):,} of {counted(len(files), 'file')} {said}.")

    session.out.result(results, render, [result.name for result in bad])
    for result in results:
        if result.status == "unsupported":
            session.out.warning(result.detail)
    if not bad:
        return
    if any(result.status == "missing" for result in bad):
        session.out.hint("Pull a missing asset again, `assetctl import` it from its new place, or `assetctl rm` it.")
    if quick and any(result.status == "changed" for result in bad):
        session.out.hint("Without --quick, hashes tell whether a file is still the same.")
    elif any(result.status == "changed" for result in bad):
        session.out.hint("If you changed a file yourself, `assetctl import` it again; otherwise fetch it anew.")
    raise typer.Exit(FileError.exit_code)
