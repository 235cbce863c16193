"""An asset leaves the catalog as a document, and comes back as it was; a document that was changed is refused."""

from __future__ import annotations

import json
import sqlite3
from copy import deepcopy
from dataclasses import replace

import pytest
from selections import lora_use, picture_entry

from assetctl.catalog import Catalog, FileHashes, NewAsset
from assetctl.errors import CatalogError, CorruptFileError, NotFoundError, StorageError
from assetctl.types import AssetFile, Evidence, Facts, Identification, Origin

PATH = "/store/loras/whiskers.safetensors"
FOUND = Identification(
    kind="lora", family="sd1", format="safetensors", layout="kohya", confidence="certain",
    trigger_words=("long whiskers", "cat"), evidence=(Evidence("tensors", "family=sd1", "768"),),
)  # fmt: skip
ORIGIN = Origin(
    "civitai", "civitai:1@2", "2", "https://x", "2026-01-01T00:00:00Z", Facts(commercial=False, trigger_words=("a",))
)


def lora(name: str = "whiskers", path: str = PATH) -> NewAsset:
    files = (AssetFile(path, 10, 123, "main", "ab" * 32), AssetFile(f"{path}.copy", 10, -5, "copy", "ab" * 32))
    return NewAsset(name, path, files, FOUND, in_store=True, sha256="ab" * 32, origin=ORIGIN, tags=("wip", "Cats"))


@pytest.fixture
def number(catalog):
    """An asset of which everything is known, used in the second of three pictures."""
    (number,) = catalog.add([lora()])
    with catalog.write() as writer:
        writer.set_hashes([FileHashes(PATH, autov3="cd34cd34cd34", blake3="ef56" * 16)])
        writer.override(number, "base_model", "Pony")
        writer.override(number, "variant", None)
        writer.override(number, "trigger_words", ["mine", "yours"])
        writer.set_notes(number, "lovely\nüber alles")
        writer.set_default_weight(number, 0.7)
    for chosen in (None, catalog.read.by_id(number), None):
        uses = () if chosen is None else (lora_use(chosen, 0.5),)
        catalog.generations.record(picture_entry("a cat", uses))
    return number


def taken_out(catalog: Catalog, number: int) -> dict:
    with catalog.write() as writer:
        document = writer.record(number)
        writer.remove(number)
    return json.loads(json.dumps(document))


def put_back(catalog: Catalog, document: object) -> int:
    with catalog.write() as writer:
        return writer.put_back(document)


def rows(catalog: Catalog) -> dict[str, list]:
    """All tables of the catalog, but for the numbers of rows and assets, which never return."""
    tables = ("assets", "files", "trigger_words", "tags", "overrides", "identifications", "origins",
              "generation_assets", "asset_search")  # fmt: skip
    with sqlite3.connect(catalog.path) as connection:
        connection.row_factory = sqlite3.Row
        return {
            table: [
                dict(row) | {"id": 0, "asset_id": dict(row).get("asset_id") is not None}
                for row in connection.execute(f"SELECT * FROM {table}")  # noqa: S608 - ours
            ]
            for table in tables
        }


def test_an_asset_comes_back_as_it_was(catalog, number):
    before, details = rows(catalog), catalog.read.details(catalog.read.by_id(number))
    document = taken_out(catalog, number)
    assert catalog.read.assets() == []
    assert catalog.generations.get(2).assets[0].asset is None
    again = put_back(catalog, document)
    assert again != number
    assert rows(catalog) == before
    as_it_was = replace(details, asset=replace(details.asset, id=again))
    assert catalog.read.details(catalog.read.by_id(again)) == as_it_was
    assert catalog.generations.get(2).assets[0].asset == "whiskers"
    assert [asset.name for asset in catalog.read.search("lovel")] == ["whiskers"]


def test_paths_may_be_others_and_a_taken_name_gets_a_number(catalog, number):
    document = taken_out(catalog, number)
    catalog.add([lora(name="Whiskers")])
    place = "/elsewhere/whiskers.safetensors"
    document["asset"] |= {"path": place}
    document["files"] = [document["files"][0] | {"path": place}]
    asset = catalog.read.by_id(put_back(catalog, document))
    assert (asset.name, asset.path) == ("whiskers-2", place)


def test_a_path_that_another_asset_has_is_not_taken_from_it(catalog, number):
    document = taken_out(catalog, number)
    catalog.add([lora(name="other")])
    with pytest.raises(StorageError, match="is other in the catalog"):
        put_back(catalog, document)
    assert [asset.name for asset in catalog.read.assets()] == ["other"]


def test_a_copy_of_another_asset_becomes_the_asset_again(catalog, number):
    document = taken_out(catalog, number)
    files = (AssetFile("/b.safetensors", 10, 1), AssetFile(PATH, 10, 1, "copy"))
    catalog.add([NewAsset("other", "/b.safetensors", files, FOUND, in_store=True)])
    put_back(catalog, document)
    assert catalog.read.find(PATH).name == "whiskers"


def test_another_picture_of_the_same_number_is_not_taken_for_one_of_its(catalog, number):
    document = taken_out(catalog, number)
    document["generations"][0]["name"] = "somebody else"
    put_back(catalog, document)
    assert catalog.generations.get(2).assets[0].asset is None


