"""Prompts that change between steps, and composed ones, as A1111 reads them."""

from __future__ import annotations

import time

import pytest
from patience import fair
from tables import table

from assetctl.prompt.flavours import changes, composed, timeline


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
