"""Files with the same bytes share them, and no file is lost, tied to another or changed by it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from material import write_lora
from patience import fair

from assetctl.operations.library import upkeep


@pytest.fixture
def twins(assetctl, tmp_path):
    """One asset at two places outside of the store; the catalog calls the older one its own."""
    one = write_lora(tmp_path / "mine" / "one.safetensors", rank=64)
    two = Path(shutil.copy(one, one.with_name("two.safetensors")))
    os.utime(two, (1, 1))
    assetctl("import", tmp_path / "mine")
    return one, two


def state(path: Path) -> tuple[bytes, int, int, int, int]:
    status = path.lstat()
    return path.read_bytes(), status.st_mode, status.st_ino, status.st_nlink, status.st_mtime_ns


def test_copies_are_shown_with_what_the_disk_would_get_back(assetctl, twins):
    (pair,) = assetctl("dedupe", "--json").data
    assert {pair["path"], pair["copy"]} == set(map(str, twins))
    assert (pair["linked"], pair["how"], pair["freed"], pair["owned"]) == (False, None, 0, False)
    assert pair["size"] >= twins[0].stat().st_size


def test_a_persons_files_are_touched_only_by_a_flag_of_their_own(assetctl, twins):
    before = [state(path) for path in twins]
    assert assetctl("dedupe", "--link", "--hard-links", "--yes").code == 0
    assert [state(path) for path in twins] == before


def test_it_asks_first(assetctl, twins):
    before = [state(path) for path in twins]
    assert assetctl("dedupe", "--link", "--outside", "--hard-links").code == 2
    assert [state(path) for path in twins] == before


def test_hard_links_are_made_only_where_they_are_named(assetctl, twins):
    one, two = twins
    size = two.stat().st_blocks * 512
    ended = assetctl("dedupe", "--link", "--outside", "--yes", "--json")
    assert ended.data[0]["how"] in (None, "reflink")
    if ended.data[0]["how"] == "reflink":
        pytest.skip("this disk knows reflinks")
    assert not one.samefile(two)
    (pair,) = assetctl("dedupe", "--link", "--outside", "--hard-links", "--yes", "--json").data
    assert (pair["linked"], pair["how"], pair["freed"]) == (True, "hard link", size)
    assert one.samefile(two)
    assert assetctl("dedupe", "--json").data == []
    assert assetctl("verify", "--quick").code == 0
    assert assetctl("verify").code == 0


def test_a_link_is_never_taken_for_a_file_nor_replaced(assetctl, tmp_path):
    hub, ui = tmp_path / "hub", tmp_path / "ui"
    blob = write_lora(hub / "blobs" / "b1")
    snapshot, mine = hub / "snapshots" / "x.safetensors", ui / "y.safetensors"
    for folder in (snapshot.parent, ui):
        folder.mkdir(parents=True)
    snapshot.symlink_to("../blobs/b1")
    shutil.copy(blob, mine)
    link = ui / "z.safetensors"
    link.symlink_to(mine)
    assetctl("import", snapshot, mine, link)
    before = state(mine)
    assert assetctl("dedupe", "--link", "--outside", "--hard-links", "--yes", "--json").data == []
    assert state(mine) == before
    assert (snapshot.readlink(), link.readlink()) == (Path("../blobs/b1"), mine)


@pytest.mark.parametrize("modes", [(0o600, 0o644), (0o644, 0o600)])
def test_no_file_gets_other_permissions(assetctl, twins, modes):
    for path, mode in zip(twins, modes, strict=True):
        path.chmod(mode)
    before = [state(path) for path in twins]
    ended = assetctl("dedupe", "--link", "--outside", "--hard-links", "--yes")
    assert [state(path) for path in twins] == before or "reflink" in ended.out
    assert [path.stat().st_mode & 0o777 for path in twins] == list(modes)


def test_what_changed_since_is_left_alone(assetctl, twins):
    one, two = twins
    changed = bytearray(two.read_bytes())
    changed[-1] ^= 1
    two.write_bytes(changed)
    os.utime(two, (1, 1))
    ended = assetctl("dedupe", "--link", "--outside", "--hard-links", "--yes")
    assert "no longer holds the same bytes" in ended.err
    assert two.read_bytes() == bytes(changed)
    assert (one.stat().st_nlink, two.stat().st_nlink) == (1, 1)


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("replaced", [True, False])
def test_what_changes_after_it_was_compared_is_left_alone(assetctl, twins, monkeypatch, which, replaced):
    changed = twins[which].read_bytes()[:-1] + b"!"

    def change(*_):
        if replaced:
            twins[which].unlink()
        twins[which].write_bytes(changed)
        return False

    other = state(twins[1 - which])
    monkeypatch.setattr(upkeep, "share_bytes", change)
    ended = assetctl("dedupe", "--link", "--outside", "--hard-links", "--yes")
    assert "was changed meanwhile" in ended.err
    assert state(twins[1 - which]) == other
    assert twins[which].read_bytes() == changed
    assert sorted(twins[0].parent.iterdir()) == list(twins)


@pytest.fixture(scope="module")
def shared_disk(tmp_path_factory):
    """A filesystem that knows reflinks, in a file of its own."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("mounting takes root")
    folder = tmp_path_factory.mktemp("reflinks")
    image, place = folder / "image", folder / "disk"
    place.mkdir()
    with image.open("wb") as file:
        file.truncate(300 * 2**20)
    for make in (["mkfs.btrfs", "-q"], ["mkfs.xfs", "-q"]):
        if (program := shutil.which(make[0])) is None:
            continue
        made = subprocess.run([program, *make[1:], str(image)], check=False, capture_output=True, timeout=fair(60))
        if made.returncode == 0:
            mounted = subprocess.run(
                ["mount", "-o", "loop", image, place], check=False, capture_output=True, timeout=fair(60)
            )
            if mounted.returncode == 0:
                yield place
                subprocess.run(["umount", place], check=True, timeout=fair(60))
                return
    pytest.skip("no filesystem with reflinks can be mounted here")


def test_reflinks_leave_two_files_that_share_their_bytes(assetctl, shared_disk, tmp_path):
    folder = shared_disk / tmp_path.name
    one = write_lora(folder / "one.safetensors", rank=256)
    two = Path(shutil.copy(one, folder / "two.safetensors"))
    two.chmod(0o600)
    os.utime(two, (1, 1))
    content = one.read_bytes()
    assetctl("import", folder)
    before = state(two)
    (pair,) = assetctl("dedupe", "--link", "--outside", "--yes", "--json").data
    assert (pair["how"], pair["freed"] >= len(content)) == ("reflink", True)
    assert state(two) == before
    assert assetctl("dedupe", "--json").data == []  # the disk has nothing to give back any more
    with two.open("r+b") as file:
        file.write(b"changed!")
    assert one.read_bytes() == content
