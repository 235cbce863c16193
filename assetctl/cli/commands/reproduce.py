"""assetctl reproduce."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from assetctl.cli.pictures import (
    NoServerOption,
    served,
    show_plan,
    show_resolved,
)
from assetctl.cli.session import Session, command, show_findings, tell_result
from assetctl.errors import StoppedError
from assetctl.operations.make.generate import GenerationResult, SavedPicture
from assetctl.operations.make.reproduce import Reproduced, Reproduction


@command(
    gives="operations.make.reproduce.Reproduced",
    done="list[operations.make.generate.SavedPicture]",
    examples=[
        "assetctl reproduce outputs/20260131-120000-7.png",
        "assetctl reproduce 12 --out again.png",
        "assetctl reproduce ~/Downloads/cat.jpg --dry-run",
        "assetctl reproduce cat.png --compare",
        "assetctl reproduce cat.png --json",
    ],
)
def app(
    session: Session,
    picture: Annotated[
        str, typer.Argument(metavar="PICTURE", help="A PNG, JPEG or WebP file, or a number of `assetctl history`.")
    ],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="A folder, or a PNG, JPEG or WebP file.")] = None,
    other_bytes: Annotated[
        bool, typer.Option("--other-bytes", help="Take an asset of the right name where the file itself is not here.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace the files that --out and --compare-as name.")] = False,
    compare: Annotated[
        bool, typer.Option("--compare", help="Save both pictures and their difference on a sheet beside the new one.")
    ] = False,
    compare_as: Annotated[
        Path | None, typer.Option("--compare-as", help="Save that sheet as this PNG, JPEG or WebP file.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be made, and what would differ.")] = False,
    no_server: NoServerOption = False,
) -> None:
    """Make a picture again, and say how the two compare.

    assetctl's own pictures come out the same, byte for byte, where device, precision, threads, processor and
    versions are the same; what differs is told first. A picture of another program comes out alike.

    Where `assetctl serve` runs, its worker makes it, the same and sooner, as with `generate`.
    """
    gc.enable()  # it was off for a short life, and this one is long
    reproduction = session.registry.plan_reproduction(picture, other_bytes=other_bytes)
    # before anything is promised
    sheet = compare if compare_as is None else compare_as
    place = tuple(session.registry.check_reproduction_path(reproduction, out=out, force=force, sheet=sheet))
    if dry_run:
        planned = GenerationResult((), reproduction.plan, reproduction.report, {}, place)
        session.out.result(Reproduced(reproduction, planned), lambda: _show(session, reproduction, place))
        _tell(session, reproduction, out)
        show_findings(() if session.out.json else reproduction.report.findings)
        return
    _tell(session, reproduction, out)
    backend = None if no_server else served(session)
    try:
        with session.out.progress() as run:
            done = session.registry.reproduce(reproduction, out=out, force=force, sheet=sheet, backend=backend, run=run)
    except KeyboardInterrupt as stop:
        raise _stopped(getattr(stop, "done", ())) from stop
    (image,) = done.result.images

    def render() -> None:
        session.out.line(image.path)
        if done.comparison is not None:
            session.out.line(f"Compared with {reproduction.original.path}: {done.comparison.detail}.")
        if done.sheet is not None:
            session.out.line(f"Both, and their difference: {done.sheet}")

    session.out.result(done, render, [image.path])
    tell_result(session, done.result)


def _stopped(done: Sequence[SavedPicture]) -> StoppedError:
    """What a person is told who stopped it."""
    if done:
        path = done[0].path
        error = StoppedError("Interrupted: the picture is done, and was not compared.", f"It is kept: {path}")
    else:
        hint = "Nothing was saved: run the same command to make it."
        error = StoppedError("Interrupted: the picture is not done.", hint)
    error.done = tuple(done)
    return error


def _show(session: Session, reproduction: Reproduction, place: Sequence[str]) -> None:
    show_resolved(session.out, reproduction.assets)
    show_plan(session, reproduction.plan, place)


def _tell(session: Session, reproduction: Reproduction, out: Path | None) -> None:
    """What may make the new picture another one, before it is made."""
    if session.out.json or session.out.quiet:
        return
    for remark in reproduction.remarks:
        session.out.note(remark)
    if reproduction.exact:
        session.out.note(reproduction.verdict("" if out is None else out.suffix.lower()))
