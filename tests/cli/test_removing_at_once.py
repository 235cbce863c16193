"""Several remove and prune the same things at once: each goes once, and nobody is told of missing files."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from disks import fill, small_disk
from material import write_lora
from patience import fair

from assetctl import Registry
from assetctl.errors import NotFoundError

NAMES = [f"lora-{n}" for n in range(8)]


@pytest.fixture
def filled(assetctl, home, tmp_path):
    """A store with some assets and unfinished downloads, and a trash that keeps next to nothing."""
    files = [write_lora(tmp_path / "files" / f"{name}.safetensors", seed=n) for n, name in enumerate(NAMES)]
    assetctl("import", "--copy", *files)
    for number in range(6):
        unfinished = home / "models" / ".staging" / (f"{number}" * 32)
        unfinished.mkdir()
        (unfinished / "half.part").write_bytes(bytes(1000))
    (home / "config.toml").write_text("trash_gigabytes = 0\n")
    return home


def together(*works):
    """Do all of it at once; what went wrong."""
    wrong = []
    start = threading.Barrier(len(works))

    def at(work):
        start.wait()
        try:
            work()
        except Exception as error:  # noqa: BLE001 - whatever it is, the test is told
            wrong.append(error)

    threads = [threading.Thread(target=at, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(fair(60))
    return wrong


@pytest.mark.parametrize("now", [False, True])
@pytest.mark.parametrize("shared", [False, True])
def test_each_asset_is_removed_by_one(filled, now, shared):
    common = Registry.open(filled)
    removed = []

    def work():
        registry = common if shared else Registry.open(filled)
        for name in NAMES:
            try:
                registry.remove(registry.plan_removal(name), now=now)
                removed.append(name)
            except NotFoundError:
                continue
        registry.prune(registry.plan_pruning(), now=now)

    assert together(*[work] * 4) == []
    assert sorted(removed) == NAMES
    assert common.list() == []
    # who comes second leaves no entry that holds nothing
    assert not [entry.name for entry in common.trash() if not any(file.place.exists() for file in entry.files)]
    assert not [path for path in (filled / "models").rglob("*") if path.is_file()]
    common.close()


def test_a_file_that_goes_while_it_is_removed_is_gone(filled):
    with Registry.open(filled) as registry:
        for number, now in enumerate((False, True)):
            removal = registry.plan_removal(NAMES[number])
            Path(removal.asset.path).unlink()
            registry.remove(removal, now=now)
        assert len(registry.list()) == len(NAMES) - 2


def test_no_lock_is_left_where_nobody_is(assetctl, filled, tmp_path):
    assetctl("pull", write_lora(tmp_path / "pulled.safetensors", seed=99))
    assetctl("prune", "--dry-run")
    assert not list((filled / "models" / ".staging").glob("*.lock"))


@pytest.mark.parametrize("where", ["another disk", "the same disk"])
def test_what_is_deleted_for_good_and_could_not_be_written_down_is_told_as_it_is(
    assetctl, tmp_path, monkeypatch, where
):
    """Without the room that is kept for the catalog, which somebody has removed."""
    lora = write_lora(tmp_path / "one.safetensors", rank=512)
    with small_disk(tmp_path / "disk", 32 * 2**20) as disk:
        monkeypatch.setenv("ASSETCTL_HOME", str(disk / "home"))
        if where == "another disk":
            monkeypatch.setenv("ASSETCTL_MODELS", str(tmp_path / "models"))
        assetctl("import", "--copy", lora)
        (asset,) = assetctl("list", "--json").data
        (disk / "home" / "catalog.db.reserve").unlink(missing_ok=True)
        fill(disk)
        ended = assetctl("rm", "one", "--now", "--yes", "--json")
        is_there = Path(asset["path"]).exists()
        listed = [each["name"] for each in assetctl("list", "--json").data]
        if ended.code == 0:
            assert (is_there, listed) == (False, [])
        else:
            assert ended.error["code"] == "storage"
            assert ("are deleted" in ended.error["message"]) is not is_there
            assert listed == ["one"]
        assert (ended.code == 0) is (where == "the same disk")


def test_what_may_not_be_deleted_keeps_the_rest(assetctl, filled, monkeypatch):
    (asset,) = assetctl("inspect", NAMES[0], "--json").data["files"]

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "rename", refuse)
    ended = assetctl("rm", NAMES[0], "--now", "--yes")
    assert (ended.code, "permission denied" in ended.err) == (1, True)
    assert Path(asset["path"]).exists()
    assert NAMES[0] in {each["name"] for each in assetctl("list", "--json").data}


def test_rm_says_what_it_does(assetctl, filled):
    assert "would move to the trash: " in assetctl("rm", NAMES[0], "--dry-run").err
    assert "would delete: " in assetctl("rm", NAMES[0], "--dry-run", "--now").err
    assert "moves to the trash: " in assetctl("rm", NAMES[0]).err  # no terminal is there to ask at
    assert "deletes: " in assetctl("rm", NAMES[1], "--now").err


def test_sync_says_where_what_it_removes_goes(assetctl, filled, tmp_path, monkeypatch):
    project = tmp_path / "project"
    project.mkdir()
    monkeypatch.chdir(project)
    (project / "registry.toml").write_text("")
    assert (
        f"{NAMES[0]}: is not in the lockfile: to be moved to the trash" in assetctl("sync", "--prune", "--dry-run").out
    )
    assert "to be deleted for good" in assetctl("sync", "--prune", "--dry-run", "--now").out
    ended = assetctl("sync", "--prune")
    assert f"{NAMES[0]}: was not in the lockfile: moved to the trash" in ended.out
    assert "assetctl trash restore" in ended.err
