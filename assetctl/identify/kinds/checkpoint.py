"""Whole checkpoints: a denoising network with its text encoder, its VAE, or both, in one file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assetctl.identify.features import Kind
from assetctl.identify.kinds.diffusion_model import denoiser_marks, read_denoiser
from assetctl.tensors.adapters import TEXT_ENCODERS, VAES

if TYPE_CHECKING:
    from assetctl.identify.features import Features
    from assetctl.identify.outline import Outline


def _contains(outline: Outline) -> tuple[str, ...]:
    parts = (("text encoder", TEXT_ENCODERS), ("VAE", VAES))
    return tuple(part for part, names in parts if outline.begins(*names))


def _marks(outline: Outline) -> str | None:
    parts = _contains(outline)
    if not parts or denoiser_marks(outline) is None:
        return None
    return f"it holds a denoising network and its {' and '.join(parts)}"


def _read(outline: Outline) -> Features:
    return read_denoiser("checkpoint", outline, _contains(outline))


KIND = Kind("checkpoint", _marks, _read, over=("diffusion-model", "vae", "text-encoder", "image-encoder"))
