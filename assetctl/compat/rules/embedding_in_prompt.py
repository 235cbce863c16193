"""Embeddings whose token no prompt uses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assetctl.compat.check import Rule, audible, flavour_of, prompts_of
from assetctl.prompt import words_present
from assetctl.prompt.flavours import segments_of, split_at_embeddings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from assetctl.compat.check import Context
    from assetctl.types import Finding

RULE = Rule(
    "embedding_in_prompt",
    "The prompt or the negative prompt has the token of each embedding, as it is written.",
    {"warning": "An embedding is selected and its token is in neither prompt, or only with a weight of 0."},
)


def check(context: Context) -> Iterator[Finding]:
    """Look for tokens as `generate` does, if there is a prompt to look at."""
    selection = context.selection
    prompts = [audible(prompt) for prompt in prompts_of(selection)]
    if not prompts:
        return
    tokens = {asset: asset.token for asset in context.embeddings}
    flavour = flavour_of(selection)
    said = [each for prompt in prompts_of(selection) for each in segments_of(prompt, flavour)]
    texts = [text for text, weight in said if weight != 0]
    pieces = [piece for text in texts for piece in split_at_embeddings(text, tokens.values(), flavour)]
    used = {token.lower() for _, token in pieces if token is not None}
    without = {asset: token for asset, token in tokens.items() if token.lower() not in used}
    in_pieces = {word for prompt in prompts for word in words_present(prompt, without.values())} if without else set()
    for asset, token in without.items():
        if flavour == "comfyui":
            message = f"{asset.name} has no effect: neither prompt says embedding:{token}, as ComfyUI has it named."
            hint = f"Write embedding:{token} into the prompt or the negative prompt, with a blank before and behind it."
            yield RULE.finding("warning", message, hint, asset)
            continue
        if token in in_pieces:
            message = f"{asset.name} has no effect: no prompt has its token as it is, {token}, in one piece."
        else:
            message = f"{asset.name} has no effect: its token, {token}, is in neither prompt."
        yield RULE.finding("warning", message, f"Write {token} into the prompt or the negative prompt.", asset)
