"""What the rows of the catalog hold: the schema they follow, how they are looked at, and the entries made of them."""

from __future__ import annotations

import os
import sqlite3
from dataclasses import dataclass
from types import NoneType
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import orjson

from assetctl.types import LONGEST_NAME

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from assetctl.plan import PlannedUse
    from assetctl.types import AssetFile, Identification, Origin


#: How long one process waits for another's write, in seconds.
BUSY_TIMEOUT = 30.0

#: The schema that this version of assetctl works with: the newest file in `migrations/versions`.
HEAD = "0006"

#: How many bytes a text, a blob or a row may have.
_LONGEST = 2**27

_TABLES = frozenset(
    {
        "assets", "files", "trigger_words", "tags", "origins", "identifications", "overrides", "generations",
        "generation_assets", "asset_search",
    }
)  # fmt: skip

#: The one view, as the migrations make it; how many blanks there are does not count.
_VIEW = """
    CREATE VIEW asset_view AS
    SELECT a.id, a.name, a.kind, a.family, a.base_model, a.variant, a.prediction, a.format, a.layout, a.size, a.sha256,
        (SELECT f.autov3 FROM files f WHERE f.asset_id = a.id AND f.role = 'main') AS autov3,
        (SELECT json_group_array(word) FROM
            (SELECT word FROM trigger_words w WHERE w.asset_id = a.id ORDER BY position)) AS trigger_words,
        (SELECT json_group_array(tag) FROM
            (SELECT tag FROM tags t WHERE t.asset_id = a.id ORDER BY tag)) AS tags,
        a.path, a.in_store,
        (SELECT o.reference FROM origins o WHERE o.asset_id = a.id) AS source,
        a.default_weight, a.notes, a.added_at
    FROM assets a
"""


class DamagedError(sqlite3.DatabaseError):
    """The catalog holds what no assetctl has written; the text says what."""


class DamagedAssetError(DamagedError):
    """What the catalog holds of one asset is damaged.

    Attributes:
        name: The asset's.
    """

    def __init__(self, what: str, name: str) -> None:
        super().__init__(what)
        self.name = name


class NoCatalogError(sqlite3.DatabaseError):
    """An SQLite file that is no catalog."""


def is_undecodable(error: sqlite3.Error) -> bool:
    """Whether a text was no valid UTF-8."""
    return str(error).startswith("Could not decode")


def harden(connection: sqlite3.Connection) -> None:
    """Let no row of the file fill the memory."""
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST)


def revision(connection: sqlite3.Connection) -> str | None:
    """The schema of a file: `None` if it is empty.

    Raises:
        DamagedError: It has a trigger, or lacks something that a catalog of the present schema has.
        NoCatalogError: It is no catalog.
    """
    rows = connection.execute("SELECT type, name, sql FROM sqlite_master WHERE type <> 'index'").fetchall()
    parts = {(kind, name): sql for kind, name, sql in rows}
    tables = {name for kind, name in parts if kind == "table"}
    row = None
    if "alembic_version" in tables:
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    if row is None:
        if tables - {"alembic_version"}:
            raise NoCatalogError
        return None
    trigger = next((name for kind, name in parts if kind == "trigger"), None)
    if trigger is not None:
        raise DamagedError(f"it has a trigger, {trigger!a}, and assetctl makes none")
    if row[0] == HEAD:
        lacking = sorted(_TABLES - tables)
        if lacking:
            raise DamagedError(f"it has no table {lacking[0]}")
        if " ".join(str(parts.get(("view", "asset_view"))).split()) != " ".join(_VIEW.split()):
            raise DamagedError("its view asset_view is not the one that assetctl makes")
    return str(row[0])


@dataclass(frozen=True, slots=True)
class NewAsset:
    """An asset about to enter the catalog.

    Attributes:
        name: The wanted name; a taken one gets a number behind it.
        path: The file, or the diffusers folder, absolute.
        files: All its files; one of role `main`, or several of role `part`.
        sha256: Of the file, or of the folder's list of files; `None` while not hashed.
        in_store: Whether assetctl owns the bytes.
    """

    name: str
    path: str
    files: tuple[AssetFile, ...]
    identification: Identification
    in_store: bool
    sha256: str | None = None
    origin: Origin | None = None
    tags: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """All its bytes."""
        return sum(file.size for file in self.files)


class KnownFile(NamedTuple):
    """A file as the catalog last saw it."""

    asset_id: int
    asset_path: str
    role: str
    size: int
    mtime_ns: int
    sha256: str | None


class FileHashes(NamedTuple):
    """Hashes of one file; `None` leaves what was known."""

    path: str
    sha256: str | None = None
    autov3: str | None = None
    blake3: str | None = None


