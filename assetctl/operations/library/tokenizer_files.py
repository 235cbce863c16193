"""Where the tokenizer of a checkpoint's text encoder is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from assetctl.errors import GenerationError
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
        near = path if checkpoint.format == "diffusers" else workspace.tokenizer_of(checkpoint)
        return find_files(near, "tokenizer", path).folder
    except GenerationError:
        return None
