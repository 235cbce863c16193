from __future__ import annotations

import random
import time
from typing import Any

import pytest
from generated import names
from hypothesis import given
from hypothesis import strategies as st
from patience import fair
from tables import table

from assetctl.prompt import parse_prompt, without_tags


@pytest.mark.parametrize("case", table("prompts/lora_tags"))
def test_takes_lora_tags_out_of_the_prompt(case: dict[str, Any]):
    parsed = parse_prompt(case["text"])
    assert [list(each) for each in parsed.loras] == case["loras"]
    assert [list(each) for each in parsed.segments] == case["segments"]
    assert parsed.text == case["text"]


def test_takes_any_text():
    noise = random.Random(11)
    pieces = [*"()[]:\\<>lora BREAK0.19,\n", "<lora:", "nan", "te="]
    for _ in range(3000):
        parse_prompt("".join(noise.choices(pieces, k=noise.randrange(60))))


@pytest.mark.parametrize("unit", ["<lora:", "<lora:x", "<lora:x:1>", "<lora: ", "<lora:x:"])
def test_takes_time_linear_in_the_length(unit: str):
    begin = time.process_time()
    parse_prompt(unit * (500_000 // len(unit)))
    parse_prompt("<lora:" + unit[6:] * 500_000)
    without_tags(unit * (1_000_000 // len(unit)))
    without_tags(" " * 1_000_000 + unit)
    assert time.process_time() - begin < fair(3)


@pytest.mark.parametrize("case", table("prompts/without_tags"))
def test_leaves_what_is_no_tag(case: dict[str, Any]):
    assert without_tags(case["text"]) == case["left"]
    assert parse_prompt(case["left"]).loras == ()


@given(st.lists(st.tuples(names(), st.integers(-200, 200)), max_size=3))
def test_tags_that_are_written_are_read_and_taken_out_again(wanted: list[tuple[str, int]]):
    tags = "".join(f"<lora:{name}:{number / 100:g}>" for name, number in wanted)
    assert parse_prompt(f"a cat, {tags}").loras == tuple((name, number / 100) for name, number in wanted)
    assert without_tags(f"a cat, {tags}").strip() == "a cat,"
