"""Nothing is lost and nothing is mistaken: files that change, move, vanish, overlap or are moved into the store."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
from material import write_embedding, write_lora, write_safetensors


@pytest.fixture
def lora(tmp_path):
    return write_lora(tmp_path / "files" / "whiskers.safetensors")


@pytest.fixture
def pipeline(tmp_path):
    """A diffusers folder, with a person's own notes in it."""
    folder = tmp_path / "pipeline"
    index = {"_class_name": "StableDiffusionPipeline", "unet": ["diffusers", "UNet2DConditionModel"]}
    config = {"_class_name": "UNet2DConditionModel", "cross_attention_dim": 768, "in_channels": 4}
    write_safetensors(folder / "unet" / "diffusion_pytorch_model.safetensors", {"conv_in.weight": (4, 4, 3, 3)})
    write_safetensors(folder / "vae" / "diffusion_pytorch_model.safetensors", {"a": (4, 4)})
    (folder / "model_index.json").write_text(json.dumps(index))
    (folder / "unet" / "config.json").write_text(json.dumps(config))
    (folder / "notes.md").write_text("mine")
    return folder


def alter(path: Path) -> None:
    """Other bytes of the same size, at another time."""
    path.write_bytes(path.read_bytes()[:-1] + b"\x07")
    os.utime(path, (1, 1))


def test_moving_a_folder_into_the_store_leaves_what_is_not_taken(assetctl, home, pipeline):
    assert assetctl("import", "--move", pipeline).code == 0
    assert [path.name for path in pipeline.rglob("*")] == ["notes.md"]
    assert (home / "models" / "diffusers" / "pipeline" / "unet" / "config.json").is_file()


def test_a_damaged_file_in_the_store_is_replaced_by_a_good_one(assetctl, home, lora):
    assetctl("pull", lora)
    alter(home / "models" / "loras" / "whiskers.safetensors")
    assert assetctl("verify").code == 5
    assert assetctl("import", "--move", lora).code == 0
    assert assetctl("verify").code == 0
    assert len(list((home / "models" / "loras").iterdir())) == 1


def test_inspect_does_not_bless_changed_bytes(assetctl, lora):
    assetctl("import", lora)
    alter(lora)
    ended = assetctl("inspect", "whiskers")
    assert "holds other bytes" in ended.err
    assert assetctl("verify").code == 5


def test_a_copy_is_no_copy_once_its_asset_changes(assetctl, lora):
    twin = Path(shutil.copy(lora, lora.with_name("twin.safetensors")))
    assetctl("import", lora.parent)
    write_lora(lora, seed=5)
    assetctl("import", lora.parent)
    assert len(assetctl("list", "--json").data) == 2
    assert assetctl("rm", lora, "--delete-files", "--yes").code == 0
    assert list(lora.parent.iterdir()) == [twin]
    assert assetctl("verify").code == 0


def test_a_pull_never_puts_its_bytes_under_another_asset(assetctl, home, tmp_path, lora):
    assetctl("pull", lora)
    (home / "models" / "loras" / "whiskers.safetensors").unlink()
    other = write_lora(tmp_path / "other" / "whiskers.safetensors", "sdxl", seed=3)
    (asset,) = assetctl("pull", other, "--json").data
    assert (asset["name"], asset["family"]) == ("whiskers-2", "sdxl")
    states = {item["name"]: item["status"] for item in assetctl("verify", "--json").data}
    assert states == {"whiskers": "missing", "whiskers-2": "ok"}


def test_a_part_of_a_folder_is_no_asset_of_its_own_as_well(assetctl, pipeline):
    part = pipeline / "unet" / "diffusion_pytorch_model.safetensors"
    assetctl("import", pipeline)
    alter(part)
    ended = assetctl("import", part, "--json")
    assert (ended.code, ended.error["code"]) == (2, "usage")
    assert len(assetctl("list", "--json").data) == 1


