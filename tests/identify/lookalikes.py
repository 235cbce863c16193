"""Generated headers, each of one family, kind and layout, named and sized as real files are. No tensor data is made."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from identify.late import late
from identify.networks import (
    Modules,
    Shapes,
    clip,
    diffusers_unet,
    dotted,
    ending,
    flux,
    flux2,
    flux_diffusers,
    hunyuan,
    joint,
    joint_diffusers,
    kohya,
    krea2,
    ldm_unet,
    loha,
    lokr,
    ltx,
    parts,
    peft,
    qwen,
    wan,
    wan_diffusers,
    whole,
    z_image,
)
from identify.relatives import (
    auraflow,
    cosmos,
    differences,
    flux2_diffusers,
    hunyuan_image,
    lumina2,
    nf4,
    oft,
    once,
    ovis,
    ovis_diffusers,
    svdquant,
    twice,
)

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, eq=False)
class Lookalike:
    """What a generated header is, and its shapes."""

    kind: str
    family: str | None
    table: Mapping[str, list[int]]
    layout: str | None = None
    variant: str | None = None

    @property
    def shapes(self) -> Shapes:
        """Each tensor's shape, by its name."""
        return _shapes(self)


@lru_cache(2)
def _shapes(case: Lookalike) -> Shapes:
    return dict(case.table)


SD = "model.diffusion_model."
VAE: Modules = {
    "decoder.conv_in": (4, 512, 3, 3),
    "decoder.mid.block_1.conv1": (512, 512, 3, 3),
    "decoder.up.0.block.0.conv1": (128, 128, 3, 3),
    "encoder.conv_in": (3, 128, 3, 3),
    "quant_conv": (8, 8, 1, 1),
}
VAE_DIFFUSERS: Modules = {
    "decoder.conv_in": (4, 512, 3, 3),
    "decoder.mid_block.resnets.0.conv1": (512, 512, 3, 3),
    "decoder.up_blocks.0.resnets.0.conv1": (512, 512, 3, 3),
    "encoder.conv_in": (3, 128, 3, 3),
}
FIRST_STAGE = whole(VAE, "first_stage_model.")
CLIP_L, CLIP_H, CLIP_G = clip(768, 12), clip(1024, 23), clip(1280, 32)
OPENCLIP = {"transformer.resblocks.0.attn.in_proj_weight": [3840, 1280], "token_embedding.weight": [49408, 1280]}
SD1_TEXT = whole(CLIP_L, "cond_stage_model.transformer.")
SDXL_TEXT = whole(CLIP_L, "conditioner.embedders.0.transformer.") | {
    f"conditioner.embedders.1.model.{name}": shape for name, shape in OPENCLIP.items()
}
REFINER_TEXT = {f"conditioner.embedders.0.model.{name}": shape for name, shape in OPENCLIP.items()}
TEXTS = {"sd1": SD1_TEXT, "sd2": {}, "sdxl": SDXL_TEXT, "sdxl-refiner": REFINER_TEXT}
T5 = {
    "shared.weight": [32128, 4096],
    "encoder.block.0.layer.0.SelfAttention.q.weight": [4096, 4096],
    "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight": [32, 64],
    "encoder.final_layer_norm.weight": [4096],
}
TIME: Modules = {"time_in.in_layer": (256, 3072), "img_in": (64, 3072), "vector_in.in_layer": (768, 3072)}
HINT = {"controlnet_cond_embedding.conv_in.weight": [16, 3, 3, 3], "controlnet_down_blocks.0.weight": [320, 320, 1, 1]}
VISION = {"vision_model.embeddings.patch_embedding.weight": [1280, 3, 14, 14],
          "vision_model.encoder.layers.0.self_attn.q_proj.weight": [1280, 1280],
          "visual_projection.weight": [1024, 1280]}  # fmt: skip


@late
def under(prefix: str, shapes: Shapes) -> Shapes:
    """The same tensors below a prefix."""
    return {prefix + name: shape for name, shape in shapes.items()}


@late
def ema(shapes: Shapes) -> Shapes:
    """A training checkpoint's averaged copy of its UNet."""
    return {f"model_ema.{name.replace('.', '')}": shape for name, shape in shapes.items()}


CASES: dict[str, Lookalike] = {}


def add(name: str, kind: str, family: str | None, shapes: Shapes, *, layout: str | None = None,
        variant: str | None = None) -> None:  # fmt: skip
    """Note one case."""
    CASES[name] = Lookalike(kind, family, shapes, layout, variant)


