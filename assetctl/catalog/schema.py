"""What a catalog is made of, so that one which is made of something else is not worked with.

A catalog may come from anybody. What SQLite runs by itself, triggers, and the view that every reader asks, which could
be made to never end, have to be those that the migrations make.
"""

from __future__ import annotations

import sqlite3

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


class ForeignError(sqlite3.DatabaseError):
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
        ForeignError: It is no catalog.
    """
    rows = connection.execute("SELECT type, name, sql FROM sqlite_master WHERE type <> 'index'").fetchall()
    parts = {(kind, name): sql for kind, name, sql in rows}
    tables = {name for kind, name in parts if kind == "table"}
    row = None
    if "alembic_version" in tables:
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    if row is None:
        if tables - {"alembic_version"}:
            raise ForeignError
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
