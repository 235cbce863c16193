"""LoRAs: any number, each with its weight, and none that is only partly understood."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from assetctl.errors import GenerationError
from assetctl.files.safetensors import read_header
from assetctl.generation.diffusers.failures import told
from assetctl.identify.methods import unsupported_method
from assetctl.types import Finding

if TYPE_CHECKING:
    from collections.abc import Sequence

    from diffusers import DiffusionPipeline

    from assetctl.types import Asset, WeightedAsset

#: Blocks of the UNet as the original code counts them.
_ORIGINAL_NAMES = ("lora_unet_input_blocks_", "lora_unet_middle_block_", "lora_unet_output_blocks_")


def add_loras(pipeline: DiffusionPipeline, uses: Sequence[WeightedAsset]) -> tuple[Finding, ...]:
    """Load LoRAs into a pipeline. One of weight 0 changes nothing and is not loaded.

    Returns:
        What showed only now: LoRAs whose weights are all nought, as one has that was never trained.

    Raises:
        GenerationError: One is of a method that diffusers does not know, or fits no module of the checkpoint.
        FileError: Its file is refused or corrupt.
    """
    live = [use for use in uses if use.weight != 0]
    for use in live:
        _check(use.asset, pipeline)
    names = [f"lora_{index}" for index in range(len(live))]
    for name, use in zip(names, live, strict=True):
        _load(pipeline, name, use.asset)
    if live:
        pipeline.set_adapters(names, [use.weight for use in live])
    return tuple(_blank(use.asset) for name, use in zip(names, live, strict=True) if _is_blank(pipeline, name))


def _check(lora: Asset, pipeline: DiffusionPipeline) -> None:
    header = read_header(Path(lora.path))
    if header.has(*_ORIGINAL_NAMES) and not hasattr(pipeline, "text_encoder_2"):
        raise GenerationError(
            f"The LoRA {lora.name} has the original names of blocks, which diffusers understands for SDXL alone.",
            "Leave it out, or convert it to diffusers' names with a tool such as sd-scripts.",
        )
    method = unsupported_method(header)
    if method is not None:
        raise GenerationError(
            f"The LoRA {lora.name} is a {method}, which can not be applied faithfully.",
            "Leave it out, or convert it to a plain LoRA with a tool such as sd-scripts.",
        )


def _load(pipeline: DiffusionPipeline, name: str, lora: Asset) -> None:
    hint = f"See what it fits with `assetctl inspect {lora.typed}` and `assetctl check`."
    with told(f"The LoRA {lora.name} does not fit the checkpoint", hint):
        pipeline.load_lora_weights(lora.path, adapter_name=name, local_files_only=True, use_safetensors=True)
    if not any(name in names for names in pipeline.get_list_adapters().values()):
        raise GenerationError(f"The LoRA {lora.name} fits no module of the checkpoint.", hint)


def _is_blank(pipeline: DiffusionPipeline, name: str) -> bool:
    """Whether an adapter changes nothing: each of its products has a factor of zeros. Most tell with the first."""
    parts = (getattr(pipeline, part, None) for part in ("unet", "text_encoder", "text_encoder_2"))
    ups = (
        module.lora_B[name].weight
        for part in parts
        if part is not None
        for module in part.modules()
        if name in getattr(module, "lora_B", {})
    )
    return not any(bool(weight.any()) for weight in ups)


def _blank(lora: Asset) -> Finding:
    message = f"The LoRA {lora.name} has no effect: all its weights are nought, as before training."
    return Finding("blank", "warning", (lora.name,), message, "Leave it out, or get the trained file.")
