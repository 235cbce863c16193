"""Learning of local files from a Civitai on the loopback, and from what lies beside them."""

from __future__ import annotations

import hashlib
import json
import os

import pytest
from material import write_lora


@pytest.fixture
def mine(assetctl, tmp_path):
    path = write_lora(tmp_path / "mine" / "whiskers.safetensors", "sdxl", words="")
    assetctl("import", path)
    return path


def asset(assetctl):
    return assetctl("inspect", "whiskers", "--json").data


def beside(path, suffix, said):
    path.with_name(path.stem + suffix).write_text(said if isinstance(said, str) else json.dumps(said))


def test_civitai_knows_a_file_by_its_hash(assetctl, civitai, mine):
    civitai.add(7, 42, ("x.safetensors", mine.read_bytes()), baseModel="Pony", trainedWords=["calico"])
    (learned,) = assetctl("enrich", "--json").data
    assert (learned["name"], learned["sources"]) == ("whiskers", ["civitai"])
    found = asset(assetctl)
    assert (found["base_model"], found["trigger_words"], found["path"]) == ("Pony", ["calico"], str(mine))
    assert found["origin"]["facts"]["page"].endswith("/models/7?modelVersionId=42")


def test_what_was_learned_is_not_asked_again_and_stays_when_the_page_goes(assetctl, civitai, mine):
    civitai.add(7, 42, ("x.safetensors", mine.read_bytes()), baseModel="Pony")
    assetctl("enrich")
    civitai.requests.clear()
    assetctl("enrich")
    assert civitai.requests == []
    civitai.models.clear()
    civitai.versions.clear()
    assert assetctl("enrich", "--again").code == 0
    assert asset(assetctl)["base_model"] == "Pony"


def test_what_a_person_set_stays(assetctl, civitai, mine):
    civitai.add(7, 42, ("x.safetensors", mine.read_bytes()), baseModel="Pony", trainedWords=["calico"])
    beside(mine, ".json", {"preferred weight": 0.4, "notes": "theirs"})
    assetctl("edit", "whiskers", "--trigger-word", "purr", "--base-model", "NoobAI", "--default-weight", "0.9")
    assetctl("edit", "whiskers", "--notes", "mine")
    assetctl("enrich")
    found = asset(assetctl)
    assert (found["trigger_words"], found["base_model"]) == (["purr"], "NoobAI")
    assert (found["default_weight"], found["notes"]) == (0.9, "mine")


VERSION = {"id": 1, "modelId": 2, "trainedWords": ["calico", "patches"]}


@pytest.mark.parametrize(
    ("suffix", "said", "expected"),
    [
        (
            ".metadata.json",
            {
                "file_name": "whiskers", "base_model": "Pony", "notes": "soft", "tags": ["style", "cats"],
                "usage_tips": '{"strength": 0.6, "clip_strength": 0.8}', "civitai": VERSION,
            },
            {"base_model": "Pony", "notes": "soft", "tags": ["cats", "style"], "default_weight": 0.6},
        ),
        (
            ".metadata.json",
            {"base_model": "Unknown", "usage_tips": "{", "tags": 5, "civitai": {**VERSION, "baseModel": "Pony"}},
            {"base_model": "Pony", "tags": [], "default_weight": None},
        ),
        (
            ".safetensors.rgthree-info.json",
            {"baseModel": "Pony", "trainedWords": [{"word": "calico", "count": 3}, "patches"], "raw": {"civitai": 1}},
            {"base_model": "Pony"},
        ),
        (".swarm.json", {"modelspec.trigger_phrase": "calico, patches", "modelspec.usage_hint": "0.6"}, {}),
    ],
)  # fmt: skip
def test_what_other_programs_keep_beside_a_file_is_read(assetctl, mine, monkeypatch, suffix, said, expected):
    monkeypatch.setenv("ASSETCTL_OFFLINE", "1")
    beside(mine, suffix, said)
    assert assetctl("enrich").code == 0
    found = asset(assetctl)
    assert found["trigger_words"] == ["calico", "patches"]
    assert {key: found[key] for key in expected} == expected
    if "civitai" in said:
        assert found["origin"]["facts"]["page"] == "https://civitai.com/models/2?modelVersionId=1"


@pytest.mark.parametrize("digest", ["0" * 64, None])
def test_a_sidecar_of_another_file_says_nothing(assetctl, mine, monkeypatch, digest):
    assetctl("inspect", "whiskers", "--hash")
    monkeypatch.setenv("ASSETCTL_OFFLINE", "1")
    own = hashlib.sha256(mine.read_bytes()).hexdigest().upper()
    beside(mine, ".metadata.json", {"sha256": digest or own, "notes": "soft"})
    assert assetctl("enrich").code == 0
    assert asset(assetctl)["notes"] == (None if digest else "soft")
    version = VERSION | {"baseModel": "Pony", "files": [{"hashes": {"SHA256": digest or own}}, {"hashes": 5}, 7]}
    beside(mine, ".civitai.info", version)
    assetctl("enrich", "--again")
    assert asset(assetctl)["base_model"] == (None if digest else "Pony")


