"""A catalog in which anything is damaged, or was made up, is told of in a sentence, whatever is asked of it."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3

import pytest
from material import write_lora
from selections import lora_use, picture_entry

from assetctl import Registry
from assetctl.catalog import Catalog
from assetctl.types import Facts, Origin

#: What stands where something else should.
VALUES = {
    "undecodable": "CAST(x'ff61' AS TEXT)",
    "bytes": "x'00ff'",
    "nothing": "NULL",
    "a text with a null character": "CAST(x'2f610062' AS TEXT)",
    "a list": "'[1]'",
}

#: What is asked of a catalog, by what is damaged.
ASKED = [
    ("list", "--json"), ("list",), ("search", "whisk"), ("inspect", "whiskers", "--json"),
    ("check", "other", "whiskers"), ("verify", "--quick"),
    ("edit", "whiskers", "--reset", "family"), ("rm", "whiskers", "--yes"),
]  # fmt: skip
OF_PICTURES = [("history",), ("history", "1", "--json"), ("history", "--with", "whiskers")]

ASSETS = ("assets", "files", "trigger_words", "tags", "origins", "identifications", "overrides")
PICTURES = ("generations", "generation_assets")


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A catalog with something in every table, whose columns take anything."""
    folder = tmp_path_factory.mktemp("good")
    write_lora(folder / "files" / "whiskers.safetensors")
    write_lora(folder / "files" / "other.safetensors", seed=3)
    with Registry.open(folder / "home") as registry:
        registry.import_files(folder / "files")
    path = folder / "home" / "catalog.db"
    with Catalog(path) as catalog:
        asset = catalog.read.find("whiskers")
        with catalog.write() as writer:
            writer.change_tags(asset.id, ["cats"])
            writer.override(asset.id, "family", "sd1")
            facts = Facts(trigger_words=("a",), commercial=False)
            writer.set_origin(
                asset.id, Origin("civitai", "civitai:1@2", "2", "https://x", "2026-01-01T00:00:00Z", facts)
            )
        catalog.generations.record(picture_entry("a cat", [lora_use(asset, 0.5)], record={"a": 1}))
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute(
            "UPDATE sqlite_master SET sql = replace(sql, ' NOT NULL', '') "
            "WHERE type = 'table' AND name NOT LIKE 'asset_search%'"
        )
        connection.commit()
        connection.execute("PRAGMA journal_mode = DELETE")
    return path


@pytest.fixture
def damage(good, home):
    """Change the good catalog by a statement; says whether that could be done."""

    def change(statement: str) -> bool:
        home.mkdir(exist_ok=True)
        for path in home.glob("catalog.db*"):
            path.unlink()
        shutil.copy(good, home / "catalog.db")
        with contextlib.closing(sqlite3.connect(home / "catalog.db")) as connection:
            connection.execute("PRAGMA ignore_check_constraints = ON")
            connection.execute("PRAGMA synchronous = OFF")
            # what the disk has lost, no trigger was told of
            triggers = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
            for name, _ in triggers if "DROP T" not in statement else ():
                connection.execute(f"DROP TRIGGER {name}")
            try:
                connection.execute(statement)
            except sqlite3.IntegrityError:
                return False  # a number of a row is always a number
            for _, sql in triggers if "DROP T" not in statement else ():
                connection.execute(sql)
            connection.commit()
        return True

    return change


def columns(good, *tables):
    with contextlib.closing(sqlite3.connect(good)) as connection:
        return [(table, row[1]) for table in tables for row in connection.execute(f"PRAGMA table_info({table})")]


@pytest.mark.parametrize(("tables", "asked"), [(ASSETS, ASKED), (PICTURES, OF_PICTURES)], ids=["assets", "pictures"])
def test_whatever_is_damaged_is_told_in_a_sentence(assetctl, good, damage, tables, asked):
    values = list(VALUES.values())
    for turn, (table, column) in enumerate(columns(good, *tables)):
        for step, arguments in enumerate(asked):
            value = values[(turn + step) % len(values)]  # each question comes upon each value, somewhere
            where = f"rowid = (SELECT max(rowid) FROM {table})"  # noqa: S608 - ours
            if not damage(f"UPDATE {table} SET {column} = {value} WHERE {where}"):  # noqa: S608 - ours
                continue
            ended = assetctl(*arguments)
            case = (table, column, value, arguments, ended.out, ended.err)
            assert "has a defect" not in ended.err + ended.out, case
            assert ended.code in (0, 1, 2, 3, 4, 5), case
            told = ended.err.count("error: ") + ended.err.count(" is not shown")
            assert told == (ended.code in (1, 2, 3) and "--json" not in arguments) or "list" in arguments, case


