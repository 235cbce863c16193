"""What one command decides while another writes is decided on what the other has left."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest
from material import write_lora
from patience import fair

from assetctl import Changes, Registry
from assetctl.catalog import FileHashes
from assetctl.errors import AssetctlError, UsageError
from assetctl.files.hashing import hash_file

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def registry(home, tmp_path):
    (tmp_path / "in").mkdir()
    for seed, name in enumerate(("cat", "dog")):
        write_lora(tmp_path / "in" / f"{name}.safetensors", seed=seed)
    with Registry.open(home) as opened:
        opened.import_files(tmp_path / "in", hashes=False)
        yield opened


def begun(work: Callable[[], object]) -> Callable[[], object]:
    """Begin it in another thread, which comes to where it has to wait; the result waits for its end, and is it."""
    came: list[object] = []

    def run() -> None:
        try:
            came.append(work())
        except AssetctlError as error:
            came.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(fair(0.5))

    def result() -> object:
        thread.join(fair(30))
        return came[0]

    return result


def test_a_registry_is_used_from_any_thread(registry):
    for ask in (registry.list, registry.history, lambda: registry.search("cat"), lambda: registry.inspect("dog")):
        assert begun(ask)() == ask()
    assert begun(lambda: registry.edit("cat", Changes(notes="of a thread")))().notes == "of a thread"
    assert registry.get("cat").notes == "of a thread"


def test_threads_open_one_catalog_between_them(home):
    with Registry.open(home) as registry:
        barrier = threading.Barrier(4)
        opened = [begun(lambda: (barrier.wait(fair(10)), registry._workspace.catalog)[1]) for _ in range(4)]
        assert len({id(each()) for each in opened}) == 1


def test_an_edit_means_the_asset_that_has_the_name_once_it_may_write(registry):
    cat, dog = registry.get("cat"), registry.get("dog")
    with registry._workspace.catalog.write() as tx:
        edited = begun(lambda: registry.edit("cat", Changes(notes="the one called cat")))
        tx.rename(cat.id, "tom")
        tx.rename(dog.id, "cat")
    assert edited().id == dog.id
    assert registry.get("tom").notes is None


def test_two_that_want_one_name_do_not_both_get_it(registry):
    """SQLite alone would take the two spellings for two names."""
    with registry._workspace.catalog.write() as tx:
        edited = begun(lambda: registry.edit("cat", Changes(name="ÜBUNG")))
        tx.rename(tx.find("dog").id, "übung")
    assert isinstance(edited(), UsageError)
    assert sorted(asset.name for asset in registry.list()) == ["cat", "übung"]


def test_bytes_that_were_registered_while_they_came_are_one_asset(registry, tmp_path):
    path = tmp_path / "in" / "cat.safetensors"
    copy = tmp_path / "elsewhere.safetensors"
    copy.write_bytes(path.read_bytes())
    with registry._workspace.catalog.write() as tx:
        pulled = begun(lambda: registry.pull(str(copy)))
        time.sleep(1)
        tx.set_hashes([FileHashes(str(path), hash_file(path, frozenset({"sha256"})).sha256)])
    asset = pulled().asset
    assert [each.name for each in registry.list()] == ["cat", "dog"]
    assert (asset.name, asset.in_store) == ("cat", True)
    files = {file.path: file.role for file in registry.inspect("cat").files}
    assert files == {asset.path: "main", str(path): "copy"}


def test_one_entry_of_the_trash_that_two_restore_comes_back_once(registry):
    registry.remove(registry.plan_removal("cat", delete_files=True))
    (entry,) = registry.trash()
    with registry._workspace.catalog.write():
        restored = [begun(lambda: registry.restore(entry.id)) for _ in range(2)]
    assert {type(each()).__name__ for each in restored} <= {"Restored", "NotFoundError", "StorageError"}
    assert sorted(asset.name for asset in registry.list()) == ["cat", "dog"]
    assert registry.trash() == []
