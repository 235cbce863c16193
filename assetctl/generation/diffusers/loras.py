"""LoRAs: any number, each with its weight, and none that is only partly understood."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors.torch import load_file

from assetctl.errors import UnusableError
from assetctl.files.numbers import FLOATS, NUMBERS
from assetctl.files.safetensors import read_header
from assetctl.generation.diffusers.failures import told
from assetctl.identify.methods import unsupported_method
from assetctl.types import Finding

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from diffusers import DiffusionPipeline

    from assetctl.types import Asset, WeightedAsset

#: Blocks of the UNet as the original code counts them.
_ORIGINAL_NAMES = ("lora_unet_input_blocks_", "lora_unet_middle_block_", "lora_unet_output_blocks_")


#: What would be an expression rather than a name, where peft looks for modules of a name.
_EXPRESSION = re.compile(r"[\\()\[\]{}*+?|^$\x00-\x1f]")

#: Tensors of one module: two halves, a middle, an alpha, and what further methods add.
_MOST_OF_ONE = 6

#: What an alpha may be written as.
_WHOLE = ("I16", "I32", "I64", "U8", "I8")

_ELSEWHERE = "Fetch it again, or leave it out."


def add_loras(pipeline: DiffusionPipeline, uses: Sequence[WeightedAsset]) -> tuple[Finding, ...]:
    """Load LoRAs into a pipeline. One of weight 0 changes nothing and is not loaded.

    Returns:
        What showed only now: LoRAs whose weights are all nought, as one has that was never trained.

    Raises:
        UnusableError: One is of a method that diffusers does not know, or fits no module of the checkpoint.
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
        raise UnusableError(
            f"The LoRA {lora.name} has the original names of blocks, which diffusers understands for SDXL alone.",
            "Leave it out, or convert it to diffusers' names with a tool such as sd-scripts.",
        )
    method = unsupported_method(header)
    if method is not None:
        raise UnusableError(
            f"The LoRA {lora.name} is a {method}, which can not be applied faithfully.",
            "Leave it out, or convert it to a plain LoRA with a tool such as sd-scripts.",
        )


def _load(pipeline: DiffusionPipeline, name: str, lora: Asset) -> None:
    hint = f"See what it fits with `assetctl inspect {lora.typed}` and `assetctl check`."
    with told(f"The LoRA {lora.name} does not fit the checkpoint", hint, UnusableError):
        # tensors alone: what the file says of itself would decide on modules by expressions of its own, or on code
        pipeline.load_lora_weights(_tensors(lora, _modules(pipeline)), adapter_name=name)
    if not any(name in names for names in pipeline.get_list_adapters().values()):
        raise UnusableError(f"The LoRA {lora.name} fits no module of the checkpoint.", hint)


def _modules(pipeline: DiffusionPipeline) -> int:
    """How many modules of a pipeline a LoRA could change at most."""
    parts = (getattr(pipeline, part, None) for part in ("unet", "text_encoder", "text_encoder_2"))
    return sum(1 for part in parts if part is not None for _ in part.modules())


def _tensors(lora: Asset, modules: int) -> dict[str, torch.Tensor]:
    """A LoRA's tensors, under names that peft can take for the expressions that it makes of them.

    Raises:
        UnusableError: A name or a kind of number is none that a trainer writes, or there are far more than `modules`.
    """
    header = read_header(Path(lora.path))
    if len(header.tensors) > _MOST_OF_ONE * modules:  # peft looks for each of them among all
        counts = f"it has {len(header.tensors)} tensors for {modules} modules"
        raise UnusableError(f"The LoRA {lora.name} does not fit the checkpoint: {counts}.", _ELSEWHERE)
    odd = next((name for name in header.tensors if _EXPRESSION.search(name)), None)
    if odd is not None:
        raise UnusableError(f"The LoRA {lora.name} has a tensor of a name that none has: {odd[:60]!r}.", _ELSEWHERE)
    for name, entry in header.tensors.items():
        if 0 in entry["shape"]:  # without a byte in it, it could claim any rank
            raise UnusableError(f"The LoRA {lora.name} is damaged: {name} is empty.", _ELSEWHERE)
        if not (entry["dtype"] in FLOATS or (name.endswith("alpha") and entry["dtype"] in _WHOLE)):
            raise UnusableError(
                f"The LoRA {lora.name} can not be used: {name} holds {NUMBERS.get(entry['dtype'], entry['dtype'])}.",
                _ELSEWHERE,
            )
    tensors: dict[str, torch.Tensor] = load_file(lora.path)
    return tensors


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
