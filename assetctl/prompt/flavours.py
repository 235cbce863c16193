"""How each program reads a prompt: what it is at which step, what its segments are, and where its chunks end.

A1111 has prompts that change between steps, `[cat:dog:0.5]` and `[cat|dog]`, and several composed by `AND`: what such a
prompt is at a step is a text, which is then read like any other. Steps are counted as the model is asked: twice a step
by samplers of second order. To ComfyUI, round brackets alone weigh, and words are kept whole where a chunk ends.
"""

from __future__ import annotations

import math
import re
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Literal, NamedTuple

from assetctl.prompt.chunks import (
    CHUNK_LENGTH,
    Chunk,
    Token,
    is_unknown,
    number_vectors,
    split_at_named,
    split_at_tokens,
)
from assetctl.prompt.syntax import ROUND, Stretch, bare, changes_too_often, parse_prompt, without_tags

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from assetctl.prompt.chunks import ClipTokenizer
    from assetctl.prompt.syntax import ParsedPrompt


def reading(text: str, flavour: str, told: Told | None = None) -> ParsedPrompt:
    """A prompt, taken apart as a flavour reads it: its segments are ComfyUI's there, and A1111's elsewhere."""
    parsed = parse_prompt(text)
    if flavour == "comfyui":
        return replace(parsed, segments=tuple(segments_of(text, flavour)))
    return replace(parsed, stretches=tuple(_stretches(text, told or Told()))) if flavour == "a1111" else parsed


def segments_of(text: str, flavour: str) -> Sequence[tuple[str, float]]:
    """The segments of a prompt as a flavour reads it, without tags of LoRAs; `reading` tells more, and takes longer."""
    return parse_comfyui(without_tags(text)) if flavour == "comfyui" else parse_prompt(text).segments


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
    left, whole = _MOST_TOLD, tuple(range(1, told.steps + 1))
    for part, weight in parts:
        steps = _steps_of(part, told, whole)
        for number, (each, when) in enumerate(steps.items()):
            left -= len(each) + _PLACE
            if left < 0:
                rest = {step for others in list(steps.values())[number:] for step in others}
                yield Stretch(tuple(sorted(rest)), weight, (("…", 1.0),))
                return
            yield Stretch(when, weight, tuple(parse_prompt(each).segments))


#: Characters of all texts of a prompt that are taken apart, and how many each counts for besides.
_MOST_TOLD, _PLACE = 200_000, 50


