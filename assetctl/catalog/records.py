"""All that the catalog holds of one asset, as a document that can be kept elsewhere and put back.

A document may have lain where anybody could change it: it is believed as little as any file. Every key is looked
for by its name, every value has to be of its kind and size, and no word of the document becomes a part of SQL.
"""

from __future__ import annotations

import math
import os
import re
import sqlite3
from typing import TYPE_CHECKING, Any

import orjson

from assetctl.catalog.rows import (
    ANYTHING,
    IDENTIFIED,
    NUMBER,
    REAL_OR_NONE,
    TEXT,
    TEXT_OR_NONE,
    DamagedAssetError,
    DamagedError,
    Kinds,
    check,
    free_name,
    from_json,
    insert,
    is_undecodable,
    some,
)
from assetctl.errors import CorruptFileError, NotFoundError, StorageError
from assetctl.types import KINDS, can_be_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_VERSION = 1

#: How many rows of a table, and characters of a text, a document may bring.
_MOST_ROWS, _LONGEST, _LONGEST_JSON = 100_000, 2**20, 2**22


def _is_text(value: object) -> bool:
    if not isinstance(value, str) or len(value) > _LONGEST or "\0" in value:
        return False
    return value.isascii() or not any("\ud800" <= character <= "\udfff" for character in value)


def _is_name(value: object) -> bool:
    return isinstance(value, str) and can_be_name(value)


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def _is_whole(value: object) -> bool:
    """Whether it is a number of SQLite's, of either sign."""
    return isinstance(value, int) and not isinstance(value, bool) and _is_number(abs(value))


def _is_weight(value: object) -> bool:
    return math.isfinite(value) if isinstance(value, float) else _is_whole(value)


def _is_path(value: object) -> bool:
    return _is_text(value) and isinstance(value, str) and os.path.isabs(value)  # noqa: PTH117 - a text is asked


