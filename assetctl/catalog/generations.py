"""The pictures that were made: newest first, one by its number, and one more."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson

from assetctl.catalog.rows import (
    NUMBER,
    REAL,
    TEXT,
    TEXT_OR_NONE,
    Asking,
    DamagedError,
    Kinds,
    check,
    check_paths,
    explained,
    from_json,
    insert,
    some,
)
from assetctl.errors import CatalogError, NotFoundError

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from assetctl.request import PlannedUse

#: What a list of pictures reads of each; only the picture that is asked for by itself has its record.
_LISTED = some("generations", "record")
_USE = some("generation_assets", "position", "asset_id")

#: What every picture has among its settings. Others come and go with what can be asked for.
_SETTINGS: dict[str, Kinds] = {
    "seed": NUMBER, "steps": NUMBER, "cfg_scale": REAL, "sampler": TEXT, "width": NUMBER, "height": NUMBER,
}  # fmt: skip

#: Used by its number; or, where it has left the catalog and came back with another, as the same bytes.
_WITH_ASSETS = (
    "id IN (SELECT generation_id FROM generation_assets WHERE asset_id IN (SELECT value FROM json_each(?)) "
    "OR asset_id IS NULL AND sha256 IN (SELECT sha256 FROM assets WHERE id IN (SELECT value FROM json_each(?))))"
)


@dataclass(frozen=True, slots=True)
class GenerationEntry:
    """One picture that was made.

    Attributes:
        uses: The assets and their weights.
        settings: Values by the names of `assetctl.options`, the seed among them; whatever JSON can hold.
        image_path: Where the picture lies.
        image_sha256: Of the picture's file.
        record: Everything that was recorded in the picture.
        job: The job of a batch that it was made for, which has one picture of a seed.
    """

    uses: Sequence[PlannedUse]
    prompt: str
    negative_prompt: str
    settings: Mapping[str, Any]
    image_path: str
    image_sha256: str
    record: dict[str, object]
    job: str | None = None


@dataclass(frozen=True, slots=True)
class GenerationAsset:
    """An asset's part in a picture that was made.

    Attributes:
        name: What it was called then.
        asset: What it is called now; `None` if it has left the catalog.
    """

    role: str
    name: str
    sha256: str | None
    weight: float | None
    asset: str | None


@dataclass(frozen=True, slots=True)
class Generation:
    """A picture that was made, as the catalog keeps it.

    Attributes:
        number: Counts up from 1, and is never given again.
        settings: See `GenerationEntry`.
        image_path: Where it was saved; it may lie elsewhere by now.
        image_sha256: Of the file as it was saved.
        record: Everything that was recorded in it; `None` in a list of many.
        replaced: Whether another file is known to lie where it was saved.
        job: The job of a batch that it was made for, if it was.
    """

    number: int
    created_at: str
    prompt: str
    negative_prompt: str
    settings: Mapping[str, Any]
    image_path: str
    image_sha256: str
    assets: tuple[GenerationAsset, ...]
    record: dict[str, Any] | None = None
    replaced: bool = False
    job: str | None = None

    @property
    def is_there(self) -> bool:
        """Whether the picture is still where it was saved."""
        return not self.replaced and os.path.exists(self.image_path)  # noqa: PTH110 - a `Path` costs more


@dataclass(frozen=True, slots=True)
class GenerationFilter:
    """Which pictures are asked for; conditions add up, and `None` is none.

    Attributes:
        asset_ids: Any of these assets was used, by its number or as the same bytes.
        name: An asset that was called so was used, whether it is still there or not.
        words: Each occurs in the prompt, in any case.
        since: Made at this time or later, ISO 8601 in UTC.
        before: Only those with lower numbers, which are older.
    """

    asset_ids: tuple[int, ...] = ()
    name: str | None = None
    words: tuple[str, ...] = ()
    seed: int | None = None
    since: str | None = None
    before: int | None = None


class Generations(Asking):
    """Questions about the pictures that were made, and the way to add one.

    Args:
        connect: As `Asking` has it.
        path: The catalog.
        write: The transaction in which a picture is added.
    """

    def __init__(
        self,
        connect: Callable[[], sqlite3.Connection],
        path: Path,
        write: Callable[[], AbstractContextManager[Asking]],
    ) -> None:
        super().__init__(connect, path)
        self._write = write

    def latest(
        self,
        wanted: GenerationFilter,
        limit: int | None = 20,
        damaged: Callable[[CatalogError], None] | None = None,
    ) -> list[Generation]:
        """The newest pictures that fit, newest first, without their records.

        One of which what is kept is damaged is an error, unless somebody wants to be told of all `damaged`, and gets
        the rest.
        """
        where, values = _conditions(wanted)
        rest = f"FROM generations g WHERE {where} ORDER BY id DESC LIMIT ?"
        values.append(-1 if limit is None else limit)
        try:
            return self._listed(rest, values)
        except CatalogError:
            if damaged is None:
                raise
        found = []
        for row in self._rows(f"SELECT id {rest}", values, {"id": NUMBER}):
            try:
                found += self._listed("FROM generations WHERE id = ?", [row[0]])
            except CatalogError as error:
                damaged(error)
        return found

    def _listed(self, rest: str, values: Sequence[object]) -> list[Generation]:
        rows = self._rows(f"SELECT {', '.join(_LISTED)} {rest}", values, _LISTED)
        assets = self._used_in(row["id"] for row in rows)
        return [self._generation(row, assets) for row in rows]

    def get(self, number: int) -> Generation:
        """One picture, with its record, or without where that is damaged.

        Raises:
            NotFoundError: No picture has this number.
        """
        columns = some("generations")
        query = f"SELECT {', '.join(columns)} FROM generations WHERE id = ?"
        rows = self._rows(query, [number], columns) if abs(number) < 2**63 else []
        if not rows:
            raise NotFoundError(f"There is no picture number {number}.", "`assetctl history` lists what was made.")
        return self._generation(rows[0], self._used_in([number]))

    def numbered(self, numbers: Iterable[int]) -> list[Generation]:
        """The pictures of these numbers, in this order, without their records; numbers of none are left out."""
        wanted = [number for number in numbers if abs(number) < 2**63]
        query = "FROM generations WHERE id IN (SELECT value FROM json_each(?))"
        found = {each.number: each for each in self._listed(query, [orjson.dumps(wanted).decode()])}
        return [found[number] for number in wanted if number in found]

    def has_file(self, sha256: str, path: str | None = None) -> bool:
        """Whether a picture was saved as exactly these bytes; there, if a path is given."""
        return self.number_of(sha256, path) is not None

    def number_of(self, sha256: str, path: str | None = None) -> int | None:
        """The number of the last picture that was saved as exactly these bytes; there, if a path is given."""
        query = "SELECT id FROM generations WHERE image_sha256 = ?1 AND ?2 IN (image_path, '') ORDER BY id DESC LIMIT 1"
        return next((int(row[0]) for row in self._rows(query, [sha256, path or ""])), None)

    def of_jobs(self, jobs: Iterable[str]) -> dict[str, list[Generation]]:
        """The pictures that were made for each of these jobs of a batch, in order, without records; none of others."""
        found: dict[str, list[Generation]] = {}
        for each in self._listed(
            "FROM generations WHERE job IN (SELECT value FROM json_each(?)) ORDER BY id",
            [orjson.dumps(list(jobs)).decode()],
        ):
            found.setdefault(str(each.job), []).append(each)
        return found

    def record(self, entry: GenerationEntry) -> int:
        """Keep one picture and what it was made of; returns its number."""
        kept = {
            "created_at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "prompt": entry.prompt,
            "negative_prompt": entry.negative_prompt,
            "settings": orjson.dumps(dict(entry.settings)).decode(),
            "image_path": entry.image_path,
            "image_sha256": entry.image_sha256,
            "record": orjson.dumps(entry.record).decode(),
            "job": entry.job,
        }
        uses = [
            (position, use.path, use.role, use.name, use.sha256, use.applied_weight)
            for position, use in enumerate(entry.uses)
        ]
        with self._write() as tx:
            number = int(tx.connection.execute(insert("generations", *kept), tuple(kept.values())).lastrowid or 0)
            # An asset may have been removed while the picture was made: its name and hash remain.
            tx.connection.executemany(
                insert("generation_assets").replace("?, ?, ?", "?, ?, (SELECT id FROM assets WHERE path = ?)", 1),
                [(number, *use) for use in uses],
            )
        return number

    def _generation(self, row: sqlite3.Row, assets: Mapping[int, list[GenerationAsset]]) -> Generation:
        values = dict(row)
        number = values.pop("id")
        with explained(self._path):
            check_paths([values["image_path"]])
            settings = _settings(values.pop("settings"))
        record = _record(values.pop("record")) if "record" in values else None
        return Generation(number, **values, settings=settings, record=record, assets=tuple(assets[number]))

    def _used_in(self, numbers: Iterable[int]) -> dict[int, list[GenerationAsset]]:
        found: dict[int, list[GenerationAsset]] = {number: [] for number in numbers}
        rows = self._rows(
            f"SELECT {', '.join(f'u.{name}' for name in _USE)}, a.name AS asset FROM generation_assets u "
            "LEFT JOIN assets a ON a.id = u.asset_id "
            "WHERE u.generation_id IN (SELECT value FROM json_each(?)) ORDER BY u.generation_id, u.position",
            [orjson.dumps(list(found)).decode()],
            _USE | {"asset": TEXT_OR_NONE},
        )
        for number, *fields in rows:
            found[number].append(GenerationAsset(*fields))
        return found


def _settings(text: str) -> dict[str, Any]:
    found = from_json(text, "what a picture was made with")
    if not isinstance(found, dict) or not _SETTINGS.keys() <= found.keys():
        raise DamagedError("what a picture was made with is not what assetctl writes")
    check([[found[name] for name in _SETTINGS]], _SETTINGS)
    return found


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
        where.append(f"id IN (SELECT id FROM generations INDEXED BY ix_generations_prompt WHERE {contained})")
        values += [word.casefold() for word in wanted.words]
    if wanted.seed is not None:
        where.append("seed = ?")
        # SQLite reads what is beyond its whole numbers as the nearest broken one
        values.append(wanted.seed if wanted.seed < 2**63 else float(wanted.seed))
    if wanted.since is not None:
        where.append("id IN (SELECT id FROM generations WHERE created_at >= ?)")
        values.append(wanted.since)
    if wanted.before is not None:
        where.append("id < ?")
        values.append(min(wanted.before, 2**63 - 1))
    return " AND ".join(where), values


def _record(text: str | bytes) -> dict[str, Any] | None:
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return found if isinstance(found, dict) else None
