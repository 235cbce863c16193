"""The pictures that were made: newest first, one by its number, and one more."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from types import NoneType
from typing import TYPE_CHECKING, Any

import orjson

from assetctl.catalog.opening import connect_for_writing, explained, transaction
from assetctl.catalog.rows import (
    NUMBER,
    REAL,
    REAL_OR_NONE,
    TEXT,
    TEXT_OR_NONE,
    Generation,
    GenerationAsset,
    Kinds,
    check,
    check_paths,
)
from assetctl.errors import NotFoundError

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from assetctl.catalog.rows import GenerationEntry, GenerationFilter

#: Columns of `generations` that an entry has under the same name.
_PLAIN = (
    "prompt", "negative_prompt", "steps", "cfg_scale", "sampler", "seed", "width", "height",
    "image_path", "image_sha256",
)  # fmt: skip
_SETTINGS = ("steps", "cfg_scale", "sampler", "seed", "width", "height")
#: What these hold, with the number and the time before them.
_GENERATION: dict[str, Kinds] = {
    "number": NUMBER, "time": TEXT, "prompt": TEXT, "negative prompt": TEXT, "number of steps": NUMBER, "scale": REAL,
    "sampler": TEXT, "seed": NUMBER, "width": NUMBER, "height": NUMBER, "image_path": TEXT, "SHA256": TEXT,
}  # fmt: skip
#: A record that is damaged is none, and the rest of its picture is told.
_ANYTHING: Kinds = frozenset({str, bytes, int, float, NoneType})
_USE: dict[str, Kinds] = {
    "number": NUMBER, "role": TEXT, "name": TEXT, "SHA256": TEXT_OR_NONE, "weight": REAL_OR_NONE, "asset": TEXT_OR_NONE,
}  # fmt: skip
_COLUMNS = f"id AS number, created_at, {', '.join(_PLAIN)}"
#: Used by its number; or, where it has left the catalog and came back with another, as the same bytes.
_WITH_ASSETS = (
    "id IN (SELECT generation_id FROM generation_assets WHERE asset_id IN (SELECT value FROM json_each(?)) "
    "OR asset_id IS NULL AND sha256 IN (SELECT sha256 FROM assets WHERE id IN (SELECT value FROM json_each(?))))"
)
_MARKS = ", ".join("?" * (len(_PLAIN) + 2))


class Generations:
    """Questions about the pictures that were made, and the way to add one."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        connection.create_function("casefold", 1, str.casefold, deterministic=True)  # its `lower` knows ASCII alone
        self._path = path

    def latest(self, wanted: GenerationFilter, limit: int | None = 20) -> list[Generation]:
        """The newest pictures that fit, newest first, without their records."""
        where, values = _conditions(wanted)
        rows = self._rows(
            f"SELECT {_COLUMNS} FROM generations g WHERE {where} ORDER BY id DESC LIMIT ?",  # noqa: S608 - columns are ours
            [*values, -1 if limit is None else limit],
            _GENERATION,
        )
        assets = self._assets(row["number"] for row in rows)
        return [_generation(dict(row), assets[row["number"]]) for row in rows]

    def get(self, number: int) -> Generation:
        """One picture, with its record, or without where that is damaged.

        Raises:
            NotFoundError: No picture has this number.
        """
        query = f"SELECT {_COLUMNS}, record FROM generations WHERE id = ?"  # noqa: S608 - columns are ours
        rows = self._rows(query, [number], _GENERATION | {"record": _ANYTHING}) if abs(number) < 2**63 else []
        if not rows:
            raise NotFoundError(f"There is no picture number {number}.", "`assetctl history` lists what was made.")
        fields = dict(rows[0])
        fields["record"] = _record(fields["record"])
        return _generation(fields, self._assets([number])[number])

    def has_file(self, sha256: str) -> bool:
        """Whether a picture was saved as exactly these bytes."""
        return bool(self._rows("SELECT 1 FROM generations WHERE image_sha256 = ? LIMIT 1", [sha256]))

    def record(self, entry: GenerationEntry) -> int:
        """Keep one picture and what it was made of; returns its number."""
        said = {"prompt": entry.prompt, "negative_prompt": entry.negative_prompt, "image_path": entry.image_path}
        said |= {"image_sha256": entry.image_sha256, **entry.settings}
        values = [_now(), *(said[column] for column in _PLAIN), orjson.dumps(entry.record).decode()]
        with explained(self._path), self._writing() as connection:
            number = connection.execute(
                f"INSERT INTO generations (created_at, {', '.join(_PLAIN)}, record) VALUES ({_MARKS})",  # noqa: S608 - columns are ours
                values,
            ).lastrowid
            # An asset may have been removed while the picture was made: its name and hash remain.
            connection.executemany(
                "INSERT INTO generation_assets (generation_id, position, asset_id, role, name, sha256, weight) "
                "VALUES (?, ?, (SELECT id FROM assets WHERE path = ?), ?, ?, ?, ?)",
                [
                    (
                        number,
                        position,
                        use.path,
                        use.role,
                        use.name,
                        use.sha256,
                        use.weight if use.role == "lora" else None,
                    )
                    for position, use in enumerate(entry.uses)
                ],
            )
        return int(number or 0)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction on a connection of its own."""
        with contextlib.closing(connect_for_writing(self._path)) as connection, transaction(connection):
            yield connection

    def _assets(self, numbers: Iterable[int]) -> dict[int, list[GenerationAsset]]:
        found: dict[int, list[GenerationAsset]] = {number: [] for number in numbers}
        rows = self._rows(
            "SELECT u.generation_id, u.role, u.name, u.sha256, u.weight, a.name FROM generation_assets u "
            "LEFT JOIN assets a ON a.id = u.asset_id "
            "WHERE u.generation_id IN (SELECT value FROM json_each(?)) ORDER BY u.generation_id, u.position",
            [orjson.dumps(list(found)).decode()],
            _USE,
        )
        for number, *fields in rows:
            found[number].append(GenerationAsset(*fields))
        return found

    def _rows(self, query: str, values: list[Any], columns: dict[str, Kinds] | None = None) -> list[sqlite3.Row]:
        with explained(self._path):
            rows = self._connection.execute(query, values).fetchall()
            if columns is not None:
                check(rows, columns)
            if columns is not None and "image_path" in columns:
                check_paths([row["image_path"] for row in rows])
            return rows


def _generation(fields: dict[str, Any], assets: list[GenerationAsset]) -> Generation:
    settings = {name: fields.pop(name) for name in _SETTINGS}
    return Generation(**fields, settings=settings, assets=tuple(assets))


def _conditions(wanted: GenerationFilter) -> tuple[str, list[Any]]:
    where, values = ["1"], list[Any]()
    if wanted.asset_ids:
        where.append(_WITH_ASSETS)
        values += [orjson.dumps(list(wanted.asset_ids)).decode()] * 2
    if wanted.name is not None:
        where.append("id IN (SELECT generation_id FROM generation_assets WHERE name = ? COLLATE NOCASE)")
        values.append(wanted.name)
    if wanted.words:
        # The index holds all prompts, and a tenth of the bytes of the table with its records.
        contained = " AND ".join(["instr(casefold(prompt), ?) > 0"] * len(wanted.words))
        where.append(f"id IN (SELECT id FROM generations INDEXED BY ix_generations_prompt WHERE {contained})")  # noqa: S608 - ours
        values += [word.casefold() for word in wanted.words]
    if wanted.seed is not None:
        where.append("seed = ?")
        values.append(wanted.seed)
    if wanted.since is not None:
        where.append("id IN (SELECT id FROM generations WHERE created_at >= ?)")
        values.append(wanted.since)
    return " AND ".join(where), values


def _record(text: str | bytes) -> dict[str, Any] | None:
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return found if isinstance(found, dict) else None


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
