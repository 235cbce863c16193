"""What a kind makes of a header, measures of networks included, and what a family says to it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from assetctl.tensors.adapters import DENOISERS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

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
        measured: Measures of it that families asked for, each taken once.
        seen: All that its modules tell of measures, likewise.
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
    measured: dict[Measure, object] = field(default_factory=dict, compare=False, repr=False)
    seen: dict[Measure, Collection[object]] = field(default_factory=dict, compare=False, repr=False)

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
    """A family's claim to a file: how strong it is, the observation, and the sign that it was, if it was one."""

    strength: Strength
    detail: str
    sign: Sign | None = field(default=None, compare=False, repr=False)


def certain(condition: object, detail: str) -> Match | None:
    """A match that no other family shares, if `condition` holds."""
    return Match("certain", detail) if condition else None


def likely(condition: object, detail: str) -> Match | None:
    """A match that others could share, if `condition` holds."""
    return Match("likely", detail) if condition else None


def possible(condition: object, detail: str) -> Match | None:
    """A match that others do share, if `condition` holds."""
    return Match("possible", detail) if condition else None


@dataclass(frozen=True, slots=True, eq=False)
class Measure:
    """Something that a header shows: a number, a word, yes or no, or nothing (`None`).

    Attributes:
        name: What it is, for a person.
        take: It, as the first module tells that shows it.
        every: Where one network has but one of it by its build: all that the modules of a file tell.
    """

    name: str
    take: Callable[[Features], object]
    every: Callable[[Features], Collection[object]] | None = None


#: Kinds of files that hold a network whole, so that what they lack tells as well.
WHOLE = ("checkpoint", "diffusion-model", "controlnet")
#: Denoising networks, what changes one and what steers one.
NETWORKS = (*WHOLE, "lora", "ip-adapter")


@dataclass(frozen=True, slots=True)
class Sign:
    """One way in which a family shows; all that it says must hold.

    Names are as the network's authors write them, and are found in every layout. One that begins with `^` is counted
    from the network's root; one that ends in a dot ends there; a block's number is any.

    Attributes:
        strength: How much it proves.
        detail: The observation, for a person.
        kinds: Kinds of files that it may be seen in.
        needs: Groups of names: one of each must be there.
        lacks: Names none of which may be there.
        measures: Measures, to the values that they may have.
    """

    strength: Strength
    detail: str
    kinds: tuple[str, ...] = NETWORKS
    needs: tuple[tuple[str, ...], ...] = ()
    lacks: tuple[str, ...] = ()
    measures: Mapping[Measure, Collection[Any]] = field(default_factory=dict)

    def named(self, features: Features) -> bool:
        """Whether a file has the names for it."""
        shows = features.outline.shows
        return all(map(shows, self.needs)) and not (self.lacks and shows(self.lacks))

    def measured(self, features: Features) -> bool:
        """Whether all that it measures is as it says."""
        seen = features.measured
        for measure, values in self.measures.items():
            value = seen[measure] if measure in seen else seen.setdefault(measure, measure.take(features))
            # a range would compare what is no number with each of its own in turn
            if (value is None and isinstance(values, range)) or value not in values:
                return False
        return True

    def partly_named(self, features: Features) -> bool:
        """Whether a part of a file has the names for it, whatever else there is.

        What a LoRA shows is enough without what it lacks; of a whole network, what it lacks is half of it.
        """
        return all(map(features.outline.shows, self.needs)) if "lora" in self.kinds else self.named(features)

    def partly_measured(self, features: Features) -> bool:
        """Whether a part of a file measures as it says."""
        measures = self.measures.items()
        return all(any(value in values for value in seen_of(measure, features)) for measure, values in measures)

    def holds(self, features: Features) -> bool:
        """Whether a file of one of its kinds shows it."""
        return self.named(features) and self.measured(features)


def claim(signs: tuple[Sign, ...], features: Features) -> Match | None:
    """The first of these signs that a file shows, of which it has the names."""
    for sign in signs:
        if sign.measured(features):
            return Match(sign.strength, sign.detail, sign)
    return None