for _family in ("sd1", "sd2", "sdxl", "sdxl-refiner"):
    for _channels, _variant in ((4, None), (9, "inpainting"), (8, "pix2pix"), (5, "depth")):
        _suffix = f" {_variant}" if _variant else ""
        _whole = whole(ldm_unet(_family, _channels), SD)
        _lone = whole(diffusers_unet(_family, _channels))
        add(f"{_family} checkpoint{_suffix}", "checkpoint", _family, _whole | FIRST_STAGE | TEXTS[_family],
            layout="ldm", variant=_variant if _channels != 8 or TEXTS[_family] else None)  # fmt: skip
        add(f"{_family} unet{_suffix}", "diffusion-model", _family, _lone, layout="diffusers",
            variant=_variant if _channels != 8 else None)  # fmt: skip
    _whole = whole(ldm_unet(_family), SD)
    if _family == "sd1":  # its pictures are turned by a projection of angles, and by no words
        add("sd1 zero123", "checkpoint", "sd1", whole(ldm_unet("sd1", 8), SD) | FIRST_STAGE | {
            "cc_projection.weight": [768, 772],
            "cond_stage_model.model.visual.conv1.weight": [1024, 3, 14, 14]}, layout="ldm")  # fmt: skip
    add(f"{_family} unet, ldm", "diffusion-model", _family, _whole, layout="ldm")
    add(f"{_family} unet, bare ldm", "diffusion-model", _family, whole(ldm_unet(_family)), layout="ldm")
    add(f"{_family} checkpoint without vae", "checkpoint", _family, _whole | (TEXTS[_family] or SD1_TEXT))
    add(f"{_family} checkpoint with ema", "checkpoint", _family,
        _whole | FIRST_STAGE | TEXTS[_family] | ema(_whole), layout="ldm")  # fmt: skip
    _ldm, _diffusers = ldm_unet(_family), diffusers_unet(_family)
    _cross, _self = parts(_diffusers, "attn", "ff"), parts(_diffusers, "attn1")
    add(f"{_family} lora kohya", "lora", _family, kohya(_cross), layout="kohya")
    add(f"{_family} lora kohya ldm blocks", "lora", _family, kohya(parts(_ldm, "attn")), layout="kohya")
    add(f"{_family} locon", "lora", _family, kohya(_diffusers))
    add(f"{_family} lora diffusers", "lora", _family, peft(_cross, "unet."), layout="diffusers")
    add(f"{_family} lora diffusers old", "lora", _family,
        {n.replace("lora_A", "lora.down").replace("lora_B", "lora.up"): s for n, s in peft(_cross, "unet.").items()},
        layout="diffusers")  # fmt: skip
    add(f"{_family} lora peft", "lora", _family, peft(_cross, "base_model.model."), layout="peft")
    add(f"{_family} lora peft unet", "lora", _family, peft(_cross, "base_model.model.unet."), layout="peft")
    add(f"{_family} lora peft bare", "lora", _family, peft(_cross), layout="peft")
    add(f"{_family} lora adapter name", "lora", _family,
        {n.replace(".weight", ".default.weight"): s for n, s in peft(_cross, "base_model.model.").items()})  # fmt: skip
    add(f"{_family} dora", "lora", _family,
        kohya(_cross) | ending(_cross, "lora_unet_", {"dora_scale": "o 1"}))  # fmt: skip
    for _prefix in ("lora_unet_", "lycoris_"):
        add(f"{_family} loha {_prefix}", "lora", _family, loha(_cross, _prefix), layout="lycoris")
        add(f"{_family} lokr {_prefix}", "lora", _family, lokr(_cross, _prefix), layout="lycoris")
        add(f"{_family} locon {_prefix}", "lora", _family, kohya(_diffusers, _prefix))
    add(f"{_family} lokr factored", "lora", _family, lokr(_cross, whole_second=False), layout="lycoris")
    _told = _family if _family == "sdxl" else None  # where only outputs show, attention's depth is all that tells
    add(f"{_family} ia3", "lora", _told,
        ending(parts(_cross, "to_k", "to_v", "ff.net.2"), "lora_unet_", {"weight": "o", "on_input": ""}),
        layout="lycoris")  # fmt: skip
    add(f"{_family} oft", "lora", _told,
        ending(_cross, "lora_unet_", {"oft_blocks": "4 80 80"}), layout="lycoris")  # fmt: skip
    add(f"{_family} boft", "lora", _told,
        ending(_cross, "lora_unet_", {"oft_blocks": "4 4 80 80"}), layout="lycoris")  # fmt: skip
    add(f"{_family} glora", "lora", _family,
        ending(_cross, "lora_unet_", {"a1.weight": "i r", "a2.weight": "r i", "b1.weight": "o r", "b2.weight": "r i",
                                      "alpha": ""}), layout="lycoris")  # fmt: skip
    add(f"{_family} full difference", "lora", _family, ending(_cross, "lora_unet_", {"diff": "o i", "diff_b": "o"}))
    add(f"{_family} controlnet", "controlnet", _family, whole(_diffusers) | HINT, layout="diffusers")
    add(
        f"{_family} controlnet ldm",
        "controlnet",
        _family,
        whole(_ldm, "control_model.") | {"control_model.zero_convs.0.0.weight": [320, 320, 1, 1]},
        layout="ldm",
    )

for _family, _text in (("sd1", CLIP_L), ("sd2", CLIP_H)):
    add(f"{_family} text encoder lora kohya", "lora", _family, kohya(_text, "lora_te_"), layout="kohya")
add("sd2 ia3 of whole attention", "lora", None,
    ending(parts(diffusers_unet("sd2"), "attn", "proj_in", "proj_out"), "lora_unet_", {"weight": "o", "on_input": ""}),
    layout="lycoris")  # fmt: skip
add("sdxl text encoders lora kohya", "lora", "sdxl", kohya(CLIP_L, "lora_te1_") | kohya(CLIP_G, "lora_te2_"))
add("sdxl second text encoder lora", "lora", "sdxl", peft(CLIP_G, "text_encoder_2."))
add("clip-l lora, of sd1, sdxl, sd3 or flux1", "lora", None, peft(CLIP_L, "text_encoder."))
add("first encoder lora, of sdxl, sd3 or flux1", "lora", None, kohya(CLIP_L, "lora_te1_"))
_mid = parts(diffusers_unet("sdxl"), "mid_block")
add("sdxl lora mid block", "lora", "sdxl", kohya(_mid))
add("sdxl lora self-attention", "lora", "sdxl", kohya(parts(diffusers_unet("sdxl"), "attn1")))
add("sd1 lora mid block", "lora", "sd1", kohya(parts(diffusers_unet("sd1"), "mid_block")))
add("sdxl b-lora", "lora", "sdxl", peft(parts(diffusers_unet("sdxl"), "up_blocks.0.attentions.0"), "unet."))
add("sd1 controlnet beside its network", "controlnet", "sd1",
    whole(ldm_unet("sd1"), SD) | FIRST_STAGE | SD1_TEXT | whole(ldm_unet("sd1"), "control_model.") | {
        "control_model.zero_convs.0.0.weight": [320, 320, 1, 1]}, layout="ldm")  # fmt: skip
add("sd1 checkpoint as lightning nests it", "checkpoint", "sd1",
    under("state_dict.", whole(ldm_unet("sd1"), SD) | FIRST_STAGE | SD1_TEXT), layout="ldm")  # fmt: skip
add("sd1 novelai", "checkpoint", "sd1", whole(ldm_unet("sd1"), SD) | FIRST_STAGE | {
    "cond_stage_model.transformer.embeddings.position_ids": [1, 77],
    "cond_stage_model.transformer.encoder.layers.0.self_attn.q_proj.weight": [768, 768]})  # fmt: skip


def t2i(taken, under=""):
    """A T2I-Adapter of four stages that takes a picture in squares, so many numbers each."""
    widths = (320, 640, 1280, 1280)
    shapes = {f"{under}conv_in.weight": [320, taken, 3, 3]}
    for stage, (before, width) in enumerate(zip((320, *widths), widths, strict=False)):
        shapes |= {f"{under}body.{stage}.resnets.0.block1.weight": [width, width, 3, 3]}
        shapes |= {f"{under}body.{stage}.in_conv.weight": [width, before, 1, 1]} if before != width else {}
    return shapes


# the UNets of SD 1 and of SD 2 are as wide
add("t2i adapter", "controlnet", None, t2i(192, "adapter."), layout="t2i-adapter")
add("t2i adapter of grey pictures", "controlnet", None, t2i(64), layout="t2i-adapter")
add("t2i adapter of sdxl", "controlnet", "sdxl", t2i(768, "adapter."), layout="t2i-adapter")
add("t2i adapter of sdxl, several", "controlnet", "sdxl", t2i(256, "adapters.0.adapter."), layout="t2i-adapter")
add("lllite", "controlnet", "sdxl", {
    "lllite_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_q.down.0.weight": [32, 640],
    "lllite_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_q.conditioning1.0.weight": [16, 3, 4, 4],
    "lllite_unet_input_blocks_7_1_transformer_blocks_9_attn2_to_k.down.0.weight": [32, 2048]})  # fmt: skip
