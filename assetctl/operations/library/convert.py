"""Convert: make a safetensors file of a pickle, or of an embedding inside a picture."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from assetctl.errors import NotFoundError, UsageError
from assetctl.files.conversion import read_convertible, write_tensors
from assetctl.files.disk import keep_to, new_file, see_room_for, storage_errors
from assetctl.files.paths import absolute, safe_name
from assetctl.identify import identify
from assetctl.operations.library.ingest import Ingested, Staged, asset_name, checked_name, ingest
from assetctl.run import Saved, leaving
from assetctl.sources.base import RemoteFile, Resolution

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import IO

    from assetctl.files.conversion import Convertible
    from assetctl.operations.workspace import Workspace
    from assetctl.run import Run
    from assetctl.types import Asset

    Write = Callable[[Path, IO[bytes]], None]


@dataclass(frozen=True, slots=True)
class Conversion:
    """What a conversion came to.

    Attributes:
        path: The safetensors file.
        asset: It in the catalog; `None` if it was written elsewhere.
        known: Whether the catalog had these bytes already.
        original: The asset that was converted, if it is one.
        warnings: What the person should know.
        expected: Bytes of its tensors.
    """

    path: Path
    asset: Asset | None = None
    known: bool = False
    original: Asset | None = None
    warnings: tuple[str, ...] = ()
    expected: int = 0

    @property
    def size(self) -> int:
        """Bytes of the file; of one that would be written, those of its tensors."""
        return self.path.stat().st_size if self.path.exists() else self.expected


def convert(
    workspace: Workspace,
    what: str,
    *,
    name: str | None = None,
    out: Path | None = None,
    dry_run: bool = False,
    run: Run,
) -> Conversion:
    """Write a pickle's tensors as a safetensors file, into the store or to `out`; the original stays as it is.

    The new asset has the tags of the old one, and what a person set of it.

    Args:
        workspace: The home.
        what: A path, or an asset's name.
        name: Call the new asset so, rather than as the file without its suffix.
        out: Write there instead, and leave the catalog alone.
        dry_run: Only say what would be written, and where: in the store, if that name is free there.
        run: Told how far it is.

    Raises:
        NotFoundError, AmbiguousNameError: There is no such file or asset.
        UsageError: It is a safetensors file or diffusers folder already, or `out` exists.
        RefusedFileError: It would run code, or is nothing that can be converted.
        CorruptFileError: It is damaged.
        StorageError: The disk is full or may not be written.
    """
    original, path = _find(workspace, what)
    wanted = asset_name(path.stem) if name is None else checked_name(name)
    found = read_convertible(path)

    def write(target: Path, file: IO[bytes]) -> None:
        with storage_errors(f"write {target}"):
            keep_to(file, path)
            write_tensors(found, file, run.counter(what, str(path), found.size))

    if out is not None:
        done = Conversion(_written(absolute(out), write, dry_run=dry_run), original=original, expected=found.size)
    elif dry_run:
        done = Conversion(_place(workspace, path, wanted, found), original=original, expected=found.size)
    else:
        kept = _kept(workspace, path, wanted, found, write)
        if original is not None and not kept.known:
            _hand_down(workspace, original, kept.asset)
        asset = workspace.catalog.read.by_id(kept.asset.id)
        done = Conversion(Path(asset.path), asset, kept.known, original, tuple(kept.warnings))
    if not dry_run:
        with leaving(lambda: done):
            run.tell(Saved(task=what, path=str(done.path)))
    return done


def _place(workspace: Workspace, path: Path, name: str, found: Convertible) -> Path:
    """Where it would lie in the store.

    Raises:
        StorageError: There is no room.
    """
    store = workspace.store
    with storage_errors(f"write to {store.root}"):
        see_room_for(store.root)
    store.free_space_check(found.size)
    return store.folder(identify(path).kind, "safetensors") / f"{safe_name(name)}.safetensors"


def _find(workspace: Workspace, what: str) -> tuple[Asset | None, Path]:
    path = absolute(Path(what))
    if (os.sep in what or path.suffix) and path.is_file() and not workspace.catalog.read.has_path(str(path)):
        return None, path  # whatever asset is called alike: that file was meant
    try:
        asset = workspace.catalog.read.find(what)
    except NotFoundError:
        if not path.is_file():
            raise
        return None, path
    if asset.format == "diffusers":
        raise UsageError(f"{asset.name} is a diffusers folder.", "Only single files are converted.")
    return asset, Path(asset.path)


def _kept(workspace: Workspace, path: Path, name: str, found: Convertible, write: Write) -> Ingested:
    key = f"convert {path}"
    store = workspace.store
    with store.lock(key):
        staged = store.staging(key) / f"{path.stem}.safetensors"
        store.clear_staging(key, staged)  # what a killed process left
        store.staging(key)
        store.free_space_check(found.size)
        try:
            with storage_errors(f"write {staged}"), staged.open("xb") as file:
                write(staged, file)
            resolution = Resolution("path", str(path), None, None, name, "file", (RemoteFile(path.name, None),))
            return ingest(workspace, Staged.of(resolution, staged, name, ()))
        finally:
            store.clear_staging(key, staged)


def _written(target: Path, write: Write, *, dry_run: bool) -> Path:
    """Write beside `target`, then name it so; what is there is never overwritten."""
    if target.is_dir():
        raise UsageError(f"{target} is a folder.", "Name the file that is to be written.")
    if target.suffix.lower() != ".safetensors":
        raise UsageError(f"{target} does not end in .safetensors.", "Name a safetensors file.")
    with new_file(target, dry_run=dry_run) as file:
        if file is not None:
            write(target, file)
    return target


def _hand_down(workspace: Workspace, original: Asset, asset: Asset) -> None:
    """Give the new asset what a person said of the old one."""
    with workspace.catalog.write() as writer:
        details = writer.details(original)
        for field, value in details.overrides.items():
            writer.override(asset.id, field, value)
        if original.trigger_words != asset.trigger_words and "trigger_words" not in details.overrides:
            writer.override(asset.id, "trigger_words", list(original.trigger_words))
        writer.set_notes(asset.id, original.notes)
        writer.set_default_weight(asset.id, original.default_weight)
        writer.change_tags(asset.id, original.tags)
