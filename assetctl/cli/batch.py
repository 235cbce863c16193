"""A list of jobs at the command line."""

from __future__ import annotations

import re
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from assetctl.errors import AssetctlError, StoppedError, UsageError
from assetctl.operations.make.batch import InterruptedBatchError
from assetctl.operations.make.jobs import LARGEST
from assetctl.run import Saved

if TYPE_CHECKING:
    from collections.abc import Sequence

    from assetctl.cli.session import Session
    from assetctl.operations.make.jobs import JobResult
    from assetctl.request import Backend, Request
    from assetctl.run import Event


def see_batch_usage(
    prompt: str | None, batch: str | None, shard: str | None, grid: str | None, *, preview: bool
) -> None:
    """See that what is typed goes with a list of jobs.

    Raises:
        UsageError: It does not.
    """
    if batch is None and shard is not None:
        raise UsageError("--shard goes with --batch.", "Name the list: `assetctl generate --batch jobs.jsonl`.")
    if batch is not None and preview:
        raise UsageError("--preview is of a few pictures, not of a batch.", "Leave it out.")
    if batch is not None and grid is not None:
        raise UsageError("--grid and --batch do not go together.", "Make one after the other.")
    if (prompt, batch) == ("-", "-"):
        raise UsageError("The prompt and the list cannot both come by standard input.", "Name a file with --batch.")


def tell_batch(
    session: Session,
    source: str,
    base: Request,
    backend: Backend | None,
    *,
    file: Path,
    shard: str | None,
    dry_run: bool,
) -> list[str]:
    """Make the jobs of a list, telling of each picture when it is there, and of every job in the end; what was made."""

    def tell(event: Event) -> None:
        if isinstance(event, Saved) and not session.out.json:
            session.out.line(event.path)
            sys.stdout.flush()

    jobs = sys.stdin.buffer.read(LARGEST + 1) if source == "-" else Path(source)
    part = parse_shard(shard)
    try:
        with session.out.progress(tell) as run:
            done = session.registry.generate_batch(
                jobs, base=base, file=file, shard=part, dry_run=dry_run, backend=backend, run=run
            )
    except InterruptedBatchError as stopped:
        ended = sum(job.status in ("made", "here") for job in stopped.done)
        stop = StoppedError(f"Interrupted: {ended} of {_jobs(len(stopped.done))} done.", None, {"--batch": source})
        stop.done = stopped.done if session.out.json else None
        raise stop from None
    except AssetctlError as error:
        if not session.out.json:  # each picture is told of already
            _tell_counts(session, error.done if isinstance(error.done, tuple) else ())
            error.done = None
        raise
    _tell_counts(session, done)
    failed = [job.error for job in done if job.error is not None]
    session.out.result(done, lambda: _show_jobs(session, done if dry_run else ()), (), failed)
    return [image.path for job in done if job.status == "made" for image in job.images]


def parse_shard(text: str | None) -> tuple[int, int]:
    """Which part of how many: `2/4`.

    Raises:
        UsageError: It is no such thing.
    """
    found = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", "1/1" if text is None else text)
    if found is None or not 1 <= int(found[1]) <= int(found[2]):
        raise UsageError(f"{text!r:.40} is no part of a list.", "Write --shard 1/4, …, --shard 4/4 for four machines.")
    return int(found[1]), int(found[2])


def _tell_counts(session: Session, jobs: Sequence[JobResult]) -> None:
    """How many jobs came to what."""
    counts = Counter[str]("theirs" if job.status == "waiting" and job.error else job.status for job in jobs)
    said = [f"{counts[status]} {word}" for status, word in _BECAME.items() if counts[status]]
    if said:
        session.out.note(f"{_jobs(len(jobs))}: {', '.join(said)}")


#: What became of jobs.
_BECAME = {
    "made": "made", "here": "here already", "failed": "failed", "waiting": "to be made",
    "theirs": "another process's",
}  # fmt: skip


def _jobs(number: int) -> str:
    return f"{number} job{'' if number == 1 else 's'}"


def _show_jobs(session: Session, jobs: Sequence[JobResult]) -> None:
    rows = ((str(job.line), job.id or "-", _BECAME[job.status]) for job in jobs)
    if jobs:
        session.out.table(("LINE", "ID", "JOB"), rows, right=("LINE",))
