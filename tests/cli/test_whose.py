"""Whose a file is, whatever links, mounts, open programs and other people's writes make of it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from material import write_lora, write_safetensors
from patience import fair

from assetctl import Registry


@contextlib.contextmanager
def mounted(source: Path, place: Path):
    """The same folder by another name, which no comparison of paths can tell."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("mounting takes root")
    place.mkdir()
    if subprocess.run(
        ["mount", "--bind", source, place], check=False, capture_output=True, timeout=fair(20)
    ).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", place], check=True, timeout=fair(20))


def test_the_store_by_another_name_is_not_moved_into_itself(assetctl, home, tmp_path):
    lora = write_lora(tmp_path / "cat.safetensors")
    content = lora.read_bytes()
    assetctl("import", "--move", lora)
    with mounted(home / "models", tmp_path / "bind") as other:
        ended = assetctl("import", "--move", other / "loras" / "cat.safetensors")
    assert "the store's own file" in ended.err
    assert (home / "models" / "loras" / "cat.safetensors").read_bytes() == content


def test_another_name_of_the_stores_file_may_go(assetctl, home, tmp_path):
    lora = write_lora(tmp_path / "cat.safetensors")
    assetctl("pull", lora)
    stored = home / "models" / "loras" / "cat.safetensors"
    lora.unlink()
    os.link(stored, lora)
    assert assetctl("import", "--move", lora).code == 0
    assert (lora.exists(), stored.exists()) == (False, True)


def test_a_kind_folder_that_is_mounted_takes_files_and_gives_them_up(assetctl, home, tmp_path):
    (home / "models").mkdir(parents=True)
    (tmp_path / "volume").mkdir()
    with mounted(tmp_path / "volume", home / "models" / "loras") as loras:
        assert assetctl("import", "--move", write_lora(tmp_path / "cat.safetensors")).code == 0
        assert [path.name for path in loras.iterdir()] == ["cat.safetensors"]
        assert assetctl("rm", "cat", "--yes").code == 0
        assert list(loras.iterdir()) == []
        assert assetctl("trash", "restore", "cat").code == 0
        assert assetctl("verify").code == 0


def test_what_a_link_leads_to_is_copied_and_stays(assetctl, tmp_path):
    write_lora(tmp_path / "named" / "x.safetensors")
    theirs = write_lora(tmp_path / "other" / "style" / "y.safetensors", seed=2)
    (tmp_path / "named" / "style").symlink_to(theirs.parent)
    ended = assetctl("import", "--move", tmp_path / "named")
    assert ended.code == 0
    assert "behind a link" in ended.err
    assert theirs.exists()
    assert not (tmp_path / "named" / "x.safetensors").exists()
    assert len(assetctl("list", "--in-store", "--json").data) == 2


def test_a_link_to_what_was_just_moved_and_a_name_given_twice_end_nothing(assetctl, tmp_path):
    lora = write_lora(tmp_path / "d" / "a.safetensors")
    (tmp_path / "d" / "b.safetensors").symlink_to("a.safetensors")
    other = write_lora(tmp_path / "d" / "c.safetensors", seed=2)
    ended = assetctl("import", "--move", lora, lora, tmp_path / "d")
    assert ended.code == 0, ended.err
    assert (lora.exists(), other.exists()) == (False, False)


@pytest.mark.skipif(sys.platform != "linux", reason="Linux tells who writes to a file")
def test_a_file_that_is_still_written_to_is_not_moved(assetctl, home, tmp_path):
    lora = write_lora(tmp_path / "cat.safetensors")
    with lora.open("r+b"):
        ended = assetctl("import", "--move", lora, "--json")
    assert (ended.code, "being written" in ended.error["message"]) == (5, True)
    assert lora.exists()
    assert assetctl("import", "--move", lora).code == 0