def seen_of(measure: Measure, features: Features) -> Collection[object]:
    """All that a file's modules tell of a measure; what the first tells where a network may have several of it."""
    seen = features.seen.get(measure)
    if seen is None:
        every = () if measure.every is None else measure.every(features)
        seen = features.seen[measure] = every or (measure.take(features),)
    return seen


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of file. One file in `identify/kinds/` each, as `KIND`.

    Attributes:
        name: One of `assetctl.types.KINDS`.
        marks: What gives it away in an outline, in words, or `None`.
        read: Its features.
        over: Kinds whose marks it carries as well, and which it outranks: a checkpoint holds a VAE.
        rest: What of a file is none of it, or `None`: kinds that this alone has the marks of are not outranked.
    """

    name: str
    marks: Callable[[Outline], str | None]
    read: Callable[[Outline], Features]
    over: tuple[str, ...] = ()
    rest: Callable[[Outline], Outline | None] | None = None


@dataclass(frozen=True, slots=True)
class TextEncoder:
    """A text encoder of CLIP's in a single-file checkpoint.

    Attributes:
        part: What diffusers calls it in a pipeline.
        prefix: What the names of its tensors begin with.
        open_clip: Whether the rest of their names is open_clip's and not transformers'.
        layers: How many of its layers are used, the first ones; `None` for all.
        padding: The token that fills up a prompt's chunk.
        projects: Whether the pipeline takes its pooled output through a projection, where the file has one.
        spare: What diffusers sooner takes for it, where the file has both: as `prefix`.
    """

    part: str
    prefix: str
    open_clip: bool = False
    layers: int | None = None
    padding: str = "<|endoftext|>"
    projects: bool = False
    spare: str = ""


@dataclass(frozen=True, slots=True)
class Distilled:
    """What a model wants that was trained to need few steps and little guidance, as its authors' page asks.

    Attributes:
        fewest: Steps.
        most: Steps, with some room.
        cfg: The highest CFG scale, with some room.
        usual: Settings that are taken where nobody names any.
    """

    fewest: int
    most: int
    cfg: float
    usual: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Driven:
    """What may be asked of a family that can be generated with: assetctl drives those that have this.

    What it is made of for that is in `generation/families/`.

    Attributes:
        native_size: Width and height that it was trained on, in pixels.
        text_encoders: Those of a single-file checkpoint.
        mistaken: Tensors of other families' text encoders: beside one, diffusers reads its own as that family's.
        clip_skip: Whether an earlier layer of its text encoder may be asked for.
        usual: Settings that differ from those of other families where nobody names any.
        obeys: Options that not every family obeys, by their names.
    """

    native_size: int
    text_encoders: tuple[TextEncoder, ...]
    mistaken: tuple[str, ...] = ()
    clip_skip: bool = False
    usual: Mapping[str, Any] = field(default_factory=dict)
    obeys: tuple[str, ...] = ()


#: How a prompt that is longer than CLIP reads at a time is met: cut into chunks that are all read, or cut off.
Reading = Literal["chunks", "start"]


@dataclass(frozen=True, slots=True)
class Family:
    """An architecture. One file in `identify/families/` each, as `FAMILY`.

    Attributes:
        name: As people call it, in lower case.
        match: Its claim to features, or `None`, where it cannot be declared as `signs`.
        signs: Ways in which it shows, what proves most first.
        stacks: How names of blocks begin in its networks, whoever wrote them: beside others, no sign is certain. Not
            looked at where it names none.
        said: Regular expression for how trainers' metadata name it, matched against lower-case text.
        unlike: The same for networks that are of no family, and parts of which look like its own.
        classes: Network classes of diffusers configurations that are this family.
        prediction: What its networks predict, where all of them predict the same.
        lineages: Regular expression for the name of the model trained on, to its base model in Civitai's spelling.
        variant: What variant of the family the features show, or `None`.
        contract: What tensors must show for it to be certain or likely, in a line for people.
        latents: Name of the space of its latents: families that share one share VAEs. Its own name by default.
        other_latents: The same of those of its models whose latents are others.
        latent_channels: Channels of its latents, where known.
        text_width: Width of an embedding's vectors, the sum over its text encoders, where embeddings are used with it.
        clip: How its text encoders of CLIP's meet a long prompt; `None` where it has none.
        assumed_prediction: What a single file that does not say it is taken to predict, where it cannot be seen.
        lineage: Base model, to the lineage that it continues, where adapters of one work in part with another.
        descent: Lineage, to those whose adapters serve it as well.
        distilled: Base model, to what it wants that was trained to need few steps.
        driven: What may be asked of it in generating; `None` for what assetctl only recognises.
    """

    name: str
    match: Callable[[Features], Match | None] | None = None
    signs: tuple[Sign, ...] = ()
    stacks: tuple[str, ...] = ()
    said: str | None = None
    unlike: str | None = None
    classes: tuple[str, ...] = ()
    prediction: str | None = None
    lineages: tuple[tuple[str, str], ...] = ()
    variant: Callable[[Features], str | None] | None = None
    contract: str = ""
    latents: str | None = None
    other_latents: tuple[str, ...] = ()
    latent_channels: int | None = None
    text_width: int | None = None
    clip: Reading | None = None
    assumed_prediction: str | None = None
    lineage: Mapping[str, str] = field(default_factory=dict)
    descent: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    distilled: Mapping[str, Distilled] = field(default_factory=dict)
    driven: Driven | None = None

    @property
    def latent_space(self) -> str:
        """The space of its latents, by name."""
        return self.latents or self.name

    @property
    def latent_spaces(self) -> frozenset[str]:
        """The spaces of the latents of all its models, by name."""
        return frozenset({self.latent_space, *self.other_latents})

    @property
    def tells_latents(self) -> bool:
        """Whether it says whose its latents are, or how its own VAEs show."""
        return bool(self.latents or self.other_latents) or any("vae" in sign.kinds for sign in self.signs)


#: How a feed-forward is built.
Build = Literal["plain", "gated", "wide"]

_STACKS = ("double_blocks.", "single_blocks.", "single_transformer_blocks.", "transformer_blocks.")

#: Modules that take in the stream, and that give it out.
_TAKES = (
    "transformer_blocks.#.attn.to_q", "transformer_blocks.#.attn.to_k", "transformer_blocks.#.attn.to_v",
    "transformer_blocks.#.attn.add_q_proj", "transformer_blocks.#.attn.add_k_proj",
    "single_transformer_blocks.#.attn.to_q", "single_transformer_blocks.#.attn.to_k",
    "single_transformer_blocks.#.attn.to_v", "single_transformer_blocks.#.attn.to_qkv_mlp_proj",
    "single_transformer_blocks.#.proj_mlp", "img_attn.qkv", "img_attn.proj", "txt_attn.qkv", "linear1",
    "img_mlp.0", "txt_mlp.0", "processor.qkv_lora1", "processor.qkv_lora2",
)  # fmt: skip
_GIVES = (
    "single_transformer_blocks.#.proj_out", "linear2", "img_attn.proj", "txt_attn.proj", "img_mlp.2", "txt_mlp.2",
    "transformer_blocks.#.attn.to_q", "x_embedder",
)  # fmt: skip
#: The same in blocks that others have as well, and that tell nothing by themselves.
_ALSO_TAKE = (
    "transformer_blocks.#.ff.net.0.proj", "transformer_blocks.#.ff_context.net.0.proj",
    "transformer_blocks.#.norm1.linear", "transformer_blocks.#.norm1_context.linear",
    "single_transformer_blocks.#.norm.linear",
)  # fmt: skip
_ALSO_GIVE = (
    "transformer_blocks.#.attn.to_out.0", "transformer_blocks.#.attn.to_add_out", "transformer_blocks.#.ff.net.2",
    "transformer_blocks.#.ff_context.net.2",
)  # fmt: skip

#: Of blocks that attend once, to picture and text together.
_JOINT = ("double_blocks.", "single_blocks.", "single_transformer_blocks.", "transformer_blocks.0.attn.add_")
#: Of blocks that attend twice: what takes in the stream, and what takes in text.
_QUERIES = ("attn1.to_q", "attn2.to_q", "attn1.to_k", "attn1.to_v")
_STATES = ("attn2.to_k", "attn2.to_v")
#: The same where a transformer's blocks have them.
STREAM_IN = tuple(f"transformer_blocks.#.{name}" for name in _QUERIES)
TEXT_STATES = tuple(f"transformer_blocks.#.{name}" for name in _STATES)

#: Module, and what its output is to its input: plain, gated, and gated wide. A plain feed-forward is 4 times as wide as
#: the stream; a gated one is 3 times as wide, a wide one 4 times, and takes two such halves. Single blocks fuse it with
#: attention.
_RATIOS = (
    ("linear1", 7, 9, 11), ("linear2", 1 / 5, 1 / 4),
    ("img_mlp.0", 4, 6), ("txt_mlp.0", 4, 6), ("img_mlp.2", 1 / 4, 1 / 3), ("txt_mlp.2", 1 / 4, 1 / 3),
    ("single_transformer_blocks.#.proj_mlp", 4, 6, 8), ("transformer_blocks.#.ff.net.0.proj", 4, 6, 8),
)  # fmt: skip
_BUILDS: tuple[Build, ...] = ("plain", "gated", "wide")

_LAYERS = (
    "layers.0.attention.", "layers.0.attn.", "layers.0.feed_forward.",
    "noise_refiner.0.attention.", "noise_refiner.0.attn.", "noise_refiner.0.feed_forward.",
    "context_refiner.0.attention.", "context_refiner.0.attn.", "context_refiner.0.feed_forward.",
    "control_layers.0.attention.", "control_layers.0.attn.", "control_layers.0.feed_forward.",
)  # fmt: skip
_TAKES_LAYER = (
    "attention.qkv", "attention.to_q", "attention.to_k", "attention.to_v", "feed_forward.w1", "feed_forward.w3",
    "layers.#.attn.to_q", "layers.#.attn.to_k", "layers.#.attn.to_v", "feed_forward.linear_1",
)  # fmt: skip
_GIVES_LAYER = ("attention.out", "attention.to_out.0", "feed_forward.w2")


class Blocks:
    """Measures of a transformer of double and single blocks, or of what changes or steers one, taken when asked."""

    def __init__(self, outline: Outline) -> None:
        self._outline = outline

    @cached_property
    def width(self) -> int | None:
        """Width of the stream through the blocks."""
        return self._outline.input_width(*_TAKES) or self._outline.output_width(*_GIVES)

    @cached_property
    def double(self) -> int:
        """How many double blocks there are, by the highest number that is named."""
        return max(self._outline.highest("double_blocks"), self._outline.highest("transformer_blocks")) + 1

    @cached_property
    def single(self) -> int:
        """How many single blocks there are, likewise."""
        return max(self._outline.highest("single_blocks"), self._outline.highest("single_transformer_blocks")) + 1

    @cached_property
    def twice(self) -> tuple[int | None, int | None]:
        """Widths of the stream and of the text in blocks that attend to each, as those of LTX, PixArt and Cosmos do."""
        outline = self._outline
        if outline.begins(*_JOINT) or not outline.begins("transformer_blocks.0.attn2."):
            return None, None
        stream = outline.square_width(*STREAM_IN) or outline.output_width(*TEXT_STATES)
        return stream, outline.square_width(*TEXT_STATES)

    @cached_property
    def feed_forward(self) -> Build | None:
        """How the feed-forward is built, by the ratios of its widths."""
        for module, *ratios in _RATIOS:
            taken, given = self._outline.input_width(module), self._outline.output_width(module)
            if taken and given:
                for build, ratio in zip(_BUILDS, ratios, strict=False):
                    if given == taken * ratio:
                        return build
        return None


def streams(features: Features) -> Collection[int]:
    """All widths of the stream through blocks."""
    outline = features.outline
    if features.blocks is None:
        return ()
    return outline.widths((*_TAKES, *_ALSO_TAKE), 1) | outline.widths((*_GIVES, *_ALSO_GIVE), 0)


def layers(features: Features) -> Collection[int]:
    """All widths of the stream in a network of Lumina's build."""
    return features.outline.widths(_TAKES_LAYER, 1) if features.outline.begins(*_LAYERS) else ()


