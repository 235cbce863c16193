"""Pulling from a Civitai that runs on the loopback, by the whole command line."""

from __future__ import annotations

import pytest
from material import write_lora


@pytest.fixture
def content(tmp_path):
    return write_lora(tmp_path / "source.safetensors", "sdxl").read_bytes()


@pytest.fixture
def version(civitai, content):
    allowed = {"allowCommercialUse": ["RentCivit"], "allowNoCredit": False, "creator": {"username": "ann"}}
    return civitai.add(
        7, 42, ("whiskers.safetensors", content), baseModel="Pony", trainedWords=["calico,", "patches"],
        model_said=allowed,
    )  # fmt: skip


@pytest.mark.parametrize(
    "form",
    [
        "civitai:7",
        "civitai:7@42",
        "urn:air:sdxl:lora:civitai:7@42",
        "{url}/models/7/whiskers?modelVersionId=42",
        "{url}/models/7",
        "{url}/api/download/models/42?type=Model",
        "civitai:by-hash/{sha256}",
    ],
)
def test_every_form_of_reference_brings_the_file(assetctl, home, civitai, version, content, form):
    reference = form.format(url=civitai.url, sha256=version["files"][0]["hashes"]["SHA256"][:10])
    (asset,) = assetctl("pull", reference, "--json").data
    assert (asset["name"], asset["kind"], asset["family"]) == ("whiskers", "lora", "sdxl")
    assert (home / "models/loras/whiskers.safetensors").read_bytes() == content


def test_what_its_page_says_is_kept(assetctl, civitai, version):
    (asset,) = assetctl("pull", "civitai:7@42", "--json").data
    assert (asset["base_model"], asset["trigger_words"]) == ("Pony", ["calico", "patches"])
    origin = assetctl("inspect", "whiskers", "--json").data["origin"]
    assert (origin["source"], origin["revision"]) == ("civitai", "42")
    facts = origin["facts"]
    assert (facts["commercial"], facts["creator"], facts["air"]) == (False, "ann", "urn:air:sdxl:lora:civitai:7@42")
    assert facts["page"] == f"{civitai.url}/models/7?modelVersionId=42"
    civitai.models.clear()
    civitai.versions.clear()
    assetctl("identify", "--again", "whiskers")
    (after,) = assetctl("list", "--json").data
    assert (after["base_model"], after["trigger_words"]) == ("Pony", ["calico", "patches"])


def test_a_file_that_is_here_already_learns_what_its_page_says(assetctl, civitai, version, content, tmp_path):
    (tmp_path / "mine.safetensors").write_bytes(content)
    assetctl("import", tmp_path / "mine.safetensors")
    assetctl("edit", "mine", "--trigger-word", "my word")
    ended = assetctl("pull", "civitai:7@42")
    assert "already here" in ended.err
    assert civitai.paths("storage") == []
    (asset,) = assetctl("list", "--json").data
    assert (asset["base_model"], asset["trigger_words"]) == ("Pony", ["my word"])


def test_what_its_owner_allows_counts_for_commercial_use(assetctl, civitai, version, content):
    assetctl("pull", "civitai:7@42")
    ended = assetctl("check", "whiskers", "--commercial")
    assert (ended.code, "may not be used commercially" in ended.out + ended.err) == (4, True)
    assert assetctl("check", "whiskers").code == 0
    civitai.models[7]["allowCommercialUse"] = ["Image", "Sell"]
    assetctl("rm", "whiskers", "--yes")
    assetctl("pull", "civitai:7@42")
    findings = assetctl("check", "whiskers", "--commercial", "--json").data["findings"]
    assert "licence" not in [finding["rule"] for finding in findings]


def test_tensors_are_not_overruled_by_a_page(assetctl, civitai, content):
    civitai.add(8, 43, ("whiskers.safetensors", content), baseModel="SD 1.5")
    (asset,) = assetctl("pull", "civitai:8", "--json").data
    assert (asset["family"], asset["base_model"]) == ("sdxl", None)
    shown = assetctl("inspect", "whiskers", "--json").data["identification"]["evidence"]
    assert [each["detail"] for each in shown if each["source"] == "civitai"] == [
        "its page says so, which the tensors contradict"
    ]


def test_the_token_goes_to_civitai_alone(assetctl, civitai, version, monkeypatch):
    monkeypatch.setenv("CIVITAI_API_TOKEN", civitai.token)
    civitai.private.add(42)
    assert assetctl("pull", "civitai:7").code == 0
    tokens = {server: {token for name, _, token in civitai.requests if name == server} for server in ("api", "storage")}
    assert tokens == {"api": {f"Bearer {civitai.token}"}, "storage": {None}}


