"""Embeddings that want the same token."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assetctl.compat.check import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from assetctl.compat.check import Context
    from assetctl.types import Asset, Finding

RULE = Rule(
    "shared_token",
    "Each selected embedding has a token of its own.",
    {"error": "Two embeddings have the same token, so that one of them would be lost."},
)


def check(context: Context) -> Iterator[Finding]:
    """Compare the tokens, whatever their case."""
    seen: dict[str, Asset] = {}
    for asset in context.embeddings:
        token = asset.token.lower()
        other = seen.setdefault(token, asset)
        if other is not asset:
            message = f"{other.name} and {asset.name} both go by the token {token}, so that one of them would be lost."
            hint = f"Leave one out, or give it another token: `assetctl edit {asset.typed} --trigger-word NEW`."
            yield RULE.finding("error", message, hint, other, asset)
