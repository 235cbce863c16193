"""Which file of a page on Civitai comes, and what is said where none can, by the whole command line."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest
from material import write_lora
from tables import field, table


@pytest.fixture
def publish(civitai, tmp_path):
    """Publish version 42 of model 7 as a case tells it; the content of each file, by its number."""

    def publish(case):
        files = [{"primary": False, **file} for file in case["files"] or []]
        contents = [write_lora(tmp_path / "made" / f"{file['id']}.safetensors", "sdxl", seed=file["id"]).read_bytes()
                    for file in files]  # fmt: skip
        said = {key: case[key] for key in ("usageControl", "availability", "earlyAccessEndsAt", "requireAuth")
                if key in case}  # fmt: skip
        about = {"type": case.get("type", "Checkpoint"), "mode": case.get("mode"), "name": "Whiskers"}
        civitai.publish(7, 42, files, contents, model_said=about, **said)
        if case["files"] is None:
            del civitai.versions[42]["files"]
        for file in civitai.versions[42].get("files", []) if case.get("note") else []:
            file["hashes"] = {}
        return {file["id"]: content for file, content in zip(files, contents, strict=True)}

    return publish


def _reference(civitai, case):
    asked = case.get("reference", "")
    return [f"civitai:7@42{asked}", *([f"{civitai.url}/api/download/models/42{asked}"] if asked else [])]


def _came(assetctl, contents):
    """Numbers of the files whose bytes are here."""
    found = []
    for asset in assetctl("list", "--json").data:
        content = Path(asset["path"]).read_bytes()
        found += [number for number, each in contents.items() if each == content]
    return found


@pytest.mark.parametrize("case", [*table("references/civitai_files"), *field("civitai_files")])
def test_the_right_file_of_a_page_comes(assetctl, civitai, publish, case):
    if isinstance(case.get("pull"), str):
        pytest.skip("a ZIP, which other tests are about")
    contents = publish(case)
    for reference in _reference(civitai, case):
        ended = assetctl("pull", reference)
        if "error" in case:
            assert ended.code == case.get("code", ended.code) != 0, ended
            assert case["error"] in ended.err or "code" not in case, ended.err
            assert "hint:" in ended.err
            assert civitai.paths("storage") == []
            assert assetctl("list", "--json").data == []
            continue
        assert ended.code == 0, ended.err
        assert _came(assetctl, contents) == [case["pull"]]
        said = case.get("says") or ("by its size alone" if case.get("note") else "")
        assert said in ended.err
        name = assetctl("list", "--json").data[0]["name"]
        assert assetctl("rm", name, "--yes", "--now").code == 0


@pytest.mark.parametrize("case", [each for each in table("references/civitai_files") if "all" in each.values[0]])
def test_all_files_of_a_page_come_where_that_is_asked(assetctl, publish, case):
    contents = publish(case)
    ended = assetctl("pull", "civitai:7@42", "--all", "--json")
    assert ended.code == 0, ended.err
    assert sorted(_came(assetctl, contents)) == sorted(case["all"])
    references = [assetctl("inspect", asset["name"], "--json").data["origin"]["reference"] for asset in ended.data]
    assert sorted(references) == sorted(f"civitai:7@42?fileId={number}" for number in case["all"])


FLUX = table("references/civitai_files")[0].values[0]


def test_a_dry_run_lists_the_files_and_marks_the_one_that_comes(assetctl, civitai, publish):
    publish(FLUX)
    shown = assetctl("pull", "civitai:7@42", "--dry-run")
    assert civitai.paths("storage") == []
    (plan,) = assetctl("pull", "civitai:7@42", "--dry-run", "--json").data
    assert [(each["number"], each["type"], each["precision"], each["chosen"]) for each in plan["choices"]] == [
        (12, "VAE", None, False), (13, "Text Encoder", None, False), (11, "Diffusion Model", "fp8", True),
    ]  # fmt: skip
    assert all(each["size"] for each in plan["choices"])
    assert all(word in shown.out for word in ("12", "VAE", "Text Encoder", "fp8", "flux_dev.safetensors")), shown.out
    assetctl("pull", "civitai:7@42?fileId=11")
    again = assetctl("pull", "civitai:7@42", "--dry-run")
    assert "is here already" in again.out
    assert "t5xxl.safetensors" in again.out
    marked = [line for line in shown.out.splitlines() if line.lstrip().startswith("*")]
    assert ["flux_dev" in line for line in marked] == [True]


@pytest.mark.parametrize("which", ["12", "ae.safetensors", "AE.safetensors", "ae"])
def test_a_file_is_named_by_its_number_or_name(assetctl, publish, which):
    contents = publish(FLUX)
    assert assetctl("pull", "civitai:7@42", "--file", which).code == 0
    assert _came(assetctl, contents) == [12]


@pytest.mark.parametrize("command", [["pull"], ["pull", "--dry-run"]])
def test_a_file_that_is_not_there_is_told_with_those_that_are(assetctl, publish, command):
    publish(FLUX)
    ended = assetctl(*command, "civitai:7@42", "--file", "99")
    assert (ended.code, "ae.safetensors" in ended.err) == (3, True)


@pytest.mark.parametrize("extra", [["--file", "1"], ["--all"]])
def test_a_path_has_no_files_to_choose_from(assetctl, tmp_path, extra):
    path = write_lora(tmp_path / "mine.safetensors")
    ended = assetctl("pull", path, *extra)
    assert ended.code == (2 if "--file" in extra else 0), ended.err


def test_what_else_a_page_has_is_said(assetctl, publish):
    publish(FLUX)
    ended = assetctl("pull", "civitai:7@42")
    assert "flux_dev.safetensors came" in ended.err
    assert "ae.safetensors (VAE)" in ended.err
    assert "--all" in ended.err


def test_a_companion_is_not_taken_for_what_its_page_is_about(assetctl, civitai, tmp_path, publish):
    contents = publish(FLUX)
    assetctl("pull", "civitai:7@42?fileId=13")
    facts = assetctl("inspect", "t5xxl", "--json").data["origin"]["facts"]
    assert facts["kind"] == "text-encoder"
    assert len(contents) == 3


def test_one_host_plays_everybody(assetctl, hub, tmp_path, monkeypatch):
    """The Hub, Civitai and a plain address: each takes what looks like a page of its own."""
    content = write_lora(tmp_path / "a.safetensors").read_bytes()
    hub.add("cats/whiskers", {"a.safetensors": content})
    monkeypatch.setenv("ASSETCTL_CIVITAI_ENDPOINT", hub.url)
    assert assetctl("pull", f"{hub.url}/cats/whiskers", "--dry-run", "--json").data[0]["source"] == "huggingface"
    address = f"{hub.url}/cats/whiskers/resolve/main/a.safetensors"
    assert assetctl("pull", address, "--dry-run", "--json").data[0]["source"] == "huggingface"
    ended = assetctl("pull", f"{hub.url}/models/7", "--dry-run")
    assert "on Civitai" in ended.err
    monkeypatch.setenv("HF_ENDPOINT", "https://hub.invalid")
    assert "on Civitai" not in assetctl("pull", f"{hub.url}/files/cats/a.safetensors", "--dry-run").err


@pytest.mark.parametrize(
    "reference",
    ["{url}/models/7?modelVersionId=42&token=sesame", "{url}/api/download/models/42?fileId=12&token=sesame",
     "sdxl:lora:civitai:7@42?token=sesame", "{url}/model-versions/42?token=sesame", "civitai:7@42+12?token=sesame",
     "lora:civitai:x@42?token=sesame"],
)  # fmt: skip
def test_a_token_in_a_reference_goes_nowhere(assetctl, home, civitai, publish, tmp_path, monkeypatch, reference):
    publish(FLUX)
    monkeypatch.chdir(tmp_path)
    reference = reference.format(url=civitai.url)
    (tmp_path / "registry.toml").write_text(f'[assets.a]\nsource = "{reference}"\n')
    commands = (["pull", reference], ["pull", reference, "--json"], ["pull", reference, "--dry-run"],
                ["pull", reference, "--dry-run", "--json"], ["pull", reference, "--all"], ["list", "--json"],
                ["lock", "--json"], ["sync", "--json"], ["export", "--json"], ["outdated", "--json"],
                 ["pull", reference, "--file", "99"])  # fmt: skip
    for command in commands:
        ended = assetctl(*command)
        assert "sesame" not in ended.out + ended.err, command
    assert b"sesame" not in b"".join(path.read_bytes() for path in home.rglob("*") if path.is_file())
    lock = tmp_path / "registry.lock"
    assert not lock.exists() or "sesame" not in lock.read_text()
    assert all("sesame" not in path for _, path, _ in civitai.requests)


def test_what_was_archived_is_known_where_it_is(assetctl, civitai, publish, tmp_path, monkeypatch):
    case = FLUX | {"files": [FLUX["files"][2]]}
    publish(case)
    monkeypatch.chdir(tmp_path)
    assert assetctl("pull", "civitai:7@42").code == 0
    (tmp_path / "registry.toml").write_text('[assets.wanted]\nsource = "civitai:7@42"\n')
    assert assetctl("lock").code == 0
    sha256 = tomllib.loads((tmp_path / "registry.lock").read_text())["assets"][0]["sha256"]
    del civitai.versions[42]["files"]
    for model in (civitai.models[7], civitai.models[7]["modelVersions"][0]):
        model["mode"] = "Archived"
    for reference in ("civitai:7@42", "civitai:7"):
        ended = assetctl("pull", reference)
        assert (ended.code, "archived by its maker" in ended.err) == (6, True), ended.err
        assert "flux_dev" in ended.err
        assert "registry.lock" in ended.err
        assert sha256 in ended.err
    assert assetctl("rm", "flux_dev", "--yes", "--now").code == 0
    (tmp_path / "registry.lock").unlink()
    ended = assetctl("pull", "civitai:7@42", "--json")
    assert sha256 not in json.dumps(ended.error)


def test_a_gateway_may_stand_for_civitai_behind_a_path(assetctl, civitai, publish, tmp_path, monkeypatch):
    """Civitai's answers name it by the path as well; what lies beside that path is a plain address."""
    contents = publish(FLUX)
    monkeypatch.setenv("ASSETCTL_CIVITAI_ENDPOINT", f"{civitai.url}/gate")
    monkeypatch.chdir(tmp_path)
    for file in civitai.versions[42]["files"]:
        file["downloadUrl"] = file["downloadUrl"].replace(civitai.url, f"{civitai.url}/gate")
    (tmp_path / "registry.toml").write_text(f'[assets.a]\nsource = "{civitai.url}/gate/models/7?modelVersionId=42"\n')
    assert assetctl("lock").code == 0
    assert assetctl("sync", "--locked").code == 0
    assert _came(assetctl, contents) == [11]
    assert "on Civitai" not in assetctl("pull", f"{civitai.url}/models/7").err


