"""Links that somebody planted in a staging folder: nothing is written, or read, through one."""

from __future__ import annotations

import hashlib
import os
import random
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from disks import refused_writes
from fetching import fetch
from material import write_lora

from assetctl.sources import _partial, _ranges, transfer
from assetctl.sources._partial import Journal
from assetctl.sources.civitai import CivitaiSource
from assetctl.sources.huggingface import HuggingFaceSource
from assetctl.sources.path import PathSource
from assetctl.sources.transfer import fetched_bytes
from assetctl.sources.url import UrlSource

if TYPE_CHECKING:
    from collections.abc import Callable

    from servers.hub import Hub

    from assetctl.sources.base import Source

CHUNK = 24 * 4096
WEIGHTS = random.Random(3).randbytes(4 * CHUNK + 99)
KEY = hashlib.sha256(WEIGHTS).hexdigest()
PRECIOUS = b"export PATH=...\n"


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    path = tmp_path / ".bashrc"
    path.write_bytes(PRECIOUS)
    return path


@pytest.fixture(params=["ranges", "stream"])
def _way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "ranges":
        monkeypatch.setattr(transfer, "LARGE", CHUNK)
        monkeypatch.setattr(_ranges, "CHUNK", CHUNK)
        monkeypatch.setattr(_ranges, "LOOK", 0.01)
        monkeypatch.setattr(_partial, "PIECE", 4096)


def _link(path: Path, to: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(to)


def _hard(path: Path, to: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    os.link(to, path)


@pytest.mark.usefixtures("_way")
@pytest.mark.parametrize("plant", [_link, _hard])
@pytest.mark.parametrize("name", [f"partial/{KEY}.part", f"partial/{KEY}.chunks", f"partial/{KEY}.etag",
                                  f"partial/{KEY}.fresh", "asset/ink.safetensors"])  # fmt: skip
def test_nothing_is_written_through_a_link(hub: Hub, tmp_path: Path, theirs: Path, name: str, plant: Callable):
    hub.add("org/repo", {"ink.safetensors": WEIGHTS})
    plant(tmp_path / "into" / name, theirs)
    path = fetch(HuggingFaceSource(), "org/repo", tmp_path / "into")
    assert path.read_bytes() == WEIGHTS
    assert stat.S_ISREG(path.lstat().st_mode)
    assert path.stat().st_nlink == 1
    assert theirs.read_bytes() == PRECIOUS


@pytest.mark.parametrize("name", ["partial", "asset"])
def test_no_folder_is_a_link(hub: Hub, tmp_path: Path, name: str):
    hub.add("org/repo", {"ink.safetensors": WEIGHTS})
    (tmp_path / "theirs").mkdir()
    _link(tmp_path / "into" / name, tmp_path / "theirs")
    path = fetch(HuggingFaceSource(), "org/repo", tmp_path / "into")
    assert path.read_bytes() == WEIGHTS
    assert list((tmp_path / "theirs").iterdir()) == []


def test_no_folder_of_a_repository_is_a_link(hub: Hub, tmp_path: Path):
    index = b'{"unet": ["diffusers", "UNet2DConditionModel"]}'
    hub.add("org/repo", {"model_index.json": index, "unet/config.json": b"{}", "unet/w.safetensors": WEIGHTS})
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "config.json").write_bytes(PRECIOUS)
    (theirs / "other.json").write_bytes(PRECIOUS)
    _link(tmp_path / "into/asset/repo/unet", theirs)
    folder = fetch(HuggingFaceSource(), "org/repo", tmp_path / "into")
    assert (folder / "unet/config.json").read_bytes() == b"{}"
    assert {path.read_bytes() for path in theirs.iterdir()} == {PRECIOUS}


@pytest.mark.parametrize("source", [HuggingFaceSource(), PathSource()], ids=["hub", "path"])
@pytest.mark.parametrize("left", ["model_index.json/x/y.json", "unet", "unet/config.json/x.json"])
def test_what_another_try_left_in_the_way_is_cleared(hub: Hub, tmp_path: Path, left: str, source: Source):
    """A folder where a file belongs, and a file where a folder does; what a link in them leads to stays."""
    index = b'{"unet": ["diffusers", "UNet2DConditionModel"]}'
    files = {"model_index.json": index, "unet/config.json": b"{}", "unet/w.safetensors": WEIGHTS}
    hub.add("org/repo", files)
    for name, content in files.items():
        (tmp_path / "repo" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "repo" / name).write_bytes(content)
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "x.json").write_bytes(PRECIOUS)
    place = tmp_path / "into/asset/repo" / left
    place.parent.mkdir(parents=True)
    place.write_bytes(b"left")
    (place.parent / "link").symlink_to(theirs)
    reference = str(tmp_path / "repo") if source.name == "path" else "org/repo"
    folder = fetch(source, reference, tmp_path / "into")
    assert {name: (folder / name).read_bytes() for name in files} == files
    assert (theirs / "x.json").read_bytes() == PRECIOUS


def test_nothing_of_civitai_is_written_through_a_link(civitai, tmp_path: Path, theirs: Path):
    civitai.add(7, 42, ("whiskers.safetensors", WEIGHTS))
    _link(tmp_path / "into/asset/whiskers.safetensors", theirs)
    _link(tmp_path / f"into/partial/{KEY}.part", theirs)
    assert fetch(CivitaiSource(), "civitai:7", tmp_path / "into").read_bytes() == WEIGHTS
    assert theirs.read_bytes() == PRECIOUS


