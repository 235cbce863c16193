"""Stable Diffusion XL: a UNet that attends to CLIP-L and OpenCLIP-G side by side, 2048 features.

Source: Stability-AI/generative-models. Pony, Illustrious and NoobAI are lineages of it.
"""

from __future__ import annotations

from assetctl.identify.features import Distilled, Driven, Family, Sign, TextEncoder, unet_variant
from assetctl.identify.signs import (
    ADAPTER,
    CONDITION,
    CONTEXT,
    DEPTH,
    ENCODERS,
    FIRST_ATTENTION,
    HEADS,
    INNER,
    LATENT,
    NO,
    SECOND,
    SQUARES,
    T5,
    UNET,
    UNET_STACKS,
    VECTORS,
    VOLUMETRIC,
    YES,
    given,
)

#: The distillation by its name, and no hyperrealism.
_HYPER = r"hyper(?=sd|[^a-z]|\Z)(?![-_ ]real)"

#: Lightning and Hyper were distilled for even steps from the last one of training, and no new noise between them.
_EVEN = {"cfg_scale": 1.0, "sampler": "Euler", "scheduler": "SGM Uniform"}

_KOLORS = ("^encoder_hid_proj.",)
#: Of Kolors these are 2048 and 4096 wide.
_RESAMPLER = given("image_proj.layers.0.0.to_out")
_FACES = given("image_proj.perceiver_resampler.layers.0.0.to_out")
_WIDE = {CONTEXT: (2048,), INNER: HEADS, CONDITION: (None, 2816)}
_SILENT = {UNET: YES, CONTEXT: (None,), CONDITION: (None,)}

_SIGNS = (
    Sign("certain", "its cross-attention takes text of width 2048", ("checkpoint", "diffusion-model", "controlnet"),
         lacks=_KOLORS, measures=_WIDE),
    Sign("certain", "its image keys take text of width 2048", ("ip-adapter",),
         measures=_WIDE | {_RESAMPLER: (None, 1280), _FACES: (None, 2048)}),
    Sign("certain", "its time embedding takes sizes and pooled text, 2816 together", lacks=_KOLORS,
         measures={CONTEXT: (2048, None), CONDITION: (2816,)}),
    Sign("certain", "its cross-attention takes text of width 2048, beside changes to CLIP", ("lora",),
         lacks=(*_KOLORS, "^lora_te_text_model."), measures=_WIDE | {ENCODERS: YES}),
    Sign("likely", "its cross-attention takes text of width 2048", ("lora",), lacks=_KOLORS, measures=_WIDE),
    Sign("certain", "its second text encoder has width 1280, beside a UNet", ("lora",),
         measures={UNET: YES, CONTEXT: (None,), FIRST_ATTENTION: (None, False), SECOND: (1280,), T5: (None,)}),
    Sign("likely", "its second text encoder has width 1280", ("lora",),
         measures={UNET: NO, SECOND: (1280,), T5: (None,)}),
    Sign("likely", "its attention modules hold up to ten transformer blocks", lacks=_KOLORS,
         measures=_SILENT | {DEPTH: range(4, 10), FIRST_ATTENTION: NO}),
    Sign("possible", "its first level does not attend, and others hold more than one transformer block", lacks=_KOLORS,
         measures=_SILENT | {DEPTH: range(1, 4), FIRST_ATTENTION: NO}),
    Sign("certain", "its vectors have widths 768 and 1280", ("embedding",), measures={VECTORS: ({768, 1280},)}),
    Sign("likely", "its vectors have width 1280", ("embedding",), measures={VECTORS: ({1280},)}),
    Sign("likely", "it steers by pictures in squares of 16", ("controlnet",),
         measures={ADAPTER: ("t2i-adapter",), SQUARES: (256, 768)}),
    Sign("possible", "its latents have 4 channels", ("vae",), measures={LATENT: (4,), VOLUMETRIC: NO}),
)  # fmt: skip


FAMILY = Family(
    "sdxl",
    signs=_SIGNS,
    stacks=UNET_STACKS,
    said=r"stable-diffusion-xl(?!.*refiner)|sd_?xl(?!.*refiner)|pony(?!.*v7)|illustrious|noob",
    lineages=(
        (r"noob", "NoobAI"),
        (r"illustrious|ilxl", "Illustrious"),
        (r"pony", "Pony"),
        (r"xl.*turbo|turbo.*xl", "SDXL Turbo"),
        (r"xl.*lightning|lightning.*xl", "SDXL Lightning"),
        (rf"xl.*{_HYPER}|{_HYPER}.*xl", "SDXL Hyper"),
        (r"xl.*(?<![a-z])lcm|lcm(?![a-z]).*xl", "SDXL 1.0 LCM"),
        (r"sd_?xl_base_v?1[._-]0[._]|sd_?xl_1\.0|stable-diffusion-xl-base-1\.0", "SDXL 1.0"),
        (r"sd_?xl_base_v?0[._-]9", "SDXL 0.9"),
    ),
    variant=unet_variant,
    contract=(
        "Text of width 2048 in the cross-attention of a network, or of a LoRA that changes CLIP as well, a "
        "condition of 2816, or a second text encoder of width 1280 beside a UNet: certain. A LoRA of cross-"
        "attention alone: likely, as Kolors has the same; more than four transformer blocks in one attention "
        "module, text encoders alone, without T5, or a T2I-Adapter that takes pictures in squares of 16: likely."
    ),
    latent_channels=4,
    text_width=768 + 1280,
    clip="chunks",
    lineage={
        **dict.fromkeys(("SDXL 0.9", "SDXL 1.0", "SDXL 1.0 LCM", "SDXL Turbo", "SDXL Lightning", "SDXL Hyper"), "SDXL"),
        **{name: name for name in ("Pony", "Illustrious", "NoobAI")},
    },
    descent={"NoobAI": ("Illustrious",)},  # it was trained from it
    distilled={
        "SDXL Turbo": Distilled(1, 8, 2, {"steps": 4, "cfg_scale": 1.0, "scheduler": "SGM Uniform"}),
        "SDXL Lightning": Distilled(2, 10, 2, {"steps": 6, **_EVEN}),
        "SDXL Hyper": Distilled(1, 12, 5, {"steps": 8, **_EVEN}),
        "SDXL 1.0 LCM": Distilled(2, 12, 2.5, {"steps": 8, "cfg_scale": 1.5, "sampler": "LCM"}),
    },
    driven=Driven(
        native_size=1024,
        text_encoders=(
            TextEncoder("text_encoder", "conditioner.embedders.0.transformer.text_model.", projects=True),
            TextEncoder("text_encoder_2", "conditioner.embedders.1.model.", open_clip=True, padding="!", projects=True),
        ),
        mistaken=(
            "cond_stage_model.transformer.text_model.embeddings.position_embedding.weight",
            "cond_stage_model.model.token_embedding.weight",
        ),
        obeys=("prompt_l", "negative_l", "sizes", "negative_sizes"),
    ),
)
