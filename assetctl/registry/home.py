"""What every part of the registry works on: one home."""

from __future__ import annotations

from pathlib import Path
from typing import Self, TypeAlias

from assetctl.operations.workspace import Workspace
from assetctl.settings import Settings

PathLike: TypeAlias = str | Path


def ignore(_: object) -> None:
    """Report nothing."""


class Home:
    """One home, opened."""

    def __init__(self, settings: Settings) -> None:
        self._workspace = Workspace(settings)

    @classmethod
    def open(cls, home: PathLike | None = None) -> Self:
        """Open the registry in `home`, or where `ASSETCTL_HOME` and the platform say.

        Raises:
            UsageError: The configuration makes no sense.
        """
        return cls(Settings.load(home))

    @property
    def settings(self) -> Settings:
        """The settings in force."""
        return self._workspace.settings

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.settings.home)!r})"

    def close(self) -> None:
        """Let go of the catalog."""
        self._workspace.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
