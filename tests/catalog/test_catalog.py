"""The catalog through its own door: what is written is read back, and two writers queue."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from patience import fair
from selections import lora_use, picture_entry

from assetctl.catalog import Catalog, FileHashes, GenerationAsset, GenerationEntry, GenerationFilter, NewAsset
from assetctl.errors import AmbiguousNameError, NotFoundError, StorageError, UsageError
from assetctl.types import AssetFile, Evidence, Facts, Identification, Origin

if TYPE_CHECKING:
    from pathlib import Path

    from assetctl.types import Asset

FOUND = Identification(
    kind="lora", family="sd1", format="safetensors", layout="kohya", confidence="certain",
    trigger_words=("long whiskers", "cat"), evidence=(Evidence("tensors", "family=sd1", "768"),),
)  # fmt: skip


def entry(name: str, path: str | None = None, *, sha256: str | None = None, tags: tuple[str, ...] = ()) -> NewAsset:
    place = path or f"/loras/{name}.safetensors"
    files = (AssetFile(place, 10, 1, "main", sha256),)
    return NewAsset(name, place, files, FOUND, in_store=False, sha256=sha256, tags=tags, origin=Origin("path", place))


def add(catalog: Catalog, *entries: NewAsset) -> list[int]:
    with catalog.write() as writer:
        return writer.add(entries)


def test_adding_many_is_all_or_nothing_and_says_why(catalog):
    assert catalog.add([entry("first")]) == [1]
    connection = catalog._writing
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count = {pages + 1}")
    with pytest.raises(StorageError, match="disk is full"):
        catalog.add([entry(f"{number}-{'x' * 90}") for number in range(500)])
    connection.execute("PRAGMA max_page_count = 1000000")
    add(catalog, entry("by another door"))
    assert catalog.add([entry("first"), entry("last")]) == [1, 3]
    assert [asset.name for asset in catalog.read.assets()] == ["by another door", "first", "last"]
    assert [asset.name for asset in catalog.read.search("last")] == ["last"]


def test_an_asset_is_read_back_as_it_was_written(catalog):
    add(catalog, entry("whiskers", sha256="ab" * 32, tags=("cats", "wip")))
    asset = catalog.read.find("whiskers")
    assert (asset.kind, asset.family, asset.layout, asset.size) == ("lora", "sd1", "kohya", 10)
    assert asset.trigger_words == ("long whiskers", "cat")
    assert asset.tags == ("cats", "wip")
    details = catalog.read.details(asset)
    assert details.identification == FOUND
    assert details.origin == Origin("path", "/loras/whiskers.safetensors")


def test_an_asset_is_found_by_name_path_and_any_hash(catalog):
    add(catalog, entry("whiskers", sha256="ab12" * 16))
    with catalog.write() as writer:
        writer.set_hashes([FileHashes("/loras/whiskers.safetensors", autov3="cd34cd34cd34", blake3="ef56" * 16)])
    spellings = (
        "WHISKERS",
        "whiskers.safetensors",
        "/loras/whiskers.safetensors",
        "ab12ab",
        "AB12" * 16,
        "cd34cd",
        "ef56ef",
    )
    for spelling in spellings:
        assert catalog.read.find(spelling).name == "whiskers", spelling


def test_an_unknown_name_suggests_a_similar_one(catalog):
    add(catalog, entry("whiskers"))
    with pytest.raises(NotFoundError) as error:
        catalog.read.find("wiskers")
    assert "whiskers" in str(error.value.hint)


def test_an_ambiguous_hash_lists_the_candidates(catalog):
    add(catalog, entry("one", sha256="abcdef1" + "0" * 57), entry("two", sha256="abcdef2" + "0" * 57))
    with pytest.raises(AmbiguousNameError) as error:
        catalog.read.find("abcdef")
    assert error.value.candidates == ("one", "two")
    assert catalog.read.find("abcdef2").name == "two"


def test_a_taken_name_gets_a_number(catalog):
    add(catalog, entry("cat", "/a/cat.safetensors"), entry("Cat", "/b/Cat.safetensors"))
    assert [asset.name for asset in catalog.read.assets()] == ["cat", "Cat-2"]


def test_adding_a_known_path_again_changes_nothing(catalog):
    assert add(catalog, entry("cat")) == add(catalog, entry("other", "/loras/cat.safetensors"))
    assert [asset.name for asset in catalog.read.assets()] == ["cat"]


def test_filters_add_up_and_ignore_case(catalog):
    add(catalog, entry("a", tags=("x",)), entry("b", tags=("x", "Y")), entry("c"))
    assert [asset.name for asset in catalog.read.assets(kind="LoRA", family="SD1", tags=["X", "y"])] == ["b"]
    assert catalog.read.assets(family="sdxl") == []


def test_search_finds_beginnings_of_words_and_follows_edits(catalog):
    (number, _) = add(catalog, entry("dog_style"), entry("cat-style"))
    assert [asset.name for asset in catalog.read.search("dog sty")] == ["dog_style"]
    assert {asset.name for asset in catalog.read.search("whisk")} == {"dog_style", "cat-style"}
    with catalog.write() as writer:
        writer.set_notes(number, "très bon for portraits")
        writer.override(number, "trigger_words", ["woof"])
    assert [asset.name for asset in catalog.read.search("tres portr")] == ["dog_style"]
    assert [asset.name for asset in catalog.read.search("whisk")] == ["cat-style"]
    with catalog.write() as writer:
        writer.remove(number)
    assert catalog.read.search("woof") == []


@pytest.mark.parametrize("text", ["a OR b*", "NEAR(", "x'); DROP TABLE assets;--", '"cat'])
def test_search_takes_any_text_as_words(catalog, text):
    add(catalog, entry("cat"))
    assert len(catalog.read.search(text)) == (text == '"cat')


def test_a_search_for_no_word_is_refused(catalog):
    with pytest.raises(UsageError, match="no word"):
        catalog.read.search('"*()')


def test_what_a_person_set_survives_identification_and_can_be_taken_back(catalog):
    (number,) = add(catalog, entry("cat"))
    with catalog.write() as writer:
        writer.override(number, "family", "sdxl")
        writer.override(number, "trigger_words", ["mine"])
    with catalog.write() as writer:
        writer.set_identification(number, FOUND)
    asset = catalog.read.by_id(number)
    assert (asset.family, asset.trigger_words) == ("sdxl", ("mine",))
    with catalog.write() as writer:
        writer.clear_override(number, "family")
        writer.clear_override(number, "trigger_words")
    asset = catalog.read.by_id(number)
    assert (asset.family, asset.trigger_words) == ("sd1", ("long whiskers", "cat"))


def test_assets_with_the_same_bytes_become_one_with_two_places(catalog):
    old, new = add(catalog, entry("old", sha256="ab" * 32), entry("new", sha256="ab" * 32))
    with catalog.write() as writer:
        assert writer.merge_duplicates([new]) == {new: old}
    (asset,) = catalog.read.assets()
    assert [file.role for file in catalog.read.files(asset)] == ["main", "copy"]
    assert catalog.read.find("/loras/new.safetensors").name == "old"
    assert catalog.read.find("new").name == "old"


def test_a_newcomer_becomes_what_another_command_added_meanwhile(catalog):
    first, second = add(catalog, entry("first", sha256="ab" * 32), entry("second", sha256="ab" * 32))
    assert catalog.read.twins() == {first: first, second: first}
    with catalog.write() as writer:
        assert writer.merge_duplicates([first]) == {first: second}
    assert [asset.name for asset in catalog.read.assets()] == ["second"]
    assert catalog.read.twins() == {}


def test_a_failing_transaction_leaves_nothing(catalog):
    def fail() -> None:
        with catalog.write() as writer:
            writer.add([entry("cat")])
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert catalog.read.assets() == []


def picture(prompt: str, *loras: Asset, seed: int = 1) -> GenerationEntry:
    return picture_entry(prompt, [lora_use(lora, 0.7) for lora in loras], seed=seed, record={"a": 1})


def test_a_generation_outlives_its_assets(catalog):
    (number,) = add(catalog, entry("cat", sha256="ab" * 32))
    asset = catalog.read.by_id(number)
    made = catalog.generations.record(picture("a cat", asset))
    assert catalog.read.generations_with(asset) == 1
    with catalog.write() as writer:
        writer.rename(number, "tom")
    assert catalog.generations.get(made).assets == (GenerationAsset("lora", "cat", "ab" * 32, 0.7, "tom"),)
    with catalog.write() as writer:
        writer.remove(number)
    kept = catalog.generations.get(made)
    assert (kept.prompt, kept.record) == ("a cat", {"a": 1})
    assert kept.assets == (GenerationAsset("lora", "cat", "ab" * 32, 0.7, None),)
    (again,) = add(catalog, entry("cat-again", sha256="ab" * 32))
    assert len(catalog.generations.latest(GenerationFilter(asset_ids=(again,)))) == 1
    assert len(catalog.generations.latest(GenerationFilter(name="CAT"))) == 1


def test_an_asset_removed_while_its_picture_was_made_is_kept_by_name(catalog):
    (number,) = add(catalog, entry("cat", sha256="ab" * 32))
    asset = catalog.read.by_id(number)
    with catalog.write() as writer:
        writer.remove(number)
    made = catalog.generations.record(picture("a cat", asset))
    assert catalog.generations.get(made).assets[0].asset is None


def test_generations_come_newest_first_and_filters_add_up(catalog):
    (number,) = add(catalog, entry("cat", sha256="ab" * 32))
    asset = catalog.read.by_id(number)
    numbers = [
        catalog.generations.record(picture("a Cat, 50% grey", asset, seed=5)),
        catalog.generations.record(picture("a dog", seed=5)),
        catalog.generations.record(picture("a cat", seed=6)),
    ]

    def found(limit: int | None = None, **conditions: object) -> list[int]:
        return [each.number for each in catalog.generations.latest(GenerationFilter(**conditions), limit)]

    assert found() == numbers[::-1]
    assert found(limit=1) == numbers[2:]
    assert found(asset_ids=(number,)) == numbers[:1]
    assert found(words=("CAT",)) == [numbers[2], numbers[0]]
    assert found(words=("cat", "50%")) == found(words=("cat",), seed=5) == numbers[:1]
    assert found(words=("c_t",)) == found(since="2999-01-01T00:00:00Z") == []
    with pytest.raises(NotFoundError):
        catalog.generations.get(10**30)


def test_recording_a_generation_leaves_sqlalchemy_alone(tmp_path):
    Catalog(tmp_path / "catalog.db").close()  # making one takes Alembic
    code = """
