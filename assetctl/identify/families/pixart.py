"""PixArt Alpha and Sigma: 28 blocks that attend to themselves and to text, 1152 wide. Source: diffusers.

The smaller Sana is as wide, with a feed-forward of inverted convolutions; its attention alone looks the same.
"""

from __future__ import annotations

from assetctl.identify.features import WHOLE, Family, Sign
from assetctl.identify.signs import NO, STREAM, UNET, given, taken

#: Of its modulation, which Sana has not.
_MODULATION = ("^adaln_single.", "^t_block.")
_OTHER = (
    "inverted_conv.", "conv_inverted.", "^temporal_transformer_blocks.", "attn_temp.", "^spatial_blocks.",
)  # fmt: skip
#: Latte's blocks for one picture are the same; it has others over time beside them.
_FEED_FORWARD = given("transformer_blocks.#.ff.net.0.proj", "blocks.#.mlp.fc1")
_KEYS = taken("blocks.#.cross_attn.kv_linear", "blocks.#.cross_attn.q_linear")

_SIGNS = tuple(
    sign
    for width in (STREAM, _KEYS)
    for sign in (
        Sign("certain", "its blocks attend twice, 1152 wide, before a plain feed-forward", WHOLE, lacks=_OTHER,
             measures={UNET: NO, width: (1152,), _FEED_FORWARD: (4608,)}),
        Sign("certain", "its blocks attend twice, 1152 wide, and are modulated as PixArt's", WHOLE, (_MODULATION,),
             _OTHER, {UNET: NO, width: (1152,), _FEED_FORWARD: (None,)}),
        Sign("likely", "its blocks attend twice, 1152 wide, before a plain feed-forward", lacks=_OTHER,
             measures={UNET: NO, width: (1152,), _FEED_FORWARD: (4608,)}),
        Sign("likely", "its blocks attend twice, 1152 wide, with its modulation", needs=(_MODULATION,), lacks=_OTHER,
             measures={UNET: NO, width: (1152,), _FEED_FORWARD: (None,)}),
        Sign("possible", "its blocks attend twice, 1152 wide", lacks=_OTHER,
             measures={UNET: NO, width: (1152,), _FEED_FORWARD: (None,)}),
    )
)  # fmt: skip

#: How its networks' blocks begin.
_STACKS = (
    "blocks.#.attn.", "blocks.#.cross_attn.", "blocks.#.mlp.", "blocks.#.scale_shift_table",
    "transformer_blocks.#.attn1.", "transformer_blocks.#.attn2.", "transformer_blocks.#.ff.net",
    "transformer_blocks.#.norm", "transformer_blocks.#.scale_shift_table",
)  # fmt: skip


FAMILY = Family(
    "pixart",
    signs=_SIGNS,
    stacks=_STACKS,
    said=r"pixart",
    unlike=r"latte|open[-_]?sora",
    classes=("PixArtTransformer2DModel",),
    prediction="epsilon",
    contract=(
        "A network whose blocks attend twice, 1152 wide, before a plain feed-forward or with its modulation: "
        "certain. A LoRA of the same: likely, as Latte has such blocks. Attention alone: shared with the smaller "
        "Sana."
    ),
    other_latents=("sd1", "sdxl"),  # of Alpha, and of Sigma
    latent_channels=4,
)
