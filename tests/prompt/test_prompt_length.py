"""The compatibility rule `prompt_length`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from compat.sparse import asset_at, write_sparse
from selections import selection_of

from assetctl.compat.check import Situation, run_rules
from assetctl.demo import demo_assets

if TYPE_CHECKING:
    from pathlib import Path

    from assetctl.types import Finding

TOKENIZER = str(demo_assets().config / "tokenizer")


def found(folder: Path, family: str | None, tokenizer: str | None = TOKENIZER, **other: object) -> list[Finding]:
    path = write_sparse(folder / "base.safetensors", {"x": [1]})
    selection = selection_of(asset_at(path, "checkpoint", family), **other)
    return [
        each for each in run_rules(selection, Situation(tokenizer=tokenizer)).findings if each.rule == "prompt_length"
    ]


@pytest.mark.parametrize("family", ["sd1", "sd2", "sdxl", "sd3", "flux1"])
@pytest.mark.parametrize("prompt", [None, "", "a cat", "cat " * 75, "a cat BREAK a dog"])
def test_a_short_prompt_is_fine(tmp_path: Path, family: str, prompt: str | None):
    assert found(tmp_path, family, prompt=prompt, negative_prompt=prompt) == []


@pytest.mark.parametrize("family", ["sd1", "sd2", "sdxl"])
def test_a_long_prompt_takes_chunks(tmp_path: Path, family: str):
    (finding,) = found(tmp_path, family, prompt="cat", negative_prompt="cat " * 75 + "Red")
    assert finding.severity == "info"
    assert "negative prompt takes 2 chunks" in finding.message
    assert "'Red'" in finding.message


@pytest.mark.parametrize("family", ["sd3", "flux1"])
def test_the_end_of_a_long_prompt_is_not_read_by_other_families(tmp_path: Path, family: str):
    (finding,) = found(tmp_path, family, prompt="cat " * 75 + "Red <lora:x:1>")
    assert (finding.severity, finding.assets) == ("warning", ("base",))
    assert "'Red'" in finding.message


def test_vectors_of_embeddings_count(tmp_path: Path):
    path = write_sparse(tmp_path / "tok.safetensors", {"emb_params": [60, 768]})
    embedding = asset_at(path, "embedding", "sd1", trigger_words=("tok",))
    prompt = "tok " + "cat " * 16
    assert found(tmp_path, "sd1", prompt=prompt) == []
    (finding,) = found(tmp_path, "sd1", prompt=prompt, embeddings=(embedding,))
    assert "'cat'" in finding.message


@pytest.mark.parametrize(("family", "tokenizer"), [("sd1", None), ("wan", TOKENIZER), (None, TOKENIZER)])
def test_is_silent_where_tokens_can_not_be_told(tmp_path: Path, family: str | None, tokenizer: str | None):
    assert found(tmp_path, family, tokenizer, prompt="cat " * 99) == []


def test_a_damaged_tokenizer_is_told_of(tmp_path: Path):
    (finding,) = found(tmp_path, "sd1", str(tmp_path), prompt="cat " * 99)
    assert finding.severity == "warning"
    assert "cannot be counted" in finding.message
