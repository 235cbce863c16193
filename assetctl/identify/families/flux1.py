"""FLUX.1: 19 double and 38 single transformer blocks, 3072 wide. Source: black-forest-labs/flux.

HunyuanVideo, FLUX.2, LongCat-Image, Ovis-Image and FIBO name blocks likewise. Their counts, the width of their text
and the ratios between the widths differ: a plain feed-forward of FLUX.1 is 4 times as wide as the block, the gated one
of FLUX.2 takes 6 times, that of Ovis-Image 8 times.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from assetctl.identify.features import Distilled, Family, Features, Match, certain, likely, possible

if TYPE_CHECKING:
    from assetctl.identify.features import Blocks
    from assetctl.identify.outline import Outline

_WIDTH = 3072
_DOUBLE, _SINGLE = 19, 38
_KLEIN = (5, 20)  # blocks of the one FLUX.2 that is 3072 wide

_MODULATION = ("img_mod.lin.", "txt_mod.lin.", "modulation.lin.", "norm.linear.", "norm_context.linear.")
#: Of XLabs's trainer, which knows FLUX.1 alone.
_XLABS = ("processor.qkv_lora", "processor.proj_lora")
_OWN = ("proj_mlp.", "single_transformer_blocks.0.proj_out.", "ff.net.", "ff_context.net.", "vector_in.")
_DOUBLE_OR_SINGLE = ("double_blocks.", "single_blocks.", "single_transformer_blocks.")
_BLOCKS = (*_DOUBLE_OR_SINGLE, "transformer_blocks.0.attn.to_", "transformer_blocks.0.attn.add_")
_FOREIGN = (
    "img_mlp.fc1", "txt_mlp.fc1", "modulation.linear.", "img_mod.linear", "joint_transformer_blocks.", "token_refiner",
    "transformer_blocks.0.img_mlp", "transformer_blocks.0.txt_mlp", "transformer_blocks.0.img_mod",
    "distilled_guidance_layer", "ff.linear_", "attn.to_gate", "attn.to_qkv_mlp_proj", "stream_modulation",
    "img_mlp.gate_proj", "txt_mlp.gate_proj", "caption_projection.",
)  # fmt: skip

#: Width of T5's text states; others built like FLUX.1 listen to language models.
_TEXT = 4096

#: Single layers of AuraFlow, which diffusers names as it does those of FLUX.1.
_AURAFLOW = 32


def _match(features: Features) -> Match | None:
    if features.vectors:
        return certain(set(features.vectors.values()) == {768, 4096}, "its vectors are for CLIP-L and T5")
    if features.latent is not None:
        return possible(features.latent == 16 and not features.volumetric, "its latents have 16 channels")
    if not features.transformer or features.outline.has(*_FOREIGN):
        return None
    return _adapter(features) or _blocks(features)


def _adapter(features: Features) -> Match | None:
    if features.kind != "ip-adapter":
        return None
    width = features.outline.output_width("to_k_ip", "ip_adapter_double_stream_k_proj")
    return certain(
        width == _WIDTH and features.outline.begins("double_blocks."), "its image keys go to double blocks 3072 wide"
    ) or likely(width == _WIDTH, "its image keys are 3072 wide")


def _blocks(features: Features) -> Match | None:
    outline, blocks = features.outline, features.blocks
    if blocks is None or not _fits(outline, blocks):
        return None
    own = outline.has(*_OWN)
    if not outline.begins(*_DOUBLE_OR_SINGLE) and not own:
        return possible(True, "its joint blocks are 3072 wide, as in FLUX.1 and others")
    detail = "its double and single blocks are 3072 wide and no more than FLUX.1's"
    if outline.has(*_MODULATION, *_XLABS):
        return certain(True, detail)
    beyond_klein = blocks.double > _KLEIN[0] or blocks.single > (_KLEIN[1] if blocks.double else _AURAFLOW)
    return likely(own or blocks.feed_forward == "plain" or beyond_klein, detail) or possible(True, detail)


def _fits(outline: Outline, blocks: Blocks) -> bool:
    """Whether no measure of the blocks, or of the text that they are told, is other than FLUX.1's."""
    if not outline.begins(*_BLOCKS) or blocks.width != _WIDTH or blocks.feed_forward in ("gated", "wide"):
        return False
    if blocks.single > _SINGLE or (not blocks.single and blocks.double > _DOUBLE):
        return False
    return outline.input_width("txt_in", "context_embedder") in (None, _TEXT)


def _variant(features: Features) -> str | None:
    if features.kind not in {"checkpoint", "diffusion-model"}:
        return None
    return {384: "inpainting"}.get(features.outline.input_width("img_in", "x_embedder") or 0)


FAMILY = Family(
    "flux1",
    _match,
    said=r"flux[-_. ]?1|^flux$|flux-(?:dev|schnell)",
    classes=("FluxTransformer2DModel", "FluxControlNetModel"),
    prediction="flow",
    lineages=(
        (r"schnell", "Flux.1 S"),
        (r"krea", "Flux.1 Krea"),
        (r"kontext", "Flux.1 Kontext"),
        (r"flux[-_.]?1[-_.]dev", "Flux.1 D"),
    ),
    variant=_variant,
    contract=(
        "Double or single blocks 3072 wide, at most 19 and 38, with modulation of their own, and text 4096 wide if it "
        "shows: certain. Without modulation: likely if plain or more than FLUX.2 Klein has, else shared. Chroma's "
        "LoRAs look so too, and say so in their metadata."
    ),
    latent_channels=16,
    clip="start",
    distilled={"Flux.1 S": Distilled(1, 8, 1, {"steps": 4, "cfg_scale": 1.0})},
)
