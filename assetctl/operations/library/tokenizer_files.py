"""Where the tokenizer of a checkpoint's text encoder is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from assetctl.errors import GenerationError, UnusableError
from assetctl.identify.plugins import family_called

if TYPE_CHECKING:
    from assetctl.operations.workspace import Workspace
    from assetctl.types import Asset


def needs_vocabulary(asset: Asset) -> bool:
    """Whether an asset is a checkpoint in one file, which carries no vocabulary, of a family that CLIP's serves."""
    return asset.kind == "checkpoint" and asset.format == "safetensors" and is_driven(asset.family)


def is_driven(family: str | None) -> bool:
    """Whether assetctl generates with a family: all that it does have a text encoder of CLIP's."""
    known = family_called(family)
    return known is not None and known.driven is not None


def lacks_vocabulary(asset: Asset) -> bool:
    """Likewise, where none lies beside it."""
    return needs_vocabulary(asset) and not Path(asset.path).with_suffix(".config").is_dir()


def reads_with_clip(checkpoint: Asset) -> bool:
    """Whether a checkpoint has a text encoder of CLIP's, or may have one, as its family is not known."""
    family = family_called(checkpoint.family)
    return checkpoint.family is None or (family is not None and family.clip is not None)


def tokenizer_folder(workspace: Workspace, checkpoint: Asset) -> Path | None:
    """The folder with the tokenizer that `generate` takes for a checkpoint; `None` if none is known."""
    from assetctl.generation.parts import find_tokenizer_files as find_files  # noqa: PLC0415 - no use without a catalog

    if not reads_with_clip(checkpoint):
        return None
    path = Path(checkpoint.path)
    try:
        near = path if checkpoint.format == "diffusers" else find_tokenizer(workspace, checkpoint)
        return find_files(near, "tokenizer", path).folder
    except GenerationError:
        return None


def find_tokenizer(workspace: Workspace, checkpoint: Asset) -> Path | None:
    """Where the vocabulary of a single-file checkpoint's text encoder is: beside it, in the store, or in a
    diffusers folder of the same family."""
    from assetctl.sources.support import installed_tokenizer  # noqa: PLC0415 - a diffusers folder does without

    if checkpoint.format == "diffusers":
        return None
    companion = Path(checkpoint.path).with_suffix(".config")
    if companion.is_dir():
        return companion
    installed = installed_tokenizer(workspace.store)
    if installed is not None:
        return installed
    for folder in workspace.catalog.read.assets(kind="checkpoint", family=checkpoint.family, format="diffusers"):
        if (Path(folder.path) / "tokenizer" / "vocab.json").is_file():
            return Path(folder.path) / "tokenizer"
    raise UnusableError(
        f"{checkpoint.name} is a single file and lacks the vocabulary of its text encoder.",
        f"Fetch it once with `assetctl pull --support {checkpoint.family}`, "
        f"or put vocab.json and merges.txt into {companion / 'tokenizer'}.",
    )
