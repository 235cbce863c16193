"""assetctl inspect."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Annotated

import typer

from assetctl.cli import completion
from assetctl.cli.render import show_details
from assetctl.cli.session import Session, command
from assetctl.operations.library.verify import lacking_hashes
from assetctl.text import readable_size

if TYPE_CHECKING:
    from assetctl.cli.session import Output
    from assetctl.types import AssetDetails


@command(
    gives="types.AssetDetails | operations.make.inspect_picture.PictureDetails",
    examples=[
        "assetctl inspect whiskers",
        "assetctl inspect 3f2a9c --json",
        "assetctl inspect whiskers --hash",
        "assetctl inspect ./whiskers.safetensors",
        "assetctl inspect ~/Downloads/cat.png",
    ],
)
def app(
    session: Session,
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="A name, a path, a hash from 6 digits up; a picture file; - for a text copied out of one.",
            autocompletion=completion.asset_names(),
        ),
    ],
    hash_it: Annotated[
        bool | None,
        typer.Option(
            "--hash/--no-hash", help="Compute hashes that are not known yet, or not even those of small files."
        ),
    ] = None,
) -> None:
    """Show everything that is known of an asset, and why; or what a picture was made of.

    A PNG, JPEG or WebP picture of A1111, ComfyUI, InvokeAI, Civitai or assetctl says how it was made: each
    asset that it names is looked for in the catalog by its hash, and then by its name. What comes of making it
    again is told as `reproduce` tells it.
    """
    if name == "-":
        from assetctl.cli.pictures import show_picture  # noqa: PLC0415 - for pictures and texts alone
        from assetctl.cli.request import read_prompts  # noqa: PLC0415 - likewise

        (text,) = read_prompts(name)
        show_picture(session.out, session.registry.inspect_infotext(text or ""))
        return
    picture = session.registry.find_picture(name)
    if picture is None:
        with session.out.progress() if hash_it else nullcontext() as run:
            details = session.registry.inspect(name, hashes=hash_it, run=run)
        show_details(session.out, details)
        _tell_unhashed(session.out, details)
        return
    from assetctl.cli.pictures import show_picture  # noqa: PLC0415 - for pictures alone

    show_picture(session.out, session.registry.inspect_picture(picture, hashes=hash_it))


def _tell_unhashed(out: Output, details: AssetDetails) -> None:
    """Say what is not known for want of reading the bytes, and how it gets known."""
    asset = details.asset
    if details.problem:
        return
    lacking = lacking_hashes(asset, details.files)
    if lacking:
        size = readable_size(sum(file.size for file in lacking))
        out.hint(f"{size} are not hashed yet, in part or at all: `assetctl inspect {asset.typed} --hash` does that.")
    elif asset.sha256 is None:
        out.hint(f"Not all of its files are hashed yet: `assetctl verify {asset.typed}` does that.")
