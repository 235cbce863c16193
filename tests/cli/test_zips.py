"""ZIPs of models on Civitai: each safetensors file in one becomes an asset, and nothing else of it stays."""

from __future__ import annotations

import hashlib
import io
import tomllib
import zipfile
from pathlib import Path

import pytest
from material import write_lora


def _zip(*members):
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return made.getvalue()


@pytest.fixture
def loras(tmp_path):
    return {
        word: write_lora(tmp_path / "made" / f"{word}.safetensors", "sdxl", seed=len(word)).read_bytes()
        for word in ("high", "low")
    }


@pytest.fixture
def zipped(civitai):
    """Publish a ZIP as the one file of version 42 of model 7."""

    def zipped(content, *, promised=False, **said):
        files = [{"id": 71, "name": "pair.zip", "type": "Archive", "primary": True, "metadata": {"format": "Other"}}]
        files[0] |= {"hashes": {"SHA256": hashlib.sha256(content).hexdigest()}} if promised else {}
        civitai.publish(7, 42, files, [content], model_said={"type": "LORA"}, **said)

    return zipped


def _pair(loras):
    return _zip(
        ("wan/high.safetensors", loras["high"]),
        ("wan/low.safetensors", loras["low"]),
        ("readme.txt", b"hello"),
        ("__MACOSX/wan/._low.safetensors", b"Mac"),
        ("inner.zip", _zip(("x.safetensors", b"x"))),
    )


def _names(ended):
    return sorted(asset["name"] for asset in ended.data)


LOW = "civitai:7@42?fileId=71&member=wan%2Flow.safetensors"


def test_each_model_of_a_zip_becomes_an_asset(assetctl, home, civitai, zipped, loras):
    zipped(_pair(loras), baseModel="Pony", trainedWords=["calico"])
    ended = assetctl("pull", "civitai:7@42", "--json")
    assert _names(ended) == ["high", "low"]
    for asset in ended.data:
        assert Path(asset["path"]).read_bytes() == loras[asset["name"]]
        assert (asset["kind"], asset["base_model"], asset["trigger_words"]) == ("lora", "Pony", ["calico"])
        origin = assetctl("inspect", asset["name"], "--json").data["origin"]
        assert origin["reference"] == f"civitai:7@42?fileId=71&member=wan%2F{asset['name']}.safetensors"
        assert "fileId=71" in origin["url"]
    left = [path for path in (home / "models").rglob("*") if path.is_file()]
    assert not [path for path in left if path.suffix == ".zip" or path.read_bytes()[:2] == b"PK"]
    assert not [path for path in left if path.suffix == ".txt" or "unpacked" in path.parts]


def test_a_second_pull_of_a_zip_fetches_nothing(assetctl, civitai, zipped, loras):
    zipped(_pair(loras))
    assert assetctl("pull", "civitai:7@42").code == 0
    before = len(civitai.paths("storage"))
    again = assetctl("pull", "civitai:7@42", "--json")
    assert _names(again) == ["high", "low"]
    assert _names(assetctl("pull", LOW, "--json")) == ["low"]
    assert "is here already" in assetctl("pull", "civitai:7@42", "--dry-run").out
    assert len(civitai.paths("storage")) == before
    assert assetctl("rm", "high", "--yes", "--now").code == 0
    assert _names(assetctl("pull", "civitai:7@42", "--json")) == ["high", "low"]


def test_a_model_of_a_zip_comes_by_itself(assetctl, zipped, loras):
    zipped(_pair(loras))
    assert _names(assetctl("pull", LOW, "--name", "mine", "--json")) == ["mine"]
    assert len(assetctl("list", "--json").data) == 1
    gone = assetctl("pull", "civitai:7@42?member=other.safetensors")
    assert (gone.code, "wan/high.safetensors" in gone.err) == (5, True)
    assert _names(assetctl("pull", "civitai:7@42", "--json")) == ["high", "mine"]


