"""Prompts that say in A1111's or ComfyUI's words what is not done in the flavour that is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assetctl.compat.check import Rule, prompts_of
from assetctl.options import option
from assetctl.prompt.syntax import foreign, unread

if TYPE_CHECKING:
    from collections.abc import Iterator

    from assetctl.compat.check import Context
    from assetctl.types import Finding

RULE = Rule(
    "unread_syntax",
    "The prompts have no words that mean more elsewhere than in this flavour, and no tags but those of LoRAs.",
    {
        "warning": "A part of a prompt is read as words, or not at all, and A1111 or ComfyUI reads more in it.",
        "info": "A part of a prompt is read as words, as A1111 does, and other programs read more in it.",
    },
)


def check(context: Context) -> Iterator[Finding]:
    """Tell each part once."""
    prompts = prompts_of(context.selection)
    flavour = str(context.selection.settings.get("flavour") or option("flavour").usual)
    for remark in dict.fromkeys(remark for prompt in prompts for remark in unread(prompt, flavour)):
        yield RULE.finding("warning", remark.message, remark.hint)
    for remark in dict.fromkeys(remark for prompt in prompts for remark in foreign(prompt)):
        yield RULE.finding("info", remark.message, remark.hint)
