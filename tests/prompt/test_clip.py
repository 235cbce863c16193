from __future__ import annotations

import json
import os
import random
from pathlib import Path
from typing import Any

import pytest
from tables import cases, table

from assetctl.demo import demo_assets
from assetctl.errors import CorruptFileError
from assetctl.prompt import parse_prompt
from assetctl.prompt.chunks import END, START, beyond, load_tokenizer

SD15 = Path(__file__).resolve().parents[2] / "../shared/corpus/diffusers-configs/sd15/tokenizer"
DEMO = demo_assets().config / "tokenizer"

WRITTEN = [case["text"] for case in cases("prompts/clip_texts")]


def prompts() -> list[str]:
    noise = random.Random(77)
    pieces = [
        *"aeT'\u2019s,.!<>|_-0123456789 \t\n",
        "cat",
        " photo",
        "'re",
        "é",
        "e\u0301",
        "猫",
        "🐱",
        "\u00a0",
        "\u3000",
        END,
        START,
        "Ω",
        "İ",
    ]
    return WRITTEN + ["".join(noise.choices(pieces, k=noise.randrange(1, 60))) for _ in range(280)]


@pytest.mark.generation
@pytest.mark.parametrize("folder", [SD15, DEMO], ids=["clip", "demo"])
def test_its_numbers_are_those_of_transformers(folder: Path):
    if not folder.is_dir():
        pytest.skip("the shared corpus is not beside this checkout")
    transformers = pytest.importorskip("transformers")
    theirs, ours = transformers.CLIPTokenizer.from_pretrained(folder), load_tokenizer(folder)
    wrong = [
        text
        for text in prompts()
        if [token.id for token in ours.tokenize(text)]
        != theirs(text, add_special_tokens=False, verbose=False).input_ids
    ]
    assert wrong == []
    assert ours.comma == theirs.convert_tokens_to_ids(",</w>")


def test_its_pieces_are_the_whole_text():
    tokenizer = load_tokenizer(DEMO)
    for text in prompts():
        tokens = list(tokenizer.tokenize(text))
        assert not tokens or "".join(token.text for token in tokens) == text


def test_takes_text_that_is_no_unicode():
    tokens = list(load_tokenizer(DEMO).tokenize("a \ud800 cat"))
    assert "".join(token.text for token in tokens) == "a \ud800 cat"


@pytest.mark.parametrize("case", table("prompts/chunks"))
def test_chunks_hold_75_tokens_and_are_cut_after_a_near_comma_and_at_breaks(case: dict[str, Any]):
    chunks = load_tokenizer(DEMO).cut(parse_prompt(case["text"]))
    assert [len(chunk.tokens) for chunk in chunks] == case["tokens"]


def test_an_embedding_is_never_cut_in_two_and_keeps_its_text():
    tokenizer = load_tokenizer(DEMO)
    first, second = tokenizer.cut(parse_prompt("cat " * 73 + "(tok:1.2) cat"), {"tok": 4})
    assert [len(first.tokens), len(second.tokens)] == [73, 5]
    assert second.text == "tok cat"
    assert second.weights == [1.2] * 4 + [1.0]
    assert second.ids[:4] == [tokenizer.words + number for number in range(4)]


def test_tells_what_is_beyond_the_first_75_tokens():
    chunks = load_tokenizer(DEMO).cut(parse_prompt("cat " * 74 + "(cat:1.2), Cat BREAK cat"))
    assert beyond(chunks) == ", Catcat"


def write(folder: Path, vocabulary: object, merges: str | bytes = "#version: 0.2\na b</w>\n") -> Path:
    folder.mkdir()
    (folder / "vocab.json").write_bytes(
        vocabulary if isinstance(vocabulary, bytes) else json.dumps(vocabulary).encode()
    )
    (folder / "merges.txt").write_bytes(merges if isinstance(merges, bytes) else merges.encode())
    return folder


GOOD = {"a": 0, "b</w>": 1, "ab</w>": 2, START: 3, END: 4}


def test_small_files_will_do(tmp_path: Path):
    tokenizer = load_tokenizer(write(tmp_path / "small", GOOD))
    assert [token.id for token in tokenizer.tokenize("AB")] == [2]


@pytest.mark.parametrize(
    ("vocabulary", "merges"),
    [
        (b"{", ""),
        (b"\xff", ""),
        (b"[" * 100_000, ""),
        ([], ""),
        ({}, ""),
        (GOOD | {"c": -1}, ""),
        (GOOD | {"c": 2**32}, ""),
        (GOOD | {"c": 10**30}, ""),
        (GOOD | {"c": True}, ""),
        (GOOD | {"c": "1"}, ""),
        (GOOD, "a c"),
        (GOOD, "a"),
        (GOOD, "a b</w> c"),
        (GOOD, b"\xff\xfe"),
        (GOOD, "\n" * (2**24 + 1)),
        (b" " * (2**24 + 1), ""),
    ],
)
def test_damaged_files_are_refused(tmp_path: Path, vocabulary: object, merges: str | bytes):
    with pytest.raises(CorruptFileError) as caught:
        load_tokenizer(write(tmp_path / "damaged", vocabulary, merges))
    assert caught.value.hint


def test_missing_files_are_refused(tmp_path: Path):
    with pytest.raises(CorruptFileError, match=r"vocab\.json"):
        load_tokenizer(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes")
def test_a_vocabulary_that_is_a_pipe_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "vocab.json")
    with pytest.raises(CorruptFileError, match="not a regular file"):
        load_tokenizer(tmp_path)
