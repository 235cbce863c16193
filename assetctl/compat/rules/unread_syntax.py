"""Prompts that say in A1111's or ComfyUI's words what is not done in the flavour that is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assetctl.compat.check import Rule, flavour_of, prompts_of
from assetctl.prompt.syntax import find_tags, foreign, shown, unread

if TYPE_CHECKING:
    from collections.abc import Iterator

    from assetctl.compat.check import Context
    from assetctl.types import Finding

RULE = Rule(
    "unread_syntax",
    "The prompts have no words that mean more elsewhere than in this flavour, and no tags but those of LoRAs.",
    {
        "warning": "A part of a prompt is read otherwise than A1111 or ComfyUI reads it: as words, or as a tag.",
        "info": "A part of a prompt is read as words, as A1111 does, and other programs read more in it.",
    },
)


def check(context: Context) -> Iterator[Finding]:
    """Tell each part once."""
    prompts, negative = prompts_of(context.selection), context.selection.negative_prompt
    flavour = flavour_of(context.selection)
    for remark in dict.fromkeys(remark for prompt in prompts for remark in unread(prompt, flavour)):
        yield RULE.finding("warning", remark.message, remark.hint)
    tags = find_tags(negative or "") if flavour == "a1111" else ()
    for tag in dict.fromkeys(shown(tag.text) for tag in tags):
        message = f"{tag!r} in the negative prompt is a LoRA's tag here, and mere words to A1111."
        yield RULE.finding("warning", message, "Write it into the prompt, where A1111 reads it too.")
    for remark in dict.fromkeys(remark for prompt in prompts for remark in foreign(prompt)):
        yield RULE.finding("info", remark.message, remark.hint)
