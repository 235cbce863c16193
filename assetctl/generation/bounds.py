"""What a configuration, or a LoRA, may ask for: nothing is built on the word of a file before that is looked at.

A model folder is anyone's, and its configurations decide how many layers are built and how wide they are. Each key that
takes memory or time has its bounds here, far beyond any model that was published; of others, only plain values are
taken. The keys are those of diffusers' `UNet2DConditionModel`, `AutoencoderKL` and schedulers, and of transformers'
`CLIPTextConfig`.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

from assetctl.errors import UnusableError
from assetctl.files.safetensors import FLOATS, NUMBERS
from assetctl.tensors.adapters import EMBEDDINGS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from assetctl.files.safetensors import Header

Config = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Number:
    """A number from `low` to `high`, both included.

    Attributes:
        whole: Whether it has no fraction.
        many: The longest list that may stand in its place; 0 for none.
        deep: Whether such a list may hold lists.
        must: Whether it has to be one: `null` will not do.
        alone: Whether it may stand without a list.
    """

    low: float
    high: float
    whole: bool = True
    many: int = 0
    deep: bool = False
    must: bool = True
    alone: bool = True

    def fits(self, value: object) -> bool:
        """Whether `value` is such a number, or such a list."""
        if value is None:
            return not self.must
        if isinstance(value, list):
            return 0 < len(value) <= self.many and all(self._fits_inside(each) for each in value)
        return self.alone and self._is_one(value)

    def _fits_inside(self, value: object) -> bool:
        if isinstance(value, list):
            return self.deep and 0 < len(value) <= self.many and all(map(self._is_one, value))
        return self._is_one(value)

    def _is_one(self, value: object) -> bool:
        kinds = int if self.whole else (int, float)
        return isinstance(value, kinds) and not isinstance(value, bool) and self.low <= value <= self.high

    def __str__(self) -> str:
        kind = "a whole number" if self.whole else "a number"
        bounds = f"{kind} from {self.low:g} to {self.high:g}"
        if not self.many:
            return bounds
        return f"{bounds}, or up to {self.many} of them" if self.alone else f"up to {self.many} times {bounds}"


@dataclass(frozen=True, slots=True)
class Word:
    """One of a few words."""

    words: tuple[str | None, ...]

    def fits(self, value: object) -> bool:
        """Whether `value` is one of them."""
        return value in self.words

    def __str__(self) -> str:
        return f"one of {', '.join(word or 'null' for word in self.words)}"


@dataclass(frozen=True, slots=True)
class WordList:
    """A short list of words: the types of a network's levels."""

    most: int
    words: tuple[str, ...]

    def fits(self, value: object) -> bool:
        """Whether `value` is such a list."""
        return isinstance(value, list) and 0 < len(value) <= self.most and all(each in self.words for each in value)

    def __str__(self) -> str:
        return f"up to {self.most} of {', '.join(self.words)}"


@dataclass(frozen=True, slots=True)
class Name:
    """The name of a way to do something, which the libraries know; or none."""

    def fits(self, value: object) -> bool:
        """Whether `value` may be one."""
        return value is None or (isinstance(value, str) and re.fullmatch(r"[\w+-]{1,64}", value) is not None)

    def __str__(self) -> str:
        return "a name"


@dataclass(frozen=True, slots=True)
class Flag:
    """`true` or `false`, or neither."""

    many: int = 0

    def fits(self, value: object) -> bool:
        """Whether `value` is one, or a short list of them."""
        if isinstance(value, list):
            return 0 < len(value) <= self.many and all(isinstance(each, bool) for each in value)
        return value is None or isinstance(value, bool)

    def __str__(self) -> str:
        return "true or false"


Bound = Number | Word | WordList | Name | Flag


def _all(bound: Bound, *keys: str) -> dict[str, Bound]:
    return dict.fromkeys(keys, bound)


#: Levels of a network, one half as large as the one before; its widest layer; a picture's side, in pixels or latents.
_LEVELS, _WIDEST, _SIDE = 8, 16_384, 16_384

_WIDTHS = Number(1, _WIDEST, many=_LEVELS, alone=False)
_GROUPS = Number(1, 1024, must=False)
_CHANNELS = Number(1, 128)
_FACTOR = Number(-1e6, 1e6, whole=False)
_POSITIVE = Number(1e-6, 1e6, whole=False)
_BETA = Number(1e-9, 1, whole=False)
_SHARE = Number(0, 1, whole=False)
_WIDTH_OR_NONE = Number(1, 4 * _WIDEST, must=False)

