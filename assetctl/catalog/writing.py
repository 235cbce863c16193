"""Writing the catalog: all that changes it, and all that is asked meanwhile, within one transaction."""

from __future__ import annotations

import contextlib
from dataclasses import asdict
from datetime import UTC, datetime
from functools import cached_property
from itertools import chain
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import orjson

from assetctl.catalog.generations import Generations
from assetctl.catalog.reading import Reader
from assetctl.catalog.rows import (
    IDENTIFIED,
    TABLES,
    TEXT,
    DamagedError,
    check,
    free_name,
    from_json,
    insert,
    set_by_hand,
    some,
)
from assetctl.errors import NotFoundError

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Mapping, Sequence

    from assetctl.catalog.rows import FileHashes, NewAsset
    from assetctl.types import AssetFile, Identification, Origin

#: The numbers in a JSON list, as a table.
_THESE = "(SELECT value FROM json_each(:ids))"

#: What is kept of an identification as it was found, whatever a person sets.
_RESULT = (*IDENTIFIED, "trigger_words")

_identified, _result = attrgetter(*IDENTIFIED), attrgetter(*_RESULT)
_file = attrgetter(*some("files", "id", "asset_id"))
_origin = attrgetter(*some("origins", "asset_id", "facts"))

#: The tables that a new asset has rows in. What is searched with it comes first: the index takes all of it at once.
_NEW: dict[str, tuple[str, ...]] = {
    **{table: tuple(TABLES[table]) for table in ("trigger_words", "tags")},
    "assets": ("id", "name", "path", "size", "sha256", "in_store", "added_at", "updated_at", "alias", *IDENTIFIED),
    **{table: tuple(some(table, "id")) for table in ("files", "identifications", "origins")},
}

#: How many rows a statement writes: each that changes the index of words has its price.
_AT_ONCE = 100


class Taken:
    """Paths and names that are in use: read once for many transactions, and again where somebody else has written."""

    def __init__(self) -> None:
        self._version: tuple[int, int] | None = None

    def look(self, connection: sqlite3.Connection) -> None:
        """Know what is taken now.

        Attributes are filled: `numbers` of every asset by its path, `names` in lower case, `copies`, which are paths
        of copies of an asset's bytes, and `last`, the highest number that was ever given.
        """
        if self._version != self._now(connection):
            rows = connection.execute("SELECT path, id, name FROM assets").fetchall()
            check(rows, {name: TABLES["assets"][name] for name in ("path", "id", "name")})
            self.numbers: dict[str, int] = {path: number for path, number, _ in rows}
            self.names = {name.lower() for _, _, name in rows}  # SQLite's own `lower` knows ASCII alone
            self.copies = {row[0] for row in connection.execute("SELECT path FROM files WHERE role = 'copy'")}
            given = connection.execute("SELECT max(seq) FROM sqlite_sequence WHERE name = 'assets'").fetchone()[0]
            self.last: int = given or 0
        self._version = None

    def keep(self, connection: sqlite3.Connection) -> None:
        """All that was noted since `look` is written; without this, nothing is believed the next time."""
        self._version = self._now(connection)

    @staticmethod
    def _now(connection: sqlite3.Connection) -> tuple[int, int]:
        """What others have written, and what this connection has."""
        return connection.execute("PRAGMA data_version").fetchone()[0], connection.total_changes


