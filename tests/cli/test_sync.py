"""Manifests and lockfiles: another machine becomes the same, against sources on the loopback."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest
from material import write_embedding, write_lora

from assetctl import Registry

REPO = "cats/whiskers"


@pytest.fixture
def contents(tmp_path):
    source = tmp_path / "source"
    return {
        "hub": write_lora(source / "hub.safetensors", rank=16).read_bytes(),
        "civitai": write_lora(source / "civitai.safetensors", "sdxl", seed=1).read_bytes(),
        "mine": write_embedding(source / "mine.safetensors", seed=2).read_bytes(),
    }


@pytest.fixture
def manifest(tmp_path, monkeypatch, hub, civitai, contents):
    """A project with an asset of each source."""
    hub.add(REPO, {"whiskers.safetensors": contents["hub"]})
    civitai.add(7, 42, ("patches.safetensors", contents["civitai"]), baseModel="Pony")
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "mine.safetensors").write_bytes(contents["mine"])
    write_embedding(folder / "more.safetensors", seed=3)
    (folder / "registry.toml").write_text(
        f"""
[assets.whiskers]
source = "hf://{REPO}/whiskers.safetensors"
tags = ["cats"]
default_weight = 0.7

[assets.pony-patches]
source = "civitai:7"
trigger_words = ["patches"]

[assets.token]
source = "./mine.safetensors"

