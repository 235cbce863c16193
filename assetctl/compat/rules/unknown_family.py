"""Assets whose family nobody knows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assetctl.compat.check import Rule
from assetctl.identify import identify_header

if TYPE_CHECKING:
    from collections.abc import Iterator

    from assetctl.compat.check import Context
    from assetctl.types import Asset, Finding

RULE = Rule(
    "unknown_family",
    "The family of every asset is known. That of a VAE need not be: several families share one.",
    {"warning": "Whether an asset fits cannot be told."},
)


def check(context: Context) -> Iterator[Finding]:
    """Name the assets without a family, and the families that each could be of."""
    for asset in dict.fromkeys(context.selection.assets()):
        if asset.family is None and asset.kind != "vae":
            message = f"The family of {asset.name} is unknown, so nobody can tell what it works with."
            setting = f"If you know it, set it: `assetctl edit {asset.typed} --family FAMILY`"
            yield RULE.finding("warning", message, f"{setting}; {_where_to_look(context, asset)}.", asset)


def _where_to_look(context: Context, asset: Asset) -> str:
    header = context.header(asset)
    found = () if header is None else identify_header(header).evidence
    said = [item.claim for item in found if item.source == "tensors" and item.claim.startswith("family=")]
    candidates = [claim.removeprefix("family=") for claim in said]
    if candidates:
        return f"its tensors allow {' and '.join(candidates)}"
    return f"its page says it, and `assetctl enrich {asset.typed}` looks for that by hash"
