"""Remove: forget an asset, and delete its bytes only where assetctl owns them or is told so."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from assetctl.errors import StorageError
from assetctl.operations.can_be_had_again import can_be_had_again

if TYPE_CHECKING:
    from assetctl.operations.workspace import Workspace
    from assetctl.types import Asset


@dataclass(frozen=True, slots=True)
class Removal:
    """What removing an asset means.

    Attributes:
        asset: The asset.
        generations: How many recorded pictures were made with it.
        deletes: Paths that go.
        keeps: A person's own files, which stay.
        is_final: Whether what goes could not be had again: a person's own file, or what only the store has.
    """

    asset: Asset
    generations: int
    deletes: tuple[Path, ...]
    keeps: tuple[Path, ...]
    is_final: bool

    @property
    def deletes_bytes(self) -> bool:
        """Whether something goes that is there now."""
        return any(os.path.lexists(path) for path in self.deletes)


def plan_removal(workspace: Workspace, name: str, *, delete_files: bool = False) -> Removal:
    """Say what `remove` would do; `delete_files` includes a person's own files.

    Raises:
        NotFoundError, AmbiguousNameError: The name.
    """
    read = workspace.catalog.read
    asset = read.find(name)
    copies = [Path(file.path) for file in read.files(asset) if file.role == "copy"]
    is_owned = asset.in_store and workspace.store.owns(Path(asset.path))
    owned = [Path(asset.path)] if is_owned else []
    others = ([] if is_owned else [Path(asset.path)]) + copies
    deletes = owned + others if delete_files else owned
    keeps = () if delete_files else tuple(path for path in others if os.path.lexists(path))
    is_final = bool(delete_files and others) or (is_owned and not can_be_had_again(workspace, asset))
    return Removal(asset, read.generations_with(asset), tuple(deletes), keeps, is_final)


def remove(workspace: Workspace, removal: Removal) -> None:
    """Do it. The catalog forgets the asset only if its bytes could be deleted.

    Raises:
        StorageError: A file could not be deleted.
    """
    with workspace.catalog.write() as writer:
        writer.remove(removal.asset.id)
        writer.flush()
        for path in removal.deletes:
            if removal.asset.in_store and str(path) == removal.asset.path and workspace.store.owns(path):
                workspace.store.remove(path)
            else:
                _delete(path)


def _delete(path: Path) -> None:
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(f"{path} can not be deleted: {error.strerror}.", "Check its permissions.") from error