_ACTIVATIONS = Word(("silu", "swish", "gelu", "mish", "relu"))

#: Types of a UNet's levels.
_DOWN = (
    "CrossAttnDownBlock2D", "DownBlock2D", "AttnDownBlock2D", "ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D",
)  # fmt: skip


def _up(word: str) -> str:
    return word.replace("Downsample", "Upsample").replace("Down", "Up")


_UNET: dict[str, Bound] = {
    "in_channels": _CHANNELS, "out_channels": _CHANNELS, "block_out_channels": _WIDTHS,
    "sample_size": Number(1, _SIDE, many=2, must=False),
    "down_block_types": WordList(_LEVELS, _DOWN),
    "up_block_types": WordList(_LEVELS, tuple(_up(word) for word in _DOWN)),
    "mid_block_type": Word(("UNetMidBlock2DCrossAttn", "UNetMidBlock2DSimpleCrossAttn", "UNetMidBlock2D", None)),
    "layers_per_block": Number(1, 16, many=_LEVELS),
    "transformer_layers_per_block": Number(0, 64, many=_LEVELS, deep=True),
    "reverse_transformer_layers_per_block": Number(0, 64, many=_LEVELS, deep=True, must=False, alone=False),
    "attention_head_dim": Number(1, 2048, many=_LEVELS),
    "num_attention_heads": Number(1, 2048, many=_LEVELS, must=False),
    "cross_attention_dim": Number(1, _WIDEST, many=_LEVELS, must=False), "norm_num_groups": _GROUPS,
    "conv_in_kernel": Number(1, 9), "conv_out_kernel": Number(1, 9), "downsample_padding": Number(0, 8),
    "encoder_hid_dim": _WIDTH_OR_NONE, "addition_time_embed_dim": _WIDTH_OR_NONE, "time_embedding_dim": _WIDTH_OR_NONE,
    "time_cond_proj_dim": _WIDTH_OR_NONE, "projection_class_embeddings_input_dim": _WIDTH_OR_NONE,
    "addition_embed_type_num_heads": Number(1, 2048), "num_class_embeds": Number(1, 10_000, must=False),
    "norm_eps": _SHARE, "dropout": _SHARE, "freq_shift": _FACTOR,
    "mid_block_scale_factor": _POSITIVE, "resnet_out_scale_factor": _POSITIVE,
    "only_cross_attention": Flag(_LEVELS), "act_fn": _ACTIVATIONS,
    **_all(
        Flag(), "center_input_sample", "flip_sin_to_cos", "dual_cross_attention", "use_linear_projection",
        "upcast_attention", "resnet_skip_time_act", "class_embeddings_concat", "mid_block_only_cross_attention",
    ),
    **_all(
        Name(), "encoder_hid_dim_type", "class_embed_type", "addition_embed_type", "resnet_time_scale_shift",
        "time_embedding_type", "attention_type", "cross_attention_norm",
    ),
    **_all(Word((None, *_ACTIVATIONS.words)), "time_embedding_act_fn", "timestep_post_act"),
}  # fmt: skip

_VAE: dict[str, Bound] = {
    "in_channels": _CHANNELS, "out_channels": _CHANNELS, "latent_channels": _CHANNELS, "block_out_channels": _WIDTHS,
    "down_block_types": WordList(_LEVELS, ("DownEncoderBlock2D", "AttnDownEncoderBlock2D")),
    "up_block_types": WordList(_LEVELS, ("UpDecoderBlock2D", "AttnUpDecoderBlock2D")),
    "layers_per_block": Number(1, 16),
    "act_fn": _ACTIVATIONS,
    **_all(Flag(), "force_upcast", "use_quant_conv", "use_post_quant_conv", "mid_block_add_attention"),
    "norm_num_groups": _GROUPS, "sample_size": Number(1, _SIDE, many=2), "scaling_factor": _POSITIVE,
    "shift_factor": Number(-1e6, 1e6, whole=False, must=False),
    "latents_mean": Number(-1e6, 1e6, whole=False, many=128, must=False),
    "latents_std": Number(-1e6, 1e6, whole=False, many=128, must=False),
}  # fmt: skip

