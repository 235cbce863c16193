"""`inspect` shows at once what is known; large files are hashed only where one asks for it."""

from __future__ import annotations

import hashlib
import os

import pytest
from material import write_lora

from assetctl import Registry, Run
from assetctl.operations.library.verify import AT_ONCE
from assetctl.run import Bytes


@pytest.fixture
def large(assetctl, tmp_path):
    """A LoRA of a little more than is hashed at once, whose hashes are not known."""
    path = write_lora(tmp_path / "whiskers.safetensors")
    raw = path.read_bytes()
    length = int.from_bytes(raw[:8], "little")
    size = AT_ONCE + 2 - len(raw) + (8 + length)
    header = raw[8 : 8 + length].rstrip()[:-1]
    begin = len(raw) - 8 - length
    header += b', "pad": {"dtype": "F16", "shape": [%d], "data_offsets": [%d, %d]}}' % (size // 2, begin, begin + size)
    path.write_bytes(len(header).to_bytes(8, "little") + header + raw[8 + length :])
    os.truncate(path, 8 + len(header) + begin + size)
    assert assetctl("import", path, "--no-hash").code == 0
    return path


def test_a_large_file_is_shown_without_its_hashes_and_how_to_get_them(assetctl, large):
    ended = assetctl("inspect", "whiskers")
    assert "long whiskers" in ended.out
    assert "SHA256" not in ended.out
    assert "`assetctl inspect whiskers --hash`" in ended.err
    data = assetctl("inspect", "whiskers", "--json").data
    (file,) = data["files"]
    assert [data["sha256"], file["sha256"], file["autov3"], file["blake3"]] == [None] * 4


def test_a_large_file_is_hashed_when_asked_for(assetctl, large):
    ended = assetctl("inspect", "whiskers", "--hash", "--json")
    expected = hashlib.sha256(large.read_bytes()).hexdigest()
    assert ended.data["sha256"] == expected
    assert ended.data["files"][0]["blake3"]
    again = assetctl("inspect", "whiskers")
    assert expected in again.out
    assert again.err == ""


def test_whoever_asks_sees_how_far_it_is(large, home):
    told = []
    with Registry.open(home) as registry:
        details = registry.inspect("whiskers", hashes=True, run=Run(told.append))
    assert details.asset.sha256 is not None
    told = [event for event in told if isinstance(event, Bytes)]
    assert [progress.done for progress in told] == sorted(progress.done for progress in told)
    assert (told[-1].done, told[-1].total) == (large.stat().st_size,) * 2


def test_a_picture_names_a_large_file_by_its_name_until_it_is_hashed(assetctl, large, tmp_path):
    from written_pictures import infotext, write_png

    digest = hashlib.sha256(large.read_bytes()).hexdigest()
    picture = write_png(tmp_path / "cat.png", parameters=infotext(Lora_hashes=f'"whiskers: {digest[:10]}"'))
    (one,) = [each for each in assetctl("inspect", picture, "--json").data["assets"] if each["role"] == "lora"]
    assert (one["matched_by"], "not known" in one["note"]) == ("name", True)
    (one,) = [
        each for each in assetctl("inspect", picture, "--hash", "--json").data["assets"] if each["role"] == "lora"
    ]
    assert one["matched_by"] == "autov2"


@pytest.mark.parametrize(("option", "is_known"), [((), True), (("--no-hash",), False), (("--hash",), True)])
def test_a_small_file_is_hashed_unless_one_says_no(assetctl, tmp_path, option, is_known):
    path = write_lora(tmp_path / "whiskers.safetensors")
    assetctl("import", path, "--no-hash")
    ended = assetctl("inspect", "whiskers", *option)
    assert (hashlib.sha256(path.read_bytes()).hexdigest() in ended.out) == is_known
    assert ("--hash" in ended.err) != is_known


def test_a_file_that_has_grown_is_told_of_and_not_read(assetctl, tmp_path):
    path = write_lora(tmp_path / "whiskers.safetensors")
    assetctl("import", path, "--no-hash")
    os.truncate(path, AT_ONCE * 2)
    data = assetctl("inspect", "whiskers", "--json").data
    assert "is not as it was" in data["problem"]
    assert data["sha256"] is None
