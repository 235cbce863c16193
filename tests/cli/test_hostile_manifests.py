"""Manifests and lockfiles that somebody else wrote: what they name, where it leads, and what they may not have done."""

from __future__ import annotations

import hashlib
import os
import stat
import sys
import threading
import tomllib
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import product
from pathlib import Path
from types import SimpleNamespace

import pytest
import tomli_w
from material import write_embedding, write_lora

from assetctl.files.hashing import tree_sha256
from assetctl.settings import LARGEST

REPO = "cats/whiskers"


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """A folder that somebody else filled, with a file of its own and none of ours."""
    folder = tmp_path / "clone"
    write_embedding(folder / "mine.safetensors")
    (folder / "registry.toml").write_text('[assets.token]\nsource = "./mine.safetensors"\n')
    monkeypatch.chdir(folder)
    return folder


class Quiet(SimpleHTTPRequestHandler):
    """Gives away a folder, and keeps no log."""

    def log_message(self, *_):
        pass


@pytest.fixture
def web(tmp_path):
    """A folder on the web: its path, and its address."""
    folder = tmp_path / "web"
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield SimpleNamespace(folder=folder, url=f"http://127.0.0.1:{server.server_port}")
    server.shutdown()
    server.server_close()


@pytest.fixture
def project(tmp_path, monkeypatch, hub, civitai, web):
    """A project with an asset of each source, locked by nobody yet."""
    files = [write_lora(tmp_path / "source" / f"{n}.safetensors", seed=n).read_bytes() for n in range(3)]
    hub.add(REPO, {"whiskers.safetensors": files[0]})
    civitai.add(7, 42, ("patches.safetensors", files[1]))
    (web.folder / "ink.safetensors").write_bytes(files[2])
    folder = tmp_path / "project"
    write_embedding(folder / "mine.safetensors", seed=9)
    (folder / "registry.toml").write_text(
        f"""
[assets.whiskers]
source = "hf://{REPO}/whiskers.safetensors"

[assets.patches]
source = "civitai:7@42"

[assets.ink]
source = "{web.url}/ink.safetensors?token=hush"

[assets.token]
source = "./mine.safetensors"
"""
    )
    monkeypatch.chdir(folder)
    return folder


def told(ended):
    """The one sentence of a command that was refused."""
    assert ended.err.count("error: ") == 1, ended.err
    assert ended.err.count("hint: ") == 1, ended.err
    assert "has a defect" not in ended.err
    return ended.err


# Temporary names, and links where a file is to be written.