add("controlnet union", "controlnet", "sdxl", whole(diffusers_unet("sdxl")) | HINT | {
    "task_embedding": [8, 320], "transformer_layes.0.attn.in_proj_weight": [960, 320],
    "control_add_embedding.linear_1.weight": [1280, 2048], "spatial_ch_projs.weight": [320, 320]})  # fmt: skip

# Transformers
_flux = whole(flux() | TIME)
add("flux1 lone", "diffusion-model", "flux1", _flux, layout="ldm")
add("flux1 lone, prefixed", "diffusion-model", "flux1", under(SD, _flux), layout="ldm")
add("flux1 checkpoint", "checkpoint", "flux1", under(SD, _flux) | under("vae.", whole(VAE)) | {
    "vae.decoder.conv_in.weight": [512, 16, 3, 3]} | under("text_encoders.t5xxl.transformer.", T5))  # fmt: skip
_fused = ("_attn.qkv", "linear1")
_split: Modules = {f"double_blocks.{n}.{side}_attn.{part}_proj": (3072, 3072)
                   for n in range(19) for side in ("img", "txt") for part in "qkv"}  # fmt: skip
_split |= {f"single_blocks.{n}.v_mlp": (3072, 15360) for n in range(38)}
add("open-sora 2", "diffusion-model", None,
    whole({name: size for name, size in flux().items() if not name.endswith(_fused)} | TIME | _split) | {
        "txt_in.weight": [3072, 4096], "cond_in.weight": [3072, 68]})  # fmt: skip
add("step1x-edit", "diffusion-model", None, _flux | {"txt_in.weight": [3072, 4096],
    "connector.S.individual_token_refiner.blocks.0.self_attn_qkv.weight": [12288, 4096],
    "connector.S.t_embedder.mlp.0.weight": [4096, 256]})  # fmt: skip
add("flux1 fill", "diffusion-model", "flux1", _flux | {"img_in.weight": [3072, 384]}, variant="inpainting")
add("flux1 diffusers", "diffusion-model", "flux1", whole(flux_diffusers(norms=True)) | {
    "time_text_embed.timestep_embedder.linear_1.weight": [3072, 256], "x_embedder.weight": [3072, 64],
    "time_text_embed.text_embedder.linear_1.weight": [3072, 768]}, layout="diffusers")  # fmt: skip
add("flux1 lora kohya", "lora", "flux1", kohya(flux()))
add("flux1 lora kohya with encoders", "lora", "flux1", kohya(flux()) | kohya(CLIP_L, "lora_te1_"))
add("flux1 lora kohya, one block", "lora", "flux1", kohya(parts(flux(), "double_blocks.7.", "single_blocks.20.")))
add("flux1 lora ai-toolkit", "lora", "flux1", peft(flux_diffusers(norms=True), "transformer."))
add("flux1 lora diffusers", "lora", "flux1", peft(flux_diffusers(), "transformer."), layout="diffusers")
add("flux1 lora diffusers, attention", "lora", "flux1", peft(flux_diffusers(ff=False), "transformer."))
add("flux1 lora bare", "lora", "flux1", peft(flux_diffusers(ff=False)))
add("flux1 lora of a pruned one", "lora", "flux1", peft(flux_diffusers(8), "transformer."))
for _name, _blocks in (("bria 3.2", (8, 28)), ("longcat-image", (10, 20))):
    for _part in (True, False):
        add(f"{_name} lora{'' if _part else ', attention'}", "lora", None, peft(flux_diffusers(*_blocks, ff=_part)))
add("flux1 lora peft", "lora", "flux1", peft(flux_diffusers(), "base_model.model."), layout="peft")
add("flux1 lora comfy", "lora", "flux1", peft(flux(), "diffusion_model."))
add("flux1 lora comfy unmodulated", "lora", "flux1", peft(flux(modulation=False), "diffusion_model."))
add(
    "flux1 lora onetrainer",
    "lora",
    "flux1",
    kohya(flux_diffusers(norms=True), "lora_transformer_"),
    layout="onetrainer",
)
add("flux1 lora dotted", "lora", "flux1", dotted(flux_diffusers(), "transformer."))
add("flux1 loha", "lora", "flux1", loha(flux()), layout="lycoris")
add("flux1 lokr", "lora", "flux1", lokr(flux(), "lycoris_"), layout="lycoris")
add("flux1 lokr diffusers", "lora", "flux1", lokr(flux_diffusers(), "lycoris_"), layout="lycoris")
add("flux1 lora xlabs", "lora", "flux1", {
    f"double_blocks.{n}.processor.{part}_lora{side}.{half}.weight": shape for n in range(19)
    for side in (1, 2) for part, half, shape in (
        ("qkv", "down", [16, 3072]), ("qkv", "up", [9216, 16]),
        ("proj", "down", [16, 3072]), ("proj", "up", [3072, 16]))})  # fmt: skip
add("flux1 control lora", "lora", "flux1", peft(
    flux_diffusers(norms=True) | {"x_embedder": (128, 3072)}, "transformer.") | {
    "transformer.x_embedder.lora_A.weight": [128, 128]})  # fmt: skip
add("flux1 controlnet diffusers", "controlnet", "flux1", whole(flux_diffusers(5, 10, norms=True)) | {
    "controlnet_blocks.0.weight": [3072, 3072], "controlnet_x_embedder.weight": [3072, 64],
    "controlnet_mode_embedder.weight": [10, 3072]}, layout="diffusers")  # fmt: skip
add("flux1 controlnet xlabs", "controlnet", "flux1", whole(flux(2, 0) | TIME) | {
    "controlnet_blocks.0.weight": [3072, 3072], "input_hint_block.0.weight": [16, 3, 3, 3]})  # fmt: skip
add("flux2 lone", "diffusion-model", "flux2", whole(flux2()) | {
    "double_stream_modulation_img.lin.weight": [36864, 6144], "time_in.in_layer.weight": [6144, 256]})  # fmt: skip
add("flux2 klein lone", "diffusion-model", "flux2", whole(flux2(3072, 5, 20)) | {
    "double_stream_modulation_img.lin.weight": [18432, 3072], "time_in.in_layer.weight": [3072, 256]})  # fmt: skip
for _name, _width, _double, _single in (("dev", 6144, 8, 48), ("klein 9b", 4096, 8, 24), ("klein 4b", 3072, 5, 20)):
    _modules = flux2(_width, _double, _single)
    add(f"flux2 {_name} lora comfy", "lora", "flux2", peft(_modules, "diffusion_model."))
    add(f"flux2 {_name} lora kohya", "lora", "flux2", kohya(_modules))
    add(f"flux2 {_name} lokr", "lora", "flux2", lokr(_modules))
