"""Stable Diffusion XL: a UNet that attends to CLIP-L and OpenCLIP-G side by side, 2048 features.

Source: Stability-AI/generative-models. Pony, Illustrious and NoobAI are lineages of it.
"""

from __future__ import annotations

from assetctl.identify.features import (
    Distilled,
    Driven,
    Family,
    Features,
    Match,
    TextEncoder,
    certain,
    likely,
    possible,
    read_by_kolors,
    unet_variant,
)

#: The distillation by its name, and no hyperrealism.
_HYPER = r"hyper(?=sd|[^a-z]|\Z)(?![-_ ]real)"


def _match(features: Features) -> Match | None:
    unet = features.unet
    if unet is not None and unet.context is not None:
        fits = unet.context == 2048 and not read_by_kolors(features)
        return certain(fits, "its cross-attention takes text of width 2048")
    if unet is not None and unet.condition is not None:
        return certain(unet.condition == 2816, "its time embedding takes sizes and pooled text, 2816 together")
    if features.encoders.get("second") is not None:
        fits = features.encoders["second"] == 1280 and "t5" not in features.encoders
        detail = "its second text encoder has width 1280"
        return certain(fits and unet is not None, f"{detail}, beside a UNet") or likely(fits, detail)
    if unet is not None and unet.depth is not None and not unet.first_attention:
        return certain(unet.depth > 3, "its attention modules hold up to ten transformer blocks") or possible(
            unet.depth > 0, "its first level does not attend, and others hold more than one transformer block"
        )
    widths = set(features.vectors.values())
    return (
        certain(widths == {768, 1280}, "its vectors have widths 768 and 1280")
        or likely(widths == {1280}, "its vectors have width 1280")
        or possible(features.latent == 4 and not features.volumetric, "its latents have 4 channels")
    )


FAMILY = Family(
    "sdxl",
    _match,
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
        "Text of width 2048, a condition of 2816, a second text encoder of width 1280 beside a UNet, or more than "
        "four transformer blocks in one attention module: certain. Text encoders alone, without T5: likely."
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
        "SDXL Turbo": Distilled(1, 8, 2, {"steps": 4, "cfg_scale": 1.0}),
        "SDXL Lightning": Distilled(2, 10, 2, {"steps": 6, "cfg_scale": 1.0}),
        "SDXL Hyper": Distilled(1, 12, 5, {"steps": 8, "cfg_scale": 1.0}),
        "SDXL 1.0 LCM": Distilled(2, 12, 2.5, {"steps": 8, "cfg_scale": 1.5, "sampler": "LCM"}),
    },
    driven=Driven(
        "StableDiffusionXLPipeline",
        "EulerDiscreteScheduler",
        native_size=1024,
        latent_scale=0.13025,
        text_encoders=(
            TextEncoder("text_encoder", "conditioner.embedders.0.transformer.text_model.", projects=True),
            TextEncoder("text_encoder_2", "conditioner.embedders.1.model.", open_clip=True, padding="!", projects=True),
        ),
        spacing="leading",
        size_conditioned=True,
        zeros_for_nothing=True,
    ),
)
