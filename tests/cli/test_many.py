"""Hundreds of files, which several processes identify while the folder is still being walked."""

from __future__ import annotations

import pytest
from material import write_lora

from assetctl.operations.library.identify_files import MANY

COUNT = MANY + 60


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """LoRAs of two families in two folders, each with a word of its own, and a broken one among them."""
    root = tmp_path_factory.mktemp("many")
    for number in range(COUNT):
        place = root / ("low" if number < COUNT // 2 else "up")
        family = "sdxl" if number % 3 == 0 else "sd1"
        write_lora(place / f"{number:03}.safetensors", family, words=f"word {number}", rank=1, seed=number)
    whole = (root / "low" / "000.safetensors").read_bytes()
    (root / "low" / "broken.safetensors").write_bytes(whole[:-1])
    return root


def test_each_of_many_files_gets_its_own_answer(assetctl, folder):
    ended = assetctl("import", folder, "--json")
    assert ended.code == 0
    assert ended.err.count("broken.safetensors") >= 1
    assert [asset["name"] for asset in ended.data] == [f"{number:03}" for number in range(COUNT)]
    for asset in ended.data:
        number = int(asset["name"])
        assert asset["trigger_words"] == [f"word {number}"]
        assert asset["family"] == ("sdxl" if number % 3 == 0 else "sd1")
        assert asset["sha256"]
    assert f"{COUNT} unchanged" in assetctl("import", folder).err


def test_a_named_file_that_is_refused_stops_an_import_of_many_before_anything_is_registered(assetctl, folder):
    broken = folder / "low" / "broken.safetensors"
    ended = assetctl("import", folder, broken, "--json")
    assert (ended.code, ended.error["code"]) == (5, "file_corrupt")
    assert assetctl("list", "--json").data == []


def test_many_files_are_identified_in_order(assetctl, folder):
    found = assetctl("identify", folder, "--json").data
    paths = sorted(folder.rglob("*.safetensors"), key=lambda path: (path.parent.name, path.name))
    assert [each["path"] for each in found] == [str(path) for path in paths]
    assert [each["path"] for each in found if each["error"]] == [str(folder / "low" / "broken.safetensors")]
