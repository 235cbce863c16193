"""Following the store: a home that was moved, copied, or is reached by another name keeps its assets."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from assetctl.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from assetctl.catalog import Catalog, KnownFile
    from assetctl.types import Asset


def follow_store(catalog: Catalog, root: Path, strays: Sequence[Asset]) -> None:
    """Let the catalog look for files below `root` that it knows below the folder where the store was.

    A file is followed if one of its size lies at the same place in the store of now, with its time of writing, or while
    nothing lies where it was: another tree may have files of the same names. All others stay recorded as they
    were: their disk may not be mounted.

    Args:
        catalog: Whose records are brought up to date; one that can not be written stays as it is.
        root: The store's folder, by its real path.
        strays: Assets of the store whose recorded paths lie elsewhere.
    """
    there = catalog.read.known_files(str(root))
    files: dict[str, str] = {}
    assets: dict[int, str] = {}
    for former in {Path(stray.path).parent.parent for stray in strays}:  # STORE/FOLDER/NAME
        known = catalog.read.known_files(str(former))
        moved = {old: new for old in known if (new := _followed(old, former, root, known[old], there)) is not None}
        torn = {file.asset_id for old, file in known.items() if file.role != "copy" and old not in moved}
        whole = {old: new for old, new in moved.items() if known[old].asset_id not in torn}
        files |= whole
        own = (known[old] for old in whole if known[old].role != "copy")
        assets |= {file.asset_id: _below(root, file.asset_path, former) for file in own}
    if files:
        with contextlib.suppress(StorageError), catalog.write() as writer:
            writer.follow(files, assets)


def _followed(old: str, former: Path, root: Path, known: KnownFile, there: Mapping[str, KnownFile]) -> str | None:
    """Where a file of the former store lies in that of now, unless another asset is there."""
    new = _below(root, old, former)
    other = there.get(new)
    if other is not None and (other.asset_id != known.asset_id or other.role != "copy"):
        return None
    if os.path.realpath(old) == os.path.realpath(new):
        return new
    try:
        status = Path(new).stat()
    except OSError:
        return None
    is_moved = status.st_mtime_ns == known.mtime_ns or not os.path.lexists(old)
    return new if status.st_size == known.size and is_moved else None


def _below(root: Path, path: str, former: Path) -> str:
    """The same place in the store of now."""
    return str(root / os.path.relpath(path, former))
