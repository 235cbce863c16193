"""What A1111 reads in a prompt and we do not is told, and nothing else is."""

from __future__ import annotations

import time

import pytest

from assetctl.prompt.syntax import overweight, unread


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("a [cat:dog:0.5], sleeping", "'[cat:dog:0.5]'"),
        ("[cat::0.5]", "'[cat::0.5]'"),
        ("[cat: .5 ]", "'[cat: .5 ]'"),
        ("[a (cat:1.2):dog:10]", "'[a (cat:1.2):dog:10]'"),
        ("[[old] cat:dog:0.5]", "'[[old] cat:dog:0.5]'"),
        ("a [cat|dog]", "'[cat|dog]'"),
        ("a [cat|[old] dog|]", "'[cat|[old] dog|]'"),
        ("a cat AND a dog", "AND is read"),
        ("a cat <hypernet:ink:1>", "'<hypernet:ink:1>'"),
        ("a cat <lora:>", "'<lora:>'"),
        ("a cat <lora:ink, drawn", "'<lora:ink, drawn'"),
        ("a cat <lora:ink:abc>", "default weight"),
        ("a cat <lora:ink:0.5:0.2>", "'<lora:ink:0.5:0.2>' is read as <lora:ink:0.5>"),
        ("a cat <lyco:ink:te=1:unet=0.5>", "<lora:ink:1>"),
        ("a cat <lora:ink:0.4:lbw=MIDD>", "<lora:ink:0.4>"),
    ],
)
def test_tells_what_is_not_read_as_a1111_does(text: str, part: str):
    (remark,) = unread(text)
    assert part in remark.message
    assert remark.hint


@pytest.mark.parametrize(
    "text",
    [
        "a [cat], (dog:1.2), [[old]]",
        r"a \[cat|dog\], \[cat:0.5\]",
        "a|b, 12:30, sand AND_so, LAND",
        "[cat: a dog]",
        "(cat|dog)",
        "<lora:ink> <lora:ink:0.5> <LYCO:ink:0.5:0.5> <lora:ink:te=1:unet=1> <lora:a|b [c]:1>",
        "1 < 2, a <3",
    ],
)
def test_leaves_alone_what_is_read_as_it_is_meant(text: str):
    assert unread(text) == []


def test_tells_each_part_once():
    assert len(unread("[a|b] [a|b] AND AND <hypernet:x:1><hypernet:x:1>")) == 3


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("(cat:12), dog", 1),
        ("(cat:-6)", 1),
        ("<lora:ink:8> <lora:old:-5.5>", 2),
        ("(cat:5) <lora:ink:-5> <lora:ink>", 0),
        ("((BREAK:9))", 0),
    ],
)
def test_tells_weights_that_burn_pictures(text: str, count: int):
    assert len(overweight(text)) == count


@pytest.mark.parametrize("unit", ["[", "[a|", "[a|]", ":", ": 1 ", "<lora:", "<a:", "\\[", "[a:1", "[a|b", "|]"])
def test_takes_time_linear_in_the_length(unit: str):
    started = time.perf_counter()
    unread(unit * (400_000 // len(unit)) + "]]]")
    assert time.perf_counter() - started < 5
