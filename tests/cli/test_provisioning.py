"""What `lock` and `sync` promise before they do anything, what else they bring, and what one bad asset ends."""

from __future__ import annotations

import hashlib
import os
import tomllib
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from types import SimpleNamespace

import pytest
from compat.sparse import tiny_checkpoint, whole_checkpoint, write_sparse
from generation import tiny
from material import write_embedding, write_lora

from assetctl import Registry
from assetctl.errors import SourceError
from assetctl.operations.provision.lock import VOCABULARY
from assetctl.sources import support
from assetctl.sources.base import digests

CONTENT = {"tokenizer/vocab.json": b'{"!": 0}', "tokenizer/merges.txt": b"#version: 0.2\n"}


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder for a manifest, to stand in."""
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def web(tmp_path):
    """A folder on the web: its path, its address, and what was asked for."""
    asked = []

    class Listening(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            asked.append(self.path)

    folder = tmp_path / "web"
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Listening, directory=str(folder)))
    Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield SimpleNamespace(folder=folder, url=f"http://127.0.0.1:{server.server_port}", asked=asked)
    server.shutdown()
    server.server_close()


@pytest.fixture
def vocabulary(hub, monkeypatch):
    """CLIP's vocabulary, small enough for a test, at its place on the Hub."""
    pinned = tuple(
        replace(file, digests=digests(sha256=hashlib.sha256(CONTENT[file.path]).hexdigest()))
        for file in support.TOKENIZER_FILES
    )
    monkeypatch.setattr(support, "TOKENIZER_FILES", pinned)
    return hub.add("stable-diffusion-v1-5/stable-diffusion-v1-5", CONTENT)


def wants(folder, **sources):
    """Write a manifest of these names and sources; a source may be several keys."""
    tables = []
    for name, said in sources.items():
        keys = {"source": said} if isinstance(said, str) else said
        tables.append(f"[assets.{name}]\n" + "".join(f'{key} = "{value}"\n' for key, value in keys.items()))
    (folder / "registry.toml").write_text("\n".join(tables))