def test_a_state_is_neither_read_nor_written_through_a_link(civitai, tmp_path: Path, theirs: Path):
    """Nobody promised a hash: what came is known by its ETag, which lies beside it."""
    civitai.add(7, 42, ("whiskers.safetensors", WEIGHTS))
    address = f"{civitai.storage_url}/42-0"
    key = hashlib.sha256(address.encode()).hexdigest()
    for suffix in ("part", "etag"):
        _link(tmp_path / f"into/partial/{key}.{suffix}", theirs)
    assert fetch(UrlSource(), address, tmp_path / "into").read_bytes() == WEIGHTS
    assert theirs.read_bytes() == PRECIOUS


@pytest.mark.parametrize("name", ["asset/ink.bin", "asset/.ink.bin.incoming"])
def test_a_copy_is_not_written_through_a_link(tmp_path: Path, theirs: Path, name: str):
    source = write_lora(tmp_path / "mine" / "ink.safetensors")
    _link(tmp_path / "into" / name.replace(".bin", ".safetensors"), theirs)
    path = fetch(PathSource(), str(source), tmp_path / "into")
    assert path.read_bytes() == source.read_bytes()
    assert not path.is_symlink()
    assert theirs.read_bytes() == PRECIOUS


def test_what_a_killed_copy_left_goes_with_the_next(tmp_path: Path):
    source = write_lora(tmp_path / "mine" / "ink.safetensors")
    (tmp_path / "into/partial").mkdir(parents=True)
    (tmp_path / "into/partial/0123.incoming").write_bytes(b"half")
    fetch(PathSource(), str(source), tmp_path / "into")
    assert [path.name for path in (tmp_path / "into").rglob("*") if path.is_file()] == ["ink.safetensors"]


def test_what_a_killed_copy_left_is_no_part_of_the_next(tmp_path: Path, theirs: Path):
    """The original may have lost files since."""
    folder, single = tmp_path / "mine/model", tmp_path / "mine/ink.safetensors"
    (folder / "unet").mkdir(parents=True)
    (folder / "model_index.json").write_text('{"unet": ["diffusers", "UNet2DConditionModel"]}')
    (folder / "unet/config.json").write_text("{}")
    write_lora(folder / "unet/w.safetensors")
    write_lora(single)
    for at, old in ((folder, "model/unet/old.safetensors"), (single, "ink.config/old.json")):
        into = tmp_path / f"into-{at.name}"
        left = into / "asset" / old
        left.parent.mkdir(parents=True)
        left.write_text("old")
        left.with_name("link").symlink_to(theirs)
        left.with_name("links").symlink_to(tmp_path / "mine")
        source = PathSource()
        resolution = source.resolve(str(at))
        fetched = fetch(source, resolution, into)
        base = fetched if at is folder else fetched.parent
        there = {path.relative_to(base).as_posix() for path in base.rglob("*") if path.is_symlink() or path.is_file()}
        assert there == {file.path for file in resolution.files}
    assert theirs.read_bytes() == PRECIOUS
    assert len(list((tmp_path / "mine").rglob("*.safetensors"))) == 2


def test_a_link_that_comes_while_a_file_is_fetched_is_not_written_through(tmp_path: Path, theirs: Path, monkeypatch):
    from assetctl.files.disk import DirectFile

    _link(tmp_path / "part", theirs)
    with pytest.raises(OSError, match="link"):
        DirectFile(tmp_path / "part")
    assert theirs.read_bytes() == PRECIOUS


@pytest.mark.parametrize(
    "text",
    [
        f"{2**60} 1\n0 1\n", f"{'9' * 5000} 1\n", f"5 {'9' * 5000}\n", "-5 3\n", "5 0\n", "0 0\n", "0 0\n0 0\n",
        "5 5\n0 " + "9" * 5000 + "\n", "\u0661 1\n",
    ],
)  # fmt: skip
def test_a_journal_can_claim_what_it_likes(tmp_path: Path, text: str):
    (tmp_path / "a.part").write_bytes(b"12345")
    (tmp_path / "a.chunks").write_text(text, "utf-8")
    assert fetched_bytes(tmp_path) <= 5
    journal = Journal(tmp_path / "a.chunks", 5, 5)
    journal.open(5)
    journal.close()
    assert sum(journal.got) <= 5


def test_a_journal_is_written_whole_or_not_at_all(tmp_path: Path):
    """A disk that is nearly full takes some of what is written, and says nothing of the rest."""
    (tmp_path / "a.chunks").write_text("9000 9\n1 9\n2 9\n")
    before = (tmp_path / "a.chunks").read_bytes()
    with refused_writes(beyond=8), pytest.raises(OSError, match="large"):
        Journal(tmp_path / "a.chunks", 9000, 9).open(9000)
    assert (tmp_path / "a.chunks").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["a.chunks"]


@pytest.mark.skipif(sys.platform != "linux", reason="the system does not show which files are open")
def test_no_file_is_renamed_while_it_is_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """As Windows demands."""
    rename = os.replace

    def replace(source: str, target: str) -> None:
        assert os.fspath(source) not in {os.path.realpath(each) for each in Path("/proc/self/fd").iterdir()}
        rename(source, target)

    monkeypatch.setattr("os.replace", replace)
    journal = Journal(tmp_path / "a.chunks", 5, 5)
    journal.open(5)
    journal.add(0, 3)
    journal.close()
    assert (tmp_path / "a.chunks").read_text() == "5 5\n0 3\n"


def test_a_folder_in_the_place_of_what_comes_is_cleared(hub: Hub, tmp_path: Path):
    hub.add("org/repo", {"ink.safetensors": WEIGHTS})
    (tmp_path / f"into/partial/{KEY}.part").mkdir(parents=True)
    (tmp_path / "into/asset/ink.safetensors/x").mkdir(parents=True)
    assert fetch(HuggingFaceSource(), "org/repo", tmp_path / "into").read_bytes() == WEIGHTS
