"""Prompts in ComfyUI's dialect: round brackets alone weigh, and words are kept whole where a chunk ends."""

from __future__ import annotations

import math
import re
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from assetctl.prompt.chunks import CHUNK_LENGTH, Chunk, Token, number_vectors, split_at_tokens
from assetctl.prompt.editing import changes, composed, timeline
from assetctl.prompt.syntax import ROUND, Stretch, bare, parse_prompt, without_tags

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from assetctl.prompt.chunks import ClipTokenizer
    from assetctl.prompt.syntax import ParsedPrompt

#: Brackets that weigh; those after a backslash are words.
_MARK = re.compile(r"\\[()]|[()]")

#: An embedding as it is named there.
_EMBEDDING = re.compile(r"embedding:(?=\S)")

#: Segments of so many tokens are cut where a chunk ends; shorter ones go into the next chunk whole.
_LARGE = 8

#: Brackets within brackets that are taken apart; what is deeper is one segment.
_DEEPEST = 32


def parse_comfyui(text: str) -> list[tuple[str, float]]:
    """Split a prompt into segments of one weight each: `(x)` weighs 1.1 times as much, `(x:1.3)` weighs 1.3.

    A number counts in the place of all weights around it. Square brackets, `BREAK` and commas are words, and so is
    all that follows a bracket that is never closed. Every weight is finite.
    """
    found: list[tuple[str, float]] = []
    waiting = [(text, 1.0, 0)]  # a stack, for brackets may be nested as deeply as somebody likes
    while waiting:
        piece, weight, depth = waiting.pop()
        if depth < 0:
            found.append((_plain(piece), weight))
            continue
        waiting += [
            (*_weighed(item[1:-1], weight), depth + 1) if depth < _DEEPEST and _is_bracket(item) else (item, weight, -1)
            for item in reversed(_items(piece))
        ]
    return [each for each in found if each[0]]


def _is_bracket(item: str) -> bool:
    return item[0] == "(" and item[-1] == ")" and not item.endswith(r"\)")


def _weighed(inner: str, weight: float) -> tuple[str, float]:
    """What stands in a bracket, without its number, and its weight."""
    at = inner.rfind(":")
    if at > 0:
        with suppress(ValueError):
            number = float(inner[at + 1 :][:_LONGEST])
            if math.isfinite(number):
                return inner[:at], number
    return inner, weight * ROUND


#: Characters of a weight.
_LONGEST = 80


def _items(text: str) -> list[str]:
    """Brackets of the outermost level, and what stands between them."""
    items, start, level = [], 0, 0
    for mark in _MARK.finditer(text):
        if mark[0] == "(":
            if level == 0:
                items.append(text[start : mark.start()])
                start = mark.start()
            level += 1
        elif mark[0] == ")":
            level -= 1
            if level == 0:
                items.append(text[start : mark.end()])
                start = mark.end()
    return [item for item in (*items, text[start:]) if item]


def _plain(text: str) -> str:
    return text.replace(r"\(", "(").replace(r"\)", ")")


def reading(text: str, flavour: str, told: Told | None = None) -> ParsedPrompt:
    """A prompt, taken apart as a flavour reads it: its segments are ComfyUI's there, and A1111's elsewhere."""
    parsed = parse_prompt(text)
    if flavour == "comfyui":
        return replace(parsed, segments=tuple(parse_comfyui(without_tags(text))))
    return replace(parsed, stretches=tuple(_stretches(text, told or Told()))) if flavour == "a1111" else parsed


#: Steps by which a prompt's texts are looked at: as many as there are usually.
STEPS = 20


class Told(NamedTuple):
    """When and as what the model is told a prompt.

    Attributes:
        steps: How many there are.
        times: How often the model is asked at each.
        old: Whether numbers are meant as before A1111 1.6.
        negative: Whether it is the negative prompt, where `AND` is a word.
    """

    steps: int = STEPS
    times: int = 1
    old: bool = False
    negative: bool = False


def _stretches(text: str, told: Told) -> Iterator[Stretch]:
    """What a prompt of A1111's comes to at which steps; nothing where it stays what it is."""
    plain = bare(text)
    parts = [(plain, 1.0)] if told.negative else composed(plain)
    if len(parts) == 1 and not changes(plain):
        return
    asked = told.steps * told.times
    for part, weight in parts:
        texts, at = timeline(part, asked, old=told.old), 0
        steps: dict[str, dict[int, None]] = {}
        for time in range(asked):
            while texts[at][0] < time:
                at += 1
            steps.setdefault(texts[at][1], {})[time // told.times + 1] = None
        for each, when in steps.items():
            yield Stretch(tuple(when), weight, tuple(parse_prompt(each).segments))


def chunks_of(text: str, tokenizer: ClipTokenizer, embeddings: Mapping[str, int], flavour: str) -> list[Chunk]:
    """The chunks of a prompt as a flavour cuts it; of one that changes between steps, those of its longest text.

    Args:
        text: The prompt.
        tokenizer: Tells its tokens.
        embeddings: The number of vectors that each token of an embedding stands for.
        flavour: Whose way it is.
    """
    if flavour == "comfyui":
        return cut_comfyui(without_tags(text), tokenizer.tokenize, number_vectors(embeddings, tokenizer.words))
    texts = [text]
    if flavour == "a1111":
        texts = list(dict.fromkeys(each for part, _ in composed(bare(text)) for _, each in timeline(part, STEPS)))
    return max((tokenizer.cut(parse_prompt(each), embeddings) for each in texts), key=_tokens)


def _tokens(chunks: Sequence[Chunk]) -> tuple[int, int]:
    return len(chunks), sum(each.count for each in chunks)


def cut_comfyui(
    text: str,
    tokenize: Callable[[str], Iterable[Token]],
    embeddings: Mapping[str, Sequence[int]],
    length: int = CHUNK_LENGTH,
) -> list[Chunk]:
    """Tokenise a prompt and cut it into chunks. There is always at least one.

    Args:
        text: The prompt, without LoRA tags.
        tokenize: Tells the tokens of plain text.
        embeddings: Token of each embedding to the numbers of its vectors.
        length: Most tokens of a chunk.
    """
    chunks = [Chunk()]
    for segment, weight in parse_comfyui(text):
        for piece, name in split_at_tokens(_EMBEDDING.sub("", segment) if embeddings else segment, embeddings):
            group = list(tokenize(piece)) if name is None else [Token(number) for number in embeddings[name]]
            _add(chunks, group, weight, length)
    return chunks


def _add(chunks: list[Chunk], group: list[Token], weight: float, length: int) -> None:
    large = len(group) >= _LARGE
    while group:
        room = length - chunks[-1].count
        taken = group if len(group) <= room else group[:room] if large else []
        chunks[-1].tokens += taken
        chunks[-1].weights += [weight] * len(taken)
        group = group[len(taken) :]
        if group:
            chunks.append(Chunk())
