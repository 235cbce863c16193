"""Pulling from a Hub that runs on the loopback, by the whole command line."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from material import write_lora, write_safetensors
from patience import fair
from servers.hub import Repository

REPO = "cats/whiskers"


@pytest.fixture
def content(tmp_path):
    return write_lora(tmp_path / "source.safetensors", rank=64).read_bytes()


@pytest.fixture
def repository(hub, content):
    hub.repositories[REPO] = Repository({"whiskers.safetensors": content, "README.md": b"# Whiskers"})
    return hub.repositories[REPO]


def test_one_file_is_pulled_verified_and_kept_once(assetctl, home, hub, repository, content, tmp_path):
    (asset,) = assetctl("pull", f"hf://{REPO}/whiskers.safetensors", "--json").data
    assert (asset["name"], asset["kind"], asset["source"]) == ("whiskers", "lora", f"hf://{REPO}/whiskers.safetensors")
    assert (home / "models" / "loras" / "whiskers.safetensors").read_bytes() == content
    details = assetctl("inspect", "whiskers", "--json").data
    assert details["origin"]["revision"] == repository.commit
    everywhere = [path for folder in (home, tmp_path / "hf-home", tmp_path / "hf-cache") for path in folder.rglob("*")]
    large = [path for path in everywhere if path.is_file() and path.stat().st_size >= len(content)]
    assert [path.name for path in large if path.suffix != ".reserve"] == ["whiskers.safetensors"]


def test_pulling_again_fetches_nothing(assetctl, hub, repository):
    assetctl("pull", REPO)
    before = len(hub.downloads("whiskers.safetensors"))
    again = assetctl("pull", f"hf://{REPO}@{repository.commit}/whiskers.safetensors")
    assert "already here" in again.err
    assert len(hub.downloads("whiskers.safetensors")) == before


def test_a_diffusers_repository_is_one_asset(assetctl, home, hub):
    weights = write_safetensors(home.parent / "w.safetensors", {"conv_in.weight": (4, 4, 3, 3)}).read_bytes()
    unet = b'{"_class_name": "UNet2DConditionModel", "cross_attention_dim": 768, "in_channels": 4}'
    index = b'{"_class_name": "StableDiffusionPipeline", "unet": ["diffusers", "UNet2DConditionModel"]}'
    files = {
        "model_index.json": index,
        "unet/config.json": unet,
        "unet/diffusion_pytorch_model.safetensors": weights,
        "unet/diffusion_pytorch_model.bin": b"a pickle",
    }
    hub.repositories["cats/pipeline"] = Repository(files)
    (asset,) = assetctl("pull", "cats/pipeline", "--json").data
    assert (asset["kind"], asset["family"], asset["format"]) == ("checkpoint", "sd1", "diffusers")
    folder = home / "models" / "diffusers" / "pipeline"
    assert asset["path"] == str(folder)
    assert sorted(path.name for path in folder.rglob("*") if path.is_file()) == [
        "config.json", "diffusion_pytorch_model.safetensors", "model_index.json",
    ]  # fmt: skip
    assert assetctl("verify").code == 0


def test_of_twins_the_plain_one_comes_and_a_variant_that_is_asked_for(assetctl, hub, tmp_path, monkeypatch):
    files = {name: write_lora(tmp_path / name, seed=at).read_bytes()
             for at, name in enumerate(("ink.safetensors", "ink.fp16.safetensors"))}  # fmt: skip
    hub.add(REPO, {**files, "optimizer.pt": b"a pickle", "big-00001-of-00002.safetensors": b"a piece"})
    ended = assetctl("pull", REPO)
    assert "ink.safetensors came; there are ink.fp16.safetensors besides" in ended.err
    monkeypatch.chdir(tmp_path)
    (tmp_path / "registry.toml").write_text(f'[assets.small]\nsource = "hf://{REPO}?variant=fp16"\n')
    assert assetctl("lock").code == 0
    assert assetctl("sync", "--locked").code == 0
    assets = {asset["name"]: asset for asset in assetctl("list", "--json").data}
    came = {name: Path(asset["path"]).read_bytes() for name, asset in assets.items()}
    assert came == {"ink": files["ink.safetensors"], "small": files["ink.fp16.safetensors"]}
    assert len(assetctl("pull", REPO, "--all", "--json").data) == 2
    assert "of the variant bf16" in assetctl("pull", f"{REPO}?variant=bf16").err


def test_a_killed_pull_goes_on_where_it_stopped(assetctl, home, hub, repository, content):
    hub.throttle = len(content) // 3
    command = [sys.executable, "-m", "assetctl", "pull", f"hf://{REPO}/whiskers.safetensors"]
    environment = {**os.environ, "ASSETCTL_HOME": str(home)}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + fair(30)
    while time.monotonic() < deadline and not arrived(home, len(content) // 10):
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert assetctl("list", "--json").data == []
    hub.throttle = None
    assert assetctl("pull", f"hf://{REPO}/whiskers.safetensors").code == 0
    assert (home / "models" / "loras" / "whiskers.safetensors").read_bytes() == content
    ranges = [request.range for request in hub.downloads("whiskers.safetensors") if request.range]
    assert len(ranges) == 1
    assert not ranges[0].startswith("bytes=0-")


def arrived(home, size: int) -> bool:
    return any(path.is_file() and path.stat().st_size > size for path in home.glob("models/.staging/*/partial/**/*"))


def test_wrong_bytes_are_refused_and_nothing_stays(assetctl, home, hub, repository):
    hub.wrong.add("whiskers.safetensors")
    ended = assetctl("pull", REPO, "--json")
    assert (ended.code, ended.error["code"]) == (5, "hash_mismatch")
    assert assetctl("list", "--json").data == []
    assert list(home.glob("models/*/*.safetensors")) == []
    hub.wrong.clear()
    assert assetctl("pull", REPO).code == 0


@pytest.mark.parametrize(
    ("reference", "code"),
    [("hf://cats/nobody", "source_not_found"), (f"hf://{REPO}/nothing.safetensors", "source_not_found"),
     (f"hf://{REPO}@no-such-branch/whiskers.safetensors", "source_not_found")],
)  # fmt: skip
@pytest.mark.usefixtures("repository")
def test_what_the_hub_does_not_have(assetctl, hub, monkeypatch, reference, code):
    monkeypatch.setenv("HF_TOKEN", hub.token)
    ended = assetctl("pull", reference, "--json")
    assert (ended.code, ended.error["code"]) == (6, code)


def test_a_gated_repository_says_what_to_do(assetctl, hub, repository):
    repository.gated = True
    ended = assetctl("pull", REPO, "--json")
    assert (ended.code, ended.error["code"]) == (6, "unauthorized")
    assert "HF_TOKEN" in ended.error["hint"]


def test_a_token_that_is_refused_is_told_from_none(assetctl, hub, repository, monkeypatch):
    repository.gated = True
    planned = assetctl("pull", REPO, "--dry-run")
    assert (planned.code, "is gated" in planned.err) == (0, True)
    assert "was sent" not in assetctl("pull", REPO).err
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    for private in (False, True):
        repository.private = private
        ended = assetctl("pull", REPO)
        assert (ended.code, "the token of HF_TOKEN was sent and refused" in ended.err) == (6, True), ended.err
        assert "hf_wrong" not in ended.err
    monkeypatch.setenv("HF_TOKEN", hub.token)
    assert "gated" not in assetctl("pull", REPO).err


def test_no_network(assetctl, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    ended = assetctl("pull", "hf://cats/whiskers", "--json")
    assert ended.code == 6
    monkeypatch.setenv("ASSETCTL_OFFLINE", "1")
    ended = assetctl("pull", "hf://cats/whiskers", "--json")
    assert (ended.code, ended.error["code"]) == (6, "offline")


def test_four_at_once_fetch_the_bytes_once(home, hub, repository, content):
    hub.throttle = len(content)
    command = [sys.executable, "-m", "assetctl", "pull", f"hf://{REPO}/whiskers.safetensors", "--quiet"]
    environment = {**os.environ, "ASSETCTL_HOME": str(home)}
    pulls = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    assert [pull.communicate(timeout=fair(60))[0] for pull in pulls] == ["whiskers\n"] * 4
    assert len(list((home / "models" / "loras").glob("*.safetensors"))) == 1
    assert sum(request.sent for request in hub.downloads("whiskers.safetensors")) == len(content)


def test_what_its_card_says_is_kept(assetctl, hub, content):
    card = {
        "license": "other", "license_name": "cc-by-nc-4.0", "instance_prompt": "calico cat",
        "base_model": "stable-diffusion-v1-5/stable-diffusion-v1-5",
    }  # fmt: skip
    hub.add(REPO, {"whiskers.safetensors": content}, card=card, tags=("lora", "text-to-image"))
    (asset,) = assetctl("pull", REPO, "--json").data
    assert (asset["base_model"], asset["trigger_words"]) == ("SD 1.5", ["calico cat"])
    facts = assetctl("inspect", "whiskers", "--json").data["origin"]["facts"]
    assert (facts["source"], facts["licence"], facts["commercial"]) == ("huggingface", "cc-by-nc-4.0", False)
    assert facts["creator"] == "cats"


@pytest.mark.parametrize("card", [{"license": ["x"], "base_model": {"a": 1}, "instance_prompt": 5}, {"base_model": []}])
def test_a_card_of_nonsense_says_nothing(assetctl, hub, content, card):
    hub.add(REPO, {"whiskers.safetensors": content}, card=card)
    assert assetctl("pull", REPO).code == 0
    assert assetctl("inspect", "whiskers", "--json").data["origin"]["facts"] is None


def test_a_variant_is_another_asset_than_the_plain_weights(assetctl, home, hub):
    plain = write_safetensors(home.parent / "p.safetensors", {"conv_in.weight": (4, 4, 3, 3)}).read_bytes()
    half = write_safetensors(home.parent / "h.safetensors", {"conv_in.weight": (4, 4, 3, 3)}, seed=1).read_bytes()
    files = {
        "model_index.json": b'{"unet": ["diffusers", "UNet2DConditionModel"]}',
        "unet/config.json": b'{"_class_name": "UNet2DConditionModel", "cross_attention_dim": 768, "in_channels": 4}',
        "unet/diffusion_pytorch_model.safetensors": plain,
        "unet/diffusion_pytorch_model.fp16.safetensors": half,
    }
    hub.add("cats/pipeline", files)
    assert assetctl("pull", "cats/pipeline").code == 0
    (asset,) = assetctl("pull", "cats/pipeline?variant=fp16", "--json").data
    assert asset["name"] == "pipeline-fp16"
    folder = home / "models/diffusers/pipeline-fp16/unet"
    assert (folder / "diffusion_pytorch_model.fp16.safetensors").read_bytes() == half
    assert len(assetctl("list", "--json").data) == 2
    assert "already here" in assetctl("pull", "hf://cats/pipeline?variant=fp16").err
    refused = assetctl("pull", "cats/pipeline?variant=fp8")
    assert (refused.code, "variant fp8" in refused.err) == (5, True)
    assert assetctl("pull", "hf://cats/pipeline/unet/config.json?variant=fp16").code == 2


def test_what_is_refused_is_called_as_it_was_asked_for(assetctl, hub):
    hub.add("cats/broken", {"b.safetensors": b"\x08\0\0\0\0\0\0\0not json"})
    ended = assetctl("pull", "hf://cats/broken/b.safetensors", "--json")
    assert ended.code == 5
    assert ended.error["message"].startswith("hf://cats/broken/b.safetensors is not a valid safetensors file")
    assert ".staging" not in ended.error["message"] + str(ended.error["hint"])


@pytest.fixture
def several(hub, tmp_path):
    """A repository with files of which none stands out, and one with a file that does, and others in folders."""
    made = {
        name: write_lora(tmp_path / "made" / f"{at}.safetensors", seed=at).read_bytes()
        for at, name in enumerate(("one.safetensors", "two.safetensors", "extra/three.safetensors"))
    }
    hub.add(REPO, {name: made[name] for name in ("one.safetensors", "two.safetensors")})
    hub.add(
        "cats/mixed", {"top.safetensors": made["one.safetensors"], "extra/three.safetensors": made["two.safetensors"]}
    )
    return made


@pytest.mark.parametrize("which", ["two.safetensors", "two", "TWO"])
def test_a_file_of_several_is_named_by_its_name(assetctl, several, which):
    assert assetctl("pull", REPO).code == 3
    (asset,) = assetctl("pull", REPO, "--file", which, "--json").data
    assert asset["source"] == f"hf://{REPO}/two.safetensors"
    gone = assetctl("pull", REPO, "--file", "three")
    assert (gone.code, "one.safetensors" in gone.err) == (3, True)


def test_all_files_of_a_repository_come_where_that_is_asked(assetctl, several):
    assert sorted(asset["name"] for asset in assetctl("pull", REPO, "--all", "--json").data) == ["one", "two"]
    names = [asset["name"] for asset in assetctl("pull", "cats/mixed", "--all", "--json").data]
    assert len(names) == 2  # the bytes are here, under the names that they have


def test_which_file_was_chosen_is_said_and_what_else_there_is(assetctl, hub, several):
    ended = assetctl("pull", "cats/mixed")
    assert "top.safetensors came; there are extra/three.safetensors besides" in ended.err
    (plan,) = assetctl("pull", "cats/mixed", "--dry-run", "--json").data
    assert [(each["name"], each["chosen"]) for each in plan["choices"]] == [
        ("extra/three.safetensors", False),
        ("top.safetensors", True),
    ]
    shown = assetctl("pull", "cats/mixed/extra/three.safetensors", "--dry-run")
    assert "besides" not in shown.err


def test_precisions_of_a_folder_are_told_and_chosen(assetctl, hub, tmp_path):
    weights = {
        name: write_safetensors(tmp_path / "made" / f"{at}.safetensors", {"a": (4, 4)}, seed=at).read_bytes()
        for at, name in enumerate(("unet/diffusion_pytorch_model.safetensors",
                                   "unet/diffusion_pytorch_model.fp16.safetensors", "single.safetensors"))
    }  # fmt: skip
    index = b'{"_class_name": "P", "unet": ["diffusers", "UNet2DConditionModel"]}'
    hub.add("cats/folder", {"model_index.json": index, "unet/config.json": b"{}", **weights})
    (plan,) = assetctl("pull", "cats/folder", "--dry-run", "--json").data
    assert [(each["name"], each["chosen"], each["reference"]) for each in plan["choices"]] == [
        ("diffusers", True, "hf://cats/folder"),
        ("fp16", False, "hf://cats/folder?variant=fp16"),
        ("single.safetensors", False, "hf://cats/folder/single.safetensors"),
    ]
    (half,) = assetctl("pull", "cats/folder", "--dry-run", "--file", "fp16", "--json").data
    assert half["reference"] == "hf://cats/folder?variant=fp16"
    assert [each["name"] for each in half["choices"] if each["chosen"]] == ["fp16"]
    everything = assetctl("pull", "cats/folder", "--dry-run", "--all", "--json").data
    assert len(everything) == 3
    del hub.repositories["cats/folder"].files["unet/diffusion_pytorch_model.safetensors"]
    (alone,) = assetctl("pull", "cats/folder", "--dry-run", "--json").data
    assert [each["name"] for each in alone["choices"]] == ["diffusers", "single.safetensors"]
