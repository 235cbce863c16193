"""FLUX.1: 19 double and 38 single transformer blocks, 3072 wide. Source: black-forest-labs/flux.

HunyuanVideo, FLUX.2, LongCat-Image, Ovis-Image and FIBO name blocks likewise. Their counts, the width of their text
and the ratios between the widths differ: a plain feed-forward of FLUX.1 is 4 times as wide as the block, the gated one
of FLUX.2 takes 6 times, that of Ovis-Image 8 times.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from assetctl.identify.features import WHOLE, Distilled, Family, Measure, Sign
from assetctl.identify.signs import (
    DOUBLE,
    FEED_FORWARD,
    LATENT,
    NO,
    POOLED,
    SINGLE,
    TEXT_IN,
    UNET,
    VECTORS,
    VOLUMETRIC,
    WIDTH,
    given,
)

if TYPE_CHECKING:
    from assetctl.identify.features import Features

_WIDTH = 3072
_DOUBLE, _SINGLE = 19, 38
_OVIS = (6, 27)  # of Ovis-Image, which is as wide; the FLUX.2 that is has 5 and 20
#: Double and single blocks of others that are as wide and have fewer: a LoRA of just so many is one of theirs. FLUX.1
#: itself is about with 8 and 38, pruned.
_OTHERS = frozenset({_OVIS, (8, 28), (10, 20), (8, 0), (10, 0)})  # Bria 3.2, LongCat-Image, and of both the first
_AURAFLOW = 32  # single blocks, which diffusers names as it does those of FLUX.1

#: As its authors name it, and of XLabs's trainer, which knows FLUX.1 alone.
_MODULATION = (
    "^double_blocks.0.img_mod.lin.", "^double_blocks.0.txt_mod.lin.", "^single_blocks.0.modulation.lin.",
)  # fmt: skip
_XLABS = tuple(f"^double_blocks.0.processor.{part}_lora{which}." for part in ("qkv", "proj") for which in (1, 2))
#: As diffusers names it, and others after it.
_OWN = (
    "proj_mlp.", "^single_transformer_blocks.0.proj_out.", "ff.net.", "ff_context.net.", "norm.linear.",
    "norm1.linear.", "norm1_context.linear.",
)  # fmt: skip
_DOUBLE_OR_SINGLE = ("^double_blocks.", "^single_blocks.", "^single_transformer_blocks.")
_BLOCKS = (*_DOUBLE_OR_SINGLE, "^transformer_blocks.0.attn.to_", "^transformer_blocks.0.attn.add_")
_POOLED = ("^vector_in.", "^time_text_embed.text_embedder.")
_FOREIGN = (
    "img_mlp.fc1.", "txt_mlp.fc1.", "modulation.linear.", "img_mod.linear.", "^joint_transformer_blocks.",
    "token_refiner.", "individual_token_refiner.", "^transformer_blocks.0.img_mlp.", "^transformer_blocks.0.txt_mlp.",
    "^transformer_blocks.0.img_mod.", "^distilled_guidance_layer.", "ff.linear_1.", "ff.linear_in.", "attn.to_gate",
    "attn.to_qkv_mlp_proj.", "img_mlp.gate_proj.", "txt_mlp.gate_proj.", "^caption_projection.",
    "^time_embed.", "^timestep_embedder.", "^context_embedder.linear_1.", "^transformer_blocks.0.attn2.", "^connector.",
)  # fmt: skip

#: Whether a LoRA ends just where one of another's blocks would.
_ENDS_AS_OTHERS = Measure(
    "ends as another's blocks do",
    lambda features: (
        features.kind == "lora"
        and features.blocks is not None
        and (features.blocks.double, features.blocks.single) in _OTHERS
    ),
)

#: What no measure of its blocks, or of the text that they are told, may be other than.
_FITS = {
    UNET: NO, WIDTH: (_WIDTH,), SINGLE: range(_SINGLE + 1), FEED_FORWARD: ("plain", None), TEXT_IN: (4096, None),
    _ENDS_AS_OTHERS: NO,
}  # fmt: skip
_FITS_DOUBLE = _FITS | {DOUBLE: range(_DOUBLE + 1)}
_DETAIL = "its double and single blocks are 3072 wide and no more than FLUX.1's"
_PARTS = ("lora", "controlnet")
_KEYS = given("to_k_ip", "ip_adapter_double_stream_k_proj")

_SIGNS = (
    Sign("certain", "its vectors are for CLIP-L and T5", ("embedding",), measures={VECTORS: ({768, 4096},)}),
    Sign(
        "possible", "its latents have 16 channels", ("vae",), measures={LATENT: (16,), VOLUMETRIC: NO},
    ),
    Sign(
        "certain",
        "its image keys go to double blocks 3072 wide",
        ("ip-adapter",),
        needs=(("^double_blocks.",),),
        measures={_KEYS: (_WIDTH,)},
    ),
    Sign("likely", "its image keys are 3072 wide", ("ip-adapter",), measures={_KEYS: (_WIDTH,)}),
    Sign("certain", "it is 3072 wide, and told text 4096 wide and pooled text 768 wide", WHOLE, lacks=_FOREIGN,
         measures={UNET: NO, WIDTH: (_WIDTH,), TEXT_IN: (4096,), POOLED: (768,)}),
    Sign("certain", _DETAIL, WHOLE, (_MODULATION, _POOLED), _FOREIGN, _FITS),
    Sign("certain", f"{_DETAIL}, changed as XLabs's trainer does", _PARTS, (_XLABS,), _FOREIGN, _FITS_DOUBLE),
    Sign("likely", _DETAIL, WHOLE, (_BLOCKS, _POOLED), _FOREIGN, _FITS),
    Sign("likely", "it is 3072 wide, and told text 4096 wide and pooled text 768 wide", lacks=_FOREIGN,
         measures={UNET: NO, WIDTH: (_WIDTH,), TEXT_IN: (4096,), POOLED: (768,)}),
    Sign("likely", _DETAIL, _PARTS, (_BLOCKS, _OWN), _FOREIGN, _FITS | {SINGLE: range(1, _SINGLE + 1)}),
    Sign("likely", _DETAIL, _PARTS, (_BLOCKS, (*_OWN, *_MODULATION)), _FOREIGN, _FITS_DOUBLE),
    Sign("likely", _DETAIL, _PARTS, (_DOUBLE_OR_SINGLE,), _FOREIGN, _FITS_DOUBLE | {FEED_FORWARD: ("plain",)}),
    Sign("likely", _DETAIL, _PARTS, (_DOUBLE_OR_SINGLE,), _FOREIGN,
         _FITS | {DOUBLE: range(_OVIS[0] + 1, _DOUBLE + 1)}),
    Sign("likely", _DETAIL, _PARTS, (_DOUBLE_OR_SINGLE,), _FOREIGN,
         _FITS_DOUBLE | {DOUBLE: range(1, _DOUBLE + 1), SINGLE: range(_OVIS[1] + 1, _SINGLE + 1)}),
    Sign("likely", _DETAIL, _PARTS, (_DOUBLE_OR_SINGLE,), _FOREIGN,
         _FITS_DOUBLE | {DOUBLE: (0,), SINGLE: range(_AURAFLOW + 1, _SINGLE + 1)}),
    Sign("possible", "its joint blocks are 3072 wide, as in FLUX.1 and others", _PARTS, (_BLOCKS,), _FOREIGN,
         _FITS_DOUBLE),
    Sign("possible", _DETAIL, _PARTS, (_DOUBLE_OR_SINGLE,), _FOREIGN, _FITS | {SINGLE: range(1, _SINGLE + 1)}),
)  # fmt: skip


def _variant(features: Features) -> str | None:
    if features.kind not in {"checkpoint", "diffusion-model"}:
        return None
    return {384: "inpainting"}.get(features.outline.input_width("img_in", "x_embedder") or 0)


#: How its networks' blocks begin.
_STACKS = (
    "double_blocks.", "single_blocks.", "single_transformer_blocks.", "transformer_blocks.#.attn.",
    "transformer_blocks.#.ff.net", "transformer_blocks.#.ff_context.net", "transformer_blocks.#.norm1",
    "transformer_blocks.#.qkv_proj", "transformer_blocks.#.out_proj", "transformer_blocks.#.mlp_", "controlnet_",
)  # fmt: skip


FAMILY = Family(
    "flux1",
    signs=_SIGNS,
    stacks=_STACKS,
    said=r"flux[-_. ]?1|^flux$|flux-(?:dev|schnell)",
    unlike=r"step1x|bria|fibo|longcat|ovis",
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
        "A network 3072 wide, told text 4096 wide and pooled text 768 wide, or with its authors' modulation; a "
        "LoRA of XLabs's trainer: certain. Other LoRAs of its blocks, at most 19 and 38: likely, as Step1X-Edit, "
        "Bria, LongCat-Image and others have the same; unless it ends just as one of Bria 3.2, LongCat-Image or "
        "Ovis-Image does. Attention alone in few blocks: shared. Chroma's LoRAs look so too, and say so in their "
        "metadata."
    ),
    latent_channels=16,
    clip="start",
    distilled={"Flux.1 S": Distilled(1, 8, 1, {"steps": 4, "cfg_scale": 1.0})},
)