for _name, _width, _blocks in (("medium", 1536, 24), ("large", 2432, 38)):
    add(
        f"sd3 {_name}",
        "diffusion-model",
        "sd3",
        whole(joint(_width, _blocks) | {"t_embedder.mlp.0": (256, _width)}, SD),
    )
    add(
        f"sd3 {_name} checkpoint",
        "checkpoint",
        "sd3",
        whole(joint(_width, _blocks), SD) | FIRST_STAGE | under("text_encoders.t5xxl.transformer.", T5),
    )
    add(f"sd3 {_name} diffusers", "diffusion-model", "sd3", whole(joint_diffusers(_width, _blocks)) | {
        "time_text_embed.timestep_embedder.linear_1.weight": [_width, 256],
        "pos_embed.proj.weight": [_width, 16, 2, 2]})  # fmt: skip
    add(f"sd3 {_name} lora kohya", "lora", "sd3", kohya(joint(_width, _blocks)))
    add(f"sd3 {_name} lora kohya diffusers", "lora", "sd3", kohya(joint_diffusers(_width, _blocks)))
    add(f"sd3 {_name} lora diffusers", "lora", "sd3", peft(joint_diffusers(_width, _blocks), "transformer."))
    add(f"sd3 {_name} lora onetrainer", "lora", "sd3", kohya(joint_diffusers(_width, _blocks), "lora_transformer_"))
    add(f"sd3 {_name} lokr", "lora", "sd3", lokr(joint_diffusers(_width, _blocks), "lycoris_"))
    add(f"sd3 {_name} controlnet", "controlnet", "sd3", whole(joint_diffusers(_width, 6)) | {
        "controlnet_blocks.0.weight": [_width, _width], "pos_embed_input.proj.weight": [_width, 17, 2, 2]})  # fmt: skip
_qwen_time: Shapes = {"time_text_embed.timestep_embedder.linear_1.weight": [3072, 256], "img_in.weight": [3072, 64]}
add("qwen-image lone", "diffusion-model", "qwen-image", whole(qwen()) | _qwen_time)
add("qwen-image lone prefixed", "diffusion-model", "qwen-image", under(SD, whole(qwen()) | _qwen_time))
for _name, _ff in (("", True), (" attention", False)):
    add(f"qwen-image lora kohya{_name}", "lora", "qwen-image", kohya(qwen(feed_forward=_ff)))
    add(f"qwen-image lora diffusers{_name}", "lora", "qwen-image", peft(qwen(feed_forward=_ff), "transformer."))
    add(f"qwen-image lora comfy{_name}", "lora", "qwen-image", peft(qwen(feed_forward=_ff), "diffusion_model."))
    add(f"qwen-image lora bare{_name}", "lora", "qwen-image", peft(qwen(feed_forward=_ff)))
    add(f"qwen-image lokr{_name}", "lora", "qwen-image", lokr(qwen(feed_forward=_ff), "lycoris_"))
    add(f"qwen-image lora onetrainer{_name}", "lora", "qwen-image", kohya(qwen(feed_forward=_ff), "lora_transformer_"))
add("z-image lone", "diffusion-model", "z-image", whole(z_image() | {"t_embedder.mlp.0": (256, 1024)}))
add(
    "z-image lone diffusers",
    "diffusion-model",
    "z-image",
    whole(z_image(fused=False) | {"t_embedder.mlp.0": (256, 1024)}),
)
for _name, _fused in (("", True), (" parted", False)):
    add(f"z-image lora comfy{_name}", "lora", "z-image", peft(z_image(fused=_fused), "diffusion_model."))
    add(f"z-image lora kohya{_name}", "lora", "z-image", kohya(z_image(fused=_fused)))
    add(f"z-image lora diffusers{_name}", "lora", "z-image", peft(z_image(fused=_fused), "transformer."))
    add(f"z-image lokr{_name}", "lora", "z-image", lokr(z_image(fused=_fused), "lycoris_"))
    add(f"z-image lora onetrainer{_name}", "lora", "z-image", kohya(z_image(fused=_fused), "lora_transformer_"))
add("z-image lora feed-forward", "lora", "z-image", peft(parts(z_image(), "feed_forward.w2"), "diffusion_model."))
for _width, _blocks in ((5120, 40), (1536, 30), (3072, 30)):
    add(
        f"wan {_width} lone",
        "diffusion-model",
        "wan",
        whole(wan(_width, _blocks) | {"time_embedding.0": (256, _width)}),
    )
    add(f"wan {_width} lora comfy", "lora", "wan", peft(wan(_width, _blocks), "diffusion_model."))
    add(f"wan {_width} lora musubi", "lora", "wan", kohya(wan(_width, _blocks)))
    add(f"wan {_width} lora diffusers", "lora", "wan", peft(wan_diffusers(_width, _blocks), "transformer."))
    add(f"wan {_width} lora bare", "lora", "wan", peft(wan(_width, _blocks)))
    add(
        f"wan {_width} lora attention",
        "lora",
        "wan",
        peft(parts(wan_diffusers(_width, _blocks), "attn"), "transformer."),
    )
    add(f"wan {_width} lora feed-forward", "lora", "wan", peft(parts(wan(_width, _blocks), "ffn"), "diffusion_model."))
    add(f"wan {_width} lokr", "lora", "wan", lokr(wan(_width, _blocks), "lycoris_"))
add("hunyuan lora musubi", "lora", "hunyuan-video", kohya(hunyuan()))
add("hunyuan lora comfy", "lora", "hunyuan-video", peft(hunyuan(), "diffusion_model."))
add("hunyuan lora transformer", "lora", "hunyuan-video", dotted(hunyuan(), "transformer."))
for _width, _blocks in ((2048, 28), (4096, 48)):
    add(f"ltx {_width} lone", "diffusion-model", "ltx", whole(
        ltx(_width, _blocks) | {"patchify_proj": (128, _width),
                               "adaln_single.linear": (_width, 6 * _width)}, SD))  # fmt: skip
    add(f"ltx {_width} lora comfy", "lora", "ltx", peft(ltx(_width, _blocks), "diffusion_model."))
    add(f"ltx {_width} lora diffusers", "lora", "ltx", peft(ltx(_width, _blocks), "transformer."))
    add(f"ltx {_width} lora bare", "lora", "ltx", peft(ltx(_width, _blocks)))
    add(f"ltx {_width} lora kohya", "lora", "ltx", kohya(ltx(_width, _blocks)))
    add(f"ltx {_width} lokr", "lora", "ltx", lokr(ltx(_width, _blocks), "lycoris_"))
