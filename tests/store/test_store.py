from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from assetctl.errors import StorageError
from assetctl.store import Store

FULL = Path("/dev/shm")  # noqa: S108 - another filesystem than the temporary folder's, where there is one


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "models")


def staged(store: Store, name: str = "download.safetensors", content: bytes = b"weights") -> Path:
    path = store.staging("key") / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.chmod(0o600)
    return path


def everything(store: Store) -> set[str]:
    """Files in the store, without locks and notes."""
    return {
        path.relative_to(store.root).as_posix()
        for path in store.root.rglob("*")
        if path.is_file() and path.suffix not in (".lock", ".placing") and path.name != ".placed-by-assetctl"
    }


@pytest.mark.parametrize(
    ("kind", "form", "folder"),
    [
        ("checkpoint", "safetensors", "checkpoints"),
        ("checkpoint", "diffusers", "diffusers"),
        ("lora", "safetensors", "loras"),
        ("image-encoder", "safetensors", "clip_vision"),
        ("upscaler", "safetensors", "upscale_models"),
        ("unknown", "safetensors", "other"),
    ],
)
def test_every_kind_has_the_folder_that_comfyui_looks_in(store: Store, kind: str, form: str, folder: str):
    assert store.folder(kind, form) == store.root / folder


def test_a_file_is_placed_under_its_name(store: Store):
    source = staged(store)
    final = store.place(source, "lora", "safetensors", "ink style", key="key")
    assert final == store.root / "loras" / "ink style.safetensors"
    assert final.read_bytes() == b"weights"
    assert not source.exists()


def test_a_taken_name_is_never_overwritten(store: Store):
    finals = [store.place(staged(store, content=bytes([n])), "lora", "safetensors", "ink", key="key") for n in range(3)]
    assert [final.name for final in finals] == ["ink.safetensors", "ink-2.safetensors", "ink-3.safetensors"]
    assert [final.read_bytes() for final in finals] == [b"\0", b"\1", b"\2"]


def test_a_version_in_the_name_is_no_suffix(store: Store):
    assert store.place(staged(store), "checkpoint", "safetensors", "v1.5", key="key").name == "v1.5.safetensors"


def test_an_unsafe_name_stays_inside(store: Store):
    final = store.place(staged(store), "lora", "safetensors", "../../../evil", key="key")
    assert final.parent == store.root / "loras"


@pytest.mark.parametrize(("was", "becomes"), [(0o644, 0o640), (0o600, 0o600), (0o777, 0o640)])
def test_permissions_follow_the_umask_and_are_never_widened(store: Store, was: int, becomes: int):
    source = staged(store)
    source.chmod(was)
    old = os.umask(0o027)
    try:
        final = store.place(source, "lora", "safetensors", "ink", key="key")
    finally:
        os.umask(old)
    assert final.stat().st_mode & 0o777 == becomes


def test_a_file_shared_with_another_program_keeps_its_permissions(store: Store, tmp_path: Path):
    theirs = tmp_path / "blob"
    theirs.write_bytes(b"x")
    theirs.chmod(0o600)
    path = store.staging("key") / "a.safetensors"
    os.link(theirs, path)
    store.place(path, "lora", "safetensors", "ink", key="key")
    assert theirs.stat().st_mode & 0o777 == 0o600


def test_a_folder_is_placed_whole_and_never_merged(store: Store):
    finals = []
    for number in range(2):
        source = staged(store, f"sd{number}/unet/w.safetensors").parent.parent
        finals.append(store.place(source, "checkpoint", "diffusers", "sd-v1.5", key="key"))
    assert [final.name for final in finals] == ["sd-v1.5", "sd-v1.5-2"]
    assert everything(store) == {"diffusers/sd-v1.5/unet/w.safetensors", "diffusers/sd-v1.5-2/unet/w.safetensors"}


def test_a_companion_moves_along_under_the_new_name(store: Store):
    store.place(staged(store), "checkpoint", "safetensors", "photo", key="key")
    source = staged(store, "download.safetensors")
    staged(store, "download.config/unet/config.json", b"{}")
    final = store.place(source, "checkpoint", "safetensors", "photo", key="key")
    assert final.name == "photo-2.safetensors"
    assert everything(store) == {
        "checkpoints/photo.safetensors",
        "checkpoints/photo-2.safetensors",
        "checkpoints/photo-2.config/unet/config.json",
    }