def hash_of(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def actions(ended):
    return {step["name"]: step["action"] for step in ended.data}


# An address and a hash say which file it is.


def test_an_address_with_its_hash_is_asked_of_nobody_before_it_is_fetched(assetctl, project, web):
    file = write_embedding(web.folder / "easynegative.safetensors")
    wants(project, easynegative={"source": f"{web.url}/{file.name}", "sha256": hash_of(file)})
    ended = assetctl("lock", "--check", "--json")
    assert (ended.code, ended.error["code"]) == (1, "out_of_date")
    assert "easynegative" in ended.error["message"]
    ended = assetctl("sync", "--check", "--json")
    assert (ended.code, ended.error["code"]) == (1, "out_of_date")
    ended = assetctl("sync", "--dry-run", "--json")
    assert (ended.code, actions(ended)) == (0, {"easynegative": "add"})
    ended = assetctl("sync", "--dry-run", "--offline", "--json")  # it is known, and could not come
    assert (ended.code, ended.error["code"], ended.error["reference"]) == (6, "offline", "easynegative")
    assert [step["action"] for step in ended.error["done"]] == []
    assert web.asked == []
    assert not (project / "registry.lock").exists()
    assert assetctl("lock").code == 0
    assert assetctl("list", "--json").data == []  # the manifest says its hash: nothing had to come for that
    assert actions(assetctl("sync", "--json")) == {"easynegative": "add"}
    assert assetctl("sync", "--check").code == 0
    assert assetctl("lock", "--check").code == 0


def test_an_address_whose_bytes_are_here_is_adopted_unasked(assetctl, project, web, tmp_path):
    file = write_embedding(tmp_path / "mine.safetensors")
    assetctl("import", file)
    wants(project, easynegative={"source": f"{web.url}/gone.safetensors", "sha256": hash_of(file)})
    assert actions(assetctl("sync", "--dry-run", "--json")) == {"easynegative": "adopt"}
    assert web.asked == []


def test_an_address_that_has_other_bytes_is_told_where_it_is_fetched(assetctl, project, web):
    file = write_embedding(web.folder / "easynegative.safetensors")
    wants(project, easynegative={"source": f"{web.url}/{file.name}", "sha256": "0" * 64})
    assert assetctl("sync", "--dry-run").code == 0
    ended = assetctl("sync", "--json")
    assert (ended.code, ended.error["code"], ended.error["reference"]) == (5, "hash_mismatch", "easynegative")
    assert assetctl("list", "--json").data == []


def test_what_no_address_can_be_is_refused_before(assetctl, project):
    wants(project, a={"source": "https://a b/x.safetensors", "sha256": "0" * 64})
    assert assetctl("sync", "--dry-run").code == assetctl("sync").code == 2


# One bad asset ends no work on others.


@pytest.fixture
def mixed(project, hub, web):
    """Three good assets and three bad ones."""
    good = [write_lora(web.folder / f"{n}.safetensors", seed=n) for n in range(2)]
    write_embedding(project / "mine.safetensors", seed=5)
    hub.add("cats/whiskers", {"w.safetensors": write_lora(web.folder / "w.safetensors", seed=7).read_bytes()})
    wants(
        project,
        mismatch={"source": "hf://cats/whiskers/w.safetensors", "sha256": "0" * 64},
        one={"source": f"{web.url}/0.safetensors", "sha256": hash_of(good[0])},
        gone=f"{web.url}/nothing.safetensors",
        two=f"{web.url}/1.safetensors",
        away="./nothing.safetensors",
        mine="./mine.safetensors",
    )
    return {"mismatch": "hash_mismatch", "gone": "source_not_found", "away": "not_found"}


def test_the_others_are_locked_and_fetched(assetctl, project, mixed):
    for _ in range(2):
        ended = assetctl("sync", "--json")
        assert ended.code == 5
        assert {each["reference"]: each["code"] for each in ended.error["errors"]} == mixed
        assert {step["name"] for step in ended.error["done"]} == {"one", "two", "mine"}
    assert {asset["name"] for asset in assetctl("list", "--json").data} == {"one", "two", "mine"}
    locked = tomllib.loads((project / "registry.lock").read_text())["assets"]
    assert [each["name"] for each in locked] == ["one", "two", "mine"]
    ended = assetctl("sync")
    assert all(f"{name}: " in ended.err for name in mixed)


def test_a_plan_shows_the_others_too(assetctl, project, mixed):
    ended = assetctl("sync", "--dry-run", "--json")
    assert ended.code == 5
    assert {each["reference"] for each in ended.error["errors"]} == {*mixed}
    assert {step["name"] for step in ended.error["done"]} == {"one", "two", "mine"}
    assert assetctl("sync", "--check").code == 5


def test_nothing_is_pruned_while_the_lockfile_lacks_something(assetctl, project, mixed, tmp_path):
    assetctl("pull", write_lora(tmp_path / "extra.safetensors", seed=9))
    ended = assetctl("sync", "--prune")
    assert (ended.code, "Nothing is removed" in ended.err) == (5, True)
    assert "extra" in {asset["name"] for asset in assetctl("list", "--json").data}


def test_lock_names_all_that_failed_and_leaves_the_lockfile(assetctl, home, project, mixed):
    ended = assetctl("lock", "--json")
    assert ended.code == 5
    assert {each["reference"]: each["code"] for each in ended.error["errors"]} == mixed
    assert not (project / "registry.lock").exists()
    ended = assetctl("lock")
    assert all(f"{name}" in ended.err for name in mixed)
    with Registry.open(home) as registry, pytest.raises(Exception, match="mismatch") as failed:
        registry.lock()
    assert [each.reference for each in failed.value.errors] == [*mixed]


def test_each_pull_that_failed_is_named(assetctl, hub, tmp_path):
    names = [str(tmp_path / "none.safetensors"), "hf://cats/none", "https:/ann:sesame@h.org/x"]
    ended = assetctl("pull", *names, "--json")
    assert [each["reference"] for each in ended.error["errors"]] == [*names[:2], "https:/***@h.org/x"]
    assert assetctl("pull", names[0], "--json").error["reference"] == names[0]


def test_each_file_that_could_not_be_taken_in_is_named(assetctl, tmp_path):
    bad = [tmp_path / "a.safetensors", tmp_path / "b.safetensors"]
    for file in bad:
        file.write_bytes(b"x" * 100)
    ended = assetctl("import", "--copy", *bad, "--json")
    assert [each["reference"] for each in ended.error["errors"]] == [str(file) for file in bad]


# CLIP's vocabulary is one of the things that a machine should have.


@pytest.fixture
def checkpoint(project):
    return write_sparse(project / "tiny.safetensors", tiny_checkpoint())


def locked_vocabulary(project):
    said = tomllib.loads((project / "registry.lock").read_text())
    return {file["path"]: file["sha256"] for file in said.get("vocabulary", {}).get("files", [])}


PINNED = {path: hashlib.sha256(content).hexdigest() for path, content in CONTENT.items()}


@pytest.mark.usefixtures("vocabulary")
@pytest.mark.parametrize("labels", [{}, {"kind": "checkpoint", "family": "sd1"}])
@pytest.mark.parametrize("source", ["./tiny.safetensors", "hf://ann/tiny/tiny.safetensors"])
def test_a_checkpoint_brings_its_vocabulary(assetctl, home, project, hub, checkpoint, source, labels):
    hub.add("ann/tiny", {"tiny.safetensors": checkpoint.read_bytes()})
    wants(project, tiny={"source": source} | labels)
    is_told = labels or source[0] == "."
    assert actions(assetctl("sync", "--dry-run", "--json")) == {"tiny": "add"} | (
        {VOCABULARY: "add"} if is_told else {}
    )
    assert assetctl("lock").code == 0
    assert locked_vocabulary(project) == (PINNED if is_told else {})
    assert actions(assetctl("sync", "--json")) == {"tiny": "add", VOCABULARY: "add"}
    assert locked_vocabulary(project) == PINNED
    assert (home / "models/configs/clip/vocab.json").read_bytes() == CONTENT["tokenizer/vocab.json"]
    hub.requests.clear()
    assert actions(assetctl("sync", "--json")) == {"tiny": "keep", VOCABULARY: "keep"}
    for again in (["sync", "--check"], ["sync", "--locked"], ["lock", "--check"], ["sync", "--offline"]):
        assert assetctl(*again).code == 0
    assert hub.requests == []
    assert "unsupported" not in assetctl("verify", "--json").out


@pytest.mark.usefixtures("vocabulary")
def test_a_checkpoint_that_was_here_already_brings_it_into_the_lockfile(assetctl, project, hub, checkpoint):
    hub.add("ann/tiny", {"tiny.safetensors": checkpoint.read_bytes()})
    assetctl("import", checkpoint)
    wants(project, tiny="hf://ann/tiny/tiny.safetensors")
    assert actions(assetctl("sync", "--dry-run", "--json")) == {"tiny": "keep", VOCABULARY: "add"}
    assert actions(assetctl("sync", "--json")) == {"tiny": "keep", VOCABULARY: "add"}
    assert locked_vocabulary(project) == PINNED


@pytest.mark.usefixtures("vocabulary")
def test_a_machine_that_lacks_the_vocabulary_alone_gets_it(assetctl, home, project, checkpoint):
    wants(project, tiny="./tiny.safetensors")
    assetctl("sync")
    (home / "models/configs/clip/merges.txt").unlink()
    ended = assetctl("sync", "--check", "--json")
    assert (ended.code, VOCABULARY in ended.error["message"]) == (1, True)
    assert f"{VOCABULARY}: is to be fetched" in assetctl("sync", "--dry-run", "--locked").out
    ended = assetctl("sync", "--offline", "--json")
    assert (ended.code, ended.error["code"], ended.error["reference"]) == (6, "offline", VOCABULARY)
    assert "the network is off" in ended.error["message"]
    assert f"{VOCABULARY}: was fetched" in assetctl("sync", "--frozen").out
    assert assetctl("sync", "--check").code == 0


def test_a_vocabulary_that_cannot_be_had_fails_and_all_else_is_done(assetctl, project, hub, checkpoint):
    wants(project, tiny="./tiny.safetensors")
    ended = assetctl("sync", "--json")
    assert (ended.code, ended.error["reference"]) == (6, VOCABULARY)
    assert [asset["name"] for asset in assetctl("list", "--json").data] == ["tiny"]


def test_other_bytes_than_those_of_the_vocabulary_are_refused(assetctl, home, project, hub, vocabulary, checkpoint):
    vocabulary.files["tokenizer/merges.txt"] = b"other"
    wants(project, tiny="./tiny.safetensors")
    assert assetctl("sync", "--json").error["code"] == "hash_mismatch"
    hub.add("ann/tiny", {"tiny.safetensors": checkpoint.read_bytes()})
    ended = assetctl("pull", "hf://ann/tiny", "--json")
    assert ended.code == 0


@pytest.mark.usefixtures("vocabulary")
def test_a_lockfile_cannot_name_another_vocabulary(assetctl, project, checkpoint):
    wants(project, tiny="./tiny.safetensors")
    assetctl("lock")
    path = project / "registry.lock"
    good = path.read_text()
    path.write_text(good.replace(PINNED["tokenizer/vocab.json"], "0" * 64))
    for mode in ("--locked", "--frozen", "--dry-run"):
        assert assetctl("sync", mode, "--json").error["code"] == "out_of_date"
    assert assetctl("lock").code == 0
    assert path.read_text() == good


@pytest.mark.usefixtures("vocabulary")
def test_a_lockfile_of_old_that_names_none_is_still_good(assetctl, project, checkpoint):
    wants(project, tiny="./tiny.safetensors")
    assetctl("lock")
    path = project / "registry.lock"
    path.write_text(path.read_text().partition("[[vocabulary")[0])
    assert locked_vocabulary(project) == {}
    assert assetctl("lock", "--check").code == 0
    assert actions(assetctl("sync", "--locked", "--json")) == {"tiny": "add", VOCABULARY: "add"}


@pytest.mark.usefixtures("vocabulary")
def test_what_takes_no_vocabulary_has_none(assetctl, project, checkpoint):
    (project / "tiny.config").mkdir()
    (project / "tiny.config" / "model_index.json").write_text("{}")
    write_lora(project / "whiskers.safetensors")
    wants(project, tiny="./tiny.safetensors", whiskers="./whiskers.safetensors")
    assert VOCABULARY not in actions(assetctl("sync", "--json", "--allow-outside"))
    assert locked_vocabulary(project) == {}


@pytest.mark.usefixtures("vocabulary")
def test_the_vocabulary_leaves_the_lockfile_with_the_last_checkpoint(assetctl, project, checkpoint):
    write_lora(project / "whiskers.safetensors")
    wants(project, tiny="./tiny.safetensors", whiskers="./whiskers.safetensors")
    assetctl("sync")
    wants(project, whiskers="./whiskers.safetensors")
    ended = assetctl("lock", "--check", "--json")
    assert VOCABULARY in ended.error["message"]
    assert VOCABULARY in assetctl("sync", "--locked", "--json").error["message"]
    assert assetctl("lock", "--json").data["removed"] == ["tiny", VOCABULARY]
    assert locked_vocabulary(project) == {}


def test_a_source_that_fails_is_still_raised_in_python(home, project, hub):
    wants(project, tiny="hf://nobody/nothing/x.safetensors")
    with Registry.open(home) as registry, pytest.raises(SourceError):
        registry.lock()


# What a dry run shows is what the run does, and what the run refuses a dry run refuses.


def refused_alike(assetctl, *command):
    """How both end: a dry run, and the command itself."""
    planned = assetctl(*command, "--dry-run", "--json")
    ended = assetctl(*command, "--json")
    assert (planned.code, planned.error["code"]) == (ended.code, ended.error["code"])
    assert planned.error["message"] == ended.error["message"]
    return planned


@pytest.fixture
def ready(assetctl, tmp_path):
    """A home with a checkpoint that can be generated with, in part, and a place for pictures."""
    write_sparse(tmp_path / "files" / "dream.safetensors", whole_checkpoint())
    tiny.write_vocabulary(tmp_path / "files" / "dream.config" / "tokenizer")
    assetctl("import", tmp_path / "files")
    return ("generate", "a cat", "--steps", "1", "--size", "64x64", "--seed", "5")


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (["--format", "gif"], 2),
        (["--out", "cat.gif"], 2),
        (["--out", "cat.png", "--format", "jpg"], 2),
        (["--out", "there.png"], 2),
        (["--out", "there.png", "--count", "2", "--force"], 2),
        (["--out", "folder.png"], 2),
        (["--out", "/proc/x"], 1),
        (["--out", "/proc/x/y/cat.png"], 1),
        (["--out", "plain"], 1),
        (["--out", "plain/cat.png"], 1),
        (["--out", "x" * 300], 1),
        (["--out", "x" * 300 + ".png"], 1),
        (["--out", "x" * 251 + ".png", "--count", "2"], 1),
    ],
)
def test_pictures_that_could_not_be_saved_are_refused_before(assetctl, project, ready, options, code):
    for name in ("there.png", "there-2.png", "plain"):
        (project / name).write_bytes(b"mine")
    (project / "folder.png").mkdir()
    before = sorted(path.name for path in project.iterdir())
    assert refused_alike(assetctl, *ready, *options).code == code
    assert sorted(path.name for path in project.iterdir()) == before


