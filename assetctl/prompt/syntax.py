"""A1111's dialect of prompts: weights, tags of networks, and what is not done."""

from __future__ import annotations

import math
import re
import sys
from dataclasses import dataclass, field
from itertools import accumulate, groupby
from operator import itemgetter
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


ROUND = 1.1
SQUARE = 1 / ROUND

#: The text and the weight of a chunk break; a break between brackets is weighted like any other segment.
BREAK = "BREAK"
BREAK_WEIGHT = -1.0

#: Multiplications up to which A1111's order of them is kept, to the last bit; longer prompts take the linear way.
_EXACT_WORK = 1_000_000

#: Logarithms are counted in these parts of 1; zero's is lower than all brackets together can raise.
_LOG_UNITS = 2**52
_LOG_OF_ZERO = -(10**15) * _LOG_UNITS
_MAX_LOG = math.log(sys.float_info.max)

# Three hundred digits stay below the largest float, so that no weight is infinite.
_NUMBER = r"[+-]?+(?:\d{1,300}+(?:\.\d*+)?+|\.\d++)"
_PLAIN = r"[^\\()\[\]:]"
_TOKEN = re.compile(
    rf"""
      \\(?P<escaped>[()\[\]\\]?)
    | (?P<round>\(+)
    | (?P<square>\[+)
    | :\s*+(?P<number>{_NUMBER})\s*+\)
    | (?P<close>[)\]])
    | (?P<text>(?:{_PLAIN}++|:(?!\s*+{_NUMBER}\s*+\)))++)
    """,
    re.VERBOSE,
)
_BREAK = re.compile(rf"\b{BREAK}\b")


def parse_weights(text: str) -> list[tuple[str, float]]:
    """Split a prompt into segments of one weight each, as A1111 does.

    A chunk break is `("BREAK", -1.0)`. As in A1111, brackets around a break weight it too. A number that is
    none (`(a:1.2.3)`) is plain text, and a bracket that is never closed reaches to the end.

    Returns:
        Segments in the order of the text, neighbours of equal weight joined; `[("", 1.0)]` if there are none.
        Every weight is finite.
    """
    scan = _Scan()
    for token in _TOKEN.finditer(text):
        scan.take(token)
    return _joined(scan.texts, scan.weights())


@dataclass(slots=True)
class _Scan:
    """The state of one pass over a prompt.

    Attributes:
        texts: Segments so far.
        own: The weight of each before any bracket.
        ranges: Segments `[start, end)` and what multiplies them, in the order in which brackets closed.
        round: Where each open round bracket began, as a number of segments.
        square: Likewise for square brackets.
    """

    texts: list[str] = field(default_factory=list)
    own: list[float] = field(default_factory=list)
    ranges: list[tuple[int, int, float]] = field(default_factory=list)
    round: list[int] = field(default_factory=list)
    square: list[int] = field(default_factory=list)

    def take(self, token: re.Match[str]) -> None:
        """Take the next token of the prompt."""
        kind, found = token.lastgroup, token[0]
        if kind == "text" and BREAK in found:
            self._add_around_breaks(found)
        elif kind == "text":
            self._add(found, 1.0)
        elif kind == "escaped":
            self._add(token["escaped"], 1.0)
        elif kind == "round":
            self.round += [len(self.texts)] * len(found)
        elif kind == "square":
            self.square += [len(self.texts)] * len(found)
        elif found[-1] == ")" and self.round:
            self._close(self.round, float(token["number"] or ROUND))
        elif found == "]" and self.square:
            self._close(self.square, SQUARE)
        else:
            self._add(found, 1.0)

    def weights(self) -> list[float]:
        """The weight of each segment, once all tokens are taken."""
        end = len(self.texts)
        for opened, multiplier in ((self.round, ROUND), (self.square, SQUARE)):
            self.ranges += [(start, end, multiplier) for start in reversed(opened) if start < end]
        if sum(end - start for start, end, _ in self.ranges) > _EXACT_WORK:
            return _weighted_by_sums(self.own, self.ranges)
        weights = list(self.own)
        for start, end, multiplier in self.ranges:
            for index in range(start, end):
                weights[index] *= multiplier
        return weights if all(map(math.isfinite, weights)) else list(map(_finite, weights))

    def _close(self, opened: list[int], multiplier: float) -> None:
        start, end = opened.pop(), len(self.texts)
        if start < end:
            self.ranges.append((start, end, multiplier))

    def _add(self, text: str, weight: float) -> None:
        self.texts.append(text)
        self.own.append(weight)

    def _add_around_breaks(self, text: str) -> None:
        """Add plain text with breaks, which eat the white space around them."""
        start = 0
        for found in _BREAK.finditer(text):
            before = text[start : found.start()].rstrip()
            self._add(before.lstrip() if start else before, 1.0)
            self._add(BREAK, BREAK_WEIGHT)
            start = found.end()
        self._add(text[start:].lstrip() if start else text, 1.0)