def test_what_lies_in_an_assets_place_steps_aside_and_is_back_if_the_asset_can_not_be_registered(store: Store):
    final = store.place(staged(store, content=b"good"), "lora", "safetensors", "ink", key="key")
    final.write_bytes(b"changed")

    def fail() -> None:
        with store.replaced(staged(store, content=b"good"), final):
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert (everything(store), final.read_bytes()) == ({"loras/ink.safetensors"}, b"changed")
    with store.replaced(staged(store, content=b"good"), final) as aside:
        pass
    assert aside == final.with_name("ink.changed-1.safetensors")
    assert (final.read_bytes(), aside.read_bytes()) == (b"good", b"changed")


def test_a_stray_companion_is_not_adopted(store: Store):
    stray = store.root / "checkpoints" / "photo.config"
    stray.mkdir(parents=True)
    assert store.place(staged(store), "checkpoint", "safetensors", "photo", key="key").name == "photo-2.safetensors"


@pytest.mark.skipif(not FULL.is_dir(), reason="needs a second filesystem")
def test_a_kind_may_lie_on_another_disk(store: Store, tmp_path: Path):
    other = FULL / f"assetctl-{os.getpid()}"
    other.mkdir()
    store.root.mkdir()
    (store.root / "checkpoints").symlink_to(other)
    try:
        if other.stat().st_dev == tmp_path.stat().st_dev:
            pytest.skip("needs a second filesystem")
        source = staged(store)
        staged(store, "download.config/config.json", b"{}")
        final = store.place(source, "checkpoint", "safetensors", "photo", key="key")
        assert store.contains(final)
        assert sorted(path.name for path in other.iterdir()) == ["photo.config", "photo.safetensors"]
        assert not source.exists()
        store.take_back("key")
        assert list(other.iterdir()) == []
    finally:
        subprocess.run(["rm", "-r", str(other)], check=True)


