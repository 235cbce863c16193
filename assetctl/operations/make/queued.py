"""Jobs of a server's queue, as they are shown: one document at the command line and over HTTP, and on the page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from assetctl.errors import CatalogError
from assetctl.text import without_secrets

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from assetctl.catalog import Generation
    from assetctl.catalog.jobs import Job
    from assetctl.operations.workspace import Workspace

#: What a request has for the worker or the catalog alone.
_INNER = ("plan",)


@dataclass(frozen=True, slots=True)
class JobImage:
    """A picture that a job made.

    Attributes:
        number: As the history has it.
        url: Where its file is; `None` where no server runs.
        sha256: Of that file.
    """

    number: int
    url: str | None
    seed: int
    sha256: str


@dataclass(frozen=True, slots=True)
class JobWarning:
    """What a person should know of a job, with what to do about it."""

    message: str
    hint: str | None = None


@dataclass(frozen=True, slots=True)
class AtWork:
    """How far a job is that runs: what its server alone knows.

    Attributes:
        progress: From 0 to 1.
        fetched: Bytes that came.
        total: Bytes in all, where that is known.
        step: Of `steps`, of the picture at work.
        picture: Counted from 1.
        warnings: Those until now, as events have them.
    """

    progress: float = 0.0
    fetched: int = 0
    total: int | None = None
    step: int = 0
    steps: int = 0
    picture: int = 0
    warnings: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class JobDetails:
    """A job, and what there is of it by now.

    Attributes:
        id: Counts up from 1, and is never given again.
        kind: What is done: `generate` or `pull`.
        command: Whether a command waits for it that borrows the server's worker, such as `assetctl generate`: that
            saves and records the pictures itself, and the job is over where it goes away.
        status: `queued`, `running`, `done`, `failed` or `cancelled`.
        priority: Those of a higher one come first; equal ones as they came.
        progress: From 0 to 1, as far as that is known.
        fetched: Bytes that a pull at work has by now.
        total: Bytes that it fetches in all; `None` where nobody knows it.
        step: Of `steps`, of the picture at work.
        picture: The one at work, counted from 1; 0 where none is.
        pictures: How many are wanted; 0 of a pull.
        request: What is wanted.
        images: Those that were made.
        assets: Names of those that a pull brought.
        warnings: What a person should know, the last ones.
        error: What it failed of.
        attempts: How often it was begun.
        url: Where this document is; `None` where no server runs.
        events: Where to hear what happens to it, as server-sent events; `None` likewise.
    """

    id: int
    kind: Literal["generate", "pull"]
    command: bool
    status: Literal["queued", "running", "done", "failed", "cancelled"]
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
    warnings: list[JobWarning]
    error: Mapping[str, Any] | None
    attempts: int
    created_at: str
    started_at: str | None
    finished_at: str | None
    url: str | None
    events: str | None

    @property
    def has_ended(self) -> bool:
        """Whether nothing more becomes of it."""
        return self.status not in ("queued", "running")


def job_details(
    workspace: Workspace, jobs: Sequence[Job], at: Mapping[int, AtWork], base: str | None
) -> list[JobDetails]:
    """Jobs as they are shown.

    Args:
        workspace: The home.
        jobs: As the catalog has them.
        at: How far those are that run, as the server knows.
        base: How the server is called: `http://127.0.0.1:7860`; `None` where none runs.
    """
    numbers = [number for job in jobs if job.kind != "pull" for number in job.pictures]
    fetched = [number for job in jobs if job.kind == "pull" for number in job.pictures]
    made = _made(workspace, numbers) if numbers else {}
    names = {each.id: each.name for each in workspace.catalog.read.by_ids(fetched)} if fetched else {}
    found = []
    for job in jobs:
        now, is_pull = at.get(job.id, AtWork()) if job.status == "running" else AtWork(), job.kind == "pull"
        pictures = {} if is_pull else {number: made[number] for number in job.pictures if number in made}
        seeds = job.request.get("seeds")
        url = None if base is None else f"{base}/v1/jobs/{job.id}"
        found.append(
            JobDetails(
                id=job.id,
                kind="pull" if is_pull else "generate",
                command=job.kind == "paint",
                status=job.status,  # type: ignore[arg-type]  # the table has no other
                priority=job.priority,
                progress=1.0 if job.status == "done" else now.progress,
                fetched=now.fetched,
                total=now.total,
                step=now.step,
                steps=now.steps,
                picture=now.picture,
                pictures=len(seeds) if isinstance(seeds, list) else 0,
                request=_request(job.request),
                images=[_image(picture, base) for picture in pictures.values() if picture is not None],
                assets=[names[number] for number in job.pictures if number in names and is_pull],
                warnings=[
                    *(_warning(each) for each in job.warnings or now.warnings),
                    *(_damaged(number) for number, picture in pictures.items() if picture is None),
                ],
                error=job.error,
                attempts=job.attempts,
                created_at=job.created_at,
                started_at=job.started_at,
                finished_at=job.finished_at,
                url=url,
                events=None if url is None else f"{url}/events",
            )
        )
    return found


def _request(wanted: Mapping[str, Any]) -> dict[str, Any]:
    """What is wanted, as it may be shown: an address may hold what lets in."""
    shown = {name: value for name, value in wanted.items() if name not in _INNER}
    if isinstance(shown.get("reference"), str):
        shown["reference"] = without_secrets(shown["reference"])
    return shown


def _made(workspace: Workspace, numbers: Sequence[int]) -> dict[int, Generation | None]:
    """Pictures by their numbers; `None` of which what is kept is damaged, which hides no other."""
    read = workspace.catalog.generations.numbered
    found: dict[int, Generation | None] = {}
    try:
        found.update((each.number, each) for each in read(numbers))
    except CatalogError:
        for number in numbers:
            try:
                found.update((each.number, each) for each in read([number]))
            except CatalogError:
                found[number] = None
    return found


def _damaged(number: int) -> JobWarning:
    return JobWarning(f"What the history keeps of picture {number} is damaged: it is not named.")


def _image(picture: Generation, base: str | None) -> JobImage:
    url = None if base is None else f"{base}/v1/pictures/{picture.number}/file"
    return JobImage(picture.number, url, picture.settings["seed"], picture.image_sha256)


def _warning(said: Mapping[str, Any]) -> JobWarning:
    return JobWarning(str(said.get("message", "")), said.get("hint"))