_TEXT_ENCODER: dict[str, Bound] = {
    "vocab_size": Number(2, 2**20), "hidden_size": Number(1, _WIDEST), "intermediate_size": Number(1, 8 * _WIDEST),
    "projection_dim": Number(1, _WIDEST), "num_hidden_layers": Number(1, 128), "num_attention_heads": Number(1, 2048),
    "max_position_embeddings": Number(8, 8192), "layer_norm_eps": _SHARE, "attention_dropout": _SHARE,
    "hidden_act": Word(("quick_gelu", "gelu", "gelu_new", "gelu_pytorch_tanh", "relu", "silu", "swish")),
    "pad_token_id": Number(-1, 2**20, must=False),
    "bos_token_id": Number(-1, 2**20, must=False), "eos_token_id": Number(-1, 2**20, must=False),
}  # fmt: skip

_MAYBE = Number(0, 1e6, whole=False, must=False)

_SCHEDULER: dict[str, Bound] = {
    "num_train_timesteps": Number(1, 10_000), "original_inference_steps": Number(1, 10_000),
    "beta_start": _BETA, "beta_end": _BETA, "steps_offset": Number(0, 1000), "solver_order": Number(1, 4),
    "trained_betas": Number(0, 1, whole=False, many=10_000, must=False, alone=False),
    "beta_schedule": Word(("linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid", "laplace", "exp")),
    "prediction_type": Word(("epsilon", "v_prediction", "sample")),
    "timestep_spacing": Word(("leading", "linspace", "trailing")),
    "sigma_min": _MAYBE, "sigma_max": _MAYBE, "clip_sample_range": _POSITIVE, "sample_max_value": _POSITIVE,
    "lambda_min_clipped": Number(-math.inf, 1e6, whole=False),
    "dynamic_thresholding_ratio": _SHARE, "timestep_scaling": _POSITIVE,
    **_all(
        Flag(), "clip_sample", "set_alpha_to_one", "skip_prk_steps", "thresholding", "rescale_betas_zero_snr",
        "use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas", "use_flow_sigmas", "lower_order_final",
        "euler_at_final", "use_lu_lambdas",
    ),
    "algorithm_type": Word((
        "dpmsolver", "dpmsolver++", "sde-dpmsolver", "sde-dpmsolver++", "deis", "data_prediction",
        "noise_prediction", None,
    )),
    "solver_type": Word(("midpoint", "heun", "logrho", "bh1", "bh2", None)),
    "final_sigmas_type": Word(("zero", "sigma_min", None)),
    **_all(Name(), "variance_type", "interpolation_type", "timestep_type"),
}  # fmt: skip

#: What a scheduler's class takes of words that others take too; diffusers puts its own in place of some of these.
_MULTISTEP = ("dpmsolver", "dpmsolver++", "deis")
_TAKEN: dict[str, tuple[str, ...]] = {
    "DPMSolverMultistepScheduler": (*_MULTISTEP, "sde-dpmsolver", "sde-dpmsolver++"),
    "DPMSolverSinglestepScheduler": (*_MULTISTEP, "sde-dpmsolver++"),
    "DEISMultistepScheduler": _MULTISTEP,
    "SASolverScheduler": ("data_prediction", "noise_prediction"),
}
_SOLVING = frozenset({
    "DPMSolverMultistepScheduler", "DPMSolverSinglestepScheduler", "DEISMultistepScheduler", "UniPCMultistepScheduler",
})  # fmt: skip
_ENDING = ("DPMSolverMultistepScheduler", "DPMSolverSinglestepScheduler")
_BETAS = {"DDPMScheduler": ("laplace", "sigmoid"), "HeunDiscreteScheduler": ("exp",)}

#: Schedules of which a class takes one, and the classes that take none of them.
_ONE_OF = ("use_beta_sigmas", "use_exponential_sigmas", "use_karras_sigmas")
_UNSCHEDULED = frozenset({
    "PNDMScheduler", "DDIMScheduler", "DDPMScheduler", "EulerAncestralDiscreteScheduler", "LCMScheduler",
    "TCDScheduler",
})  # fmt: skip

_PARTS: dict[str, dict[str, Bound]] = {
    "unet": _UNET, "vae": _VAE, "text_encoder": _TEXT_ENCODER, "text_encoder_2": _TEXT_ENCODER, "scheduler": _SCHEDULER,
}  # fmt: skip

#: Keys of a configuration that ask for code, or for libraries, that nobody here chose.
_CODE = ("auto_map", "custom_pipeline", "custom_code", "trust_remote_code", "custom_pipelines")

#: Of keys without bounds of their own: the longest word, the longest list, the largest number.
_LONGEST_WORD, _LONGEST_LIST, _LARGEST = 256, 64, 65_536

#: Of one network. SDXL's UNet has 30 on its way down.
_MOST_LAYERS = 1024

_HINT = "Fetch the folder again, or restore the value that its source has."


