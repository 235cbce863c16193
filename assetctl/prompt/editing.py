"""Prompts that change between steps, as A1111 has them: `[cat:dog:0.5]`, `[cat|dog]`; and several composed by `AND`.

What a prompt is at a step is a text, which is then read like any other. Steps are counted as the model is asked: twice
a step by samplers of second order.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    Piece = "str | Group"

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


@dataclass(slots=True)
class Group:
    """What stands in brackets.

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

    @property
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

    @property
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
    """A prompt in words and groups; as words alone, where a bar stands in no group, or it is nested too deeply."""
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
