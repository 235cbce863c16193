"""The weights that a part must have, by its configuration: every tensor's name and shape, without torch.

What loading would find missing, or of another shape, is found in headers alone: `check`, a dry run and loading all ask
here. A test holds the tables to what diffusers' and transformers' own classes have.

Sources: diffusers' `UNet2DConditionModel`, `AutoencoderKL` and `loaders/single_file_utils`; transformers'
`CLIPTextModel`; CompVis' and Stability's LDM code; open_clip.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Literal, NoReturn

import orjson

from assetctl.errors import UnusableError
from assetctl.files.safetensors import FLOATS, NUMBERS
from assetctl.generation.bounds import shown_value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    Shape = list[int]
    Config = Mapping[str, Any]

#: How a file names a part's tensors: as diffusers and transformers do, as CompVis' code, or as open_clip.
Spelling = Literal["own", "ldm", "open_clip"]

#: What diffusers and transformers take where a configuration is silent.
DEFAULTS: dict[str, dict[str, Any]] = {
    "unet": {
        "in_channels": 4, "out_channels": 4, "block_out_channels": [320, 640, 1280, 1280], "layers_per_block": 2,
        "down_block_types": ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"],
        "up_block_types": ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3, "mid_block_type": "UNetMidBlock2DCrossAttn",
        "transformer_layers_per_block": 1, "cross_attention_dim": 1280, "attention_head_dim": 8, "norm_num_groups": 32,
        "conv_in_kernel": 3, "conv_out_kernel": 3, "only_cross_attention": False, "use_linear_projection": False,
    },
    "vae": {
        "in_channels": 3, "out_channels": 3, "latent_channels": 4, "block_out_channels": [64], "layers_per_block": 1,
        "down_block_types": ["DownEncoderBlock2D"], "up_block_types": ["UpDecoderBlock2D"], "norm_num_groups": 32,
        "use_quant_conv": True, "use_post_quant_conv": True, "mid_block_add_attention": True,
    },
    "text_encoder": {
        "vocab_size": 49408, "hidden_size": 512, "intermediate_size": 2048, "projection_dim": 512,
        "num_hidden_layers": 12, "num_attention_heads": 8, "max_position_embeddings": 77,
    },
}  # fmt: skip
DEFAULTS["text_encoder_2"] = DEFAULTS["text_encoder"]

#: Of one part: far beyond any, and what a table of it may take in memory.
_MOST = 20_000

_AGAIN = "Fetch it again, or choose another checkpoint."


@dataclass(frozen=True, slots=True)
class Table:
    """The tensors of a part, in two columns.

    Attributes:
        names: As the file has them.
        shapes: One for each.
        rows: How many rows a tensor has, where it is there, that is not needed but by which others are cut.
        doubt: What of the configuration is not understood here, in which case the columns are empty.
    """

    names: tuple[str, ...] = ()
    shapes: tuple[Shape, ...] = ()
    rows: tuple[str, int] | None = None
    doubt: str | None = None


class _DoubtError(Exception):
    """A configuration asks for what is not described here."""


class ContradictionError(Exception):
    """Nothing can be built of a configuration."""


def see_weights(
    tensors: Mapping[str, Mapping[str, Any]],
    config: Config,
    part: str,
    *,
    file: Path,
    source: Path | None = None,
    prefix: str = "",
    spelling: Spelling = "own",
) -> str | None:
    """See that a part has each weight that its configuration asks for, in its shape, and of real numbers.

    Args:
        tensors: What there is: name to dtype and shape, as a header has them.
        config: Of the part, within bounds.
        part: `unet`, `vae`, `text_encoder` or `text_encoder_2`.
        file: What holds the tensors, to be named.
        source: The file that the configuration was read from, if it was not derived from the tensors.
        prefix: What the names of the part's tensors begin with.
        spelling: How the rest of them is spelled.

    Returns:
        A doubt where it cannot be told: what of the configuration is not understood; else `None`.

    Raises:
        UnusableError: A weight is missing, of another shape, or holds no real numbers; or the configuration
            contradicts itself.
    """
    try:
        table = wanted(config, part, prefix, spelling)
    except ContradictionError as error:
        raise UnusableError(f"{source or file} cannot be used: {error}.", _AGAIN) from error
    if table.doubt is not None:
        return table.doubt
    entries = [entry for entry in map(tensors.get, table.names) if entry]
    if len(entries) < len(table.names):
        _tell_missing([name for name in table.names if name not in tensors], part, file, source)
    if table.rows is not None and table.rows[0] in tensors and tensors[table.rows[0]]["shape"][:1] != [table.rows[1]]:
        message = f"{file} cannot be used: {table.rows[0]} of its {_CALLED[part]} has not {table.rows[1]} rows."
        raise UnusableError(message, _AGAIN)
    there: list[Shape] = list(map(_SHAPE, entries))
    if there != list(table.shapes):
        _tell_shape(table, there, part, file, source, prefix)
    if not FLOATS.issuperset(map(_DTYPE, entries)):
        name, kind = next(
            (n, e["dtype"]) for n, e in zip(table.names, entries, strict=True) if e["dtype"] not in FLOATS
        )
        hint = "Look for the same model in fp16, bf16 or fp32."
        raise UnusableError(f"{file} cannot be used: {name} holds {NUMBERS.get(kind, kind)}.", hint)
    return None


def wanted(config: Config, part: str, prefix: str = "", spelling: Spelling = "own") -> Table:
    """The tensors that a part must have; see `see_weights`.

    Raises:
        ContradictionError: Nothing can be built of the configuration.
    """
    return _table(part, orjson.dumps(DEFAULTS[part] | dict(config), option=orjson.OPT_SORT_KEYS), prefix, spelling)


_SHAPE, _DTYPE = itemgetter("shape"), itemgetter("dtype")

#: What a part is called in a sentence.
_CALLED = {
    "unet": "UNet", "vae": "VAE", "text_encoder": "text encoder", "text_encoder_2": "second text encoder",
}  # fmt: skip


def _tell_missing(missing: Sequence[str], part: str, file: Path, source: Path | None) -> NoReturn:
    more = f", and {len(missing) - 1} more" if len(missing) > 1 else ""
    beside = f", which {source} asks for" if source is not None else ""
    raise UnusableError(f"{file} lacks weights of its {_CALLED[part]}: {missing[0]}{more}{beside}.", _AGAIN)


def _tell_shape(table: Table, there: Sequence[Shape], part: str, file: Path, source: Path | None, prefix: str) -> None:
    for name, found, wanted in zip(table.names, there, table.shapes, strict=True):
        if found != wanted and not (part == "vae" and _is_folded(name.removeprefix(prefix), found, wanted)):
            by = "the other weights ask" if source is None else f"{source} asks"
            raise UnusableError(
                f"{file} cannot be used: {name} of its {_CALLED[part]} is {_shown(found)}, where {by} for "
                f"{_shown(wanted)}.",
                _AGAIN,
            )


def _is_folded(name: str, found: Shape, wanted: Shape) -> bool:
    """Whether a VAE's attention is written as a convolution or as a product; diffusers takes one for the other."""
    return _ATTENTION.match(name) is not None and len(found) in (2, 3, 4) and found[:2] == wanted[:2]


