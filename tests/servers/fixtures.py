"""The Hub on the loopback as a fixture: what runs in the test speaks to it, and to nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from servers.civitai import Civitai, serve_civitai
from servers.hub import Hub, serve_hub

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def civitai(monkeypatch: pytest.MonkeyPatch) -> Iterator[Civitai]:
    """A running Civitai; its address is set for this process and its children."""
    with serve_civitai() as server:
        monkeypatch.setenv("ASSETCTL_CIVITAI_ENDPOINT", server.url)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        monkeypatch.delenv("CIVITAI_API_TOKEN", raising=False)
        yield server


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    """A running Hub; `HF_ENDPOINT`, the Hub's cache and token are set for this process and its children."""
    from huggingface_hub import close_session

    with serve_hub() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        monkeypatch.setenv("HF_HOME", str(tmp_path / "hf-home"))
        monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hf-cache"))
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        for name in ("HF_TOKEN", "HF_HUB_OFFLINE", "HF_TOKEN_PATH"):
            monkeypatch.delenv(name, raising=False)
        close_session()
        yield server
        close_session()