def within_bounds(config: Mapping[str, Any], part: str, path: Path) -> Config:
    """A part's configuration with nothing in it but what may be built, or the sentence on what is wrong with it.

    Args:
        config: What `path` holds.
        part: `unet`, `vae`, `text_encoder`, `text_encoder_2` or `scheduler`.
        path: The file to name.

    Raises:
        UnusableError: It asks for code, or a value is out of bounds.
    """
    refuse_code(config, path)
    bounds, is_text = _PARTS[part], part.startswith("text_encoder")
    kept: Config = {}
    for key, value in config.items():
        if key.startswith("_") or (is_text and key not in bounds):
            continue  # notes of who wrote it; and what else transformers would act upon
        bound = bounds.get(key)
        if bound is not None and not bound.fits(value):
            raise UnusableError(
                f"{path} cannot be used: its {key} is {shown_value(value)}, which is not {bound}.", _HINT
            )
        if bound is None and not _is_plain(value):
            raise UnusableError(
                f"{path} cannot be used: its {key} is {shown_value(value)}, which is not a setting.", _HINT
            )
        kept[key] = value
    _check_levels(kept, part, path)
    if (layers := layers_of(kept, part)) > _MOST_LAYERS:
        raise UnusableError(f"{path} cannot be used: it asks for {layers} layers.", _HINT)
    return kept


def see_scheduler(config: Mapping[str, Any], kind: str, path: Path) -> None:
    """See that a class of scheduler can be made of a configuration that is within bounds: making it would fail.

    Args:
        config: What `path` holds.
        kind: The class of diffusers that is to be made of it.
        path: The file to name.

    Raises:
        UnusableError: It cannot.
    """
    taken: dict[str, tuple[str, ...]] = {}
    if kind in _TAKEN:
        taken["algorithm_type"] = _TAKEN[kind]
    if kind in _SOLVING:
        taken["solver_type"] = ("midpoint", "heun", "logrho", "bh1", "bh2")
    if config.get("trained_betas") is None:
        taken["beta_schedule"] = ("linear", "scaled_linear", "squaredcos_cap_v2", *_BETAS.get(kind, ()))
    for key, words in taken.items():
        if key in config and config[key] not in words:
            told = f"its {key} is {shown_value(config[key])}, and a {kind} takes {', '.join(words)}"
            raise UnusableError(f"{path} cannot be used: {told}.", _HINT)
    asked = [] if kind in _UNSCHEDULED else [key for key in _ONE_OF if config.get(key)]
    if len(asked) > 1:
        told = f"it asks for {' and '.join(asked)}, and a {kind} takes one of them"
        raise UnusableError(f"{path} cannot be used: {told}.", _HINT)
    way = config.get("algorithm_type", "dpmsolver++")
    if kind in _ENDING and not way.endswith("++") and config.get("final_sigmas_type", "zero") == "zero":
        told = f"with the algorithm_type {way}, its final_sigmas_type has to be sigma_min"
        raise UnusableError(f"{path} cannot be used: {told}.", _HINT)


def layers_of(config: Mapping[str, Any], part: str) -> int:
    """How many layers a checked configuration asks for, at least: residual and attention blocks on a UNet's way down,
    and the like. Each has tensors of its own.
    """
    if part.startswith("text_encoder"):
        return int(config.get("num_hidden_layers", 12))
    if part not in ("unet", "vae"):
        return 0
    levels = len(config.get("block_out_channels", ()))
    layers = _per_level(config.get("layers_per_block", 1), levels)
    depths = _per_level(config.get("transformer_layers_per_block", 1), levels)
    types = config.get("down_block_types", ())
    attends = [level < len(types) and types[level] == "CrossAttnDownBlock2D" for level in range(levels)]
    return sum(
        count + attending * (sum(depth) if isinstance(depth, list) else count * depth)
        for count, depth, attending in zip(layers, depths, attends, strict=True)
    )


def _per_level(value: Any, levels: int) -> list[Any]:  # noqa: ANN401 - a number, or a list of numbers or lists
    return [*value, *[0] * levels][:levels] if isinstance(value, list) else [value] * levels


def refuse_code(config: Mapping[str, Any], path: Path) -> None:
    """Refuse a configuration that asks for code of its own.

    Raises:
        UnusableError: It does.
    """
    for key in _CODE:
        if config.get(key):
            raise UnusableError(
                f"{path} cannot be used: its {key} asks for code, which assetctl never runs.",
                "Look for the same model as a folder, or a safetensors file, without code in it.",
            )
    if config.get("quantization_config"):
        raise UnusableError(
            f"{path} cannot be used: its weights are packed (quantization_config), which assetctl does not unpack.",
            "Look for the same model in fp16, bf16 or fp32.",
        )


