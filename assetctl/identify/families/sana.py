"""Sana: linear attention, with text attended to by one projection for keys and values. Source: NVlabs/Sana."""

from __future__ import annotations

from assetctl.identify.features import WHOLE, Family, Sign
from assetctl.identify.signs import NO, STREAM, UNET, taken

_CONVOLUTION = ("ff.conv_inverted.", "mlp.inverted_conv.")
_INTO = taken("ff.conv_inverted", "mlp.inverted_conv.conv")
#: Of Sana's relatives for video, which convolve over time.
_VIDEO = ("ff.conv_temp.", "mlp.t_conv.", "^plucker_embedder.", "^raymap_embedder.", "attn.recall_gate")

_SIGNS = (
    Sign("certain", "its feed-forward is an inverted convolution, 2240 or 1152 wide", WHOLE, (_CONVOLUTION,),
         (*_VIDEO, "ff.net.", "mlp.fc1."),
         {UNET: NO, _INTO: (2240, 1152)}),
    Sign("likely", "its feed-forward is an inverted convolution", needs=(_CONVOLUTION,), lacks=_VIDEO,
         measures={UNET: NO}),
    Sign("likely", "its blocks attend twice, 2240 wide", ("lora", "ip-adapter"), lacks=(*_VIDEO, "ff.net."),
         measures={UNET: NO, STREAM: (2240,)}),
    Sign("possible", "its blocks attend twice, 1152 wide",
         lacks=("ff.net.", "^adaln_single.", "^temporal_transformer_blocks."), measures={UNET: NO, STREAM: (1152,)}),
)  # fmt: skip

#: How its networks' blocks begin.
_STACKS = (
    "blocks.#.attn.", "blocks.#.cross_attn.", "blocks.#.mlp.", "blocks.#.scale_shift_table",
    "transformer_blocks.#.attn1.", "transformer_blocks.#.attn2.", "transformer_blocks.#.ff.conv_",
    "transformer_blocks.#.norm", "transformer_blocks.#.scale_shift_table", "controlnet_",
)  # fmt: skip


FAMILY = Family(
    "sana",
    signs=_SIGNS,
    stacks=_STACKS,
    said=r"\bsana",
    classes=("SanaTransformer2DModel",),
    prediction="flow",
    contract=(
        "A network with inverted convolutions as feed-forward, 2240 or 1152 wide: certain. Attention alone: likely"
        " if 2240 wide, shared with PixArt if 1152 wide."
    ),
    latent_channels=32,
)
