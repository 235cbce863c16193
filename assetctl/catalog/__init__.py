"""The catalog: what we know of every asset, in one SQLite file.

All of it goes through the standard library's `sqlite3`: importing SQLAlchemy costs more than listing a
thousand assets, so that only making and upgrading the schema uses it, with Alembic. Reads go through one
SQL view. Rows never leave this folder; dataclasses do.
"""

from assetctl.catalog.catalog import Catalog
from assetctl.catalog.generations import Generation, GenerationAsset, GenerationEntry, GenerationFilter
from assetctl.catalog.rows import FileHashes, KnownFile, NewAsset, free_name

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
]