_ATTENTION = re.compile(r"(?:encoder|decoder)\.mid\.attn_1\.\w+\.weight\Z")


def _shown(shape: Shape) -> str:
    return "x".join(map(str, shape)) or "one number"


@lru_cache(maxsize=16)
def _table(part: str, config: bytes, prefix: str, spelling: Spelling) -> Table:
    """The tensors of a part. A selection has five at most, and the same ones are asked for over and over."""
    rows = _Rows(prefix, spelling)
    try:
        _DESCRIBE[part](rows, orjson.loads(config))
    except _DoubtError as doubt:
        return Table(doubt=str(doubt))
    return Table(tuple(rows.names), tuple(rows.shapes), rows.cut)


@dataclass(slots=True)
class _Rows:
    """A table in the making: each module adds its weights, under one of its two names."""

    prefix: str
    spelling: Spelling
    names: list[str] = field(default_factory=list)
    shapes: list[Shape] = field(default_factory=list)
    cut: tuple[str, int] | None = None

    def add(self, name: str, shape: Iterable[int]) -> None:
        """A tensor by the name that the file has."""
        if len(self.names) > _MOST:
            raise ContradictionError("it asks for more layers than any model has")
        self.names.append(self.prefix + name)
        self.shapes.append(list(shape))

    def module(self, own: str, other: str, shape: Sequence[int], *, bias: bool = True) -> None:
        """The weight of a module, and its bias: one for each row."""
        name = other if self.spelling == "ldm" else own
        self.add(f"{name}.weight", shape)
        if bias:
            self.add(f"{name}.bias", shape[:1])

    def residual(self, own: str, other: str, taken: int, given: int, time: int | None, *, scaled: bool = False) -> None:
        """A residual block, of a UNet where it is told the time."""
        inner = _LDM_RESNET if time is not None else _LDM_VAE_RESNET
        self.module(f"{own}.norm1", f"{other}.{inner[0]}", (taken,))
        self.module(f"{own}.conv1", f"{other}.{inner[1]}", (given, taken, 3, 3))
        if time is not None:
            self.module(f"{own}.time_emb_proj", f"{other}.emb_layers.1", (given * (1 + scaled), time))
        self.module(f"{own}.norm2", f"{other}.{inner[2]}", (given,))
        self.module(f"{own}.conv2", f"{other}.{inner[3]}", (given, given, 3, 3))
        if taken != given:
            self.module(f"{own}.conv_shortcut", f"{other}.{inner[4]}", (given, taken, 1, 1))


