"""Asking before something is done that a person may not want."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import typer

from assetctl.errors import UsageError

if TYPE_CHECKING:
    from assetctl.cli.output import Output
    from assetctl.cli.session import Session


def tell_expired(session: Session) -> None:
    """Name what left the trash for good, so that nobody looks for it in vain."""
    for entry in session.registry.expired():
        session.out.note(
            f"{entry.name}, deleted {entry.deleted_at}, left the trash for good: for its age, or to make room"
        )


def confirmed(out: Output, question: str, *, yes: bool) -> bool:
    """Whether a person says yes: by `--yes`, or at the terminal.

    Raises:
        UsageError: No terminal is there to ask at.
    """
    if yes:
        return True
    if not sys.stdin.isatty():
        raise UsageError("This takes your word, and no terminal is there to ask you at.", "Add --yes if you mean it.")
    if typer.confirm(question, err=True):
        return True
    out.note("Nothing was done.")
    return False