def test_a_folder_that_may_not_be_written_is_refused_before(assetctl, project, ready, monkeypatch):
    monkeypatch.setattr("os.access", lambda _, mode, **__: not mode & os.W_OK)
    assert "cannot be written" in refused_alike(assetctl, *ready, "--out", project).error["message"]


def test_a_checkpoint_that_was_changed_is_refused_before(assetctl, tmp_path, ready):
    with (tmp_path / "files" / "dream.safetensors").open("ab") as file:
        file.write(b"more")
    assert refused_alike(assetctl, *ready).code == 5


def test_a_dry_run_says_where_pictures_would_go(assetctl, home, project, ready):
    assert assetctl(*ready, "--dry-run", "--json").data["out"] == [str(home / "outputs")]
    assert f"saved in  {home / 'outputs'}\n" in assetctl(*ready, "--dry-run").out
    named = assetctl(*ready, "--out", "new/cat.png", "--count", "2", "--dry-run", "--json").data["out"]
    assert named == [str(project / "new/cat.png"), str(project / "new/cat-2.png")]
    assert f"saved as  {named[1]}\n" in assetctl(*ready, "--out", "new/cat.png", "--count", "2", "--dry-run").out
    assert list(project.iterdir()) == []
    assert not (home / "outputs").exists()