#: A statement that damages the catalog, a command that comes upon it, and what it says.
TOLD = {
    "text that is none": (
        "UPDATE assets SET name = CAST(x'ff' AS TEXT) WHERE name = 'other'", ("verify",),
        "a text in it is not valid UTF-8",
    ),
    "a name of bytes": ("UPDATE assets SET name = x'00' WHERE name = 'other'", ("verify",), "a name in it is no text"),
    "no path": ("UPDATE assets SET path = NULL WHERE name = 'other'", ("verify",), "a path in it is missing"),
    "a path of no system": (
        "UPDATE assets SET path = CAST(x'2f610062' AS TEXT) WHERE name = 'other'", ("verify",),
        "a path in it holds a null character",
    ),
    "no JSON": (
        "UPDATE identifications SET result = '{'", ("inspect", "whiskers"), "an identification in it is no valid JSON"
    ),
    "other JSON": ("UPDATE overrides SET value = '[1]'", ("inspect", "whiskers"), "what was set as family in it is no"),
    "facts of another kind": (
        """UPDATE origins SET facts = '{"page": 1}'""", ("inspect", "whiskers"), "a page in it is a number"
    ),
    "a word that is none": ("UPDATE trigger_words SET word = x'00'", ("list",), "JSON cannot hold BLOB values"),
    "a size in words": ("UPDATE assets SET size = 'large'", ("list",), "a size in it is a text"),
    "a missing table": ("DROP TABLE tags", ("list",), "it has no table tags"),
    "a missing column": ("ALTER TABLE files DROP COLUMN mtime_ns", ("inspect", "whiskers"), "no such column"),
    "a table that is a view": (
        "ALTER TABLE overrides RENAME TO others", ("list",), "it has no table overrides"
    ),
    "a trigger": (
        "CREATE TRIGGER t AFTER UPDATE ON assets BEGIN DELETE FROM assets; END", ("edit", "whiskers", "--notes", "x"),
        "it has a trigger, 't', and assetctl makes none such",
    ),
    "a trigger that is not there": (
        "DROP TRIGGER tags_insert", ("list",), "it lacks a trigger that keeps the index of its words",
    ),
    "a seed of no picture": (
        """UPDATE generations SET settings = json_set(settings, '$.seed', 'x')""", ("history",),
        "a seed in it is a text",
    ),
    "a number of steps that is none": (
        """UPDATE generations SET settings = json_set(settings, '$.steps', json('[1]'))""", ("history", "1"),
        "a number of steps in it is a list",
    ),
    "settings that lack one": (
        """UPDATE generations SET settings = '{"seed": 1}'""", ("history",), "what a picture was made with is not what",
    ),
    "settings that are no JSON": (
        "UPDATE generations SET settings = 'x'", ("history",), "what a picture was made with in it is no valid JSON"
    ),
    "an index of words that is broken": ("DELETE FROM asset_search_data", ("search", "whisk"), "is damaged"),
}  # fmt: skip


@pytest.mark.parametrize("case", TOLD)
def test_what_is_wrong_with_it_is_said(assetctl, damage, case):
    statement, arguments, expected = TOLD[case]
    assert damage(statement)
    ended = assetctl(*arguments, "--json")
    assert (ended.code, ended.error["code"]) == (1, "catalog_error")
    assert expected in ended.error["message"]
    assert "catalog.db" in ended.error["message"]
    assert "Restore a backup, or move the file away" in ended.error["hint"]


def test_what_a_terminal_would_obey_is_shown_as_none(assetctl, damage):
    assert damage("UPDATE assets SET family = char(27) || '[31mred', base_model = char(27) || 'c', notes = char(7)")
    for arguments in ASKED[:-1]:
        ended = assetctl(*arguments)
        assert not set("\x1b\x07") & set(ended.out + ended.err), arguments


