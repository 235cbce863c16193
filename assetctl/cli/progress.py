"""Progress bars, on stderr, for a person at a terminal: one listener of a run."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.text import Text

from assetctl.run import Bytes, Event, Finished, Preview, Started, Step
from assetctl.text import safe

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Self

    from rich.console import RenderableType
    from rich.progress import Task, TaskID


class _Amount(ProgressColumn):
    """How much of how much: steps, or bytes and how fast they come."""

    _steps, _bytes, _speed = MofNCompleteColumn(), DownloadColumn(), TransferSpeedColumn()

    def render(self, task: Task) -> Text:
        """A task's amount."""
        if task.fields.get("steps"):
            return self._steps.render(task)
        return Text.assemble(self._bytes.render(task), " ", self._speed.render(task))


#: Rows of a terminal that a preview takes at most.
_ROWS = 16


class _Pictured(Progress):
    """Bars with a picture above them, where there is one."""

    picture: Any = None

    def get_renderables(self) -> Iterable[RenderableType]:
        """The picture, then the bars."""
        if self.picture is not None:
            yield self.picture
        yield from super().get_renderables()


class Bars:
    """A line for each task that is at work, with its name; and one for all, where there are several.

    Args:
        draws: What draws a preview for Rich, from a stream of bytes; `None` where nobody wants to see any.
    """

    def __init__(self, draws: Any = None) -> None:  # noqa: ANN401 - a class of a package that only who looks pays
        columns = (TextColumn("{task.description}", markup=False), BarColumn(), _Amount(), TimeRemainingColumn())
        self._draws = draws
        self._bars = _Pictured(*columns, console=Console(stderr=True), transient=True, refresh_per_second=4)
        self._all = self._bars.add_task("total", total=None, visible=False)
        self._lines: dict[str, TaskID] = {}
        self._files: dict[str, dict[str, Bytes]] = {}  # the last word on each file, by task
        self._done = self._known = 0  # bytes of all files that were met, those of ended tasks included
        self._unknown = 0  # files of unknown size
        self._announced: dict[str, int] = {}

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def __call__(self, event: Event) -> None:
        """Show what happened."""
        match event:
            case Started(stage="load"):
                self._line("load", "loading", None)
            case Started(total=int(total)):
                self._announced[event.task] = total
            case Step():
                done = (event.picture - 1) * event.steps + event.step
                description = f"picture {event.picture} of {event.pictures}"
                line = self._line("load", description, event.pictures * event.steps)
                self._bars.update(line, completed=done, steps=True)
            case Preview() if self._draws is not None:
                self._bars.picture = self._draws(BytesIO(event.image), height=_ROWS)
            case Bytes():
                self._count(event)
            case Finished():
                self._end(event.task)
            case _:
                pass

    def _line(self, key: str, description: str, total: int | None) -> TaskID:
        if key not in self._lines:
            self._lines[key] = self._bars.add_task("", total=total)
        self._bars.update(self._lines[key], description=safe(description), total=total)
        return self._lines[key]

    def _count(self, event: Bytes) -> None:
        task = event.task or event.file
        files = self._files.setdefault(task, {})
        before = files.get(event.file, Bytes(file="", done=0, total=0))
        files[event.file] = event
        self._done += event.done - before.done
        self._known += (event.total or 0) - (before.total or 0)
        self._unknown += (event.total is None) - (before.total is None)
        lengths = [file.total for file in files.values()]
        total = self._announced.get(task, None if None in lengths else sum(length or 0 for length in lengths))
        done = sum(file.done for file in files.values())
        name = task if event.file in task else f"{task}: {event.file}"
        self._bars.update(self._line(task, name, total), completed=done)
        whole = self._announced.get("", None if self._unknown else self._known)
        self._bars.update(self._all, completed=self._done, total=whole, visible=len(self._files) > 1)
        if total is not None and done >= total and task not in self._announced and len(self._files) > 1:
            self._end(task)

    def _end(self, task: str) -> None:
        if task in self._lines:
            self._bars.remove_task(self._lines.pop(task))
