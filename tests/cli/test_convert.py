from __future__ import annotations

import os
import pickle
import subprocess
from pathlib import Path

import pytest

from assetctl.files.safetensors import read_header
from assetctl.operations.library import convert as operation
from tests.files.test_gguf import gguf
from tests.hostile import archived, mapping, tensor
from tests.material import write_embedding


class Calls:
    def __reduce__(self):
        return (subprocess.call, (["touch", "ran"],))


@pytest.fixture
def embedding(tmp_path):
    """An embedding as A1111 trains it."""
    torch = pytest.importorskip("torch")
    path = tmp_path / "calico.pt"
    torch.manual_seed(0)
    said = {"string_to_token": {"*": 265}, "string_to_param": {"*": torch.randn(3, 768)}, "name": "calico", "step": 9}
    torch.save(said, path)
    return path


def test_a_pickle_becomes_an_asset_that_fits(assetctl, home, embedding):
    ended = assetctl("convert", embedding, "--json")
    (asset,) = ended.data
    assert (asset["name"], asset["kind"], asset["family"], asset["format"]) == (
        "calico", "embedding", "sd1", "safetensors",
    )  # fmt: skip
    assert asset["trigger_words"] == ["calico"]
    path = Path(asset["path"])
    assert path == home / "models/embeddings/calico.safetensors"
    assert path.stat().st_mode & 0o777 == embedding.stat().st_mode & 0o777
    assert read_header(path).shape("emb_params") == (3, 768)
    assert embedding.exists()
    again = assetctl("convert", embedding)
    assert (again.code, "already here" in again.err + again.out) == (0, True)
    assert len(assetctl("list", "--json").data) == 1


def test_what_a_person_said_of_the_pickle_goes_over(assetctl, embedding):
    assetctl("import", embedding, "--tag", "cats")
    assetctl("edit", "calico.pt", "--trigger-word", "patches", "--notes", "lovely")
    ended = assetctl("convert", "calico.pt")
    assert ended.code == 0
    assert "assetctl rm calico.pt" in ended.err
    details = assetctl("inspect", "calico", "--json").data
    assert (details["tags"], details["trigger_words"], details["notes"]) == (["cats"], ["patches"], "lovely")


def test_it_can_be_written_elsewhere_and_overwrites_nothing(assetctl, embedding, tmp_path):
    target = tmp_path / "out.safetensors"
    assert assetctl("convert", embedding, "--out", target, "--json").data["path"] == str(target)
    before = target.read_bytes()
    again = assetctl("convert", embedding, "--out", target)
    assert (again.code, "exists already" in again.err) == (2, True)
    assert target.read_bytes() == before
    assert assetctl("list", "--json").data == []
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["calico.pt", "out.safetensors"]


@pytest.mark.parametrize("elsewhere", [True, False])
def test_a_pickle_that_is_overwritten_meanwhile_is_not_converted(assetctl, tmp_path, monkeypatch, elsewhere):
    last, write = tmp_path / "last.pt", operation.write_tensors
    archived(mapping(a=tensor()), stored=b"\1" * 16)(last)

    def overwritten(found, *rest):
        archived(mapping(a=tensor()), stored=b"\2" * 16)(last)  # as long
        os.utime(last, (1, 1))
        write(found, *rest)

    monkeypatch.setattr(operation, "write_tensors", overwritten)
    ended = assetctl("convert", last, *(["--out", tmp_path / "out.safetensors"] if elsewhere else []))
    assert (ended.code, "changed while it was read" in ended.err) == (5, True)
    assert assetctl("list", "--json").data == []
    assert [*tmp_path.rglob("*.safetensors")] == []


def test_a_converted_file_is_written_by_a_name_that_nobody_took(assetctl, tmp_path, embedding):
    there = tmp_path / f".out.safetensors.{os.getpid()}.incoming"
    there.write_text("somebody's")
    assert assetctl("convert", embedding, "--out", tmp_path / "out.safetensors").code == 0
    assert there.read_text() == "somebody's"


def test_a_converted_file_may_be_read_by_nobody_who_might_not_read_the_pickle(assetctl, tmp_path, embedding):
    embedding.chmod(0o600)
    assert assetctl("convert", embedding, "--out", tmp_path / "out.safetensors").code == 0
    asset = assetctl("convert", embedding, "--json").data[0]
    for path in (tmp_path / "out.safetensors", Path(asset["path"])):
        assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("command", ["convert", "import", "pull", "identify"])
def test_what_would_run_code_is_refused_everywhere(assetctl, home, tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    Path("evil.ckpt").write_bytes(pickle.dumps({"state_dict": Calls()}))
    ended = assetctl(command, "./evil.ckpt")
    assert (ended.code, "subprocess.call" in ended.err) == (5, True)
    assert not Path("ran").exists()
    assert not [path for path in (home / "models").rglob("*") if path.is_file() and path.suffix != ".lock"]


def test_one_in_a_folder_is_told_and_the_rest_is_registered(assetctl, tmp_path, embedding):
    (tmp_path / "evil.ckpt").write_bytes(pickle.dumps(Calls()))
    (tmp_path / "optimizer.bin").write_bytes(pickle.dumps({"step": 3}))
    ended = assetctl("import", tmp_path)
    assert (ended.code, "subprocess.call" in ended.err, "optimizer.bin" in ended.err) == (0, True, True)
    assert [asset["name"] for asset in assetctl("list", "--json").data] == ["calico.pt"]


def test_a_pulled_pickle_is_scanned_and_named_with_its_suffix(assetctl, home, embedding):
    (asset,) = assetctl("pull", embedding, "--json").data
    assert (asset["name"], asset["format"]) == ("calico.pt", "pickle")
    assert asset["path"] == str(home / "models/embeddings/calico.pt")


def test_check_and_generate_refuse_a_pickle_and_say_how_to_convert_it(assetctl, embedding):
    assetctl("demo", "--pull")
    assetctl("import", embedding)
    checked = assetctl("check", "--checkpoint", "demo-checkpoint", "--embedding", "calico.pt", "--json")
    findings = [finding for finding in checked.data["findings"] if finding["rule"] == "format"]
    assert checked.code == 4
    assert [(finding["severity"], finding["assets"]) for finding in findings] == [("error", ["calico.pt"])]
    assert "assetctl convert calico.pt" in findings[0]["hint"]
    made = assetctl("generate", "a cat", "--checkpoint", "demo-checkpoint", "--embedding", "calico.pt")
    assert (made.code, "assetctl convert calico.pt" in made.err) == (4, True)


def test_what_can_not_be_converted(assetctl, tmp_path):
    write_embedding(tmp_path / "style.safetensors")
    gguf(tmp_path / "flux.gguf", {"x": (2, 256)})
    (tmp_path / "list.pt").write_bytes(pickle.dumps([1, 2]))
    assert assetctl("convert", tmp_path / "style.safetensors").code == 2
    assert assetctl("convert", tmp_path / "flux.gguf").code == 5
    nothing = assetctl("convert", tmp_path / "list.pt")
    assert (nothing.code, "no tensors" in nothing.err) == (5, True)
    assert assetctl("convert", tmp_path / "nowhere.pt").code == 3