_LDM_RESNET = ("in_layers.0", "in_layers.2", "out_layers.0", "out_layers.3", "skip_connection")
_LDM_VAE_RESNET = ("norm1", "conv1", "norm2", "conv2", "nin_shortcut")


def _per_level(value: Any, levels: int, key: str) -> list[Any]:  # noqa: ANN401 - a number or flag, or a list of those
    if not isinstance(value, list):
        return [value] * levels
    if len(value) != levels:
        raise ContradictionError(f"its {key} has {len(value)} entries for {levels} levels")
    return value


def _see_divides(number: int, widths: Iterable[int], what: str) -> None:
    if (odd := next((width for width in widths if width % number), None)) is not None:
        raise ContradictionError(f"its width of {odd} is not divided by {number} {what}")


# The UNet.

#: What a UNet may be asked to do that a picture from text has nothing to feed: drawing would fail.
_UNFED = ("class_embed_type", "num_class_embeds")

#: What is not described here, unless it has one of these values.
_PLAIN_UNET: dict[str, tuple[object, ...]] = {
    "encoder_hid_dim_type": (None, "text_proj"), "addition_embed_type": (None, "text_time"),
    "attention_type": (None, "default"), "dual_cross_attention": (None, False),
    "class_embeddings_concat": (None, False), "time_embedding_type": (None, "positional"),
    "resnet_time_scale_shift": (None, "default", "scale_shift"),
    "mid_block_type": (None, "UNetMidBlock2DCrossAttn", "UNetMidBlock2D"),
}  # fmt: skip


def _unet(rows: _Rows, config: Config) -> None:
    if (key := next((key for key in _UNFED if config.get(key) is not None), None)) is not None:
        raise ContradictionError(f"its {key} asks for more than a text to paint from")
    if config.get("num_attention_heads") is not None:
        raise ContradictionError("it sets num_attention_heads, which diffusers refuses")
    for key, plain in _PLAIN_UNET.items():
        if config.get(key) not in plain:
            raise _DoubtError(f"its {key} is {config[key]}")
    if not isinstance(config["norm_num_groups"], int):
        raise _DoubtError("its norm_num_groups is null")
    unet = _Unet(rows, config)
    unet.top()
    unet.down()
    unet.middle()
    unet.up()


