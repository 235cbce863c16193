"""LoRA tags in a prompt: `<lora:NAME>`, `<lora:NAME:WEIGHT>`, and A1111's longer forms."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from assetctl.prompt.weights import parse_weights

# `lyco` is A1111's other word for the same thing.
_TAG = re.compile(r"<(?:lora|lyco):\s*+(?P<name>[^<>:]++)(?::(?P<fields>[^<>]*+))?>", re.IGNORECASE)
# Blanks match from the start of their run alone, and are never given back: all else is quadratic in their number.
_TAG_AND_BLANKS = re.compile(rf"(?:(?<!\s)\s++)?{_TAG.pattern}", re.IGNORECASE)
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?", re.IGNORECASE)

#: Named fields that are weights; others, such as `dyn`, are not.
_WEIGHT_FIELDS = ("te", "unet")


@dataclass(frozen=True, slots=True)
class ParsedPrompt:
    """A prompt, taken apart.

    Attributes:
        text: As given.
        segments: Text and weight of each part, without LoRA tags; a chunk break is `("BREAK", -1.0)`.
        loras: Name and weight of each LoRA tag, in order; the weight is `None` where the tag gives none
            that is a finite number.
    """

    text: str
    segments: tuple[tuple[str, float], ...]
    loras: tuple[tuple[str, float | None], ...]


def parse_prompt(text: str) -> ParsedPrompt:
    """Take the LoRA tags out of a prompt and parse the weights of the rest.

    A tag without a name or without its closing bracket is plain text.
    """
    loras = tuple((tag["name"].strip(), _weight(tag["fields"])) for tag in _TAG.finditer(text))
    return ParsedPrompt(text, tuple(parse_weights(_TAG.sub("", text))), loras)


def without_tags(text: str) -> str:
    """The text without its LoRA tags, and without the blanks before each."""
    return _TAG_AND_BLANKS.sub("", text)


def _weight(fields: str | None) -> float | None:
    """The first positional field of a tag, or else its first named weight."""
    if fields is None:
        return None
    pairs = [(name.strip().lower(), value) for name, _, value in (each.rpartition("=") for each in fields.split(":"))]
    positional = [value for name, value in pairs if not name]
    named = [value for name, value in pairs if name in _WEIGHT_FIELDS]
    return _number((positional or named or [""])[0].strip())


def _number(text: str) -> float | None:
    number = float(text) if _NUMBER.fullmatch(text) else math.nan
    return number if math.isfinite(number) else None
