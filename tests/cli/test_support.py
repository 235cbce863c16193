"""What generation needs besides the checkpoint comes along, and is missed where it is not there."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest
from compat.sparse import tiny_checkpoint, write_sparse

from assetctl.sources import support
from assetctl.sources.base import digests

REPO = "stable-diffusion-v1-5/stable-diffusion-v1-5"
CONTENT = {"tokenizer/vocab.json": b'{"!": 0}', "tokenizer/merges.txt": b"#version: 0.2\n"}


@pytest.fixture
def vocabulary(hub, monkeypatch):
    """A vocabulary small enough for a test, at its place on the Hub."""
    pinned = tuple(
        replace(file, digests=digests(sha256=hashlib.sha256(CONTENT[file.path]).hexdigest()))
        for file in support.TOKENIZER_FILES
    )
    monkeypatch.setattr(support, "TOKENIZER_FILES", pinned)
    hub.add(REPO, CONTENT)


@pytest.fixture
def checkpoint(tmp_path):
    return write_sparse(tmp_path / "tiny.safetensors", tiny_checkpoint())


@pytest.mark.usefixtures("vocabulary")
def test_it_comes_along_with_a_checkpoint(assetctl, home, hub, checkpoint):
    hub.add("ann/tiny", {"tiny.safetensors": checkpoint.read_bytes()})
    assert assetctl("pull", "hf://ann/tiny").code == 0
    assert (home / "models/configs/clip/vocab.json").read_bytes() == CONTENT["tokenizer/vocab.json"]
    assert "unsupported" not in assetctl("verify", "--json").out


@pytest.mark.usefixtures("vocabulary")
def test_verify_says_when_it_is_missing_and_support_brings_it(assetctl, checkpoint):
    assetctl("import", checkpoint)
    ended = assetctl("verify")
    assert ended.code == 0
    assert "1 of 1 file" in ended.out
    assert "assetctl pull --support sd1" in ended.err
    assert [row["status"] for row in assetctl("verify", "--json").data] == ["ok", "unsupported"]
    assert assetctl("pull", "--support", "sd1").code == 0
    assert [row["status"] for row in assetctl("verify", "--json").data] == ["ok"]