[recipes.portrait]
loras = ["whiskers:0.5", "pony-patches"]
embeddings = ["token"]
"""
    )
    monkeypatch.chdir(folder)
    return folder / "registry.toml"


def actions(ended):
    return {step["name"]: step["action"] for step in ended.data}


def test_a_machine_gets_all_of_it_and_another_the_same(assetctl, home, tmp_path, monkeypatch, manifest, contents, hub):
    ended = assetctl("sync", "--json")
    assert actions(ended) == dict.fromkeys(("whiskers", "pony-patches", "token"), "add")
    assets = {asset["name"]: asset for asset in assetctl("list", "--json").data}
    assert assets.keys() == {"whiskers", "pony-patches", "token"}
    assert (assets["whiskers"]["tags"], assets["whiskers"]["default_weight"]) == (["cats"], 0.7)
    assert assets["pony-patches"]["trigger_words"] == ["patches"]
    lock = manifest.with_suffix(".lock").read_text()
    assert hub.repositories[REPO].commit in lock

    hub.add(REPO, {"whiskers.safetensors": write_lora(tmp_path / "newer.safetensors", seed=9).read_bytes()})
    hub.repositories[REPO].revisions = ("main",)
    first = {name: asset["sha256"] for name, asset in assets.items()}
    hub.add(REPO, {"whiskers.safetensors": contents["hub"]})
    monkeypatch.setenv("ASSETCTL_HOME", str(tmp_path / "other-home"))
    assert assetctl("sync", "--locked").code == 0
    assert {asset["name"]: asset["sha256"] for asset in assetctl("list", "--json").data} == first
    assert manifest.with_suffix(".lock").read_text() == lock


def test_a_second_run_does_nothing_and_asks_nobody(assetctl, manifest, hub, civitai):
    assetctl("sync")
    hub.requests.clear()
    civitai.requests.clear()
    ended = assetctl("sync", "--json")
    assert set(actions(ended).values()) == {"keep"}
    assert (hub.requests, civitai.requests) == ([], [])
    assert assetctl("sync", "--check").code == 0


def test_a_plan_is_shown_and_nothing_is_done(assetctl, home, manifest, hub):
    ended = assetctl("sync", "--dry-run", "--json")
    assert actions(ended)["whiskers"] == "add"
    assert next(step["size"] for step in ended.data if step["name"] == "whiskers") > 0
    assert assetctl("list", "--json").data == []
    assert not manifest.with_suffix(".lock").exists()
    assert hub.downloads("whiskers.safetensors") == []
    assert assetctl("sync", "--check").code == 1


def test_what_is_on_disk_is_adopted_and_not_fetched(assetctl, tmp_path, manifest, contents, hub):
    folder = tmp_path / "webui"
    folder.mkdir()
    (folder / "old name.safetensors").write_bytes(contents["hub"])
    assetctl("import", folder)
    assert actions(assetctl("sync", "--json"))["whiskers"] == "adopt"
    assert hub.downloads("whiskers.safetensors") == []
    asset = assetctl("inspect", "whiskers", "--json").data
    assert (asset["path"], asset["tags"]) == (str(folder / "old name.safetensors"), ["cats"])


def test_what_has_the_name_steps_aside(assetctl, tmp_path, manifest):
    write_lora(tmp_path / "webui" / "whiskers.safetensors", seed=77)
    assetctl("import", tmp_path / "webui")
    assert actions(assetctl("sync", "--json"))["whiskers"] == "change"
    names = {asset["name"]: asset["in_store"] for asset in assetctl("list", "--json").data}
    assert (names["whiskers"], names["whiskers-2"]) == (True, False)
    assert set(actions(assetctl("sync", "--json")).values()) == {"keep"}


@pytest.mark.parametrize("names", [(".x", "x"), ("x", ".x"), ("..x", ".x"), (".X", "x"), ("x", "y")])
def test_names_that_look_like_temporary_ones_are_given_and_swapped(assetctl, manifest, names):
    def wanted(first, second):
        sources = {first: "./mine.safetensors", second: "./more.safetensors"}
        manifest.write_text("".join(f'[assets."{name}"]\nsource = "{source}"\n' for name, source in sources.items()))

    files = [manifest.with_name("mine.safetensors"), manifest.with_name("more.safetensors")]
    digests = [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]
    for given in (names, names[::-1], ("a", names[1]), names):
        wanted(*given)
        assert assetctl("sync").code == 0
        hashes = {asset["name"]: asset["sha256"] for asset in assetctl("list", "--json").data}
        assert hashes == dict(zip(given, digests, strict=True))
        assert assetctl("sync", "--check").code == 0


def test_what_was_changed_is_fetched_again_and_the_changed_bytes_are_kept(assetctl, home, manifest, contents):
    assetctl("sync")
    place = home / "models" / "loras" / "whiskers.safetensors"
    place.write_bytes(b"mine now")
    assert actions(assetctl("sync", "--dry-run", "--json"))["whiskers"] == "restore"
    ended = assetctl("sync")
    aside = place.with_name("whiskers.changed-1.safetensors")
    assert "whiskers: was missing or changed" in ended.out
    assert f"kept as {aside}" in ended.err
    assert (place.read_bytes(), aside.read_bytes()) == (contents["hub"], b"mine now")
    assert set(actions(assetctl("sync", "--json")).values()) == {"keep"}


def test_prune_removes_what_the_store_has_too_much_and_no_file_of_yours(assetctl, home, tmp_path, manifest):
    mine = write_lora(tmp_path / "webui" / "mine-too.safetensors", seed=5)
    extra = write_lora(tmp_path / "extra.safetensors", seed=6)
    assetctl("import", mine)
    assetctl("pull", extra)
    assert "extra" not in actions(assetctl("sync", "--json"))
    assert actions(assetctl("sync", "--prune", "--json"))["extra"] == "remove"
    assert not (home / "models/loras/extra.safetensors").exists()
    assert {"mine-too"} == {a["name"] for a in assetctl("list", "--json").data} - {"whiskers", "pony-patches", "token"}
    assert mine.exists()
    assert [(each["name"], each["reason"]) for each in assetctl("trash", "--json").data] == [("extra", "sync")]


def test_what_prune_removes_now_is_gone_for_good(assetctl, home, tmp_path, manifest):
    assetctl("pull", write_lora(tmp_path / "extra.safetensors", seed=6))
    assert assetctl("sync", "--now").code == 2
    assert actions(assetctl("sync", "--prune", "--now", "--json"))["extra"] == "remove"
    assert not (home / "models/loras/extra.safetensors").exists()
    assert assetctl("trash", "--json").data == []


def test_prune_spares_what_could_not_be_had_again(assetctl, home, tmp_path, manifest, hub):
    hub.add(
        "cats/other", {"fetched.safetensors": (other := write_lora(tmp_path / "o.safetensors", seed=8)).read_bytes()}
    )
    loras = home / "models" / "loras"
    assetctl("import", "--move", write_lora(tmp_path / "only-copy.safetensors", seed=5))
    assetctl("import", "--copy", write_lora(tmp_path / "copied.safetensors", seed=6))
    assetctl("pull", "hf://cats/other/fetched.safetensors")
    assetctl("pull", write_lora(tmp_path / "mended.safetensors", seed=7))
    (loras / "mended.safetensors").write_bytes(other.read_bytes() + b"mine")
    expected = {"only-copy": "spare", "mended": "spare", "copied": "remove", "fetched": "remove"}
    assert actions(assetctl("sync", "--prune", "--json")).items() >= expected.items()
    assert {path.name for path in loras.iterdir()} >= {"only-copy.safetensors", "mended.safetensors"}
    assert not (loras / "copied.safetensors").exists()
    assert not (loras / "fetched.safetensors").exists()
    ended = assetctl("sync", "--prune")
    assert "only-copy: is not in the lockfile, and stays" in ended.out
    assert assetctl("sync", "--prune", "--check").code == 0


def test_prune_spares_what_lies_on_a_disk_that_is_not_mounted(assetctl, home, tmp_path, manifest):
    loras = home / "models" / "loras"
    assetctl("import", "--move", write_lora(tmp_path / "only-copy.safetensors", seed=5))
    loras.rename(tmp_path / "unmounted")
    manifest.write_text("")
    assert actions(assetctl("sync", "--prune", "--json")) == {"only-copy": "spare"}
    (tmp_path / "unmounted").rename(loras)
    assert assetctl("verify", "only-copy").code == 0


@pytest.mark.parametrize("label", ['base_model = "sd 1.5"', 'trigger_words = ["cat", "dog", "cat"]', 'notes = ""'])
def test_labels_as_the_catalog_keeps_them_are_in_sync(assetctl, manifest, label):
    manifest.write_text(f'[assets.token]\nsource = "./mine.safetensors"\n{label}\n')
    assert assetctl("sync").code == 0
    assert assetctl("sync", "--check").code == 0


def test_a_file_of_the_store_that_was_written_to_is_not_fetched_from_itself(assetctl, home, tmp_path, manifest):
    assetctl("import", "--move", write_lora(tmp_path / "only-copy.safetensors", seed=5))
    stored = home / "models" / "loras" / "only-copy.safetensors"
    manifest.unlink()
    assert assetctl("export", "only-copy", "--out", manifest).code == 0
    assert assetctl("sync", "--allow-outside").code == 0
    before = assetctl("inspect", "only-copy", "--json").data["sha256"]
    other = write_lora(tmp_path / "other.safetensors", seed=6).read_bytes()
    stored.write_bytes(other)
    for _ in range(2):
        ended = assetctl("sync", "--allow-outside", "--json")
        assert (ended.code, ended.error["code"]) == (5, "hash_mismatch")
    assert assetctl("list", "--json").data[0]["sha256"] == before
    assert stored.read_bytes() == other


def test_what_cannot_be_resolved_again_stays_locked(assetctl, manifest, hub):
    assert assetctl("lock").code == 0
    path = manifest.with_suffix(".lock")
    pinned = next(each for each in tomllib.loads(path.read_text())["assets"] if each["name"] == "whiskers")
    text = manifest.read_text()
    manifest.write_text(text.replace("whiskers.safetensors", "wiskers.safetensors").replace("mine.", "more."))
    assert assetctl("sync").code != 0
    locked = {each["name"]: each for each in tomllib.loads(path.read_text())["assets"]}
    assert locked.keys() == {"whiskers", "pony-patches", "token"}
    assert locked["whiskers"] == pinned
    assert assetctl("sync", "--locked").code == 1
    manifest.write_text(text)
    assert assetctl("lock", "--json").data["resolved"] == ["token"]


def test_locked_fails_where_the_lockfile_is_out_of_date_and_frozen_does_not_look(assetctl, manifest):
    assert assetctl("lock").code == 0
    manifest.write_text(manifest.read_text() + '\n[assets.more]\nsource = "./more.safetensors"\n')
    ended = assetctl("sync", "--locked")
    assert (ended.code, "more" in ended.err, "assetctl lock" in ended.err) == (1, True, True)
    assert assetctl("lock", "--check").code == 1
    assert assetctl("sync", "--frozen").code == 0
    assert assetctl("sync").code == 0


def test_what_is_locked_stays_until_it_is_upgraded(assetctl, tmp_path, manifest, hub):
    assetctl("lock")
    before = manifest.with_suffix(".lock").read_text()
    hub.add(REPO, {"whiskers.safetensors": write_lora(tmp_path / "newer.safetensors", seed=9).read_bytes()})
    assert assetctl("lock", "--json").data["changed"] is False
    assert manifest.with_suffix(".lock").read_text() == before
    assert "whiskers" in assetctl("lock", "--upgrade", "--json").data["resolved"]
    assert manifest.with_suffix(".lock").read_text() != before


def test_bytes_that_the_manifest_does_not_want_are_refused(assetctl, manifest):
    text = manifest.read_text().replace("[assets.token]", f'sha256 = "{"0" * 64}"\n\n[assets.token]')
    manifest.write_text(text)
    ended = assetctl("lock", "--json")
    assert (ended.code, ended.error["code"]) == (5, "hash_mismatch")
    assert not manifest.with_suffix(".lock").exists()


@pytest.fixture
def pipeline(tmp_path, manifest, hub):
    """A diffusers folder on the Hub, and the same one on this disk."""
    weights = write_lora(tmp_path / "w.safetensors").read_bytes()
    files = {
        "model_index.json": b'{"unet": ["diffusers", "UNet2DConditionModel"]}',
        "unet/config.json": b'{"_class_name": "UNet2DConditionModel", "cross_attention_dim": 768, "in_channels": 4}',
        "unet/diffusion_pytorch_model.safetensors": weights,
    }
    for name, content in files.items():
        place = manifest.parent / "mine" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
    return hub.add("cats/pipeline", files)


@pytest.mark.parametrize("source", ["hf://cats/pipeline", "./mine"])
def test_a_folder_is_locked_with_the_hash_of_every_file(assetctl, manifest, pipeline, source):
    manifest.write_text(f'[assets.whole]\nsource = "{source}"\n')
    assert assetctl("lock").code == 0
    (locked,) = tomllib.loads(manifest.with_suffix(".lock").read_text())["assets"]
    hashes = {file["path"]: file["sha256"] for file in locked["files"]}
    assert hashes == {path: hashlib.sha256(content).hexdigest() for path, content in pipeline.files.items()}
    assert actions(assetctl("sync", "--json")) == {"whole": "add"}
    assert assetctl("list", "--json").data[0]["sha256"] == locked["sha256"]
    assert actions(assetctl("sync", "--json")) == {"whole": "keep"}


def test_a_folder_on_disk_is_adopted(assetctl, manifest, pipeline, hub):
    manifest.write_text('[assets.whole]\nsource = "hf://cats/pipeline"\n')
    assetctl("import", manifest.parent / "mine")
    assert actions(assetctl("sync", "--json")) == {"whole": "adopt"}
    assert hub.downloads("/blobs/") == []


def test_offline_uses_what_is_here(assetctl, manifest, monkeypatch):
    assetctl("sync")
    monkeypatch.setenv("ASSETCTL_OFFLINE", "1")
    assert assetctl("sync").code == 0
    assetctl("rm", "whiskers", "--yes")
    ended = assetctl("sync", "--json")
    assert (ended.code, ended.error["code"]) == (6, "offline")


def test_offline_can_be_asked_for_once(assetctl, manifest, hub, civitai):
    assert assetctl("sync", "--offline").code == 6
    assetctl("sync")
    hub.requests.clear()
    civitai.requests.clear()
    assert assetctl("sync", "--offline").code == 0
    assert hub.requests == []
    assert civitai.requests == []
    assetctl("rm", "whiskers", "--yes")
    assert assetctl("sync", "--offline", "--json").error["code"] == "offline"
    assert assetctl("sync").code == 0


@pytest.mark.parametrize(
    ("text", "line", "word"),
    [
        ("[assets.a]\nsource = 5\n", 2, "assets.a.source"),
        ("[assets.a]\n\nsorce = 'x'\nsource = 'y'\n", 3, "assets.a.sorce"),
        ("[assets.a]\ntags = ['x']\n", 1, "assets.a.source"),
        ("[assets.a]\nsource = 'x'\nsha256 = 'abc'\n", 3, "sha256"),
        ("[assets.a]\nsource = 'x'\n[recipes.r]\nloras = ['b']\n", 4, "'b'"),
        ("[assets.'../a']\nsource = 'x'\n", 1, "name"),
        ("[assets.a\n", 1, "TOML"),
        ("[thing]\n", 1, "thing"),
        ("\n[asset.a]\nsource = 'x'\n", 2, "asset is"),
        ("\nasets.a.source = 'x'\n", 2, "asets is"),
        ("\nassets = 3\n", 2, "assets is not"),
        ("[assets.a]\nsource = 'x'\nkind = 'lroa'\n", 3, "assets.a.kind"),
        ("[assets.a]\nsource = 'x'\nfamily = 'sd15'\n", 3, "assets.a.family"),
        ("[assets.a]\nsource = 'x'\ndefault_weight = 500\n", 3, "assets.a.default_weight"),
        ("[assets.a]\nsource = 'x'\ntags = ['cats', 'big\u3000cat']\n", 3, "assets.a.tags"),
        ("[assets.a]\nsource = 'x'\n[recipes.r]\nsampler = 'Eulr'\n", 4, "recipes.r.sampler"),
        ("[assets.a]\nsource = 'x'\n[recipes.r]\nsize = '515x512'\n", 4, "recipes.r.size"),
    ],
)
def test_a_mistake_names_line_and_key(assetctl, manifest, text, line, word):
    manifest.write_text(text)
    ended = assetctl("lock", "--json")
    message = ended.error["message"]
    assert (ended.code, f"line {line}" in message, word in message) == (2, True, True), message


def test_a_mark_before_the_text_is_no_mistake(assetctl, manifest):
    manifest.write_bytes(b"\xef\xbb\xbf" + manifest.read_bytes().lstrip())
    assert assetctl("lock").code == 0


def test_no_manifest_says_how_to_get_one(assetctl, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ended = assetctl("sync")
    assert (ended.code, "registry.toml" in ended.err, "hint" in ended.err) == (3, True, True)


@pytest.mark.parametrize(
    "damage", ["version = 9\n", "version = 1\nassets = 3\n", "version = 1\n[[assets]]\nname = 'a'\n"]
)
def test_a_damaged_lockfile_is_told(assetctl, manifest, damage):
    manifest.with_suffix(".lock").write_text(damage)
    ended = assetctl("sync", "--frozen")
    assert (ended.code, "assetctl lock" in ended.err) == (2, True)


@pytest.mark.parametrize("command", ["lock", "sync"])
@pytest.mark.parametrize("version", ["version = 1\n", "version = 4\n", ""])
def test_another_programs_lockfile_is_left_as_it_is(assetctl, manifest, command, version):
    path = manifest.with_suffix(".lock")
    path.write_text(theirs := f'{version}\n[[package]]\nname = "x"\n')
    ended = assetctl(command)
    assert (ended.code, "another name" in ended.err, "Remove" in ended.err) == (2, True, False)
    assert path.read_text() == theirs


def test_a_lockfile_can_not_write_outside_of_the_store(assetctl, home, manifest):
    assetctl("lock")
    path = manifest.with_suffix(".lock")
    path.write_text(path.read_text().replace('"whiskers.safetensors"', '"../../evil.safetensors"'))
    ended = assetctl("sync", "--frozen")
    assert (ended.code, "unsafe" in ended.err) == (5, True)
    assert not list(home.parent.rglob("evil*"))


def test_killed_at_any_moment_it_goes_on(assetctl, home, manifest, hub):
    hub.throttle = 200_000
    for number in range(6):
        process = subprocess.Popen(
            [sys.executable, "-m", "assetctl", "sync"], stderr=subprocess.DEVNULL, env=os.environ
        )
        time.sleep(0.25 + number * 0.12)
        process.send_signal(signal.SIGKILL)
        process.wait()
        for asset in assetctl("list", "--json").data:
            assert assetctl("verify", asset["name"]).code == 0
    hub.throttle = None
    assert assetctl("sync").code == 0
    assert set(actions(assetctl("sync", "--json")).values()) == {"keep"}
    assert assetctl("verify").code == 0


def told(assetctl, name="pony-patches"):
    """What the catalog knows by the page of an asset."""
    data = assetctl("inspect", name, "--json").data
    return data["base_model"], data["trigger_words"], data["origin"]["facts"]


@pytest.fixture
def page(civitai, manifest, contents):
    """A page that says more than the file does."""
    civitai.models.clear()
    civitai.add(
        7, 42, ("patches.safetensors", contents["civitai"]), baseModel="Pony", trainedWords=["calico"],
        model_said={"allowCommercialUse": ["RentCivit"], "creator": {"username": "ann"}},
    )  # fmt: skip
    manifest.write_text('[assets.pony-patches]\nsource = "civitai:7@42"\n')


def test_what_a_page_says_is_kept_as_a_pull_keeps_it(assetctl, home, tmp_path, monkeypatch, page, civitai):
    assetctl("pull", "civitai:7@42", "--name", "pony-patches")
    pulled = told(assetctl)
    assert pulled[:2] == ("Pony", ["calico"])
    for place in ("synced", "another"):
        monkeypatch.setenv("ASSETCTL_HOME", str(tmp_path / place))
        assert assetctl("sync", *(["--frozen"] if place == "another" else [])).code == 0
        assert told(assetctl) == pulled
        assert assetctl("check", "pony-patches", "--commercial").code == 4
        civitai.models.clear()  # the lockfile says it all


def test_what_is_adopted_learns_what_its_page_says(assetctl, tmp_path, page, civitai, contents):
    (tmp_path / "mine.safetensors").write_bytes(contents["civitai"])
    assetctl("import", tmp_path / "mine.safetensors")
    assert actions(assetctl("sync", "--json")) == {"pony-patches": "adopt"}
    assert told(assetctl)[:2] == ("Pony", ["calico"])
    assert assetctl("sync", "--check").code == 0


def test_a_lockfile_from_before_pages_were_kept_still_works(assetctl, manifest, page):
    assetctl("lock")
    path = manifest.with_suffix(".lock")
    written = path.read_text()
    older = written[: written.index("[assets.facts]")]
    path.write_text(older)
    assert assetctl("sync", "--locked").code == 0
    assert told(assetctl)[2] is None
    assert path.read_text() == older
    assetctl("lock", "--upgrade")
    assert path.read_text() == written
    assert actions(assetctl("sync", "--json")) == {"pony-patches": "adopt"}
    assert told(assetctl)[2]["creator"] == "ann"


@pytest.mark.parametrize("command", [("sync", "--check"), ("lock", "--check"), ("sync", "--locked")])
def test_what_is_out_of_date_is_one_document_with_a_code_of_its_own(assetctl, manifest, command):
    assetctl("lock")
    manifest.write_text(manifest.read_text() + '\n[assets.more]\nsource = "./more.safetensors"\n')
    ended = assetctl(*command, "--json")
    assert (ended.code, ended.error["code"], "more" in ended.error["message"]) == (1, "out_of_date", True)
    ended = assetctl(*command)
    assert "more" in ended.out + ended.err


def test_two_names_for_the_same_bytes_are_refused(assetctl, manifest):
    manifest.write_text(
        f"""
