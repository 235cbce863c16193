"""What the catalog's file holds: its schema, the kinds of its columns, and how what is read of it is looked at."""

from __future__ import annotations

import contextlib
import shlex
import sqlite3
from dataclasses import dataclass
from types import NoneType
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import orjson

from assetctl.errors import CatalogError, StorageError, UsageError
from assetctl.types import LONGEST_NAME, Asset

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from assetctl.types import AssetFile, Identification, Origin


#: How long one process waits for another's write, in seconds.
BUSY_TIMEOUT = 30.0

#: The schema that this version of assetctl works with: the newest file in `migrations/versions`.
HEAD = "0011"

#: The first schema that has the triggers below.
_WITH_TRIGGERS = "0007"

#: What a column may hold.
Kinds: TypeAlias = frozenset[type]
TEXT: Kinds = frozenset({str})
TEXT_OR_NONE: Kinds = frozenset({str, NoneType})
NUMBER: Kinds = frozenset({int})
NUMBER_OR_NONE: Kinds = frozenset({int, NoneType})
REAL: Kinds = frozenset({int, float})
REAL_OR_NONE: Kinds = frozenset({int, float, NoneType})
#: A record that is damaged is none, and the rest of its picture is told.
ANYTHING: Kinds = frozenset({str, bytes, int, float, NoneType})

#: What identification fills in and a person may override.
IDENTIFIED = ("kind", "family", "base_model", "variant", "prediction", "format", "layout")

#: What all assets of one shelf have in common. Those of a shelf are found by an index in each order of a list, so that
#: a page of any of these, alone or together, is put together of a few shelves' first ones.
SHELVED = ("kind", "family", "format", "in_store", "base_model")

#: Every table, its columns in order, and what these hold. What is computed of another column is not among them.
TABLES: dict[str, dict[str, Kinds]] = {
    "assets": {
        "id": NUMBER, "name": TEXT, "kind": TEXT, **dict.fromkeys(IDENTIFIED[1:], TEXT_OR_NONE), "path": TEXT,
        "size": NUMBER, "sha256": TEXT_OR_NONE, "in_store": NUMBER, "default_weight": REAL_OR_NONE,
        "notes": TEXT_OR_NONE, "added_at": TEXT, "updated_at": TEXT, "alias": TEXT_OR_NONE, "used": NUMBER,
    },
    "files": {
        "id": NUMBER, "asset_id": NUMBER, "path": TEXT, "role": TEXT, "size": NUMBER, "mtime_ns": NUMBER,
        "sha256": TEXT_OR_NONE, "autov3": TEXT_OR_NONE, "blake3": TEXT_OR_NONE,
    },
    "trigger_words": {"asset_id": NUMBER, "position": NUMBER, "word": TEXT},
    "tags": {"asset_id": NUMBER, "tag": TEXT},
    "origins": {
        "asset_id": NUMBER, "source": TEXT, "reference": TEXT, "revision": TEXT_OR_NONE, "url": TEXT_OR_NONE,
        "fetched_at": TEXT_OR_NONE, "facts": TEXT_OR_NONE,
    },
    "identifications": {
        "asset_id": NUMBER, "confidence": TEXT, "result": TEXT, "evidence": TEXT, "identified_at": TEXT,
    },
    "overrides": {"asset_id": NUMBER, "field": TEXT, "value": TEXT, "set_at": TEXT},
    "generations": {
        "id": NUMBER, "created_at": TEXT, "prompt": TEXT, "negative_prompt": TEXT, "settings": TEXT,
        "image_path": TEXT, "image_sha256": TEXT, "record": ANYTHING, "job": TEXT_OR_NONE,
    },
    "generation_assets": {
        "generation_id": NUMBER, "position": NUMBER, "asset_id": NUMBER_OR_NONE, "role": TEXT, "name": TEXT,
        "sha256": TEXT_OR_NONE, "weight": REAL_OR_NONE,
    },
    "jobs": {
        "id": NUMBER, "kind": TEXT, "status": TEXT, "priority": NUMBER, "request": TEXT, "pictures": TEXT,
        "error": TEXT_OR_NONE, "attempts": NUMBER, "created_at": TEXT, "started_at": TEXT_OR_NONE,
        "finished_at": TEXT_OR_NONE,
    },
    "asset_search": dict.fromkeys(("name", "trigger_words", "tags", "notes"), TEXT_OR_NONE),
}  # fmt: skip

