"""Asking before something is done that a person may not want."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import typer

from assetctl.errors import UsageError

if TYPE_CHECKING:
    from assetctl.cli.output import Output


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
