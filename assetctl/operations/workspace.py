"""What every operation works on: settings, catalog and store, each opened when first needed."""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from assetctl.catalog import Catalog

if TYPE_CHECKING:
    from collections.abc import Iterator

    from assetctl.settings import Settings
    from assetctl.store import Store
    from assetctl.store.trash import Trash


@dataclass(frozen=True)
class Workspace:
    """One home: its settings, its catalog, its store."""

    settings: Settings

    @cached_property
    def models(self) -> Path:
        """The store's folder by its real path: the catalog compares paths, and links would give it several."""
        return Path(os.path.realpath(self.settings.models))

    @cached_property
    def catalog(self) -> Catalog:
        """The catalog, made or upgraded if need be, and brought in line with where the store is now."""
        catalog = Catalog(self.settings.catalog)
        strays = catalog.read.strays(str(self.models))
        if strays:
            from assetctl.operations.follow_store import follow_store  # noqa: PLC0415 - hardly ever

            follow_store(catalog, self.models, strays)
        return catalog

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

    @contextmanager
    def another(self, *, offline: bool | None = None) -> Iterator[Workspace]:
        """The same home, opened once more: for another thread, or with the network switched off."""
        same = Workspace(self.settings if offline is None else replace(self.settings, offline=offline))
        try:
            yield same
        finally:
            same.close()

    @contextmanager
    def reserve(self) -> Iterator[None]:
        """What frees space runs in here: on a full disk, the catalog has the room that was kept for it."""
        from assetctl.catalog.reserve import room_given_back  # noqa: PLC0415 - reading commands do without it

        with room_given_back(self.settings.catalog):
            yield

    def close(self) -> None:
        """Let go of the catalog, if it was opened."""
        if "catalog" in self.__dict__:
            self.catalog.close()
