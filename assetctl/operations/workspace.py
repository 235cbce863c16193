"""What every operation works on: settings, catalog and store, each opened when first needed."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from assetctl.catalog import Catalog

if TYPE_CHECKING:
    from collections.abc import Iterator

    from assetctl.settings import Settings
    from assetctl.store import Store


@dataclass(frozen=True)
class Workspace:
    """One home: its settings, its catalog, its store."""

    settings: Settings

    @cached_property
    def catalog(self) -> Catalog:
        """The catalog, made or upgraded if need be."""
        return Catalog(self.settings.catalog)

    @cached_property
    def store(self) -> Store:
        """The folder tree that assetctl owns."""
        from assetctl.store import Store  # noqa: PLC0415 - reading commands do without it

        return Store(self.settings.models)

    @contextmanager
    def another(self, *, offline: bool | None = None) -> Iterator[Workspace]:
        """The same home, opened once more: for another thread, or with the network switched off."""
        same = Workspace(self.settings if offline is None else replace(self.settings, offline=offline))
        try:
            yield same
        finally:
            same.close()

    def close(self) -> None:
        """Let go of the catalog, if it was opened."""
        if "catalog" in self.__dict__:
            self.catalog.close()
