from __future__ import annotations

import itertools
import json
import math
import random
import re
import time
from pathlib import Path
from typing import Any

import pytest
from generated import texts
from hypothesis import given
from patience import fair
from tables import table

from assetctl.prompt import parse_weights

CORPUS = Path(__file__).resolve().parents[2] / "../shared/corpus/prompts.json"


def same(got: list[tuple[str, float]], wanted: list[tuple[str, float]]) -> bool:
    return [text for text, _ in got] == [text for text, _ in wanted] and all(
        math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-9) for (_, one), (_, other) in zip(got, wanted, strict=True)
    )


@pytest.mark.skipif(not CORPUS.exists(), reason="the shared corpus is not beside this checkout")
def test_agrees_with_a1111_on_the_corpus():
    cases = json.loads(CORPUS.read_text("utf-8"))
    wrong = [case["input"] for case in cases if not same(parse_weights(case["input"]), case["a1111"])]
    assert cases
    assert wrong == []


@pytest.mark.parametrize("case", table("prompts/weights"))
def test_weighs_segments_as_a1111_does(case: dict[str, Any]):
    assert same(parse_weights(case["text"]), case["segments"])


def test_takes_any_text_and_gives_finite_weights():
    noise = random.Random(20240607)
    pieces = [*"()[]:\\<>lora 0.19,\n\t-+", "BREAK", "<lora:", "nan", "inf", "\x00", "\ud800", "\u0661"]
    plain = [*"()[]:\\.,<>|0123456789 a", "BREAK", "lora"]
    for number in range(20_000):
        text = "".join(noise.choices(plain if number % 4 else pieces, k=noise.randrange(60)))
        segments = parse_weights(text)
        assert segments, text
        assert all(math.isfinite(weight) for _, weight in segments), text
        assert all(one[1] != other[1] for one, other in itertools.pairwise(segments)), text


def test_loses_no_letter():
    noise = random.Random(5)
    for _ in range(500):
        text = "".join(noise.choices("()[]ab\\", k=noise.randrange(80)))
        letters = "".join(each for each in text if each in "ab")
        assert "".join(each for each in "".join(t for t, _ in parse_weights(text)) if each in "ab") == letters


def test_weighs_a_long_prompt_like_a_short_one():
    depth = 2500
    segments = parse_weights("".join("(a" for _ in range(depth)) + ")" * depth + "[b](c:-0.5)")
    assert len(segments) == depth + 2
    assert all(
        math.isclose(weight, 1.1 ** (index + 1), rel_tol=1e-9) for index, (_, weight) in enumerate(segments[:depth])
    )
    assert same(segments[depth:], [("b", 1 / 1.1), ("c", -0.5)])


def test_weighs_zero_and_negative_brackets_in_a_long_prompt():
    inner = "(a" * 2000 + ")" * 2000
    assert {weight for _, weight in parse_weights(f"({inner}:0)")} == {0.0}
    negative = parse_weights(f"({inner}:-1)")
    assert all(weight < 0 for _, weight in negative)
    assert math.isclose(negative[0][1], -1.1, rel_tol=1e-9)


def test_stays_finite_when_brackets_overflow():
    ((text, weight),) = parse_weights("(" * 20_000 + "a" + ")" * 20_000)
    assert text == "a"
    assert math.isfinite(weight)


@pytest.mark.parametrize(
    "unit",
    [
        "(",
        "[",
        ")",
        "]",
        "\\",
        "\\(",
        ":",
        ": ",
        ":1",
        " ",
        "9",
        "(a",
        "[a",
        "([a",
        "(a:1",
        "(a)",
        "(a:1)",
        ":1)",
        "\\\\",
        "()",
        "[(",
        "([)]",
        "[a:1)",
        "BREAK",
        "BREAK ",
        "<lora:",
        "<",
    ],
)
@pytest.mark.parametrize("start", ["", "(a:"])
def test_takes_time_linear_in_the_length(unit: str, start: str):
    text = start + unit * (300_000 // len(unit))
    begin = time.process_time()
    parse_weights(text)
    assert time.process_time() - begin < fair(2)  # a third of a second here; what is not linear takes minutes


def written(segments: list[tuple[str, float]]) -> str:
    """A prompt of these segments, as a person would write them."""
    escaped = [(re.sub(r"([\\()\[\]])", r"\\\1", text), weight) for text, weight in segments]
    return "".join(text if weight == 1 else f"({text}:{weight:.12f})" for text, weight in escaped)


@given(texts().filter(lambda text: "BREAK" not in text))
def test_segments_that_are_written_again_are_the_same(text: str):
    segments = parse_weights(text)
    assert same(parse_weights(written(segments)), segments)
