"""The size of picture that a checkpoint was trained on: what `generate` makes unless told otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from assetctl.errors import UnusableError
from assetctl.generation.json_files import read_object

if TYPE_CHECKING:
    from assetctl.types import Asset

#: What `generate` drives, and the width and height that each family was trained on, in pixels.
NATIVE_SIZE = {"sd1": 512, "sd2": 768, "sdxl": 1024}

#: Pixels to a latent, along one side, where a VAE does not say otherwise.
_VAE_FACTOR = 8

#: Bounds of what is believed of a configuration, in pixels.
_LEAST, _MOST = 64, 4096


def native_size(checkpoint: Asset) -> tuple[int, int]:
    """Width and height in pixels: the checkpoint's own where its configuration says so, else its family's.

    A diffusers folder has a configuration, and a single file may have one beside it, in `NAME.config/`.
    """
    path = Path(checkpoint.path)
    folder = path if checkpoint.format == "diffusers" else path.with_suffix(".config")
    usual = NATIVE_SIZE[checkpoint.family or ""]
    size = _read(folder, "unet/config.json").get("sample_size")
    sides = [size, size] if isinstance(size, int) else size  # a list is height and width
    if not (isinstance(sides, list) and len(sides) == 2):
        return usual, usual
    factor = _factor(_read(folder, "vae/config.json"))
    height, width = (side * factor if type(side) is int else 0 for side in sides)
    fits = all(_LEAST <= side <= _MOST and side % 8 == 0 for side in (width, height))
    return (width, height) if fits else (usual, usual)


def _factor(vae: dict[str, Any]) -> int:
    """A VAE halves the picture once less often than it has levels."""
    levels = vae.get("block_out_channels")
    return 2 ** (len(levels) - 1) if isinstance(levels, list) and 0 < len(levels) < 8 else _VAE_FACTOR


def _read(folder: Path, name: str) -> dict[str, Any]:
    """A configuration; nothing where there is none that can be read. Whoever loads it says what is wrong with it."""
    try:
        return read_object(folder / name, folder)
    except UnusableError:
        return {}
