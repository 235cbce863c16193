from __future__ import annotations

import time
from typing import Any

import pytest
from generated import names, texts
from hypothesis import given
from hypothesis import strategies as st
from patience import fair
from tables import table

from assetctl.prompt import parse_prompt, split_at_tokens, words_present


@pytest.mark.parametrize("case", table("prompts/tokens"))
def test_cuts_a_prompt_at_its_tokens_and_keeps_every_character(case: dict[str, Any]):
    pieces = split_at_tokens(case["text"], case["tokens"])
    assert [list(each) for each in pieces] == case["pieces"]
    assert "".join(text for text, _ in pieces) == case["text"]


@pytest.mark.parametrize("case", table("prompts/trigger_words"))
def test_finds_trigger_words_whatever_brackets_and_spaces_surround_them(case: dict[str, Any]):
    for prompt in (case["text"], parse_prompt(case["text"])):
        assert words_present(prompt, case["words"]) == set(case["present"])


@pytest.mark.parametrize(
    "unit", ["(", "[a:1)", ":1)", "\\", " ", "\t ", "_", ", ", "-", "a", "tok ", "tok-", "<lora:", "BREAK "]
)
def test_takes_time_linear_in_the_length(unit: str):
    text = unit * (1_000_000 // len(unit))
    words = ["tok", "a-b", "-" * 30 + "x", "blue dress, a", "tok tok", "a , b"]
    begin = time.process_time()
    assert "".join(piece for piece, _ in split_at_tokens(text, words)) == text
    words_present(text, words)
    assert time.process_time() - begin < fair(5)  # a second here; what is not linear takes minutes


@given(texts(), st.lists(names(), max_size=3))
def test_no_character_is_lost_between_tokens(text: str, tokens: list[str]):
    pieces = split_at_tokens(text, tokens)
    assert "".join(piece for piece, _ in pieces) == text
    assert {token for _, token in pieces} <= {None, *tokens}


def seconds(count):
    """How long it takes to cut a text of so many words at each of them, at best."""
    words = [f"word{number:05}x" for number in range(count)]
    text, taken = ", ".join(words), []
    for _ in range(3):
        begun = time.process_time()
        pieces = split_at_tokens(text, words)
        taken.append(time.process_time() - begun)
    assert [token for _, token in pieces if token] == words
    return min(taken)


def test_four_times_as_many_words_of_embeddings_take_not_sixteen_times_as_long():
    assert seconds(8000) < 10 * seconds(2000)
