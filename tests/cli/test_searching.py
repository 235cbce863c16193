"""Searching Civitai and the Hub on the loopback, by the whole command line."""

from __future__ import annotations

import time

import pytest
from material import write_lora
from patience import fair


@pytest.fixture
def content(tmp_path):
    return write_lora(tmp_path / "source.safetensors", "sdxl").read_bytes()


@pytest.fixture
def offers(civitai, content):
    stats = {"creator": {"username": "ann"}, "stats": {"downloadCount": 1234}}
    files = ("whiskers.safetensors", content)
    civitai.add(7, 42, files, baseModel="Pony", model_said={"name": "Long Whiskers", **stats})
    civitai.add(8, 43, ("w.safetensors", b"x"), baseModel="SD 1.5", model_said={"name": "whiskers of old", **stats})
    civitai.add(9, 44, ("t.safetensors", b"y"), baseModel="SDXL 1.0", model_said={"name": "Tails", **stats})


def test_civitai_tells_what_could_be_pulled_and_what_is_here(assetctl, civitai, offers):
    first, second = assetctl("search", "civitai", "whiskers", "--json").data
    assert (first["reference"], first["name"], first["kind"]) == ("civitai:7@42", "Long Whiskers", "lora")
    assert (first["base_model"], first["family"], first["downloads"]) == ("Pony", "sdxl", 1234)
    assert (second["family"], second["here"]) == ("sd1", None)
    assetctl("pull", first["reference"])
    assert assetctl("search", "civitai", "whiskers", "--json").data[0]["here"] == "whiskers"
    shown = assetctl("search", "civitai", "whiskers").out
    assert "civitai:7@42" in shown
    assert "1,234" in shown


def test_civitai_is_asked_for_a_kind_and_a_family(assetctl, civitai, offers):
    (found,) = assetctl("search", "civitai", "whiskers", "--family", "sd1", "--kind", "lora", "--json").data
    assert found["reference"] == "civitai:8@43"
    assert assetctl("search", "civitai", "whiskers", "--kind", "vae", "--json").data == []
    assert assetctl("search", "civitai", "whiskers", "--family", "sd9").code == 2
    assert assetctl("search", "civitai", "no such thing", "--json").data == []
    assert len(assetctl("search", "civitai", "whiskers", "--limit", "1", "--json").data) == 1


def test_the_hub_tells_what_could_be_pulled(assetctl, hub, content):
    tags = ("diffusers", "lora", "text-to-image", "base_model:adapter:stabilityai/stable-diffusion-xl-base-1.0")
    hub.add("ann/whiskers", {"w.safetensors": content}, tags=tags, downloads=5)
    hub.add("bob/whiskers-xl", {"w.safetensors": content}, tags=("diffusers", "text-to-image"), downloads=9)
    hub.add("eve/whiskers-llm", {"w.safetensors": content}, tags=("text-generation",), downloads=99)
    whole, lora = assetctl("search", "hf", "whiskers", "--json").data
    assert (whole["reference"], whole["kind"]) == ("hf://bob/whiskers-xl", "checkpoint")
    assert (lora["reference"], lora["kind"], lora["family"]) == ("hf://ann/whiskers", "lora", "sdxl")
    (only,) = assetctl("search", "huggingface", "whiskers", "--kind", "lora", "--json").data
    assert only == lora
    assert assetctl("pull", only["reference"]).code == 0


def test_a_source_that_fails_or_is_not_to_be_asked_says_so(assetctl, civitai, hub, monkeypatch):
    hub.statuses["/api/models"] = 503
    ended = assetctl("search", "hf", "whiskers")
    assert (ended.code, ended.out) == (6, "")
    monkeypatch.setenv("ASSETCTL_OFFLINE", "1")
    ended = assetctl("search", "civitai", "whiskers")
    assert ended.code == 6
    assert "switched off" in ended.err
    assert civitai.requests == []


def test_a_hub_that_is_down_is_told_at_once(assetctl, hub, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    began = time.monotonic()
    ended = assetctl("search", "hf", "whiskers")
    assert (ended.code, "kept" in ended.err, time.monotonic() - began < fair(10)) == (6, False, True)


@pytest.mark.parametrize("body", [b"{}", b"[3]", b"<html>"])
def test_what_is_no_hub_is_told(assetctl, hub, body, monkeypatch):
    monkeypatch.setattr("servers.hub._Handler._search", lambda handler: handler._send(body, {}))
    ended = assetctl("search", "hf", "whiskers")
    assert (ended.code, "does not answer as the Hub does" in ended.err) == (6, True)


def test_one_word_is_searched_for_in_the_catalog(assetctl, civitai):
    assert assetctl("search", "civitai").code == 0
    assert civitai.requests == []
