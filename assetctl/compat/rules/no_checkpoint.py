"""A selection without a checkpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assetctl.compat.check import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from assetctl.compat.check import Context
    from assetctl.types import Finding

RULE = Rule(
    "no_checkpoint",
    "There is a checkpoint to compare with.",
    {"info": "Assets are only compared among each other."},
)


def check(context: Context) -> Iterator[Finding]:
    """Say what is not checked."""
    if context.selection.checkpoint is None:
        message = "There is no checkpoint in this selection: assets are only compared among each other."
        yield RULE.finding("info", message, "Name one that `assetctl list --kind checkpoint` shows.")