def test_a_model_of_a_zip_is_locked_and_synced(assetctl, civitai, zipped, loras, tmp_path, monkeypatch):
    zipped(_pair(loras), trainedWords=["calico"])
    monkeypatch.chdir(tmp_path)
    (tmp_path / "registry.toml").write_text('[assets.all]\nsource = "civitai:7@42"\n')
    refused = assetctl("lock")
    assert (refused.code, "ZIP of models" in refused.err, "assetctl pull" in refused.err) == (2, True, True)
    (tmp_path / "registry.toml").write_text(f'[assets.mine]\nsource = "{LOW}"\n')
    assert assetctl("lock").code == 0
    (locked,) = tomllib.loads((tmp_path / "registry.lock").read_text())["assets"]
    assert "fileId=71" in locked["files"][0]["url"]
    assert "member=wan%2Flow.safetensors" in locked["files"][0]["url"]
    assert assetctl("lock", "--check").code == 0
    monkeypatch.setenv("ASSETCTL_HOME", str(tmp_path / "other"))
    assert assetctl("sync", "--locked").code == 0
    (asset,) = assetctl("list", "--json").data
    assert (asset["name"], asset["trigger_words"]) == ("mine", ["calico"])
    assert Path(asset["path"]).read_bytes() == loras["low"]
    assert "keep" in assetctl("sync", "--locked", "--dry-run", "--json").out
    monkeypatch.setenv("ASSETCTL_HOME", str(tmp_path / "third"))
    civitai.files["42-0"] = _zip(("wan/low.safetensors", loras["high"]))
    wrong = assetctl("sync", "--locked")
    assert (wrong.code, "was promised" in wrong.err) == (5, True), wrong.err
    assert assetctl("list", "--json").data == []


@pytest.mark.parametrize("change", [("low.safetensors", "high.safetensors"), ("fileId=71", "fileId=72")])
def test_a_lockfile_that_names_another_model_of_a_zip_is_not_trusted(
    assetctl, zipped, loras, tmp_path, monkeypatch, change
):
    zipped(_pair(loras))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "registry.toml").write_text(f'[assets.mine]\nsource = "{LOW}"\n')
    assert assetctl("lock").code == 0
    lockfile = tmp_path / "registry.lock"
    lines = lockfile.read_text().splitlines()
    lines = [line.replace(*change) if line.startswith(("url", "path")) else line for line in lines]
    lockfile.write_text("\n".join(lines))
    assert assetctl("sync", "--locked").code == 1


def test_what_a_zip_brought_is_exported_and_locked_again(assetctl, zipped, loras, tmp_path, monkeypatch):
    zipped(_pair(loras))
    monkeypatch.chdir(tmp_path)
    assetctl("pull", "civitai:7@42")
    (tmp_path / "registry.toml").write_text(assetctl("export").out)
    assert assetctl("lock").code == 0
    steps = assetctl("sync", "--locked", "--dry-run", "--json").data
    assert [step["action"] for step in steps] == ["keep", "keep"]


def test_models_of_the_same_name_are_told_by_their_folders(assetctl, zipped, loras):
    zipped(_zip(("high/lora.safetensors", loras["high"]), ("low\\lora.safetensors", loras["low"])))
    assert _names(assetctl("pull", "civitai:7@42", "--json")) == ["high-lora", "low-lora"]


def test_one_name_for_several_is_refused(assetctl, zipped, loras):
    zipped(_pair(loras))
    assert assetctl("pull", "civitai:7@42", "--name", "x").code == 2
    assert assetctl("list", "--json").data == []


def test_twins_in_a_zip_are_one_asset(assetctl, civitai, zipped, loras):
    zipped(_zip(("a.safetensors", loras["high"]), ("b.safetensors", loras["high"])))
    for _ in range(2):
        assert _names(assetctl("pull", "civitai:7@42", "--json")) == ["a"]
    assert len(civitai.paths("storage")) == 1


def test_bytes_that_were_here_before_count(assetctl, zipped, loras, tmp_path):
    zipped(_pair(loras), trainedWords=["calico"])
    (tmp_path / "mine.safetensors").write_bytes(loras["low"])
    assetctl("import", tmp_path / "mine.safetensors")
    assert _names(assetctl("pull", "civitai:7@42", "--tag", "wan", "--json")) == ["high", "mine"]
    assert [asset["tags"] for asset in assetctl("list", "--json").data] == [["wan"], ["wan"]]


def _changed(content, at, new):
    made = bytearray(content)
    made[at : at + len(new)] = new
    return bytes(made)


def _encrypted(loras):
    """Its one entry says that it is encrypted, here and in the directory."""
    plain = _zip(("a.safetensors", loras["high"]))
    return _changed(_changed(plain, plain.find(b"PK\x03\x04") + 6, b"\1"), plain.find(b"PK\x01\x02") + 8, b"\1")


def _linked(_):
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        entry = zipfile.ZipInfo("a.safetensors")
        entry.create_system, entry.external_attr = 3, 0o120777 << 16
        archive.writestr(entry, "/etc/passwd")
    return made.getvalue()


def _of_size(content, size):
    """A ZIP whose directory says another size of its first entry."""
    plain = _zip(("a.safetensors", content))
    return _changed(plain, plain.find(b"PK\x01\x02") + 24, size.to_bytes(4, "little"))


def _evil(path):
    return lambda loras: _zip((path, loras["high"]))


