"""Assets whose family nobody knows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assetctl.compat.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from assetctl.compat.context import Context
    from assetctl.types import Finding

RULE = Rule(
    "unknown_family",
    "The family of every asset is known. That of a VAE need not be: several families share one.",
    {"warning": "Whether an asset fits can not be told."},
)


def check(context: Context) -> Iterator[Finding]:
    """Name the assets without a family."""
    for asset in dict.fromkeys(context.selection.assets()):
        if asset.family is None and asset.kind != "vae":
            message = f"The family of {asset.name} is unknown, so nobody can tell what it works with."
            yield RULE.finding(
                "warning", message, f"If you know it, set it: `assetctl edit {asset.typed} --family sd1`.", asset
            )