add("krea2 lone", "diffusion-model", "krea2", whole(krea2() | {"tmlp.0": (256, 6144), "first": (64, 6144)}))
for _name, _diffusers in (("", False), (" diffusers", True)):
    add(f"krea2 lora comfy{_name}", "lora", "krea2", peft(krea2(diffusers=_diffusers), "diffusion_model."))
    add(f"krea2 lora kohya{_name}", "lora", "krea2", kohya(krea2(diffusers=_diffusers)))
    add(f"krea2 lora attention{_name}", "lora", "krea2",
        peft(parts(krea2(diffusers=_diffusers), "attn.wq", "attn.wk", "attn.to_q", "attn.to_k", "attn.to_v", "to_out"),
             "transformer."))  # fmt: skip

# What is shared or stands alone
for _name, _text in (("clip-l", CLIP_L), ("clip-h", CLIP_H), ("clip-g", CLIP_G)):
    add(f"{_name} alone", "text-encoder", None, whole(_text))
    add(f"{_name} in its pipeline", "text-encoder", None, whole(_text, "text_encoder."))
add("openclip-g alone", "text-encoder", None, OPENCLIP)
add("t5", "text-encoder", None, T5)
add("t5 gguf-like", "text-encoder", None, {name.removeprefix("encoder."): shape for name, shape in T5.items()})
add("language model", "text-encoder", None, {"model.embed_tokens.weight": [151936, 2560],
    "model.layers.0.self_attn.q_proj.weight": [4096, 2560]})  # fmt: skip
add("vision language model", "text-encoder", None, {"model.embed_tokens.weight": [152064, 3584],
    "model.layers.0.self_attn.q_proj.weight": [3584, 3584],
    "visual.blocks.0.attn.qkv.weight": [3840, 1280]})  # fmt: skip
add("clip vision", "image-encoder", None, VISION)
add("siglip", "image-encoder", None, {"vision_model.head.probe": [1, 1, 1152], **VISION})
add("whole clip", "text-encoder", None, whole(CLIP_L) | VISION | {"logit_scale": []})
add("openclip vision", "image-encoder", None, {"visual.conv1.weight": [1280, 3, 14, 14],
    "visual.transformer.resblocks.0.attn.in_proj_weight": [3840, 1280]})  # fmt: skip
add("dinov2", "image-encoder", None, {"embeddings.patch_embeddings.projection.weight": [1024, 3, 14, 14],
    "encoder.layer.0.attention.attention.query.weight": [1024, 1024],
    "embeddings.cls_token": [1, 1, 1024]})  # fmt: skip
add("vae ldm", "vae", None, whole(VAE), layout="ldm")
add("vae in a checkpoint's place", "vae", None, FIRST_STAGE, layout="ldm")
add("vae diffusers", "vae", None, whole(VAE_DIFFUSERS), layout="diffusers")
add("vae of 16 channels", "vae", None, whole(VAE) | {"decoder.conv_in.weight": [512, 16, 3, 3]})
add("taesd", "vae", None, {"decoder.layers.0.weight": [64, 4, 3, 3], "decoder.layers.2.conv.0.weight": [64, 64, 3, 3],
    "encoder.layers.0.weight": [64, 3, 3, 3]})  # fmt: skip
add("taesd decoder", "vae", None, {"1.weight": [64, 4, 3, 3], "3.conv.0.weight": [64, 64, 3, 3],
    "4.conv.0.weight": [64, 64, 3, 3]})  # fmt: skip
for _width, _family, _encoder in ((768, "sd1", 1024), (1024, "sd2", 1024), (2048, "sdxl", 1280)):
    _ip: Shapes = {f"ip_adapter.{n}.to_{p}_ip.weight": [640, _width] for n in (1, 3, 5) for p in "kv"}
    add(f"{_family} ip-adapter", "ip-adapter", _family, _ip | {"image_proj.proj.weight": [4 * _width, _encoder]})
    add(f"{_family} ip-adapter plus", "ip-adapter", _family, _ip | {"image_proj.latents": [1, 16, 1280],
        "image_proj.layers.0.0.to_out.weight": [1280, 1280],
        "image_proj.proj_in.weight": [1280, 1280]})  # fmt: skip
    add(f"{_family} ip-adapter faceid", "ip-adapter", _family, _ip | {"image_proj.proj.0.weight": [1024, 512],
        "ip_adapter.0.to_q_lora.down.weight": [128, 320], "ip_adapter.0.to_q_lora.up.weight": [320, 128]})  # fmt: skip
for _name, _vectors, _family in (
    ("sd1", {"emb_params": [8, 768]}, "sd1"), ("sd2", {"emb_params": [8, 1024]}, "sd2"),
    ("sdxl", {"clip_l": [8, 768], "clip_g": [8, 1280]}, "sdxl"), ("one token", {"<cat>": [1024]}, "sd2"),
    ("sd3", {"clip_l": [4, 768], "clip_g": [4, 1280], "t5": [4, 4096]}, "sd3"),
    ("sd3 t5xxl", {"clip_l": [4, 768], "clip_g": [4, 1280], "t5xxl": [4, 4096]}, "sd3"),
    ("flux1", {"clip_l": [4, 768], "t5": [4, 4096]}, "flux1"), ("of clip-l alone", {"clip_l": [4, 768]}, None),
):  # fmt: skip
    add(f"embedding {_name}", "embedding", _family, _vectors)
add("esrgan", "upscaler", None, {"model.0.weight": [64, 3, 3, 3], "model.1.sub.0.RDB1.conv1.0.weight": [32, 64, 3, 3]})
add("real-esrgan", "upscaler", None, {"conv_first.weight": [64, 3, 3, 3], "body.0.rdb1.conv1.weight": [32, 64, 3, 3],
    "conv_body.weight": [64, 64, 3, 3], "conv_last.weight": [3, 64, 3, 3]})  # fmt: skip
add("swinir", "upscaler", None, {"conv_first.weight": [180, 3, 3, 3],
    "layers.0.residual_group.blocks.0.attn.qkv.weight": [540, 180], "conv_last.weight": [3, 64, 3, 3]})  # fmt: skip
add("dat", "upscaler", None, {"conv_first.weight": [180, 3, 3, 3], "before_RG.1.weight": [180],
    "layers.0.blocks.0.attn.qkv.weight": [540, 180], "conv_after_body.weight": [180, 180, 3, 3]})  # fmt: skip
add("compact", "upscaler", None, {"body.0.weight": [64, 3, 3, 3], "body.0.bias": [64], "body.1.weight": [64],
    "body.2.weight": [64, 64, 3, 3],
    "body.34.weight": [48, 64, 3, 3]})  # fmt: skip
for _width in (4096, 6144):
    _double = {f"transformer_blocks.{n}.attn.{part}": (_width, _width) for n in range(8)
               for part in ("to_q", "to_k", "to_v", "add_q_proj", "add_k_proj")}  # fmt: skip
    _single = {f"single_transformer_blocks.{n}.attn.to_qkv_mlp_proj": (_width, 9 * _width) for n in range(24)}
    add(f"flux2 {_width} lora diffusers", "lora", "flux2", peft(_double | _single, "transformer."), layout="diffusers")
    add(f"flux2 {_width} lora double blocks", "lora", "flux2", peft(_double, "transformer."), layout="diffusers")
    add(f"flux2 {_width} lora kohya double blocks", "lora", "flux2", kohya(_double), layout="kohya")