def test_no_link_that_was_laid_out_is_written_to(assetctl, clone, tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("mine")
    for name in ("registry.lock", "exported.toml"):
        (clone / f".{name}.{os.getpid()}.incoming").symlink_to(precious)
    assert assetctl("lock").code == 0
    assert assetctl("export", "--out", "exported.toml").code == 0
    assert precious.read_text() == "mine"
    links = [path for path in clone.iterdir() if path.name.endswith(".incoming")]
    assert all(path.is_symlink() for path in links)
    assert len(links) == 2  # nor is what was laid out removed


def test_a_lockfile_that_is_a_link_out_of_its_folder_is_refused(assetctl, clone, tmp_path):
    precious = tmp_path / "precious.toml"
    precious.write_text("version = 1\n")
    (clone / "registry.lock").symlink_to(precious)
    for command in (["lock"], ["sync"], ["lock", "--upgrade"]):
        ended = assetctl(*command)
        assert ended.code == 5
        assert "leads out of its folder" in told(ended)
    assert precious.read_text() == "version = 1\n"
    assert (clone / "registry.lock").is_symlink()


def test_a_lockfile_that_is_a_link_inside_its_folder_stays_one(assetctl, clone):
    (clone / "locks").mkdir()
    (clone / "registry.lock").symlink_to("locks/mine.lock")
    assert assetctl("lock").code == 0
    assert (clone / "registry.lock").is_symlink()
    assert "token" in (clone / "locks" / "mine.lock").read_text()


def test_a_lockfile_keeps_its_permissions(assetctl, clone):
    assetctl("lock")
    (clone / "registry.lock").chmod(0o640)
    assert assetctl("lock", "--upgrade").code == 0
    assert stat.S_IMODE((clone / "registry.lock").stat().st_mode) == 0o640


@pytest.mark.parametrize("name", ["registry.toml", "registry.lock", "config.toml"])
@pytest.mark.parametrize("kind", ["pipe", "folder", "device", "huge"])
def test_what_is_no_text_file_is_refused_at_once(assetctl, home, clone, name, kind):
    place = (home if name == "config.toml" else clone) / name
    place.parent.mkdir(exist_ok=True)
    place.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(place)
    elif kind == "folder":
        place.mkdir()
    elif kind == "device":
        place.symlink_to("/dev/zero")
    else:
        with place.open("wb") as file:
            file.truncate(LARGEST + 1)
    ended = assetctl("lock")
    assert ended.code == 5
    assert name in told(ended)


# Paths.


def outside(clone, tmp_path):
    """A file of ours that nobody else may read, and ways to name it from the clone."""
    key = write_embedding(tmp_path / "secrets" / "key.safetensors", seed=7)
    key.chmod(0o600)
    (clone / "link.safetensors").symlink_to(key)
    (clone / "folder").symlink_to(key.parent)
    return key, (
        str(key), "../secrets/key.safetensors", "~/secrets/key.safetensors", "./link.safetensors",
        "./folder/key.safetensors", "link.safetensors", "./folder/../../secrets/key.safetensors",
    )  # fmt: skip


def test_no_path_leaves_the_folder_of_the_manifest(assetctl, home, clone, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    key, ways = outside(clone, tmp_path)
    for way in ways:
        (clone / "registry.toml").write_text(f'[assets.x]\nsource = "{way}"\n')
        for command in (["lock"], ["lock", "--check"], ["sync"], ["sync", "--dry-run"]):
            ended = assetctl(*command)
            assert (ended.code, "assets.x.source leads out" in told(ended)) == (5, True), way
        assert not (clone / "registry.lock").exists()
    assert not (home / "models").exists()
    digest = hashlib.sha256(key.read_bytes()).hexdigest()
    lock = {"name": "x", "wanted": ways[0], "source": "path", "reference": ways[0], "format": "file", "sha256": digest}
    for way in (*ways, "./mine.safetensors"):
        (clone / "registry.toml").write_text(f'[assets.x]\nsource = "{way}"\n')
        entry = lock | {"wanted": way, "reference": way, "files": [{"path": "key.safetensors", "sha256": digest}]}
        (clone / "registry.lock").write_text(tomli_w.dumps({"version": 1, "assets": [entry]}))
        for command in (["sync", "--locked"], ["sync", "--frozen"], ["sync", "--check", "--locked"]):
            assert assetctl(*command).code in (1, 5), way
    assert assetctl("list", "--json").data == []


def test_a_locked_folder_takes_nothing_through_a_link(assetctl, home, clone, tmp_path):
    key, _ = outside(clone, tmp_path)
    weights = whole(clone / "whole")
    (clone / "registry.toml").write_text('[assets.x]\nsource = "./whole"\n')
    assert assetctl("lock").code == 0
    weights.unlink()
    weights.symlink_to(key)
    assert assetctl("lock", "--upgrade").code == 5
    digest = hashlib.sha256(write_lora(tmp_path / "l.safetensors").read_bytes()).hexdigest()
    told_key = hashlib.sha256(key.read_bytes()).hexdigest()
    lock = clone / "registry.lock"
    parsed = tomllib.loads(lock.read_text().replace(digest, told_key))
    lines = sorted(f"{file['sha256']}  {file['path']}\n" for file in parsed["assets"][0]["files"])
    parsed["assets"][0]["sha256"] = hashlib.sha256("".join(lines).encode()).hexdigest()
    for digests in (parsed, tomllib.loads(lock.read_text())):
        lock.write_text(tomli_w.dumps(digests))
        assert assetctl("sync", "--frozen").code in (1, 5)
    assert assetctl("list", "--json").data == []


def whole(folder):
    """A diffusers folder, by its weights."""
    (folder / "unet").mkdir(parents=True)
    (folder / "model_index.json").write_text('{"unet": ["diffusers", "UNet2DConditionModel"]}')
    (folder / "unet" / "config.json").write_text('{"_class_name": "UNet2DConditionModel"}')
    return write_lora(folder / "unet" / "diffusion_pytorch_model.safetensors")


@pytest.mark.parametrize("damage", ["[" * 100_000, " " * (2**20 + 1)])
def test_the_index_of_a_folder_is_read_with_care(assetctl, clone, damage):
    whole(clone / "whole")
    (clone / "whole" / "model_index.json").write_text(damage)
    (clone / "registry.toml").write_text('[assets.x]\nsource = "./whole"\n')
    ended = assetctl("lock")
    assert (ended.code, "model_index.json" in told(ended)) == (5, True)


def test_a_pipe_that_is_named_is_not_waited_for(assetctl, clone):
    assetctl("lock")
    (clone / "mine.safetensors").unlink()
    os.mkfifo(clone / "mine.safetensors")
    assert assetctl("sync", "--frozen").code in (1, 5)
    assert assetctl("lock", "--upgrade").code == 5


def test_an_exported_folder_from_elsewhere_needs_the_word_of_a_person(assetctl, clone, tmp_path):
    whole(tmp_path / "elsewhere" / "whole")
    assetctl("import", tmp_path / "elsewhere")
    ended = assetctl("export", "--out", "exported.toml")
    assert (ended.code, "--allow-outside" in ended.err) == (0, True)
    assert assetctl("sync", "--file", "exported.toml").code == 5
    assert assetctl("sync", "--file", "exported.toml", "--allow-outside").code == 0


def test_an_exported_file_with_a_folder_beside_it_needs_the_word_of_a_person(assetctl, clone, tmp_path):
    file = write_embedding(tmp_path / "elsewhere" / "x.safetensors")
    assetctl("import", file)
    assert "--allow-outside" not in assetctl("export").err
    (tmp_path / "elsewhere" / "x.config").mkdir()
    (tmp_path / "elsewhere" / "x.config" / "vae.json").write_text("{}")
    ended = assetctl("export", "--out", "exported.toml")
    assert (ended.code, "--allow-outside" in ended.err) == (0, True)
    assert assetctl("sync", "--file", "exported.toml").code == 5
    assert assetctl("sync", "--file", "exported.toml", "--allow-outside").code == 0


def test_a_path_may_leave_where_its_hash_is_named_or_a_person_says_so(assetctl, home, clone, tmp_path, monkeypatch):
    key, ways = outside(clone, tmp_path)
    digest = hashlib.sha256(key.read_bytes()).hexdigest()
    (clone / "registry.toml").write_text(f'[assets.x]\nsource = "{key}"\nsha256 = "{digest}"\n')
    assert assetctl("lock").code == 0
    assert assetctl("sync", "--locked").code == 0
    (asset,) = assetctl("list", "--json").data
    assert stat.S_IMODE(Path(asset["path"]).stat().st_mode) == 0o600
    (clone / "registry.toml").write_text(f'[assets.x]\nsource = "{ways[1]}"\n')
    monkeypatch.setenv("ASSETCTL_HOME", str(tmp_path / "another"))
    assert assetctl("sync").code == 5
    assert assetctl("lock", "--allow-outside").code == 0
    assert assetctl("sync", "--locked").code == 5
    assert assetctl("sync", "--locked", "--allow-outside").code == 0
    (clone / "registry.toml").write_text(f'[assets.x]\nsource = "{key}"\nsha256 = "{"0" * 64}"\n')
    assert assetctl("sync").code == 5


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("link", ["a file", "a folder", "the folder", "a folder of the clone"])
def test_nothing_beside_a_file_is_taken_through_a_link_whatever_hash_is_named(
    assetctl, home, clone, tmp_path, named, link
):
    theirs = tmp_path / ("clone" if "clone" in link else "") / ".docker"
    theirs.mkdir()
    (theirs / "config.json").write_text('{"auth": "hush"}')
    config = clone / "sub" / "mine.config"
    weights = write_embedding(clone / "sub" / "mine.safetensors", seed=3)
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    (clone / "registry.toml").write_text(
        '[assets.x]\nsource = "./sub/mine.safetensors"\n' + (f'sha256 = "{digest}"\n' if named else "")
    )
    assert assetctl("lock").code == 0
    lock = tomllib.loads((clone / "registry.lock").read_text())
    if link == "a file":
        config.mkdir()
        (config / "config.json").symlink_to(theirs / "config.json")
    elif link == "a folder":
        config.mkdir()
        (config / "vae").symlink_to(theirs)
    else:
        config.symlink_to(theirs)
    path = "mine.config/vae/config.json" if link == "a folder" else "mine.config/config.json"
    told_of = hashlib.sha256((theirs / "config.json").read_bytes()).hexdigest()
    for command in (
        ["lock", "--upgrade"],
        ["lock", "--upgrade", "--check"],
        ["sync", "--locked"],
        ["sync", "--frozen"],
    ):
        if command[0] == "sync":
            lock["assets"][0]["files"][1:] = [{"path": path, "sha256": told_of}]
            (clone / "registry.lock").write_text(tomli_w.dumps(lock))
        ended = assetctl(*command)
        assert (ended.code, "lies outside of" in told(ended)) == (5, True), command
    assert assetctl("list", "--json").data == []
    assert "hush" not in "".join(file.read_text() for file in home.rglob("*.json"))
    assert assetctl("sync", "--locked", "--allow-outside").code == 0


def test_what_lies_beside_a_file_elsewhere_is_not_what_its_hash_names(assetctl, clone, tmp_path):
    weights = write_embedding(tmp_path / "models" / "mine.safetensors", seed=3)
    (tmp_path / "models" / "mine.config").mkdir()
    (tmp_path / "models" / "mine.config" / "vae.json").write_text("{}")
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    (clone / "registry.toml").write_text(f'[assets.x]\nsource = "{weights}"\nsha256 = "{digest}"\n')
    ended = assetctl("lock")
    assert (ended.code, "--allow-outside" in told(ended)) == (5, True)
    assert assetctl("lock", "--allow-outside").code == 0
    assert assetctl("sync", "--locked").code == 5
    assert assetctl("sync", "--locked", "--allow-outside").code == 0


@pytest.mark.parametrize("command", ["pull", "import"])
def test_a_copy_may_be_read_by_nobody_who_might_not_read_the_file(assetctl, tmp_path, command):
    key = write_embedding(tmp_path / "key.safetensors")
    key.chmod(0o600)
    assert assetctl(command, key, *(["--copy"] if command == "import" else [])).code == 0
    (asset,) = assetctl("list", "--json").data
    assert stat.S_IMODE(Path(asset["path"]).stat().st_mode) == 0o600


def test_a_path_counts_from_the_manifest_wherever_one_stands(assetctl, clone, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (clone / "registry.toml").write_text('[assets.x]\nsource = "mine.safetensors"\n')
    write_embedding(tmp_path / "mine.safetensors", seed=5)
    assert assetctl("sync", "--file", clone / "registry.toml").code == 0
    (asset,) = assetctl("list", "--json").data
    assert asset["sha256"] == hashlib.sha256((clone / "mine.safetensors").read_bytes()).hexdigest()
    (clone / "mine.safetensors").unlink()
    assert assetctl("lock", "--upgrade", "--file", clone / "registry.toml").code == 3


def test_what_is_exported_beside_its_files_names_them_from_there(assetctl, clone, tmp_path, monkeypatch):
    assetctl("import", clone / "mine.safetensors")
    assert assetctl("export", "--out", clone / "exported.toml").code == 0
    (asset,) = tomllib.loads((clone / "exported.toml").read_text())["assets"].values()
    assert asset["source"] == "./mine.safetensors"
    monkeypatch.setenv("ASSETCTL_HOME", str(tmp_path / "another"))
    assert assetctl("sync", "--file", clone / "exported.toml").code == 0


# Lock entries must follow from what is wanted.


def altered(lock, name, **changes):
    """A lockfile with keys of one entry changed, or with those of its one file: `files__url`; `None` takes one away."""
    parsed = tomllib.loads(lock)
    entry = next(entry for entry in parsed["assets"] if entry["name"] == name)
    for key, value in changes.items():
        table = entry["files"][0] if key.startswith("files__") else entry
        own = key.removeprefix("files__")
        if value is None:
            table.pop(own, None)
        else:
            table[own] = value.format(**entry) if isinstance(value, str) else value
    return tomli_w.dumps(parsed)


EVIL = "https://evil.example"
ZERO = "0" * 64

#: Name of an asset, what a stranger changes in its entry, and the word by which that is told.
DEPARTURES = [
    ("whiskers", {"url": EVIL + "/cats/whiskers/blob/{revision}/whiskers.safetensors"}, "url"),
    ("whiskers", {"url": None}, "url"),
    ("whiskers", {"files__url": EVIL + "/x"}, "files.url"),
    ("whiskers", {"reference": "hf://evil/whiskers/whiskers.safetensors"}, "reference"),
    ("whiskers", {"reference": EVIL + "/whiskers.safetensors"}, "reference"),
    ("whiskers", {"source": "url", "reference": EVIL + "/whiskers.safetensors"}, "source"),
    ("whiskers", {"source": "path", "reference": "./mine.safetensors"}, "reference"),
    ("whiskers", {"source": "nobody's"}, "source"),
    ("whiskers", {"revision": "main"}, "revision"),
    ("whiskers", {"revision": None}, "revision"),
    ("whiskers", {"sha256": None, "files__sha256": None}, "sha256"),
    ("whiskers", {"files__sha256": None}, "sha256"),
    ("whiskers", {"sha256": None}, "sha256"),
    ("whiskers", {"sha256": ZERO}, "sha256"),
    ("whiskers", {"files__path": "other.safetensors"}, "files"),
    ("whiskers", {"format": "diffusers", "sha256": None}, "sha256"),
    ("patches", {"files__url": EVIL + "/api/download/models/42"}, "files.url"),
    ("patches", {"files__url": None}, "files.url"),
    ("patches", {"files__url": "https://civitai.com/api/download/models/43"}, "files.url"),
    ("patches", {"files__url": "https://civitai.com/redirect?to=/api/download/models/42"}, "files.url"),
    ("patches", {"files__url": "https://["}, "url"),
    ("patches", {"url": EVIL}, "url"),
    ("patches", {"reference": "civitai:7@43"}, "reference"),
    ("patches", {"revision": "43"}, "revision"),
    ("patches", {"sha256": None, "files__sha256": None}, "sha256"),
    ("ink", {"reference": EVIL + "/ink.safetensors"}, "reference"),
    ("ink", {"url": EVIL + "/ink.safetensors"}, "url"),
    ("ink", {"files__url": EVIL + "/ink.safetensors"}, "files.url"),
    ("ink", {"sha256": None, "files__sha256": None}, "sha256"),
    ("token", {"reference": "./other.safetensors"}, "reference"),
    ("token", {"files__path": "other.safetensors"}, "files"),
    ("token", {"url": EVIL}, "url"),
    ("token", {"source": "url", "reference": EVIL + "/x", "url": EVIL + "/x", "files__url": EVIL + "/x"}, "source"),
]  # fmt: skip


def test_a_lock_entry_follows_from_what_is_wanted_and_pins_every_byte(assetctl, project, hub, civitai):
    assert assetctl("lock").code == 0
    path = project / "registry.lock"
    good = path.read_text()
    for command in (["lock", "--check"], ["sync", "--locked", "--dry-run"], ["sync", "--frozen", "--dry-run"]):
        assert assetctl(*command).code == 0, command
    modes = (["sync", "--locked"], ["sync", "--check"], ["sync", "--frozen"], ["lock", "--check"])
    for number, (name, changes, word) in enumerate(DEPARTURES):
        path.write_text(altered(good, name, **changes))
        for command in modes[number % 2 :: 2] if number else modes:
            ended = assetctl(*command, "--json")
            message = ended.error["message"]
            assert (ended.code, ended.error["code"]) == (1, "out_of_date"), (name, changes, command, message)
            assert f"{name} (" in message, (changes, command, message)
            assert word in message, (changes, command, message)
            assert "hush" not in message
    assert [asset["name"] for asset in assetctl("list", "--json").data] == ["ink"]  # whose hash nobody promises


def test_what_is_not_to_be_trusted_is_locked_anew_and_told(assetctl, project):
    assetctl("lock")
    path = project / "registry.lock"
    good = path.read_text()
    for command in ("lock", "sync"):
        path.write_text(altered(good, "patches", files__url=EVIL))
        ended = assetctl(command)
        assert (ended.code, "patches was locked again" in ended.err) == (0, True)
        assert path.read_text() == good


def test_an_address_is_never_asked_that_only_a_lockfile_names(assetctl, project, civitai):
    assetctl("lock")
    path = project / "registry.lock"
    civitai.requests.clear()
    path.write_text(altered(path.read_text(), "patches", files__url=civitai.url + "/elsewhere"))
    assert assetctl("sync", "--frozen").code == 1
    assert civitai.requests == []


def test_the_files_beside_a_local_file_are_pinned_too(assetctl, clone):
    (clone / "mine.config").mkdir()
    (clone / "mine.config" / "vae.json").write_text("{}")
    assert assetctl("lock").code == 0
    lock = (clone / "registry.lock").read_text()
    assert lock.count('sha256 = "') == 3
    (clone / "mine.config" / "vae.json").write_text('{"a": 1}')
    assert assetctl("sync", "--locked").code == 5


def test_an_address_with_a_hash_can_be_planned_before_it_is_locked(assetctl, project, web):
    digest = hashlib.sha256((web.folder / "ink.safetensors").read_bytes()).hexdigest()
    source = f"{web.url}/ink.safetensors"
    (project / "registry.toml").write_text(f'[assets.ink]\nsource = "{source}"\nsha256 = "{digest}"\n')
    assert assetctl("lock", "--check", "--json").error["code"] == "out_of_date"
    assert assetctl("sync", "--check", "--json").error["code"] == "out_of_date"
    assert [step["action"] for step in assetctl("sync", "--dry-run", "--json").data] == ["add"]
    assert assetctl("sync").code == 0
    assert assetctl("sync", "--check").code == 0


PICKLE = b"cos\nsystem\n(S'echo x'\ntR."
UNET = "unet/diffusion_pytorch_model"

#: What a stranger adds to the files of a whole repository.
ADDED = {
    "code": ["setup.py"],
    "code in a folder": ["unet/setup.py"],
    "a pickle": ["unet/pytorch_model.bin"],
    "a pickle that is called weights": [f"{UNET}.BIN"],
    "weights of another variant": [f"{UNET}.fp16.safetensors"],
    "an index of a pickle": [f"{UNET}.bin.index.json"],
    "a file in a file": ["model_index.json/x.json"],
    "a text at the top": ["x.json"],
    "a text too deep": ["unet/deep/x.json"],
    "a twin": ["MODEL_INDEX.json"],
    "a twin in a folder": ["unet/Config.json"],
    "a twin of a folder": ["UNET/x.json"],
    "a twin in another form": ["unet/\u00e9.json", "unet/e\u0301.json"],
    "a hidden folder": ["_x/x.json"],
    "nothing but no weights": [],
}


@pytest.mark.parametrize("source", ["hf://cats/whole", "./whole"])
@pytest.mark.parametrize("case", ADDED)
def test_the_files_of_a_folder_are_those_that_could_be_chosen(assetctl, home, clone, hub, source, case):
    weights = whole(clone / "whole")
    hub.add("cats/whole", repository := files_of(clone / "whole"))
    (clone / "registry.toml").write_text(f'[assets.whole]\nsource = "{source}"\n')
    assert assetctl("lock").code == 0
    lock = tomllib.loads((clone / "registry.lock").read_text())
    (entry,) = lock["assets"]
    if not ADDED[case]:
        entry["files"] = [file for file in entry["files"] if not file["path"].endswith(weights.name)]
    entry["files"] += [{"path": path, "sha256": hashlib.sha256(PICKLE).hexdigest()} for path in ADDED[case]]
    entry["sha256"] = tree_sha256([(file["path"], file["sha256"]) for file in entry["files"]])
    (clone / "registry.lock").write_text(tomli_w.dumps(lock))
    hub.add("cats/whole", repository | dict.fromkeys(ADDED[case], PICKLE))
    for command in (["lock", "--check"], ["sync", "--locked"], ["sync", "--frozen"]):
        ended = assetctl(*command)
        assert (ended.code in (1, 2), "files" in told(ended)) == (True, True), (command, ended.err)
    assert not (home / "models").exists()


@pytest.mark.parametrize("source", ["hf://cats/whole", "./whole"])
def test_no_folder_comes_that_its_index_does_not_name(assetctl, home, clone, hub, source):
    whole(clone / "whole")
    (clone / "whole" / "evil").mkdir()
    (clone / "whole" / "evil" / "x.json").write_text("{}")
    hub.add("cats/whole", files_of(clone / "whole"))
    (clone / "registry.toml").write_text(f'[assets.whole]\nsource = "{source}"\n')
    assert assetctl("lock").code == 0
    lock = tomllib.loads(good := (clone / "registry.lock").read_text())
    (entry,) = lock["assets"]
    entry["files"].append({"path": "evil/x.json", "sha256": hashlib.sha256(b"{}").hexdigest()})
    entry["sha256"] = tree_sha256([(file["path"], file["sha256"]) for file in entry["files"]])
    (clone / "registry.lock").write_text(tomli_w.dumps(lock))
    ended = assetctl("sync", "--locked")
    assert (ended.code, "evil/x.json" in told(ended)) == (5, True)
    assert hub.downloads("safetensors") == []
    assert assetctl("list", "--json").data == []
    (clone / "registry.lock").write_text(good)
    assert assetctl("sync", "--locked").code == 0


@pytest.mark.parametrize("repo", ["cats/..", "cats/."])
def test_no_repository_is_another_folder(assetctl, home, clone, repo):
    whole(clone / "whole")
    files = [
        {"path": path, "sha256": hashlib.sha256(content).hexdigest()}
        for path, content in files_of(clone / "whole").items()
    ]
    digest, commit = tree_sha256([(file["path"], file["sha256"]) for file in files]), "a" * 40
    entry = {
        "name": "x", "wanted": f"hf://{repo}", "source": "huggingface", "reference": f"hf://{repo}", "revision": commit,
        "url": f"https://huggingface.co/{repo}/tree/{commit}", "format": "diffusers", "sha256": digest, "files": files,
    }  # fmt: skip
    (clone / "registry.toml").write_text(f'[assets.x]\nsource = "hf://{repo}"\n')
    (clone / "registry.lock").write_text(tomli_w.dumps({"version": 1, "assets": [entry]}))
    for command in (["lock"], ["lock", "--check"], ["sync", "--locked"], ["sync", "--frozen"], ["sync"]):
        ended = assetctl(*command)
        assert (ended.code, "does not name a model repository" in told(ended)) == (2, True), command
    assert not (home / "models").exists()


def files_of(folder):
    """The contents of a folder by their paths."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


DOWNLOAD = "https://civitai.com/api/download/models/42"


@pytest.mark.parametrize(
    ("wanted", "changes", "key"),
    [
        ("civitai:7@42", {"query": ""}, None),
        ("civitai:7@42", {"query": "?fileId=421"}, None),
        ("civitai:7@42", {"query": "?type=Model&format=SafeTensor&size=pruned&fp=fp16"}, None),
        ("civitai:7@42", {"query": "?type=VAE&format=SafeTensor"}, None),
        ("civitai:7@42", {"path": "old.pt"}, None),  # many embeddings are called so, and nothing else is to be had
        ("civitai:7@42?format=PickleTensor", {"query": "?type=Model&format=PickleTensor", "path": "x.pt"}, None),
        ("civitai:7@42?type=Archive", {"query": "?type=Archive", "path": "x.zip"}, None),
        ("civitai:by-hash/{sha256}", {"query": "?type=Archive", "path": "x.zip"}, None),
        ("civitai:7@42", {"query": "?format=PickleTensor"}, "files.url"),
        ("civitai:7@42", {"query": "?type=Training%20Data"}, "files.url"),
        ("civitai:7@42?format=SafeTensor", {"query": "?format=PickleTensor"}, "files.url"),
        ("civitai:7@42?type=VAE", {"query": "?type=Model"}, "files.url"),
        ("civitai:7@42?fp=fp16", {"query": "?fp=fp32"}, "files.url"),
        ("civitai:7@42", {"query": "?fileId=x"}, "files.url"),
        ("civitai:7@42", {"query": "?fileId=1&fileId=2"}, "files.url"),
        ("civitai:7@42", {"query": "?fileId=421&format=SafeTensor"}, "files.url"),
        ("civitai:7@42", {"query": "?format=SafeTensor&format=PickleTensor"}, "files.url"),
        ("civitai:7@42", {"query": "?to=https://evil.example"}, "files.url"),
        ("civitai:7@42", {"query": "?x"}, "files.url"),
        ("civitai:7@42", {"query": "?fileId=421", "url": DOWNLOAD + "?fileId=422"}, "url"),
        ("civitai:7@42", {"path": "a/x.safetensors"}, "files.path"),
        ("civitai:7@42", {"path": "evil.py"}, "files.path"),
        ("civitai:7@42?format=SafeTensor", {"path": "evil.pt"}, "files.path"),
    ],
)
def test_a_file_of_civitai_is_one_that_was_asked_for(assetctl, clone, wanted, changes, key):
    digest = hashlib.sha256(b"x").hexdigest()
    wanted, url = wanted.format(sha256=digest), DOWNLOAD + changes.get("query", "")
    file = {"path": changes.get("path", "x.safetensors"), "sha256": digest, "url": url}
    entry = {
        "name": "x", "wanted": wanted, "source": "civitai", "reference": wanted, "revision": "42", "format": "file",
        "url": changes.get("url", url), "sha256": digest, "files": [file],
    }  # fmt: skip
    (clone / "registry.toml").write_text(f'[assets.x]\nsource = "{wanted}"\n')
    (clone / "registry.lock").write_text(tomli_w.dumps({"version": 1, "assets": [entry]}))
    ended = assetctl("sync", "--locked", "--dry-run")
    assert (ended.code, key is None or f"its {key} does not" in told(ended)) == (0 if key is None else 1, True)


@pytest.mark.parametrize(
    "path", ["mine.config/a.py", "mine.config/a/b/c.json", "mine.config/a.bin", "mine.configs/a.json", "other.json"]
)
def test_nothing_lies_beside_a_local_file_but_its_texts(assetctl, clone, path):
    place = clone / path
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(b"{}")
    assert assetctl("lock").code == 0
    lock = tomllib.loads((clone / "registry.lock").read_text())
    lock["assets"][0]["files"].append({"path": path, "sha256": hashlib.sha256(b"{}").hexdigest()})
    (clone / "registry.lock").write_text(tomli_w.dumps(lock))
    for command in (["lock", "--check"], ["sync", "--locked"]):
        ended = assetctl(*command)
        assert (ended.code, "files" in told(ended)) == (1, True)


# What nobody sees.

HIDDEN = ["\u202e", "\u2066", "\u200e", "\u061c", "\u200b", "\u2060", "\ufeff", "\x1b", "\x07", "\x7f", "\x9b", "\x00"]

#: Keys of a manifest or lockfile that hold words.
PLACES = {
    "registry.toml": [
        ("assets", "token", "source"), ("assets", "token", "base_model"), ("assets", "token", "notes"),
        ("assets", "token", "tags"), ("assets", "token", "trigger_words"), ("recipes", "r", "prompt"),
        ("recipes", "r", "negative_prompt"), ("recipes", "r", "sampler"),
    ],
    "registry.lock": [
        ("assets", 0, "name"), ("assets", 0, "wanted"), ("assets", 0, "reference"), ("assets", 0, "revision"),
        ("assets", 0, "url"), ("assets", 0, "files", 0, "path"), ("assets", 0, "facts", "creator"),
        ("assets", 0, "facts", "trigger_words"),
    ],
}  # fmt: skip


def placed(parsed, where, value):
    """The tables with one value put somewhere."""
    at = parsed
    for key in where[:-1]:
        at = at.setdefault(key, {}) if isinstance(at, dict) else at[key]
    at[where[-1]] = value
    return parsed


@pytest.mark.parametrize("name", PLACES)
def test_what_nobody_sees_is_refused_by_the_name_of_its_key(assetctl, clone, name):
    assetctl("lock")
    good = (clone / name).read_text()
    command = "lock" if name == "registry.toml" else "sync"
    for where in PLACES[name]:
        for hidden in HIDDEN:
            text = f"good{hidden}bad"
            value = [text] if where[-1] in ("tags", "trigger_words") else text
            (clone / name).write_text(tomli_w.dumps(placed(tomllib.loads(good), where, value)), "utf-8")
            ended = assetctl(command, *(["--frozen"] if command == "sync" else []), "--json")
            message = ended.error["message"]
            key = "unsafe name" if where[-1] == "path" else str(where[-1])
            assert (ended.code, key in message) == (5 if where[-1] == "path" else 2, True), (where, message)


def test_names_hold_nothing_that_nobody_sees(assetctl, clone):
    for kind in ("assets", "recipes"):
        for hidden in (*HIDDEN, "\t", "\n", "\u200d", "\u3164"):
            tables = {"assets": {"token": {"source": "./mine.safetensors"}}}
            tables.setdefault(kind, {})[f"a{hidden}b"] = {"source": "./x"} if kind == "assets" else {}
            (clone / "registry.toml").write_text(tomli_w.dumps(tables), "utf-8")
            ended = assetctl("lock", "--json")
            assert (ended.code, kind in ended.error["message"]) == (2, True)
    for name in (".", "..", "a/b", "a:b", " a", "a" * 256):
        (clone / "registry.toml").write_text(tomli_w.dumps({"assets": {name: {"source": "./x"}}}))
        assert assetctl("lock").code == 2


def test_an_exported_path_is_right_and_all_of_it_is_seen(assetctl, clone):
    hidden = "\u202e\u0085\u200d\u00ad\U000e0041"
    paths = [
        str(clone / "models" / f"{name}.safetensors") for name in (f"a{hidden}b", f"{hidden}", "caf\u00e9", 'q"\\')
    ]
    for number, path in enumerate(paths):
        write_embedding(Path(path), seed=20 + number)
    assert assetctl("import", clone / "models").code == 0
    shown = assetctl("export").out
    assert assetctl("export", "--out", "exported.toml").code == 0
    written = (clone / "exported.toml").read_text("utf-8")
    for text in (shown, written, assetctl("export", "--json").data["manifest"]):
        sources = {asset["source"] for asset in tomllib.loads(text)["assets"].values()}
        assert {str((clone / source).resolve()) for source in sources} == set(paths)
        assert not set(text) & set("\u202e\u0085\u00ad\U000e0041\ufffd")
    assert r"a\u202E\u0085" in shown
    assert r"\U000E0041b" in shown


def test_prose_may_have_lines_and_joined_letters(assetctl, clone):
    notes = "one\n\ttwo \u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645 \U0001f469\u200d\U0001f3a4"
    tables = tomllib.loads((clone / "registry.toml").read_text())
    tables["assets"]["token"]["notes"] = notes
    (clone / "registry.toml").write_text(tomli_w.dumps(tables), "utf-8")
    assert assetctl("sync").code == 0
    assert assetctl("inspect", "token", "--json").data["notes"] == notes
    assert tomllib.loads(assetctl("export").out)["assets"]["token"]["notes"] == notes


def test_what_a_page_says_is_cleaned_before_it_is_kept(assetctl, tmp_path, civitai):
    content = write_lora(tmp_path / "x.safetensors", words="").read_bytes()
    civitai.add(
        7, 42, ("x\u202e\u200b.safetensors", content), trainedWords=["cal\u3164ico", "\u3164"], baseModel="Po\u3164ny",
        model_said={"creator": {"username": "a\u115fnn"}, "allowCommercialUse": ["Im\u202eage\x1b[31m"]},
    )  # fmt: skip
    assert assetctl("pull", "civitai:7@42").code == 0
    (asset,) = assetctl("list", "--json").data
    assert (asset["name"], asset["trigger_words"]) == ("x", ["calico"])
    facts = assetctl("inspect", "x", "--json").data["origin"]["facts"]
    assert (facts["base_model"], facts["creator"]) == ("Pony", "ann")
    assert not set(facts["licence"] or "") & set("\u202e\x1b")


def test_no_file_speaks_to_the_terminal(assetctl, tmp_path):
    said = "\x1b]0;owned\x07[red]words[/red]\x9b31m"
    write_lora(tmp_path / "x.safetensors", words=said)
    (tmp_path / "x.json").write_text(
        f'{{"activation text": "a", "notes": "\\u001b]0;owned\\u0007 [bold]{chr(0x9B)}1m"}}'
    )
    (tmp_path / "y.civitai.info").write_text(
        '{"trainedWords": ["\\u202eevil", "[red]fine"], "baseModel": "\\u001b[1m"}'
    )
    write_lora(tmp_path / "y.safetensors", words="", seed=2)
    assetctl("import", tmp_path)
    names = [asset["name"] for asset in assetctl("list", "--json").data]
    shown = [assetctl("list"), assetctl("search", "words"), assetctl("check", *names), assetctl("identify", tmp_path)]
    shown += [assetctl("inspect", name) for name in names] + [assetctl("prompt", said), assetctl("check", said)]
    for ended in shown:
        text = ended.out + ended.err
        assert not [character for character in text if character < " " and character not in "\n\t\r"]
        assert not set(text) & set("\x7f\x9b\u202e")
    assert "[red]words[/red]" in shown[0].out  # as it is written, and no colour


def test_no_document_speaks_to_the_terminal_and_a_program_gets_all_of_it(assetctl, tmp_path, monkeypatch):
    write_lora(tmp_path / "x.safetensors", words="a\x9b31m\u202eb")
    assetctl("import", tmp_path)
    piped = assetctl("inspect", "x", "--json")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    shown = assetctl("inspect", "x", "--json")
    assert not set(shown.out) & set("\x9b\u202e")
    assert shown.data == piped.data
    assert shown.data["metadata"]["modelspec.trigger_phrase"] == "a\x9b31m\u202eb"


# Anything at all.

VALUES = [
    5, -1, 10**400, 1e308, float("nan"), True, "", "x" * 10**5, "https://[", [], {}, [[5]], {"a": {"b": [1]}},
    tomllib.loads("a = 1979-05-27")["a"],
]  # fmt: skip


def keys_of(tables, at=()):
    """Where each value of a document stands, tables and lists included."""
    pairs = tables.items() if isinstance(tables, dict) else enumerate(tables)
    for key, value in pairs:
        yield (*at, key)
        if isinstance(value, (dict, list)):
            yield from keys_of(value, (*at, key))


GOOD = """
[assets.token]
source = "./mine.safetensors"
sha256 = "{digest}"
kind = "embedding"
family = "sd1"
base_model = "SD 1.5"
trigger_words = ["a"]
tags = ["b"]
default_weight = 0.5
notes = "n"

[recipes.r]
checkpoint = "token"
loras = ["token:0.5"]
embeddings = ["token"]
vae = "token"
prompt = "p"
negative_prompt = "n"
steps = 5
cfg = 3.5
sampler = "Euler"
size = "64x64"
clip_skip = 1
seed = 5
"""


def written(tables):
    """A document as text; a number that no writer takes goes as hexadecimal digits, which reach any length."""
    marked = tomli_w.dumps(replaced(tables))
    return marked.replace('"<huge>"', f"{10**400:#x}")


def replaced(value):
    if isinstance(value, dict):
        return {key: replaced(each) for key, each in value.items()}
    if isinstance(value, list):
        return [replaced(each) for each in value]
    return "<huge>" if isinstance(value, int) and value > 2**63 else value


def test_no_value_anywhere_is_a_defect(assetctl, home, clone, monkeypatch):
    for variable in ("HF_ENDPOINT", "ASSETCTL_CIVITAI_ENDPOINT"):
        monkeypatch.setenv(variable, "http://127.0.0.1:1")
    digest = hashlib.sha256((clone / "mine.safetensors").read_bytes()).hexdigest()
    manifest = clone / "registry.toml"
    good = GOOD.format(digest=digest)
    manifest.write_text(good)
    assert assetctl("lock").code == 0
    lock = clone / "registry.lock"
    lock.write_text(lock.read_text() + '[assets.facts]\npage = "p"\ncreator = "c"\ntrigger_words = ["w"]\n')
    locked = lock.read_text()
    assert assetctl("sync", "--frozen").code == 0
    commands = (["lock", "--check"], ["sync", "--dry-run"], ["generate", "--recipe", "r", "--dry-run"])
    for path, text, asked in ((manifest, good, commands), (lock, locked, (*commands[:2], ["sync", "--frozen"]))):
        for number, (where, value) in enumerate(product(keys_of(tomllib.loads(text)), VALUES)):
            path.write_text(written(placed(tomllib.loads(text), where, value)))
            command = asked[
                (number + number // len(VALUES)) % len(asked)
            ]  # all keys, and all values, meet all commands
            ended = assetctl(*command)
            case = (where, repr(type(value)), command, ended.err)
            assert ended.code in range(7), case
            assert "has a defect" not in ended.err, case
            assert len(ended.err) < 5000, case
        path.write_text(text)


#: Texts of a manifest, a lockfile or a configuration that no parser should choke on.
DOCUMENTS = {
    "deep lists": "a = " + "[" * 10_000,
    "deep tables": "a = " + "{a=" * 10_000,
    "a long key": ".".join(["a"] * 100_000) + " = 1",
    "a long header": "[" + ".".join(["a"] * 100_000) + "]",
    "a long number": "a = " + "1" * 100_000,
    "a longer one": "a = 0x" + "f" * 100_000,
    "a key twice": "a = 1\na = 1",
    "a table twice": "[a]\n[a]",
    "tables in a row": "[[assets]]\n[[assets]]\nsource = 'x'",
    "no UTF-8": b"a = '\xff'",
    "nothing": b"\x00",
    "a quote": '"' * 1000,
    "an odd key": '"\\u202e\\u001b[1m" = 1',
    "a key without end": "x" * 100_000 + " = 1",
}


@pytest.mark.parametrize("case", DOCUMENTS)
def test_no_document_is_a_defect(assetctl, home, clone, case):
    text = DOCUMENTS[case]
    assetctl("lock")
    home.mkdir(exist_ok=True)
    for path in (clone / "registry.toml", clone / "registry.lock", home / "config.toml"):
        before = path.read_bytes() if path.exists() else None
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        ended = assetctl("lock", "--check")
        assert (ended.code, path.name in told(ended), len(ended.err) < 2000) == (2, True, True), ended.err
        path.unlink() if before is None else path.write_bytes(before)


@pytest.mark.parametrize("name", ["models", "outputs", "dtype", "device", "offline", "downloads"])
def test_no_setting_is_a_defect(assetctl, home, name):
    home.mkdir()
    for value in VALUES:
        (home / "config.toml").write_text(written({name: value}))
        ended = assetctl("list")
        assert ended.code in (0, 1, 2), ended.err
        assert "has a defect" not in ended.err
        assert len(ended.err) < 2000 or value == "x" * 10**5


def test_a_mark_and_other_line_ends_are_no_mistake(assetctl, clone):
    assetctl("lock")
    for name in ("registry.toml", "registry.lock"):
        text = (clone / name).read_bytes()
        (clone / name).write_bytes(b"\xef\xbb\xbf" + text.replace(b"\n", b"\r\n"))
    assert assetctl("lock", "--check").code == 0


def test_thousands_of_assets_take_time_in_proportion(assetctl, clone):
    """So many that a square of them would be noticed; the last is wrong, so that none is asked for."""
    text = "".join(f'[assets.a{n}]\nsource = "./a{n}.safetensors"\n' for n in range(5_000))
    (clone / "registry.toml").write_text(text + "[assets.A9]\nsource = './x'\n")
    ended = assetctl("lock")
    assert (ended.code, "only in upper and lower case" in told(ended)) == (2, True)


@pytest.mark.parametrize(
    ("key", "value"),
    [("size", -1), ("size", 2**51), ("size", 1.5), ("sha256", "0" * 63), ("sha256", "A" * 64), ("git_oid", "x")],
)
def test_sizes_and_hashes_of_a_lockfile_have_their_form(assetctl, clone, key, value):
    assetctl("lock")
    path = clone / "registry.lock"
    path.write_text(altered(path.read_text(), "token", **{f"files__{key}": value}))
    for command in (["sync", "--frozen"], ["lock"]):
        ended = assetctl(*command)
        assert (ended.code, key in told(ended)) == (2, True)
