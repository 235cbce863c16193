"""What of a prompt counts."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from assetctl.prompt import ParsedPrompt, parse_prompt

if TYPE_CHECKING:
    from assetctl.types import Asset, Selection


def prompts_of(selection: Selection) -> list[str]:
    """The prompts that are there to be checked against; an empty one says something too."""
    return [prompt for prompt in (selection.prompt, selection.negative_prompt) if prompt is not None]


def token_of(embedding: Asset) -> str:
    """What wakes an embedding in a prompt."""
    return next(iter(embedding.trigger_words), embedding.name)


def audible(prompt: str) -> ParsedPrompt:
    """The prompt without its parts of weight 0, which say nothing."""
    parsed = parse_prompt(prompt)
    return replace(parsed, segments=tuple((text, weight) for text, weight in parsed.segments if weight != 0))


def silenced(prompt: str) -> list[str]:
    """The parts of weight 0."""
    return [text.strip() for text, weight in parse_prompt(prompt).segments if weight == 0 and text.strip()]