def _weighted_by_sums(own: list[float], ranges: list[tuple[int, int, float]]) -> list[float]:
    """Multiply ranges of weights in one sweep: running sums of logarithms, and of changes of sign.

    Logarithms are whole numbers, so that what a bracket adds goes away exactly where it ends.
    """
    logs, signs = [0] * (len(own) + 1), [0] * (len(own) + 1)
    known = {multiplier: _whole_log(abs(multiplier)) for multiplier in {each for _, _, each in ranges}}
    for start, end, multiplier in ranges:
        log = known[multiplier]
        logs[start] += log
        logs[end] -= log
        if multiplier < 0:
            signs[start] += 1
            signs[end] -= 1
    sums = zip(own, accumulate(logs), accumulate(signs), strict=False)
    highest = int(_MAX_LOG * _LOG_UNITS)
    return [(-weight if sign & 1 else weight) * math.exp(min(log, highest) / _LOG_UNITS) for weight, log, sign in sums]


def _whole_log(number: float) -> int:
    return round(math.log(number) * _LOG_UNITS) if number else _LOG_OF_ZERO


def _finite(weight: float) -> float:
    """`weight`, or the nearest number to what it would have been: thousands of brackets overflow."""
    if math.isfinite(weight):
        return weight
    return 0.0 if math.isnan(weight) else math.copysign(sys.float_info.max, weight)


def _joined(texts: list[str], weights: list[float]) -> list[tuple[str, float]]:
    segments = groupby(zip(weights, texts, strict=True), key=itemgetter(0))
    return [("".join(text for _, text in group), weight) for weight, group in segments] or [("", 1.0)]


# `lyco` is A1111's other word for the same thing.
_TAG = re.compile(r"<(?:lora|lyco):\s*+(?P<name>[^<>:]++)(?::(?P<fields>[^<>]*+))?>", re.IGNORECASE)
# Blanks match from the start of their run alone, and are never given back: all else is quadratic in their number.
_TAG_AND_BLANKS = re.compile(rf"(?:(?<!\s)\s++)?{_TAG.pattern}", re.IGNORECASE)
_TAG_BEGINS = re.compile(r"<(?=(?:lora|lyco):)", re.IGNORECASE)
_ANY_TAG = re.compile(r"<\w++:[^>]++>")
# A folder of Windows in the name of an embedding, as ComfyUI takes it; a sign after `\` is meant as it is.
_EMBEDDING_PATH = re.compile(r"(?<!\w)embedding:\s*+(?:[^\s,:;()\[\]<>|\\]|\\(?=\w))++", re.IGNORECASE)
_WEIGHT = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?", re.IGNORECASE)

#: Named fields that are weights; others, such as `dyn`, are not.
_WEIGHT_FIELDS = ("te", "unet")


