"""What every operation works on: settings, catalog and store, opened when first needed, and the store followed."""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from assetctl.catalog import Catalog, room_given_back
from assetctl.errors import GenerationError, UnusableError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from assetctl.catalog import KnownFile
    from assetctl.settings import Settings
    from assetctl.store import Store
    from assetctl.store.trash import Trash
    from assetctl.types import Asset


def find_moved_store(catalog: Catalog, root: Path, strays: Sequence[Asset]) -> None:
    """Let the catalog look for files below `root` that it knows below the folder where the store was.

    A file is followed if one of its size lies at the same place in the store of now, with its time of writing, or while
    nothing lies where it was: another tree may have files of the same names. All others stay recorded as they
    were: their disk may not be mounted.

    Args:
        catalog: Whose records are brought up to date, or what is read of them, if it cannot be written.
        root: The store's folder, by its real path.
        strays: Assets of the store whose recorded paths lie elsewhere.
    """
    files: dict[str, str] = {}
    assets: dict[int, str] = {}
    for former in {Path(stray.path).parent.parent for stray in strays}:  # STORE/FOLDER/NAME
        known = catalog.read.known_files(str(former))
        there = catalog.read.known_at(_below(root, old, former) for old in known)
        moved = {old: new for old in known if (new := _followed(old, former, root, known[old], there)) is not None}
        torn = {file.asset_id for old, file in known.items() if file.role != "copy" and old not in moved}
        whole = {old: new for old, new in moved.items() if known[old].asset_id not in torn}
        files |= whole
        own = (known[old] for old in whole if known[old].role != "copy")
        assets |= {file.asset_id: _below(root, file.asset_path, former) for file in own}
    if files:
        catalog.follow(files, assets)


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


@dataclass(frozen=True)
class Workspace:
    """One home: its settings, its catalog, its store.

    Attributes:
        settings: Its settings.
        paths: Whether names may be paths of this machine; see `Reader`.
    """

    settings: Settings
    paths: bool = True
    _opening: Lock = field(default_factory=Lock, init=False, repr=False, compare=False)

    @cached_property
    def models(self) -> Path:
        """The store's folder by its real path: the catalog compares paths, and links would give it several."""
        return Path(os.path.realpath(self.settings.models))

    @property
    def catalog(self) -> Catalog:
        """The catalog, for any thread: upgraded if need be, and brought in line with where the store is now.

        It is made when something is first written to it.
        """
        with self._opening:
            return self._catalog

    @cached_property
    def _catalog(self) -> Catalog:
        catalog = Catalog(self.settings.catalog, make=False, elsewhere=self._in_trash, paths=self.paths)
        strays = catalog.read.strays(str(self.models))
        if strays:
            find_moved_store(catalog, self.models, strays)
        return catalog

    def _in_trash(self, name: str) -> str | None:
        return self.trash.how_to_restore(name)

    @cached_property
    def store(self) -> Store:
        """The folder tree that assetctl owns."""
        from assetctl.store import Store  # noqa: PLC0415 - reading commands do without it

        return Store(self.models)

    @cached_property
    def trash(self) -> Trash:
        """Where what is deleted goes first: in the home, or beside a store on another disk."""
        from assetctl.store.trash import Trash  # noqa: PLC0415 - reading commands do without it

        return Trash(self.settings.home / "trash", self.models)

    def tokenizer_of(self, checkpoint: Asset) -> Path | None:
        """Where the vocabulary of a checkpoint's text encoder is: beside it, in the store, or in a diffusers folder of
        its family; `None` of a folder, which has its own.

        Raises:
            UnusableError: There is none.
        """
        companion = Path(checkpoint.path).with_suffix(".config")
        if checkpoint.format == "diffusers" or companion.is_dir():
            return None if checkpoint.format == "diffusers" else companion
        from assetctl.sources.support import installed_tokenizer  # noqa: PLC0415 - of what brings none along

        installed = installed_tokenizer(self.store)
        if installed is not None:
            return installed
        for folder in self.catalog.read.assets(kind="checkpoint", family=checkpoint.family, format="diffusers"):
            if (Path(folder.path) / "tokenizer" / "vocab.json").is_file():
                return Path(folder.path) / "tokenizer"
        raise UnusableError(
            f"{checkpoint.name} is a single file and lacks the vocabulary of its text encoder.",
            f"Fetch it once with `assetctl pull --support {checkpoint.family}`, "
            f"or put vocab.json and merges.txt into {companion / 'tokenizer'}.",
        )

    @contextmanager
    def another(self, *, offline: bool) -> Iterator[Workspace]:
        """The same home, opened once more with the network switched off or on."""
        same = Workspace(replace(self.settings, offline=offline), self.paths)
        try:
            yield same
        finally:
            same.close()

    @contextmanager
    def reserve(self) -> Iterator[None]:
        """What frees space runs in here: on a full disk, the catalog has the room that was kept for it."""
        with room_given_back(self.settings.catalog):
            yield

    def close(self) -> None:
        """Let go of the catalog, if it was opened."""
        if "_catalog" in self.__dict__:
            self._catalog.close()


def needs_vocabulary(asset: Asset) -> bool:
    """Whether an asset is a checkpoint in one file, which carries no vocabulary, of a family that CLIP's serves."""
    return asset.kind == "checkpoint" and asset.format == "safetensors" and is_driven(asset.family)


def is_driven(family: str | None) -> bool:
    """Whether assetctl generates with a family: all that it does have a text encoder of CLIP's."""
    from assetctl.identify.plugins import family_called  # noqa: PLC0415 - listing does without

    known = family_called(family)
    return known is not None and known.driven is not None


def lacks_vocabulary(asset: Asset) -> bool:
    """Likewise, where none lies beside it."""
    return needs_vocabulary(asset) and not Path(asset.path).with_suffix(".config").is_dir()


def reads_with_clip(checkpoint: Asset) -> bool:
    """Whether a checkpoint has a text encoder of CLIP's, or may have one, as its family is not known."""
    from assetctl.identify.plugins import family_called  # noqa: PLC0415 - listing does without

    family = family_called(checkpoint.family)
    return checkpoint.family is None or (family is not None and family.clip is not None)


def tokenizer_folder(workspace: Workspace, checkpoint: Asset) -> Path | None:
    """The folder with the tokenizer that `generate` takes for a checkpoint; `None` if none is known."""
    from assetctl.generation.folders import find_tokenizer_files as find_files  # noqa: PLC0415 - no use without a catalog

    if not reads_with_clip(checkpoint):
        return None
    path = Path(checkpoint.path)
    try:
        near = path if checkpoint.format == "diffusers" else workspace.tokenizer_of(checkpoint)
        return find_files(near, "tokenizer", path).folder
    except GenerationError:
        return None