def test_many_at_once_all_find_their_own_name(store: Store):
    def place(number: int) -> None:
        path = store.staging(f"key {number}") / "x.safetensors"
        path.write_bytes(bytes([number]))
        store.place(path, "lora", "safetensors", "same", key="key")

    threads = [threading.Thread(target=place, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    placed = list((store.root / "loras").iterdir())
    assert sorted(path.read_bytes()[0] for path in placed) == list(range(8))


def test_a_folder_that_may_not_be_written_is_a_storage_error(store: Store):
    store.root.mkdir()
    (store.root / "loras").write_text("a file where the folder should be")
    source = staged(store)
    with pytest.raises(StorageError, match="Cannot put ink into"):
        store.place(source, "lora", "safetensors", "ink", key="key")
    assert source.read_bytes() == b"weights"


def test_staging_is_the_same_folder_every_time_and_can_be_discarded(store: Store):
    folder = store.staging("hf://org/repo")
    assert folder == Store(store.root).staging("hf://org/repo")
    assert folder != store.staging("hf://org/other")
    (folder / "partial").mkdir()
    (folder / "partial" / "x.part").touch()
    (folder / "asset").mkdir()
    (folder / "asset" / "x.safetensors").touch()
    store.clear_staging("hf://org/repo", folder / "asset" / "x.safetensors")
    store.clear_staging("hf://org/repo")
    assert not folder.exists()


def test_what_somebody_put_into_a_staging_folder_stays(store: Store):
    folder = store.staging("hf://org/repo")
    (folder / "mine.txt").write_text("mine")
    (folder / "x.part").touch()
    store.clear_staging("hf://org/repo")
    assert [path.name for path in folder.iterdir()] == ["mine.txt"]


def test_a_lock_waits_for_another_process(store: Store):
    program = (
        "import sys, time; from pathlib import Path; from assetctl.store import Store\n"
        "with Store(Path(sys.argv[1])).lock('key'):\n"
        "    print('held', flush=True); sys.stdin.read(); Path(sys.argv[2]).touch(); time.sleep(0.1)\n"
    )
    done = store.root.parent / "done"
    arguments = [sys.executable, "-c", program, str(store.root), str(done)]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"held\n"
        other.stdin.close()
        with store.lock("key"):
            assert done.exists()


def test_a_lock_does_not_outlive_its_process(store: Store):
    program = (
        "import sys, os; from pathlib import Path; from assetctl.store import Store\n"
        "with Store(Path(sys.argv[1])).lock('key'): os._exit(9)\n"
    )
    subprocess.run([sys.executable, "-c", program, str(store.root)], check=False)
    with store.lock("key"):
        pass


def test_only_what_lies_directly_in_its_folders_is_the_stores_own(store: Store, tmp_path: Path):
    theirs = tmp_path / "mine.safetensors"
    theirs.write_bytes(b"precious")
    for path in (theirs, store.root, store.root / "loras", store.root / "loras" / ".." / ".." / "mine.safetensors"):
        assert not store.owns(path)


def test_a_folder_linked_into_the_store_is_not_its_own(store: Store, tmp_path: Path):
    theirs = tmp_path / "collection"
    theirs.mkdir()
    (theirs / "a.safetensors").touch()
    (store.root / "loras").mkdir(parents=True)
    link = store.root / "loras" / "collection"
    link.symlink_to(theirs)
    assert not store.contains(link / "a.safetensors")


def test_what_was_placed_can_be_taken_back_until_it_is_registered(store: Store):
    source = staged(store)
    staged(store, "download.config/config.json", b"{}")
    final = store.place(source, "checkpoint", "safetensors", "photo", key="key")
    (final.with_suffix(".config") / "mine.txt").write_text("mine")
    assert Store(store.root).placed_before("key") == final
    store.take_back("key")
    assert everything(store) == {"checkpoints/photo.config/mine.txt"}
    final = store.place(staged(store), "checkpoint", "safetensors", "photo", key="key")
    store.registered("key")
    store.take_back("key")
    assert final.exists()


def test_what_somebody_put_in_the_place_of_what_was_placed_is_not_taken_back(store: Store):
    final = store.place(staged(store), "lora", "safetensors", "ink", key="key")
    final.unlink()
    final.write_bytes(b"weights")
    assert Store(store.root).placed_before("key") is None
    store.take_back("key")
    assert final.read_bytes() == b"weights"


def test_a_folder_is_taken_back_but_for_what_somebody_put_into_it(store: Store):
    final = store.place(staged(store, "sd/unet/w.bin").parent.parent, "checkpoint", "diffusers", "sd", key="key")
    assert store.contains(final / "unet" / "w.bin")
    (final / "mine.txt").write_text("mine")
    store.take_back("key")
    assert everything(store) == {"diffusers/sd/mine.txt"}


@pytest.mark.parametrize("what", ["sd", "sd/unet"])
def test_what_lies_behind_a_link_in_a_folder_is_not_taken_back(store: Store, tmp_path: Path, what: str):
    final = store.place(staged(store, "sd/unet/w.bin").parent.parent, "checkpoint", "diffusers", "sd", key="key")
    (final.parent / what).rename(tmp_path / "mine")
    (final.parent / what).symlink_to(tmp_path / "mine")
    assert store.placed_before("key") is None
    store.take_back("key")
    assert [path.read_bytes() for path in (tmp_path / "mine").rglob("*.bin")] == [b"weights"]


@pytest.mark.parametrize("note", ["", "[]", '{"path": "../x", "files": [["../x", 1, 2, 3, 4]]}', '{"path": 5}'])
def test_a_note_that_assetctl_did_not_write_proves_nothing(store: Store, note: str):
    outside = store.root.parent / "x"
    store.staging("key")
    outside.write_bytes(b"")
    store.staging_of("key").with_suffix(".placing").write_text(note)
    assert store.placed_before("key") is None
    store.take_back("key")
    assert outside.exists()


def test_too_little_space_is_said_before_anything_is_written(store: Store):
    store.free_space_check(1)
    with pytest.raises(StorageError, match=r"GB of free space are needed") as caught:
        store.free_space_check(10**18)
    assert "ASSETCTL_MODELS" in caught.value.hint
    assert not store.root.exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_said_plainly():
    from assetctl.files.disk import storage_errors

    with pytest.raises(StorageError, match="the disk is full") as caught, storage_errors("write"):
        Path("/dev/full").write_bytes(b"x")
    assert "Free some space" in caught.value.hint