@pytest.mark.parametrize(
    "statement",
    ["UPDATE identifications SET evidence = x'00ff'", "UPDATE overrides SET set_at = CAST(x'ff61' AS TEXT)"],
)
def test_a_damaged_asset_goes_as_the_hint_says(assetctl, damage, statement):
    assert damage(statement)
    damaged = assetctl("rm", "whiskers", "--yes", "--json")
    assert (damaged.code, damaged.error["code"]) == (1, "catalog_error")
    assert "`assetctl rm whiskers --now`" in damaged.error["hint"]
    assert assetctl("rm", "whiskers", "--now", "--yes").code == 0
    assert assetctl("list", "--quiet").out.split() == ["other"]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE assets SET family = CAST(x'ff' AS TEXT) WHERE name = 'other'",
        "UPDATE assets SET notes = x'00' WHERE name = 'other'",
        "UPDATE trigger_words SET word = x'00' WHERE asset_id = (SELECT id FROM assets WHERE name = 'other')",
    ],
)
@pytest.mark.parametrize("limit", [(), ("--limit", "5")])
def test_one_damaged_asset_does_not_keep_the_others_from_being_listed(assetctl, damage, statement, limit):
    assert damage(statement)
    ended = assetctl("list", *limit)
    assert (ended.code, "whiskers" in ended.out, "other" in ended.out) == (1, True, False)
    assert "warning: 1 asset is not shown" in ended.err
    assert [asset["name"] for asset in assetctl("list", *limit, "--json").data] == ["whiskers"]
    assert assetctl("prune", "--missing", "--yes").code == 1  # nobody acts upon half of it


def test_a_view_that_never_ends_is_not_asked(assetctl, damage, home):
    endless = "WITH RECURSIVE n(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n) SELECT * FROM n"
    damage("DROP VIEW asset_view")
    with sqlite3.connect(home / "catalog.db") as connection:
        connection.execute(f"CREATE VIEW asset_view AS {endless}")
    for arguments in (("list",), ("inspect", "whiskers"), ("edit", "whiskers", "--notes", "x")):
        ended = assetctl(*arguments)
        assert (ended.code, "asset_view is not the one that assetctl makes" in ended.err) == (1, True)


def test_a_view_of_ones_own_is_no_harm(assetctl, damage):
    assert damage("CREATE VIEW mine AS SELECT name FROM assets")
    assert assetctl("list", "--quiet").out.split() == ["other", "whiskers"]


def test_a_row_that_would_fill_the_memory_is_refused(assetctl, damage):
    assert damage("UPDATE assets SET notes = zeroblob(135000000)")
    ended = assetctl("list")
    assert (ended.code, "string or blob too big" in ended.err) == (1, True)


def test_an_index_that_says_something_else_than_its_table(assetctl, damage, home):
    """As after a write that the disk has lost half of."""
    index = "SELECT type, name, tbl_name, rootpage, sql FROM sqlite_master WHERE name = 'ix_assets_sha256'"
    damage("UPDATE assets SET notes = 'x'")
    with sqlite3.connect(home / "catalog.db") as connection:
        row = connection.execute(index).fetchone()
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("DELETE FROM sqlite_master WHERE name = 'ix_assets_sha256'")
    connection.close()
    with sqlite3.connect(home / "catalog.db") as connection:
        connection.execute("UPDATE assets SET sha256 = 'ab'")
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("INSERT INTO sqlite_master VALUES (?, ?, ?, ?, ?)", row)
    connection.close()
    ended = assetctl("verify")
    assert (ended.code, "is damaged" in ended.err, "ix_assets_sha256" in ended.err) == (1, True, True)
    for arguments in ASKED:
        ended = assetctl(*arguments)
        assert "has a defect" not in ended.err + ended.out, (arguments, ended)


@pytest.mark.parametrize("at", [0.0, 0.2, 0.5, 0.8, 0.99])
def test_a_page_of_noise(assetctl, damage, home, at):
    damage("UPDATE assets SET notes = 'x'")
    path = home / "catalog.db"
    content = bytearray(path.read_bytes())
    start = max(100, int(len(content) * at) // 4096 * 4096)
    content[start : start + 4096] = bytes(range(256)) * 16
    path.write_bytes(content)
    for arguments in (*ASKED, *OF_PICTURES):
        ended = assetctl(*arguments)
        assert "has a defect" not in ended.err + ended.out, (arguments, ended)
        assert ended.code in (0, 1, 3, 4, 5), (arguments, ended)