HOSTILE = {
    "a path that leads out": (_evil("../../evil.safetensors"), "outside"),
    "a path of Windows that leads out": (_evil("..\\..\\evil.safetensors"), "outside"),
    "a path from the root": (_evil("/evil.safetensors"), "outside"),
    "a path of a drive": (_evil("C:/evil.safetensors"), "outside"),
    "a link": (_linked, "link"),
    "encrypted": (_encrypted, "encrypted"),
    "a bomb": (lambda _: _of_size(bytes(2**20), 3 * 2**30), "no ZIP of models"),
    "very many entries": (lambda _: _zip(*((f"{at}.txt", b"") for at in range(10_001))), "entries"),
    "many models": (lambda _: _zip(*((f"{at}.safetensors", b"") for at in range(300))), "300 models"),
    "larger than it says": (lambda loras: _of_size(loras["high"], 100), "damaged"),
    "smaller than it says": (lambda loras: _of_size(loras["high"], 2**20), "damaged"),
    "no model": (lambda _: _zip(("a.json", b"{}"), ("b.ckpt", b"x")), "no safetensors file"),
    "a ZIP in a ZIP": (lambda loras: _zip(("b.zip", _pair(loras))), "no safetensors file"),
    "a diffusers folder": (
        lambda loras: _zip(("m/model_index.json", b"{}"), ("m/unet/a.safetensors", loras["high"])),
        "diffusers folder",
    ),
    "no ZIP": (lambda _: b"x" * 100, "no ZIP"),
    "cut short": (lambda loras: _pair(loras)[:-30], "no ZIP"),
    "no safetensors inside": (lambda _: _zip(("a.safetensors", b"GARBAGE!" * 10)), "member=a.safetensors"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_zip_that_is_made_to_harm_is_refused(assetctl, home, zipped, loras, name):
    make, word = HOSTILE[name]
    zipped(make(loras))
    ended = assetctl("pull", "civitai:7@42")
    assert (ended.code, word in ended.err) == (5, True), ended.err
    assert assetctl("list", "--json").data == []
    assert not list(home.parent.rglob("evil*"))
    assert not [path for path in (home / "models").rglob("*") if path.suffix in (".zip", ".safetensors")]


def test_one_file_of_a_zip_that_is_no_model_keeps_no_other_out(assetctl, zipped, loras):
    zipped(_zip(("a.safetensors", loras["high"]), ("b.safetensors", b"x" * 50)))
    ended = assetctl("pull", "civitai:7@42")
    assert (ended.code, "b.safetensors" in ended.err) == (0, True), ended.err
    assert _names(assetctl("list", "--json")) == ["a"]


def test_what_came_of_a_zip_is_described_by_its_page(assetctl, civitai, zipped, loras):
    zipped(_pair(loras), trainedWords=["calico"])
    assetctl("pull", "civitai:7@42")
    civitai.versions[42]["trainedWords"] = ["tabby"]
    assert assetctl("enrich", "low", "--again").code == 0
    assert {asset["name"]: asset["trigger_words"] for asset in assetctl("list", "--json").data} == {
        "high": ["calico"],
        "low": ["tabby"],
    }


@pytest.mark.parametrize("planted", ["link", "folder"])
def test_nothing_is_written_through_what_was_planted_in_its_staging_folder(
    assetctl, home, civitai, zipped, loras, tmp_path, planted
):
    zipped(_pair(loras))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "precious.txt").write_text("mine")
    key = f"civitai {civitai.url}/api/download/models/42?fileId=71 42"
    staging = home / "models" / ".staging" / hashlib.sha256(key.encode()).hexdigest()[:32]
    staging.mkdir(parents=True)
    if planted == "link":
        (staging / "unpacked-0").symlink_to(elsewhere)
    else:
        (staging / "unpacked-0").mkdir()
        (staging / "unpacked-0" / "left.safetensors").write_bytes(b"of a process that was killed")
    assert _names(assetctl("pull", "civitai:7@42", "--json")) == ["high", "low"]
    assert [path.name for path in elsewhere.iterdir()] == ["precious.txt"]
    assert not staging.exists()


def _fetched(civitai):
    return len(civitai.paths("storage"))


def test_a_zip_is_not_fetched_again_for_a_model_that_was_here_before(assetctl, civitai, zipped, loras, tmp_path):
    zipped(_pair(loras))
    (tmp_path / "mine.safetensors").write_bytes(loras["low"])
    assetctl("import", tmp_path / "mine.safetensors")
    for _ in range(2):
        assert _names(assetctl("pull", "civitai:7@42", "--json")) == ["high", "mine"]
        assert _names(assetctl("pull", LOW, "--json")) == ["mine"]
    assert _fetched(civitai) == 1
    assert "is here already" in assetctl("pull", "civitai:7@42", "--dry-run").out
    assert assetctl("rm", "high", "--yes", "--now").code == 0
    assert _names(assetctl("pull", "civitai:7@42", "--json")) == ["high", "mine"]
    assert _fetched(civitai) == 2


def test_a_zip_is_not_fetched_again_for_a_file_that_was_refused(assetctl, civitai, zipped, loras):
    zipped(_zip(("a.safetensors", loras["high"]), ("b.safetensors", b"x" * 50)))
    for _ in range(2):
        ended = assetctl("pull", "civitai:7@42", "--json")
        assert (_names(ended), "member=b.safetensors" in ended.err) == (["a"], True)
    assert _fetched(civitai) == 1


def test_a_zip_that_another_took_the_place_of_is_fetched(assetctl, civitai, zipped, loras, tmp_path):
    zipped(_pair(loras), promised=True)
    (tmp_path / "mine.safetensors").write_bytes(loras["low"])
    assetctl("import", tmp_path / "mine.safetensors")
    assetctl("pull", "civitai:7@42")
    zipped(_zip(("c.safetensors", write_lora(tmp_path / "c.safetensors", "sdxl", seed=77).read_bytes())), promised=True)
    ended = assetctl("pull", "civitai:7@42", "--json")
    assert (_names(ended), _fetched(civitai)) == (["c"], 2)


def test_what_was_noted_of_a_zip_is_not_believed_where_it_makes_no_sense(
    assetctl, home, civitai, zipped, loras, tmp_path
):
    zipped(_pair(loras))
    (tmp_path / "mine.safetensors").write_bytes(loras["low"])
    assetctl("import", tmp_path / "mine.safetensors")
    assetctl("pull", "civitai:7@42")
    (note,) = (home / "models" / ".staging").glob("*.unpacked")
    said = note.read_text()
    for number, text in enumerate(
        ("{", "[]", '{"whole": 1, "members": [3]}', said.replace(said[-70:], "x" * 70), "[" * 9999)
    ):
        note.write_text(text)
        assert _names(assetctl("pull", "civitai:7@42", "--json")) == ["high", "mine"]
        assert _fetched(civitai) == 2 + number


def test_one_name_for_several_costs_no_second_download(assetctl, civitai, zipped, loras):
    zipped(_pair(loras))
    for _ in range(2):
        ended = assetctl("pull", "civitai:7@42", "--name", "x")
        assert (ended.code, "holds 2" in ended.err, "member=" in ended.err) == (2, True, True)
    assert _names(assetctl("pull", "civitai:7@42", "--json")) == ["high", "low"]
    ended = assetctl("pull", "civitai:7@42", "--name", "x")
    assert (ended.code, "holds 2" in ended.err) == (2, True)
    assert _fetched(civitai) == 1


def test_a_model_of_a_zip_that_was_changed_is_put_right_and_locked_by_its_own_hash(
    assetctl, civitai, zipped, loras, tmp_path, monkeypatch
):
    zipped(_pair(loras))
    (low,) = assetctl("pull", LOW, "--json").data
    Path(low["path"]).write_bytes(loras["high"])
    for reference in (LOW, "civitai:7@42"):
        ended = assetctl("pull", reference, "--json")
        assert "low" in _names(ended)
        assert Path(low["path"]).read_bytes() == loras["low"]
    digest = hashlib.sha256(loras["low"]).hexdigest()
    assert assetctl("inspect", "low", "--json").data["sha256"] == digest
    Path(low["path"]).write_bytes(loras["high"])
    monkeypatch.chdir(tmp_path)
    (tmp_path / "registry.toml").write_text(f'[assets.low]\nsource = "{LOW}"\n')
    assert assetctl("lock").code == 0
    (locked,) = tomllib.loads((tmp_path / "registry.lock").read_text())["assets"]
    assert (locked["sha256"], locked["files"][0]["sha256"]) == (digest, digest)
    assert assetctl("sync", "--locked").code == 0
    assert Path(low["path"]).read_bytes() == loras["low"]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (".safetensors", "asset"),
        ("wan/.safetensors", "asset"),
        ("a/..SAFETENSORS", "asset"),
        ("a" * 200 + ".sft", "a" * 100),
    ],
)
def test_a_model_of_a_zip_keeps_its_suffix_whatever_it_is_called(assetctl, zipped, loras, path, name):
    zipped(_zip((path, loras["high"])))
    ended = assetctl("pull", "civitai:7@42", "--json")
    (asset,) = ended.data
    assert asset["name"].startswith(name)
    assert Path(asset["path"]).suffix in (".safetensors", ".sft")
    assert Path(asset["path"]).read_bytes() == loras["high"]
