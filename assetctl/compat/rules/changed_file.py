"""Files that nobody has seen to be what they were."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assetctl.compat.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from assetctl.compat.context import Context
    from assetctl.types import Finding

RULE = Rule(
    "changed_file",
    "Every file is as it was when it was registered, and its hash is known.",
    {
        "warning": "A file was written to since, so that it may hold something else.",
        "info": "A file was never hashed, so that nobody can tell whether it is the one that was published.",
    },
)


def check(context: Context) -> Iterator[Finding]:
    """Tell what the catalog and the disk said of each file; no byte is read."""
    states = dict(context.selection.states)
    for asset in dict.fromkeys(context.selection.assets()):
        state = states.get(asset.path)
        if state == "changed":
            message = f"{asset.name} was written to since it was registered: {asset.path}."
            hint = f"`assetctl verify {asset.typed}` tells whether it is the same; `assetctl import` takes it in anew."
            yield RULE.finding("warning", message, hint, asset)
        elif state == "unverified":
            message = f"The hash of {asset.name} is not known, so it can not be compared with what was published."
            yield RULE.finding("info", message, f"`assetctl verify {asset.typed}` computes it.", asset)