add("umt5 as wan names it", "text-encoder", None, {"token_embedding.weight": [256384, 4096],
    "blocks.0.attn.q.weight": [4096, 4096], "blocks.0.pos_embedding.embedding.weight": [32, 64]})  # fmt: skip
add("chatglm", "text-encoder", None, {"embedding.word_embeddings.weight": [65024, 4096],
    "encoder.layers.0.self_attention.query_key_value.weight": [4608, 4096]})  # fmt: skip
add("qwen-image controlnet", "controlnet", "qwen-image", whole(parts(qwen(), "blocks.0.", "blocks.1.")) | {
    "controlnet_blocks.0.weight": [3072, 3072], "controlnet_x_embedder.weight": [3072, 64]})  # fmt: skip
add("z-image controlnet", "controlnet", "z-image", {"control_layers.0.attention.to_q.weight": [3840, 3840],
    "control_all_x_embedder.2-1.weight": [3840, 132]})  # fmt: skip
add("sd3 ip-adapter", "ip-adapter", "sd3", {f"ip_adapter.{n}.to_k_ip.weight": [2432, 1280] for n in range(38)})
add("language model lora", "lora", None, peft(
    {f"model.layers.{n}.self_attn.q_proj": (4096, 4096) for n in range(32)}, "base_model.model."))  # fmt: skip
add("segmenter", "unknown", None, {"image_encoder.patch_embed.proj.weight": [1280, 3, 16, 16],
    "mask_decoder.iou_token.weight": [1, 256]})  # fmt: skip
add("detector", "unknown", None, {"model.0.conv.weight": [16, 3, 3, 3]})

# Built much like others, and not them
_TEXTED: Modules = {"img_in": (64, 3072), "time_in.in_layer": (256, 3072)}
_SPOKEN: Modules = {"x_embedder": (64, 3072), "time_embed.timestep_embedder.linear_1": (256, 3072)}
add("longcat-image", "diffusion-model", None, whole(flux(10, 20) | _TEXTED | {"txt_in": (3584, 3072)}))
add("longcat-image diffusers", "diffusion-model", None,
    whole(flux_diffusers(10, 20, norms=True) | _SPOKEN | {"context_embedder": (3584, 3072)}))  # fmt: skip
add("ovis-image", "diffusion-model", None, whole(ovis() | _TEXTED | {"txt_in": (2048, 3072)}))
add("ovis-image diffusers", "diffusion-model", None,
    whole(ovis_diffusers() | _SPOKEN | {"context_embedder": (2048, 3072)}))  # fmt: skip
add("ovis-image lora", "lora", None, peft(ovis(), "diffusion_model."))
add("ovis-image lora single blocks", "lora", None, kohya(parts(ovis(), "single_blocks")))
add("ovis-image lora diffusers", "lora", None, peft(ovis_diffusers(), "transformer."))
add("fibo", "diffusion-model", None, whole(flux_diffusers(8, 38, norms=True) | _SPOKEN | {
    "context_embedder": (4096, 3072), "caption_projection.0.linear": (2048, 1536)}))  # fmt: skip
add("hunyuan-image", "diffusion-model", None, whole(hunyuan_image() | {"time_in.in_layer": (256, 3584),
    "txt_in.individual_token_refiner.blocks.0.self_attn.qkv": (3584, 10752)}))  # fmt: skip
add("hunyuan-image lora", "lora", None, kohya(hunyuan_image()))
add("hunyuan video 1.5", "diffusion-model", "hunyuan-video", {"time_in.in_layer.weight": [2048, 256],
    "double_blocks.0.img_attn.qkv.weight": [6144, 2048],
    "txt_in.individual_token_refiner.blocks.0.self_attn.qkv.weight": [6144, 2048]})  # fmt: skip
_COSMOS = twice(2048, 28, 1024)
add("cosmos lone", "diffusion-model", "cosmos", whole(cosmos() | {"t_embedder.1.linear_1": (2048, 2048)}, "net."))
add("cosmos diffusers", "diffusion-model", "cosmos", whole(_COSMOS | {"time_embed.t_embedder.linear_1": (2048, 2048)}))
add("cosmos lora diffusers", "lora", "cosmos", peft(parts(_COSMOS, "attn"), "transformer."))
add("cosmos lora kohya", "lora", "cosmos", kohya(cosmos()))
add("cosmos lora of values", "lora", "cosmos", peft(parts(cosmos(), "v_proj", "output_proj"), "diffusion_model."))
add("cogview4", "diffusion-model", None,
    whole(once(4096, 28) | {"time_condition_embed.timestep_embedder.linear_1": (512, 4096)}))  # fmt: skip
add("cogview4 lora", "lora", None, peft(parts(once(4096, 28), "attn"), "transformer."))
add("cogvideox lora", "lora", None, peft(parts(once(3072, 42), "attn"), "transformer."))
_ADALN: Modules = {"adaln_single.emb.timestep_embedder.linear_1": (256, 1152)}
add("pixart diffusers", "diffusion-model", "pixart", whole(twice(1152, 28) | _ADALN))
add("pixart lora", "lora", "pixart", peft(twice(1152, 28), "transformer."))
add("pixart or small sana lora", "lora", None, peft(twice(1152, 28, ff=False), "transformer."))
add("pixart or sana lora of few blocks", "lora", None, peft(twice(1152, 20, ff=False), "transformer."))
for _width, _blocks in ((1152, 28), (2240, 20)):
    _inverted: Modules = {
        f"transformer_blocks.{n}.ff.conv_inverted": (_width, 5 * _width, 1, 1) for n in range(_blocks)
    }
    add(f"sana {_width} diffusers", "diffusion-model", "sana", whole(twice(_width, _blocks, ff=False) | _inverted | {
        "time_embed.emb.timestep_embedder.linear_1": (256, _width)}))  # fmt: skip
    add(f"sana {_width} lone", "diffusion-model", "sana", whole({"t_embedder.mlp.0": (256, _width)} | {
        f"blocks.{n}.{part}": size for n in range(_blocks) for part, size in (
            ("cross_attn.kv_linear", (_width, 2 * _width)),
            ("mlp.inverted_conv.conv", (_width, 5 * _width, 1, 1)))}))  # fmt: skip
