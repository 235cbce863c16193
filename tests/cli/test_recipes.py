"""Recipes of a manifest, and manifests made of a catalog."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from material import write_lora

from assetctl import Request
from assetctl.manifest import read_manifest
from assetctl.options import OPTIONS

EXAMPLE = Path(__file__).parents[2] / "registry.example.toml"


@pytest.fixture
def project(assetctl, tmp_path, monkeypatch):
    """The demo family under the names of a manifest, in a folder of its own."""
    assetctl("demo", "--pull")
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    Path("registry.toml").write_text(
        """
[assets.demo-checkpoint]
source = "x"
[assets.demo-cat]
source = "x"
[assets.demo-vintage]
source = "x"

[recipes.cat]
checkpoint = "demo-checkpoint"
loras = ["demo-cat:0.5"]
prompt = "a cat"
steps = 9
cfg = 3
sampler = "Euler"
size = "64x128"
seed = 5
"""
    )
    return folder


def planned(assetctl, *arguments):
    data = assetctl("generate", *arguments, "--recipe", "cat", "--dry-run", "--json").data
    return data["plan"], [(use["name"], use["weight"]) for use in data["selection"] if use["role"] == "lora"]


def test_a_recipe_fills_in_what_was_not_named(assetctl, project):
    plan, loras = planned(assetctl)
    picked = {key: plan[key] for key in ("prompt", "steps", "cfg_scale", "sampler", "width", "height", "seeds")}
    assert picked == {
        "prompt": [["a cat", 1.0]], "steps": 9, "cfg_scale": 3.0, "sampler": "Euler", "width": 64, "height": 128,
        "seeds": [5],
    }  # fmt: skip
    assert loras == [("demo-cat", 0.5)]


def test_what_was_named_counts_and_loras_add_up(assetctl, project):
    plan, loras = planned(assetctl, "a dog", "--steps", "4", "--seed", "8", "--lora", "demo-vintage")
    assert (plan["prompt"], plan["steps"], plan["seeds"]) == ([["a dog", 1.0]], 4, [8])
    assert loras == [("demo-cat", 0.5), ("demo-vintage", 1.0)]


def test_check_takes_a_recipe(assetctl, project):
    report = assetctl("check", "--recipe", "cat", "--json").data
    assert (report["ok"], [each["lora"] for each in report["coverage"]]) == (True, ["demo-cat"])


def test_a_recipe_that_is_not_there(assetctl, project):
    ended = assetctl("generate", "--recipe", "dog")
    assert (ended.code, "It has: cat" in ended.err) == (2, True)


def test_no_prompt_anywhere(assetctl, project):
    ended = assetctl("generate", "--dry-run")
    assert (ended.code, "There is no prompt" in ended.err) == (2, True)


def test_an_exported_manifest_makes_another_machine_the_same(assetctl, tmp_path, monkeypatch):
    lora = write_lora(tmp_path / "mine" / "whiskers.safetensors")
    assetctl("import", lora, "--tag", "cats")
    assetctl("edit", "whiskers", "--trigger-word", "purr", "--default-weight", "0.6", "--notes", 'say "purr"')
    manifest = tmp_path / "project" / "registry.toml"
    manifest.parent.mkdir()
    ended = assetctl("export", "whiskers", "--recipe", "purring", "--out", manifest)
    assert (ended.code, "can be fetched from nowhere" in ended.err) == (0, True)
    assert read_manifest(manifest).recipes["purring"] == Request.of(loras=["whiskers"])
    assert assetctl("export", "--out", manifest).code == 2
    monkeypatch.setenv("ASSETCTL_HOME", str(tmp_path / "other"))
    assert assetctl("sync", "--file", manifest).code == 0
    (asset,) = assetctl("list", "--json").data
    found = {key: asset[key] for key in ("name", "tags", "trigger_words", "default_weight", "notes")}
    assert found == {
        "name": "whiskers", "tags": ["cats"], "trigger_words": ["purr"], "default_weight": 0.6, "notes": 'say "purr"',
    }  # fmt: skip


def test_an_exported_asset_of_the_hub_is_pinned(assetctl, hub, tmp_path):
    hub.add("cats/whiskers", {"a.safetensors": write_lora(tmp_path / "a.safetensors").read_bytes()})
    assetctl("pull", "hf://cats/whiskers/a.safetensors")
    text = assetctl("export", "--json").data["manifest"]
    commit = hub.repositories["cats/whiskers"].commit
    assert tomllib.loads(text)["assets"]["a"]["source"] == f"hf://cats/whiskers@{commit}/a.safetensors"


@pytest.fixture
def content(tmp_path):
    return write_lora(tmp_path / "content.safetensors", "sdxl").read_bytes()


def exported(assetctl):
    (asset,) = tomllib.loads(assetctl("export", "--json").data["manifest"])["assets"].values()
    return asset["source"]


@pytest.mark.parametrize("reference", ["cats/r", "hf://cats/r@main", "{url}/cats/r/blob/main/a b.safetensors"])
def test_an_exported_asset_of_a_repository_names_its_commit_and_file(assetctl, hub, content, tmp_path, reference):
    hub.add("cats/r", {"a b.safetensors": content})
    assetctl("pull", reference.format(url=hub.url))
    source = exported(assetctl)
    assert source == f"hf://cats/r@{hub.repositories['cats/r'].commit}/a b.safetensors"
    (tmp_path / "registry.toml").write_text(assetctl("export").out)
    hub.repositories["cats/r"].files["another.safetensors"] = b"more"  # by its name alone it could not be told any more
    hub.repositories["cats/r"].revisions = (source.partition("@")[2].partition("/")[0],)
    assert assetctl("lock", "--file", tmp_path / "registry.toml").code == 0


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("civitai:7", "civitai:7@42"),
        ("civitai:7?fp=fp16", "civitai:7@42?fp=fp16"),
        ("urn:air:sdxl:lora:civitai:7@42", "civitai:7@42"),
        ("{url}/models/7/whiskers", "civitai:7@42"),
        ("{url}/api/download/models/42?type=Model&token=hidden", "civitai:7@42?type=Model"),
    ],
)
def test_an_exported_asset_of_civitai_names_its_version(assetctl, civitai, content, tmp_path, reference, expected):
    civitai.add(7, 42, ("whiskers.safetensors", content))
    assetctl("pull", reference.format(url=civitai.url))
    assert "hidden" not in assetctl("inspect", "whiskers", "--json").out
    assert exported(assetctl) == expected
    (tmp_path / "registry.toml").write_text(assetctl("export").out)
    civitai.add(7, 50, ("whiskers-2.safetensors", b"newer"))
    assert assetctl("lock", "--file", tmp_path / "registry.toml").code == 0


def test_what_was_taken_away_stays_away_on_another_machine(assetctl, civitai, content, tmp_path, monkeypatch):
    civitai.add(7, 42, ("whiskers.safetensors", content), baseModel="Pony")
    assetctl("pull", "civitai:7")
    assetctl("edit", "whiskers", "--trigger-word", "", "--base-model", "")
    manifest = tmp_path / "registry.toml"
    assetctl("export", "--out", manifest)
    monkeypatch.setenv("ASSETCTL_HOME", str(tmp_path / "other"))
    assert assetctl("sync", "--file", manifest).code == 0
    (asset,) = assetctl("list", "--json").data
    assert (asset["base_model"], asset["trigger_words"]) == (None, [])
    assert assetctl("sync", "--file", manifest, "--check").code == 0


@pytest.mark.parametrize("name", ["bad/name", "a:b", " blank", ""])
def test_a_recipe_that_could_not_be_read_is_not_written(assetctl, tmp_path, name):
    assetctl("import", write_lora(tmp_path / "whiskers.safetensors"))
    out = tmp_path / "registry.toml"
    ended = assetctl("export", "whiskers", "--recipe", name, "--out", out)
    assert (ended.code, "recipe" in ended.err, out.exists()) == (2, True, False)


def test_a_manifest_is_data_and_printed_quietly_too(assetctl, tmp_path):
    assetctl("import", write_lora(tmp_path / "whiskers.safetensors"))
    ended = assetctl("export", "--quiet", "whiskers")
    assert ended.out == assetctl("export", "whiskers").out
    assert "whiskers" in tomllib.loads(ended.out)["assets"]


def test_the_example_is_complete_and_valid():
    manifest = read_manifest(EXAMPLE)
    assert len(manifest.assets) == 5
    recipe = manifest.recipes["portrait"]
    roles = {use.role for use in recipe.uses}
    assert (roles, recipe.prompt is None, recipe.negative_prompt is None) == (
        {"checkpoint", "lora", "embedding"},
        False,
        False,
    )
    # others say what a picture of another program was made with
    assert recipe.settings.keys() >= {option.name for option in OPTIONS if not option.sampled}