def read_blocks(outline: Outline) -> Blocks | None:
    """Measures of the transformer that a file holds or is about, or `None` if it is built otherwise."""
    return Blocks(outline) if outline.begins(*_STACKS) else None


def width_of_layers(outline: Outline) -> int | None:
    """Width of the stream in a network of Lumina's build, or `None` if it has none."""
    if not outline.begins(*_LAYERS):
        return None
    norm = outline.shape("layers.#.attention_norm1")  # it stays whole where matrices are packed
    return outline.input_width(*_TAKES_LAYER) or outline.output_width(*_GIVES_LAYER) or (norm[0] if norm else None)


_LEVELS = (
    "down_blocks.", "up_blocks.", "mid_block.", "input_blocks.", "output_blocks.", "middle_block.",
    "lllite_unet_input_blocks.", "lllite_unet_middle_block.",
)  # fmt: skip

#: Modules of a UNet's attention that take in, and that give out, as much as their level is wide.
_LEVEL_IN = ("attn1.to_q", "attn1.to_k", "attn1.to_v", "attn2.to_q", "ff.net.0.proj")
_LEVEL_OUT = ("attn1.to_out.0", "attn2.to_k", "attn2.to_v", "attn2.to_out.0", "ff.net.2")


def odd_levels(outline: Outline) -> tuple[int, int] | None:
    """Widths of two levels of a UNet that no UNet has both of: each is half, or a quarter, as wide as another."""
    if not outline.begins(*_LEVELS):
        return None
    widths = sorted(outline.widths(_LEVEL_IN, 1) | outline.widths(_LEVEL_OUT, 0))
    return next(((widths[0], each) for each in widths if each not in (widths[0] * 2**n for n in range(4))), None)