#: The columns of `asset_view`: the fields of `Asset`, in order.
ASSET: dict[str, Kinds] = {
    **{name: TABLES["assets"][name] for name in ("id", "name", *IDENTIFIED, "size", "sha256")},
    "autov3": TEXT_OR_NONE, "trigger_words": TEXT, "tags": TEXT,
    "path": TEXT, "in_store": NUMBER, "source": TEXT_OR_NONE,
    **{name: TABLES["assets"][name] for name in ("default_weight", "notes", "added_at")},
}  # fmt: skip

#: What columns are called where one is damaged, as far as that is another word.
_CALLED = {
    "trigger_words": "list of trigger words", "tags": "list of tags", "prediction": "prediction type",
    "id": "number", "asset_id": "number", "in_store": "place", "mtime_ns": "time", "sha256": "SHA256",
    "autov3": "AutoV3", "blake3": "BLAKE3", "url": "URL", "facts": "source's word", "cfg_scale": "scale",
    "steps": "number of steps",
}  # fmt: skip


def some(table: str, *without: str) -> dict[str, Kinds]:
    """The columns of a table but for some."""
    return {name: kinds for name, kinds in TABLES[table].items() if name not in without}


def insert(table: str, *columns: str, rows: int = 1) -> str:
    """How rows are written to a table: these columns of it, or all but the number that SQLite gives."""
    names = columns or tuple(name for name in TABLES[table] if name != "id")
    values = ", ".join([f"({', '.join('?' * len(names))})"] * rows)
    return f"INSERT INTO {table} ({', '.join(names)}) VALUES {values}"


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

_SEARCHED = "(rowid, name, trigger_words, tags, notes) SELECT id, name, trigger_words, tags, notes FROM asset_view"
_NOW = "strftime('%Y-%m-%dT%H:%M:%SZ', 'now')"


def _trigger(name: str, event: str, *does: str) -> str:
    return f"CREATE TRIGGER {name} {event} BEGIN {''.join(f'{each}; ' for each in does)}END"


def _labels_trigger(table: str, event: str, which: str) -> str:
    """Words and tags belong to what is searched; one of a row that has no asset yet changes nothing."""
    said = f"(SELECT {table} FROM asset_view WHERE id = asset_search.rowid)"
    return _trigger(
        f"{table}_{event}",
        f"AFTER {event.upper()} ON {table}",
        f"UPDATE assets SET updated_at = {_NOW} WHERE id {which}",
        f"UPDATE asset_search SET {table} = {said} WHERE rowid {which}",
    )


#: An asset knows the last picture that it was used for.
_USED = "UPDATE assets SET used = new.generation_id WHERE id = new.asset_id AND used < new.generation_id"

#: The triggers, as the migrations make them: they keep the index of words, the time of change, and the last use.
_TRIGGERS = (
    _trigger(
        "assets_change",
        "AFTER UPDATE OF name, kind, family, base_model, variant, prediction, format, layout, size, in_store, "
        "default_weight, notes ON assets",
        f"UPDATE assets SET updated_at = {_NOW} WHERE id = new.id",
    ),
    _trigger("assets_insert", "AFTER INSERT ON assets", f"INSERT INTO asset_search {_SEARCHED} WHERE id = new.id"),
    _trigger(
        "assets_update",
        "AFTER UPDATE OF name, notes ON assets",
        "UPDATE asset_search SET name = new.name, notes = new.notes WHERE rowid = new.id",
    ),
    _trigger("assets_delete", "BEFORE DELETE ON assets", "DELETE FROM asset_search WHERE rowid = old.id"),
    *(
        _labels_trigger(table, event, which)
        for table in ("trigger_words", "tags")
        for event, which in (
            ("insert", "= new.asset_id"),
            ("update", "IN (old.asset_id, new.asset_id)"),
            ("delete", "= old.asset_id"),
        )
    ),
    _trigger("uses_insert", "AFTER INSERT ON generation_assets", _USED),
    _trigger("uses_update", "AFTER UPDATE OF asset_id ON generation_assets", _USED),
)


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


class LockedError(sqlite3.OperationalError):
    """Another thread of this process writes, and does not end."""

    sqlite_errorcode = sqlite3.SQLITE_BUSY


