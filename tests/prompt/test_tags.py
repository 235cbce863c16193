from __future__ import annotations

import random
import time

import pytest

from assetctl.prompt import parse_prompt, without_tags


@pytest.mark.parametrize(
    ("tag", "lora"),
    [
        ("<lora:ink>", ("ink", None)),
        ("<lora:ink:0.7>", ("ink", 0.7)),
        ("<lora:ink: -1 >", ("ink", -1.0)),
        ("<lora:ink:.5>", ("ink", 0.5)),
        ("<LoRA:ink:1>", ("ink", 1.0)),
        ("<lyco:ink:1>", ("ink", 1.0)),
        ("<lora:ink:0.5:0.9>", ("ink", 0.5)),
        ("<lora:ink:0.5:extra>", ("ink", 0.5)),
        ("<lora:ink:te=0.5:unet=1>", ("ink", 0.5)),
        ("<lora:ink:dyn=8:0.4>", ("ink", 0.4)),
        ("<lora:styles/my ink-v1.5 (old):0.4>", ("styles/my ink-v1.5 (old)", 0.4)),
    ],
)
def test_takes_a_lora_tag_out_of_the_prompt(tag: str, lora: tuple[str, float | None]):
    parsed = parse_prompt(f"a (cat:1.2){tag}, drawn")
    assert parsed.loras == (lora,)
    assert parsed.segments == (("a ", 1.0), ("cat", 1.2), (", drawn", 1.0))
    assert parsed.text == f"a (cat:1.2){tag}, drawn"


@pytest.mark.parametrize("weight", ["strong", "", "nan", "inf", "-inf", "1e999", "1_0", "0x1", "dyn=8"])
def test_a_weight_that_is_no_finite_number_counts_as_none_given(weight: str):
    assert parse_prompt(f"<lora:ink:{weight}>").loras == (("ink", None),)


@pytest.mark.parametrize("text", ["<lora:ink", "<lora:>", "<lora::0.5>", "<lora: :1>", "<lora>", "lora:ink:1>"])
def test_a_malformed_tag_is_plain_text(text: str):
    assert parse_prompt(text).loras == ()
    assert parse_prompt(text).segments == ((text, 1.0),)


def test_keeps_loras_in_order_and_twice():
    assert parse_prompt("<lora:b:1> <lora:a:0.5> <lora:b:2>").loras == (("b", 1.0), ("a", 0.5), ("b", 2.0))


def test_takes_out_a_tag_between_brackets_and_after_an_unclosed_one():
    parsed = parse_prompt("(cat <lora:ink:0.5>:1.3) <lora:lost <lora:found:1>")
    assert parsed.loras == (("ink", 0.5), ("found", 1.0))
    assert parsed.segments == (("cat ", 1.3), (" <lora:lost ", 1.0))


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
    assert time.process_time() - begin < 3


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("a cat <lora:ink:0.5>", "a cat"),
        ("a  <LYCO:ink> cat, <lora:x y:te=1:unet=2>\n<lora:z>dog", "a cat,dog"),
        ("<lora:ink> a", " a"),
        ("a <lora:ink", "a <lora:ink"),
        ("a <lora:> <lora::1> <b>", "a <lora:> <lora::1> <b>"),
        ("", ""),
    ],
)
def test_leaves_what_is_no_tag(text: str, left: str):
    assert without_tags(text) == left
    assert parse_prompt(left).loras == ()