class _Unet:
    """A UNet's tensors, part by part."""

    def __init__(self, rows: _Rows, config: Config) -> None:
        self.rows, self.config = rows, config
        self.widths: list[int] = config["block_out_channels"]
        self.levels = len(self.widths)
        self.time: int = config.get("time_embedding_dim") or 4 * self.widths[0]
        self.scaled = config.get("resnet_time_scale_shift") == "scale_shift"
        self.layers: list[int] = self._levelled("layers_per_block")
        self.contexts: list[int] = self._levelled("cross_attention_dim")
        self.heads: list[int] = self._levelled("attention_head_dim")
        self.depths: list[int | list[int]] = self._levelled("transformer_layers_per_block")
        self.crossed: list[bool] = self._levelled("only_cross_attention")
        back = config.get("reverse_transformer_layers_per_block")
        if back is None and any(isinstance(depth, list) for depth in self.depths):
            raise ContradictionError("it says nothing of reverse_transformer_layers_per_block")
        self.depths_back = _per_level(back, self.levels, "reverse_transformer_layers_per_block") if back else None
        if rows.spelling == "ldm" and not isinstance(config["layers_per_block"], int):
            raise ContradictionError("its layers_per_block is a list, which no single file can have")
        if None in self.contexts:
            raise _DoubtError("its cross_attention_dim is null")
        _see_divides(config["norm_num_groups"], self.widths, "groups")

    def _levelled(self, key: str) -> list[Any]:
        return _per_level(self.config[key], self.levels, key)

    def top(self) -> None:
        """All that is outside of the blocks."""
        rows, config, first = self.rows, self.config, self.widths[0]
        kernel, last = config["conv_in_kernel"], config["conv_out_kernel"]
        rows.module("conv_in", "input_blocks.0.0", (first, config["in_channels"], kernel, kernel))
        rows.module("time_embedding.linear_1", "time_embed.0", (self.time, first))
        rows.module("time_embedding.linear_2", "time_embed.2", (self.time, self.time))
        if (width := config.get("time_cond_proj_dim")) is not None:
            if rows.spelling == "ldm":
                raise ContradictionError("its time_cond_proj_dim asks for weights that no single file can have")
            rows.module("time_embedding.cond_proj", "", (first, width), bias=False)
        if (width := config.get("encoder_hid_dim")) is not None:
            if rows.spelling == "ldm" or not isinstance(config["cross_attention_dim"], int):
                raise ContradictionError("its encoder_hid_dim asks for weights that it cannot have")
            rows.module("encoder_hid_proj", "", (config["cross_attention_dim"], width))
        if config.get("addition_embed_type") == "text_time":
            width = config.get("projection_class_embeddings_input_dim")
            if width is None or config.get("addition_time_embed_dim") is None:
                raise ContradictionError("it does not say how wide its added conditioning is")
            rows.module("add_embedding.linear_1", "label_emb.0.0", (self.time, width))
            rows.module("add_embedding.linear_2", "label_emb.0.2", (self.time, self.time))
        rows.module("conv_norm_out", "out.0", (first,))
        rows.module("conv_out", "out.2", (config["out_channels"], first, last, last))

    def down(self) -> None:
        """The way down: a sampler ends each level but the last."""
        given, block = self.widths[0], 1
        for level, (kind, width) in enumerate(zip(self.config["down_block_types"], self.widths, strict=True)):
            attends = self._attends(kind)
            for layer in range(self.layers[level]):
                place, other = f"down_blocks.{level}", f"input_blocks.{block}"
                self._residual(f"{place}.resnets.{layer}", f"{other}.0", given if layer == 0 else width, width)
                if attends:
                    depth = self._depth(self.depths[level], layer, self.layers[level])
                    self._attention(f"{place}.attentions.{layer}", f"{other}.1", level, depth, self.crossed[level])
                block += 1
            if level < self.levels - 1:
                shape = (width, width, 3, 3)
                self.rows.module(f"down_blocks.{level}.downsamplers.0.conv", f"input_blocks.{block}.0.op", shape)
                block += 1
            given = width

    def middle(self) -> None:
        """What is between the ways."""
        kind, width = self.config["mid_block_type"], self.widths[-1]
        if kind is not None:
            self._residual("mid_block.resnets.0", "middle_block.0", width, width)
        if kind == "UNetMidBlock2DCrossAttn":
            depth = self._depth(self.depths[-1], 0, 1)
            self._attention("mid_block.attentions.0", "middle_block.1", self.levels - 1, depth, crossed=False)
            self._residual("mid_block.resnets.1", "middle_block.2", width, width)

    def up(self) -> None:
        """The way up: each block takes what one on the way down gave, too."""
        before, block = self.widths[-1], 0
        for place, kind in enumerate(self.config["up_block_types"]):
            level = self.levels - 1 - place
            width, below = self.widths[level], self.widths[max(level - 1, 0)]
            attends, count = self._attends(kind), self.layers[level] + 1
            depths = self.depths[level] if self.depths_back is None else self.depths_back[place]
            for layer in range(count):
                own, other = f"up_blocks.{place}", f"output_blocks.{block}"
                taken = (before if layer == 0 else width) + (below if layer == count - 1 else width)
                self._residual(f"{own}.resnets.{layer}", f"{other}.0", taken, width)
                if attends:
                    depth = self._depth(depths, layer, count)
                    self._attention(f"{own}.attentions.{layer}", f"{other}.1", level, depth, self.crossed[level])
                block += 1
            if level:
                name = f"output_blocks.{block - 1}.{1 + attends}.conv"
                self.rows.module(f"up_blocks.{place}.upsamplers.0.conv", name, (width, width, 3, 3))
            before = width

    @staticmethod
    def _attends(kind: str) -> bool:
        if kind not in ("CrossAttnDownBlock2D", "CrossAttnUpBlock2D", "DownBlock2D", "UpBlock2D"):
            raise _DoubtError(f"it has a {kind}")
        return kind.startswith("CrossAttn")

    @staticmethod
    def _depth(depths: int | list[int], layer: int, layers: int) -> int:
        if isinstance(depths, int):
            return depths
        if len(depths) < layers:
            raise ContradictionError("its transformer_layers_per_block has too few entries")
        return depths[layer]

    def _residual(self, own: str, other: str, taken: int, given: int) -> None:
        _see_divides(self.config["norm_num_groups"], (taken,), "groups")
        self.rows.residual(own, other, taken, given, self.time, scaled=self.scaled)

    def _attention(self, own: str, other: str, level: int, depth: int, crossed: bool) -> None:  # noqa: FBT001
        rows, width, context = self.rows, self.widths[level], self.contexts[level]
        inner = width // self.heads[level] * self.heads[level]
        if not inner:
            raise ContradictionError(f"it has {self.heads[level]} heads for a width of {width}")
        linear = (width, inner) if self.config["use_linear_projection"] else (width, inner, 1, 1)
        rows.module(f"{own}.norm", f"{other}.norm", (width,))
        rows.module(f"{own}.proj_in", f"{other}.proj_in", (inner, width, *linear[2:]))
        for number in range(depth):
            tail = f".transformer_blocks.{number}."
            one, two = own + tail, other + tail
            for norm in ("norm1", "norm2", "norm3"):
                rows.module(one + norm, two + norm, (inner,))
            for name, taken in (("attn1", context if crossed else inner), ("attn2", context)):
                rows.module(f"{one}{name}.to_q", f"{two}{name}.to_q", (inner, inner), bias=False)
                rows.module(f"{one}{name}.to_k", f"{two}{name}.to_k", (inner, taken), bias=False)
                rows.module(f"{one}{name}.to_v", f"{two}{name}.to_v", (inner, taken), bias=False)
                rows.module(f"{one}{name}.to_out.0", f"{two}{name}.to_out.0", (inner, inner))
            rows.module(f"{one}ff.net.0.proj", f"{two}ff.net.0.proj", (8 * inner, inner))
            rows.module(f"{one}ff.net.2", f"{two}ff.net.2", (inner, 4 * inner))
        rows.module(f"{own}.proj_out", f"{other}.proj_out", linear)


