"""What the server's own documents have besides those of the command line: jobs, and what can be asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from assetctl.identify.plugins import families
from assetctl.options import OPTIONS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from assetctl.catalog.jobs import Job
    from assetctl.server.endpoints import Asked


@dataclass(frozen=True, slots=True)
class JobImage:
    """A picture that a job made.

    Attributes:
        number: As the history has it.
        url: Where its file is.
        sha256: Of that file.
    """

    number: int
    url: str
    seed: int
    sha256: str


@dataclass(frozen=True, slots=True)
class JobView:
    """A job, and what there is of it by now.

    Attributes:
        id: Counts up from 1, and is never given again.
        kind: `generate`, `pull`, or `paint` for a command that borrows the worker.
        status: `queued`, `running`, `done`, `failed` or `cancelled`.
        priority: Those of a higher one come first; equal ones as they came.
        progress: From 0 to 1, as far as that is known.
        fetched: Bytes that a pull at work has by now.
        total: Bytes that it fetches in all; `None` where nobody knows it.
        step: Of `steps`, of the picture at work.
        picture: Counted from 1, of `pictures`.
        request: What is wanted.
        images: Those that were made.
        assets: Names of those that a pull brought.
        error: What it failed of.
        attempts: How often it was begun.
        url: Where this document is.
        events: Where to hear what happens to it, as server-sent events.
    """

    id: int
    kind: str
    status: str
    priority: int
    progress: float
    fetched: int
    total: int | None
    step: int
    steps: int
    picture: int
    pictures: int
    request: Mapping[str, Any]
    images: list[JobImage]
    assets: list[str]
    error: Mapping[str, Any] | None
    attempts: int
    created_at: str
    started_at: str | None
    finished_at: str | None
    url: str
    events: str


def job_views(asked: Asked, jobs: Sequence[Job]) -> list[JobView]:
    """Jobs as they are shown."""
    numbers = [number for job in jobs for number in job.pictures if job.kind != "pull"]
    fetched = [number for job in jobs for number in job.pictures if job.kind == "pull"]
    names = {each.id: each.name for each in asked.registry.assets(*fetched)} if fetched else {}
    made = {each.number: each for each in asked.registry.pictures(*numbers)} if numbers else {}
    views = []
    for job in jobs:
        progress = asked.queue.progress(job.id)
        images = [
            JobImage(number, picture_url(asked, number), made[number].settings["seed"], made[number].image_sha256)
            for number in job.pictures
            if number in made and job.kind != "pull"
        ]
        assets = [names[number] for number in job.pictures if number in names and job.kind == "pull"]
        url = f"{asked.base}/v1/jobs/{job.id}"
        views.append(
            JobView(
                job.id, job.kind, job.status, job.priority, 1.0 if job.status == "done" else progress.fraction,
                progress.done, progress.total or None,
                progress.step, progress.steps, progress.picture, progress.pictures, _shown(job.request), images, assets,
                job.error, job.attempts, job.created_at, job.started_at, job.finished_at, url, f"{url}/events",
            )
        )  # fmt: skip
    return views


def _shown(request: Mapping[str, Any]) -> dict[str, Any]:
    """What is wanted, without the plan of a command, which is for the worker alone."""
    return {name: value for name, value in request.items() if name != "plan"}


def picture_url(asked: Asked, number: int) -> str:
    """Where a picture of the history is."""
    return f"{asked.base}/v1/pictures/{number}/file"


@dataclass(frozen=True, slots=True)
class OptionView:
    """Something that can be asked of a picture.

    Attributes:
        name: As a field of `/v1/generate`.
        type: `int`, `float`, `str` or `bool`.
        help: What it does.
        flag: On the command line.
        usual: What is taken where neither the assets nor their family have their own.
        minimum: The least that can be asked for.
        maximum: The most.
        multiple: Of what it must be one.
        values: The words that there are.
    """

    name: str
    type: str
    help: str
    flag: str
    usual: int | float | str | bool | None
    minimum: float | None
    maximum: float | None
    multiple: int
    values: list[str]


def options() -> list[OptionView]:
    """All options of a picture."""
    return [
        OptionView(
            each.name, each.type.__name__, each.help, each.flag, each.usual, each.bounds and each.bounds[0],
            each.bounds and each.bounds[1], each.multiple, list(each.values),
        )
        for each in OPTIONS
    ]  # fmt: skip


@dataclass(frozen=True, slots=True)
class FamilyView:
    """A family of models.

    Attributes:
        name: As assets have it.
        base_models: Those of the family that can be told apart, in Civitai's spelling.
        latents: Families that share these share VAEs.
        generates: Whether assetctl generates with it; others it only recognises.
    """

    name: str
    base_models: list[str]
    latents: str
    generates: bool


def family_views() -> list[FamilyView]:
    """All families that can be identified."""
    return [
        FamilyView(each.name, sorted({name for _, name in each.lineages}), each.latents or each.name, bool(each.driven))
        for each in families()
    ]


@dataclass(frozen=True, slots=True)
class Health:
    """That the server is there.

    Attributes:
        version: Of assetctl.
        queued: Jobs that wait.
        running: The number of the job at work.
    """

    version: str
    queued: int
    running: int | None
