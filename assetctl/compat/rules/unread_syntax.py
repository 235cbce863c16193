"""Prompts that say in A1111's or ComfyUI's words what assetctl does not do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assetctl.compat.check import Rule, prompts_of
from assetctl.prompt.syntax import unread

if TYPE_CHECKING:
    from collections.abc import Iterator

    from assetctl.compat.check import Context
    from assetctl.types import Finding

RULE = Rule(
    "unread_syntax",
    "The prompts change nothing between steps, compose nothing, and have no tags but those of LoRAs.",
    {"warning": "A part of a prompt is read as words, or not at all, and A1111 or ComfyUI reads more in it."},
)


def check(context: Context) -> Iterator[Finding]:
    """Tell each part once."""
    remarks = [remark for prompt in prompts_of(context.selection) for remark in unread(prompt)]
    for remark in dict.fromkeys(remarks):
        yield RULE.finding("warning", remark.message, remark.hint)
