"""The catalog: what we know of every asset, in one SQLite file.

Writes go through SQLAlchemy's typed ORM. Reads go through one SQL view and the standard library's
`sqlite3`: importing SQLAlchemy costs more than listing a thousand assets, so that a command that
only reads never pays for it. Nor does `generate`, which adds one picture at a time. Rows never
leave this folder; dataclasses do.
"""

from assetctl.catalog.catalog import Catalog
from assetctl.catalog.entries import (
    FileHashes,
    Generation,
    GenerationAsset,
    GenerationEntry,
    GenerationFilter,
    KnownFile,
    NewAsset,
    free_name,
)

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
