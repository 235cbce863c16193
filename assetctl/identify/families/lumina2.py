"""Lumina-Image 2: layers 2304 wide, with refiners for noise and context. Source: Alpha-VLLM/Lumina-Image-2.0."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assetctl.identify.features import WHOLE, Family, Measure, Sign
from assetctl.identify.signs import LAYERS, NO, UNET, given, highest

if TYPE_CHECKING:
    from collections.abc import Collection

#: Lumina-Next, which is as wide, attends by `wq` and `attn1`, to text by `wk_y` and `attn2`, and its inner layers are
#: 6144 wide.
_ATTENTION = tuple(
    f"^{stack}.0.{part}."
    for stack in ("layers", "noise_refiner", "context_refiner")
    for part in ("attention.qkv", "attention.out", "attn.to_q", "attn.to_k", "attn.to_v", "attn.to_out")
)
_OTHER = (
    "attn1.", "attn2.", "attention.wq.", "attention.wk_y.", "attention.gate.", "^clip_text_pooled_proj.",
    "^time_text_embed.",
)  # fmt: skip
_FEED_FORWARD = given("feed_forward.w1", "feed_forward.w3", "feed_forward.linear_1", "feed_forward.linear_3")

_ONCE = (_ATTENTION,)
#: NewBie-image has ten more such layers.
_WIDE: dict[Measure, Collection[object]] = {UNET: NO, LAYERS: (2304,), highest("layers"): range(27)}
_WIDE_WITHIN = _WIDE | {_FEED_FORWARD: (9216,)}

_SIGNS = (
    Sign("certain", "its layers are 2304 wide, and attend once", WHOLE, _ONCE, _OTHER, _WIDE),
    Sign("certain", "its layers are 2304 wide, and 9216 within", WHOLE, (), _OTHER, _WIDE_WITHIN),
    Sign("likely", "its layers are 2304 wide, and attend once", needs=_ONCE, lacks=_OTHER, measures=_WIDE),
    Sign("likely", "its layers are 2304 wide, and 9216 within", lacks=_OTHER, measures=_WIDE_WITHIN),
)

#: How its networks' blocks begin.
_STACKS = ("layers.", "noise_refiner.", "context_refiner.")


FAMILY = Family(
    "lumina2",
    signs=_SIGNS,
    stacks=_STACKS,
    said=r"lumina",
    unlike=r"newbie",
    classes=("Lumina2Transformer2DModel",),
    prediction="flow",
    contract=(
        "A network of layers 2304 wide, that attend once or are 9216 within: certain. "
        "A LoRA of such, of no more than 26: likely."
    ),
    latents="flux1",
    latent_channels=16,
)
