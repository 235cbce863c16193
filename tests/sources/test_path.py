from __future__ import annotations

import hashlib
import json
import os
from dataclasses import replace
from typing import TYPE_CHECKING

import fetching
import pytest

from assetctl.errors import CorruptFileError, HashMismatchError, NotFoundError, RefusedFileError
from assetctl.run import Bytes
from assetctl.sources.base import digests
from assetctl.sources.path import PathSource

if TYPE_CHECKING:
    from pathlib import Path

HEADER = b'{"x":{"dtype":"U8","shape":[3000000],"data_offsets":[0,3000000]}}'
MODEL = len(HEADER).to_bytes(8, "little") + HEADER


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "mine" / "ink.safetensors"
    path.parent.mkdir()
    path.write_bytes(MODEL + b"x" * 3_000_000)
    return path


@pytest.fixture
def diffusers(tmp_path: Path) -> Path:
    folder = tmp_path / "mine" / "sd-tiny"
    files = {
        "model_index.json": json.dumps({"unet": ["diffusers", "UNet2DConditionModel"]}),
        "unet/config.json": "{}",
        "unet/diffusion_pytorch_model.safetensors": "weights",
        "unet/diffusion_pytorch_model.bin": "pickle",
        ".git/config": "secret",
        "notes.txt": "mine",
    }
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    return folder


def fetch(reference: Path | str, into: Path, progress: list[Bytes] | None = None) -> Path:
    return fetching.fetch(PathSource(), str(reference), into, ([] if progress is None else progress).append)


def tree(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_a_file_is_copied_and_the_copy_is_its_own(model: Path, tmp_path: Path):
    progress: list[Bytes] = []
    copy = fetch(model, tmp_path / "into", progress)
    assert copy.name == "ink.safetensors"
    assert copy.read_bytes() == model.read_bytes()
    assert progress[-1] == Bytes(file="ink.safetensors", done=model.stat().st_size, total=model.stat().st_size)
    with model.open("r+b") as file:
        file.write(b"changed!")
    assert copy.read_bytes().startswith(MODEL)


def test_a_link_is_followed_and_gives_the_name(model: Path, tmp_path: Path):
    link = tmp_path / "named.safetensors"
    link.symlink_to(model)
    copy = fetch(link, tmp_path / "into")
    assert copy.name == "named.safetensors"
    assert not copy.is_symlink()
    assert PathSource().resolve(str(link)).name == "named.safetensors"


def test_a_configuration_folder_beside_a_checkpoint_comes_along(model: Path, tmp_path: Path):
    folder = model.with_name("ink.config")
    for name in ("model_index.json", "unet/config.json", "tokenizer/merges.txt", "unet/model.bin"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("{}")
    copy = fetch(model, tmp_path / "into")
    assert tree(copy.parent) == {
        "ink.safetensors", "ink.config/model_index.json", "ink.config/unet/config.json",
        "ink.config/tokenizer/merges.txt",
    }  # fmt: skip


def test_of_a_diffusers_folder_only_what_belongs_is_copied(diffusers: Path, tmp_path: Path):
    resolution = PathSource().resolve(str(diffusers))
    assert (resolution.name, resolution.format) == ("sd-tiny", "diffusers")
    copy = fetch(diffusers, tmp_path / "into")
    assert copy.name == "sd-tiny"
    assert tree(copy) == {"model_index.json", "unet/config.json", "unet/diffusion_pytorch_model.safetensors"}


def test_a_diffusers_folder_may_be_made_of_links(diffusers: Path, tmp_path: Path):
    weights = diffusers / "unet" / "diffusion_pytorch_model.safetensors"
    blob = tmp_path / "blob"
    weights.rename(blob)
    weights.symlink_to(blob)
    copy = fetch(diffusers, tmp_path / "into") / "unet" / weights.name
    assert copy.read_text() == "weights"
    assert not copy.is_symlink()


def test_the_home_folder_and_the_working_folder_are_understood(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("HOME", str(model.parent))
    assert fetch("~/ink.safetensors", tmp_path / "a").exists()
    monkeypatch.chdir(model.parent)
    assert fetch("ink.safetensors", tmp_path / "b").exists()


def test_a_missing_file_is_not_found(tmp_path: Path):
    with pytest.raises(NotFoundError, match=r"none\.safetensors") as caught:
        PathSource().resolve(str(tmp_path / "none.safetensors"))
    assert caught.value.exit_code == 3


def test_another_folder_is_refused_with_the_command_that_takes_it(tmp_path: Path):
    with pytest.raises(RefusedFileError, match=r"model_index\.json") as caught:
        PathSource().resolve(str(tmp_path))
    assert caught.value.hint == f"Try: assetctl import {tmp_path}"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.safetensors", b"<!DOCTYPE html><html>log in</html>"),
        ("b.safetensors", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n"),
        ("c.ckpt", b"cposix\nsystem\n(S'true'\ntR."),
        ("c.safetensors", b"\x80\x02}q\x00."),
        ("d.safetensors", b""),
    ],
)
def test_what_is_no_model_is_refused_before_it_is_copied(tmp_path: Path, name: str, content: bytes):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(RefusedFileError):
        PathSource().resolve(str(tmp_path / name))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_refused_at_once(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe.safetensors")
    with pytest.raises(RefusedFileError, match="not a regular file"):
        PathSource().resolve(str(tmp_path / "pipe.safetensors"))


def test_a_file_that_grows_while_it_is_copied_is_an_error(model: Path, tmp_path: Path):
    source = PathSource()
    resolution = source.resolve(str(model))

    def grow(progress: Bytes) -> None:
        if progress.done <= 2**20:
            with model.open("ab") as file:
                file.write(b"more")

    with pytest.raises(CorruptFileError, match="changed while it was copied"):
        fetching.fetch(source, resolution, tmp_path / "into", grow)
    assert tree(tmp_path / "into") == set()


def test_a_file_that_is_not_the_one_wanted_is_an_error(model: Path, tmp_path: Path):
    source = PathSource()
    resolution = source.resolve(str(model))
    for sha256, is_right in ((hashlib.sha256(model.read_bytes()).hexdigest(), True), ("0" * 64, False)):
        wanted = replace(resolution, files=(replace(resolution.files[0], digests=digests(sha256=sha256)),))
        into = tmp_path / sha256
        if is_right:
            assert fetching.fetch(source, wanted, into).exists()
            continue
        with pytest.raises(HashMismatchError):
            fetching.fetch(source, wanted, into)
        assert tree(into) == set()
