"""assetctl lock."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from assetctl.cli.session import Session, command
from assetctl.errors import UsageError


@command(examples=["assetctl lock", "assetctl lock --upgrade", "assetctl lock --check"])
def app(
    session: Session,
    file: Annotated[Path, typer.Option("--file", "-f", metavar="PATH", help="The manifest.")] = Path("registry.toml"),
    upgrade: Annotated[bool, typer.Option("--upgrade", help="Resolve all anew.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Only say whether it is up to date; write nothing.")] = False,
) -> None:
    """Resolve registry.toml to exact revisions, sizes and hashes in registry.lock.

    What is locked stays as it is until the manifest names another source for it, or --upgrade is given.
    """
    with session.out.byte_progress() as report:
        result = session.registry.lock(file, upgrade=upgrade, write=not check, report=report)
    data = {"path": str(result.path), "resolved": result.resolved, "removed": result.removed, "changed": result.changed}

    def render() -> None:
        for word, names in (("locked", result.resolved), ("dropped", result.removed)):
            for name in names:
                session.out.line(f"{word:>8}  {name}")
        session.out.line(f"{len(result.lock.assets)} assets are in {result.path}.")

    session.out.result(data, render, list(result.resolved))
    if check and result.changed:
        raise UsageError(f"{result.path} is out of date.", "Bring it up to date with `assetctl lock`.")
