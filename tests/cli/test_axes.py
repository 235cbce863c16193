"""What `--grid` takes, and how it is read."""

from __future__ import annotations

import time
from contextlib import suppress

import pytest
from generated import texts
from hypothesis import given
from hypothesis import strategies as st
from patience import fair
from tables import table

from assetctl.axes import parse_axes
from assetctl.errors import UsageError


@pytest.mark.parametrize("case", table("grids/axes"))
def test_axes_are_read_as_they_are_meant(case):
    begun = time.perf_counter()
    if "error" in case:
        with pytest.raises(UsageError) as refused:
            parse_axes(case["text"])
        assert case["error"] in refused.value.message
        assert refused.value.hint
        assert len(refused.value.message) < 300
    else:
        assert {axis.name: list(axis.labels) for axis in parse_axes(case["text"])} == case["axes"]
    assert time.perf_counter() - begun < fair(1)


def _written(head: str, values: list[str]) -> str:
    return f"{head}: " + ", ".join('"' + value.replace('"', '""') + '"' for value in values)


@given(st.lists(texts(4), min_size=1, max_size=4, unique=True), texts(4).filter(bool))
def test_any_values_in_quotes_are_read_as_they_are_and_written_so_that_they_are_read_again(values, word):
    quoted = word.replace('"', '""')
    (names,) = parse_axes(_written("checkpoint", values))
    assert [each.text for each in names.values] == values
    (words,) = parse_axes(_written(f'prompt "{quoted}"', values))
    assert words.about == word
    assert [each.text for each in words.values if each.text != word] == [each for each in values if each != word]
    for axis in (names, words):
        assert parse_axes(str(axis)) == (axis,)


@given(texts(12))
def test_no_text_fails_otherwise_than_by_a_sentence(text):
    for written in (text, f"steps: {text}", f"prompt {text}", f"lora {text}", f"lora x: {text}", f"seed: {text}"):
        with suppress(UsageError):
            axes = parse_axes(written)
            assert parse_axes("; ".join(map(str, axes))) == axes