@dataclass(frozen=True, slots=True)
class Tag:
    """A LoRA tag as it stands in a prompt.

    Attributes:
        fields: What follows the name, each as a field's name, empty for most, and its value.
        weight: Of the text encoders, and of all else where that has none of its own; `None` where no field gives a
            finite number.
        unet: Of all else, where it has one of its own.
    """

    text: str
    name: str
    fields: tuple[tuple[str, str], ...]
    weight: float | None
    unet: float | None = None

    @property
    def left_over(self) -> bool:
        """Whether a field says something else than the two weights: a rank, a third number, a typing error."""
        known = (self.weight, self.weight if self.unet is None else self.unet)
        return any(
            name not in ("", *_WEIGHT_FIELDS) or _number(value.strip()) not in known for name, value in self.fields
        )


@dataclass(frozen=True, slots=True)
class Stretch:
    """What a prompt that is edited comes to at some steps, or one of those that `AND` joins.

    Attributes:
        steps: The steps, counted from 1.
        weight: Of the prompt among those that `AND` joins.
        segments: Text and weight of each part; `…` where there are more texts than are taken apart.
    """

    steps: tuple[int, ...]
    weight: float
    segments: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class ParsedPrompt:
    """A prompt, taken apart.

    Attributes:
        text: As given.
        segments: Text and weight of each part, without LoRA tags; a chunk break is `("BREAK", -1.0)`.
        loras: Name and weight of each LoRA tag, in order; the weight is `None` where the tag gives none
            that is a finite number.
        unet_weights: Of each of them, the weight for all but text encoders; `None` where it has none of its own.
        stretches: What the model is told in the place of the segments, where the prompt changes between steps or is
            composed; nothing where the segments are all.
    """

    text: str
    segments: tuple[tuple[str, float], ...]
    loras: tuple[tuple[str, float | None], ...]
    unet_weights: tuple[float | None, ...] = ()
    stretches: tuple[Stretch, ...] = ()

    @property
    def weights(self) -> dict[str, float | None]:
        """The weight of each LoRA tag, by its name."""
        return dict(self.loras)


def parse_prompt(text: str) -> ParsedPrompt:
    """Take the LoRA tags out of a prompt and parse the weights of the rest.

    A tag without a name or without its closing bracket is plain text.
    """
    tags = list(find_tags(text))
    loras = tuple((tag.name, tag.weight) for tag in tags)
    plain = _EMBEDDING_PATH.sub(lambda found: found[0].replace("\\", "/"), bare(text))
    return ParsedPrompt(text, tuple(parse_weights(plain)), loras, tuple(tag.unet for tag in tags))


def without_tags(text: str) -> str:
    """The text without its LoRA tags, and without the blanks before each."""
    return _TAG_AND_BLANKS.sub("", text)


def bare(text: str) -> str:
    """The text without its LoRA tags, the blanks around them kept, as A1111 reads it."""
    return _TAG.sub("", text)


def without_networks(text: str) -> tuple[str, tuple[str, ...]]:
    """A prompt without the tags that A1111 takes out of it and that are no LoRAs', and these tags.

    To A1111, `<word:…>` is one up to the next `>`, whatever the word.
    """
    found: list[str] = []

    def left(tag: re.Match[str]) -> str:
        if _TAG.fullmatch(tag[0]):
            return tag[0]
        found.append(tag[0])
        return ""

    end = text.rfind(">") + 1  # behind it, each beginning would be followed in vain to the end
    return _ANY_TAG.sub(left, text[:end]) + text[end:], tuple(found)


def with_tags_as_words(text: str) -> str:
    """A text whose LoRA tags are words: a blank keeps them from being tags, and CLIP's tokens are the same."""
    return _TAG_BEGINS.sub("< ", text)


def find_tags(text: str) -> Iterator[Tag]:
    """The LoRA tags of a prompt, in order."""
    for found in _TAG.finditer(text):
        fields = _fields(found["fields"])
        yield Tag(found[0], found["name"].strip(), fields, _weight(fields), _unet(fields))


def _fields(text: str | None) -> tuple[tuple[str, str], ...]:
    parts = () if text is None else (each.rpartition("=") for each in text.split(":"))
    return tuple((name.strip().lower(), value) for name, _, value in parts)


