"""One catalog for many threads and processes: who asks, who writes, and what the file itself sees to."""

from __future__ import annotations

import multiprocessing
import random
import sqlite3
import subprocess
import sys
import threading
import time
import traceback
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from patience import fair
from selections import lora_use, picture_entry

from assetctl.catalog import Catalog, GenerationFilter, NewAsset
from assetctl.errors import CatalogError, InternalError, NotFoundError
from assetctl.types import AssetFile, Identification

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from assetctl.catalog import GenerationEntry
    from assetctl.types import AssetUse


def entry(name: str, *, tags: tuple[str, ...] = (), words: tuple[str, ...] = ()) -> NewAsset:
    path = f"/loras/{name}.safetensors"
    found = Identification("lora", "sd1", trigger_words=words)
    return NewAsset(name, path, (AssetFile(path, 10, 1),), found, in_store=False, tags=tags)


def picture(seed: int = 1, loras: Iterable[AssetUse] = (), **more: object) -> GenerationEntry:
    return picture_entry(loras=loras, seed=seed, **more)


def in_a_thread(work: Callable[[], object]) -> object:
    """What it returns, or raises, in another thread."""
    came: list[object] = []

    def run() -> None:
        try:
            came.append(work())
        except BaseException as error:  # noqa: BLE001 - raised again below
            came.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(fair(40))
    (result,) = came
    if isinstance(result, BaseException):
        raise result
    return result


def test_a_catalog_works_in_every_thread(catalog):
    read, generations = catalog.read, catalog.generations
    (number,) = in_a_thread(lambda: catalog.add([entry("cat")]))
    assert in_a_thread(lambda: read.find("cat").id) == number
    assert in_a_thread(lambda: generations.record(picture())) == 1
    assert [each.number for each in in_a_thread(lambda: generations.latest(GenerationFilter(words=("CAT",))))] == [1]
    assert [asset.name for asset in read.search("cat")] == ["cat"]


def test_threads_that_ended_leave_no_file_open(catalog, tmp_path):
    def opened() -> int:
        return sum(link.resolve() == tmp_path / "catalog.db" for link in Path("/proc/self/fd").iterdir())

    if not Path("/proc/self/fd").is_dir():
        pytest.skip("only Linux tells which files are open")
    before = opened()
    for _ in range(20):
        in_a_thread(catalog.read.assets)
    assert opened() <= before + 1
    catalog.close()
    assert opened() == 0


def test_a_closed_catalog_says_so_in_every_thread(catalog):
    catalog.read.assets()
    catalog.close()
    for ask in (catalog.read.assets, lambda: in_a_thread(catalog.read.assets), lambda: catalog.add([entry("cat")])):
        with pytest.raises(CatalogError, match="closed"):
            ask()


def test_closing_while_others_ask_and_write_ends_no_process(tmp_path):
    code = """
import sys, threading, time
from pathlib import Path
from assetctl.catalog import Catalog, NewAsset
from assetctl.errors import AssetctlError
from assetctl.types import AssetFile, Identification
def entry(name):
    return NewAsset(name, "/" + name, (AssetFile("/" + name, 1, 1),), Identification("lora"), in_store=False)
for turn in range(3):
    catalog = Catalog(Path(sys.argv[1]))
    catalog.add([entry(f"{turn}-{number}") for number in range(300)])
    ended = []
    def ask():
        try:
            while True:
                catalog.read.assets()
        except AssetctlError as error:
            ended.append(error.message)
    def write():
        try:
            for number in range(10**6):
                catalog.add([entry(f"{turn}-w-{threading.get_ident()}-{number}")])
        except AssetctlError as error:
            ended.append(error.message)
    threads = [threading.Thread(target=work) for work in (ask, ask, ask, write, write)]
    for thread in threads:
        thread.start()
    time.sleep(0.2)
    catalog.close()
    for thread in threads:
        thread.join()
    assert len(ended) == 5 and all("closed" in said or "ended" in said for said in ended), ended
with Catalog(Path(sys.argv[1])) as again:
    again.read.see_that_it_is_whole()
print("fine")
"""
    command = [sys.executable, "-c", code, tmp_path / "catalog.db"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=fair(100), check=False)
    assert (done.returncode, done.stdout) == (0, "fine\n"), done.stderr


def test_who_writes_sees_what_was_written_and_others_see_it_at_its_end(catalog):
    with catalog.write() as tx:
        (number,) = tx.add([entry("cat", words=("whiskers",))])
        tx.change_tags(number, ["pet"])
        assert tx.find("cat").tags == ("pet",)
        assert [asset.name for asset in tx.search("whisk")] == ["cat"]
        tx.generations.record(picture(7, [lora_use(tx.by_id(number), 0.5)]))
        assert [each.settings["seed"] for each in tx.generations.latest(GenerationFilter(asset_ids=(number,)))] == [7]
        assert catalog.read.assets() == in_a_thread(catalog.read.assets) == []
    assert [asset.name for asset in catalog.read.assets()] == ["cat"]
    assert catalog.generations.get(1).assets[0].asset == "cat"


