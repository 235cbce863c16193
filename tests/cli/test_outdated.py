"""Newer versions at the sources, which run on the loopback."""

from __future__ import annotations

import contextlib
import sqlite3

import pytest
from material import write_lora


@pytest.fixture
def content(tmp_path):
    return [write_lora(tmp_path / f"{seed}.safetensors", "sdxl", seed=seed).read_bytes() for seed in range(3)]


def test_a_newer_version_on_civitai_counts_if_it_is_for_the_same_base_model(assetctl, civitai, content):
    civitai.add(7, 42, ("whiskers.safetensors", content[0]), baseModel="Pony")
    assetctl("pull", "civitai:7@42")
    assert assetctl("outdated", "--json").data == []
    civitai.add(7, 60, ("whiskers-il.safetensors", content[1]), baseModel="Illustrious")
    assert assetctl("outdated", "--json").data == []
    civitai.add(7, 50, ("whiskers-2.safetensors", content[2]), baseModel="Pony")
    (newer,) = assetctl("outdated", "--json").data
    assert (newer["name"], newer["here"], newer["there"]) == ("whiskers", "42", "50")
    assert "assetctl pull civitai:7@50" in assetctl("outdated").out
    assert assetctl("pull", newer["reference"]).code == 0
    assert assetctl("outdated", "--json").data == []


def test_a_file_of_the_hub_that_changed(assetctl, hub, content):
    hub.add("cats/whiskers", {"a.safetensors": content[0], "b.safetensors": content[1]})
    assetctl("pull", "hf://cats/whiskers/a.safetensors", "hf://cats/whiskers/b.safetensors")
    hub.add("cats/whiskers", {"a.safetensors": content[2], "b.safetensors": content[1]})
    (newer,) = assetctl("outdated", "--json").data
    assert (newer["name"], newer["reference"]) == ("a", "hf://cats/whiskers/a.safetensors")
    assert newer["there"] == hub.repositories["cats/whiskers"].commit[:12]
    assetctl("pull", newer["reference"])
    assert assetctl("outdated", "--json").data == []


def test_a_page_that_is_gone_is_told_and_the_rest_is_asked(assetctl, civitai, content):
    civitai.add(7, 42, ("one.safetensors", content[0]))
    civitai.add(8, 43, ("two.safetensors", content[1]))
    assetctl("pull", "civitai:7@42", "civitai:8@43")
    del civitai.models[7]
    civitai.add(8, 44, ("three.safetensors", content[2]))
    ended = assetctl("outdated", "--json")
    assert [(each["name"], each["problem"] is None) for each in ended.data] == [("one", False), ("two", True)]


def test_a_page_whose_number_is_none_is_not_asked_about(assetctl, home, civitai, content):
    civitai.add(7, 42, ("one.safetensors", content[0]))
    assetctl("pull", "civitai:7@42")
    with contextlib.closing(sqlite3.connect(home / "catalog.db")) as connection, connection:
        changed = connection.execute("UPDATE origins SET facts = replace(facts, '42', ?)", ["4" * 5000])
        assert changed.rowcount == 1
    ended = assetctl("outdated", "--json")
    assert (ended.code, ended.data) == (0, [])


def test_nobody_answers_is_not_nothing_newer(assetctl, civitai, content, monkeypatch):
    civitai.add(7, 42, ("one.safetensors", content[0]))
    civitai.add(8, 43, ("two.safetensors", content[1]))
    assetctl("pull", "civitai:7@42", "civitai:8@43")
    monkeypatch.setenv("ASSETCTL_CIVITAI_ENDPOINT", "http://127.0.0.1:1")
    ended = assetctl("outdated", "--json")
    assert (ended.code, ended.error["code"], "None of 2" in ended.error["message"]) == (6, "source_failed", True)


def test_those_that_could_not_be_asked_about_are_counted(assetctl, civitai, hub, content):
    civitai.add(7, 42, ("one.safetensors", content[0]))
    hub.add("cats/whiskers", {"two.safetensors": content[1]})
    assetctl("pull", "civitai:7@42", "hf://cats/whiskers/two.safetensors")
    hub.statuses["cats/whiskers"] = 403
    ended = assetctl("outdated")
    assert (ended.code, "Nothing newer was found; 1 could not be looked up." in ended.out) == (0, True)


def test_offline_says_so(assetctl, monkeypatch):
    monkeypatch.setenv("ASSETCTL_OFFLINE", "1")
    assert assetctl("outdated").code == 6
