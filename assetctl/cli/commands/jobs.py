"""assetctl jobs."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated

import typer

from assetctl.catalog.jobs import Job
from assetctl.cli.render import local, short
from assetctl.cli.session import Session, command
from assetctl.errors import AssetctlError, StorageError, UsageError
from assetctl.operations.make.queued import AtWork, JobDetails
from assetctl.server.client import LostError, Server

#: Rows of a table without `--all`.
_MOST = 1000


class Action(StrEnum):
    """What to do with jobs."""

    LIST = "list"
    CANCEL = "cancel"
    PRUNE = "prune"


@command(
    gives="list[operations.make.queued.JobDetails]",
    lists=True,
    examples=[
        "assetctl jobs",
        "assetctl jobs --all",
        "assetctl jobs cancel 12",
        "assetctl jobs prune",
        "assetctl jobs --json",
    ],
)
def app(
    session: Session,
    action: Annotated[Action, typer.Argument(help="What to do.", show_default=True)] = Action.LIST,
    numbers: Annotated[list[int] | None, typer.Argument(metavar="[ID]...", help="Of the jobs that are meant.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Those too that have ended.")] = False,
) -> None:
    """Show what waits for the workers of `assetctl serve` and what they do, cancel it, or forget what has ended.

    Jobs are listed in the order of their turn: one makes pictures at a time, and another fetches meanwhile. They wait
    in the catalog, whether a server runs or not. Those that ended are forgotten after 30 days, and beyond the last
    1,000 after one; `prune` forgets them now, all or those that are named. Pictures stay, and so does the history.
    """
    if action is Action.CANCEL:
        if not numbers:
            raise UsageError("No job was named.", "`assetctl jobs` lists them; `assetctl jobs cancel ID` cancels one.")
        found = [_cancel(session, number) for number in numbers]
    elif action is Action.PRUNE:
        found = session.registry.jobs.forget(*(numbers or ()))
    elif numbers:
        found = [session.registry.jobs.get(number) for number in numbers]
    else:
        found = session.registry.jobs.latest(2**62 if every else _MOST, ended=every)

    shown = _details(session, found)

    def render() -> None:
        if not shown:
            session.out.line("No job has ended." if action is Action.PRUNE else "No job waits.")
            return
        session.out.table(
            ("ID", "STATUS", "WHAT", "CHECKPOINT", "PICTURES", "SINCE"),
            [_row(job) for job in shown],
            ("ID", "PICTURES"),
            spare=("SINCE", "CHECKPOINT"),
            shrinking=("WHAT",),
        )

    session.out.result(shown, render, [str(job.id) for job in shown])
    if action is Action.PRUNE:
        session.out.note(f"{len(found)} {'job is' if len(found) == 1 else 'jobs are'} forgotten, and no picture")
    for job in found:
        if job.error is not None and action is not Action.PRUNE:
            session.out.note(f"{job.id} failed: {job.error.get('message')}")


def _details(session: Session, jobs: Sequence[Job]) -> Sequence[JobDetails]:
    """Jobs as they are shown, with what the server knows of them, where one runs."""
    server = Server(session.registry.settings.home)
    if not (jobs and server.may_be_there):
        return session.registry.job_details(jobs)
    try:
        said = server.ask("GET", "/owner/jobs")
    except (LostError, AssetctlError):  # none that would say
        return session.registry.job_details(jobs)
    from assetctl.wire.reading import read  # noqa: PLC0415 - of what a server says

    at = {int(number): read(AtWork, each) for number, each in said["at"].items()}
    return session.registry.job_details(jobs, at=at, base=said["url"])


def _cancel(session: Session, number: int) -> Job:
    """Cancel a job: by the server that does it, or in the catalog where none runs.

    Raises:
        NotFoundError: None has this number.
        StorageError: It is at work, and its server does not answer.
    """
    from assetctl.server.plans import made_of  # noqa: PLC0415 - a list needs none
    from assetctl.server.serving import is_running  # noqa: PLC0415 - likewise

    home, jobs = session.registry.settings.home, session.registry.jobs
    job = jobs.get(number)
    try:
        Server(home).ask("POST", f"/owner/jobs/{number}/cancel")
    except LostError as lost:
        job = jobs.cancel(number, made_of(session.registry, job), left=not is_running(home))
        if job.status == "running":
            hint = f"Ask again, or cancel it on its page; `assetctl jobs list {number}` says what became of it."
            raise StorageError(f"The server does not answer: job {number} may go on.", hint) from lost
    else:
        job = jobs.get(number)
    if job.status == "running":
        session.out.note(f"{number} ends at its next step")
    elif job.status != "cancelled":
        session.out.note(f"{number} is {job.status} already")
    return job


def _row(job: JobDetails) -> tuple[str, ...]:
    said = job.request
    what = short(str(said.get("prompt") or said.get("reference") or ""))
    count = "" if job.kind == "pull" else str(len(job.images) if job.has_ended else job.pictures)
    return (str(job.id), job.status, what, str(said.get("checkpoint") or ""), count, local(job.created_at))
