"""assetctl identify."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from assetctl.cli import session
from assetctl.cli.render import show_assets
from assetctl.cli.session import Session, command
from assetctl.errors import FileError, UsageError
from assetctl.operations.library.identify_files import Identified, identify_files

_FIELDS = ("kind", "family", "base_model", "variant", "prediction", "format", "layout", "confidence")


@command(
    gives="list[operations.library.identify_files.Identified] | list[types.Asset]",
    examples=[
        "assetctl identify mystery.safetensors",
        "assetctl identify ~/Downloads --json",
        "assetctl identify --again",
    ],
)
def app(
    session: Session,
    paths: Annotated[
        list[Path] | None, typer.Argument(metavar="PATH...", parser=session.path, help="Files and folders.")
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Identify assets of the catalog once more; names may be given as PATH.")
    ] = False,
) -> None:
    """Say what files are, from their headers alone; no catalog is needed.

    Exits with 5 if a file or asset that you named could not be identified; what lies in a folder may be anything.
    """
    if again:
        _again(session, list(map(str, paths or ())))
        return
    if not paths:
        raise UsageError("There is nothing to identify.", "Name a file or a folder.")
    results = identify_files(paths)
    if len(results) == 1 and results[0].error is not None and not session.out.json:
        raise results[0].error
    session.out.result(
        results,
        lambda: session.out.table(("PATH", "KIND", "FAMILY", "BASE MODEL", "LAYOUT", "CONFIDENCE"), map(_row, results)),
        (f"{result.path}\t{result.identification.kind}\t{result.identification.family or '-'}" for result in results),
    )
    if len(results) == 1 and not (session.out.json or session.out.quiet):
        for item in results[0].identification.evidence:
            session.out.line(f"  {item.source}: {item.claim}: {item.detail}")
    failed = [result for result in results if result.error is not None]
    for result in () if session.out.json else failed:  # the document has the reasons
        message = str(result.error)
        session.out.warning(message if result.path in message else f"{result.path}: {message}")
    if failed and (len(failed) == len(results) or any(result.named for result in failed)):
        alone = results[0].error if len(results) == 1 else None
        raise typer.Exit((alone or FileError).exit_code)


def _again(session: Session, names: list[str]) -> None:
    with session.out.progress() as run:
        assets = session.registry.identify_again(*names, run=run)
    show_assets(session.out, assets)
    if names and any(warning.error for warning in session.out.warnings):
        raise typer.Exit(FileError.exit_code)


def _row(result: Identified) -> tuple[str, ...]:
    found = result.identification
    if result.error is not None:
        return result.path, "-", "-", "-", "-", result.error.code
    return result.path, found.kind, found.family or "-", found.base_model or "-", found.layout or "-", found.confidence
