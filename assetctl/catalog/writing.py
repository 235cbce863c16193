"""Writing the catalog: one `Writer` a transaction, through SQLAlchemy's ORM."""

from __future__ import annotations

import contextlib
import sqlite3
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import orjson
from sqlalchemy import delete, func, insert, or_, select, text, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from assetctl.catalog.adding import IDENTIFIED, INSERTS, add_assets, identification_row, now
from assetctl.catalog.engine import make_engine
from assetctl.catalog.opening import explain
from assetctl.catalog.rows import (
    AssetRow,
    FileRow,
    IdentificationRow,
    OriginRow,
    OverrideRow,
    TagRow,
    TriggerWordRow,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from assetctl.catalog.entries import FileHashes, NewAsset
    from assetctl.types import AssetFile, Identification, Origin


class WriterFactory:
    """Opens transactions on one catalog file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._engine = make_engine(path)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Writer]:
        """One transaction, with SQLite's complaints turned into ours."""
        try:
            with Session(self._engine) as session, session.begin():
                writer = Writer(session)
                yield writer
                writer.finish()
        except DBAPIError as error:
            if isinstance(error.orig, sqlite3.Error):
                raise explain(self._path, error.orig) from error
            raise

    def close(self) -> None:
        """Let go of the file."""
        self._engine.dispose()


class Writer:
    """Changes to the catalog within one transaction."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._touched: set[int] = set()

    def add(self, entries: Sequence[NewAsset]) -> list[int]:
        """Add assets and return their numbers; one whose path is known already keeps its number and is left alone."""
        self._session.flush()
        numbers = add_assets(self._raw, entries)
        self._session.expire_all()
        return numbers

    def set_hashes(self, rows: Sequence[FileHashes]) -> None:
        """Keep hashes of many files; the SHA256 of a main file is its asset's own."""
        values = [{"at": row.path, "new": row.sha256, "v3": row.autov3, "b3": row.blake3} for row in rows]
        if not values:
            return
        connection = self._session.connection()
        keep = "sha256 = coalesce(:new, sha256), autov3 = coalesce(:v3, autov3), blake3 = coalesce(:b3, blake3)"
        connection.execute(text(f"UPDATE files SET {keep} WHERE path = :at"), values)  # noqa: S608 - a constant
        connection.execute(
            text(
                "UPDATE assets SET sha256 = coalesce(:new, sha256) "
                "WHERE id = (SELECT asset_id FROM files WHERE path = :at AND role = 'main')"
            ),
            values,
        )
        self._session.expire_all()

    def set_times(self, times: Mapping[str, int]) -> None:
        """Keep when files were written, by their paths."""
        for path, mtime_ns in times.items():
            self._session.execute(update(FileRow).where(FileRow.path == path).values(mtime_ns=mtime_ns))

    def set_folder_hash(self, asset_id: int, sha256: str | None) -> None:
        """Keep the hash of a whole diffusers folder."""
        self._asset(asset_id).sha256 = sha256

    def add_copy(self, asset_id: int, file: AssetFile) -> None:
        """Remember one more place where the asset's bytes lie."""
        self._session.execute(delete(FileRow).where(FileRow.path == file.path))
        self._session.add(FileRow(**_file_values(asset_id, file) | {"role": "copy"}))

    def untouched(self, asset_ids: Iterable[int]) -> list[int]:
        """Which of these assets are as they were added: nobody has renamed, tagged or set anything since."""
        wanted = orjson.dumps(list(asset_ids)).decode()
        query = (
            "SELECT id FROM assets WHERE updated_at = added_at AND notes IS NULL AND default_weight IS NULL "
            "AND id NOT IN (SELECT asset_id FROM overrides) AND id IN (SELECT value FROM json_each(:ids))"
        )
        return list(self._session.connection().scalars(text(query), {"ids": wanted}))

    def merge_duplicates(self, newcomers: Iterable[int]) -> dict[int, int]:
        """Make one asset of those with the same bytes: newcomers' files and tags become another's, the oldest's.

        Returns:
            The newcomers that are gone, each with the asset that took its file.
        """
        candidates = set(newcomers)
        groups: dict[str, list[int]] = {}
        shared = select(AssetRow.sha256).group_by(AssetRow.sha256).having(func.count() > 1)
        for number, sha256 in self._session.execute(
            select(AssetRow.id, AssetRow.sha256).where(AssetRow.sha256.in_(shared))
        ):
            groups.setdefault(str(sha256), []).append(number)
        merged = {}
        for group in groups.values():
            keeper = min(group, key=lambda number: (number in candidates, number))
            merged.update(dict.fromkeys(candidates.intersection(group) - {keeper}, keeper))
        pairs = [{"new": new, "old": old} for new, old in merged.items()]
        if pairs:
            connection = self._session.connection()
            connection.execute(text("UPDATE files SET asset_id = :old, role = 'copy' WHERE asset_id = :new"), pairs)
            connection.execute(text("UPDATE generation_assets SET asset_id = :old WHERE asset_id = :new"), pairs)
            keep_tags = "INSERT OR IGNORE INTO tags (asset_id, tag) SELECT :old, tag FROM tags WHERE asset_id = :new"
            connection.execute(text(keep_tags), pairs)
            connection.execute(text("DELETE FROM assets WHERE id = :new"), pairs)
            self._session.expire_all()
            self._touched.update(merged, merged.values())
        return merged

    def replace_files(self, asset_id: int, files: Sequence[AssetFile], *, same_bytes: bool = False) -> None:
        """The asset's own files are these now; unless they hold the `same_bytes`, its copies are no copies any more."""
        gone = FileRow.asset_id == asset_id
        if same_bytes:
            gone &= or_(FileRow.role != "copy", FileRow.path.in_([file.path for file in files]))
        self._session.execute(delete(FileRow).where(gone))
        self._session.execute(insert(FileRow), [_file_values(asset_id, file) for file in files])
        asset = self._asset(asset_id)
        asset.size = sum(file.size for file in files)
        asset.sha256 = next((file.sha256 for file in files if file.role == "main"), None)

    def forget_file(self, path: str) -> None:
        """Forget one file, not its asset."""
        self._session.execute(delete(FileRow).where(FileRow.path == path))

    def set_location(self, asset_id: int, path: str, *, sha256: str | None, in_store: bool) -> None:
        """The asset lies here from now on."""
        asset = self._asset(asset_id)
        asset.path, asset.sha256, asset.in_store = path, sha256, in_store

    def take_over(self, asset_id: int, path: str, files: Sequence[AssetFile]) -> None:
        """The asset lies in the store from now on, with these files; where it lay are copies of it."""
        self._session.execute(update(FileRow).where(FileRow.asset_id == asset_id).values(role="copy"))
        self._session.execute(insert(FileRow), [_file_values(asset_id, file) for file in files])
        asset = self._asset(asset_id)
        asset.path, asset.in_store = path, True

    def relocate(self, asset_id: int, path: str, *, in_store: bool) -> None:
        """The asset's file is gone from its place, and its copy at `path` counts as the asset from now on."""
        gone = FileRow.asset_id == asset_id, FileRow.role == "main"
        self._session.execute(delete(FileRow).where(*gone))
        self._session.execute(update(FileRow).where(FileRow.path == path).values(role="main"))
        asset = self._asset(asset_id)
        asset.path, asset.in_store = path, in_store

    def follow(self, files: Mapping[str, str], assets: Mapping[int, str]) -> None:
        """Files, by their old paths, and assets lie at other paths now; nothing else of them has changed."""
        connection = self._session.connection()
        moves = [{"old": old, "new": new} for old, new in files.items()]
        if moves:
            connection.execute(text("DELETE FROM files WHERE path = :new AND role = 'copy'"), moves)
            connection.execute(text("UPDATE OR IGNORE files SET path = :new WHERE path = :old"), moves)
        places = [{"id": number, "new": new} for number, new in assets.items()]
        if places:
            connection.execute(text("UPDATE OR IGNORE assets SET path = :new WHERE id = :id"), places)
        self._session.expire_all()

    def set_identification(self, asset_id: int, found: Identification) -> None:
        """Keep what the file says of itself; what a person set stays on top."""
        self._session.execute(delete(IdentificationRow).where(IdentificationRow.asset_id == asset_id))
        self._raw.execute(INSERTS["identifications"], (asset_id, *identification_row(found), now()))
        overrides = self._overrides(asset_id)
        asset = self._asset(asset_id)
        for field in IDENTIFIED:
            setattr(asset, field, overrides.get(field, getattr(found, field)))
        self._set_words(asset_id, overrides.get("trigger_words", found.trigger_words))

    def set_origin(self, asset_id: int, origin: Origin) -> None:
        """Keep where an asset came from, and what is said of it there."""
        self._session.merge(OriginRow(asset_id=asset_id, **_origin_values(origin)))

    def override(self, asset_id: int, field: str, value: Any) -> None:  # noqa: ANN401 - stored as JSON
        """Set `field` by a person's word."""
        self._session.merge(OverrideRow(asset_id=asset_id, field=field, value=value, set_at=now()))
        if field == "trigger_words":
            self._set_words(asset_id, value)
        else:
            setattr(self._asset(asset_id), field, value)

    def clear_override(self, asset_id: int, field: str) -> None:
        """Take a person's word back: what the file says counts again."""
        self._session.execute(delete(OverrideRow).where(OverrideRow.asset_id == asset_id, OverrideRow.field == field))
        identified = self._session.get(IdentificationRow, asset_id)
        value = None if identified is None else identified.result.get(field)
        if field == "trigger_words":
            self._set_words(asset_id, value or ())
        else:
            setattr(self._asset(asset_id), field, value)

    def rename(self, asset_id: int, name: str) -> None:
        """Give the asset another name; the caller has seen to it that it is free."""
        self._asset(asset_id).name = name

    def set_notes(self, asset_id: int, notes: str | None) -> None:
        """Replace the notes."""
        self._asset(asset_id).notes = notes

    def set_default_weight(self, asset_id: int, weight: float | None) -> None:
        """The weight used where none is named."""
        self._asset(asset_id).default_weight = weight

    def change_tags(self, asset_id: int, add: Iterable[str] = (), remove: Iterable[str] = ()) -> None:
        """Add and remove tags."""
        for tag in remove:
            self._session.execute(delete(TagRow).where(TagRow.asset_id == asset_id, TagRow.tag == tag))
        self._session.flush()
        for tag in add:
            if self._session.get(TagRow, (asset_id, tag)) is None:
                self._session.add(TagRow(asset_id=asset_id, tag=tag))
                self._session.flush()
        self._asset(asset_id)

    def remove(self, asset_id: int) -> None:
        """Forget the asset; pictures made with it stay, and keep its name and hash."""
        self._touched.add(asset_id)
        self._session.execute(delete(AssetRow).where(AssetRow.id == asset_id))

    def names(self) -> set[str]:
        """All names in use, in lower case."""
        return {name.lower() for name in self._session.scalars(select(AssetRow.name))}

    def flush(self) -> None:
        """Send what was changed to SQLite, so that what can fail fails now."""
        self._session.flush()

    def finish(self) -> None:
        """Bring the search index up to date with what was touched."""
        self._session.flush()
        if self._touched:
            connection = self._session.connection()
            touched = {"ids": orjson.dumps(sorted(self._touched)).decode()}
            these = "(SELECT value FROM json_each(:ids))"
            connection.execute(text(f"DELETE FROM asset_search WHERE rowid IN {these}"), touched)  # noqa: S608 - a constant
            connection.execute(
                text(
                    "INSERT INTO asset_search (rowid, name, trigger_words, tags, notes) "  # noqa: S608 - likewise
                    f"SELECT id, name, trigger_words, tags, notes FROM asset_view WHERE id IN {these}"
                ),
                touched,
            )

    @property
    def _raw(self) -> sqlite3.Connection:
        """The connection below, within the same transaction."""
        raw = self._session.connection().connection.driver_connection
        assert isinstance(raw, sqlite3.Connection)  # noqa: S101 - the engine is ours
        return raw

    def _asset(self, asset_id: int) -> AssetRow:
        row = self._session.get_one(AssetRow, asset_id)
        row.updated_at = now()
        self._touched.add(asset_id)
        return row

    def _overrides(self, asset_id: int) -> dict[str, Any]:
        rows = self._session.scalars(select(OverrideRow).where(OverrideRow.asset_id == asset_id))
        return {row.field: row.value for row in rows}

    def _set_words(self, asset_id: int, words: Iterable[str]) -> None:
        self._session.execute(delete(TriggerWordRow).where(TriggerWordRow.asset_id == asset_id))
        if words:
            self._session.execute(insert(TriggerWordRow), _word_values(asset_id, words))
        self._asset(asset_id)


def _origin_values(origin: Origin) -> dict[str, Any]:
    values = {field: getattr(origin, field) for field in ("source", "reference", "revision", "url", "fetched_at")}
    return values | {"facts": None if origin.facts is None else asdict(origin.facts)}


def _file_values(asset_id: int, file: AssetFile) -> dict[str, Any]:
    fields = ("path", "role", "size", "mtime_ns", "sha256", "autov3", "blake3")
    return {"asset_id": asset_id} | {field: getattr(file, field) for field in fields}


def _word_values(asset_id: int, words: Iterable[str]) -> list[dict[str, Any]]:
    unique = dict.fromkeys(words)
    return [{"asset_id": asset_id, "position": n, "word": word} for n, word in enumerate(unique)]
