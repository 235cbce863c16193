"""Check: whether a selection can work together, before anything is loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assetctl.compat import run_rules
from assetctl.errors import UsageError
from assetctl.operations.selecting import Choice, select
from assetctl.operations.suggesting import with_suggestions
from assetctl.operations.surroundings import with_surroundings

if TYPE_CHECKING:
    from assetctl.operations.workspace import Workspace
    from assetctl.types import CheckReport


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
    return with_suggestions(workspace, selection, run_rules(with_surroundings(workspace, selection)))
