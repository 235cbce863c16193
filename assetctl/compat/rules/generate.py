"""What assetctl cannot make pictures with yet, however well it fits."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from assetctl.compat.check import Rule
from assetctl.errors import UnusableError
from assetctl.identify.plugins import driven_families, family_called

if TYPE_CHECKING:
    from collections.abc import Iterator

    from assetctl.compat.check import Context, OpenedCheckpoint
    from assetctl.identify.features import Family, TextEncoder
    from assetctl.types import Asset, Finding, Severity

RULE = Rule(
    "generate",
    "Where assetctl is to make the pictures: it can load the checkpoint, and does all that is asked of it.",
    {
        "error": "The family, the variant, a part or a weight that is missing or a configuration is none that can be "
        "generated with, or a setting asks for more than there is.",
        "warning": "What the headers show may not load, or not paint as it should, and cannot be told without trying.",
        "info": "assetctl makes no pictures with what is selected.",
    },
    generating=True,
    told_as=UnusableError,
)

#: Variants that start from a picture, which `generate` does not take yet.
NEEDS_PICTURE = ("inpainting", "pix2pix", "depth", "upscaler")


def check(context: Context) -> Iterator[Finding]:
    """Say all that stands against a picture; of ControlNets also where nobody asks for one."""
    severity: Severity = "error" if context.generating else "info"
    for controlnet in dict.fromkeys(context.selection.of("controlnet")):
        if controlnet.kind == "controlnet" and context.situation.purpose != "comfyui":
            message = f"{controlnet.name} is a ControlNet, which assetctl cannot generate with yet."
            yield RULE.finding(severity, message, "Leave it out of what you generate here.", controlnet)
    checkpoint = context.selection.checkpoint
    if not context.generating or checkpoint is None:
        return
    if checkpoint.kind == "diffusion-model":
        message = (
            f"{checkpoint.name} is a UNet or transformer alone, and `generate` needs its text encoders and VAE too."
        )
        hint = "Choose one that `assetctl list --kind checkpoint` shows; `assetctl check --for any` takes both."
        yield RULE.finding("error", message, hint, checkpoint)
    elif checkpoint.kind == "checkpoint":
        yield from _of_checkpoint(context, checkpoint)


def _of_checkpoint(context: Context, checkpoint: Asset) -> Iterator[Finding]:
    family = family_called(checkpoint.family)
    if family is None or family.driven is None:
        message = f"{checkpoint.name} is of family {checkpoint.family or 'unknown'}, "
        message += "which assetctl cannot generate with yet."
        yield RULE.finding("error", message, _other_families(context, checkpoint), checkpoint)
        return
    if checkpoint.variant in NEEDS_PICTURE:
        article = "an" if checkpoint.variant[0] in "aeiou" else "a"
        message = f"{checkpoint.name} is {article} {checkpoint.variant} model, and makes no picture from text alone."
        hint = "Choose a checkpoint without a variant: `assetctl list --kind checkpoint`."
        yield RULE.finding("error", message, hint, checkpoint)
    for asset, how, error in () if context.situation.loading is None else context.situation.loading(context):
        yield RULE.finding(how, error.message, error.hint, asset)
    yield from _clip_skip(context, checkpoint, family)


def _other_families(context: Context, checkpoint: Asset) -> str:
    """What can be generated with, and how a family that is wrong is set right, where the tensors leave that open."""
    driven = driven_families()
    hint = f"It drives {', '.join(driven)}"
    if context.set_by_hand(checkpoint, "family"):
        return f"{hint}; {context.to_set_family(checkpoint, driven[0])}"
    allowed = context.families_of(checkpoint)
    named = [name for name in driven if name in allowed]
    if checkpoint.format == "diffusers" or (allowed and not named):
        return f"{hint}; `assetctl check --for any` asks of fit alone."
    word = named[0] if len(named) == 1 else "FAMILY"
    return f"{hint}; `assetctl edit {checkpoint.typed} --family {word}` sets a wrong one right."


def _clip_skip(context: Context, checkpoint: Asset, family: Family) -> Iterator[Finding]:
    """See that there is a layer so far from the last."""
    skip = context.selection.settings.get("clip_skip") or 1
    if skip <= 1 or family.driven is None or not family.driven.clip_skip:
        return
    layers = None if context.opened is None else text_layers(context.opened, family.driven.text_encoders[0])
    if layers is not None and skip > layers:
        plural = "layer" if layers == 1 else "layers"
        message = f"--clip-skip {skip} asks for more than there is: the text encoder of {checkpoint.name} has "
        message += f"{layers} {plural}."
        yield RULE.finding("error", message, f"Choose 1 to {layers}.", checkpoint)


def text_layers(opened: OpenedCheckpoint, encoder: TextEncoder) -> int | None:
    """How many layers a text encoder has, by the names of its tensors."""
    inner = "transformer.resblocks." if encoder.open_clip else "encoder.layers."
    names = [header.names for header in opened.networks.get(encoder.part, ())]
    pattern = re.compile(r"\n(?:text_model\.)?encoder\.layers\.(\d{1,4})\.")
    if opened.header is not None:
        names = [opened.header.names]
        pattern = re.compile(rf"\n{re.escape(encoder.prefix + inner)}(\d{{1,4}})\.")
    numbers = [int(number) for text in names for number in pattern.findall(text)]
    return max(numbers) + 1 if numbers else None
