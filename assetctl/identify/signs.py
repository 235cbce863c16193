"""Measures of what a header shows, by which families declare their signs.

A sign names what a header must have, must not have, and how wide or many something is. It may be `certain` only where
no other network that we know could show the same, whatever part of it a file holds: `tests/identify/test_certainty.py`
tries that on the networks of diffusers and on those of our own tables.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from assetctl.identify.features import (
    STREAM_IN,
    TEXT_STATES,
    Measure,
    conditions,
    contexts,
    layers,
    streams,
    width_of_layers,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from assetctl.identify.features import Features


def taken(*modules: str) -> Measure:
    """Width of what the first of `modules` that shows it takes in: all of them, in all blocks, take in as much."""
    return Measure(
        f"width into {modules[0]}",
        lambda features: features.outline.input_width(*modules),
        lambda features: features.outline.widths(modules, 1),
    )


def given(*modules: str, alike: bool = True) -> Measure:
    """Width of what the first of `modules` that shows it gives out; whether all of them, in all blocks, do so."""
    return Measure(
        f"width out of {modules[0]}",
        lambda features: features.outline.output_width(*modules),
        (lambda features: features.outline.widths(modules, 0)) if alike else None,
    )


def along(takes: tuple[str, ...], gives: tuple[str, ...]) -> Measure:
    """Width of a stream, as the first module shows it that takes it in, else that gives it out: all show the same."""
    return Measure(
        f"width along {takes[0]}",
        lambda features: features.outline.input_width(*takes) or features.outline.output_width(*gives),
        lambda features: features.outline.widths(takes, 1) | features.outline.widths(gives, 0),
    )


def highest(stack: str) -> Measure:
    """How many blocks a stack has, by the highest number that is named."""
    return Measure(f"blocks of {stack}", lambda features: features.outline.highest(stack) + 1)


def of(name: str, every: Callable[[Features], Collection[object]] | None = None) -> Measure:
    """A field of the features by its name, `unet.context` for example."""
    first, _, second = name.partition(".")

    def take(features: Features) -> object:
        value = getattr(features, first)
        return getattr(value, second) if second and value is not None else value

    return Measure(name, take, every)


#: How names of blocks begin in UNets of Stable Diffusion, and in what steers them.
UNET_STACKS = ("input_blocks.", "output_blocks.", "down_blocks.#.attentions.", "down_blocks.#.resnets.",
               "down_blocks.#.downsamplers.", "up_blocks.#.attentions.", "up_blocks.#.resnets.",
               "up_blocks.#.upsamplers.", "controlnet_", "brushnet_")  # fmt: skip
#: Whether it is about a UNet.
UNET = Measure("UNet", lambda features: features.unet is not None)
#: Of a UNet: width of its text, of its condition, channels of its input; first level attends; depth; linear or not.
CONTEXT, CONDITION, CHANNELS = of("unet.context", contexts), of("unet.condition", conditions), of("unet.in_channels")
FIRST_ATTENTION, DEPTH, LINEAR = of("unet.first_attention"), of("unet.depth"), of("unet.linear")
#: Of a LoRA of a UNet: whether some attention module holds several transformer blocks.
DEEP = Measure(
    "several transformer blocks",
    lambda features: (
        features.kind == "lora" and features.outline.header.has("transformer_blocks.1.", "transformer_blocks_1_")
    ),
)
#: Of a UNet: how wide its attention is, which differs from level to level.
INNER = given("attn2.to_k", "attn2.to_v", "attn2.processor.to_k", "attn2.processor.to_v", alike=False)
#: Of a transformer: width of its stream, how many double and single blocks, how its feed-forward is built.
WIDTH, DOUBLE, SINGLE = of("blocks.width", streams), of("blocks.double"), of("blocks.single")
FEED_FORWARD = of("blocks.feed_forward")
#: The same width wherever it shows at all.
ALL_WIDTHS = Measure("width of the blocks", lambda features: min(streams(features), default=None), streams)
#: Of blocks that attend twice: width of the stream, and of the text; what else of a block takes in the stream.
_ALSO_STREAM = ("transformer_blocks.#.ff.net.0.proj",)
STREAM = Measure(
    "stream",
    lambda features: features.blocks.twice[0] if features.blocks else None,
    lambda features: features.outline.widths((*STREAM_IN, *_ALSO_STREAM), 1),
)
TEXT = Measure(
    "text",
    lambda features: features.blocks.twice[1] if features.blocks else None,
    lambda features: features.outline.widths(TEXT_STATES, 1),
)
#: Of a transformer: width of the text that it is told, and of the pooled text.
TEXT_IN = taken("context_embedder", "txt_in")
POOLED = taken("time_text_embed.text_embedder.linear_1", "vector_in.in_layer")
#: Of a network of layers.
LAYERS = Measure("layers", lambda features: width_of_layers(features.outline), layers)
#: Of a VAE.
LATENT, VOLUMETRIC = of("latent"), of("volumetric")
#: Of an embedding: widths of its vectors; whether one of them is called so.
VECTORS = Measure("vectors", lambda features: frozenset(features.vectors.values()))
NAMED = Measure(
    "names of vectors", lambda features: next(filter(features.vectors.__contains__, ("llama", "clip_l")), None)
)
#: Whether vectors are called what embeddings alone are: as trainers do, or a token as diffusers writes one, `<cat>`.
TOKENS = Measure(
    "names of tokens",
    lambda features: (
        features.layout != "diffusers" or all(name.startswith("<") and name.endswith(">") for name in features.vectors)
    ),
)
#: Of a LoRA of text encoders: their widths.
ONLY, SECOND, T5 = (
    Measure(f"{which} text encoder", lambda features, which=which: features.encoders.get(which))  # type: ignore[misc]
    for which in ("only", "second", "t5")
)
#: Of what steers a network by a picture: how it is laid out, and what it takes in, a picture in squares.
ADAPTER, SQUARES = of("layout"), taken("conv_in", "body.0.in_conv")
#: Whether names are written flat, with underscores for dots.
FLAT = Measure("flat names", lambda features: features.outline.flat)

_CLIPS = (
    "lora_te_text_model.", "lora_te1_text_model.", "lora_te2_text_model.", "text_encoder.text_model.",
    "text_encoder_2.text_model.", "text_encoders.clip_l.", "text_encoders.clip_g.",
)  # fmt: skip
#: Of a UNet: width of what it is told beside the text, size and pooled text; and whether two text encoders lie by it.
LABEL = taken("label_emb.0.0", "add_embedding.linear_1")
_SECOND = ("conditioner.embedders.1.", "lora_te2_", "text_encoder_2.", "text_encoders.clip_g.")
TWO_ENCODERS = Measure("two encoders", lambda features: features.outline.prefixed(*_SECOND))
#: Of a whole checkpoint: width of its text encoder's words, and channels that its VAE decodes.
WORDS, DECODED = taken("token_embedding"), taken("decoder.conv_in")
#: Whether a LoRA changes text encoders of CLIP's beside its network.
ENCODERS = Measure("changes to CLIP", lambda features: features.outline.prefixed(*_CLIPS))

YES, NO, SHOWN = (True,), (False,), range(1, 2**20)
#: Widths that attention has, as it is cut into heads.
HEADS = (None, *range(8, 4097, 8))