def _weight(fields: tuple[tuple[str, str], ...]) -> float | None:
    """The first positional field of a tag, or else its first named weight."""
    positional = [value for name, value in fields if not name]
    named = [value for name, value in fields if name in _WEIGHT_FIELDS]
    return _number((positional or named or [""])[0].strip())


def _unet(fields: tuple[tuple[str, str], ...]) -> float | None:
    """The field `unet` of a tag, or else its second positional one, if that is another weight than the first."""
    named = [value for name, value in fields if name == "unet"]
    positional = [value for name, value in fields if not name]
    found = _number((named or positional[1:2] or [""])[0].strip())
    weight = _weight(fields)
    return None if weight is None or found == weight else found


def _number(text: str) -> float | None:
    number = float(text) if _WEIGHT.fullmatch(text) else math.nan
    return number if math.isfinite(number) else None


#: A weight farther from 0 than this is a slip of the keys: pictures burn long before.
MOST_WEIGHT = 5.0

_SHOWN = 60

_WEIGHS = "A weight stands in round brackets: (cat:1.1)."

_MARK = re.compile(r"\\.|[\[\]|]", re.DOTALL)
_SCHEDULED = re.compile(r":\s*+(?:\d++(?:\.\d*+)?|\.\d++)\s*+\Z")
_COMMA = re.compile(r"(?P<part>\([^\\()\[\]:]{1,400}):\s{0,9}(?P<whole>[+-]?\d{1,3}),(?P<rest>\d{1,2})\s{0,9}\)")
_AND = re.compile(r"\bAND\b")
_NETWORK = re.compile(r"<(?:(?!lora:|lyco:)\w++:[^<>]++>|(?:lora|lyco):[^<>]*+>?)", re.IGNORECASE)


class Remark(NamedTuple):
    """What is wrong with a part of a prompt, and what to write instead."""

    message: str
    hint: str


def unread(text: str, flavour: str = "diffusers") -> list[Remark]:
    """What of a prompt is not read as its writer may mean it, each once.

    Args:
        text: The prompt.
        flavour: Whose way to read it is: A1111's changes between steps and composes, ComfyUI's breaks no chunks.
    """
    plain = without_tags(text)
    remarks = [*_of_commas(plain), *_of_networks(plain)]
    if flavour == "a1111":
        remarks = [*_of_changes(plain), *remarks]
    else:
        remarks = [*_of_brackets(plain), *_of_and(plain), *remarks]
    if flavour == "comfyui" and _BREAK.search(plain):
        hint = "Leave it out, or choose --flavour a1111, which starts a new chunk."
        remarks.append(Remark("BREAK is read as a word: ComfyUI has no breaks.", hint))
    remarks += [remark for tag in find_tags(text) for remark in _of_tag(tag)]
    return list(dict.fromkeys([*_of_infotext(text), *remarks, *_of_unbalanced(text, flavour)]))


#: What other programs write into prompts and A1111 reads as words, as assetctl does; and what to write instead.
_FOREIGN = (
    (r"\{[^{}]{0,400}+\}", "variations", "`assetctl generate --dynamic` draws one of them for each picture."),
    (r"(?<!\w)__[\w/*-]{1,80}?__(?!\w)", "wildcards", "`assetctl generate --dynamic` draws a line of its file."),
    (r"(?:(?<![\w+-])[^\W\d_]{2,60}+|\))(?:\+{1,8}+|--{1,8}+)(?=[\s,.;)]|\Z)", "weights by signs", _WEIGHS),
    (r"\)\d{1,3}(?:\.\d{1,4})?(?=[\s,.;)]|\Z)", "weights behind brackets", _WEIGHS),
    (r"(?<![\w.])-?\d{0,3}\.?\d{1,4}::", "weights before words", _WEIGHS),
    (r"\)\.(?:and|blend|swap)\(", "functions", "Write one prompt of plain words."),
)


