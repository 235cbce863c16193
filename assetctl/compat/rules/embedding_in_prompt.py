"""Embeddings whose token no prompt uses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assetctl.compat.rule import Rule
from assetctl.prompt import words_present

if TYPE_CHECKING:
    from collections.abc import Iterator

    from assetctl.compat.context import Context
    from assetctl.types import Finding

RULE = Rule(
    "embedding_in_prompt",
    "The prompt or the negative prompt has the token of each embedding.",
    {"warning": "An embedding is selected and its token is in neither prompt."},
)


def check(context: Context) -> Iterator[Finding]:
    """Look for tokens, if there is a prompt to look at."""
    selection = context.selection
    prompts = [prompt for prompt in (selection.prompt, selection.negative_prompt) if prompt is not None]
    if not prompts:
        return
    for asset in dict.fromkeys(selection.embeddings):
        token = next(iter(asset.trigger_words), asset.name)
        if not any(words_present(prompt, [token]) for prompt in prompts):
            message = f"{asset.name} has no effect: its token, {token}, is in neither prompt."
            yield RULE.finding("warning", message, f"Write {token} into the prompt or the negative prompt.", asset)
