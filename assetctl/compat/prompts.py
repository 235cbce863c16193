"""What of a prompt counts."""

from __future__ import annotations

from dataclasses import replace

from assetctl.prompt import ParsedPrompt, parse_prompt


def audible(prompt: str) -> ParsedPrompt:
    """The prompt without its parts of weight 0, which say nothing."""
    parsed = parse_prompt(prompt)
    return replace(parsed, segments=tuple((text, weight) for text, weight in parsed.segments if weight != 0))


def silenced(prompt: str) -> list[str]:
    """The parts of weight 0."""
    return [text.strip() for text, weight in parse_prompt(prompt).segments if weight == 0 and text.strip()]
