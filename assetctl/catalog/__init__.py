"""The catalog: what we know of every asset, in one SQLite file.

`Catalog` is its door. `catalog.read` and `catalog.generations` ask, from any thread; `with catalog.write() as tx` is
one transaction, which asks and changes. Rows never leave this folder; dataclasses do. All of it goes through the
standard library's `sqlite3`: importing SQLAlchemy costs more than listing a thousand assets, so that only making and
upgrading the schema uses it, with Alembic.

A new table (of jobs, say) is a migration, its model in `models`, its columns in `rows.TABLES`, and a class of questions
beside `Generations`, within the same transactions: a picture and the state of its job are kept together, or neither.
"""

from assetctl.catalog.catalog import Catalog, room_given_back
from assetctl.catalog.generations import Generation, GenerationAsset, GenerationEntry, GenerationFilter
from assetctl.catalog.rows import FileHashes, KnownFile, NewAsset, free_name, several

__all__ = [
    "Catalog",
    "FileHashes",
    "Generation",
    "GenerationAsset",
    "GenerationEntry",
    "GenerationFilter",
    "KnownFile",
    "NewAsset",
    "free_name",
    "room_given_back",
    "several",
]
