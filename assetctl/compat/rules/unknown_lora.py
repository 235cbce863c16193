"""LoRA tags in a prompt with names that no asset has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assetctl.compat.check import Rule
from assetctl.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from assetctl.compat.check import Context
    from assetctl.types import Finding

RULE = Rule(
    "unknown_lora",
    "Every LoRA tag of the prompts names an asset of the catalog.",
    {"error": "A tag names a LoRA that is not here."},
    told_as=NotFoundError,
)


def check(context: Context) -> Iterator[Finding]:
    """Tell each name once, with what may have been meant."""
    for name, hint in dict.fromkeys(context.selection.unknown_loras):
        yield not_here(name, hint)


def not_here(name: str, hint: str | None) -> Finding:
    """What is said of a name that no asset has."""
    return RULE.finding("error", f"The prompt asks for <lora:{name}>, and there is no asset of that name.", hint)