@pytest.mark.parametrize(
    ("suffix", "said"),
    [
        (".civitai.info", {"id": 1, "modelId": 2, "baseModel": "Pony", "trainedWords": ["calico", "patches"]}),
        (".cm-info.json", {"BaseModel": "Pony", "TrainedWords": ["calico", "patches"]}),
        (".json", {"activation text": "calico, patches", "preferred weight": 0.7, "notes": "soft"}),
    ],
)
def test_sidecars_are_read_offline(assetctl, mine, monkeypatch, suffix, said):
    monkeypatch.setenv("ASSETCTL_OFFLINE", "1")
    beside(mine, suffix, said)
    assert assetctl("enrich").code == 0
    found = asset(assetctl)
    assert found["trigger_words"] == ["calico", "patches"]
    if suffix == ".json":
        assert (found["default_weight"], found["notes"]) == (0.7, "soft")
    else:
        assert found["base_model"] == "Pony"


@pytest.mark.parametrize(
    "said", ["", "[]", "{", '{"trainedWords": 5, "baseModel": {}}', '{"trainedWords": [1, "\\u0007"]}']
)
def test_a_damaged_sidecar_says_nothing(assetctl, mine, monkeypatch, said):
    monkeypatch.setenv("ASSETCTL_OFFLINE", "1")
    beside(mine, ".civitai.info", said)
    assert assetctl("enrich").code == 0
    assert asset(assetctl)["trigger_words"] == []


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes")
@pytest.mark.parametrize("suffix", [".json", ".civitai.info", ".cm-info.json"])
@pytest.mark.parametrize("kind", ["pipe", "endless", "elsewhere", "loop", "folder"])
def test_a_sidecar_that_is_no_file_of_that_folder_says_nothing(assetctl, mine, monkeypatch, tmp_path, suffix, kind):
    monkeypatch.setenv("ASSETCTL_OFFLINE", "1")
    path = mine.with_name(mine.stem + suffix)
    private = tmp_path / "private.json"
    private.write_text('{"activation text": "secret", "trainedWords": ["secret"], "TrainedWords": ["secret"]}')
    {
        "pipe": lambda: os.mkfifo(path),
        "endless": lambda: path.symlink_to("/dev/zero"),
        "elsewhere": lambda: path.symlink_to(private),
        "loop": lambda: path.symlink_to(path.name),
        "folder": path.mkdir,
    }[kind]()
    write_lora(mine.with_name("other.safetensors"), "sdxl", words="", seed=3)
    assetctl("import", mine.with_name("other.safetensors"))
    beside(mine.with_name("other.safetensors"), ".json", {"activation text": "calico"})
    assert assetctl("enrich").code == 0
    assert asset(assetctl)["trigger_words"] == []
    assert assetctl("inspect", "other", "--json").data["trigger_words"] == ["calico"]


def test_a_sidecar_is_read_where_it_and_its_file_are_links_to_one_folder(assetctl, tmp_path, monkeypatch):
    monkeypatch.setenv("ASSETCTL_OFFLINE", "1")
    real = write_lora(tmp_path / "disk" / "whiskers.safetensors", "sdxl", words="")
    beside(real, ".json", {"activation text": "calico"})
    shown = tmp_path / "shown"
    shown.mkdir()
    for name in ("whiskers.safetensors", "whiskers.json"):
        (shown / name).symlink_to(real.with_name(name))
    assetctl("import", shown)
    assert assetctl("enrich").code == 0
    assert asset(assetctl)["trigger_words"] == ["calico"]


def test_civitai_that_does_not_answer_is_told(assetctl, mine, monkeypatch):
    monkeypatch.setenv("ASSETCTL_CIVITAI_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    beside(mine, ".civitai.info", {"id": 1, "modelId": 2, "baseModel": "Pony"})
    ended = assetctl("enrich", "--json")
    assert (ended.code, ended.error["code"]) == (6, "source_failed")
    assert asset(assetctl)["base_model"] == "Pony"


def test_the_hub_is_asked_of_what_came_from_there(assetctl, hub, civitai, tmp_path):
    content = write_lora(tmp_path / "w.safetensors").read_bytes()
    repository = hub.add("ann/cats", {"whiskers.safetensors": content})
    assetctl("pull", "hf://ann/cats")
    assert assetctl("inspect", "whiskers", "--json").data["origin"]["facts"] is None
    repository.card = {"license": "mit", "base_model": "stable-diffusion-v1-5/stable-diffusion-v1-5"}
    assert assetctl("enrich").code == 0
    details = assetctl("inspect", "whiskers", "--json").data
    assert (details["base_model"], details["origin"]["facts"]["licence"]) == ("SD 1.5", "mit")
    hub.repositories.clear()
    assert assetctl("enrich").code == 0
    assert assetctl("inspect", "whiskers", "--json").data["base_model"] == "SD 1.5"
