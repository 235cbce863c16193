"""LoRA tags in a prompt: `<lora:NAME>`, `<lora:NAME:WEIGHT>`, and A1111's longer forms."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from assetctl.prompt.weights import parse_weights

if TYPE_CHECKING:
    from collections.abc import Iterator

# `lyco` is A1111's other word for the same thing.
_TAG = re.compile(r"<(?:lora|lyco):\s*+(?P<name>[^<>:]++)(?::(?P<fields>[^<>]*+))?>", re.IGNORECASE)
# Blanks match from the start of their run alone, and are never given back: all else is quadratic in their number.
_TAG_AND_BLANKS = re.compile(rf"(?:(?<!\s)\s++)?{_TAG.pattern}", re.IGNORECASE)
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?", re.IGNORECASE)

#: Named fields that are weights; others, such as `dyn`, are not.
_WEIGHT_FIELDS = ("te", "unet")


@dataclass(frozen=True, slots=True)
class Tag:
    """A LoRA tag as it stands in a prompt.

    Attributes:
        fields: What follows the name, each as a field's name, empty for most, and its value.
        weight: `None` where no field gives a finite number.
    """

    text: str
    name: str
    fields: tuple[tuple[str, str], ...]
    weight: float | None

    @property
    def left_over(self) -> bool:
        """Whether a field says something else than the weight: another weight for the UNet, a rank, a typing error."""
        return any(
            name not in ("", *_WEIGHT_FIELDS) or _number(value.strip()) != self.weight for name, value in self.fields
        )


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
    loras = tuple((tag.name, tag.weight) for tag in find_tags(text))
    return ParsedPrompt(text, tuple(parse_weights(_TAG.sub("", text))), loras)


def without_tags(text: str) -> str:
    """The text without its LoRA tags, and without the blanks before each."""
    return _TAG_AND_BLANKS.sub("", text)


def find_tags(text: str) -> Iterator[Tag]:
    """The LoRA tags of a prompt, in order."""
    for found in _TAG.finditer(text):
        fields = _fields(found["fields"])
        yield Tag(found[0], found["name"].strip(), fields, _weight(fields))


def _fields(text: str | None) -> tuple[tuple[str, str], ...]:
    parts = () if text is None else (each.rpartition("=") for each in text.split(":"))
    return tuple((name.strip().lower(), value) for name, _, value in parts)


def _weight(fields: tuple[tuple[str, str], ...]) -> float | None:
    """The first positional field of a tag, or else its first named weight."""
    positional = [value for name, value in fields if not name]
    named = [value for name, value in fields if name in _WEIGHT_FIELDS]
    return _number((positional or named or [""])[0].strip())


def _number(text: str) -> float | None:
    number = float(text) if _NUMBER.fullmatch(text) else math.nan
    return number if math.isfinite(number) else None