def test_who_has_a_token_may_try_what_is_in_early_access(assetctl, civitai, publish, monkeypatch):
    publish(FLUX | {"files": FLUX["files"][2:], "availability": "EarlyAccess"})
    monkeypatch.setenv("CIVITAI_API_TOKEN", civitai.token)
    assert "early access until later" in assetctl("pull", "civitai:7@42").err
    assert len(assetctl("list", "--json").data) == 1


@pytest.mark.parametrize("reference", ["urn:air:flux1:checkpoint:civitai:7+12", "civitai:7?fileId=12"])
def test_a_file_of_an_older_version_is_found_by_its_number(assetctl, civitai, publish, tmp_path, reference):
    contents = publish(FLUX)
    newer = write_lora(tmp_path / "newer.safetensors", "sdxl", seed=99).read_bytes()
    civitai.add(7, 43, ("newer.safetensors", newer))
    assert assetctl("pull", reference).code == 0
    assert _came(assetctl, contents) == [12]
    assert assetctl("inspect", "ae", "--json").data["origin"]["revision"] == "42"


def test_a_version_that_its_model_tells_in_short_is_asked_about(assetctl, civitai, publish):
    publish(FLUX | {"usageControl": "Generation"})
    short = civitai.models[7]["modelVersions"][0]
    for key in ("usageControl", "air", "availability"):
        short.pop(key, None)
    ended = assetctl("pull", "civitai:7")
    assert (ended.code, "does not let it be downloaded" in ended.err) == (6, True), ended.err
    civitai.versions.clear()  # what the model says will do
    assert assetctl("pull", "civitai:7", "--dry-run").code == 0


def test_a_search_offers_nothing_that_cannot_be_had(assetctl, civitai, publish):
    publish(FLUX | {"usageControl": "Generation"})
    assert assetctl("search", "civitai", "whiskers", "--json").data == []


def test_an_air_that_ends_as_a_file_does_is_no_path_of_a_manifest(assetctl, civitai, publish, tmp_path, monkeypatch):
    publish(FLUX | {"files": FLUX["files"][2:]})
    monkeypatch.chdir(tmp_path)
    (tmp_path / "registry.toml").write_text('[assets.a]\nsource = "sd1:checkpoint:civitai:7@42.safetensors"\n')
    assert assetctl("lock").code == 0
    assert assetctl("sync", "--locked").code == 0


def test_a_version_that_is_gone_is_told_to_be_archived_where_its_model_is(assetctl, civitai, publish):
    publish(FLUX)
    civitai.models[7]["mode"] = "Archived"
    civitai.versions.clear()
    ended = assetctl("pull", "civitai:7@42")
    assert (ended.code, "archived by its maker" in ended.err) == (6, True)
    civitai.models[7]["modelVersions"] = []
    ended = assetctl("pull", "civitai:7")
    assert (ended.code, "archived by its maker" in ended.err) == (6, True)
