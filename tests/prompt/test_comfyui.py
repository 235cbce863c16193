"""Prompts as ComfyUI reads them."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from patience import fair

from assetctl.prompt.chunks import Token
from assetctl.prompt.flavours import cut_comfyui, parse_comfyui

CORPUS = Path(__file__).resolve().parents[3] / "shared" / "corpus" / "prompts.json"


@pytest.mark.parametrize(
    ("text", "segments"),
    [
        ("a (cat) b", [("a ", 1.0), ("cat", 1.1), (" b", 1.0)]),
        ("((cat:1.3) dog)", [("cat", 1.3), (" dog", 1.1)]),
        ("(cat:1.5:2)", [("cat:1.5", 2.0)]),
        ("(cat:nan) (cat:inf)", [("cat:nan", 1.1), (" ", 1.0), ("cat:inf", 1.1)]),
        (r"(cat\)) \(dog\)", [("cat)", 1.1), (" (dog)", 1.0)]),
        ("(cat", [("(cat", 1.0)]),
        ("cat) (dog)", [("cat) (dog)", 1.0)]),
        ("[cat] BREAK dog, (:1.2)", [("[cat] BREAK dog, ", 1.0), (":1.2", 1.1)]),
        ("()", []),
        ("", []),
    ],
)
def test_round_brackets_alone_weigh(text: str, segments: list[tuple[str, float]]):
    assert parse_comfyui(text) == [(piece, pytest.approx(weight)) for piece, weight in segments]


def test_it_is_read_as_comfyui_reads_it():
    if not CORPUS.exists():
        pytest.skip("no prompts of other programs beside the checkout")
    for case in json.loads(CORPUS.read_text("utf-8")):
        if "comfyui" in case:
            found = [[piece, pytest.approx(weight)] for piece, weight in parse_comfyui(case["input"])]
            assert found == case["comfyui"], case["input"]


def test_no_text_takes_long_or_fails():
    begun = time.process_time()
    for text in (
        "(" * 20_000,
        ")" * 20_000,
        "(" * 10_000 + ")" * 10_000,
        "(a:1)" * 5_000,
        "\\" * 20_000,
        "(\\)" * 9_000,
    ):
        assert all(abs(weight) < 1e9 for _, weight in parse_comfyui(text))
    assert time.process_time() - begun < fair(5)


def letters(text: str) -> list[Token]:
    return [Token(ord(letter)) for letter in text]


def lengths(text: str, embeddings=None, length: int = 10) -> list[str]:
    chunks = cut_comfyui(text, letters, embeddings or {}, length)
    assert all(len(chunk.weights) == chunk.count <= length for chunk in chunks)
    return ["".join(chr(each) for each in chunk.ids) for chunk in chunks]


def test_short_segments_stay_whole_and_long_ones_are_cut():
    assert lengths("") == [""]
    assert lengths("()") == [""]
    assert lengths("abcdefghij") == ["abcdefghij"]
    assert lengths("abcdefghijk") == ["abcdefghij", "k"]
    assert lengths("abcdef(ghijkl)") == ["abcdef", "ghijkl"]
    assert lengths("abcdef(ghijklmn)") == ["abcdefghij", "klmn"]


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("a embedding:tok b", "a XY b"),
        ("a tok b", "a tok b"),
        ("tok, embedding:tok", "tok, XY"),
        ("a,embedding:tok", "a,embedding:tok"),
        ("a\tembedding:tok", "a\tembedding:tok"),
        ("a\nembedding:tok\nb", "a\nXY\nb"),
        ("embedding:TOK,, b", "XY,, b"),
        ("embedding:tok,b", ""),
        ("a(embedding:tok:1.2)b", "aXYb"),
        ("embedding: tok\tb", "XY\tb"),
        ("embedding:tok.pt embedding:tok.safetensors, c", "XY XY, c"),
        ("Embedding:tok", "Embedding:tok"),
        ("(embedding:tok.) b", " b"),
        ("embedding:tok-a embedding:tok.b embedding:toks, c", "Z  , c"),
        ("embedding:a/b embedding:a\\b", "Q Q"),
        ("a embedding:other b", "a  b"),
        ("embedding:", ""),
        ("myembedding:tok", "myembedding:tok"),
    ],
)
def test_embeddings_are_taken_where_they_are_named_and_nowhere_else(text: str, read: str):
    embeddings = {"tok": (88, 89), "tok-a": (90,), "a/b": (81,)}
    assert "".join(lengths(text, embeddings, 75)) == read


def test_names_of_embeddings_take_no_time():
    begun = time.process_time()
    known = {f"tok{number}" * (number % 50 + 1): (1,) for number in range(300)}
    for text in ("embedding:" * 10_000, "embedding:tok " * 7_000, "embedding:" + "." * 100_000):
        cut_comfyui(text, letters, known)
    assert time.process_time() - begun < fair(5)