import sys
from pathlib import Path
from assetctl.catalog import Catalog, GenerationEntry
settings = dict(steps=1, cfg_scale=7, sampler='DDIM', seed=1, width=64, height=64)
with Catalog(Path(sys.argv[1])) as catalog:
    print(catalog.generations.record(GenerationEntry([], "a", "", settings, "/x", "ab", {})))
print("sqlalchemy" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "catalog.db"], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["1", "False"]


def _write_many(path: Path, prefix: str, count: int) -> None:
    with Catalog(path) as catalog:
        for number in range(count):
            with catalog.write() as writer:
                writer.add([entry(f"{prefix}{number}")])


def test_two_processes_writing_at_once_both_succeed(tmp_path):
    path = tmp_path / "catalog.db"
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_write_many, args=(path, prefix, 25)) for prefix in ("a", "b")]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(fair(60))
    assert [writer.exitcode for writer in writers] == [0, 0]
    with Catalog(path) as catalog:
        assert len(catalog.read.assets()) == 50


def test_files_at_some_places_are_found_without_reading_all(catalog):
    catalog.add([entry(f"{number:04}", f"/new/models/loras/{number:04}") for number in range(2000)])
    catalog.add([entry(name, f"/old/models/{name}") for name in ("a", "b")])
    catalog.add([entry(name, f"/old/{name}") for name in ("models", "models-of-mine", "models0")])
    steps = 0

    def counted():
        nonlocal steps
        steps += 100

    catalog.read.known_files("/nowhere")  # opens what there is to open
    catalog.read.connection.set_progress_handler(counted, 100)
    assert catalog.read.known_files("/old/models").keys() == {"/old/models/a", "/old/models/b"}
    assert catalog.read.known_files("/old/models/").keys() == {"/old/models/a", "/old/models/b"}
    found = catalog.read.known_at(["/new/models/loras/0007", "/new/models/loras/nobody", "/old/models/a'\udc80"])
    assert found == {path: known for path, known in found.items() if path == "/new/models/loras/0007"}
    assert len(found) == 1
    assert steps < 2000
    catalog.read.connection.set_progress_handler(None, 0)
    assert catalog.read.known_at([]) == {}
    assert len(catalog.read.known_files()) == 2005


def test_where_all_assets_came_from_is_one_question(tmp_path):
    with Catalog(tmp_path / "catalog.db") as catalog:
        facts = Facts(page="https://a.example", trigger_words=("calico",))
        came = [Origin("civitai", f"civitai:{number}", "1", None, facts=facts) for number in range(5)]
        found = Identification()
        catalog.add(
            [NewAsset(f"a{at}", f"/a{at}", (), found, in_store=False, origin=each) for at, each in enumerate(came)]
        )
        catalog.add([NewAsset("mine", "/mine", (), found, in_store=False)])
        asked: list[str] = []
        catalog.read.connection.set_trace_callback(asked.append)
        origins = catalog.read.origins()
        catalog.read.connection.set_trace_callback(None)
        assert len(asked) == 1
        assert origins == {each.id: origin for each in catalog.read.assets() if (origin := catalog.read.origin(each))}
        assert [each.reference for each in origins.values()] == [each.reference for each in came]
