r"""Attention weights: `(x)` is 1.1 and nests, `(x:0.8)` is 0.8, `[x]` is 1/1.1, `\(` is a bracket, `BREAK` a new chunk.

Behaviour: https://github.com/AUTOMATIC1111/stable-diffusion-webui/wiki/Features#attentionemphasis
"""

from __future__ import annotations

import math
import re
import sys
from dataclasses import dataclass, field
from itertools import accumulate, groupby
from operator import itemgetter

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
