"""Inspect a picture: what it says of itself, and which of its assets are here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from assetctl.files.png_embeddings import KEYWORD, holds_embedding
from assetctl.generation.metadata import read_parameters
from assetctl.operations.picture_file import PictureFile, look_at
from assetctl.operations.resolving import ResolvedAsset, Resolver

if TYPE_CHECKING:
    from pathlib import Path

    from assetctl.generation.metadata import PictureParameters
    from assetctl.operations.workspace import Workspace


@dataclass(frozen=True, slots=True)
class PictureDetails:
    """What is known of a picture.

    Attributes:
        parameters: What it says; `None` where it says nothing.
        assets: Those it names, in its order.
        unhashed: How many assets of the catalog lack a hash, any of which might be one that is missing here.
        unread: Names of texts in it that are not understood.
        embedding: Whether it holds an embedding, as A1111 shares them.
    """

    file: PictureFile
    parameters: PictureParameters | None
    assets: tuple[ResolvedAsset, ...] = ()
    unhashed: int = 0
    unread: tuple[str, ...] = ()
    embedding: bool = False


def inspect_picture(workspace: Workspace, path: Path, *, hashes: bool | None = None) -> PictureDetails:
    """Read a picture and look for its assets in the catalog.

    Of assets that go by the name that the picture says, hashes that are not known yet are computed, and kept, as
    `hashes` says; those of small files where nothing is said.

    Raises:
        FileError: It is no PNG, JPEG or WebP picture, or is damaged.
        StorageError: It can not be read.
    """
    parameters = read_parameters(path)
    file, embedding = look_at(path), holds_embedding(path)
    if parameters is None or parameters.unread:
        unread = () if parameters is None else tuple(name for name in parameters.unread if name != KEYWORD)
        return PictureDetails(file, None, unread=unread, embedding=embedding)
    resolver = Resolver(workspace, hashes=hashes, software=parameters.software)
    assets = tuple(resolver.resolve(used) for used in parameters.assets)
    return PictureDetails(file, parameters, assets, resolver.unhashed(assets), embedding=embedding)
