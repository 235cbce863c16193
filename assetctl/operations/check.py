"""Check: whether a selection can work together, before anything is loaded."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from assetctl.compat import run_rules
from assetctl.errors import UsageError
from assetctl.operations.prompting import tokenizer_folder
from assetctl.operations.selecting import Choice, select

if TYPE_CHECKING:
    from assetctl.operations.workspace import Workspace
    from assetctl.types import CheckReport, Selection


def check(workspace: Workspace, choice: Choice) -> CheckReport:
    """Ask every compatibility rule about what was chosen.

    Raises:
        NotFoundError, AmbiguousNameError: A name.
        UsageError: Nothing was chosen.
    """
    selection = select(workspace.catalog.read, choice, note_unknown_tags=True)
    if not selection.assets():
        raise UsageError(
            "Nothing was selected.", "Try `assetctl check CHECKPOINT LORA…`, with names from `assetctl list`."
        )
    return run_rules(_with_tokenizer(workspace, selection))


def _with_tokenizer(workspace: Workspace, selection: Selection) -> Selection:
    """Note where the checkpoint's tokenizer is, if there is a prompt to count."""
    if selection.checkpoint is None or not (selection.prompt or selection.negative_prompt):
        return selection
    folder = tokenizer_folder(workspace, selection.checkpoint)
    return replace(selection, tokenizer=None if folder is None else str(folder))