def test_a_token_that_is_refused_is_told_from_none(assetctl, civitai, version, monkeypatch):
    civitai.private.add(42)
    assert "was sent" not in assetctl("pull", "civitai:7").err
    monkeypatch.setenv("CIVITAI_API_TOKEN", "wrongword")
    ended = assetctl("pull", "civitai:7")
    assert (ended.code, "token of CIVITAI_API_TOKEN was sent, and Civitai refused it" in ended.err) == (6, True)
    civitai.private.clear()
    civitai.early.add(42)
    refused = assetctl("pull", "civitai:7")
    assert (refused.code, "token of CIVITAI_API_TOKEN was sent, and refused (status 403)" in refused.err) == (6, True)
    assert "wrongword" not in ended.err + refused.err


@pytest.mark.parametrize(
    ("misbehave", "code", "word"),
    [
        (lambda civitai: civitai.private.add(42), 6, "CIVITAI_API_TOKEN"),
        (lambda civitai: civitai.early.add(42), 6, "early access"),
        (lambda civitai: setattr(civitai, "instead", (b"<!DOCTYPE html><html>", "text/plain")), 5, "web page"),
        (lambda civitai: setattr(civitai, "instead", (b"\0" * 100, "text/plain")), 5, "promised"),
        (lambda civitai: civitai.versions.clear(), 6, "no version 42"),
        (lambda civitai: civitai.versions[42]["files"][0].update(virusScanResult="Danger"), 5, "dangerous"),
        (lambda civitai: civitai.versions[42].update(files=[]), 3, "no such file"),
        (lambda civitai: civitai.versions[42].update(files="x", id="y"), 6, "does not answer"),
    ],
    ids=["login page", "early access", "page for a model", "other bytes", "gone", "virus", "no file", "nonsense"],
)
def test_faults_are_told_and_leave_nothing(assetctl, home, civitai, version, misbehave, code, word):
    misbehave(civitai)
    ended = assetctl("pull", "civitai:7@42")
    assert (ended.code, word in ended.err) == (code, True), ended.err
    assert "Traceback" not in ended.err
    assert assetctl("list", "--json").data == []
    assert not list((home / "models").rglob("*.safetensors"))


@pytest.mark.parametrize(
    "name", ["../../evil.safetensors", "/etc/evil.safetensors", "CON.safetensors", "a\x00b", "x" * 4000]
)
def test_a_hostile_name_becomes_a_harmless_one(assetctl, home, civitai, content, name):
    civitai.add(9, 50, (name, content))
    (asset,) = assetctl("pull", "civitai:9", "--json").data
    assert asset["path"].startswith(str(home / "models" / "loras"))
    assert not list(home.parent.glob("evil*"))


def test_the_safest_file_is_taken_unless_another_is_asked_for(assetctl, civitai, content):
    made = civitai.add(
        9, 50, ("model.ckpt", b"a pickle"), ("small.safetensors", content), ("large.safetensors", content)
    )
    made["files"][2]["metadata"]["fp"] = "fp32"
    assert assetctl("pull", "civitai:9", "--json").data[0]["name"] == "small"
    assert assetctl("rm", "small", "--yes").code == 0
    assert assetctl("pull", "civitai:9?fp=fp32", "--json").data[0]["name"] == "large"
    asked = assetctl("pull", "civitai:9?fp=nf4")
    assert (asked.code, "fp=fp32" in asked.err) == (3, True)


def test_offline_says_so(assetctl, civitai, version, monkeypatch):
    monkeypatch.setenv("ASSETCTL_OFFLINE", "1")
    ended = assetctl("pull", "civitai:7", "--json")
    assert (ended.code, ended.error["code"]) == (6, "offline")
    assert civitai.requests == []


def test_bytes_in_the_hubs_cache_are_not_fetched(assetctl, home, hub, civitai, version, content, tmp_path):
    blob = tmp_path / "hf-cache/models--ann--cats/blobs" / version["files"][0]["hashes"]["SHA256"].lower()
    blob.parent.mkdir(parents=True)
    blob.write_bytes(content)
    assert assetctl("pull", "civitai:7").code == 0
    assert civitai.paths("storage") == []
    assert (home / "models/loras/whiskers.safetensors").samefile(blob)