add("sana lora", "lora", "sana", peft(twice(2240, 20, ff=False), "transformer."))
add("auraflow diffusers", "diffusion-model", "auraflow", whole(auraflow() | {"time_step_proj.linear_1": (256, 3072)}))
add("auraflow lora", "lora", "auraflow", peft(auraflow(), "transformer."))
_single = {name: size for name, size in auraflow().items() if name.startswith("single") and "attn" in name}
add("auraflow or flux1 lora of single blocks", "lora", None, peft(_single, "transformer."))
_double = {name: size for name, size in flux_diffusers(ff=False).items() if name.startswith("transformer")}
add("flux1 or qwen-image lora of double blocks", "lora", None, peft(_double))
add("lumina2 diffusers", "diffusion-model", "lumina2",
    whole(lumina2() | {"time_caption_embed.timestep_embedder.linear_1": (256, 1024)}))  # fmt: skip
add("lumina2 lora", "lora", "lumina2", peft(lumina2(), "transformer."))
add("omnigen2", "diffusion-model", None, whole({f"layers.{n}.attn.to_q": (2520, 2520) for n in range(32)} | {
    "time_caption_embed.timestep_embedder.linear_1": (256, 1024)}))  # fmt: skip
add("kandinsky 5", "diffusion-model", None, whole({"time_embeddings.in_layer": (1792, 7168)} | {
    f"visual_transformer_blocks.{n}.self_attention.to_query": (1792, 1792) for n in range(32)}))  # fmt: skip
for _name, _width, _double_, _single_ in (("dev", 6144, 8, 48), ("klein 4b", 3072, 5, 20)):
    add(f"flux2 {_name} diffusers", "diffusion-model", "flux2", whole(flux2_diffusers(_width, _double_, _single_)) | {
        "time_guidance_embed.timestep_embedder.linear_1.weight": [_width, 256],
        "double_stream_modulation_img.linear.weight": [6 * _width, _width]})  # fmt: skip
add("stable cascade stage c", "diffusion-model", "stable-cascade", {"clf.1.weight": [16, 2048, 1, 1],
    "clip_txt_mapper.weight": [2048, 1280], "down_blocks.0.0.channelwise.0.weight": [8192, 2048]})  # fmt: skip
add("stable cascade stage b", "diffusion-model", "stable-cascade", {"clf.1.weight": [16, 320, 1, 1],
    "effnet_mapper.0.weight": [1280, 16, 1, 1], "down_blocks.1.0.channelwise.0.weight": [2560, 640]})  # fmt: skip
add("ella", "unknown", None, {"connector.latents": [64, 768], "connector.proj_in.weight": [768, 2048],
    "time_embedding.linear_1.weight": [768, 320]})  # fmt: skip

# Text encoders beside what tells more
_TEXTS = kohya(CLIP_L, "lora_te1_") | kohya(CLIP_G, "lora_te2_")
_T5: Modules = {f"encoder.block.{n}.layer.0.SelfAttention.{part}": (4096, 4096) for n in range(24) for part in "qkvo"}
_HIDREAM: Modules = {f"double_stream_blocks.{n}.block.attn1.to_q": (2560, 2560) for n in range(16)}
add("sd3 lora kohya with encoders", "lora", "sd3", kohya(joint(1536, 24)) | _TEXTS)
_MEDIUM = joint_diffusers(1536, 24) | {
    f"transformer_blocks.{n}.attn2.{part}": (1536, 1536)
    for n in range(13)
    for part in ("to_q", "to_k", "to_v", "to_out.0")
}
add("sd3.5 medium diffusers", "diffusion-model", "sd3", whole(_MEDIUM) | {
    "time_text_embed.timestep_embedder.linear_1.weight": [1536, 256],
    "pos_embed.proj.weight": [1536, 16, 2, 2]})  # fmt: skip
add("sd3.5 medium lora diffusers", "lora", "sd3", peft(_MEDIUM, "transformer."))
add("sd3.5 medium lora kohya", "lora", "sd3", kohya(_MEDIUM, "lora_transformer_"))
add("sd3 lora onetrainer with encoders", "lora", "sd3", kohya(joint_diffusers(1536, 24), "lora_transformer_") | _TEXTS)
add("sd3 lora diffusers with encoders", "lora", "sd3",
    peft(joint_diffusers(1536, 24), "transformer.") | peft(CLIP_G, "text_encoder_2."))  # fmt: skip
add("sd3 text encoders lora", "lora", "sd3", _TEXTS | kohya(_T5, "lora_te3_"))
add("flux1 text encoders lora", "lora", None, kohya(CLIP_L, "lora_te1_") | kohya(_T5, "lora_te3_"))
add("hidream lora with encoders", "lora", "hidream", kohya(_HIDREAM, "lora_transformer_") | _TEXTS)
add("embedding hidream", "embedding", "hidream",
    {"clip_l": [2, 768], "clip_g": [2, 1280], "t5": [2, 4096], "llama": [2, 4096]})  # fmt: skip
add("embedding hunyuan-video", "embedding", "hunyuan-video", {"llama": [2, 4096], "clip_l": [2, 768]})
add("embedding hunyuan-video of outputs", "embedding", "hunyuan-video",
    {"llama_out": [2, 4096], "clip_l_out": [2, 768]})  # fmt: skip
add("embedding of llama alone", "embedding", None, {"llama": [2, 4096]})
add("embedding of outputs of clip-l alone", "embedding", None, {"clip_l_out": [2, 768]})
add("embedding of gemma", "embedding", None, {"gemma": [2, 2304]})
add("embedding of a language model", "embedding", None, {"qwen": [4, 3584]})
add("cached prompt", "unknown", None, {"varlen_t5_bf16": [212, 4096]})
add("statistics", "unknown", None, {"mean": [1, 768], "std": [1, 768]})

# Packed weights, and rarer ways to write a change
_norms: Shapes = {f"layers.{n}.attention_norm1.weight": [3840] for n in range(30)}
add("z-image nf4", "diffusion-model", "z-image",
    nf4(z_image(fused=False)) | _norms | {"t_embedder.mlp.0.weight": [1024, 256]})  # fmt: skip
add("sd3 nf4", "diffusion-model", "sd3", nf4(joint_diffusers(1536, 24)) | {
    "time_text_embed.timestep_embedder.linear_1.weight": [1536, 256]})  # fmt: skip
add("pixart nf4", "diffusion-model", "pixart", nf4(twice(1152, 28) | _ADALN))
add("ltx nf4", "diffusion-model", "ltx", nf4(ltx()) | {"time_embed.emb.timestep_embedder.linear_1.weight": [2048, 256]})
add("flux1 nunchaku", "diffusion-model", "flux1", svdquant(
    {f"transformer_blocks.{n}.qkv_proj": (3072, 9216) for n in range(19)}
    | {f"single_transformer_blocks.{n}.{part}": (3072, 9216) for n in range(38) for part in ("qkv_proj", "norm.linear")}
    ) | {"x_embedder.weight": [3072, 64], "context_embedder.weight": [3072, 4096],
         "time_text_embed.timestep_embedder.linear_1.weight": [3072, 256],
         "time_text_embed.text_embedder.linear_1.weight": [3072, 768]})  # fmt: skip
