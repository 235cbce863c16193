"""Progress bars, on stderr, for a person at a terminal."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.progress import Progress as Bars

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from assetctl.generation.plan import Progress
    from assetctl.sources.base import FetchProgress


@contextlib.contextmanager
def byte_bar() -> Iterator[Callable[[FetchProgress], None]]:
    """One bar a file: name, bytes, speed and time left."""
    columns = (
        TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TransferSpeedColumn(),
        TimeRemainingColumn(),
    )  # fmt: skip
    tasks: dict[str, TaskID] = {}
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:

        def advance(progress: FetchProgress) -> None:
            if progress.file not in tasks:
                tasks[progress.file] = bars.add_task(progress.file, total=progress.total)
            bars.update(tasks[progress.file], completed=progress.done, total=progress.total)

        yield advance


@contextlib.contextmanager
def step_bar() -> Iterator[Callable[[Progress], None]]:
    """A bar of denoising steps over all pictures."""
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task("loading", total=None)

        def advance(progress: Progress) -> None:
            if progress.stage != "sample":
                return
            done = (progress.picture - 1) * progress.steps + progress.step
            description = f"picture {progress.picture} of {progress.pictures}"
            bars.update(task, description=description, completed=done, total=progress.pictures * progress.steps)

        yield advance