def test_only_the_pictures_that_it_was_in_are_its_again(catalog, number):
    """Of two without hashes that had one name after another, each gets its own."""
    statements = (
        "UPDATE generation_assets SET sha256 = NULL",
        "INSERT INTO generation_assets SELECT 3, 0, NULL, role, name, sha256, weight FROM generation_assets",
    )
    with sqlite3.connect(catalog.path) as connection:
        for statement in statements:
            connection.execute(statement)
    put_back(catalog, taken_out(catalog, number))
    assert [catalog.generations.get(n).assets[0].asset for n in (2, 3)] == ["whiskers", None]


def test_a_damaged_picture_keeps_no_asset_from_coming_back(catalog, number):
    document = taken_out(catalog, number)
    with sqlite3.connect(catalog.path) as connection:
        for damaged in ("3, 0, NULL, role, name, CAST(x'ff' AS TEXT)", "'x', 'y', NULL, role, name, sha256"):
            connection.execute(f"INSERT INTO generation_assets SELECT {damaged}, 1 FROM generation_assets LIMIT 1")  # noqa: S608 - ours
    put_back(catalog, document)
    assert catalog.generations.get(2).assets[0].asset == "whiskers"


def test_what_is_gone_can_not_be_recorded(catalog):
    with pytest.raises(NotFoundError), catalog.write() as writer:
        writer.record(7)


DAMAGES = {
    "origins": "revision = x'00ff'", "tags": "tag = x'00ff' WHERE tag = 'wip'", "trigger_words": "word = x'00ff'",
    "assets": "notes = x'00'", "identifications": "result = 'no JSON'", "files": "blake3 = CAST(x'ff' AS TEXT)",
}  # fmt: skip


@pytest.mark.parametrize("table", DAMAGES)
def test_what_is_damaged_is_no_document(catalog, number, table):
    with sqlite3.connect(catalog.path) as connection:
        for (trigger,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            connection.execute(f"DROP TRIGGER {trigger}")  # what the disk has lost, none was told of
        connection.execute(f"UPDATE {table} SET {DAMAGES[table]}")  # noqa: S608 - ours
    with pytest.raises(CatalogError, match="is damaged"), catalog.write() as writer:
        writer.record(number)


#: Where in a document, and what stands there instead.
HOSTILE = [
    (("asset", "name"), ""), (("asset", "name"), "a/b"), (("asset", "name"), "a\x1b[0m"), (("asset", "name"), None),
    (("asset", "name"), "x" * 256), (("asset", "kind"), "king"), (("asset", "kind"), 1), (("asset", "family"), []),
    (("asset", "path"), "relative"), (("asset", "path"), "/a\0b"), (("asset", "path"), "/\ud800"),
    (("asset", "size"), -1), (("asset", "size"), 2**63), (("asset", "size"), True), (("asset", "size"), 1.5),
    (("asset", "sha256"), "x" * 64), (("asset", "in_store"), 1), (("asset", "default_weight"), float("nan")),
    (("asset", "default_weight"), 10**400), (("asset", "default_weight"), 2**63),
    (("asset", "default_weight"), "1"), (("asset", "notes"), "n" * (2**20 + 1)), (("asset", "added_at"), "yesterday"),
    (("asset",), []), (("asset",), None), (("files",), None), (("files",), {}), (("files", 0), "x"),
    (("files", 0, "role"), "part of"), (("files", 1, "role"), "main"), (("files", 1, "path"), PATH),
    (("files", 0, "mtime_ns"), 2**63), (("trigger_words",), "abc"), (("trigger_words", 0), 5), (("tags",), [None]),
    (("tags",), ["t"] * 100_001), (("overrides", 0, "field"), "path"), (("overrides", 0, "value"), {"a": 1}),
    (("overrides", 2, "value"), "word"), (("overrides", 1, "field"), "base_model"),
    (("identification", "result"), "{}"), (("identification", "result"), {"kind": "lora"}),
    (("identification", "result", "surprise"), 1), (("identification", "evidence"), [{"source": "x"}]),
    (("identification", "confidence"), "sure"), (("origin", "source"), None), (("origin", "facts"), {"page": 1}),
    (("origin", "facts", "commercial"), "yes"), (("generations", 0, "first"), "2"),
    (("generations", 0, "last"), 2**63), (("version",), 2),
]  # fmt: skip


@pytest.mark.parametrize(("place", "value"), HOSTILE, ids=lambda value: ascii(value)[:40])
def test_a_document_that_was_changed_is_refused(catalog, number, place, value):
    document = taken_out(catalog, number)
    inner = document
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    with pytest.raises(CorruptFileError, match="is damaged"):
        put_back(catalog, document)
    assert catalog.read.assets() == []


@pytest.mark.parametrize("document", [None, [], "x", {}, {"version": 1}], ids=str)
def test_what_is_no_document_is_refused(catalog, document):
    with pytest.raises(CorruptFileError, match="is damaged"):
        put_back(catalog, document)


def test_no_key_of_a_document_is_needless(catalog, number):
    document = taken_out(catalog, number)
    for table in ("asset", "identification", "origin"):
        for column in document[table]:
            less = deepcopy(document)
            del less[table][column]
            if column == "alias":  # older versions knew none
                continue
            with pytest.raises(CorruptFileError, match=column):
                put_back(catalog, less)
    del document["asset"]["alias"]
    document["asset"]["id = 1, path"] = "/x"  # and more of them say nothing
    assert catalog.read.by_id(put_back(catalog, document)).path == PATH
