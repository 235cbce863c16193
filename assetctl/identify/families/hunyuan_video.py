"""HunyuanVideo: 20 double and 40 single blocks, 3072 wide, named much like FLUX.1's. Source: Tencent/HunyuanVideo.

HunyuanVideo 1.5 is 2048 wide. HunyuanImage names its blocks alike, and is 3584 wide.
"""

from __future__ import annotations

from assetctl.identify.features import WHOLE, Family, Sign
from assetctl.identify.signs import (
    DOUBLE,
    FLAT,
    LATENT,
    NO,
    SINGLE,
    UNET,
    VOLUMETRIC,
    WIDTH,
    YES,
    along,
    given,
)

_OWN = (
    "^double_blocks.0.img_mlp.fc1.", "^double_blocks.0.txt_mlp.fc1.", "^double_blocks.0.img_mod.linear.",
    "^double_blocks.0.txt_mod.linear.", "^single_blocks.0.modulation.linear.", "^txt_in.individual_token_refiner.",
    "^context_embedder.token_refiner.",
)  # fmt: skip
_ATTENTION = (
    "^double_blocks.0.img_attn_qkv.", "^double_blocks.0.txt_attn_qkv.", "^double_blocks.0.img_attn_proj.",
    "^double_blocks.0.txt_attn_proj.",
)  # fmt: skip
_OTHER = (
    "^joint_transformer_blocks.", "ff.linear_1.", "ff.linear_in.", "attn.to_gate", "attn.to_qkv_mlp_proj.",
    "^transformer_blocks.0.img_mlp.", "^transformer_blocks.0.attn2.", "img_mod.lin.", "txt_mod.lin.", "modulation.lin.",
)  # fmt: skip
_WIDTHS = (3072, 2048)

_REFINER = "context_embedder.token_refiner.refiner_blocks.#"
_TAKES = (
    "double_blocks.#.img_attn_qkv", "double_blocks.#.txt_attn_qkv", "double_blocks.#.img_attn_proj",
    "double_blocks.#.txt_attn_proj", "double_blocks.#.img_mlp.fc1", "double_blocks.#.txt_mlp.fc1",
    "double_blocks.#.img_mod.linear", "double_blocks.#.txt_mod.linear", "single_blocks.#.linear1",
    "single_blocks.#.modulation.linear", "txt_in.individual_token_refiner.blocks.#.self_attn_qkv",
    "txt_in.individual_token_refiner.blocks.#.self_attn.qkv",
    *(f"{_REFINER}.{part}" for part in ("attn.to_q", "attn.to_k", "attn.to_v", "ff.net.0.proj")),
    *(f"transformer_blocks.#.attn.{part}" for which in "qkv" for part in (f"to_{which}", f"add_{which}_proj")),
    "transformer_blocks.#.ff.net.0.proj", "transformer_blocks.#.ff_context.net.0.proj",
    "transformer_blocks.#.norm1.linear", "transformer_blocks.#.norm1_context.linear",
    "single_transformer_blocks.#.proj_mlp", "single_transformer_blocks.#.norm.linear",
    *(f"single_transformer_blocks.#.attn.to_{part}" for part in "qkv"),
)  # fmt: skip
_GIVES = (
    *(f"double_blocks.#.{side}_{part}" for side in ("img", "txt") for part in ("attn_proj", "mlp.fc2")),
    *(f"transformer_blocks.#.{part}" for part in ("attn.to_out.0", "attn.to_add_out", "ff.net.2", "ff_context.net.2")),
    "single_blocks.#.linear2", "single_transformer_blocks.#.proj_out", f"{_REFINER}.ff.net.2",
)  # fmt: skip
_INTO = along(_TAKES, _GIVES)
_OUT = given("double_blocks.#.img_attn_proj", "double_blocks.#.img_attn.proj", "img_in.proj", "single_blocks.#.linear2")
#: In flat names, and in ComfyUI's, FLUX.1 has the same, in fewer blocks.
_DOUBLE = (
    *_ATTENTION,
    "^double_blocks.0.img_attn.qkv.",
    "^double_blocks.0.txt_attn.qkv.",
    *(f"^double_blocks.0.{side}_mlp.fc{which}." for side in ("img", "txt") for which in (1, 2)),
)
_PARTS = ("lora",)

_SIGNS = (
    Sign("possible", "its latents have 16 channels and a time axis", ("vae",), (("decoder.conv_in.conv.",),),
         measures={LATENT: (16,), VOLUMETRIC: YES}),
    Sign("certain", "its blocks and token refiner are HunyuanVideo's, and as wide", needs=(_OWN,),
         measures={UNET: NO, _INTO: _WIDTHS}),
    Sign("certain", "its blocks attend as HunyuanVideo's do, and are as wide", needs=(_ATTENTION,), lacks=_OTHER,
         measures={UNET: NO, FLAT: NO, _INTO: _WIDTHS}),
    Sign("likely", "its blocks and token refiner are HunyuanVideo's", WHOLE, (_OWN,),
         measures={UNET: NO, _INTO: (None,), _OUT: (None, *_WIDTHS)}),
    Sign("certain", "it has 20 double blocks, 3072 wide", _PARTS, (_DOUBLE,), _OTHER,
         measures={UNET: NO, WIDTH: (3072,), DOUBLE: (20,), SINGLE: (0, 40)}),
    Sign("likely", "it has 20 double or 40 single blocks, 3072 wide", _PARTS, ((*_DOUBLE, "^transformer_blocks."),),
         _OTHER, measures={UNET: NO, WIDTH: (3072,), SINGLE: (40,)}),
    Sign("likely", "it has 40 single blocks, 3072 wide", _PARTS,
         (("^single_transformer_blocks.", "^single_blocks."),), _OTHER,
         measures={UNET: NO, WIDTH: (3072,), DOUBLE: (0,), SINGLE: (40,)}),
)  # fmt: skip

#: How its networks' blocks begin.
_STACKS = (
    "double_blocks.", "single_blocks.", "single_transformer_blocks.", "transformer_blocks.#.attn.",
    "transformer_blocks.#.ff.net", "transformer_blocks.#.ff_context.net", "transformer_blocks.#.norm", "txt_in.",
    "context_embedder.",
)  # fmt: skip


FAMILY = Family(
    "hunyuan-video",
    signs=_SIGNS,
    stacks=_STACKS,
    said=r"hunyuan[-_ ]?video",
    classes=("HunyuanVideoTransformer3DModel",),
    prediction="flow",
    lineages=((r"hunyuan", "Hunyuan Video"),),
    contract=(
        "A token refiner, `fc1` in double blocks or modulation by `linear`, 3072 or 2048 wide; 20 double blocks "
        "3072 wide by its authors' names: certain. 40 single blocks 3072 wide: likely."
    ),
    latent_channels=16,
)