def test_writing_within_writing_is_refused_at_once_and_the_outer_goes_on(catalog):
    begun = time.monotonic()
    with catalog.write() as tx:
        for inner in (lambda: catalog.add([entry("inner")]), lambda: catalog.generations.record(picture())):
            with pytest.raises(InternalError, match="within another of the same thread"):
                inner()
        tx.add([entry("outer")])
    assert time.monotonic() - begun < fair(5)
    assert [asset.name for asset in catalog.read.assets()] == ["outer"]


def test_threads_that_write_wait_for_each_other(catalog):
    first_is_in, order = threading.Event(), []

    def first() -> None:
        with catalog.write() as tx:
            first_is_in.set()
            time.sleep(0.2)
            tx.add([entry("first")])
            order.append("first")

    thread = threading.Thread(target=first)
    thread.start()
    first_is_in.wait(fair(10))
    with catalog.write() as tx:
        order.append("second")
        assert tx.has_path("/loras/first.safetensors")
    thread.join()
    assert order == ["first", "second"]


def test_a_transaction_that_ended_writes_nothing_more(catalog):
    with catalog.write() as tx:
        (number,) = tx.add([entry("cat")])
    with pytest.raises((CatalogError, sqlite3.Error), match="has ended"):
        tx.rename(number, "dog")
    with catalog.write() as tx, pytest.raises((CatalogError, sqlite3.Error), match="has ended"):
        in_a_thread(lambda: tx.rename(number, "dog"))
    assert catalog.read.by_id(number).name == "cat"


def test_a_number_that_is_gone_never_returns(tmp_path):
    path = tmp_path / "catalog.db"
    with Catalog(path) as catalog:
        first, second = catalog.add([entry("a"), entry("b")])
        made = catalog.generations.record(picture())
        with catalog.write() as tx:
            document = tx.record(second)
            tx.remove(second)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DELETE FROM generations")
        connection.commit()
    with Catalog(path) as catalog:
        (third,) = catalog.add([entry("c")])
        with catalog.write() as tx:
            tx.remove(third)
            (fourth,) = tx.add([entry("d")])
            fifth = tx.put_back(document)
        assert len({first, second, third, fourth, fifth}) == 5
        assert catalog.generations.record(picture()) > made
        with pytest.raises(NotFoundError):
            catalog.read.by_id(third)


def test_an_addition_that_failed_is_not_believed_afterwards(catalog):
    def fail() -> None:
        with catalog.write() as tx:
            tx.add([entry("cat")])
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    (number,) = catalog.add([entry("cat")])
    assert catalog.read.by_id(number).name == "cat"


INDEXED = "SELECT rowid, name, trigger_words, tags, notes FROM asset_search ORDER BY rowid"
VIEWED = "SELECT id, name, trigger_words, tags, notes FROM asset_view ORDER BY id"


