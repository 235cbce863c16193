"""assetctl import."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from assetctl.cli import session
from assetctl.cli.render import show_assets
from assetctl.cli.session import Session, command
from assetctl.errors import UsageError
from assetctl.text import counted

if TYPE_CHECKING:
    from assetctl.cli.session import Output
    from assetctl.operations.acquire.from_disk import AddedToStore
    from assetctl.operations.library.import_files import ImportResult


_NOTHING = "No assets were found."


@command(
    gives="list[types.Asset]",
    examples=[
        "assetctl import ~/stable-diffusion-webui/models ~/stable-diffusion-webui/embeddings",
        "assetctl import whiskers.safetensors --tag cats",
        "assetctl import /data/loras --no-hash",
        "assetctl import ~/Downloads/whiskers.safetensors --move",
    ],
)
def app(
    session: Session,
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="PATH...", parser=session.path, help="Files, diffusers folders, folders of them."),
    ],
    no_hash: Annotated[
        bool, typer.Option("--no-hash", help="Leave hashes for later: fast, but no duplicates found.")
    ] = False,
    tags: Annotated[list[str] | None, typer.Option("--tag", help="Label new assets; can be repeated.")] = None,
    copy: Annotated[bool, typer.Option("--copy", help="Copy into the store instead of registering in place.")] = False,
    move: Annotated[bool, typer.Option("--move", help="Move into the store instead of registering in place.")] = False,
) -> None:
    """Register assets where they lie: nothing is moved, rewritten or deleted, but by --move.

    Folders are scanned. Run it again after adding files: what is unchanged is recognised by its
    size and time, without being opened.
    """
    if copy and move:
        raise UsageError("--copy does not go with --move.", "Say which: a copy stays where it lies, or moves.")
    if (copy or move) and no_hash:
        raise UsageError("--no-hash does not go with --copy or --move.", "The store keeps verified files only.")
    if copy or move:
        _into_store(session, paths, tags or [], move=move)
        return
    listed = session.out.json or session.out.quiet
    with session.out.progress() as run:
        result = session.registry.import_files(*paths, hashes=not no_hash, tags=tags or (), listed=listed, run=run)
    _tell(session.out, result)
    if listed:
        show_assets(session.out, result.assets)
    elif result.found:
        session.out.hint("`assetctl list` shows them.")


def _into_store(session: Session, paths: list[Path], tags: list[str], *, move: bool) -> None:
    with session.out.progress() as run:
        taken = session.registry.add_to_store(*paths, move=move, tags=tags, run=run)
    for result in taken.results:
        session.out.note(f"{result.asset.name}: {'already here' if result.known else 'stored'}, {result.asset.path}")
    for path, name in taken.doubles:
        session.out.note(f"{path} held the same bytes as {name}, and was removed.")
    for result in taken.results:
        for text in result.warnings:
            session.out.warning(text)
    _tell_passed_over(session.out, taken)
    if not (taken.results or taken.refused or taken.others or taken.failed):
        session.out.note(_NOTHING)
    assets = list({result.asset.id: result.asset for result in taken.results}.values())
    show_assets(session.out, assets, failed=taken.failed)


def _tell(out: Output, result: ImportResult) -> None:
    _tell_passed_over(out, result)
    for path, name in result.duplicates[:10]:
        out.note(f"{path} holds the same bytes as {name}: one asset, two places.")
    if len(result.duplicates) > 10:
        out.note(f"…and {len(result.duplicates) - 10} more duplicates.")
    for name, path in result.moved:
        out.note(f"{name} has moved to {path}.")
    for path in result.changed:
        out.note(f"{path} has changed, and was identified again.")
    counts = {"new": result.added, "changed": len(result.changed), "unchanged": result.unchanged}
    told = ", ".join(f"{number} {word}" for word, number in counts.items() if number)
    if told or not (result.found or result.refused or result.others):
        out.note(told or _NOTHING)


def _tell_passed_over(out: Output, result: ImportResult | AddedToStore) -> None:
    for path, error in result.refused:
        out.warning(f"{error.message} It was passed over." if path in error.message else f"{path}: {error.message}")
    if result.others:
        some = ", ".join(path.name for path in result.others[:3]) + (", …" if len(result.others) > 3 else "")
        out.note(f"{counted(len(result.others), 'pickle')} passed over, without a known model: {some}.")