@pytest.fixture
def pipeline(tmp_path):
    """A diffusers folder."""
    folder = tmp_path / "pipe"
    index = {"_class_name": "StableDiffusionPipeline", "unet": ["diffusers", "UNet2DConditionModel"]}
    write_safetensors(folder / "unet" / "diffusion_pytorch_model.safetensors", {"conv_in.weight": (4, 4, 3, 3)})
    (folder / "model_index.json").write_text(json.dumps(index))
    (folder / "unet" / "config.json").write_text(json.dumps({"cross_attention_dim": 768, "in_channels": 4}))
    return folder


def test_what_somebody_adds_to_a_stored_folder_is_never_assetctls(assetctl, home, pipeline):
    assetctl("import", "--move", pipeline)
    place = home / "models" / "diffusers" / "pipe"
    (place / "unet" / "own.txt").write_text("mine")
    write_lora(place / "vae" / "own.safetensors", seed=5)
    assetctl("import", home / "models")
    assert assetctl("rm", "pipe", "--now", "--yes").code == 0
    assert (place / "unet" / "own.txt").read_text() == "mine"
    assert (place / "vae" / "own.safetensors").exists()


@pytest.mark.parametrize(
    ("taken_in", "flags"),
    [(["--move"], ["--now"]), (["--move"], []), ([], ["--delete-files", "--now"])],
    ids=["for good", "to the trash", "in place"],
)
def test_what_a_link_in_an_assets_folder_leads_to_stays(assetctl, home, tmp_path, taken_in, flags):
    folders = tmp_path / "pipes"
    index = {"_class_name": "StableDiffusionPipeline", "unet": ["diffusers", "UNet2DConditionModel"]}
    for seed, name in enumerate(("one", "two")):
        for part in ("unet", "vae"):
            weights = folders / name / part / "diffusion_pytorch_model.safetensors"
            write_safetensors(weights, {"conv_in.weight": (4, 4, 3, 3)}, seed=seed if part == "vae" else 7)
            (weights.parent / "config.json").write_text(json.dumps({"in_channels": 4}))
        (folders / name / "model_index.json").write_text(json.dumps(index | {"vae": ["diffusers", "AutoencoderKL"]}))
    assetctl("import", *taken_in, folders)
    one = (home / "models" / "diffusers" if taken_in else folders) / "one"
    shutil.rmtree(one / "unet")
    (one / "unet").symlink_to("../two/unet")
    mine = tmp_path / "mine"
    shutil.move(one / "vae", mine)
    (one / "vae").symlink_to(mine)
    ended = assetctl("rm", "one", *flags, "--yes")
    assert (ended.code, ended.err.count("behind a link")) == (0, 4)
    assert sorted(path.name for path in mine.iterdir()) == ["config.json", "diffusion_pytorch_model.safetensors"]
    assert assetctl("verify", "two").code == 0
    assert sorted(path.name for path in one.iterdir()) == ["unet", "vae"]


def test_what_a_link_in_a_configuration_leads_to_stays(assetctl, home, tmp_path):
    lora = write_lora(tmp_path / "cat.safetensors")
    (tmp_path / "cat.config" / "unet").mkdir(parents=True)
    (tmp_path / "cat.config" / "unet" / "config.json").write_text("{}")
    assetctl("pull", lora)
    part = home / "models" / "loras" / "cat.config" / "unet"
    shutil.move(part, tmp_path / "mine")
    part.symlink_to(tmp_path / "mine")
    assert assetctl("rm", "cat", "--now", "--yes").code == 0
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["config.json"]


@pytest.mark.parametrize("what", ["pipe", "pipe/unet"])
def test_a_folder_that_became_a_link_since_it_was_shown_is_not_emptied(assetctl, home, tmp_path, pipeline, what):
    assetctl("import", "--move", pipeline)
    place = home / "models" / "diffusers" / what
    with Registry.open(home) as registry:
        plan = registry.plan_removal("pipe")
        shutil.move(place, tmp_path / "mine")
        place.symlink_to(tmp_path / "mine")
        registry.remove(plan, now=True)
    assert [path.name for path in (tmp_path / "mine").rglob("*.safetensors")] == ["diffusion_pytorch_model.safetensors"]