# The VAE.


def _vae(rows: _Rows, config: Config) -> None:
    kinds = [*config["down_block_types"], *config["up_block_types"]]
    if (odd := next((kind for kind in kinds if kind.startswith("Attn")), None)) is not None:
        raise _DoubtError(f"it has an {odd}")
    if not isinstance(config["norm_num_groups"], int):
        raise _DoubtError("its norm_num_groups is null")
    widths, latents = config["block_out_channels"], config["latent_channels"]
    _see_divides(config["norm_num_groups"], widths, "groups")
    _encoder(rows, config)
    _decoder(rows, config)
    if config["use_quant_conv"] is not False:
        rows.module("quant_conv", "quant_conv", (2 * latents, 2 * latents, 1, 1))
    if config["use_post_quant_conv"] is not False:
        rows.module("post_quant_conv", "post_quant_conv", (latents, latents, 1, 1))


def _encoder(rows: _Rows, config: Config) -> None:
    widths = config["block_out_channels"]
    rows.module("encoder.conv_in", "encoder.conv_in", (widths[0], config["in_channels"], 3, 3))
    given = widths[0]
    for level, width in enumerate(widths):
        for layer in range(config["layers_per_block"]):
            own, other = f"encoder.down_blocks.{level}.resnets.{layer}", f"encoder.down.{level}.block.{layer}"
            rows.residual(own, other, given if layer == 0 else width, width, None)
        if level < len(widths) - 1:
            own, other = f"encoder.down_blocks.{level}.downsamplers.0.conv", f"encoder.down.{level}.downsample.conv"
            rows.module(own, other, (width, width, 3, 3))
        given = width
    _middle(rows, "encoder", widths[-1], config)
    rows.module("encoder.conv_norm_out", "encoder.norm_out", (widths[-1],))
    rows.module("encoder.conv_out", "encoder.conv_out", (2 * config["latent_channels"], widths[-1], 3, 3))