@pytest.mark.parametrize("models", ["/proc/x", "plain", "tight"])
def test_a_store_that_takes_nothing_is_told_before(assetctl, project, tmp_path, monkeypatch, models):
    (project / "plain").write_bytes(b"mine")
    if models == "tight":
        monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=10, total=10, used=0))
    else:
        monkeypatch.setenv("ASSETCTL_MODELS", str(project / models))
    file = write_lora(project / "whiskers.safetensors")
    wants(project, whiskers="./whiskers.safetensors")
    planned = assetctl("sync", "--dry-run", "--json")
    assert (planned.code, planned.error["code"], planned.error["reference"]) == (1, "storage", "whiskers")
    assert assetctl("sync", "--check", "--json").error["code"] == "out_of_date"
    assert assetctl("sync", "--json").error["code"] == "storage"
    planned = assetctl("pull", file, "--dry-run", "--json")
    assert (planned.code, planned.error["reference"]) == (1, str(file))
    assert assetctl("pull", file).code == 1


def test_a_lockfile_that_cannot_be_written_is_told_before(assetctl, project, tmp_path):
    write_lora(project / "whiskers.safetensors")
    wants(project, whiskers="./whiskers.safetensors")
    (project / "registry.lock").symlink_to(tmp_path / "elsewhere.lock")
    assert refused_alike(assetctl, "sync").code == 5
    assert assetctl("sync", "--check").code == 1


