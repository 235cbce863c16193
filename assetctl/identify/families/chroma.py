"""Chroma: FLUX.1 whose modulation comes from one small network. Source: lodestones/Chroma.

Its LoRAs change what a FLUX.1 LoRA could change, so only metadata tell them apart.
"""

from __future__ import annotations

from assetctl.identify.features import Family, Sign
from assetctl.identify.signs import ALL_WIDTHS, DOUBLE, FEED_FORWARD, NO, SINGLE, UNET, WIDTH, given

_GUIDANCE = ("^distilled_guidance_layer.",)
#: Of FLUX.1, instead of which it has that.
_MODULATION = (
    "img_mod.lin.", "txt_mod.lin.", "modulation.lin.", "norm.linear.", "norm1.linear.", "norm1_context.linear.",
)  # fmt: skip

#: How wide its guidance network is.
_WITHIN = given(
    "distilled_guidance_layer.in_proj", "distilled_guidance_layer.layers.#.in_layer",
    "distilled_guidance_layer.layers.#.linear_1", "distilled_guidance_layer.layers.#.out_layer",
    "distilled_guidance_layer.layers.#.linear_2",
)  # fmt: skip

_SIGNS = (
    Sign(
        "certain",
        "its modulation comes from a guidance network of its own, 5120 wide",
        needs=(_GUIDANCE,),
        lacks=_MODULATION,
        measures={UNET: NO, _WITHIN: (5120,), ALL_WIDTHS: (3072, None)},
    ),
    Sign("likely", "its modulation comes from a guidance network of its own", needs=(_GUIDANCE,), measures={UNET: NO}),
    Sign(
        "possible",
        "its blocks are those of FLUX.1, without modulation",
        ("lora",),
        needs=(("^double_blocks.", "^single_blocks.", "^single_transformer_blocks."),),
        lacks=("img_mod.", "txt_mod.", "modulation.", "norm.linear."),
        measures={
            UNET: NO,
            WIDTH: (3072,),
            DOUBLE: range(20),
            SINGLE: range(39),
            FEED_FORWARD: ("plain", None),
        },
    ),
)

#: How its networks' blocks begin.
_STACKS = (
    "double_blocks.#.img_", "double_blocks.#.txt_", "single_blocks.", "distilled_guidance_layer.", "nerf_blocks.",
    "transformer_blocks.#.attn.", "transformer_blocks.#.ff.net", "transformer_blocks.#.ff_context.net",
    "single_transformer_blocks.",
)  # fmt: skip


FAMILY = Family(
    "chroma",
    signs=_SIGNS,
    stacks=_STACKS,
    said=r"chroma",
    classes=("ChromaTransformer2DModel",),
    prediction="flow",
    lineages=((r"chroma", "Chroma"),),
    contract="A guidance network of its own, 5120 wide: certain. Its LoRAs are shared with FLUX.1.",
    latents="flux1",
    latent_channels=16,
)