def _is_hash(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch(r"[0-9a-f]{12,64}", value) is not None


def _is_time(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", value) is not None


def _is_json(value: object) -> bool:
    try:
        return len(orjson.dumps(value)) <= _LONGEST_JSON
    except orjson.JSONEncodeError:
        return False


def _is_result(value: object) -> bool:
    """What a file said of itself, as `identification_row` keeps it."""
    if not isinstance(value, dict) or not {*IDENTIFIED, "trigger_words"}.issuperset(value):
        return False
    texts = all(_or_none(_is_text)(value.get(field)) for field in IDENTIFIED)
    return texts and value.get("kind") in KINDS and _are_words(value.get("trigger_words"))


def _is_evidence(value: object) -> bool:
    keys = {"source", "claim", "detail"}
    return _is_rows(value) and all(
        isinstance(one, dict) and set(one) == keys and all(map(_is_text, one.values()))
        for one in value  # type: ignore[attr-defined]  # a list, by now
    )


def _is_facts(value: object) -> bool:
    texts = {"base_model", "kind", "licence", "page", "air", "creator", "source"}
    return (
        isinstance(value, dict)
        and (texts | {"trigger_words", "commercial"}).issuperset(value)
        and _are_words(value.get("trigger_words"))
        and _one_of(None, True, False)(value.get("commercial"))
        and all(_or_none(_is_text)(value.get(field)) for field in texts)
    )


def _are_words(value: object) -> bool:
    return _is_rows(value) and all(map(_is_text, value))  # type: ignore[call-overload]  # a list, by now


def _is_rows(value: object) -> bool:
    return isinstance(value, list) and len(value) <= _MOST_ROWS


def _or_none(check: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or check(value)


def _one_of(*choices: object) -> Callable[[Any], bool]:
    return lambda value: any(type(value) is type(choice) and value == choice for choice in choices)


#: What a column may hold, by its name, where that is narrower than its kind.
_NARROWER: dict[str, Callable[[Any], bool]] = {
    "kind": _one_of(*KINDS),
    "path": _is_path,
    **dict.fromkeys(("sha256", "autov3", "blake3"), _or_none(_is_hash)),
    "in_store": _one_of(False, True),
    **dict.fromkeys(("added_at", "updated_at", "set_at", "identified_at"), _is_time),
    "role": _one_of("main", "part", "copy"),
    "mtime_ns": _is_whole,
    "field": _one_of(*IDENTIFIED, "trigger_words"),
    "value": _is_json,
    "confidence": _one_of("certain", "likely", "ambiguous", "unknown"),
    "result": _is_result,
    "evidence": _is_evidence,
    "facts": _or_none(_is_facts),
}
_BY_KIND: dict[Kinds, Callable[[Any], bool]] = {
    TEXT: _is_text, TEXT_OR_NONE: _or_none(_is_text), NUMBER: _is_number, REAL_OR_NONE: _or_none(_is_weight),
}  # fmt: skip


def _columns(table: str) -> dict[str, Callable[[Any], bool]]:
    own = some(table, "id", "asset_id", "used")  # the last follows from the pictures
    return {name: _NARROWER.get(name) or _BY_KIND[kinds] for name, kinds in own.items()}


#: Tables of which an asset has one row, or none; and those of which it may have many.
_ONE = {"identification": "identifications", "origin": "origins"}
_MANY = {"files": "files", "overrides": "overrides"}
#: Every column that a document holds, table by table, with what it may hold.
_COLUMNS: dict[str, dict[str, Callable[[Any], bool]]] = {
    "asset": _columns("assets") | {"name": _is_name},
    **{key: _columns(table) for key, table in (_ONE | _MANY).items()},
    "generations": {"name": _is_text, "sha256": _or_none(_is_hash), "first": _is_number, "last": _is_number},
}
#: Columns that documents of older versions lack, with what these did not know.
_YOUNGER: dict[str, dict[str, Any]] = {"asset": {"alias": None}}
#: Pictures are as many as a person has made: a document has a row for each name and hash that the asset had in them.
_PICTURES = (
    "SELECT name, sha256, min(generation_id), max(generation_id) FROM generation_assets WHERE asset_id = ? "
    "GROUP BY name, sha256 ORDER BY 3"
)
#: Uses of assets that are gone, which may be those of one that comes back; what is damaged is none.
_FORGOTTEN = (
    "SELECT rowid, generation_id, name, sha256 FROM generation_assets "
    "WHERE asset_id IS NULL AND typeof(generation_id) = 'integer' AND name IN (SELECT value FROM json_each(:name)) "
    "AND (sha256 IS NULL OR sha256 IN (SELECT value FROM json_each(:sha256)))"
)
#: What JSON can hold, and a column of ours.
_PLAIN: Kinds = ANYTHING - {bytes}
_JSON = frozenset({"result", "evidence", "facts", "value"})


def as_record(connection: sqlite3.Connection, asset_id: int) -> dict[str, Any]:
    """All that the catalog holds of an asset: made of texts, numbers, lists and dictionaries.

    Of the pictures that were made with it, it has the numbers of the first and the last under each name and hash.

    Raises:
        NotFoundError: No asset has this number.
        DamagedAssetError: The catalog holds what is no text and no number, or more of it than a document can hold.
        DamagedError: Its name is no text.
    """
    assets = connection.execute("SELECT name FROM assets WHERE id = ?", [asset_id]).fetchall()
    if not assets:
        raise NotFoundError("The asset was removed meanwhile.", "`assetctl list` shows what is there.")
    check(assets, {"name": TEXT})
    try:
        return _document(connection, asset_id)
    except sqlite3.DatabaseError as error:
        if isinstance(error, DamagedError) or is_undecodable(error):
            raise DamagedAssetError(str(error), assets[0][0]) from error
        raise


def _document(connection: sqlite3.Connection, asset_id: int) -> dict[str, Any]:
    (asset,) = _read(connection, "asset", "assets", "id", asset_id)
    words, tags = (
        connection.execute(query, [asset_id]).fetchall()
        for query in (
            "SELECT word FROM trigger_words WHERE asset_id = ? ORDER BY position",
            "SELECT tag FROM tags WHERE asset_id = ? ORDER BY tag",
        )
    )
    check([*words, *tags], {"word": TEXT})
    document: dict[str, Any] = {
        "version": _VERSION,
        "asset": asset | {"in_store": bool(asset["in_store"])},
        "trigger_words": [row[0] for row in words],
        "tags": [row[0] for row in tags],
    }
    for key, table in _MANY.items():
        document[key] = _read(connection, key, table, "asset_id", asset_id)
    for key, table in _ONE.items():
        document[key] = next(iter(_read(connection, key, table, "asset_id", asset_id)), None)
    document["generations"] = _rows("generations", connection.execute(_PICTURES, [asset_id]).fetchall())
    if not _is_json(document):
        raise DamagedError("a value in it cannot be written to a document")
    return document


def put_back(connection: sqlite3.Connection, document: object) -> int:
    """Take in an asset as `as_record` described it, and return its number, which may be another.

    A name that is taken by now gets a number behind it. Pictures that were made with the asset know it again. Paths
    are taken as they stand in the document: who has the files elsewhere changes them there.

    Raises:
        CorruptFileError: The document is none that `as_record` makes.
        StorageError: Another asset has one of the paths.
    """
    known = _checked(document)
    asset = known["asset"]
    _see_that_paths_are_free(connection, asset["path"], [file["path"] for file in known["files"]])
    rows = connection.execute("SELECT name FROM assets").fetchall()
    check(rows, {"name": TEXT})
    names = {row[0].lower() for row in rows}
    # what is searched comes first, under the number that the asset is about to get: the index takes all of it at once
    given = "SELECT max(seq) FROM sqlite_sequence WHERE name = 'assets'"
    number: int = (connection.execute(given).fetchone()[0] or 0) + 1
    words = [(number, position, word) for position, word in enumerate(dict.fromkeys(known["trigger_words"]))]
    connection.executemany(insert("trigger_words"), words)
    tags = [(number, tag) for tag in known["tags"]]
    connection.executemany(insert("tags").replace("INSERT", "INSERT OR IGNORE"), tags)
    _insert(connection, "assets", [asset | {"id": number, "name": free_name(asset["name"], names)}])
    for key, table in _MANY.items():
        _insert(connection, table, [{"asset_id": number} | row for row in known[key]])
    for key, table in _ONE.items():
        _insert(connection, table, [{"asset_id": number} | known[key]] if known[key] else [])
    _know_again(connection, number, known["generations"])
    return number


def _know_again(connection: sqlite3.Connection, number: int, generations: list[dict[str, Any]]) -> None:
    """Let pictures know an asset again that forgot it: those from its first to its last, under its names and hashes."""
    spans = {(row["name"], row["sha256"]): (row["first"], row["last"]) for row in generations}
    values = {key: _as_json([row[key] for row in generations]) for key in ("name", "sha256")}
    forgotten = connection.execute(_FORGOTTEN, values).fetchall()
    uses = []
    for row, generation, name, sha256 in forgotten:
        first, last = spans.get((name, sha256), (0, -1))
        if first <= generation <= last:
            uses.append((number, row))
    connection.executemany("UPDATE generation_assets SET asset_id = ? WHERE rowid = ?", uses)


def _read(connection: sqlite3.Connection, key: str, table: str, column: str, asset_id: int) -> list[dict[str, Any]]:
    names = tuple(_COLUMNS[key])
    query = f"SELECT {', '.join(names)} FROM {table} WHERE {column} = ? ORDER BY rowid"
    return _rows(key, connection.execute(query, [asset_id]).fetchall())


def _rows(key: str, values: list[tuple[Any, ...]]) -> list[dict[str, Any]]:
    """What SQLite gave, under the names of columns."""
    names = tuple(_COLUMNS[key])
    check(values, dict.fromkeys(names, _PLAIN))
    rows = [dict(zip(names, row, strict=True)) for row in values]
    for row in rows:
        row.update({name: from_json(row[name], key) for name in _JSON.intersection(names) if row[name] is not None})
    return rows


def _insert(connection: sqlite3.Connection, table: str, rows: list[dict[str, Any]]) -> None:
    """Write rows whose keys are names of columns that stand in `_COLUMNS`."""
    for row in rows:
        marks = ", ".join(f":{name}" for name in row)
        values = {
            name: _as_json(value) if name in _JSON and value is not None else value for name, value in row.items()
        }
        if table == "overrides":  # where nothing is a value too
            values["value"] = _as_json(row["value"])
        connection.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})", values)


def _see_that_paths_are_free(connection: sqlite3.Connection, path: str, files: list[str]) -> None:
    """Forget copies at these paths, which are to be an asset's own; and refuse what another asset has."""
    connection.executemany("DELETE FROM files WHERE path = ? AND role = 'copy'", [(file,) for file in files])
    owner = "SELECT name FROM assets WHERE path = ?1 OR id IN (SELECT asset_id FROM files WHERE path = ?1)"
    for place in (path, *files):
        taken = connection.execute(owner, [place]).fetchone()
        if taken is not None:
            raise StorageError(
                f"{place} is {taken[0]} in the catalog now.", "Remove that first, or leave things as they are."
            )


def _checked(document: object) -> dict[str, Any]:
    """The parts of a document that are known, each of which is what it should be."""
    if not isinstance(document, dict) or document.get("version") != _VERSION:
        raise _damaged("this assetctl does not know its version")
    known: dict[str, Any] = {"asset": _row("asset", document.get("asset"))}
    for key in ("trigger_words", "tags"):
        known[key] = document.get(key)
        if not _are_words(known[key]):
            raise _damaged(f"{key} are malformed")
    for key in (*_MANY, "generations"):
        rows = document.get(key)
        if not _is_rows(rows):
            raise _damaged(f"{key} are malformed")
        known[key] = [_row(key, row) for row in rows or ()]
    for key in _ONE:
        known[key] = None if document.get(key) is None else _row(key, document[key])
    _see_that_it_agrees(known)
    return known


def _row(key: str, row: object) -> dict[str, Any]:
    columns = _COLUMNS[key]
    if not isinstance(row, dict):
        raise _damaged(f"{key} is malformed")
    row = _YOUNGER.get(key, {}) | row
    for name, is_right in columns.items():
        if name not in row or not is_right(row[name]):
            raise _damaged(f"{name} of {key} is malformed")
    return {name: row[name] for name in columns}


def _see_that_it_agrees(known: dict[str, Any]) -> None:
    """What columns cannot say of themselves: what is set by hand is of its field's kind, and no file comes twice."""
    for row in known["overrides"]:
        is_right = _are_words if row["field"] == "trigger_words" else _or_none(_is_text)
        if not is_right(row["value"]) or (row["field"] == "kind" and row["value"] not in KINDS):
            raise _damaged(f"what was set as {row['field']} is malformed")
    for key, names in (("files", ("path",)), ("overrides", ("field",))):
        if _has_twice(tuple(row[name] for name in names) for row in known[key]):
            raise _damaged(f"{key} has one thing twice")
    if sum(file["role"] == "main" for file in known["files"]) > 1:
        raise _damaged("it has several main files")


def _has_twice(rows: Iterable[tuple[Any, ...]]) -> bool:
    seen = list(rows)
    return len(set(seen)) < len(seen)


def _as_json(value: object) -> str:
    return orjson.dumps(value).decode()


def _damaged(what: str) -> CorruptFileError:
    return CorruptFileError(
        f"What was kept of the asset is damaged: {what}.", "`assetctl import FILE` registers its file again."
    )