def test_a_copy_of_what_lies_in_the_store_gives_nothing_away(assetctl, tmp_path, monkeypatch):
    tree = tmp_path / "comfy"
    monkeypatch.setenv("ASSETCTL_MODELS", str(tree))
    mine = write_lora(tree / "loras" / "mine.safetensors")
    for command in (("import", tree), ("import", "--copy", tree), ("pull", mine)):
        assert assetctl(*command).code == 0
    assert assetctl("rm", "mine", "--now", "--yes").code == 0
    assert mine.exists()


def test_what_was_never_hashed_and_has_changed_goes_to_the_trash_all_the_same(assetctl, tmp_path):
    lora = write_lora(tmp_path / "cat.safetensors")
    assetctl("import", "--no-hash", lora)
    lora.write_bytes(b"something else")
    assert assetctl("rm", "cat", "--delete-files", "--now", "--yes").code == 0
    (entry,) = assetctl("trash", "--json").data
    assert entry["paths"] == [str(lora)]


def test_a_persons_file_in_the_store_is_not_tied_to_assetctls(assetctl, home, tmp_path):
    lora = write_lora(tmp_path / "cat.safetensors")
    mine = home / "models" / "loras" / "mine.safetensors"
    mine.parent.mkdir(parents=True)
    shutil.copy(lora, mine)
    os.utime(mine, (1, 1))
    assetctl("import", "--copy", lora)
    assetctl("import", home / "models")
    assetctl("dedupe", "--link", "--hard-links", "--yes")
    assert (mine.stat().st_nlink, mine.stat().st_mtime) == (1, 1)


def test_another_tree_with_the_same_names_and_sizes_is_not_the_store_of_before(assetctl, home, tmp_path, monkeypatch):
    lora = write_lora(tmp_path / "cat.safetensors")
    assetctl("pull", lora)
    theirs = tmp_path / "comfy" / "loras" / "cat.safetensors"
    theirs.parent.mkdir(parents=True)
    shutil.copyfile(lora, theirs)
    os.utime(theirs, (1, 1))
    monkeypatch.setenv("ASSETCTL_MODELS", str(tmp_path / "comfy"))
    assetctl("rm", "cat", "--now", "--yes")
    assert theirs.exists()


def test_one_of_several_places_is_not_a_name_for_all(assetctl, tmp_path):
    one = write_lora(tmp_path / "d" / "a.safetensors")
    backup = Path(shutil.copy(one, tmp_path / "d" / "backup.safetensors"))
    assetctl("import", tmp_path / "d")
    ended = assetctl("rm", backup, "--delete-files", "--yes", "--json")
    assert (ended.code, "2 places" in ended.error["message"]) == (2, True)
    assert assetctl("rm", "backup", "--delete-files", "--yes").code == 3  # a file's name, of an asset called otherwise
    assert (one.exists(), backup.exists()) == (True, True)
    assert assetctl("rm", "a", "--delete-files", "--yes").code == 0
    assert len(assetctl("trash", "--json").data) == 1


def test_a_file_that_may_not_be_asked_for_is_not_said_to_be_gone(assetctl, home, tmp_path):
    lora = write_lora(tmp_path / "locked" / "cat.safetensors")
    assetctl("import", lora)
    monkey = tmp_path / "locked"
    loop = tmp_path / "loop"
    shutil.move(monkey, tmp_path / "away")
    loop.symlink_to(loop)  # whoever asks gets neither yes nor no
    monkey.symlink_to(loop)
    assert assetctl("prune", "--missing", "--yes", "--json").data["missing"] == []
    assert assetctl("rm", "cat", "--delete-files", "--yes", "--json").code == 1
    assert len(assetctl("list", "--json").data) == 1


def test_an_asset_of_which_a_copy_is_left_is_not_missing(assetctl, tmp_path):
    one = write_lora(tmp_path / "d" / "a.safetensors")
    shutil.copy(one, tmp_path / "d" / "b.safetensors")
    assetctl("import", tmp_path / "d")
    one.unlink()
    assert assetctl("prune", "--missing", "--yes", "--json").data["missing"] == []


