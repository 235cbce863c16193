"""What a kind makes of a header, and what a family says to it. A family never asks for a kind's own spelling."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from assetctl.identify.blocks import Blocks
    from assetctl.identify.outline import Outline

#: `certain`: no other family looks like this. `likely`: others could, but do not in practice.
#: `possible`: several families share it, so that only metadata can decide.
Strength = Literal["certain", "likely", "possible"]


@dataclass(frozen=True, slots=True)
class UNet:
    """Measures of a UNet, or of what changes or steers one. `None` is what the file does not show.

    Attributes:
        context: Width of the text states that its cross-attention takes.
        in_channels: Channels of its input: 4 of latents, and what an inpainting or depth model adds.
        condition: Width of the condition added to the time embedding (SDXL: 2816 with its sizes and pooled text).
        first_attention: Whether its first, widest level attends: SD 1 and 2 do, SDXL does not.
        depth: Highest number of a transformer block within one attention module.
        linear: Whether attention modules project by matrices (SD 2, SDXL) and not by 1x1 convolutions (SD 1).
    """

    context: int | None = None
    in_channels: int | None = None
    condition: int | None = None
    first_attention: bool | None = None
    depth: int | None = None
    linear: bool | None = None


@dataclass(frozen=True, slots=True)
class Features:
    """What a file holds, free of how its tensors are named.

    Attributes:
        kind: The kind that read it.
        layout: How its tensors are named.
        outline: Its module names.
        unet: Measures of the UNet, if it is about one.
        blocks: Measures of the transformer, if it is about one of double, single or joint blocks.
        encoders: For a LoRA that shows nothing more telling: widths of the text encoders that it changes, by name:
            `only`, `first`, `second`, `t5`.
        vectors: For an embedding: name of each tensor to its width.
        latent: For a VAE: channels of the latents.
        volumetric: For a VAE: whether it convolves over time too.
        model_class: Class of the network as a diffusers configuration names it.
        contains: What else is inside, for a person to read.
    """

    kind: str
    layout: str | None
    outline: Outline
    unet: UNet | None = None
    blocks: Blocks | None = None
    encoders: Mapping[str, int] = field(default_factory=dict)
    vectors: Mapping[str, int] = field(default_factory=dict)
    latent: int | None = None
    volumetric: bool = False
    model_class: str | None = None
    contains: tuple[str, ...] = ()

    @property
    def denoiser(self) -> bool:
        """Whether it is a denoising network, changes one or steers one: not a VAE, an encoder or an embedding."""
        return self.kind in {"checkpoint", "diffusion-model", "lora", "controlnet", "ip-adapter"}

    @property
    def transformer(self) -> bool:
        """Whether that denoising network is no UNet."""
        return self.unet is None and self.denoiser


@dataclass(frozen=True, slots=True)
class Match:
    """A family's claim to a file: how strong it is, and the observation."""

    strength: Strength
    detail: str


def certain(condition: object, detail: str) -> Match | None:
    """A match that no other family shares, if `condition` holds."""
    return Match("certain", detail) if condition else None


def likely(condition: object, detail: str) -> Match | None:
    """A match that others could share, if `condition` holds."""
    return Match("likely", detail) if condition else None


def possible(condition: object, detail: str) -> Match | None:
    """A match that others do share, if `condition` holds."""
    return Match("possible", detail) if condition else None


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of file. One file in `identify/kinds/` each, as `KIND`.

    Attributes:
        name: One of `assetctl.types.KINDS`.
        marks: What gives it away in an outline, in words, or `None`.
        read: Its features.
        over: Kinds whose marks it carries as well, and which it outranks: a checkpoint holds a VAE.
    """

    name: str
    marks: Callable[[Outline], str | None]
    read: Callable[[Outline], Features]
    over: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Family:
    """An architecture. One file in `identify/families/` each, as `FAMILY`.

    Attributes:
        name: As people call it, in lower case.
        match: Its claim to features, or `None`.
        said: Regular expression for how trainers' metadata name it, matched against lower-case text.
        classes: Network classes of diffusers configurations that are this family.
        prediction: What its networks predict, where all of them predict the same.
        lineages: Regular expression for the name of the model trained on, to its base model in Civitai's spelling.
        variant: What variant of the family the features show, or `None`.
        contract: What tensors must show for it to be certain or likely, in a line for people.
    """

    name: str
    match: Callable[[Features], Match | None]
    said: str | None = None
    classes: tuple[str, ...] = ()
    prediction: str | None = None
    lineages: tuple[tuple[str, str], ...] = ()
    variant: Callable[[Features], str | None] | None = None
    contract: str = ""
