"""assetctl sync."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from assetctl.cli.session import OutsideOption, Session, command, tell_expired
from assetctl.errors import OutOfDateError, UsageError

if TYPE_CHECKING:
    from assetctl.operations.provision.sync import Step

_SPARED = ("is not in the lockfile, and stays: it cannot be downloaded again; `assetctl rm` removes it",) * 2

#: What is to be done, and what was done.
_SAID = {
    "adopt": ("is here; {changes} would change", "was here; {changes} changed"),
    "add": ("is to be fetched", "was fetched"),
    "restore": ("is missing or changed: to be fetched again", "was missing or changed: fetched again"),
    "change": (
        "is to be fetched; the file of its name is kept under another",
        "was fetched; the file of its name is kept under another",
    ),
    "spare": _SPARED,
    "remove": ("is not in the lockfile: {goes}", "was not in the lockfile: {went}"),
}

_TO_TRASH = {"goes": "to be moved to the trash", "went": "moved to the trash"}
_FOR_GOOD = {"goes": "to be deleted for good", "went": "deleted for good"}

#: Fields whose names alone would not tell a person enough.
_FIELDS = {"facts": "what its page says"}


@command(
    gives="list[operations.provision.sync.Step]",
    examples=[
        "assetctl sync",
        "assetctl sync --dry-run",
        "assetctl sync --locked --prune",
        "assetctl sync --frozen --file /etc/assets/registry.toml",
        "assetctl sync --check --json",
    ],
)
def app(
    session: Session,
    file: Annotated[Path, typer.Option("--file", "-f", metavar="PATH", help="The manifest.")] = Path("registry.toml"),
    locked: Annotated[bool, typer.Option("--locked", help="Fail (exit 1) if the lockfile is out of date.")] = False,
    frozen: Annotated[bool, typer.Option("--frozen", help="Use the lockfile as it is.")] = False,
    offline: Annotated[bool, typer.Option("--offline", help="Use only what is here; ask no source.")] = False,
    allow_outside: OutsideOption = False,
    check: Annotated[bool, typer.Option("--check", help="Do nothing; exit 1 if this machine differs.")] = False,
    prune: Annotated[
        bool, typer.Option("--prune", help="Move to the trash what the lockfile lacks, if it can be downloaded again.")
    ] = False,
    now: Annotated[bool, typer.Option("--now", help="With --prune: delete for good instead.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan and do nothing.")] = False,
) -> None:
    """Make this machine have what registry.toml and registry.lock name.

    Locks what is not locked yet, then fetches what is missing, adopts what is here already, and labels all.
    It is safe to repeat and to interrupt: run it again, and it goes on.
    """
    if locked and frozen:
        raise UsageError("--locked does not go with --frozen.", "The one compares the lockfile, the other does not.")
    if now and not prune:
        raise UsageError("--now is of use with --prune alone.", "Add --prune, or leave --now out.")
    planned = dry_run or check
    with session.out.progress() as run:
        options = {"locked": locked, "frozen": frozen, "prune": prune, "now": now, "offline": offline}
        options |= {"dry_run": dry_run and not check, "check": check, "outside": allow_outside}
        result = session.registry.sync(file, **options, run=run)
    tell_expired(session)
    done = [step for step in result.steps if step.name not in result.failed]
    shown = [step for step in done if step.action != "keep"]
    for name, error in result.failed.items():
        error.reference = name
        error.message = f"{name}: {error.message}"
    words = _FOR_GOOD if now else _TO_TRASH

    def render() -> None:
        for step in shown:
            said = _SAID[step.action][not planned].format(changes=_changes(step), **words)
            session.out.line(f"{step.action:>8}  {step.name}: {said}{_size(step)}")
        kept, spared = (sum(step.action == action for step in result.steps) for action in ("keep", "spare"))
        verb = "would change" if planned else "changed"
        session.out.line(f"{len(shown) - spared} {verb}, {kept} as wanted.")

    differs = check and not result.in_sync and not result.failed
    if not (differs and session.out.json):  # there the error is the one document
        session.out.result(done, render, [step.name for step in shown], list(result.failed.values()))
    if not (now or planned) and any(step.action == "remove" for step in done):
        session.out.hint("`assetctl trash restore NAME` puts one back; `assetctl trash empty` frees the space.")
    if differs:
        listed = ", ".join(f"{step.name} ({step.action})" for step in shown)
        which = f": {listed}" if session.out.json else ""  # else they stand above
        raise OutOfDateError(f"This machine does not match the lockfile{which}.", "`assetctl sync` makes it match.")


def _changes(step: Step) -> str:
    """Which fields become what the manifest says, whatever a person set them to meanwhile."""
    words = [_FIELDS.get(field, field.replace("_", " ")) for field in step.changes]
    return "its " + ", ".join(words)


def _size(step: Step) -> str:
    return f" ({step.size / 1e6:.1f} MB)" if step.size else ""