[assets.a]
source = "{REPO}"

[assets.aa]
source = "hf://{REPO}/whiskers.safetensors"
"""
    )
    path = manifest.with_suffix(".lock")
    for command in ("lock", "sync"):
        ended = assetctl(command, "--json")
        message = ended.error["message"]
        assert (ended.code, "line 5: assets.aa" in message, "line 2: assets.a" in message) == (2, True, True), message
        assert not path.exists()

    whole = manifest.read_text()
    locked = []
    for half in whole.split("\n\n"):
        manifest.write_text(half)
        assetctl("lock", "--upgrade")
        locked.append(path.read_text().partition("[[assets]]"))
    manifest.write_text(whole)
    path.write_text("".join(locked[0]) + "".join(locked[1][1:]))
    for mode in ([], ["--locked"], ["--frozen"]):
        assert assetctl("sync", *mode).code == 2


@pytest.mark.parametrize(
    ("line", "meant"), [("kind = 'lroa'", "'lora'"), ("kind = 'LoRA'", "'lora'"), ("family = 'sd15'", "'sd1'")]
)
def test_a_misspelt_kind_or_family_names_the_nearest(assetctl, manifest, line, meant):
    manifest.write_text(f"[assets.a]\nsource = './mine.safetensors'\n{line}\n")
    assert meant in assetctl("lock", "--json").error["hint"]


def test_a_family_that_a_person_gave_and_nobody_knows_goes_out_and_comes_in_again(assetctl, manifest):
    assetctl("sync")
    with Registry.open() as registry, registry._workspace.catalog.write() as writer:
        writer.override(writer.find("token").id, "family", "lumberjack")
    manifest.write_text(assetctl("export").out)
    assert assetctl("lock").code == 0
    assert assetctl("sync", "--check").code == 0
    assert assetctl("inspect", "token", "--json").data["family"] == "lumberjack"


def test_what_a_person_set_is_not_overwritten_unannounced(assetctl, manifest):
    manifest.write_text(
        manifest.read_text().replace('trigger_words = ["patches"]', 'trigger_words = ["p"]\nnotes = "n"')
    )
    assetctl("sync")
    assetctl("edit", "pony-patches", "--notes", "mine", "--trigger-word", "mine")
    (step,) = [step for step in assetctl("sync", "--dry-run", "--json").data if step["action"] != "keep"]
    assert step["changes"] == ["trigger_words", "notes"]
    assert "its trigger words, notes would change" in assetctl("sync", "--dry-run").out
    assert "its trigger words, notes changed" in assetctl("sync").out
    assert assetctl("inspect", "pony-patches", "--json").data["notes"] == "n"


@pytest.mark.parametrize("source", ["./gone.safetensors", "./gone", "./more.safetensors"])
def test_a_path_that_is_not_there_is_told_with_its_line(assetctl, manifest, source):
    manifest.write_text(f'[assets.a]\nsource = "./mine.safetensors"\n\n[assets.b]\nsource = "{source}"\n')
    commands = [["lock"], ["lock", "--check"], ["sync"]]
    if (manifest.parent / source).exists():
        assert assetctl("lock").code == 0
        (manifest.parent / source).unlink()
        commands = [["sync", "--locked"], ["sync", "--frozen"], ["sync"], ["lock", "--upgrade"]]
    for command in commands:
        ended = assetctl(*command, "--json")
        assert (ended.code, ended.error["code"]) == (3, "not_found"), command
        assert f"{manifest}, line 5: assets.b.source" in ended.error["message"], command
        assert str(manifest.parent / Path(source).name) in ended.error["message"]
        assert "Copy it there" in ended.error["hint"]


def test_what_was_done_before_something_failed_is_told(assetctl, manifest, contents, hub):
    assetctl("lock")
    hub.statuses["/resolve/"] = 403
    hub.statuses["/blobs/"] = 403
    ended = assetctl("sync", "--json")
    message = ended.error["message"]
    assert (ended.code, ended.error["code"], message.startswith("whiskers: ")) == (6, "unauthorized", True)
    assert {step["name"] for step in ended.error["done"] if step["action"] == "add"} == {"pony-patches", "token"}
    assert [each["message"] for each in ended.error["errors"]] == [message]
    assetctl("rm", "pony-patches", "--yes")
    ended = assetctl("sync")
    assert (ended.code, "whiskers: " in ended.err, "pony-patches: was fetched" in ended.out) == (6, True, True)


def test_what_was_lost_and_comes_again_learns_what_its_page_says(assetctl, tmp_path, page, contents):
    mine = tmp_path / "pony-patches.safetensors"
    mine.write_bytes(contents["civitai"])
    assetctl("import", mine)
    mine.unlink()
    assert assetctl("sync").code == 0
    assert told(assetctl)[:2] == ("Pony", ["calico"])
    assert assetctl("sync", "--check").code == 0
