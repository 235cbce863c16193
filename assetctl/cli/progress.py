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

from assetctl.text import safe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from assetctl.plan import Progress
    from assetctl.sources.base import FetchProgress


@contextlib.contextmanager
def byte_bar() -> Iterator[Callable[[FetchProgress], None]]:
    """One bar a file: name, bytes, speed and time left; and one for all, where there are several."""
    columns = (
        TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TransferSpeedColumn(),
        TimeRemainingColumn(),
    )  # fmt: skip
    tasks: dict[str, TaskID] = {}
    known: dict[str, FetchProgress] = {}
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
        total = bars.add_task("total", total=None, visible=False)

        def advance(progress: FetchProgress) -> None:
            name = progress.file
            if name not in tasks:
                tasks[name] = bars.add_task(safe(name), total=progress.total)
            known[name] = progress
            several = len(tasks) > 1
            ended = progress.total is not None and progress.done >= progress.total
            bars.update(tasks[name], completed=progress.done, total=progress.total, visible=not (several and ended))
            lengths = [each.total for each in known.values()]
            whole = sum(length or 0 for length in lengths) if None not in lengths else None
            bars.update(total, completed=sum(each.done for each in known.values()), total=whole, visible=several)

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