def _decoder(rows: _Rows, config: Config) -> None:
    widths = config["block_out_channels"]
    rows.module("decoder.conv_in", "decoder.conv_in", (widths[-1], config["latent_channels"], 3, 3))
    _middle(rows, "decoder", widths[-1], config)
    given = widths[-1]
    for place, width in enumerate(reversed(widths)):
        level = len(widths) - 1 - place
        for layer in range(config["layers_per_block"] + 1):
            own, other = f"decoder.up_blocks.{place}.resnets.{layer}", f"decoder.up.{level}.block.{layer}"
            rows.residual(own, other, given if layer == 0 else width, width, None)
        if level:
            own, other = f"decoder.up_blocks.{place}.upsamplers.0.conv", f"decoder.up.{level}.upsample.conv"
            rows.module(own, other, (width, width, 3, 3))
        given = width
    rows.module("decoder.conv_norm_out", "decoder.norm_out", (widths[0],))
    rows.module("decoder.conv_out", "decoder.conv_out", (config["out_channels"], widths[0], 3, 3))


_LDM_ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}


def _middle(rows: _Rows, half: str, width: int, config: Config) -> None:
    rows.residual(f"{half}.mid_block.resnets.0", f"{half}.mid.block_1", width, width, None)
    if config["mid_block_add_attention"] is not False:
        square = (width, width, 1, 1) if rows.spelling == "ldm" else (width, width)
        for own, other in _LDM_ATTENTION.items():
            shape = (width,) if own == "group_norm" else square
            rows.module(f"{half}.mid_block.attentions.0.{own}", f"{half}.mid.attn_1.{other}", shape)
        rows.residual(f"{half}.mid_block.resnets.1", f"{half}.mid.block_2", width, width, None)
    else:
        rows.residual(f"{half}.mid_block.resnets.1", f"{half}.mid.block_2", width, width, None)


# The text encoders.


def _text(rows: _Rows, config: Config, *, projects: bool = False) -> None:
    width, inner, layers = config["hidden_size"], config["intermediate_size"], config["num_hidden_layers"]
    _see_divides(config["num_attention_heads"], (width,), "heads")
    describe = _open_clip if rows.spelling == "open_clip" else _clip
    describe(rows, config, width, inner, layers)
    if rows.spelling == "open_clip":
        rows.cut = rows.prefix + "text_projection", width
    if projects:
        shape, name = (config["projection_dim"], width), "text_projection.weight"
        rows.add(*(("text_projection", shape[::-1]) if rows.spelling == "open_clip" else (name, shape)))


def _clip(rows: _Rows, config: Config, width: int, inner: int, layers: int) -> None:
    rows.add("embeddings.token_embedding.weight", (config["vocab_size"], width))
    rows.add("embeddings.position_embedding.weight", (config["max_position_embeddings"], width))
    for layer in range(layers):
        place = f"encoder.layers.{layer}."
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            rows.module(f"{place}self_attn.{name}", "", (width, width))
        rows.module(f"{place}layer_norm1", "", (width,))
        rows.module(f"{place}layer_norm2", "", (width,))
        rows.module(f"{place}mlp.fc1", "", (inner, width))
        rows.module(f"{place}mlp.fc2", "", (width, inner))
    rows.module("final_layer_norm", "", (width,))