def test_the_trash_is_no_folder_of_assets(assetctl, home, tmp_path):
    assetctl("import", "--move", write_lora(tmp_path / "cat.safetensors"))
    assetctl("rm", "cat", "--yes")
    assetctl("import", home)
    assert assetctl("list", "--json").data == []


def test_a_link_in_the_trash_leads_nowhere(assetctl, home, tmp_path):
    assetctl("import", "--move", write_lora(tmp_path / "cat.safetensors"))
    assetctl("rm", "cat", "--yes")
    victim = write_lora(tmp_path / "victim" / "cat.safetensors", seed=3)
    (lying,) = (home / "trash").rglob("*.safetensors")
    shutil.rmtree(lying.parent)
    lying.parent.symlink_to(victim.parent)
    assert assetctl("trash", "empty", "--yes").code == 0
    assert victim.exists()
    assert "does not say what it holds" in assetctl("trash").err


def test_a_trash_that_is_a_link_to_a_larger_disk_is_used(assetctl, home, tmp_path):
    home.mkdir()
    (tmp_path / "big").mkdir()
    (home / "trash").symlink_to(tmp_path / "big")
    assetctl("import", "--move", write_lora(tmp_path / "cat.safetensors"))
    assetctl("rm", "cat", "--yes")
    assert assetctl("trash", "restore", "cat").code == 0
    assert assetctl("verify").code == 0


def test_what_somebody_took_out_of_the_trash_does_not_come_back_unsaid(assetctl, home, tmp_path):
    assetctl("import", "--move", write_lora(tmp_path / "cat.safetensors"))
    assetctl("rm", "cat", "--yes")
    (lying,) = (home / "trash").rglob("*.safetensors")
    lying.unlink()
    ended = assetctl("trash", "restore", "cat", "--json")
    assert (ended.code, "is left in the trash" in ended.error["message"]) == (1, True)
    assert assetctl("list", "--json").data == []


def test_a_tree_in_the_store_may_be_as_deep_as_it_likes(assetctl, home, tmp_path):
    assetctl("import", "--move", write_lora(tmp_path / "cat.safetensors"))
    deep = home / "models" / "loras" / "deep"
    deep.mkdir()
    descriptor = os.open(deep, os.O_RDONLY)
    for _ in range(1500):
        os.mkdir("d", dir_fd=descriptor)
        below = os.open("d", os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = below
    os.close(descriptor)
    try:
        ended = assetctl("prune", "--yes", "--json")
        assert [each["path"] for each in ended.data["strangers"]] == [str(deep)]
    finally:
        subprocess.run(["rm", "-r", deep], check=True, timeout=fair(60))


@pytest.mark.parametrize("now", [False, True])
def test_what_was_written_to_since_it_was_shown_is_not_deleted(assetctl, home, tmp_path, now):
    lora = write_lora(tmp_path / "cat.safetensors")
    (tmp_path / "cat.config").mkdir()
    for name in ("a.json", "b.json"):
        (tmp_path / "cat.config" / name).write_text("{}")
    assetctl("pull", lora)
    beside = home / "models" / "loras" / "cat.config"
    with Registry.open(home) as registry:
        plan = registry.plan_removal("cat")
        (beside / "b.json").write_text('{"hours": "of work"}')
        registry.remove(plan, now=now)
    assert [path.name for path in beside.iterdir()] == ["b.json"]


def test_the_stores_file_by_another_mount_stays_though_it_has_another_name_besides(assetctl, home, tmp_path):
    lora = write_lora(tmp_path / "cat.safetensors")
    assetctl("pull", lora)
    stored = home / "models" / "loras" / "cat.safetensors"
    os.link(stored, tmp_path / "other.safetensors")
    with mounted(home / "models", tmp_path / "bind") as other:
        assetctl("import", "--move", other / "loras" / "cat.safetensors")
    assert stored.exists()
