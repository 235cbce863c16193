"""assetctl export."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from assetctl.cli import completion
from assetctl.cli.session import Session, command
from assetctl.errors import UsageError
from assetctl.files.disk import new_file
from assetctl.text import counted


@command(
    gives="operations.provision.export.Export",
    lists=True,
    examples=[
        "assetctl export > registry.toml",
        "assetctl export dreamshaper whiskers --recipe portrait --out registry.toml",
    ],
)
def app(
    session: Session,
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME...]", help="By default all assets.", autocompletion=completion.asset_names()),
    ] = None,
    recipe: Annotated[str | None, typer.Option("--recipe", help="Make a recipe of them too.")] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write there; nothing is overwritten.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say whether --out could be written.")] = False,
) -> None:
    """Write a manifest of what the catalog has, for `assetctl lock` and `assetctl sync` elsewhere."""
    if recipe is not None and not names:
        raise UsageError(
            "A recipe is a selection.", "Name its assets: `assetctl export CHECKPOINT LORA --recipe NAME`."
        )
    result = session.registry.export(*(names or ()), recipe=recipe, base=None if out is None else out.parent)
    if out is not None:
        with new_file(out, dry_run=dry_run) as file:
            if file is not None:
                file.write(result.text.encode())
        session.out.note(f"{out} {'would be' if dry_run else 'is'} written.")
    data = dataclasses.replace(result, path=out)
    # a manifest is what was asked for, and no remark
    told = [str(out)] if out else result.text.rstrip().split("\n")
    session.out.result(data, lambda: None if out else session.out.lines(told), told)
    if result.local:
        some = ", ".join(result.local[:3]) + (", …" if len(result.local) > 3 else "")
        session.out.warning(
            f"{counted(len(result.local), 'asset')} came from this machine, and can be fetched from nowhere: {some}."
        )
    if result.unhashed:
        session.out.hint(
            "`lock` and `sync` take folders, files without a hash, and NAME.config beside a file, from there with "
            "--allow-outside alone."
        )
