"""Every file made to do harm, once through every command that opens files, where memory and time are short."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hostile import SAMPLES, Sample, archived, mapping, tensor, write_all
from material import write_embedding, write_lora
from patience import fair
from trial import tried
from written_pictures import write_png_embedding

from assetctl.files.safetensors import read_header

if TYPE_CHECKING:
    from trial import Tried

SHARED = Path(__file__).parents[2] / "../shared"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits on memory are Linux's")


@pytest.fixture(scope="module")
def samples(tmp_path_factory) -> dict[Path, set[int]]:
    """Files, each with what `identify` may exit with."""
    root = tmp_path_factory.mktemp("hostile")
    found = {path: {sample.code} for path, sample in write_all(root / "own").items()}
    others = []
    if (SHARED / "tools/hostile/pickles.py").is_file():
        subprocess.run([sys.executable, SHARED / "tools/hostile/pickles.py", root / "others"], check=True)
        others += (root / "others").iterdir()
    for folder in ("bad_safetensors", "pickles"):
        place = SHARED / "corpus" / folder
        others += [path for path in place.glob("*") if path.suffix != ".json"]
    return found | {path: {0, 5} for path in sorted(others)}


def faults(ended: list[Tried], allowed: dict[Path, set[int]]) -> list[str]:
    """What is wrong with how commands on files ended."""
    found = []
    for each in ended:
        path = Path(each.arguments[1])
        told = each.code == 0 or (each.err.count("error: ") == 1 and path.name in each.err)
        crashed = "defect" in each.err or "Traceback" in each.err
        if each.code not in allowed[path] or not told or crashed or each.seconds > fair(5):
            found.append(f"{path.name}: exit {each.code}, {each.seconds:.1f} s: {each.err[-300:]}")
    return found


def test_each_is_identified_or_refused(samples, tmp_path):
    assert faults(tried([("identify", path) for path in samples], tmp_path / "home"), samples) == []


def test_each_is_imported_or_refused_and_then_inspected(samples, tmp_path):
    imported = tried([("import", path, "--no-hash") for path in samples], tmp_path / "home")
    passed_over = {path: codes | ({0} if path.is_dir() else set()) for path, codes in samples.items()}
    assert faults(imported, passed_over) == []
    shown = [Path(each.arguments[1]) for each in imported if each.code == 0 or each.arguments[1].endswith(".png")]
    inspected = tried([("inspect", path, "--no-hash") for path in shown], tmp_path / "home")
    assert faults(inspected, {path: {0, 3 if path.is_dir() else 0, 5} for path in shown}) == []


def test_each_is_converted_or_refused(samples, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    commands = [("convert", path, "--out", out / f"{path.name}.safetensors") for path in samples]
    ended = tried(commands, tmp_path / "home")
    assert faults(ended, {path: {0, 2, 3, 5} for path in samples}) == []
    written = sorted(out.iterdir())
    assert written == sorted(Path(each.arguments[3]) for each in ended if each.code == 0)
    for path in written:
        assert read_header(path).tensors  # valid, with all their bytes


def test_a_folder_of_all_of_them_keeps_no_good_file_out(tmp_path):
    folder = tmp_path / "embeddings"
    written = write_all(folder)
    for number in range(8):
        write_lora(folder / f"good-{number}.safetensors", seed=number)
    write_embedding(folder / "good-embedding.safetensors")
    write_png_embedding(folder / "good-picture.png")
    archived(mapping(emb_params=tensor()))(folder / "good-pickle.pt")
    (ended,) = tried([("import", folder, "--no-hash", "--json")], tmp_path / "home")
    assert ended.code == 0, ended.err
    assert "Traceback" not in ended.err
    assert "defect" not in ended.err
    paths = {Path(asset["path"]) for asset in json.loads(ended.out)["data"]}
    good = {path for path in folder.glob("good-*") if path.name != "good-pickle.pt"}
    assert good <= paths
    refused = {path for path, sample in written.items() if sample.code == 5}
    assert not refused & paths
    told = [path.name for path in refused if path.suffix != ".png" and path.is_file() and path.name not in ended.err]
    assert told == []


def test_samples_have_names_of_their_own():
    assert len({sample.name for sample in SAMPLES}) == len(SAMPLES)
    assert isinstance(SAMPLES[0], Sample)
