"""Writing the catalog: one `Writer` a transaction."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from assetctl.catalog import records
from assetctl.catalog.adding import (
    IDENTIFIED,
    INSERTS,
    add_assets,
    as_json,
    file_row,
    identification_row,
    now,
    origin_row,
)
from assetctl.catalog.opening import connect_for_writing, explained
from assetctl.catalog.opening import transaction as all_or_nothing
from assetctl.catalog.rows import TEXT, DamagedError, check, from_json, set_by_hand
from assetctl.errors import NotFoundError

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from assetctl.catalog.rows import FileHashes, NewAsset
    from assetctl.types import AssetFile, Identification, Origin

#: The numbers in a JSON list, as a table.
_THESE = "(SELECT value FROM json_each(:ids))"


@contextlib.contextmanager
def write_transaction(path: Path) -> Iterator[Writer]:
    """One transaction on the catalog at `path`, with SQLite's complaints turned into ours."""
    with explained(path), contextlib.closing(connect_for_writing(path)) as connection, all_or_nothing(connection):
        writer = Writer(connection)
        yield writer
        writer.finish()


class Writer:
    """Changes to the catalog within one transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._touched: set[int] = set()

    def add(self, entries: Sequence[NewAsset]) -> list[int]:
        """Add assets and return their numbers; one whose path is known already keeps its number and is left alone."""
        return add_assets(self._connection, entries)

    def set_hashes(self, rows: Sequence[FileHashes]) -> None:
        """Keep hashes of many files; the SHA256 of a main file is its asset's own."""
        values = [{"at": row.path, "new": row.sha256, "v3": row.autov3, "b3": row.blake3} for row in rows]
        keep = "sha256 = coalesce(:new, sha256), autov3 = coalesce(:v3, autov3), blake3 = coalesce(:b3, blake3)"
        self._connection.executemany(f"UPDATE files SET {keep} WHERE path = :at", values)  # noqa: S608 - a constant
        self._connection.executemany(
            "UPDATE assets SET sha256 = coalesce(:new, sha256) "
            "WHERE id = (SELECT asset_id FROM files WHERE path = :at AND role = 'main')",
            values,
        )

    def set_times(self, times: Mapping[str, int]) -> None:
        """Keep when files were written, by their paths."""
        values = [(mtime_ns, path) for path, mtime_ns in times.items()]
        self._connection.executemany("UPDATE files SET mtime_ns = ? WHERE path = ?", values)

    def set_folder_hash(self, asset_id: int, sha256: str | None) -> None:
        """Keep the hash of a whole diffusers folder."""
        self._change(asset_id, sha256=sha256)

    def untouched(self, asset_ids: Iterable[int]) -> list[int]:
        """Which of these assets are as they were added: nobody has renamed, tagged or set anything since."""
        query = (
            "SELECT id FROM assets WHERE updated_at = added_at AND notes IS NULL AND default_weight IS NULL "  # noqa: S608
            f"AND id NOT IN (SELECT asset_id FROM overrides) AND id IN {_THESE}"
        )
        return [row[0] for row in self._connection.execute(query, _numbers(asset_ids))]

    def merge_duplicates(self, newcomers: Iterable[int]) -> dict[int, int]:
        """Make one asset of those with the same bytes: newcomers' files and tags become another's, the oldest's.

        Returns:
            The newcomers that are gone, each with the asset that took its file.
        """
        candidates = set(newcomers)
        groups: dict[str, list[int]] = {}
        shared = "SELECT sha256 FROM assets GROUP BY sha256 HAVING count(*) > 1"
        query = f"SELECT id, sha256 FROM assets WHERE sha256 IN ({shared})"  # noqa: S608 - a constant
        for number, sha256 in self._connection.execute(query):
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
            self._connection.executemany(statement, pairs)
        self._connection.executemany("DELETE FROM assets WHERE id = ?", [(new,) for new in merged])
        self._touched.update(merged, merged.values())
        return merged

    def replace_files(self, asset_id: int, files: Sequence[AssetFile], *, same_bytes: bool = False) -> None:
        """The asset's own files are these now; unless they hold the `same_bytes`, its copies are no copies any more."""
        gone = "asset_id = :id"
        if same_bytes:
            gone += " AND (role <> 'copy' OR path IN (SELECT value FROM json_each(:paths)))"
        values = {"id": asset_id, "paths": as_json([file.path for file in files])}
        self._connection.execute(f"DELETE FROM files WHERE {gone}", values)  # noqa: S608 - constants
        self._insert_files(asset_id, files)
        sha256 = next((file.sha256 for file in files if file.role == "main"), None)
        self._change(asset_id, size=sum(file.size for file in files), sha256=sha256)

    def forget_file(self, path: str) -> None:
        """Forget one file, not its asset."""
        self._connection.execute("DELETE FROM files WHERE path = ?", [path])

    def set_location(self, asset_id: int, path: str, *, sha256: str | None, in_store: bool) -> None:
        """The asset lies here from now on."""
        self._change(asset_id, path=path, sha256=sha256, in_store=in_store)

    def take_over(self, asset_id: int, path: str, files: Sequence[AssetFile]) -> None:
        """The asset lies in the store from now on, with these files; where it lay are copies of it."""
        self._connection.execute("UPDATE files SET role = 'copy' WHERE asset_id = ?", [asset_id])
        self._insert_files(asset_id, files)
        self._change(asset_id, path=path, in_store=True)

    def relocate(self, asset_id: int, path: str, *, in_store: bool) -> None:
        """The asset's file is gone from its place, and its copy at `path` counts as the asset from now on."""
        self._connection.execute("DELETE FROM files WHERE asset_id = ? AND role = 'main'", [asset_id])
        self._connection.execute("UPDATE files SET role = 'main' WHERE path = ?", [path])
        self._change(asset_id, path=path, in_store=in_store)

    def follow(self, files: Mapping[str, str], assets: Mapping[int, str]) -> None:
        """Files, by their old paths, and assets lie at other paths now; nothing else of them has changed."""
        moves = [{"old": old, "new": new} for old, new in files.items()]
        gone = [(new,) for new in files.values()]
        self._connection.executemany("DELETE FROM files WHERE path = ? AND role = 'copy'", gone)
        self._connection.executemany("UPDATE OR IGNORE files SET path = :new WHERE path = :old", moves)
        places = [(new, number) for number, new in assets.items()]
        self._connection.executemany("UPDATE OR IGNORE assets SET path = ? WHERE id = ?", places)

    def set_identification(self, asset_id: int, found: Identification) -> None:
        """Keep what the file says of itself; what a person set stays on top."""
        set_by_hand = self._overrides(asset_id)
        self._change(asset_id, **{field: set_by_hand.get(field, getattr(found, field)) for field in IDENTIFIED})
        self._set_words(asset_id, set_by_hand.get("trigger_words", found.trigger_words))
        self._connection.execute("DELETE FROM identifications WHERE asset_id = ?", [asset_id])
        self._connection.execute(INSERTS["identifications"], (asset_id, *identification_row(found), now()))

    def set_origin(self, asset_id: int, origin: Origin) -> None:
        """Keep where an asset came from, and what is said of it there."""
        self._connection.execute("DELETE FROM origins WHERE asset_id = ?", [asset_id])
        self._connection.execute(INSERTS["origins"], (asset_id, *origin_row(origin)))

    def override(self, asset_id: int, field: str, value: Any) -> None:  # noqa: ANN401 - stored as JSON
        """Set `field` by a person's word."""
        self._set(asset_id, field, value)
        self._connection.execute(
            "INSERT OR REPLACE INTO overrides (asset_id, field, value, set_at) VALUES (?, ?, ?, ?)",
            [asset_id, field, as_json(value), now()],
        )

    def clear_override(self, asset_id: int, field: str) -> None:
        """Take a person's word back: what the file says counts again."""
        self._connection.execute("DELETE FROM overrides WHERE asset_id = ? AND field = ?", [asset_id, field])
        query = "SELECT result FROM identifications WHERE asset_id = ?"
        row = self._connection.execute(query, [asset_id]).fetchone()
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
        self._change(asset_id)
        self._connection.executemany("DELETE FROM tags WHERE asset_id = ? AND tag = ?", gone)
        self._connection.executemany("INSERT OR IGNORE INTO tags (asset_id, tag) VALUES (?, ?)", new)

    def remove(self, asset_id: int) -> None:
        """Forget the asset; pictures made with it stay, and keep its name and hash."""
        self._touched.add(asset_id)
        self._connection.execute("DELETE FROM assets WHERE id = ?", [asset_id])

    def record(self, asset_id: int) -> dict[str, Any]:
        """All that the catalog holds of an asset, as one document that JSON can hold; see `records.as_record`."""
        return records.as_record(self._connection, asset_id)

    def put_back(self, document: object) -> int:
        """Take an asset in again as `record` described it, and return its number; see `records.put_back`."""
        number = records.put_back(self._connection, document)
        self._touched.add(number)
        return number

    def names(self) -> set[str]:
        """All names in use, in lower case."""
        rows = self._connection.execute("SELECT name FROM assets").fetchall()
        check(rows, {"name": TEXT})
        return {row[0].lower() for row in rows}

    def flush(self) -> None:
        """Write all that goes with what was changed, so that only the disk can still refuse it at the end."""
        self.finish()

    def finish(self) -> None:
        """Bring the search index up to date with what was touched."""
        if self._touched:
            touched = _numbers(sorted(self._touched))
            self._connection.execute(f"DELETE FROM asset_search WHERE rowid IN {_THESE}", touched)  # noqa: S608 - a constant
            self._connection.execute(
                "INSERT INTO asset_search (rowid, name, trigger_words, tags, notes) "  # noqa: S608 - likewise
                f"SELECT id, name, trigger_words, tags, notes FROM asset_view WHERE id IN {_THESE}",
                touched,
            )
            self._touched.clear()

    def _change(self, asset_id: int, **values: object) -> None:
        """Set columns of an asset, and note that it was touched.

        Raises:
            NotFoundError: Another command has removed it meanwhile.
        """
        columns = ", ".join(f"{column} = :{column}" for column in ("updated_at", *values))
        query = f"UPDATE assets SET {columns} WHERE id = :id"  # noqa: S608 - names of columns are written in this file
        if not self._connection.execute(query, values | {"updated_at": now(), "id": asset_id}).rowcount:
            raise NotFoundError("The asset was removed meanwhile.", "`assetctl list` shows what is there.")
        self._touched.add(asset_id)

    def _set(self, asset_id: int, field: str, value: Any) -> None:  # noqa: ANN401 - as many types as there are fields
        if field == "trigger_words":
            self._set_words(asset_id, value or ())
        elif field in IDENTIFIED:
            self._change(asset_id, **{field: value})
        else:
            raise TypeError(f"no such field: {field}")

    def _overrides(self, asset_id: int) -> dict[str, Any]:
        rows = self._connection.execute("SELECT field, value FROM overrides WHERE asset_id = ?", [asset_id])
        return {field: set_by_hand(field, from_json(value, "what was set")) for field, value in rows}

    def _set_words(self, asset_id: int, words: Iterable[str]) -> None:
        self._change(asset_id)
        self._connection.execute("DELETE FROM trigger_words WHERE asset_id = ?", [asset_id])
        rows = [(asset_id, position, word) for position, word in enumerate(dict.fromkeys(words))]
        self._connection.executemany(INSERTS["trigger_words"], rows)

    def _insert_files(self, asset_id: int, files: Iterable[AssetFile]) -> None:
        rows = [(asset_id, *file_row(file)) for file in files]
        self._connection.executemany(INSERTS["files"], rows)


def _numbers(ids: Iterable[int]) -> dict[str, str]:
    return {"ids": as_json(list(ids))}
