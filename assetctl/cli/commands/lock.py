"""assetctl lock."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from assetctl.cli.session import OutsideOption, Session, command
from assetctl.errors import OutOfDateError


@command(
    gives="operations.provision.lock.LockResult",
    examples=["assetctl lock", "assetctl lock --upgrade", "assetctl lock --check"],
)
def app(
    session: Session,
    file: Annotated[Path, typer.Option("--file", "-f", metavar="PATH", help="The manifest.")] = Path("registry.toml"),
    upgrade: Annotated[bool, typer.Option("--upgrade", help="Resolve all anew.")] = False,
    allow_outside: OutsideOption = False,
    check: Annotated[bool, typer.Option("--check", help="Write nothing; exit 1 if it is out of date.")] = False,
) -> None:
    """Resolve registry.toml to exact revisions, sizes and hashes in registry.lock.

    What is locked stays as it is until the manifest names another source for it, or --upgrade is given.
    Paths in a manifest must not leave its folder, for you may have it from others.
    """
    with session.out.progress() as run:
        result = session.registry.lock(file, upgrade=upgrade, write=not check, outside=allow_outside, run=run)

    def render() -> None:
        words = ("missing", "extra") if check else ("locked", "dropped")
        for word, names in zip(words, (result.resolved, result.removed), strict=True):
            for name in names:
                session.out.line(f"{word:>8}  {name}")
        count = len(result.lock.assets)
        verb = "would be" if check and result.changed else "is" if count == 1 else "are"
        session.out.line(f"{count} {'asset' if count == 1 else 'assets'} {verb} in {result.path}.")

    stale = check and result.changed
    if not (stale and session.out.json):  # there the error is the one document
        session.out.result(result, render, list(result.resolved))
    if not check:
        for name, fault in result.faults.items():
            session.out.warning(f"{name} was locked again, because in {result.path} {fault}.")
    if stale:
        listed = ", ".join(result.stale)
        raise OutOfDateError(f"{result.path} is out of date: {listed}.", "Bring it up to date with `assetctl lock`.")
