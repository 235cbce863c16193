"""assetctl pull."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from assetctl.cli.render import show_assets
from assetctl.cli.session import Session, command
from assetctl.errors import AssetctlError, UsageError
from assetctl.text import readable_size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from assetctl.operations.acquire.pull import PullPlan, PullResult
    from assetctl.sources.base import Choice

#: Columns of the files of a page; the first marks the one that comes.
_CHOICES = (" ", "FILE", "NAME", "TYPE", "SIZE", "FORMAT", "PRECISION")

#: Other files that one hint tells.
_MOST_OTHERS = 5


@command(
    gives="list[types.Asset] | list[operations.acquire.pull.PullPlan]",
    examples=[
        "assetctl pull hf://stabilityai/stable-diffusion-xl-base-1.0",
        "assetctl pull hf://ORG/REPO/whiskers.safetensors --tag cats",
        "assetctl pull civitai:328553@368189 --previews",
        "assetctl pull ~/Downloads/whiskers.safetensors --name whiskers",
        "assetctl pull civitai:328553 --dry-run",
        "assetctl pull civitai:328553@368189 --file 287459",
        "assetctl pull civitai:328553@368189 --all",
        "assetctl pull --support sd1",
    ],
)
def app(
    session: Session,
    references: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="REF...",
            help=r"hf://ORG/REPO[@REVISION]\[/FILE], civitai:MODEL[@VERSION], a page, https://…, or a path.",
        ),
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="Call the asset so.")] = None,
    tags: Annotated[list[str] | None, typer.Option("--tag", help="Label it; can be repeated.")] = None,
    file: Annotated[
        str | None,
        typer.Option("--file", metavar="FILE", help="Which file of a page or repository: its number, or its name."),
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="All models of a page or repository: also VAEs and text encoders.")
    ] = False,
    support: Annotated[
        str | None,
        typer.Option("--support", metavar="FAMILY", help="Fetch what single-file checkpoints need: sd1, sd2 or sdxl."),
    ] = None,
    previews: Annotated[
        bool, typer.Option("--previews", help="Keep a picture too that its page shows it by, made small.")
    ] = False,
    nsfw: Annotated[
        bool, typer.Option("--nsfw", help="With --previews: any picture, not just one that is rated as safe.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would come, and fetch nothing.")] = False,
) -> None:
    """Bring assets into the store: verified, and never twice.

    An interrupted pull goes on where it stopped when you run it again. To use files where they
    lie, without a copy, see `assetctl import`.
    """
    references = references or []
    _see_usage(references, name, support, file, every=every, dry_run=dry_run)
    see_nsfw(previews=previews, nsfw=nsfw)
    if file is not None or every:
        references = [each for one in references for each in session.registry.files_of(one, file=file)]
        _see_one(references, name)
    if dry_run:
        _show_plans(session, references, name, tags or ())
        return
    if support is not None:
        _pull_support(session, support)
    results = _pull(session, references, name, tags=tags or (), previews=previews, nsfw=nsfw)
    pulled = [each for result in results if not isinstance(result, AssetctlError) for each in result.all]
    for result in pulled:
        session.out.note(f"{result.asset.name}: {'already here' if result.known else 'pulled'}, {result.asset.path}")
        for text in result.warnings:
            session.out.warning(text)
        if file is None and not every:
            _tell_others(session, result)
    failed = [result for result in results if isinstance(result, AssetctlError)]
    if references or session.out.json:
        show_assets(session.out, [result.asset for result in pulled], failed=failed)


def _see_usage(
    references: Sequence[str], name: str | None, support: str | None, file: str | None, *, every: bool, dry_run: bool
) -> None:
    """See that the options go with each other.

    Raises:
        UsageError: They do not.
    """
    if not references and support is None:
        raise UsageError("There is nothing to pull.", "Name a reference: `assetctl pull hf://ORG/REPO`, or a path.")
    _see_one(references, name)
    if file is not None and (every or len(references) != 1):
        raise UsageError("--file goes with one reference, and not with --all.", "Pull them one by one.")
    if dry_run and support is not None:
        raise UsageError("--dry-run does not go with --support.", "Leave one of them out.")


def _see_one(references: Sequence[str], name: str | None) -> None:
    if name is not None and len(references) != 1:
        raise UsageError("--name goes with one reference.", "Pull them one by one, or `assetctl edit` them later.")


def see_nsfw(*, previews: bool, nsfw: bool) -> None:
    """See that what says which previews come goes with them.

    Raises:
        UsageError: It does not.
    """
    if nsfw and not previews:
        raise UsageError("--nsfw says which previews may come.", "Add --previews.")


def _pull(
    session: Session,
    references: Sequence[str],
    name: str | None,
    **how: Any,  # noqa: ANN401 - as `Registry.pull` has them
) -> Sequence[PullResult | AssetctlError]:
    with session.out.progress() as run:
        if len(references) == 1:
            return [session.registry.pull(references[0], name=name, run=run, **how)]
        return session.registry.pull_all(references, run=run, **how)


def _tell_others(session: Session, result: PullResult) -> None:
    """Say which of several files came, and which there are besides."""
    came = next((each for each in result.choices if each.chosen), None)
    others = [each for each in result.choices if not each.chosen and each.reference is not None]
    if came is None or not others:
        return
    listed = [f"{each.name} ({each.type})" if each.type else each.name for each in others]
    shown = ", ".join(listed[:_MOST_OTHERS]) + (", …" if len(listed) > _MOST_OTHERS else "")
    session.out.hint(f"{came.name} came; there are {shown} besides: `--file FILE` brings one, `--all` brings all.")


def _show_plans(session: Session, references: Sequence[str], name: str | None, tags: Sequence[str]) -> None:
    plans: list[PullPlan] = []
    failed: list[AssetctlError] = []
    for reference in references:
        try:
            plans.append(session.registry.plan_pull(reference, name=name, tags=tags))
        except AssetctlError as error:
            if len(references) == 1:
                raise
            failed.append(error)

    def render() -> None:
        for plan in plans:
            _show_plan(session, plan, alone=len(plans) == 1)
        session.out.line(f"{readable_size(sum(plan.missing for plan in plans))} would be fetched.")

    names = [plan.resolution.name for plan in plans]
    for plan in plans:
        for text in plan.resolution.warnings:
            session.out.warning(text)
    session.out.result(plans, render, names, failed)


def _show_plan(session: Session, plan: PullPlan, *, alone: bool) -> None:
    """Say what would come; of one thing `alone`, which files there are."""
    came, here = plan.resolution, plan.here
    unsized = any(file.size is None for file in came.files)
    size = "of unknown size" if unsized and not came.size else readable_size(came.size)
    begun = f", {readable_size(plan.fetched)} of them here from an earlier try" if plan.fetched else ""
    if here is not None:
        session.out.line(f"{came.name}: is here already, as {here.name}")
    else:
        session.out.line(f"{came.name}: {size}{begun}, from {came.url or came.reference}")
    if alone and len(came.choices) > 1:
        rows = [_choice_row(each) for each in came.choices]
        session.out.table(_CHOICES, rows, right=("SIZE",))
    elif here is None and len(came.files) > 1:
        for file in came.files:
            session.out.line(f"  {file.path}: {'of unknown size' if file.size is None else readable_size(file.size)}")


def _choice_row(choice: Choice) -> tuple[str, ...]:
    mark = "*" if choice.chosen else ""
    size = "-" if choice.size is None else readable_size(choice.size)
    number = "-" if choice.number is None else str(choice.number)
    return (mark, number, choice.name, choice.type or "-", size, choice.format or "-", choice.precision or "-")


def _pull_support(session: Session, family: str) -> None:
    from assetctl.identify.plugins import driven_families  # noqa: PLC0415 - for this option alone

    driven = driven_families()
    if family not in driven:
        raise UsageError(f"Nothing needs support for {family!r}.", f"Name one of: {', '.join(driven)}.")
    with session.out.progress() as run:
        folder = session.registry.pull_tokenizer(run)
    session.out.note(f"CLIP's vocabulary is at {folder}: single-file checkpoints of {family} can be used offline.")