class NoCatalogError(sqlite3.DatabaseError):
    """An SQLite file that is no catalog."""


def is_undecodable(error: sqlite3.Error) -> bool:
    """Whether a text was no valid UTF-8."""
    return str(error).startswith("Could not decode")


def revision(connection: sqlite3.Connection) -> str | None:
    """The schema of a file: `None` if it is empty.

    Raises:
        DamagedError: It has a trigger that is not ours, or lacks something that a catalog of the present schema has.
        NoCatalogError: It is no catalog.
    """
    rows = connection.execute("SELECT type, name, sql FROM sqlite_master WHERE type <> 'index'").fetchall()
    parts = {(kind, name): " ".join(str(sql).split()) for kind, name, sql in rows}
    tables = {name for kind, name in parts if kind == "table"}
    row = None
    if "alembic_version" in tables:
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    if row is None:
        if tables - {"alembic_version"}:
            raise NoCatalogError
        return None
    ours = {" ".join(sql.split()) for sql in _TRIGGERS} if HEAD >= row[0] >= _WITH_TRIGGERS else set()
    triggers = {sql: name for (kind, name), sql in parts.items() if kind == "trigger"}
    others = sorted(name for sql, name in triggers.items() if sql not in ours)
    if others and row[0] <= HEAD:  # one that a newer assetctl wrote is refused for that, and never written to
        raise DamagedError(f"it has a trigger, {others[0]!a}, and assetctl makes none such")
    if row[0] == HEAD:
        lacking = sorted(TABLES.keys() - tables)
        if lacking:
            raise DamagedError(f"it has no table {lacking[0]}")
        if parts.get(("view", "asset_view")) != " ".join(_VIEW.split()):
            raise DamagedError("its view asset_view is not the one that assetctl makes")
        if ours - triggers.keys():
            raise DamagedError("it lacks a trigger that keeps the index of its words")
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


def free_name(wanted: str, taken: set[str]) -> str:
    """`wanted`, or `wanted-2` and so on if it is taken; `taken` is in lower case and is added to."""
    name, number = wanted, 1
    while name.lower() in taken:
        number += 1
        end = f"-{number}"
        name = wanted[: LONGEST_NAME - len(end)] + end
    taken.add(name.lower())
    return name


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
                raise DamagedError(f"a {_CALLED.get(name, name.replace('_', ' '))} in it is {_words(kind)}")


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


def several(called: str, given: Iterable[str]) -> Iterable[str]:
    """Words as they were given: one text would be read letter by letter.

    Raises:
        UsageError: It is one text.
    """
    if isinstance(given, str):
        raise UsageError(f"{called} takes several words, not one text.", f"Write {called}=[{given!r:.40}].")
    return given


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


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into ours."""
    try:
        yield
    except sqlite3.Error as error:
        raise explain(path, error) from error


def explain(path: Path, error: sqlite3.Error) -> CatalogError | StorageError:
    """Say what SQLite's error means for a person."""
    kind = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF  # the rest of the number says where
    text = str(error)
    if isinstance(error, NoCatalogError):
        meaning = _FOREIGN
    elif isinstance(error, (sqlite3.ProgrammingError, sqlite3.InterfaceError)):
        meaning = _UNKNOWN
    elif "FOREIGN KEY" in text:
        meaning = _GONE
    else:
        # Our own statements are right where the catalog is: what SQLite cannot make sense of is in the file.
        meaning = _MEANINGS.get(kind, _DAMAGED)
    what = "a text in it is not valid UTF-8" if is_undecodable(error) else text
    hint = meaning.hint
    if isinstance(error, DamagedAssetError):
        hint += f" `assetctl rm {shlex.quote(error.name)} --now` removes this asset for good, without the trash."
    return meaning.error(meaning.message.format(path=path, what=what), hint)


class _Meaning(NamedTuple):
    error: type[CatalogError | StorageError]
    message: str
    hint: str


