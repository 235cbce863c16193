"""What every part of the registry works on: one home."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypeAlias

from assetctl.operations.workspace import Workspace
from assetctl.run import Bytes, Run, Warned
from assetctl.settings import Settings
from assetctl.sources.base import FetchProgress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from assetctl.run import Event

PathLike: TypeAlias = str | Path


def ignore(_: object) -> None:
    """Report nothing."""


@contextmanager
def forwarded(report: Callable[[FetchProgress], None], warn: Callable[[str], None] = ignore) -> Iterator[Run]:
    """A run that tells callbacks of bytes and warnings; what one of them raises comes out of the block."""

    def listen(event: Event) -> None:
        if isinstance(event, Bytes):
            report(FetchProgress(event.file, event.done, event.total))
        elif isinstance(event, Warned):
            warn(event.message)

    run = Run(listen)
    with run.shielded():
        yield run


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
