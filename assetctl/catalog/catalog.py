"""The catalog's one door: opens the file, reads through `reading`, writes through `writing`."""

from __future__ import annotations

import contextlib
from functools import cached_property
from typing import TYPE_CHECKING, Self

from assetctl.catalog import opening
from assetctl.catalog.generations import Generations
from assetctl.catalog.reading import Reader
from assetctl.catalog.reserve import keep_room

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from assetctl.catalog.adding import Adder
    from assetctl.catalog.entries import NewAsset
    from assetctl.catalog.writing import Writer
    from assetctl.errors import CatalogError


class Catalog:
    """An open catalog. It costs `sqlite3` alone; only making or upgrading one imports SQLAlchemy.

    Raises:
        CatalogError: The file is no catalog, or could not be upgraded.
        CatalogTooNewError: A newer assetctl wrote it.
        StorageError: The folder can not be written.
    """

    def __init__(self, path: Path, migrations: Path | None = None) -> None:
        self._connection, self._is_copy = opening.open_catalog(path, migrations)
        self.path = path
        self._open_adder: Adder | None = None
        self._has_kept_room = False

    @cached_property
    def read(self) -> Reader:
        """Everything that only reads."""
        return Reader(self._connection, self.path)

    def read_around(self, damaged: Callable[[CatalogError], None]) -> Reader:
        """A reader that leaves out what is damaged, and tells of it: for showing to a person, not to act upon."""
        return Reader(self._connection, self.path, damaged)

    @cached_property
    def generations(self) -> Generations:
        """The pictures that were made: reading them, and adding one."""
        return Generations(self._connection, self.path)

    @contextlib.contextmanager
    def write(self) -> Iterator[Writer]:
        """One transaction: all of it is kept when the block ends, none of it when the block raises."""
        from assetctl.catalog.writing import transaction  # noqa: PLC0415 - most commands write nothing

        self._keep_room()
        with transaction(self.path) as writer:
            yield writer
        self._look_again()

    def add(self, entries: Sequence[NewAsset]) -> list[int]:
        """Add assets in one transaction; see `Adder.add`."""
        from assetctl.catalog.adding import Adder  # noqa: PLC0415 - most commands add nothing

        self._keep_room()
        if self._open_adder is None:
            self._open_adder = Adder(self.path)
        numbers = self._open_adder.add(entries)
        self._look_again()
        return numbers

    def _look_again(self) -> None:
        """Read what was written now, where the file itself could not be opened for reading."""
        if self._is_copy:
            with opening.explained(self.path):
                opening.load(self._connection, self.path)

    def _keep_room(self) -> None:
        """See to it, once, that the disk has room for taking things out of the catalog."""
        if not self._has_kept_room:
            keep_room(self.path)
            self._has_kept_room = True

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()
        if self._open_adder is not None:
            self._open_adder.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
