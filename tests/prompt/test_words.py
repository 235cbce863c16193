from __future__ import annotations

import time

import pytest

from assetctl.prompt import parse_prompt, split_at_tokens, words_present


def test_cuts_a_prompt_at_its_tokens_and_keeps_every_character():
    pieces = split_at_tokens("a cat, EASYnegative and bad-hands-5", ["EasyNegative", "bad-hands-5"])
    assert pieces == [
        ("a cat, ", None),
        ("EASYnegative", "EasyNegative"),
        (" and ", None),
        ("bad-hands-5", "bad-hands-5"),
    ]


def test_the_longest_token_wins():
    assert split_at_tokens("ink style v2", ["ink", "ink style", "style v2"]) == [
        ("ink style", "ink style"),
        (" v2", None),
    ]


@pytest.mark.parametrize("text", ["inky", "blink", "ink_v2", "ink-v2", "bad-ink", "ink2"])
def test_a_token_inside_a_longer_name_is_none(text: str):
    assert split_at_tokens(text, ["ink"]) == [(text, None)]


@pytest.mark.parametrize("text", ["ink", "(ink:1.2)", "a, ink.", "<ink>", "ink - old", "embedding:ink"])
def test_a_token_beside_signs_is_found(text: str):
    assert ("ink", "ink") in split_at_tokens(text, ["ink"])


def test_a_token_may_be_made_of_signs():
    assert split_at_tokens("a <cat-toy>.", ["<cat-toy>"]) == [("a ", None), ("<cat-toy>", "<cat-toy>"), (".", None)]


def test_nothing_to_find_leaves_the_text_whole():
    assert split_at_tokens("a cat", []) == [("a cat", None)]
    assert split_at_tokens("a cat", [""]) == [("a cat", None)]
    assert split_at_tokens("", ["cat"]) == []


def test_finds_trigger_words_whatever_brackets_and_spaces_surround_them():
    prompt = "a (Demo  (style:1.2)), [blue_dress] <lora:sks:1>"
    words = ["demo style", "blue dress", "sks", "dem", "style, blue dress"]
    assert words_present(prompt, words) == {"demo style", "blue dress", "style, blue dress"}
    assert words_present(parse_prompt(prompt), ["DEMO STYLE"]) == {"DEMO STYLE"}


def test_finds_a_trigger_word_that_is_written_with_brackets():
    assert words_present(r"saber \(fate\), standing", [r"saber \(fate\)", "saber (fate)", "(saber:1.1)"]) == {
        r"saber \(fate\)",
        "saber (fate)",
        "(saber:1.1)",
    }


def test_a_phrase_does_not_reach_across_a_chunk_break():
    assert words_present("demo BREAK style", ["demo style", "style"]) == {"style"}


def test_an_empty_word_is_never_present():
    assert words_present("a cat", ["", " ", "()"]) == set()


@pytest.mark.parametrize(
    "unit", ["(", "[a:1)", ":1)", "\\", " ", "\t ", "_", ", ", "-", "a", "tok ", "tok-", "<lora:", "BREAK "]
)
def test_takes_time_linear_in_the_length(unit: str):
    text = unit * (1_000_000 // len(unit))
    words = ["tok", "a-b", "-" * 30 + "x", "blue dress, a", "tok tok", "a , b"]
    begin = time.process_time()
    assert "".join(piece for piece, _ in split_at_tokens(text, words)) == text
    words_present(text, words)
    assert time.process_time() - begin < 5  # a second here; what is not linear takes minutes
