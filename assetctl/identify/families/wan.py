"""Wan 2.x, a video family: blocks of self-attention, cross-attention and a feed-forward. Source: Wan-Video/Wan2.1."""

from __future__ import annotations

from assetctl.identify.features import Family, Sign
from assetctl.identify.signs import LATENT, NO, UNET, VOLUMETRIC, YES, given, taken

_ATTENTION = (
    *(f"^blocks.0.{attention}.{part}." for attention in ("self_attn", "cross_attn") for part in "qkvo"),
    *(f"^blocks.0.cross_attn.{part}_img." for part in "kv"),
    *(f"^vace_blocks.0.{part}." for part in ("self_attn", "cross_attn", "ffn", "before_proj", "after_proj")),
)  # fmt: skip
_OTHER = (
    "attn.q_proj.", "attn.k_proj.", "attn.v_proj.", "attn.output_proj.", "attn.q_linear.", "attn.kv_linear.",
    "attn.o_proj.",
    "self_attn.q_norm.",
)  # fmt: skip
_DIFFUSERS = tuple(f"^blocks.0.attn{which}.to_" for which in (1, 2))
#: Of networks that were built on Wan and are told more.
_BUILT_ON = ("condition_embedder.delta_embedder.", "^patch_short.", "^patch_mid.", "^patch_long.")

_QUERIES = taken(
    *(f"{stack}.#.{attention}.{part}" for stack in ("blocks", "vace_blocks")
      for attention in ("self_attn", "cross_attn") for part in ("q", "k", "v", "o")),
    "blocks.#.cross_attn.k_img", "blocks.#.cross_attn.v_img", "vace_blocks.#.before_proj", "vace_blocks.#.after_proj",
    "vace_blocks.#.ffn.0",
)  # fmt: skip
_TWICE = taken(*(f"blocks.#.attn{which}.to_{part}" for which in (1, 2) for part in ("q", "k", "v", "out.0")))
_INNER = given("blocks.#.ffn.0", "blocks.#.ffn.net.0.proj")

#: Widths of the stream and of the feed-forward in the models of 14, 5 and 1.3 billion weights.
_WIDTHS = (5120, 3072, 1536)
_FEED_FORWARD = (13824, 14336, 8960)

_SIGNS = (
    Sign("certain", "its latents have 48 channels and a time axis", ("vae",),
         measures={LATENT: (48,), VOLUMETRIC: YES}),
    Sign("possible", "its latents have 16 channels and a time axis", ("vae",),
         measures={LATENT: (16,), VOLUMETRIC: YES}),
    Sign("certain", "its blocks attend by q, k, v and o, as wide as Wan's", needs=(_ATTENTION,), lacks=_OTHER,
         measures={UNET: NO, _QUERIES: _WIDTHS}),
    Sign("certain", "its blocks attend twice and are as wide as Wan's", ("checkpoint", "diffusion-model", "controlnet"),
         (_DIFFUSERS, ("^condition_embedder.",)), _BUILT_ON,
         {UNET: NO, _TWICE: _WIDTHS, _INNER: _FEED_FORWARD}),
    Sign("likely", "its blocks attend twice and are as wide as Wan's", ("lora", "controlnet"), (_DIFFUSERS,), _BUILT_ON,
         {UNET: NO, _TWICE: _WIDTHS, _INNER: (None, *_FEED_FORWARD)}),
    Sign("likely", "its blocks attend twice beside a feed-forward as wide as Wan's", needs=(_DIFFUSERS,),
         lacks=_BUILT_ON, measures={UNET: NO, _TWICE: (None,), _INNER: _FEED_FORWARD}),
    Sign("likely", "its blocks attend by q, k, v and o", needs=(_ATTENTION,), lacks=_OTHER,
         measures={UNET: NO, _QUERIES: (None,)}),
    Sign("likely", "its feed-forward is as wide as Wan's", ("lora",), (("^blocks.0.ffn.",),), _OTHER,
         {UNET: NO, _INNER: _FEED_FORWARD, _TWICE: (None,)}),
)  # fmt: skip

#: How its networks' blocks begin.
_STACKS = (
    "blocks.#.attn1.", "blocks.#.attn2.", "blocks.#.self_attn.", "blocks.#.cross_attn.", "blocks.#.ffn.",
    "blocks.#.modulation", "blocks.#.norm", "blocks.#.scale_shift_table", "blocks.#.audio_", "vace_blocks.",
    "audio_injector.", "face_adapter.", "control_adapter.", "motion_encoder.", "music_",
)  # fmt: skip


FAMILY = Family(
    "wan",
    signs=_SIGNS,
    stacks=_STACKS,
    said=r"\bwan[-_ ]?(?:video)?[-_ ]?2",
    classes=("WanTransformer3DModel", "WanVACETransformer3DModel"),
    prediction="flow",
    contract=(
        "Blocks 5120, 3072 or 1536 wide that attend by q, k, v and o, or a network whose blocks attend twice "
        "beside `ffn` as diffusers names them: certain. A LoRA of the latter, or of the feed-forward alone, as "
        "wide as a Wan: likely."
    ),
)
