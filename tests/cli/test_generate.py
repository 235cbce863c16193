"""What `generate` settles before torch is loaded."""

from __future__ import annotations

import os

import pytest

from assetctl.demo import make_demo_assets

SMALL = ("--steps", "1", "--size", "64x64")


@pytest.fixture
def demo(assetctl, tmp_path):
    """The demo's assets, in the catalog."""
    made = make_demo_assets(tmp_path / "demo")
    assetctl("pull", made.checkpoint, made.style, made.sdxl_lora)
    return made


@pytest.fixture
def _no_torch(monkeypatch):
    """Anything that reaches for torch fails."""
    monkeypatch.setitem(__import__("sys").modules, "torch", None)


pytestmark = pytest.mark.usefixtures("demo", "_no_torch")


def test_a_dry_run_shows_the_plan(assetctl):
    data = assetctl("generate", "a (cat: 1.2) <lora:demo-style:0.5>", "--seed", "7", "--dry-run", *SMALL, "--json").data
    assert [(item["role"], item["name"], item["weight"]) for item in data["selection"]] == [
        ("checkpoint", "demo-checkpoint", None),
        ("lora", "demo-style", 0.5),
    ]
    assert data["plan"]["seeds"] == [7]
    assert data["images"] == []


def test_what_can_not_fit_exits_with_4(assetctl):
    ended = assetctl("generate", "a cat", "--lora", "demo-sdxl-lora", *SMALL, "--json")
    assert (ended.code, ended.error["code"]) == (4, "incompatible")


def test_a_checkpoint_that_changed_is_refused(assetctl, home):
    path = home / "models" / "checkpoints" / "demo-checkpoint.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    os.utime(path, (1, 1))
    ended = assetctl("generate", "a cat", *SMALL, "--json")
    assert (ended.code, ended.error["code"]) == (5, "hash_mismatch")


@pytest.mark.parametrize("keep", [0, 1000])
def test_a_checkpoint_that_was_cut_short_or_removed_is_refused(assetctl, home, keep):
    path = home / "models" / "checkpoints" / "demo-checkpoint.safetensors"
    path.write_bytes(path.read_bytes()[:keep]) if keep else path.unlink()
    ended = assetctl("generate", "a cat", *SMALL, "--dry-run", "--json")
    assert (ended.code, ended.error["code"]) == (5, "file_corrupt")


@pytest.mark.parametrize(
    "arguments",
    [("--steps", "0"), ("--steps", "201"), ("--size", "0x0"), ("--size", "65x64"), ("--seed", "-2"), ("--count", "0"),
     ("--sampler", "Eulr"), ("--cfg", "nan"), ("--out", "cat.jpg"), ("--lora", "demo-style:nan")],
)  # fmt: skip
def test_numbers_and_names_out_of_bounds_are_wrong_usage(assetctl, arguments):
    ended = assetctl("generate", "a cat", *arguments, "--json")
    assert (ended.code, ended.error["code"]) == (2, "usage")


def test_a_machine_without_torch_is_told_what_to_install(assetctl, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    ended = assetctl("generate", "a cat", *SMALL, "--json")
    assert (ended.code, ended.error["code"]) == (1, "extra_missing")
    assert "pip install" in ended.error["hint"]
