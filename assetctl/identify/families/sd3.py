"""Stable Diffusion 3 and 3.5: a transformer of joint blocks, 1536 or 2432 wide. Source: Stability-AI/sd3.5."""

from __future__ import annotations

from assetctl.identify.features import Family, Sign
from assetctl.identify.signs import LATENT, NAMED, NO, SECOND, SHOWN, T5, UNET, VECTORS, VOLUMETRIC, WIDTH, given, taken

_WIDTHS = (1536, 2432)
_JOINT = ("^joint_blocks.0.x_block.", "^joint_blocks.0.context_block.")
_INTO = taken(
    *(f"joint_blocks.#.{side}_block.{part}" for side in ("x", "context") for part in (
        "attn.qkv", "attn.proj", "mlp.fc1", "adaLN_modulation.1", "attn2.qkv",
    ))
)  # fmt: skip
_OTHER = ("^single_transformer_blocks.", "attn.to_gate")
#: Of SD 3.5 Medium, whose first blocks attend to the picture alone as well.
_ADDED = tuple(f"^transformer_blocks.0.attn.{part}." for part in ("add_q_proj", "add_k_proj", "add_v_proj"))
_TWICE = ("^transformer_blocks.0.attn2.",)
_ITSELF = taken("transformer_blocks.#.attn2.to_q", "transformer_blocks.#.attn2.to_k", "transformer_blocks.#.attn2.to_v")
_IMAGE_KEYS = given("to_k_ip")

_SIGNS = (
    Sign("certain", "its vectors are for CLIP-L, OpenCLIP-G and T5", ("embedding",),
         measures={VECTORS: ({768, 1280, 4096},), NAMED: ("clip_l", None)}),
    Sign("possible", "its latents have 16 channels", ("vae",), measures={LATENT: (16,), VOLUMETRIC: NO}),
    Sign("likely", "it changes OpenCLIP-G and T5", ("lora",), measures={UNET: NO, SECOND: (1280,), T5: SHOWN}),
    Sign("possible", "it changes OpenCLIP-G, as SDXL has it too", ("lora",), measures={UNET: NO, SECOND: (1280,)}),
    Sign("certain", "its joint blocks are 1536 or 2432 wide", needs=(_JOINT,), measures={UNET: NO, _INTO: _WIDTHS}),
    Sign("certain", "its joint blocks are 1536 or 2432 wide", needs=(("^transformer_blocks.0.attn.",),),
         lacks=(*_OTHER, *_TWICE), measures={UNET: NO, WIDTH: _WIDTHS}),
    Sign("certain", "its joint blocks, 1536 wide, attend to the picture twice", needs=(_ADDED, _TWICE), lacks=_OTHER,
         measures={UNET: NO, WIDTH: (1536,), _ITSELF: (1536,)}),
    Sign("likely", "it is built of joint blocks", needs=(_JOINT,), measures={UNET: NO, _INTO: (None,)}),
    Sign("likely", "its image keys are as wide as the joint attention of SD 3", ("ip-adapter",),
         measures={UNET: NO, _IMAGE_KEYS: _WIDTHS}),
)  # fmt: skip

#: How its networks' blocks begin.
_STACKS = (
    "joint_blocks.", "context_processor.", "controlnet_", "transformer_blocks.#.attn.", "transformer_blocks.#.attn2.",
    "transformer_blocks.#.ff.net", "transformer_blocks.#.ff_context.net", "transformer_blocks.#.norm1",
)  # fmt: skip


FAMILY = Family(
    "sd3",
    signs=_SIGNS,
    stacks=_STACKS,
    said=r"stable-diffusion-3|sd_?3",
    classes=("SD3Transformer2DModel", "SD3ControlNetModel"),
    prediction="flow",
    lineages=(
        (r"3[-_.]?5[-_ ]?large[-_ ]?turbo", "SD 3.5 Large Turbo"),
        (r"3[-_.]?5[-_ ]?large", "SD 3.5 Large"),
        (r"3[-_.]?5[-_ ]?medium", "SD 3.5 Medium"),
        (r"sd[-_ ]?3(?![-_. ]?5)|diffusion-3-(?!5)", "SD 3"),
    ),
    contract=(
        "Joint blocks 1536 or 2432 wide, also where those 1536 wide attend twice: certain. An embedding for CLIP-L, "
        "OpenCLIP-G and T5: certain. A LoRA of OpenCLIP-G and T5 alone: likely."
    ),
    latent_channels=16,
    clip="start",
)