def foreign(text: str) -> list[Remark]:
    """What of a prompt other programs than A1111 would read as more than words, each kind once."""
    plain = without_tags(text)
    found = []
    for pattern, what, hint in _FOREIGN:
        for match in re.finditer(pattern, plain):
            sort, advice = what, hint
            if match[0].startswith("{") and "|" not in match[0]:
                sort, advice = "weights by braces", _WEIGHS
            why = f"{shown(match[0])!r} is read as words: assetctl knows no {sort}, as other programs write them."
            if sort in ("variations", "wildcards"):
                why = f"{shown(match[0])!r} is read as words: {sort} are drawn with --dynamic alone."
            found.append(Remark(why, advice))
            break
    return found


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
    return Remark(f"{what} has the weight {weight:g}, which ruins pictures.", hint)


def shown(text: str) -> str:
    """As much of a text as a message has room for."""
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


#: Square brackets that change a prompt between steps; of one with more, none does: each makes texts of its own of it.
MOST_CHANGES = 500


def changes_too_often(text: str) -> bool:
    """Whether a prompt has more such brackets than are followed."""
    return text.count("[") > MOST_CHANGES and sum(1 for _ in _changing(text)) > MOST_CHANGES


def _of_brackets(text: str) -> Iterator[Remark]:
    """Square brackets that stand for a change of the prompt between steps."""
    for part, bar in _changing(text):
        if bar:
            why = f"{part!r} is read as words: prompts alternate between steps with --flavour a1111 alone."
            yield Remark(why, "Choose that, or one of the words.")
        else:
            why = f"{part!r} is read as words: prompts change between steps with --flavour a1111 alone."
            yield Remark(why, "Choose that; a weight stands in round brackets: (cat:0.5).")


def _of_changes(text: str) -> Iterator[Remark]:
    """More changes between steps than are followed."""
    if changes_too_often(text):
        why = f"The prompt is read as words: it has more than {MOST_CHANGES} brackets that change it between steps."
        yield Remark(why, "Leave some of them out.")


def _changing(text: str) -> Iterator[tuple[str, bool]]:
    """Square brackets as of `[cat:dog:0.5]` and `[cat|dog]`, each with whether a bar stands in it."""
    opened: list[tuple[int, bool]] = []  # where each open bracket is, and whether a bar stands in it
    last = 0
    for mark in _MARK.finditer(text):
        if mark[0] == "[":
            opened.append((mark.start(), False))
        elif opened and mark[0] == "|":
            opened[-1] = (opened[-1][0], True)
        elif opened and mark[0] == "]":
            start, bar = opened.pop()
            if bar or _SCHEDULED.search(text, last, mark.start()):
                yield shown(text[start : min(mark.end(), start + 2 * _SHOWN)]), bar
        last = mark.end()


#: Brackets, those after a backslash apart; and faces of which one is a part, whose writer means no weight.
_BRACKET = re.compile(r"\\[\\()\[\]]|[()\[\]]")
_FACE = re.compile(r"(?:^|(?<=[\s,]))[>}]?[:;=8xX]['\"^o-]?(?=[()\[\]])")
_PAIRS = {")": "(", "]": "["}


def _of_unbalanced(text: str, flavour: str) -> Iterator[Remark]:
    """Brackets that weigh and are never closed, or close nothing: the first of each, with its place in the text."""
    plain = _TAG.sub(lambda tag: " " * len(tag[0]), text)
    faces = {face.end() for face in _FACE.finditer(plain)}
    opened: dict[str, list[int]] = {"(": []} if flavour == "comfyui" else {"(": [], "[": []}
    stray: list[int] = []
    for mark in _BRACKET.finditer(plain):
        sign, place = mark[0], mark.start()
        if sign in opened:
            opened[sign].append(place)
        elif opened.get(_PAIRS.get(sign, "")):
            opened[_PAIRS[sign]].pop()
        elif _PAIRS.get(sign) in opened and (flavour == "comfyui" or place not in faces):
            stray.append(place)
    for sign, places in opened.items():
        if places:
            each = "it" if len(places) == 1 else "each of them"
            weighs = f"all behind {each} weighs {'1.1 times as much' if sign == '(' else 'less, as 1 to 1.1'}"
            lost = "all behind it is words, other brackets and weights too"
            told = f"is never closed: {lost if flavour == 'comfyui' else weighs}"
            yield _of_bracket(plain, places, told, f"Close it, or write \\{sign} where it is a part of the words.")
    if stray:
        sign = plain[stray[0]]
        told = "closes nothing: it is read as a word"
        if flavour == "comfyui":
            told = "closes nothing, so no bracket behind it weighs"
        yield _of_bracket(plain, stray, told, f"Leave it out, or write \\{sign} where it is a part of the words.")


