"""assetctl inspect."""

from __future__ import annotations

from typing import Annotated

import typer

from assetctl.cli.render import show_details
from assetctl.cli.session import Session, command


@command(
    examples=["assetctl inspect whiskers", "assetctl inspect 3f2a9c --json", "assetctl inspect ./whiskers.safetensors"]
)
def app(
    session: Session,
    name: Annotated[str, typer.Argument(metavar="NAME", help="A name, a path, or a hash from 6 digits up.")],
    no_hash: Annotated[bool, typer.Option("--no-hash", help="Do not compute hashes that are not known yet.")] = False,
) -> None:
    """Show everything that is known of an asset, and why."""
    show_details(session.out, session.registry.inspect(name, hashes=not no_hash))
