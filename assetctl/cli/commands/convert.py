"""assetctl convert."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from assetctl.cli import completion
from assetctl.cli.render import show_assets
from assetctl.cli.session import Session, command
from assetctl.errors import UsageError
from assetctl.text import readable_size


@command(
    gives="list[types.Asset] | operations.library.convert.Conversion",
    examples=[
        "assetctl convert ~/Downloads/whiskers.pt",
        "assetctl convert whiskers.pt --name whiskers",
        "assetctl convert old-model.ckpt --out old-model.safetensors",
        "assetctl convert shared-embedding.png",
        "assetctl convert whiskers.pt --dry-run",
    ],
)
def app(
    session: Session,
    what: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            help="A pickle or PNG: its path, or its asset's name.",
            autocompletion=completion.asset_names(),
        ),
    ],
    name: Annotated[str | None, typer.Option("--name", help="Call the new asset so.")] = None,
    out: Annotated[Path | None, typer.Option("--out", metavar="PATH", help="Write there, not into the store.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be written, and write nothing.")] = False,
) -> None:
    """Make a safetensors file of a pickle, or of an embedding inside a PNG.

    The pickle is not run and its tensors are copied byte by byte, so this needs no torch and is safe with
    files from anywhere: one that would run code is refused, with the name of what it would have called.
    """
    if name is not None and out is not None:
        raise UsageError("--name does not go with --out.", "The name of the file is part of --out's path.")
    with session.out.progress() as run:
        result = session.registry.convert(what, name=name, out=out, dry_run=dry_run, run=run)
    if result.asset is None:
        session.out.result(result, lambda: session.out.line(str(result.path)), [str(result.path)])
        if dry_run:
            session.out.note(f"{readable_size(result.size)} would be written there.")
        return
    session.out.note(f"{result.asset.name}: {'already here' if result.known else 'converted'}, {result.asset.path}")
    for text in result.warnings:
        session.out.warning(text)
    show_assets(session.out, [result.asset])
    if result.original is not None:
        session.out.hint(f"The original is still there: `assetctl rm {result.original.typed}` forgets it.")