def _of_bracket(text: str, places: Sequence[int], told: str, hint: str) -> Remark:
    """The first of some brackets, with what stands about it."""
    at = places[0]
    near = " ".join(text[max(0, at - 12) : at + 20].split())
    more = f", and {len(places) - 1} more" if len(places) > 1 else ""
    return Remark(f"{text[at]!r} at character {at + 1} (in {near!r}){more} {told}.", hint)


#: A line that programs write below a prompt, or what is left of it where lines were lost.
_INFOTEXT = re.compile(
    r"(?:^|(?<=\s))(?:Negative prompt:\s|Steps:\s?\d{1,5},\s?"
    r"(?:Sampler|Scheduler|Schedule type|CFG scale|Seed|Size|Model):)"
)


def is_infotext(text: str) -> bool:
    """Whether a text is, or ends with, what a program notes of a picture."""
    return _INFOTEXT.search(text) is not None


def _of_infotext(text: str) -> Iterator[Remark]:
    """What programs write into a picture, pasted whole."""
    if found := _INFOTEXT.search(text):
        part = shown(" ".join(text[found.start() : found.start() + _SHOWN + 1].split()))
        yield Remark(
            f"{part!r} is read as words: that is how programs note what made a picture, below its prompt.",
            "Say it with --negative, --steps, --sampler, --cfg, --seed and --size; or, where you have the picture, "
            "`assetctl reproduce PICTURE`.",
        )


def _of_commas(text: str) -> Iterator[Remark]:
    """Weights with a comma, which are words; a list of two numbers behind a colon is none that anybody means."""
    for found in _COMMA.finditer(text):
        written = f"{found['part']}: {found['whole']}.{found['rest']})"
        why = f"{shown(found[0])!r} is read as words: the weight has a comma."
        yield Remark(why, f"Write a point: {shown(written)}.")


def _of_and(text: str) -> Iterator[Remark]:
    if _AND.search(text):
        hint = "Choose that, or write a comma."
        yield Remark("AND is read as a word: prompts are composed with --flavour a1111 alone.", hint)


def _of_networks(text: str) -> Iterator[Remark]:
    """Tags of other networks than LoRAs, and tags of LoRAs that are none."""
    for found in _NETWORK.finditer(text):
        hint = "Leave it out; a LoRA's tag is written <lora:NAME:WEIGHT>."
        if not found[0].endswith(">"):
            hint = "Its > is missing: a LoRA's tag is written <lora:NAME:WEIGHT>."
        yield Remark(f"{shown(found[0])!r} is read as words: it is not a LoRA's tag.", hint)


def _of_tag(tag: Tag) -> Iterator[Remark]:
    """Fields of a LoRA's tag that are no weight, or a second one."""
    if tag.weight is None and tag.fields:
        hint = f"Write a number: <lora:{tag.name}:0.8>."
        comma = next((value for _, value in tag.fields if re.fullmatch(r"\s*[+-]?\d{0,3},\d{1,9}\s*", value)), None)
        if comma is not None:
            hint = f"Write a point and no comma: <lora:{tag.name}:{comma.strip().replace(',', '.')}>."
        yield Remark(f"{shown(tag.text)!r} gets the LoRA's default weight: it names no number.", hint)
    elif tag.left_over:
        hint = "A tag has a weight for text encoders and one for the rest, and other fields do nothing: leave them out."
        weights = "" if tag.unet is None else f":{tag.unet:g}"
        yield Remark(f"{shown(tag.text)!r} is read as <lora:{tag.name}:{tag.weight:g}{weights}> alone.", hint)