class Writer(Reader):
    """Changes to the catalog within one transaction; its questions see what was changed."""

    @cached_property
    def _taken(self) -> Taken:
        return Taken()

    def forget(self) -> None:
        """Nothing is to be relied upon that was known before: a transaction has failed."""
        self.__dict__.pop("_taken", None)

    @cached_property
    def generations(self) -> Generations:
        """The pictures that were made, within this transaction."""
        return Generations(self._connect, self._path, lambda: contextlib.nullcontext(self))

    def add(self, entries: Iterable[NewAsset]) -> list[int]:
        """Add assets and return their numbers; one whose path is known already keeps its number and is left alone."""
        connection, taken, rows, numbers = self.connection, self._taken, _Rows(now()), list[int]()
        taken.look(connection)
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
            for start in range(0, len(values), _AT_ONCE):
                batch = values[start : start + _AT_ONCE]
                connection.execute(insert(table, *_NEW[table], rows=len(batch)), list(chain.from_iterable(batch)))
        taken.keep(connection)
        return numbers

    def set_hashes(self, rows: Sequence[FileHashes]) -> None:
        """Keep hashes of many files; the SHA256 of a main file is its asset's own."""
        values = [{"at": row.path, "new": row.sha256, "v3": row.autov3, "b3": row.blake3} for row in rows]
        keep = "sha256 = coalesce(:new, sha256), autov3 = coalesce(:v3, autov3), blake3 = coalesce(:b3, blake3)"
        self.connection.executemany(f"UPDATE files SET {keep} WHERE path = :at", values)
        self.connection.executemany(
            "UPDATE assets SET sha256 = coalesce(:new, sha256) "
            "WHERE id = (SELECT asset_id FROM files WHERE path = :at AND role = 'main')",
            values,
        )

    def set_times(self, times: Mapping[str, int]) -> None:
        """Keep when files were written, by their paths."""
        values = [(mtime_ns, path) for path, mtime_ns in times.items()]
        self.connection.executemany("UPDATE files SET mtime_ns = ? WHERE path = ?", values)

    def set_folder_hash(self, asset_id: int, sha256: str | None) -> None:
        """Keep the hash of a whole diffusers folder."""
        self._change(asset_id, sha256=sha256)

    def untouched(self, asset_ids: Iterable[int]) -> list[int]:
        """Which of these assets are as they were added: nobody has renamed, tagged or set anything since."""
        query = (
            "SELECT id FROM assets WHERE updated_at = added_at AND notes IS NULL AND default_weight IS NULL "
            f"AND id NOT IN (SELECT asset_id FROM overrides) AND id IN {_THESE}"
        )
        return [row[0] for row in self.connection.execute(query, _numbers(asset_ids))]

    def merge_duplicates(self, newcomers: Iterable[int]) -> dict[int, int]:
        """Make one asset of those with the same bytes: newcomers' files and tags become another's, the oldest's.

        Returns:
            The newcomers that are gone, each with the asset that took its file.
        """
        candidates = set(newcomers)
        groups: dict[str, list[int]] = {}
        shared = "SELECT sha256 FROM assets GROUP BY sha256 HAVING count(*) > 1"
        query = f"SELECT id, sha256 FROM assets WHERE sha256 IN ({shared})"
        for number, sha256 in self.connection.execute(query):
            groups.setdefault(sha256, []).append(number)
        merged: dict[int, int] = {}
        for group in groups.values():
            keeper = min(group, key=lambda number: (number in candidates, number))
            merged.update(dict.fromkeys(candidates.intersection(group) - {keeper}, keeper))
        pairs = [{"new": new, "old": old} for new, old in merged.items()]
        for statement in (
            "UPDATE files SET asset_id = :old, role = 'copy' WHERE asset_id = :new",
            "UPDATE generation_assets SET asset_id = :old WHERE asset_id = :new",
            "INSERT OR IGNORE INTO tags (asset_id, tag) SELECT :old, tag FROM tags WHERE asset_id = :new",
        ):
            self.connection.executemany(statement, pairs)
        self.connection.executemany("DELETE FROM assets WHERE id = ?", [(new,) for new in merged])
        return merged

    def replace_files(self, asset_id: int, files: Sequence[AssetFile], *, same_bytes: bool = False) -> None:
        """The asset's own files are these now; unless they hold the `same_bytes`, its copies are no copies any more."""
        gone = "asset_id = :id"
        if same_bytes:
            gone += " AND (role <> 'copy' OR path IN (SELECT value FROM json_each(:paths)))"
        values = {"id": asset_id, "paths": as_json([file.path for file in files])}
        self.connection.execute(f"DELETE FROM files WHERE {gone}", values)
        self._insert_files(asset_id, files)
        sha256 = next((file.sha256 for file in files if file.role == "main"), None)
        self._change(asset_id, size=sum(file.size for file in files), sha256=sha256)

    def forget_file(self, path: str) -> None:
        """Forget one file, not its asset."""
        self.connection.execute("DELETE FROM files WHERE path = ?", [path])

    def set_location(self, asset_id: int, path: str, *, sha256: str | None, in_store: bool) -> None:
        """The asset lies here from now on."""
        self._change(asset_id, path=path, sha256=sha256, in_store=in_store)

    def take_over(self, asset_id: int, path: str, files: Sequence[AssetFile]) -> None:
        """The asset lies in the store from now on, with these files; where it lay are copies of it."""
        self.connection.execute("UPDATE files SET role = 'copy' WHERE asset_id = ?", [asset_id])
        self._insert_files(asset_id, files)
        self._change(asset_id, path=path, in_store=True)

    def relocate(self, asset_id: int, path: str, *, in_store: bool) -> None:
        """The asset's file is gone from its place, and its copy at `path` counts as the asset from now on."""
        self.connection.execute("DELETE FROM files WHERE asset_id = ? AND role = 'main'", [asset_id])
        self.connection.execute("UPDATE files SET role = 'main' WHERE path = ?", [path])
        self._change(asset_id, path=path, in_store=in_store)

    def follow(self, files: Mapping[str, str], assets: Mapping[int, str]) -> None:
        """Files, by their old paths, and assets lie at other paths now; nothing else of them has changed."""
        follow(self.connection, files, assets)

    def set_identification(self, asset_id: int, found: Identification) -> None:
        """Keep what the file says of itself; what a person set stays on top."""
        own = self._set_of(asset_id)
        counts = {field: own.get(field, getattr(found, field)) for field in IDENTIFIED}
        self._change(asset_id, **counts, **({} if found.alias is None else {"alias": found.alias}))
        self._set_words(asset_id, own.get("trigger_words", found.trigger_words))
        self.connection.execute("DELETE FROM identifications WHERE asset_id = ?", [asset_id])
        self.connection.execute(insert("identifications"), (asset_id, *identification_row(found), now()))

    def set_origin(self, asset_id: int, origin: Origin) -> None:
        """Keep where an asset came from, and what is said of it there."""
        self.connection.execute("DELETE FROM origins WHERE asset_id = ?", [asset_id])
        self.connection.execute(insert("origins"), (asset_id, *origin_row(origin)))

    def override(self, asset_id: int, field: str, value: Any) -> None:  # noqa: ANN401 - stored as JSON
        """Set `field` by a person's word."""
        self._set(asset_id, field, value)
        self.connection.execute(
            insert("overrides").replace("INSERT", "INSERT OR REPLACE"),
            [asset_id, field, as_json(value), now()],
        )

    def clear_override(self, asset_id: int, field: str) -> None:
        """Take a person's word back: what the file says counts again."""
        self.connection.execute("DELETE FROM overrides WHERE asset_id = ? AND field = ?", [asset_id, field])
        query = "SELECT result FROM identifications WHERE asset_id = ?"
        row = self.connection.execute(query, [asset_id]).fetchone()
        found = {} if row is None else from_json(row[0], "an identification")
        if not isinstance(found, dict):
            raise DamagedError("an identification in it is not what assetctl writes")
        none: list[str] | None = [] if field == "trigger_words" else None
        self._set(asset_id, field, set_by_hand(field, found.get(field, none)))

    def rename(self, asset_id: int, name: str) -> None:
        """Give the asset another name; the caller has seen to it that it is free."""
        self._change(asset_id, name=name)

    def set_notes(self, asset_id: int, notes: str | None) -> None:
        """Replace the notes."""
        self._change(asset_id, notes=notes)

    def set_default_weight(self, asset_id: int, weight: float | None) -> None:
        """The weight used where none is named."""
        self._change(asset_id, default_weight=weight)

    def change_tags(self, asset_id: int, add: Iterable[str] = (), remove: Iterable[str] = ()) -> None:
        """Add and remove tags."""
        gone, new = [(asset_id, tag) for tag in remove], [(asset_id, tag) for tag in add]
        self.by_id(asset_id)
        self.connection.executemany("DELETE FROM tags WHERE asset_id = ? AND tag = ?", gone)
        self.connection.executemany("INSERT OR IGNORE INTO tags (asset_id, tag) VALUES (?, ?)", new)

    def remove(self, asset_id: int) -> None:
        """Forget the asset; pictures made with it stay, and keep its name and hash."""
        self.connection.execute("DELETE FROM assets WHERE id = ?", [asset_id])

    def record(self, asset_id: int) -> dict[str, Any]:
        """All that the catalog holds of an asset, as one document that JSON can hold; see `records.as_record`."""
        from assetctl.catalog.records import as_record  # noqa: PLC0415 - only what leaves needs it

        return as_record(self.connection, asset_id)

    def put_back(self, document: object) -> int:
        """Take an asset in again as `record` described it, and return its number; see `records.put_back`."""
        from assetctl.catalog.records import put_back  # noqa: PLC0415 - likewise

        return put_back(self.connection, document)

    def set_aliases(self, aliases: Mapping[int, str]) -> None:
        """Note what the metadata of files call them, of those assets of which nobody has yet."""
        rows = [(alias, number) for number, alias in aliases.items()]
        self.connection.executemany("UPDATE assets SET alias = ? WHERE id = ? AND alias IS NULL", rows)

    def names(self) -> set[str]:
        """All names in use, in lower case."""
        return {row[0].lower() for row in self._rows("SELECT name FROM assets", (), {"name": TEXT})}

    def _change(self, asset_id: int, **values: object) -> None:
        """Set columns of an asset.

        Raises:
            NotFoundError: Another command has removed it meanwhile.
        """
        columns = ", ".join(f"{column} = :{column}" for column in values)
        query = f"UPDATE assets SET {columns} WHERE id = :id"
        if not self.connection.execute(query, values | {"id": asset_id}).rowcount:
            raise NotFoundError("The asset was removed meanwhile.", "`assetctl list` shows what is there.")

    def _set(self, asset_id: int, field: str, value: Any) -> None:  # noqa: ANN401 - as many types as there are fields
        if field == "trigger_words":
            self._set_words(asset_id, value or ())
        elif field in IDENTIFIED:
            self._change(asset_id, **{field: value})
        else:
            raise TypeError(f"no such field: {field}")

    def _set_of(self, asset_id: int) -> dict[str, Any]:
        rows = self.connection.execute("SELECT field, value FROM overrides WHERE asset_id = ?", [asset_id])
        return {field: set_by_hand(field, from_json(value, "what was set")) for field, value in rows}

    def _set_words(self, asset_id: int, words: Iterable[str]) -> None:
        if self.by_id(asset_id).trigger_words == tuple(words):
            return
        self.connection.execute("DELETE FROM trigger_words WHERE asset_id = ?", [asset_id])
        rows = [(asset_id, position, word) for position, word in enumerate(dict.fromkeys(words))]
        self.connection.executemany(insert("trigger_words"), rows)

    def _insert_files(self, asset_id: int, files: Iterable[AssetFile]) -> None:
        rows = [(asset_id, *_file(file)) for file in files]
        self.connection.executemany(insert("files"), rows)