def test_what_is_locked_and_lies_nowhere_any_more_is_told_before(assetctl, project):
    file = write_lora(project / "whiskers.safetensors")
    wants(project, whiskers="./whiskers.safetensors")
    assetctl("lock")
    file.unlink()
    assert refused_alike(assetctl, "sync").code == 3


@pytest.mark.parametrize("more", [["--name", "a/b"], ["--tag", ""], ["--tag", "a\nb"]])
def test_a_pull_that_names_wrongly_is_refused_before(assetctl, tmp_path, more):
    assert refused_alike(assetctl, "pull", write_lora(tmp_path / "whiskers.safetensors"), *more).code == 2


def test_a_pull_of_several_shows_the_others_too(assetctl, tmp_path):
    good, bad = write_lora(tmp_path / "whiskers.safetensors"), tmp_path / "none.safetensors"
    ended = assetctl("pull", good, bad, "--dry-run", "--json")
    assert (ended.code, [each["reference"] for each in ended.error["errors"]]) == (3, [str(bad)])
    assert [each["name"] for each in ended.error["done"]] == ["whiskers.safetensors"]


def write_pickle(path):
    torch = pytest.importorskip("torch")
    said = {"string_to_token": {"*": 265}, "string_to_param": {"*": torch.randn(3, 768)}, "name": "ink", "step": 9}
    torch.save(said, path)


