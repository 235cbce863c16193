"""What people type, made what it stands for; Typer shows the functions' names in `--help`."""

from __future__ import annotations

from pathlib import Path

import typer


def path(text: str) -> Path:
    """A path; an empty one, as a script has it whose variable is unset, is not the current folder.

    Raises:
        BadParameter: It is empty.
    """
    if not text:
        raise typer.BadParameter("an empty path is none.")
    return Path(text)