#: Names in networks that share those of the levels but are no image UNet: video models, Stable Cascade.
_OTHERS = (
    "temporal_", "temopral_conv.", "time_stack.", "time_mixer.", "temp_convs.", "temp_attentions.", "attn_temp.",
    "motion_modules.", "channelwise.",
)  # fmt: skip

#: What may stand before the names of a whole network.
_ROOTS = ("", *(each.prefix for each in DENOISERS if not each.flat and each.network == "denoiser" and not each.before))

#: Attention in the first level, counted from either end, in either spelling.
_FIRST_ATTENTION = (
    "down_blocks.0.attentions", "down_blocks_0_attentions", "up_blocks.3.attentions", "up_blocks_3_attentions",
    "input_blocks.1.1.", "input_blocks_1_1_", "input_blocks.2.1.", "input_blocks_2_1_",
    "output_blocks.9.1.", "output_blocks_9_1_", "output_blocks.10.1.", "output_blocks_10_1_",
)  # fmt: skip
#: What BFL and Tencent build alike and end otherwise.
_MODULATED = ("double_blocks.0.img_mod", "double_blocks.0.txt_mod", "single_blocks.0.modulation")
_MLPS = ("double_blocks.0.img_mlp", "double_blocks.0.txt_mlp")
#: How names of a network begin, by how it is built: one that begins in ways of which no build has all is several.
_NETWORKS = (
    (
        "input_blocks.", "middle_block.", "output_blocks.", "down_blocks.0.resnets.", "down_blocks.0.attentions.",
        "up_blocks.0.resnets.", "up_blocks.0.attentions.", "mid_block.",
    ),
    ("down_blocks.0.0.", "up_blocks.0.0."),  # Stable Cascade's
    ("double_blocks.", "single_blocks.", *(f"{name}.lin." for name in _MODULATED), *(f"{name}.0." for name in _MLPS)),
    (
        "double_blocks.", "single_blocks.", *(f"{name}.linear." for name in _MODULATED),
        *(f"{name}.fc1." for name in _MLPS), *(f"{name}.fc2." for name in _MLPS),
    ),  # HunyuanVideo's, by its authors
    ("transformer_blocks.0.attn.", "transformer_blocks.0.ff.", "single_transformer_blocks."),
    ("transformer_blocks.0.attn.", "transformer_blocks.0.img_mlp."),
    ("joint_transformer_blocks.", "single_transformer_blocks."),
    ("transformer_blocks.0.attn1.", "transformer_blocks.0.ff."),
    ("joint_blocks.",),
    ("double_stream_blocks.", "single_stream_blocks."),
    ("double_layers.", "single_layers."),
    ("blocks.", "vace_blocks."),
    ("layers.", "noise_refiner.", "context_refiner.", "control_layers."),
)  # fmt: skip
_BEGINNINGS = tuple(dict.fromkeys(name for names in _NETWORKS for name in names))