def _check_levels(config: Config, part: str, path: Path) -> None:
    """Each level of a network has a type on its way down, one on its way up, and a width."""
    keys = ("down_block_types", "up_block_types", "block_out_channels")
    lengths = {key: len(config[key]) for key in keys if key in config}
    if part in ("unet", "vae") and len(set(lengths.values())) > 1:
        counts = ", ".join(f"{count} {key}" for key, count in lengths.items())
        raise UnusableError(f"{path} cannot be used: its levels do not agree ({counts}).", _HINT)


def shown_value(value: object) -> str:
    """A value as a sentence can have it."""
    text = repr(value)[:60] if isinstance(value, int | float | str | bool | None) else f"a {_KINDS.get(type(value))}"
    return text.replace("\n", " ")


_KINDS: dict[type, str] = {list: "list that holds other things, or too many", dict: "table"}


def _is_word(value: object) -> bool:
    return isinstance(value, str) and len(value) <= _LONGEST_WORD


def _is_plain(value: object) -> bool:
    """Whether a value is harmless: a word, a flag, a number of usual size, or a short list of these."""
    if isinstance(value, list):
        return len(value) <= _LONGEST_LIST and not any(isinstance(each, list) or not _is_plain(each) for each in value)
    if value is None or isinstance(value, bool) or _is_word(value):
        return True
    return isinstance(value, int | float) and abs(value) <= _LARGEST  # which neither NaN nor infinity is


#: What would be an expression rather than a name, where peft looks for modules of a name.
_EXPRESSION = re.compile(r"[\\()\[\]{}*+?|^$\x00-\x1f]")
#: Its characters, but for what stands between names: looked for one by one, they cost a tenth of an expression.
_MARKS = [char for char in map(chr, range(128)) if _EXPRESSION.match(char) and char != "\n"]

#: What an alpha may be written as.
_WHOLE = ("I16", "I32", "I64", "U8", "I8")

_ELSEWHERE = "Fetch it again, or leave it out."


#: How tensors end of changes that diffusers would stumble over, though it applies what is beside them.
_NOT_READ = {
    ".lora_mid.weight": "convolutions in three parts",
    ".mid.weight": "convolutions in three parts",
    ".lora_up.bias": "biases of its own",
    ".reshape_weight": "reshaped weights",
}


def check_lora(name: str, header: Header) -> None:
    """Look at the names and the numbers of a LoRA's tensors, whose names peft takes for expressions.

    Args:
        name: What the LoRA is called.
        header: Its.

    Raises:
        UnusableError: A name or a kind of number is none that a trainer writes.
    """
    tensors = header.tensors
    names = header.names
    if any(mark in names for mark in _MARKS) or names.count("\n") != len(tensors) + 1:
        odd = next((each for each in tensors if _EXPRESSION.search(each) and not each.startswith(EMBEDDINGS)), None)
        if odd is not None:  # embeddings that came along are not handed over, and `.*` ends their names
            raise UnusableError(f"The LoRA {name} has a tensor of an unknown name: {odd[:60]!r}.", _ELSEWHERE)
    if header.has_empty:  # without a byte in it, it could claim any rank
        empty = next(tensor for tensor, entry in tensors.items() if 0 in entry["shape"])
        raise UnusableError(f"The LoRA {name} is damaged: {empty} is empty.", _ELSEWHERE)
    if (what := next((what for ending, what in _NOT_READ.items() if f"{ending}\n" in names), None)) is not None:
        hint = "Leave it out, or convert it to a plain LoRA with a tool such as sd-scripts."
        raise UnusableError(f"The LoRA {name} has {what}, which diffusers does not apply.", hint)
    alphas = [tensor for tensor in tensors if tensor.endswith(".alpha")]
    if (odd := next((alpha for alpha in alphas if prod(tensors[alpha]["shape"]) != 1), None)) is not None:
        raise UnusableError(f"The LoRA {name} is damaged: {odd} is not one number.", _ELSEWHERE)
    if header.kinds <= FLOATS:
        return
    for tensor, entry in tensors.items():
        kind = entry["dtype"]
        if kind not in FLOATS and not (tensor.endswith("alpha") and kind in _WHOLE):
            held = NUMBERS.get(kind, kind)
            raise UnusableError(f"The LoRA {name} cannot be used: {tensor} holds {held}.", _ELSEWHERE)
