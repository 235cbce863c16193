"""assetctl inspect."""

from __future__ import annotations

from typing import Annotated

import typer

from assetctl.cli.render import show_details
from assetctl.cli.session import Session, command


@command(
    examples=[
        "assetctl inspect whiskers",
        "assetctl inspect 3f2a9c --json",
        "assetctl inspect ./whiskers.safetensors",
        "assetctl inspect ~/Downloads/cat.png",
    ]
)
def app(
    session: Session,
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="A name, a path, a hash from 6 digits up; or a picture file.")
    ],
    no_hash: Annotated[bool, typer.Option("--no-hash", help="Do not compute hashes that are not known yet.")] = False,
) -> None:
    """Show everything that is known of an asset, and why; or what a picture was made of.

    A PNG, JPEG or WebP picture of A1111, ComfyUI, InvokeAI, Civitai or assetctl says how it was made: each
    asset that it names is looked for in the catalog by its hash, and then by its name.
    """
    picture = session.registry.find_picture(name)
    if picture is None:
        show_details(session.out, session.registry.inspect(name, hashes=not no_hash))
        return
    from assetctl.cli.pictures import show_picture  # noqa: PLC0415 - for pictures alone

    show_picture(session.out, session.registry.inspect_picture(picture, hashes=not no_hash))