def of_several_builds(outline: Outline) -> tuple[str, ...]:
    """How names begin in a file that holds parts of networks which are built differently; else nothing."""
    there = tuple(name for name in _BEGINNINGS if outline.begins(name))
    return () if any(set(there) <= set(names) for names in _NETWORKS) else there


#: Where a UNet, or what brings pictures to one, takes in text.
_CONTEXT = ("attn2.to_k", "attn2.processor.to_k", "attn2.to_v", "attn2.processor.to_v")
_CONDITION = ("label_emb.0.0", "add_embedding.linear_1")


def contexts(features: Features) -> Collection[int]:
    """All widths of the text states that a UNet's cross-attention takes."""
    names = ("to_k_ip",) if features.kind == "ip-adapter" else _CONTEXT
    return () if features.unet is None else features.outline.widths(names, 1)


def conditions(features: Features) -> Collection[int]:
    """All widths of the conditions that are added to a UNet's time embedding."""
    return () if features.unet is None else features.outline.widths(tuple(f"^{name}" for name in _CONDITION), 1)


def read_unet(outline: Outline) -> UNet | None:
    """Measures of the UNet that a file holds or is about, or `None` if it is about none."""
    if not outline.begins(*_LEVELS) or outline.has(*_OTHERS):
        return None
    context = outline.input_width(*_CONTEXT)
    in_channels = _in_channels(outline)
    condition = outline.input_width(*_CONDITION)
    if context is not None or not outline.has("attentions.", "transformer_blocks.", "proj_in"):
        return UNet(context, in_channels, condition)
    return UNet(
        context,
        in_channels,
        condition,
        first_attention=outline.header.has(*_FIRST_ATTENTION),
        depth=outline.highest("transformer_blocks"),
        linear=_linear(outline),
    )


