"""Prompts that change between steps, and composed ones, as A1111 reads them."""

from __future__ import annotations

import time

import pytest
from patience import fair
from tables import table

from assetctl.prompt.flavours import Told, changes, composed, reading, timeline
from assetctl.prompt.syntax import MOST_CHANGES, unread


@pytest.mark.parametrize("case", table("prompts/editing"))
def test_a_prompt_is_what_a1111_has_at_each_step(case):
    found = timeline(case["text"], case.get("steps", 10), old=case.get("old", False))
    assert [list(each) for each in found] == case["timeline"]
    assert changes(case["text"]) == case.get("changes", len(case["timeline"]) > 1)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a cat", [("a cat", 1.0)]),
        ("a cat AND a dog:1.5", [("a cat", 1.0), (" a dog", 1.5)]),
        ("a cat :0.5 AND a BRAND new dog : -2", [("a cat", 0.5), (" a BRAND new dog", -2.0)]),
        ("a: b AND", [("a: b", 1.0), ("", 1.0)]),
        ("a:b :2 \n AND :3 AND a:: .5 AND a:2:", [("a:b", 2.0), ("", 3.0), (" a:", 0.5), (" a:2:", 1.0)]),
    ],
)
def test_and_joins_prompts_with_weights(text, parts):
    assert composed(text) == parts


@pytest.mark.parametrize(
    "text",
    [
        "[" * 5000,
        "[a:" * 5000,
        "[a|" * 5000 + "]" * 5000,
        "[a:b:1]" * 3000,
        "a: " * 30_000,
        "a" + " " * 100_000 + "b",
        " : " * 30_000,
        "a" + " :" * 50_000,
        "[a" + " " * 100_000 + ":b:1]",
    ],
)
def test_no_prompt_takes_long(text):
    begun = time.perf_counter()
    timeline(text, 150)
    composed(text)
    assert time.perf_counter() - begun < fair(3)


@pytest.mark.parametrize("text", ["[a|b]" * 20_000, "[a|b]" * MOST_CHANGES, "a AND " * 16_000, "[a:b:3]" * 14_000])
def test_no_prompt_that_changes_takes_long(text):
    begun = time.perf_counter()
    reading(text, "a1111", Told(200, 2))
    unread(text, "a1111")
    assert time.perf_counter() - begun < fair(4)


def test_more_changes_than_are_followed_are_told():
    for count, told in ((MOST_CHANGES, False), (MOST_CHANGES + 1, True)):
        text = "[a|b]" * count
        assert changes(text) != told
        assert any("more than 500" in remark.message for remark in unread(text, "a1111")) == told
    assert not unread("[a]" * 2000, "a1111")


def test_of_very_many_texts_the_first_are_taken_apart():
    text = "".join(f"[a:b:{number}]" for number in range(1, 200)) + "(x)y" * 400
    found = reading(text, "a1111", Told(200, 2)).stretches
    assert sum(len(each.segments) for each in found) < 120_000
    assert found[-1].segments == (("…", 1.0),)
    assert sorted({step for each in found for step in each.steps}) == list(range(1, 201))
    few = reading("[a:b:3] [x|y]", "a1111", Told(4, 2)).stretches
    assert [(each.steps, each.segments[0][0]) for each in few] == [
        ((1, 2), "a x"), ((2,), "a y"), ((3, 4), "b y"), ((3, 4), "b x"),
    ]  # fmt: skip
