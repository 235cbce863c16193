"""Nothing is lost and nothing is mistaken: files that change, move, vanish, overlap or are moved into the store."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from disks import give_up_rights
from material import write_embedding, write_lora, write_safetensors
from patience import fair

from assetctl import Registry, Run
from assetctl.errors import UsageError
from assetctl.run import Bytes


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
    ended = assetctl("import", "--move", pipeline)
    assert (ended.code, f"{pipeline} stays: it holds files that are not part of pipeline" in ended.err) == (0, True)
    left = {path.relative_to(pipeline).as_posix() for path in pipeline.rglob("*") if path.is_file()}
    assert left == {"notes.md", "vae/diffusion_pytorch_model.safetensors"}  # the index names no VAE
    assert (home / "models" / "diffusers" / "pipeline" / "unet" / "config.json").is_file()


def test_a_file_that_is_gone_again_when_it_was_hashed_is_nobodys_new_place(assetctl, home, lora, tmp_path):
    assetctl("pull", lora)
    place = home / "models" / "loras" / "whiskers.safetensors"
    elsewhere = place.with_name("elsewhere.safetensors")
    place.rename(elsewhere)
    longer = tmp_path / "longer.safetensors"
    header = json.dumps({"a": {"dtype": "U8", "shape": [2**25], "data_offsets": [0, 2**25]}}).encode()
    longer.write_bytes(len(header).to_bytes(8, "little") + header)
    os.truncate(longer, 8 + len(header) + 2**25)

    def hear(event):
        if isinstance(event, Bytes) and event.done == event.total:  # the longer one is done last
            elsewhere.unlink(missing_ok=True)

    with Registry.open(home) as registry:
        result = registry.import_files(elsewhere, longer, run=Run(hear))
        assert result.moved == []
    asset = assetctl("inspect", "whiskers", "--json").data
    assert (asset["path"], asset["in_store"], elsewhere.exists()) == (str(place), True, False)


def test_a_changed_file_in_the_store_steps_aside_for_a_good_one(assetctl, home, lora):
    good = lora.read_bytes()
    assetctl("pull", lora)
    place = home / "models" / "loras" / "whiskers.safetensors"
    alter(place)
    changed = place.read_bytes()
    assert assetctl("verify").code == 5
    ended = assetctl("import", "--move", lora)
    aside = place.with_name("whiskers.changed-1.safetensors")
    assert (ended.code, str(aside) in ended.err) == (0, True)
    assert (place.read_bytes(), aside.read_bytes()) == (good, changed)
    assert assetctl("verify").code == 0
    assert assetctl("prune", "--yes", "--json").data["files"] == []
    (asset,) = assetctl("import", aside, "--json").data
    assert asset["path"] == str(aside)


def test_a_changed_folder_in_the_store_steps_aside_too(assetctl, home, pipeline):
    assetctl("pull", pipeline)
    place = home / "models" / "diffusers" / "pipeline"
    alter(place / "unet" / "diffusion_pytorch_model.safetensors")
    (place / "mine.txt").write_text("mine")
    ended = assetctl("pull", pipeline, "--json")
    assert [asset["path"] for asset in ended.data] == [str(place)]
    assert (place.with_name("pipeline.changed-1") / "mine.txt").read_text() == "mine"
    assert assetctl("verify").code == 0


def test_a_file_that_is_gone_from_the_store_gets_its_name_back(assetctl, home, lora):
    assetctl("pull", lora)
    place = home / "models" / "loras" / "whiskers.safetensors"
    place.unlink()
    assetctl("pull", lora)
    assert [path.name for path in place.parent.iterdir()] == [place.name]


def test_inspect_does_not_bless_changed_bytes(assetctl, lora):
    assetctl("import", lora)
    alter(lora)
    ended = assetctl("inspect", "whiskers")
    assert "has changed since" in ended.err
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
    assert "has changed" in assetctl("import", pipeline).err
    assert assetctl("verify").code == 0


def test_pulling_the_same_bytes_by_different_names_at_once_makes_one_asset(home, tmp_path):
    copies = [write_lora(tmp_path / str(number) / f"copy-{number}.safetensors", rank=64) for number in range(4)]
    environment = {**os.environ, "ASSETCTL_HOME": str(home)}
    command = [sys.executable, "-m", "assetctl", "pull", "--quiet"]
    pulls = [subprocess.Popen([*command, copy], env=environment, stdout=subprocess.PIPE, text=True) for copy in copies]
    names = {pull.communicate(timeout=fair(60))[0] for pull in pulls}
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
    assert "not valid text" in ended.err
    assert len(assetctl("list", "--json").data) == 1
    assert assetctl("identify", os.fsdecode(bad), "--json").code == 2


@pytest.mark.parametrize("how", [[], ["--copy"]])
def test_a_link_that_leads_nowhere_is_told(assetctl, lora, how):
    link = lora.with_name("gone.safetensors")
    link.symlink_to("nowhere")
    ended = assetctl("import", lora.parent, *how)
    assert (ended.code, f"{link} is a link that leads nowhere" in ended.err) == (0, True)


def test_a_read_only_home_can_be_read(assetctl, home, lora):
    assetctl("import", lora)
    deny = "import os, sys; os.access = lambda *_: False; from assetctl.cli.main import run;"
    code = f"{deny} sys.exit(run(['list', '--quiet']))"
    environment = {**os.environ, "ASSETCTL_HOME": str(home)}
    ended = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (0, "whiskers\n"), ended.stderr


def test_what_is_learnt_of_a_read_only_home_is_told_and_not_kept(assetctl, home, tmp_path, lora):
    assetctl("import", lora, "--no-hash")
    folders = [path for path in (home, *home.rglob("*")) if path.is_dir()]
    for path in folders:
        path.chmod(0o555)
    (home / "catalog.db").chmod(0o444)
    try:
        inspected, verified = (read_only(home, *words) for words in (("inspect", "whiskers"), ("verify",)))
    finally:
        for path in folders:
            path.chmod(0o755)
    (file,) = inspected["files"]
    assert file["sha256"] == inspected["sha256"] == hashlib.sha256(lora.read_bytes()).hexdigest()
    assert file["autov3"] == inspected["autov3"]
    assert [state["status"] for state in verified] == ["ok"]


def read_only(home: Path, *words: str) -> Any:
    """What a command says to somebody who has no rights but those of the files' permissions, not even as root."""
    environment = {**os.environ, "ASSETCTL_HOME": str(home)}
    command = [sys.executable, "-m", "assetctl", *words, "--json"]
    ended = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, preexec_fn=give_up_rights
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return json.loads(ended.stdout)["data"]


@pytest.mark.parametrize("tags", [("cats", "Cats"), ("cats", "cats")])
def test_a_tag_given_twice_is_one_tag(assetctl, lora, tags):
    words = [word for tag in tags for word in ("--tag", tag)]
    (asset,) = assetctl("pull", lora, *words, "--json").data
    assert asset["tags"] == ["cats"]
    (asset,) = assetctl("pull", lora, "--tag", "more", "--json").data
    assert asset["tags"] == ["cats", "more"]


@pytest.mark.parametrize("command", ["import", "identify"])
def test_a_path_that_can_not_be_written_is_wrong_usage(assetctl, command):
    assert assetctl(command, "~nosuchuser/x", "--json").code == 2


def test_a_path_with_a_null_character_is_wrong_usage(home):
    with Registry.open(home) as registry, pytest.raises(UsageError, match="null character"):
        registry.import_files("a\0b")  # no shell can say so


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