def test_a_file_that_left_a_folder_is_noticed(assetctl, pipeline):
    assetctl("import", pipeline)
    shutil.rmtree(pipeline / "vae")
    assert assetctl("verify").code == 5
    assert "holds other bytes" in assetctl("import", pipeline).err
    assert assetctl("verify").code == 0


def test_pulling_the_same_bytes_by_different_names_at_once_makes_one_asset(home, tmp_path):
    copies = [write_lora(tmp_path / str(number) / f"copy-{number}.safetensors", rank=64) for number in range(4)]
    environment = {**os.environ, "ASSETCTL_HOME": str(home)}
    command = [sys.executable, "-m", "assetctl", "pull", "--quiet"]
    pulls = [subprocess.Popen([*command, copy], env=environment, stdout=subprocess.PIPE, text=True) for copy in copies]
    names = {pull.communicate(timeout=60)[0] for pull in pulls}
    assert len(names) == 1
    assert len(list((home / "models" / "loras").iterdir())) == 1


def test_two_embeddings_with_one_token_do_not_fit_together(assetctl, tmp_path):
    for seed in (1, 2):
        write_embedding(tmp_path / "emb" / f"{seed}.safetensors", seed=seed)
    assetctl("import", tmp_path / "emb")
    for name in ("1", "2"):
        assetctl("edit", name, "--trigger-word", "same")
    ended = assetctl("check", "1", "2", "--json")
    assert ended.code == 4
    assert "shared_token" in [finding["rule"] for finding in ended.data["findings"]]


def test_one_unreadable_name_does_not_stop_a_folder(assetctl, lora):
    bad = os.fsencode(lora.parent) + b"/caf\xe9.safetensors"
    try:
        Path(os.fsdecode(bad)).write_bytes(lora.read_bytes())
    except OSError:
        pytest.skip("this file system wants UTF-8")
    ended = assetctl("import", lora.parent)
    assert ended.code == 0
    assert "no valid text" in ended.err
    assert len(assetctl("list", "--json").data) == 1
    assert assetctl("identify", os.fsdecode(bad), "--json").code == 2


def test_a_read_only_home_can_be_read(assetctl, home, lora):
    assetctl("import", lora)
    deny = "import os, sys; os.access = lambda *_: False; from assetctl.cli.main import run;"
    code = f"{deny} sys.exit(run(['list', '--quiet']))"
    environment = {**os.environ, "ASSETCTL_HOME": str(home)}
    ended = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (0, "whiskers\n"), ended.stderr


@pytest.mark.parametrize("tags", [("cats", "Cats"), ("cats", "cats")])
def test_a_tag_given_twice_is_one_tag(assetctl, lora, tags):
    words = [word for tag in tags for word in ("--tag", tag)]
    (asset,) = assetctl("pull", lora, *words, "--json").data
    assert asset["tags"] == ["cats"]
    (asset,) = assetctl("pull", lora, "--tag", "more", "--json").data
    assert asset["tags"] == ["cats", "more"]


@pytest.mark.parametrize("arguments", [("~nosuchuser/x",), ("a\0b",)])
def test_a_path_that_can_not_be_written_is_wrong_usage(assetctl, arguments):
    for command in ("import", "identify"):
        ended = assetctl(command, *arguments, "--json")
        assert ended.code == 2


def test_a_name_is_found_however_its_accents_are_written(assetctl, tmp_path):
    composed, other = "Fée", "Été"
    assetctl("import", write_lora(tmp_path / f"{composed}.safetensors"))
    apart = unicodedata.normalize("NFD", composed)
    assert apart != composed
    for command in (("inspect", apart), ("check", f"{apart}:0.5"), ("edit", apart, "--tag", "x")):
        assert assetctl(*command).code == 0, command
    assert assetctl("edit", composed, "--name", unicodedata.normalize("NFD", other)).code == 0
    assert assetctl("list", "--quiet").out == f"{other}\n"
    assert assetctl("rm", unicodedata.normalize("NFD", other), "--yes").code == 0
