"""LoRAs of a method that `generate` does not apply."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assetctl.compat.check import Rule
from assetctl.errors import UnusableError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from assetctl.compat.check import Context
    from assetctl.types import Finding

RULE = Rule(
    "method",
    "Each LoRA is of a method that `generate` applies.",
    {
        "error": "assetctl is to apply a LoHa, LoKr, DoRA or another method that diffusers refuses or gets wrong.",
        "warning": "A LoRA is of such a method; other programs may apply it.",
    },
    generating=True,
    told_as=UnusableError,
)


def check(context: Context) -> Iterator[Finding]:
    """Look into each LoRA's header."""
    for asset in context.loras:
        changes = context.changes(asset)
        method = None if changes is None else changes.unsupported_method
        if method is not None:
            message = f"{asset.name} is a {method}, which `generate` cannot apply faithfully and will refuse."
            hint = "Leave it out of what you generate here, or convert it to a plain LoRA, for example with sd-scripts."
            yield RULE.finding("error" if context.generating else "warning", message, hint, asset)
