"""Stable Diffusion 3 and 3.5: a transformer of joint blocks, 1536 or 2432 wide. Source: Stability-AI/sd3.5."""

from __future__ import annotations

from assetctl.identify.features import Family, Features, Match, certain, likely, possible


def _match(features: Features) -> Match | None:
    if features.vectors:
        fits = set(features.vectors.values()) == {768, 1280, 4096} and "llama" not in features.vectors
        return certain(fits, "its vectors are for CLIP-L, OpenCLIP-G and T5")
    if features.latent is not None:
        return possible(features.latent == 16 and not features.volumetric, "its latents have 16 channels")
    if features.encoders:
        second = features.unet is None and features.encoders.get("second") == 1280
        return likely(second and "t5" in features.encoders, "it changes OpenCLIP-G and T5") or possible(
            second, "it changes OpenCLIP-G, as SDXL has it too"
        )
    return _blocks(features) if features.transformer else None


def _blocks(features: Features) -> Match | None:
    outline = features.outline
    if outline.begins("joint_blocks."):
        return certain(True, "it is built of joint blocks")
    joint = outline.begins("transformer_blocks.0.attn.") and not outline.begins("single_transformer_blocks.")
    if joint and features.blocks is not None and features.blocks.width in (1536, 2432):
        return certain(True, f"its joint blocks are {features.blocks.width} wide")
    adapter = features.kind == "ip-adapter" and outline.output_width("to_k_ip") in (1536, 2432)
    return likely(adapter, "its image keys are as wide as the joint attention of SD 3")


FAMILY = Family(
    "sd3",
    _match,
    said=r"stable-diffusion-3|sd_?3",
    classes=("SD3Transformer2DModel", "SD3ControlNetModel"),
    prediction="flow",
    lineages=(
        (r"3\.5[-_ ]?large[-_ ]?turbo", "SD 3.5 Large Turbo"),
        (r"3\.5[-_ ]?large", "SD 3.5 Large"),
        (r"3\.5[-_ ]?medium", "SD 3.5 Medium"),
        (r"sd_?3(?![._]?5)|diffusion-3-", "SD 3"),
    ),
    contract=(
        "Joint blocks by name, or blocks 1536 or 2432 wide: certain. An embedding for CLIP-L, "
        "OpenCLIP-G and T5: certain. A LoRA of OpenCLIP-G and T5 alone: likely."
    ),
    latent_channels=16,
    clip="start",
)
