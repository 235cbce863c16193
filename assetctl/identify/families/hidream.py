"""HiDream-I1: double and single stream blocks with experts. Source: HiDream-ai/HiDream-I1."""

from __future__ import annotations

from assetctl.identify.features import Family, Sign
from assetctl.identify.signs import NAMED, NO, UNET, VECTORS, taken

_BLOCKS = ("^double_stream_blocks.0.block.", "^single_stream_blocks.0.block.")
_INTO = taken(
    *(f"{stack}_stream_blocks.#.block.{part}" for stack in ("double", "single") for part in (
        "attn1.to_q", "attn1.to_k", "attn1.to_v", "attn1.to_q_t", "ff_i.shared_experts.w1", "ff_i.shared_experts.w3",
        "ff_t.w1", "adaLN_modulation.1", "attn1.to_out",
    ))
)  # fmt: skip

_SIGNS = (
    Sign("likely", "its vectors are for Llama, CLIP-L, OpenCLIP-G and T5", ("embedding",),
         measures={NAMED: ("llama",), VECTORS: ({768, 1280, 4096},)}),
    Sign("possible", "one of its vectors is for Llama", ("embedding",), measures={NAMED: ("llama",)}),
    Sign(
        "certain", "its stream blocks are HiDream's, 2560 wide", needs=(_BLOCKS,), measures={UNET: NO, _INTO: (2560,)}
    ),
    Sign("likely", "it is built of HiDream's stream blocks", needs=(_BLOCKS,), measures={UNET: NO, _INTO: (None,)}),
)  # fmt: skip

#: How its networks' blocks begin.
_STACKS = ("double_stream_blocks.", "single_stream_blocks.")


FAMILY = Family(
    "hidream",
    signs=_SIGNS,
    stacks=_STACKS,
    said=r"hi-?dream",
    classes=("HiDreamImageTransformer2DModel",),
    prediction="flow",
    contract=(
        "Double and single stream blocks by name, 2560 wide: certain. An embedding for Llama, CLIP-L, OpenCLIP-G and "
        "T5: likely."
    ),
    latents="flux1",
    latent_channels=16,
)