add("z-image nunchaku", "diffusion-model", "z-image", svdquant(
    {f"layers.{n}.attention.to_qkv": (3840, 11520) for n in range(30)}) | _norms | {
    "t_embedder.mlp.0.weight": [1024, 256]})  # fmt: skip
for _family, _modules, _prefix in (
    ("flux1", flux_diffusers(norms=True), "transformer."), ("qwen-image", qwen(feed_forward=False), "transformer."),
    ("z-image", z_image(fused=False), "diffusion_model."), ("wan", wan(), "diffusion_model."),
):  # fmt: skip
    _named = {name.replace(".weight", ".first_0.weight"): shape for name, shape in peft(_modules, _prefix).items()}
    add(f"{_family} lora named adapter", "lora", _family, _named)
    add(f"{_family} lora wrapped", "lora", _family, peft(_modules, "model."))
    add(f"{_family} oft of peft", "lora", _family, oft(_modules, _prefix))
    add(f"{_family} whole differences", "lora", _family, differences(_modules))
for _family in ("sd1", "sdxl"):
    add(
        f"{_family} oft of peft", "lora", _family, oft(parts(diffusers_unet(_family), "attn"), "base_model.model.unet.")
    )
    add(f"{_family} whole differences", "lora", _family, differences(ldm_unet(_family)))
add("sdxl oft of kohya", "lora", "sdxl", {
    f"oft_unet_{name.replace('.', '_')}.oft_blocks": [4, given // 4, given // 4]
    for name, (_, given, *_) in parts(ldm_unet("sdxl"), "attn").items()})  # fmt: skip
add("z-image lora of gates", "lora", "z-image", peft(
    {f"layers.{n}.feed_forward.w3": (3840, 10240) for n in range(30)}, "diffusion_model."))  # fmt: skip
add("easycontrol", "lora", None, {f"transformer_blocks.{n}.attn.processor.q_loras.0.{half}.weight": shape
    for n in range(19) for half, shape in (("down", [128, 3072]), ("up", [3072, 128]))})  # fmt: skip

# What steers, what enlarges, what is tiny
add("kolors ip-adapter plus", "ip-adapter", "kolors", {
    "ip_adapter.1.to_k_ip.weight": [640, 2048], "image_proj.latents": [1, 16, 2048],
    "image_proj.layers.0.0.to_out.weight": [2048, 768], "image_proj.proj_in.weight": [2048, 1024]})  # fmt: skip
add("kolors ip-adapter of faces", "ip-adapter", "kolors", {
    "ip_adapter.1.to_k_ip.weight": [640, 2048],
    "image_proj.perceiver_resampler.layers.0.0.to_out.weight": [4096, 4096],
    "image_proj.proj.0.weight": [1024, 512]})  # fmt: skip
add("sdxl ip-adapter of faces", "ip-adapter", "sdxl", {
    "ip_adapter.1.to_k_ip.weight": [640, 2048],
    "image_proj.perceiver_resampler.layers.0.0.to_out.weight": [2048, 2048],
    "image_proj.proj.0.weight": [1024, 512]})  # fmt: skip
add("sd1 control-lora", "controlnet", "sd1", {"lora_controlnet": [0], "input_hint_block.0.weight": [16, 3, 3, 3]} | {
    f"{name}.{half}": shape for name, (taken, given, *kernel) in parts(ldm_unet("sd1"), "attn").items()
    for half, shape in (("down", [64, taken]), ("up", [given, 64]))})  # fmt: skip
add("qwen-image fun controlnet", "controlnet", "qwen-image", {"control_img_in.weight": [3072, 132],
    "control_blocks.0.img_mlp.net.0.proj.weight": [12288, 3072], "control_blocks.0.after_proj.weight": [3072, 3072],
    "control_blocks.0.attn.add_q_proj.weight": [3072, 3072]})  # fmt: skip
add("flux2 fun controlnet", "controlnet", "flux2", {"control_img_in.weight": [6144, 260],
    "control_transformer_blocks.0.attn.to_q.weight": [6144, 6144],
    "control_transformer_blocks.0.ff_context.linear_in.weight": [36864, 6144]})  # fmt: skip
add("wan vace module", "controlnet", "wan", {"vace_blocks.0.self_attn.q.weight": [5120, 5120],
    "vace_patch_embedding.weight": [5120, 96, 1, 2, 2]})  # fmt: skip
add("wan vace", "diffusion-model", "wan", whole(wan() | {"time_embedding.0": (256, 5120)}) | {
    "vace_blocks.0.self_attn.q.weight": [5120, 5120], "vace_patch_embedding.weight": [5120, 96, 1, 2, 2]})  # fmt: skip
add("brushnet", "controlnet", "sd1", whole(diffusers_unet("sd1")) | {
    "conv_in_condition.weight": [320, 9, 3, 3], "brushnet_down_blocks.0.weight": [320, 320, 1, 1]})  # fmt: skip
add("realplksr", "upscaler", None, {"feats.0.weight": [64, 3, 3, 3], "feats.1.lk.conv.weight": [16, 16, 17, 17],
    "feats.1.channel_mixer.0.weight": [128, 64, 3, 3], "feats.30.weight": [48, 64, 3, 3]})  # fmt: skip
add("span", "upscaler", None, {"conv_1.sk.weight": [48, 3, 1, 1], "block_1.c1_r.sk.weight": [48, 48, 1, 1],
    "conv_cat.weight": [48, 192, 1, 1], "upsampler.0.weight": [48, 48, 3, 3]})  # fmt: skip
add("omnisr", "upscaler", None, {"input.weight": [64, 3, 3, 3], "up.0.weight": [48, 64, 3, 3],
    "residual_layer.0.residual_layer.0.layer.0.fn.0.weight": [64, 64, 1, 1]})  # fmt: skip
add("real-cugan", "upscaler", None, {"unet1.conv1.conv.0.weight": [32, 3, 3, 3],
    "unet1.conv_bottom.weight": [3, 64, 4, 4], "unet2.conv1.conv.0.weight": [32, 3, 3, 3]})  # fmt: skip
add("compact, as it was trained", "upscaler", None, under("params_ema.", CASES["compact"].shapes))
add("tiny video vae", "vae", None, {"decoder.1.weight": [256, 16, 3, 3], "decoder.3.conv.0.weight": [256, 512, 3, 3],
    "encoder.0.weight": [64, 3, 3, 3], "encoder.4.conv.0.weight": [64, 128, 3, 3]})  # fmt: skip
add("taesd, both halves", "vae", None, {"taesd_decoder.1.weight": [64, 4, 3, 3], "vae_scale": [],
    "taesd_decoder.3.conv.0.weight": [64, 64, 3, 3], "taesd_encoder.0.weight": [64, 3, 3, 3]})  # fmt: skip
