"""The weights of a diffusers folder: which of the files in it would be loaded, and their headers."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING

from assetctl.errors import CorruptFileError, RefusedFileError, StorageError
from assetctl.files.safetensors import Header, read_header

if TYPE_CHECKING:
    from pathlib import Path

_NETWORKS = ("unet", "transformer", "text_encoder", "text_encoder_2", "text_encoder_3")

#: `model.safetensors`, `model.fp16.safetensors`, `model.fp16-00001-of-00002.safetensors`.
_WEIGHTS = re.compile(
    r"(?:diffusion_pytorch_)?model(?:\.(?P<variant>[^.]+?))?(?:-\d{5}-of-(?P<count>\d{5}))?\.safetensors"
)


def read_networks(folder: Path) -> dict[str, list[Header]]:
    """Headers of the weights of the UNet or transformer and of the text encoders, all shards of one variant each.

    Raises:
        FileError: A network has no weights in safetensors, lacks a shard, or a file of it is damaged.
        StorageError: The folder can not be read.
    """
    try:
        found = {name: _weights(folder / name) for name in _NETWORKS if (folder / name).is_dir()}
    except OSError as error:
        raise StorageError(f"{folder} can not be read: {error.strerror}.", "Check the path and its rights.") from error
    return {name: [read_header(path) for path in paths] for name, paths in found.items()}


def _weights(network: Path) -> list[Path]:
    """The files of one variant: the one without a name if it is there, as diffusers chooses."""
    variants: defaultdict[str, list[tuple[Path, int]]] = defaultdict(list)
    for path in sorted(network.iterdir()):
        if match := _WEIGHTS.fullmatch(path.name):
            variants[match["variant"] or ""].append((path, int(match["count"] or 1)))
    if not variants:
        raise RefusedFileError(
            f"{network} holds no weights in safetensors.", "Get the variant of this model with safetensors files."
        )
    chosen = variants[min(variants)]
    whole = [path for path, count in chosen if count == 1]
    count = max(count for _, count in chosen)
    if whole:
        return whole[:1]
    if len(chosen) != count:
        raise CorruptFileError(
            f"{network} holds {len(chosen)} of {count} shards of its weights.", "Fetch the model again."
        )
    return [path for path, _ in chosen]