def _steps_of(part: str, told: Told, whole: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    """The texts of a prompt, each with its steps."""
    asked, begin = told.steps * told.times, 0
    texts = timeline(part, asked, old=told.old)
    if len(texts) == 1:
        return {texts[0][1]: whole}
    steps: dict[str, dict[int, None]] = {}
    for end, each in texts:
        if times := range(begin, min(end + 1, asked)):
            steps.setdefault(each, {}).update(dict.fromkeys(time // told.times + 1 for time in times))
            begin = times.stop
    return {each: tuple(when) for each, when in steps.items()}


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


def split_at_embeddings(text: str, tokens: Iterable[str], flavour: str) -> list[tuple[str, str | None]]:
    """Cut a text at its embeddings: ComfyUI has them named, `embedding:NAME`, and all others go by their words."""
    return (split_at_named if flavour == "comfyui" else split_at_tokens)(text, tokens)


def _tokens(chunks: Sequence[Chunk]) -> tuple[int, int]:
    return len(chunks), sum(each.count for each in chunks)


#: Brackets that weigh; those after a backslash are words.
_WEIGHING = re.compile(r"\\[()]|[()]")

#: Segments of so many tokens are cut where a chunk ends; shorter ones go into the next chunk whole.
_LARGE = 8

#: Brackets within brackets that are taken apart; what is deeper is one segment.
_DEEPEST_ROUND = 32


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
            (*_weighed(item[1:-1], weight), depth + 1)
            if depth < _DEEPEST_ROUND and _is_bracket(item)
            else (item, weight, -1)
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
    for mark in _WEIGHING.finditer(text):
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
        for piece, name in split_at_named(segment, embeddings):
            if is_unknown(piece, name):  # ComfyUI leaves it out
                continue
            numbers = () if name is None else embeddings[name]
            texts = [piece, *[""] * (len(numbers) - 1)]
            group = list(tokenize(piece)) if name is None else list(map(Token, numbers, texts))
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


_AND = re.compile(r"\bAND\b")
_WEIGHT = re.compile(r"[-+]?(?:\d{1,300}\.?|\d{0,300}\.\d{1,300})")

#: Brackets within brackets that are followed; a prompt that goes deeper does not change.
_DEEPEST = 50

_CLOSING = {"(": ")", "[": "]"}
_MARK = re.compile(r"\\.|[()\[\]:|]", re.DOTALL)
_STEP = re.compile(r"\s*+([+-]?(?:\d{1,300}(?:\.\d{0,300})?|\.\d{1,300})(?:e[+-]?\d{1,300})?)\s*+", re.IGNORECASE)


def composed(text: str) -> list[tuple[str, float]]:
    """The prompts that `AND` joins, each with the weight that follows its last colon, or 1."""
    found = []
    for part in _AND.split(text):
        words, colon, last = part.rpartition(":")
        weight = last.strip()
        is_weighed = bool(colon) and _WEIGHT.fullmatch(weight) is not None
        found.append((words.rstrip(), float(weight)) if is_weighed else (part.rstrip(), 1.0))
    return found


def changes(text: str) -> bool:
    """Whether a prompt is another one at some step."""
    return any(isinstance(each, Group) and each.changes for each in _pieces(text))


def timeline(text: str, steps: int, *, old: bool = False) -> list[tuple[int, str]]:
    """The texts of a prompt, each with the last step that has it; steps are counted from 0 and asked for up to `steps`.

    Args:
        text: One prompt, without tags of LoRAs.
        steps: How often the model is asked.
        old: Whether a number below 1 is a share of the steps, and one from 1 up a step, as in A1111 before 1.6; since
            then a number with a point is a share, and one without is a step.
    """
    pieces = _pieces(text)
    ends = {steps, *(end for each in pieces if isinstance(each, Group) for end in each.ends(steps, old=old))}
    return [(end, _at(pieces, end, steps, old=old)) for end in sorted(ends)]


@dataclass
class Group:
    """What stands in brackets; what it means is asked once the whole prompt is read.

    Attributes:
        opened: The bracket.
        parts: What stands between its colons and bars.
        marks: These.
        closed: Whether the bracket was.
        sound: Whether nothing in it is out of place.
    """

    opened: str
    parts: list[list[str | Group]] = field(default_factory=lambda: [[]])
    marks: list[str] = field(default_factory=list)
    closed: bool = False
    sound: bool = True

    @cached_property
    def kind(self) -> Literal["words", "step", "turns"] | None:
        """What it means; `None` where it means nothing."""
        if not (self.closed and self.sound):
            return None
        if "|" in self.marks:
            return "turns" if self.opened == "[" and ":" not in self.marks else None
        if self.opened == "(":
            return "words" if len(self.parts) <= 2 else None
        if len(self.parts) == 1:
            return "words"
        return "step" if len(self.parts) <= 3 and self.number is not None else None

    @cached_property
    def number(self) -> str | None:
        """The number behind the last colon."""
        last = self.parts[-1]
        match = _STEP.fullmatch(last[0]) if len(last) == 1 and isinstance(last[0], str) else None
        return None if match is None else match[1]

    @property
    def changes(self) -> bool:
        """Whether it, or something in it, is another text at some step."""
        return self.kind in ("step", "turns") or any(each.changes for each in self.inner())

    def inner(self) -> Iterator[Group]:
        """The groups directly in it."""
        return (each for part in self.parts for each in part if isinstance(each, Group))

    def when(self, steps: int, *, old: bool) -> int:
        """The last step before it changes."""
        said = self.number or "0"
        number = float(said)
        share = number < 1 if old else "." in said
        most = 1 if share else steps
        number = max(-most, min(number, most))  # it may be infinite
        return int(number * steps if share else number)

    def ends(self, steps: int, *, old: bool) -> Iterator[int]:
        """Steps after which it is another text."""
        if self.kind == "turns":
            yield from range(1, steps + 1)
        elif self.kind == "step" and (when := self.when(steps, old=old)) >= 1:
            yield when
        for each in self.inner():
            yield from each.ends(steps, old=old)

    def at(self, step: int, steps: int, *, old: bool) -> str:
        """Its text at a step."""
        parts = [_at(part, step, steps, old=old) for part in self.parts]
        if self.kind == "turns":
            return parts[(step - 1) % len(parts)]
        if self.kind == "step":
            before = parts[0] if len(parts) == 3 else ""
            return before if step <= self.when(steps, old=old) else parts[-2]
        return self.opened + "".join(map("".join, zip(parts, [*self.marks, _CLOSING[self.opened]], strict=True)))


def _at(pieces: Sequence[str | Group], step: int, steps: int, *, old: bool) -> str:
    return "".join(each if isinstance(each, str) else each.at(step, steps, old=old) for each in pieces)


def _pieces(text: str) -> Sequence[str | Group]:
    """A prompt in words and groups; as words alone, where a bar stands in no group, or there are too many to follow."""
    if changes_too_often(text):
        return [text]
    whole = Group("", closed=True)
    opened, start = [whole], 0
    for mark in _MARK.finditer(text):
        if mark[0][0] == "\\":
            continue
        _take(opened[-1], text[start : mark.start()])
        start = mark.end()
        if not _turn(opened, mark[0]):
            return [text]
    _take(opened[-1], text[start:])
    found: list[str | Group] = _loose(whole)
    return [text] if any(_bars(each) for each in found) else found


def _turn(opened: list[Group], mark: str) -> bool:
    """Take a bracket, colon or bar in; tells whether it can be borne."""
    inner = opened[-1]
    if mark in "([":
        if len(opened) > _DEEPEST:
            return False
        group = Group(mark)
        inner.parts[-1].append(group)
        opened.append(group)
    elif mark in ")]":
        if _CLOSING.get(inner.opened) == mark:
            inner.closed = True
            opened.pop()
        else:  # it closes nothing: what is open around it is not closed by any other
            for each in opened[1:]:
                each.sound = False
            _take(inner, mark)
            del opened[1:]
    elif len(opened) == 1:
        if mark == "|":
            return False
        _take(inner, mark)
    else:
        inner.marks.append(mark)
        inner.parts.append([])
    return True


def _take(group: Group, words: str) -> None:
    if words:
        group.parts[-1].append(words)


def _loose(group: Group) -> list[str | Group]:
    """What is in a group, with groups that mean nothing taken apart; what is in them may mean something."""
    found: list[str | Group] = []
    for mark, part in zip(["", *group.marks], group.parts, strict=True):
        found += [mark] if mark else []
        for each in part:
            if isinstance(each, str):
                found.append(each)
            elif each.kind is None or not all(_sound(inner) for inner in each.inner()):
                found += [each.opened, *_loose(each)]
                found += [_CLOSING[each.opened]] if each.closed else []
            else:
                found.append(each)
    return found


def _sound(group: Group) -> bool:
    return group.kind is not None and all(map(_sound, group.inner()))


def _bars(piece: str | Group) -> bool:
    """Whether this is a bar that stands in no group."""
    return piece == "|"
