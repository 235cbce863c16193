from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from assetctl.errors import HashMismatchError
from assetctl.run import Run
from assetctl.sources import support
from assetctl.sources.base import digests
from assetctl.store import Store

if TYPE_CHECKING:
    from pathlib import Path

    from servers.hub import Hub

REPO = "stable-diffusion-v1-5/stable-diffusion-v1-5"
CONTENT = {"tokenizer/vocab.json": b'{"!": 0}', "tokenizer/merges.txt": b"#version: 0.2\n"}


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A store, and a vocabulary small enough for a test."""
    pinned = tuple(
        replace(file, digests=digests(sha256=hashlib.sha256(CONTENT[file.path]).hexdigest()))
        for file in support.TOKENIZER_FILES
    )
    monkeypatch.setattr(support, "TOKENIZER_FILES", pinned)
    return Store(tmp_path / "models")


def test_the_vocabulary_is_fetched_once(hub: Hub, store: Store):
    hub.add(REPO, CONTENT)
    assert support.installed_tokenizer(store) is None
    folder = support.fetch_tokenizer(store, Run())
    assert folder == store.root / "configs" / "clip" == support.installed_tokenizer(store)
    assert sorted(path.name for path in folder.iterdir()) == ["merges.txt", "vocab.json"]
    asked = len(hub.requests)
    support.fetch_tokenizer(store, Run())
    assert len(hub.requests) == asked


def test_another_vocabulary_is_not_installed(hub: Hub, store: Store):
    hub.add(REPO, {**CONTENT, "tokenizer/vocab.json": b"{}"})
    with pytest.raises(HashMismatchError):
        support.fetch_tokenizer(store, Run())
    assert support.installed_tokenizer(store) is None


def test_a_damaged_vocabulary_is_fetched_again(hub: Hub, store: Store):
    hub.add(REPO, CONTENT)
    folder = support.fetch_tokenizer(store, Run())
    (folder / "merges.txt").write_bytes(b"")
    assert support.installed_tokenizer(store) is None
    support.fetch_tokenizer(store, Run())
    assert support.installed_tokenizer(store) == folder