_FOREIGN = _Meaning(
    CatalogError,
    "{path} is an SQLite file, but not an assetctl catalog.",
    "Choose another folder with --home or ASSETCTL_HOME, or move the file away.",
)
_DAMAGED = _Meaning(
    CatalogError,
    "{path} is not a catalog, or is damaged: {what}.",
    "Restore a backup, or move the file away: assetctl then starts a new catalog and `import` fills it again.",
)
_GONE = _Meaning(
    CatalogError, "Another command has removed an asset meanwhile; nothing was changed.", "Run this again."
)
_UNKNOWN = _Meaning(
    CatalogError, "The catalog {path} could not be used: {what}.", "Run again with --debug to see where."
)
_FULL = _Meaning(
    StorageError,
    "The disk is full: {path} could not be written.",
    "Free some space, with `assetctl prune` for example; nothing was changed.",
)
_DENIED = _Meaning(
    StorageError,
    "The catalog {path} cannot be opened for writing ({what}).",
    "Check the permissions of the folder, or choose another with --home or ASSETCTL_HOME.",
)
_LOCKED = _Meaning(
    CatalogError,
    f"Another process has kept {{path}} locked for {BUSY_TIMEOUT:.0f} s.",
    "Wait for the other assetctl to finish, then try again.",
)
_MEANINGS = {
    sqlite3.SQLITE_FULL: _FULL,
    sqlite3.SQLITE_IOERR: _FULL,
    sqlite3.SQLITE_READONLY: _DENIED,
    sqlite3.SQLITE_CANTOPEN: _DENIED,
    sqlite3.SQLITE_PERM: _DENIED,
    sqlite3.SQLITE_BUSY: _LOCKED,
    sqlite3.SQLITE_LOCKED: _LOCKED,
    sqlite3.SQLITE_CONSTRAINT: _UNKNOWN,
}


#: What is asked of `asset_view`: the fields of `Asset`, in order.
ALL = f"SELECT {', '.join(ASSET)} FROM asset_view"

_WORDS, _TAGS, _PATH, _IN_STORE = map(list(ASSET).index, ("trigger_words", "tags", "path", "in_store"))


class Asking:
    """Whatever asks the catalog.

    Args:
        connect: Gives the connection to ask: of the thread that asks, or of the transaction.
        path: The catalog.
        damaged: Told of every asset that is left out since what is kept of it is damaged; without it, the first such
            is an error.
    """

    def __init__(
        self,
        connect: Callable[[], sqlite3.Connection],
        path: Path,
        damaged: Callable[[CatalogError], None] | None = None,
    ) -> None:
        self._connect, self._path, self._damaged = connect, path, damaged

    @property
    def connection(self) -> sqlite3.Connection:
        """The connection to ask."""
        return self._connect()

    def _rows(
        self,
        query: str,
        values: Sequence[object] | Mapping[str, object] = (),
        columns: dict[str, Kinds] | None = None,
    ) -> list[sqlite3.Row]:
        """What SQLite answers; `columns` says of what kind that must be where it came from the file as it is."""
        with explained(self._path):
            rows = self.connection.execute(query, values).fetchall()
            if columns is not None:
                check(rows, columns)
            return rows

    def by_ids(self, ids: Iterable[int]) -> list[Asset]:
        """The assets of these numbers, in this order; numbers that are gone are left out."""
        wanted = list(ids)
        query = f"{ALL} WHERE id IN (SELECT value FROM json_each(:ids))"
        found = {asset.id: asset for asset in self._assets(query, {"ids": orjson.dumps(wanted).decode()})}
        return [found[number] for number in wanted if number in found]

    def _assets(self, query: str, values: Sequence[object] | Mapping[str, object]) -> list[Asset]:
        try:
            return self._whole(query, values)
        except CatalogError:
            if self._damaged is None:
                raise
        found = []
        for row in self._rows(f"SELECT id FROM ({query})", values, {"number": NUMBER}):
            try:
                found += self._whole(f"{ALL} WHERE id = ?", [row[0]])
            except CatalogError as error:
                self._damaged(error)
        return found

    def _whole(self, query: str, values: Sequence[object] | Mapping[str, object]) -> list[Asset]:
        rows = [list(row) for row in self._rows(query, values)]
        with explained(self._path):
            check(rows, ASSET)
            check_paths([row[_PATH] for row in rows])
            return [_asset(row) for row in rows]


def _asset(values: list[Any]) -> Asset:
    """One row of `asset_view`, whose columns are the fields of `Asset` in order."""
    values[_WORDS] = words(from_json(values[_WORDS], "a list"), "trigger words")
    values[_TAGS] = words(from_json(values[_TAGS], "a list"), "tags")
    values[_IN_STORE] = bool(values[_IN_STORE])
    return Asset(*values)