def index_agrees(path: Path) -> bool:
    """Whether what is searched is what is there, and the index holds exactly its words."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("INSERT INTO asset_search (asset_search) VALUES ('integrity-check')")
        return connection.execute(INDEXED).fetchall() == connection.execute(VIEWED).fetchall()


#: What any writer may do, in plain SQL; the first half leaves the time of change alone.
WRITES = {
    "UPDATE assets SET sha256 = 'ab'": False,
    "UPDATE assets SET path = '/y'": False,
    "UPDATE files SET path = '/y'": False,
    "UPDATE assets SET name = 'dog'": True,
    "UPDATE assets SET notes = 'lovely', family = NULL": True,
    "INSERT INTO tags VALUES (1, 'new')": True,
    "UPDATE tags SET tag = 'other'": True,
    "DELETE FROM tags": True,
    "INSERT INTO trigger_words VALUES (1, 1, 'meow')": True,
    "UPDATE trigger_words SET word = 'meow'": True,
    "DELETE FROM trigger_words": True,
}


@pytest.mark.parametrize("statement", WRITES)
def test_no_writer_forgets_the_index_or_the_time_of_change(catalog, statement):
    catalog.add([entry("cat", tags=("pet",), words=("whiskers",))])
    with closing(sqlite3.connect(catalog.path)) as connection:
        connection.execute("UPDATE assets SET added_at = 'then', updated_at = 'then'")
        connection.execute(statement)
        connection.commit()
        changed = connection.execute("SELECT updated_at <> 'then' FROM assets").fetchone()[0]
    assert bool(changed) is WRITES[statement]
    assert index_agrees(catalog.path)


def test_what_is_removed_leaves_the_index_with_all_that_belongs_to_it(catalog):
    numbers = catalog.add([entry("cat", tags=("pet",), words=("whiskers",)), entry("dog", words=("woof",))])
    with closing(sqlite3.connect(catalog.path)) as connection:
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("DELETE FROM assets WHERE id = ?", numbers[:1])
        connection.commit()
        assert connection.execute("SELECT count(*) FROM tags").fetchone() == (0,)
    assert catalog.read.search("whisk") == []
    assert index_agrees(catalog.path)


def test_a_setting_that_is_new_is_kept_and_read_back(catalog):
    made = catalog.generations.record(picture(2**32 - 1, clip_skip=2, hires={"scale": 1.5}))
    kept = catalog.generations.get(made)
    assert (kept.settings["clip_skip"], kept.settings["hires"]) == (2, {"scale": 1.5})
    assert [each.number for each in catalog.generations.latest(GenerationFilter(seed=2**32 - 1))] == [made]


class Life:
    """One of many that use a catalog at once; notes what it has done, which nobody else may undo."""

    def __init__(self, catalog: Catalog, name: str) -> None:
        self.catalog, self.name = catalog, name
        self.chance = random.Random(name)
        self.there: dict[str, int] = {}
        self.tags: dict[int, int] = {}
        self.made: list[int] = []
        self.count = 0

    def live(self, until: float) -> None:
        while time.monotonic() < until:
            self.chance.choice([self.add, self.add, self.edit, self.tag, self.remove, self.ask, self.record])()

    def add(self) -> None:
        self.count += 1
        name = f"{self.name}-{self.count}"
        (self.there[name],) = self.catalog.add([entry(name, tags=(f"of{self.name}",), words=("shared", name))])

    def one(self) -> str | None:
        return self.chance.choice(list(self.there)) if self.there else None

    def edit(self) -> None:
        if (name := self.one()) is not None:
            with self.catalog.write() as tx:
                asset = tx.find(name)
                notes = str(int(asset.notes or 0) + 1)
                tx.set_notes(asset.id, notes)
                assert tx.find(name).notes == notes

    def tag(self) -> None:
        if (name := self.one()) is not None:
            number = self.there[name]
            self.tags[number] = self.tags.get(number, 0) + 1
            with self.catalog.write() as tx:
                tx.change_tags(number, [f"t{self.tags[number]}"])

    def remove(self) -> None:
        if (name := self.one()) is not None and len(self.there) > 3:
            number = self.there.pop(name)
            self.tags.pop(number, None)
            with self.catalog.write() as tx:
                tx.remove(number)

    def ask(self) -> None:
        read = self.catalog.read
        read.assets(limit=20)
        read.search("shared", limit=5)
        self.catalog.generations.latest(GenerationFilter(words=("cat",)), 5)
        if (name := self.one()) is not None:
            assert read.details(read.find(name)).asset.id == self.there[name]

    def record(self) -> None:
        name = self.one()
        chosen = () if name is None else (lora_use(self.catalog.read.find(name), 0.5),)
        self.made.append(self.catalog.generations.record(picture(len(self.made), chosen)))


def _live_in_threads(path: Path, name: str, seconds: float, told: multiprocessing.Queue) -> None:
    """Several threads with one catalog; tells what there is to be, or what went wrong."""
    try:
        with Catalog(path) as catalog:
            lives = [Life(catalog, f"{name}x{number}") for number in range(8 if name == "p0" else 1)]
            until, wrong = time.monotonic() + seconds, list[str]()

            def run(life: Life) -> None:
                try:
                    life.live(until)
                except BaseException:  # noqa: BLE001 - told of below
                    wrong.append(traceback.format_exc())

            threads = [threading.Thread(target=run, args=(life,)) for life in lives]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        there = {name: number for life in lives for name, number in life.there.items()}
        tags = {number: count for life in lives for number, count in life.tags.items()}
        told.put((wrong, there, tags, [number for life in lives for number in life.made]))
    except BaseException:  # noqa: BLE001 - told of by the test
        told.put(([traceback.format_exc()], {}, {}, []))


@pytest.mark.parametrize(
    "seconds", [1, pytest.param(8, marks=pytest.mark.slow), pytest.param(60, marks=pytest.mark.long)]
)
def test_eight_threads_and_eight_processes_at_once_lose_nothing(tmp_path, seconds):
    path = tmp_path / "catalog.db"
    Catalog(path).close()
    context = multiprocessing.get_context("spawn")
    told = context.Queue()
    processes = [
        context.Process(target=_live_in_threads, args=(path, f"p{number}", seconds, told)) for number in range(9)
    ]
    for process in processes:
        process.start()
    outcomes = [told.get(timeout=seconds + 120) for _ in processes]
    for process in processes:
        process.join(fair(60))
    assert [failure for wrong, *_ in outcomes for failure in wrong] == []
    there = {name: number for _, names, _, _ in outcomes for name, number in names.items()}
    with Catalog(path) as catalog:
        assets = {asset.name: asset for asset in catalog.read.assets()}
        assert {name: asset.id for name, asset in assets.items()} == there
        for _, _, tags, _ in outcomes:
            for number, count in tags.items():
                assert {f"t{each + 1}" for each in range(count)} <= set(catalog.read.by_id(number).tags)
        made = sorted(number for *_, numbers in outcomes for number in numbers)
        assert [each.number for each in catalog.generations.latest(GenerationFilter(), None)][::-1] == made
        catalog.read.see_that_it_is_whole()
    assert len(there) > 9
    assert index_agrees(path)
