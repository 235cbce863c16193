"""Several assets in one command: fetched at the same time, and one that fails does not stop the others."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from material import write_lora
from patience import fair

if TYPE_CHECKING:
    from pathlib import Path

NAMES = ("ears", "paws", "tails", "whiskers")


@pytest.fixture
def contents(tmp_path, hub):
    made = {
        name: write_lora(tmp_path / "s" / f"{name}.safetensors", rank=64, seed=seed).read_bytes()
        for seed, name in enumerate(NAMES)
    }
    hub.add("ann/cats", {f"{name}.safetensors": content for name, content in made.items()})
    return made


def references(*names):
    return [f"hf://ann/cats/{name}.safetensors" for name in names]


def test_they_come_at_the_same_time_and_are_told_in_their_order(assetctl, home, hub, contents):
    hub.throttle = 2_000_000
    pulled = assetctl("pull", *references(*NAMES), "--tag", "cats", "--json").data
    assert [(asset["name"], asset["tags"]) for asset in pulled] == [(name, ["cats"]) for name in NAMES]
    assert hub.most_at_once >= 3
    for name, content in contents.items():
        assert (home / f"models/loras/{name}.safetensors").read_bytes() == content


def test_as_many_as_the_setting_says(assetctl, hub, contents, monkeypatch):
    hub.throttle = 2_000_000
    monkeypatch.setenv("ASSETCTL_DOWNLOADS", "1")
    assert assetctl("pull", *references(*NAMES)).code == 0
    assert hub.most_at_once < 3  # one; the server counts a body for a moment after its end
    monkeypatch.setenv("ASSETCTL_DOWNLOADS", "none")
    assert assetctl("pull", *references(*NAMES)).code == 2


def test_one_that_fails_does_not_stop_the_others(assetctl, contents):
    ended = assetctl("pull", *references("ears", "nobody", "tails"))
    assert ended.code == 6
    assert "nobody" in ended.err
    assert [asset["name"] for asset in assetctl("list", "--json").data] == ["ears", "tails"]


def test_the_one_document_of_a_failure_says_what_came(assetctl, tmp_path, monkeypatch):
    write_lora(tmp_path / "one.safetensors")
    monkeypatch.chdir(tmp_path)
    ended = assetctl("pull", "./one.safetensors", "./nowhere.safetensors", "--json")
    message = ended.error["message"]
    assert (ended.code, "nowhere" in message, [each["name"] for each in ended.error["done"]]) == (3, True, ["one"])


def test_sync_brings_what_can_be_had_and_says_what_not(assetctl, tmp_path, contents, hub):
    text = "".join(
        f'[assets.{name}]\nsource = "{reference}"\n' for name, reference in zip(NAMES, references(*NAMES), strict=True)
    )
    (tmp_path / "registry.toml").write_text(text)
    assert assetctl("lock", "--file", tmp_path / "registry.toml").code == 0
    hub.wrong.add("ears.safetensors")
    ended = assetctl("sync", "--file", tmp_path / "registry.toml", "--json")
    assert (ended.code, ended.error["code"]) == (5, "hash_mismatch")
    assert [asset["name"] for asset in assetctl("list", "--json").data] == ["paws", "tails", "whiskers"]
    hub.wrong.clear()
    hub.requests.clear()
    assert assetctl("sync", "--file", tmp_path / "registry.toml").code == 0
    assert len({request.path for request in hub.downloads("/blobs/")}) == 1


def _came(home: Path) -> bool:
    """Whether something of a file lies on the disk."""
    return any(path.stat().st_size for path in home.rglob("*.part"))


def test_ctrl_c_ends_all_of_them_soon_and_keeps_what_came(home, hub, contents):
    hub.throttle = 30_000
    command = [sys.executable, "-m", "assetctl", "pull", *references(*NAMES)]
    process = subprocess.Popen(
        command, env={**os.environ, "ASSETCTL_HOME": str(home)}, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + fair(20)
    while (hub.most_at_once < 4 or not _came(home)) and time.monotonic() < deadline:
        time.sleep(0.05)
    begun = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=fair(20))
    assert time.monotonic() - begun < fair(5)
    assert process.returncode == 130
    assert "Traceback" not in said
    assert _came(home)
