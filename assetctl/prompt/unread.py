"""What A1111 or ComfyUI reads in a prompt and assetctl does not: it would be taken for words, and nobody would be told.

Grammar: `schedule_parser` and `re_AND` in `modules/prompt_parser.py`, and `modules/extra_networks.py`, of
https://github.com/AUTOMATIC1111/stable-diffusion-webui
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from assetctl.prompt.tags import find_tags, parse_prompt, without_tags
from assetctl.prompt.weights import BREAK

if TYPE_CHECKING:
    from collections.abc import Iterator

    from assetctl.prompt.tags import Tag

#: A weight farther from 0 than this is a slip of the keys: pictures burn long before.
MOST_WEIGHT = 5.0

_SHOWN = 60

_MARK = re.compile(r"\\.|[\[\]|]", re.DOTALL)
_SCHEDULED = re.compile(r":\s*+(?:\d++(?:\.\d*+)?|\.\d++)\s*+\Z")
_AND = re.compile(r"\bAND\b")
_EMBEDDING = re.compile(r"\bembedding:\s*+([^\s,:()\[\]<>]++)", re.IGNORECASE)
_NETWORK = re.compile(r"<(?:(?!lora:|lyco:)\w++:[^<>]++>|(?:lora|lyco):[^<>]*+>?)", re.IGNORECASE)


class Remark(NamedTuple):
    """What is wrong with a part of a prompt, and what to write instead."""

    message: str
    hint: str


def unread(text: str) -> list[Remark]:
    """What of a prompt is not read as A1111 would, each once."""
    plain = without_tags(text)
    remarks = [*_of_brackets(plain), *_of_and(plain), *_of_embeddings(plain), *_of_networks(plain)]
    remarks += [remark for tag in find_tags(text) for remark in _of_tag(tag)]
    return list(dict.fromkeys(remarks))


def overweight(text: str) -> list[Remark]:
    """Weights in a prompt that no picture survives."""
    parsed = parse_prompt(text)
    tags = [(f"<lora:{name}>", weight) for name, weight in parsed.loras if weight is not None]
    words = ((part.strip(), weight) for part, weight in parsed.segments)
    parts = [(repr(shown(part)), weight) for part, weight in words if part not in ("", BREAK)]
    heavy = [too_heavy(what, weight) for what, weight in (*parts, *tags) if abs(weight) > MOST_WEIGHT]
    return list(dict.fromkeys(heavy))


def too_heavy(what: str, weight: float) -> Remark:
    """That something weighs too much."""
    hint = "Weights are usually between 0 and 1.5; look for a point or a blank that is missing."
    return Remark(f"{what} has the weight {weight:g}, which burns pictures.", hint)


def shown(text: str) -> str:
    """As much of a text as a message has room for."""
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def _of_brackets(text: str) -> Iterator[Remark]:
    """Square brackets that stand for a change of the prompt between steps: `[cat:dog:0.5]`, `[cat|dog]`."""
    opened: list[tuple[int, bool]] = []  # where each open bracket is, and whether a bar stands in it
    last = 0
    for mark in _MARK.finditer(text):
        if mark[0] == "[":
            opened.append((mark.start(), False))
        elif opened and mark[0] == "|":
            opened[-1] = (opened[-1][0], True)
        elif opened and mark[0] == "]":
            start, bar = opened.pop()
            part = repr(shown(text[start : min(mark.end(), start + 2 * _SHOWN)]))
            if bar:
                why = f"{part} is read as words: assetctl does not alternate between steps."
                yield Remark(why, "Choose one, or make a picture of each.")
            elif _SCHEDULED.search(text, last, mark.start()):
                why = f"{part} is read as words: assetctl does not change a prompt between steps."
                yield Remark(why, "Write what you want throughout; a weight stands in round brackets: (cat:0.5).")
        last = mark.end()


def _of_and(text: str) -> Iterator[Remark]:
    if _AND.search(text):
        hint = "Write a comma, or BREAK, which starts a new chunk."
        yield Remark("AND is read as a word: assetctl does not compose several prompts.", hint)


def _of_embeddings(text: str) -> Iterator[Remark]:
    """Embeddings as ComfyUI names them."""
    for found in _EMBEDDING.finditer(text):
        why = f"{shown(found[0])!r} is read as words: so ComfyUI names an embedding."
        yield Remark(why, f"Write its token alone, {shown(found[1])}, and name it with --embedding.")


def _of_networks(text: str) -> Iterator[Remark]:
    """Tags of other networks than LoRAs, and tags of LoRAs that are none."""
    for found in _NETWORK.finditer(text):
        hint = "Leave it out; a LoRA's tag is written <lora:NAME:WEIGHT>."
        yield Remark(f"{shown(found[0])!r} is read as words: it is no LoRA's tag.", hint)


def _of_tag(tag: Tag) -> Iterator[Remark]:
    """Fields of a LoRA's tag that are no weight, or a second one."""
    if tag.weight is None and tag.fields:
        hint = f"Write a number: <lora:{tag.name}:0.8>."
        yield Remark(f"{shown(tag.text)!r} gets the LoRA's default weight: it names no number.", hint)
    elif tag.left_over:
        hint = "Text encoder and UNet have one weight, and other fields do nothing: leave them out."
        yield Remark(f"{shown(tag.text)!r} is read as <lora:{tag.name}:{tag.weight:g}> alone.", hint)