def _open_clip(rows: _Rows, config: Config, width: int, inner: int, layers: int) -> None:
    rows.add("token_embedding.weight", (config["vocab_size"], width))
    rows.add("positional_embedding", (config["max_position_embeddings"], width))
    for layer in range(layers):
        place = f"transformer.resblocks.{layer}."
        rows.add(f"{place}attn.in_proj_weight", (3 * width, width))
        rows.add(f"{place}attn.in_proj_bias", (3 * width,))
        rows.module(f"{place}attn.out_proj", "", (width, width))
        rows.module(f"{place}ln_1", "", (width,))
        rows.module(f"{place}ln_2", "", (width,))
        rows.module(f"{place}mlp.c_fc", "", (inner, width))
        rows.module(f"{place}mlp.c_proj", "", (width, inner))
    rows.module("ln_final", "", (width,))


def _projecting_text(rows: _Rows, config: Config) -> None:
    _text(rows, config, projects=True)


_DESCRIBE = {"unet": _unet, "vae": _vae, "text_encoder": _text, "text_encoder_2": _projecting_text}


def see_widths(
    tensors: Mapping[str, Mapping[str, Any]], config: Config, part: str, path: Path, called: Callable[[str], str] = str
) -> None:
    """Compare the widths that a configuration names with those of the tensors that show them, to name its key.

    Args:
        tensors: What there is.
        config: Of the part, within bounds.
        part: `unet`, `vae` or a text encoder.
        path: What the configuration was read from.
        called: What diffusers' name of a tensor is among `tensors`.

    Raises:
        UnusableError: One is another.
    """
    wanted = _text_widths(config) if part.startswith("text_encoder") else _widths(config, part)
    for key, value, name, axis in wanted:
        entry = tensors.get(called(name))
        shape = () if entry is None else entry["shape"]
        if entry is not None and (len(shape) <= axis or shape[axis] != value):
            raise UnusableError(
                f"{path} does not fit its weights: its {key} is {shown_value(value)}, and {name} is "
                f"{'x'.join(map(str, shape))}.",
                _AGAIN,
            )


def _widths(config: Config, part: str) -> Iterator[tuple[str, int, str, int]]:
    """Key, value, and the tensor and its dimension that must be so long, of a UNet or VAE."""
    channels = config.get("block_out_channels", [320, 640, 1280, 1280] if part == "unet" else [64])
    if part == "unet":
        yield "block_out_channels", channels[0], "conv_in.weight", 0
        yield "in_channels", config.get("in_channels", 4), "conv_in.weight", 1
        yield "out_channels", config.get("out_channels", 4), "conv_out.weight", 0
        width = config.get("cross_attention_dim", 1280)
        if isinstance(width, int):
            name = "mid_block.attentions.0.transformer_blocks.0.attn2.to_k.weight"
            yield "cross_attention_dim", width, name, 1
    else:
        yield "block_out_channels", channels[0], "encoder.conv_in.weight", 0
        yield "in_channels", config.get("in_channels", 3), "encoder.conv_in.weight", 1
        yield "out_channels", config.get("out_channels", 3), "decoder.conv_out.weight", 0
        yield "latent_channels", config.get("latent_channels", 4), "decoder.conv_in.weight", 1


def _text_widths(config: Config) -> Iterator[tuple[str, int, str, int]]:
    """The same of a text encoder."""
    full = {**DEFAULTS["text_encoder"], **config}
    words, places = "embeddings.token_embedding.weight", "embeddings.position_embedding.weight"
    yield "vocab_size", full["vocab_size"], words, 0
    yield "hidden_size", full["hidden_size"], words, 1
    yield "max_position_embeddings", full["max_position_embeddings"], places, 0
    yield "intermediate_size", full["intermediate_size"], "encoder.layers.0.mlp.fc1.weight", 0
    yield "projection_dim", full["projection_dim"], "text_projection.weight", 0
