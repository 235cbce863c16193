"""Prompts in A1111's dialect: weights, chunk breaks, LoRA tags, and the words that wake assets up.

Pure functions. None of them raises for any text, and all take time linear in its length. `chunks` tells
which tokens a prompt becomes, `unread` what of it is not read as its writer may mean it.
"""

from __future__ import annotations

from assetctl.prompt.chunks import split_at_tokens, words_present
from assetctl.prompt.syntax import ParsedPrompt, is_infotext, parse_prompt, parse_weights, without_tags

__all__ = [
    "ParsedPrompt", "is_infotext", "parse_prompt", "parse_weights", "split_at_tokens", "without_tags", "words_present",
]  # fmt: skip
