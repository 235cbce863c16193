"""FLUX.2 and its Klein models: blocks as in FLUX.1, but gated and with shared modulation.

Source: black-forest-labs/flux2.
"""

from __future__ import annotations

from assetctl.identify.features import Family, Sign
from assetctl.identify.signs import DOUBLE, FEED_FORWARD, LATENT, NO, SINGLE, UNET, WIDTH

_WIDTHS = (3072, 4096, 6144)
_OWN = (
    *(f"^{which}.{part}." for which in (
        "double_stream_modulation_img", "double_stream_modulation_txt", "single_stream_modulation",
    ) for part in ("lin", "linear")),
    "^single_transformer_blocks.0.attn.to_qkv_mlp_proj.", "ff_context.linear_in.",
    "ff_context.linear_out.",
)  # fmt: skip
_BLOCKS = ("^double_blocks.", "^single_blocks.")
_OTHER = (
    "img_mod.", "txt_mod.", "modulation.lin.", "norm.linear.", "norm1.linear.", "img_mlp.fc1.", "proj_mlp.", "ff.net.",
    "modulation.linear.", "^double_blocks.0.attn.", "^transformer_blocks.0.attn2.", "ff.linear_1.",
)  # fmt: skip

#: Attention of joint blocks to text, as diffusers names it.
_JOINT = tuple(
    f"^transformer_blocks.0.attn.{part}." for part in ("add_q_proj", "add_k_proj", "add_v_proj", "to_add_out")
)

_SIGNS = (
    Sign("certain", "its latents have 32 normalised channels", ("vae",), (("^bn.",),), measures={LATENT: (32,)}),
    Sign("certain", "its blocks share their modulation, or fuse attention and feed-forward", needs=(_OWN,),
         lacks=_OTHER, measures={UNET: NO, WIDTH: _WIDTHS}),
    Sign("likely", "its blocks share their modulation, or fuse attention and feed-forward", needs=(_OWN,),
         measures={UNET: NO, WIDTH: (None, *_WIDTHS)}),
    Sign("certain", "the feed-forward of its blocks is gated", needs=(_BLOCKS,), lacks=_OTHER,
         measures={UNET: NO, WIDTH: _WIDTHS, FEED_FORWARD: ("gated",)}),
    Sign("likely", "it has no more than 8 joint blocks, 4096 or 6144 wide", needs=(_JOINT,),
         lacks=(*_OTHER, "attn.to_gate"), measures={UNET: NO, WIDTH: (4096, 6144), DOUBLE: range(9), SINGLE: (0,)}),
    Sign("likely", "its blocks are 4096 or 6144 wide", needs=((*_BLOCKS, "^single_transformer_blocks."),), lacks=_OTHER,
         measures={UNET: NO, WIDTH: (4096, 6144), FEED_FORWARD: (None, "gated")}),
    Sign("possible", "its blocks are 3072 wide", needs=((*_BLOCKS, "^single_transformer_blocks."),), lacks=_OTHER,
         measures={UNET: NO, WIDTH: (3072,), DOUBLE: range(6), SINGLE: range(21), FEED_FORWARD: (None, "gated")}),
)  # fmt: skip

#: How its networks' blocks begin.
_STACKS = (
    "double_blocks.#.img_attn.", "double_blocks.#.txt_attn.", "double_blocks.#.img_mlp.#", "double_blocks.#.txt_mlp.#",
    "single_blocks.", *(f"single_transformer_blocks.#.attn.{part}" for part in ("to_qkv_mlp_proj.", "to_out.", "norm")),
    "transformer_blocks.#.attn.", "transformer_blocks.#.ff.linear_", "transformer_blocks.#.ff_context.linear_",
)  # fmt: skip


FAMILY = Family(
    "flux2",
    signs=_SIGNS,
    stacks=_STACKS,
    said=r"flux[-_. ]?2",
    classes=("Flux2Transformer2DModel",),
    prediction="flow",
    lineages=(
        (r"klein.*9b", "Flux.2 Klein 9B"),
        (r"klein.*4b", "Flux.2 Klein 4B"),
        (r"flux[-_.]?2[-_. ]dev", "Flux.2 D"),
    ),
    contract=(
        "Shared modulation, or attention fused with feed-forward, 3072, 4096 or 6144 wide; a gated feed-forward in"
        " double and single blocks: certain. Attention 4096 or 6144 wide alone: likely."
    ),
    latent_channels=32,
)