@pytest.mark.parametrize(
    ("out", "code"),
    [("there", 2), ("plain/x", 1), ("nowhere/x", 1), ("/proc/x", 1), ("x" * 300, 1), ("new", 0)],
)
def test_a_manifest_or_file_that_could_not_be_written_is_refused_before(assetctl, project, tmp_path, out, code):
    (project / "plain").write_bytes(b"mine")
    write_pickle(tmp_path / "ink.pt")
    for command, suffix in (("export", ".toml"), ("convert", ".safetensors")):
        place = f"{out}{suffix}"
        (project / f"there{suffix}").write_bytes(b"mine")
        asked = (command, *([tmp_path / "ink.pt"] if command == "convert" else []), "--out", place)
        if code:
            assert refused_alike(assetctl, *asked).code == code
            continue
        assert assetctl(*asked, "--dry-run", "--json").data["path"].endswith(place)
        assert not (project / place).exists()
        assert assetctl(*asked).code == 0


def test_a_conversion_says_where_it_would_lie(assetctl, home, tmp_path):
    write_pickle(tmp_path / "ink.pt")
    planned = assetctl("convert", tmp_path / "ink.pt", "--dry-run", "--json").data
    assert assetctl("list", "--json").data == []
    assert planned["path"] == assetctl("convert", tmp_path / "ink.pt", "--json").data[0]["path"]
    assert planned["size"] > 0


@pytest.mark.usefixtures("vocabulary")
def test_what_could_not_come_without_the_network_is_told_before(assetctl, project, hub, checkpoint):
    hub.add("ann/tiny", {"tiny.safetensors": checkpoint.read_bytes()})
    wants(project, tiny={"source": "hf://ann/tiny/tiny.safetensors", "kind": "checkpoint", "family": "sd1"})
    assetctl("lock")
    hub.requests.clear()
    planned = assetctl("sync", "--offline", "--dry-run", "--json")
    assert {each["reference"]: each["code"] for each in planned.error["errors"]} == {
        "tiny": "offline", VOCABULARY: "offline",
    }  # fmt: skip
    assert planned.code == assetctl("sync", "--offline").code == 6
    assert hub.requests == []
    assert assetctl("sync").code == assetctl("sync", "--offline", "--dry-run").code == 0