@dataclass(frozen=True, slots=True)
class GenerationEntry:
    """One picture that was made.

    Attributes:
        uses: The assets and their weights.
        settings: Values of all options, the seed among them.
        image_path: Where the picture lies.
        image_sha256: Of the picture's file.
        record: Everything that was recorded in the picture.
    """

    uses: Sequence[PlannedUse]
    prompt: str
    negative_prompt: str
    settings: Mapping[str, Any]
    image_path: str
    image_sha256: str
    record: dict[str, object]


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
        number: Counts up from 1.
        settings: Values of the options, by their names.
        image_path: Where it was saved; it may lie elsewhere by now.
        image_sha256: Of the file as it was saved.
        record: Everything that was recorded in it; `None` in a list of many.
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

    @property
    def is_there(self) -> bool:
        """Whether there is still a file where the picture was saved."""
        return os.path.exists(self.image_path)  # noqa: PTH110 - a `Path` costs more, and there may be many


@dataclass(frozen=True, slots=True)
class GenerationFilter:
    """Which pictures are asked for; conditions add up, and `None` is none.

    Attributes:
        asset_ids: Any of these assets was used, by its number or as the same bytes.
        name: An asset that was called so was used, whether it is still there or not.
        words: Each occurs in the prompt, in any case.
        since: Made at this time or later, ISO 8601 in UTC.
    """

    asset_ids: tuple[int, ...] = ()
    name: str | None = None
    words: tuple[str, ...] = ()
    seed: int | None = None
    since: str | None = None


def free_name(wanted: str, taken: set[str]) -> str:
    """`wanted`, or `wanted-2` and so on if it is taken; `taken` is in lower case and is added to."""
    name, number = wanted, 1
    while name.lower() in taken:
        number += 1
        end = f"-{number}"
        name = wanted[: LONGEST_NAME - len(end)] + end
    taken.add(name.lower())
    return name


#: What a column may hold.
Kinds: TypeAlias = frozenset[type]
TEXT: Kinds = frozenset({str})
TEXT_OR_NONE: Kinds = frozenset({str, NoneType})
NUMBER: Kinds = frozenset({int})
NUMBER_OR_NONE: Kinds = frozenset({int, NoneType})
REAL: Kinds = frozenset({int, float})
REAL_OR_NONE: Kinds = frozenset({int, float, NoneType})

_Rows: TypeAlias = "Sequence[Sequence[Any]]"


def check(rows: _Rows, columns: dict[str, Kinds]) -> None:
    """See to it that every value of every row is of the kind that its column holds.

    Args:
        rows: As SQLite gave them.
        columns: Name and kinds of each, in the order of the rows.

    Raises:
        DamagedError: One is not.
    """
    for shape in {tuple(map(type, row)) for row in rows}:  # there are few, whatever the number of rows
        for kind, (name, kinds) in zip(shape, columns.items(), strict=True):
            if kind not in kinds:
                raise DamagedError(f"a {name} in it is {_words(kind)}")


def check_paths(paths: Collection[str]) -> None:
    """See to it that these can be paths of files.

    Raises:
        DamagedError: One holds a null character, which no system takes.
    """
    if any("\0" in path for path in paths):
        raise DamagedError("a path in it holds a null character")


def from_json(text: object, what: str) -> Any:  # noqa: ANN401 - whatever it holds
    """A value that was kept as JSON.

    Raises:
        DamagedError: It is none.
    """
    try:
        return orjson.loads(text)  # type: ignore[arg-type]  # what is no text is no JSON either
    except orjson.JSONDecodeError as error:
        raise DamagedError(f"{what} in it is no valid JSON") from error


def words(value: object, what: str) -> tuple[str, ...]:
    """A list of texts.

    Raises:
        DamagedError: It is something else.
    """
    found = items(value, what)
    if set(map(type, found)) - {str}:
        raise DamagedError(f"{what} in it are no list of texts")
    return tuple(found)


def items(value: object, what: str) -> list[Any]:
    """A list.

    Raises:
        DamagedError: It is something else.
    """
    if not isinstance(value, list):
        raise DamagedError(f"{what} in it are no list")
    return value


def set_by_hand(field: str, value: object) -> Any:  # noqa: ANN401 - as many types as there are fields
    """What a person set, as it was kept: a list of trigger words, or a text, or nothing.

    Raises:
        DamagedError: It is something else.
    """
    if field == "trigger_words":
        return list(words(value, "trigger words"))
    if not isinstance(value, str | NoneType):
        raise DamagedError(f"what was set as {field} in it is no text")
    return value


def fields(value: object, kinds: dict[str, Kinds], what: str) -> dict[str, Any]:
    """The fields of an object, none of which needs to be there, and no others are.

    Raises:
        DamagedError: It is something else.
    """
    if not isinstance(value, dict) or not kinds.keys() >= value.keys():
        raise DamagedError(f"{what} in it is not what assetctl writes")
    check([list(value.values())], {name: kinds[name] for name in value})
    return value


def _words(kind: type) -> str:
    return {NoneType: "missing", bytes: "no text", str: "a text", int: "a number", float: "a number"}.get(
        kind, f"a {kind.__name__}"
    )