def unet_variant(features: Features) -> str | None:
    """What a UNet of Stable Diffusion was changed for, by the channels of its input.

    Eight of them are pix2pix's, and also those of what reads depth off a picture or turns what it shows (Marigold,
    Zero123): only one that is told words beside them is known to edit.
    """
    if features.unet is None or features.kind not in {"checkpoint", "diffusion-model"}:
        return None
    channels = features.unet.in_channels
    if channels == 8:
        told = "text encoder" in features.contains and not features.outline.has("cc_projection.", "visual.")
        return "pix2pix" if told else None
    return {9: "inpainting", 5: "depth", 7: "upscaler"}.get(channels or 4)


def _in_channels(outline: Outline) -> int | None:
    for root in _ROOTS:
        shape = outline.header.shape(root + "input_blocks.0.0.weight") or outline.header.shape(root + "conv_in.weight")
        if shape is not None and len(shape) == 4:
            return shape[1]
    return None


def _linear(outline: Outline) -> bool | None:
    """Whether attention projects by matrices; (IA)^3 has a number for each output, which does not tell."""
    module = outline.module("proj_in")
    if module is None:
        return None
    shapes = (outline.header.shape(module + ending) for ending in (".weight", ".lora_down.weight", ".lora_A.weight"))
    return next((len(shape) == 2 for shape in shapes if shape is not None and len(shape) > 1), None)
