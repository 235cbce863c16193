"""LTX-Video: blocks that attend to themselves and to text, 2048 or 4096 wide. Source: Lightricks/LTX-Video.

Its text is projected to the width of the stream. Cosmos attends twice too, to text 1024 wide; CogView4 attends once.
"""

from __future__ import annotations

from assetctl.identify.features import Family, Sign
from assetctl.identify.signs import LATENT, NO, STREAM, TEXT, UNET, VOLUMETRIC, YES, given

_WIDTHS = (2048, 4096)
_PATCHES = given("patchify_proj", "proj_in", alike=False)  # of sound, another
_SOUND = (
    "^transformer_blocks.0.audio_to_video_attn.", "^transformer_blocks.0.video_to_audio_attn.",
    "^transformer_blocks.0.audio_attn1.", "^transformer_blocks.0.audio_attn2.",
)  # fmt: skip

_SIGNS = (
    Sign("certain", "its latents have 128 channels and a time axis", ("vae",),
         measures={LATENT: (128,), VOLUMETRIC: YES}),
    Sign("certain", "it projects patches of latents to 2048 or 4096", needs=(("^patchify_proj.",),),
         measures={UNET: NO, _PATCHES: _WIDTHS}),
    Sign("certain", "its blocks attend twice, and to sound", needs=(_SOUND,),
         measures={UNET: NO, STREAM: _WIDTHS, TEXT: _WIDTHS}),
    Sign("likely", "it projects patches of latents", needs=(("^patchify_proj.",),),
         measures={UNET: NO, _PATCHES: (None,)}),
    Sign("likely", "its blocks attend twice, to text as wide as they are, 2048",
         measures={UNET: NO, STREAM: (2048,), TEXT: (2048,)}),
    Sign("likely", "its blocks attend twice, to text as wide as they are, 4096",
         measures={UNET: NO, STREAM: (4096,), TEXT: (4096,)}),
    Sign("possible", "its blocks attend to themselves and are 2048 or 4096 wide",
         measures={UNET: NO, STREAM: _WIDTHS, TEXT: (None,)}),
)  # fmt: skip

#: How its networks' blocks begin.
_STACKS = (
    "transformer_blocks.#.attn1.", "transformer_blocks.#.attn2.", "transformer_blocks.#.ff.net",
    "transformer_blocks.#.audio_", "transformer_blocks.#.video_", "transformer_blocks.#.prompt_",
    "transformer_blocks.#.scale_shift_table", "transformer_blocks.#.norm", "audio_embeddings_connector.",
    "video_embeddings_connector.",
)  # fmt: skip


FAMILY = Family(
    "ltx",
    signs=_SIGNS,
    stacks=_STACKS,
    said=r"\bltx",
    classes=("LTXVideoTransformer3DModel",),
    prediction="flow",
    contract=(
        "A projection of patches to 2048 or 4096, blocks that attend to sound as well, or a VAE of 128 channels "
        "over time: certain. Blocks that attend twice, to themselves and to text 2048 or 4096 wide: likely."
    ),
    latent_channels=128,
)
