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
        UsageError: Nobody is there to be asked.
    """
    if yes:
        return True
    if not sys.stdin.isatty():
        raise UsageError(
            "Nobody is there to be asked.", "Add --yes if you mean it, or --dry-run to see what it would do."
        )
    if typer.confirm(question, err=True):
        return True
    out.note("Nothing was done.")
    return False
