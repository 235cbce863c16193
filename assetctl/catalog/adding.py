"""Adding assets, thousands at a time."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import orjson

from assetctl.catalog.opening import connect_for_writing, explained, transaction
from assetctl.catalog.rows import NUMBER, TEXT, check, free_name

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from assetctl.catalog.rows import NewAsset
    from assetctl.types import AssetFile, Identification, Origin

#: What identification fills in and a person may override.
IDENTIFIED = ("kind", "family", "base_model", "variant", "prediction", "format", "layout")

#: What is kept of an identification as it was found, whatever a person sets.
_RESULT = (*IDENTIFIED, "trigger_words")

_identified, _result = attrgetter(*IDENTIFIED), attrgetter(*_RESULT)

_FILE = ("path", "role", "size", "mtime_ns", "sha256", "autov3", "blake3")
_ORIGIN = ("source", "reference", "revision", "url", "fetched_at")

#: Every table that an asset has rows in, with the columns that are written.
_TABLES = {
    "assets": ("id", "name", "path", "size", "sha256", "in_store", "added_at", "updated_at", *IDENTIFIED),
    "files": ("asset_id", *_FILE),
    "trigger_words": ("asset_id", "position", "word"),
    "tags": ("asset_id", "tag"),
    "identifications": ("asset_id", "confidence", "result", "evidence", "identified_at"),
    "origins": ("asset_id", *_ORIGIN, "facts"),
    "asset_search": ("rowid", "name", "trigger_words", "tags"),
}

#: How a row of each is written.
INSERTS = {
    table: f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"  # noqa: S608 - constants
    for table, columns in _TABLES.items()
}


class Adder:
    """Adds assets through a connection of its own, in one transaction each time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with explained(path):
            self._connection = connect_for_writing(path)
        self._taken: Taken | None = None
        self._version = 0

    def add(self, entries: Sequence[NewAsset]) -> list[int]:
        """Add assets and return their numbers; one whose path is known already keeps its number and is left alone.

        Raises:
            CatalogError: The catalog is damaged, or others keep it locked.
            StorageError: The disk refused; nothing was added.
        """
        try:
            with explained(self._path), transaction(self._connection):
                return add_assets(self._connection, entries, self._known())
        except BaseException:
            self._taken = None
            raise

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def _known(self) -> Taken:
        """What is taken: as it was left the last time, unless somebody else wrote meanwhile."""
        version = self._connection.execute("PRAGMA data_version").fetchone()[0]
        if self._taken is None or version != self._version:
            self._taken, self._version = Taken(self._connection), version
        return self._taken


class Taken:
    """Paths, names and numbers that are in use.

    Attributes:
        numbers: Of every asset, by its path.
        names: In lower case.
        copies: Paths that are copies of an asset's bytes.
        last: The highest number.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        rows = connection.execute("SELECT path, id, name FROM assets").fetchall()
        check(rows, {"path": TEXT, "number": NUMBER, "name": TEXT})
        self.numbers: dict[str, int] = {path: number for path, number, _ in rows}
        self.names = {name.lower() for _, _, name in rows}  # SQLite's own `lower` knows ASCII alone
        self.copies = {row[0] for row in connection.execute("SELECT path FROM files WHERE role = 'copy'")}
        self.last = max(self.numbers.values(), default=0)


def add_assets(connection: sqlite3.Connection, entries: Iterable[NewAsset], taken: Taken | None = None) -> list[int]:
    """Add assets within the transaction of `connection`; see `Adder.add`. What is added is noted in `taken`."""
    taken = taken or Taken(connection)
    rows = _Rows(now())
    numbers = []
    for entry in entries:
        number = taken.numbers.get(entry.path)
        if number is None:
            number = taken.last = taken.numbers[entry.path] = taken.last + 1
            rows.append(number, free_name(entry.name, taken.names), entry)
        numbers.append(number)
    # a copy whose bytes changed has become an asset of its own
    changed = [(path,) for file in rows.tables["files"] if (path := file[1]) in taken.copies]
    connection.executemany("DELETE FROM files WHERE path = ?", changed)
    for table, values in rows.tables.items():
        connection.executemany(INSERTS[table], values)
    return numbers


class _Rows:
    """The rows of many new assets, table by table."""

    def __init__(self, at: str) -> None:
        self._at = at
        self.tables: dict[str, list[tuple[Any, ...]]] = {table: [] for table in _TABLES}

    def append(self, number: int, name: str, entry: NewAsset) -> None:
        found, tables, at = entry.identification, self.tables, self._at
        own = _identified(found)
        tables["assets"].append((number, name, entry.path, entry.size, entry.sha256, entry.in_store, at, at, *own))
        tables["files"] += [(number, *file_row(file)) for file in entry.files]
        words, tags = list(dict.fromkeys(found.trigger_words)), sorted(entry.tags)
        tables["trigger_words"] += [(number, position, word) for position, word in enumerate(words)]
        tables["tags"] += [(number, tag) for tag in tags]
        tables["identifications"].append((number, *identification_row(found), at))
        tables["asset_search"].append((number, name, as_json(words), as_json(tags)))
        if entry.origin is not None:
            tables["origins"].append((number, *origin_row(entry.origin)))


def identification_row(found: Identification) -> tuple[str, str, str]:
    """Confidence, result and evidence, as they are kept."""
    result = dict(zip(_RESULT, _result(found), strict=True))
    evidence = [{"source": one.source, "claim": one.claim, "detail": one.detail} for one in found.evidence]
    return found.confidence, as_json(result), as_json(evidence)


def now() -> str:
    """The time, as it is kept."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def file_row(file: AssetFile) -> tuple[Any, ...]:
    """A file's columns, but for the number of its asset."""
    return (file.path, file.role, file.size, file.mtime_ns, file.sha256, file.autov3, file.blake3)


def origin_row(origin: Origin) -> tuple[Any, ...]:
    """An origin's columns, but for the number of its asset."""
    facts = None if origin.facts is None else as_json(asdict(origin.facts))
    return (origin.source, origin.reference, origin.revision, origin.url, origin.fetched_at, facts)


def as_json(value: object) -> str:
    """A value as it is kept in a column of JSON."""
    return orjson.dumps(value).decode()