def follow(connection: sqlite3.Connection, files: Mapping[str, str], assets: Mapping[int, str]) -> None:
    """See `Writer.follow`; also in a copy in memory."""
    moves = [{"old": old, "new": new} for old, new in files.items()]
    gone = [(new,) for new in files.values()]
    connection.executemany("DELETE FROM files WHERE path = ? AND role = 'copy'", gone)
    connection.executemany("UPDATE OR IGNORE files SET path = :new WHERE path = :old", moves)
    places = [(new, number) for number, new in assets.items()]
    connection.executemany("UPDATE OR IGNORE assets SET path = ? WHERE id = ?", places)


def _numbers(ids: Iterable[int]) -> dict[str, str]:
    return {"ids": as_json(list(ids))}


class _Rows:
    """The rows of many new assets, table by table."""

    def __init__(self, at: str) -> None:
        self._at = at
        self.tables: dict[str, list[tuple[Any, ...]]] = {table: [] for table in _NEW}

    def append(self, number: int, name: str, entry: NewAsset) -> None:
        found, tables, at = entry.identification, self.tables, self._at
        own = _identified(found)
        first = (number, name, entry.path, entry.size, entry.sha256, entry.in_store, at, at, found.alias)
        tables["assets"].append((*first, *own))
        tables["files"] += [(number, *_file(file)) for file in entry.files]
        words, tags = list(dict.fromkeys(found.trigger_words)), sorted(entry.tags)
        tables["trigger_words"] += [(number, position, word) for position, word in enumerate(words)]
        tables["tags"] += [(number, tag) for tag in tags]
        tables["identifications"].append((number, *identification_row(found), at))
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


def origin_row(origin: Origin) -> tuple[Any, ...]:
    """An origin's columns, but for the number of its asset."""
    facts = None if origin.facts is None else as_json(asdict(origin.facts))
    return (*_origin(origin), facts)


def as_json(value: object) -> str:
    """A value as it is kept in a column of JSON."""
    return orjson.dumps(value).decode()
