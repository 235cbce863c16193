"""Model folders: what of one is handed to diffusers, and what never is.

diffusers believes a folder: its index names the classes to import, and releases before 0.42 import code that lies in
it. So no folder is handed over as it is. What may be used of it is written anew elsewhere: an index of ours,
configurations whose every value was looked at, a tokenizer's words. Weights are linked, and safetensors files alone.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from assetctl.errors import UnusableError
from assetctl.files.paths import read_object, write_json
from assetctl.files.safetensors import read_header
from assetctl.generation.bounds import Config, layers_of, refuse_code, shown_value, within_bounds
from assetctl.generation.families import build_of
from assetctl.generation.parts import copy_tokenizer, link_weights, read_tokenizer, refuse_numbers, weight_files

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path


#: What each component may be. Nothing else is ever imported on a configuration's word.
COMPONENTS = {
    "unet": ("diffusers", ("UNet2DConditionModel",)),
    "vae": ("diffusers", ("AutoencoderKL",)),
    "text_encoder": ("transformers", ("CLIPTextModel",)),
    "text_encoder_2": ("transformers", ("CLIPTextModelWithProjection",)),
    "tokenizer": ("transformers", ("CLIPTokenizer", "CLIPTokenizerFast")),
    "tokenizer_2": ("transformers", ("CLIPTokenizer", "CLIPTokenizerFast")),
}

#: Schedulers of diffusers that a folder may name.
_KNOWN_SCHEDULERS = frozenset({
    "PNDMScheduler", "DDIMScheduler", "EulerDiscreteScheduler",
    "DDPMScheduler", "DEISMultistepScheduler", "DPMSolverMultistepScheduler",
    "DPMSolverSDEScheduler", "DPMSolverSinglestepScheduler", "EulerAncestralDiscreteScheduler", "HeunDiscreteScheduler",
    "KDPM2AncestralDiscreteScheduler", "KDPM2DiscreteScheduler", "LCMScheduler", "LMSDiscreteScheduler",
    "SASolverScheduler", "TCDScheduler", "UniPCMultistepScheduler",
})  # fmt: skip

#: Where the parts come from that a folder may name and a picture from text does without. They are left out.
_LIBRARIES = frozenset({"diffusers", "transformers", "stable_diffusion", "stable_diffusion_xl"})

_BESIDE = "Put the right configuration beside the checkpoint, or none."

#: transformers' own widths, for a key that a configuration leaves out.
_TEXT_DEFAULTS = {
    "vocab_size": 49408, "hidden_size": 512, "intermediate_size": 2048, "max_position_embeddings": 77,
    "projection_dim": 512,
}  # fmt: skip


def check_folder(folder: Path, family: str) -> Config:
    """Refuse a diffusers folder whose index names other classes than those of its family, or code.

    Returns:
        The index.

    Raises:
        UnusableError: It does, or the index cannot be read.
    """
    path = folder / "model_index.json"
    index = read_object(path, folder)
    refuse_code(index, path)
    for part in (*build_of(family).parts, "scheduler"):
        if not _is_known(part, index.get(part)):
            raise UnusableError(
                f"{folder} cannot be used: its model_index.json makes {part} {str(index.get(part))[:80]!r}.",
                f"A folder of the family {family} has the parts of a {build_of(family).pipeline}.",
            )
    for key, entry in index.items():
        if not _is_harmless(key, entry):
            raise UnusableError(
                f"{folder} cannot be used: its model_index.json names code of its own as {key[:80]}: "
                f"{str(entry)[:80]!r}.",
                "Look for the same model without code in it: assetctl runs none that comes with a model.",
            )
    return index


def _is_known(part: str, entry: object) -> bool:
    match entry:
        case [str(library), str(name)] if part == "scheduler":
            return library == "diffusers" and name in _KNOWN_SCHEDULERS
        case [str(library), str(name)]:
            wanted, names = COMPONENTS[part]
            return library == wanted and name in names
    return False


def _is_harmless(key: str, entry: object) -> bool:
    """Whether an entry of an index is a setting, or a part of a library that is known."""
    if key == "_class_name":
        return isinstance(entry, str) and re.fullmatch(r"\w{1,100}", entry) is not None
    match entry:
        case [None, None]:
            return True
        case [str(library), str(name)]:
            return library in _LIBRARIES and re.fullmatch(r"\w{1,100}", name) is not None
        case list() | dict():
            return False
    return True


def is_complete(companion: Path) -> bool:
    """Whether a folder beside a checkpoint holds the whole configuration of a pipeline, not a tokenizer alone."""
    return (companion / "unet" / "config.json").is_file()


def check_model(folder: Path, family: str, *, weights: bool = True, own_vae: bool = True) -> None:
    """Look at all that `hand_over` would look at, and write nothing.

    Raises:
        UnusableError: As `hand_over` does.
        FileError: Weights are refused or corrupt.
    """
    check_folder(folder, family)
    for part in _used(family, own_vae=own_vae):
        if part.startswith("tokenizer"):
            read_tokenizer(folder / part, folder)
        else:
            _read_part(folder, part, weights=weights)


def hand_over(
    folder: Path,
    family: str,
    into: Path,
    *,
    weights: bool = True,
    own_vae: bool = True,
    like: Mapping[str, Config] | None = None,
) -> Path:
    """Write what may be used of a model folder to where diffusers can have it.

    Args:
        folder: A diffusers pipeline, or the configuration of one that stands beside a checkpoint.
        family: `sd1`, `sd2` or `sdxl`.
        into: An empty folder, which nobody else writes to.
        weights: Whether the weights are wanted too.
        own_vae: Whether its VAE is wanted.
        like: What a single-file checkpoint's tensors say of its parts; what the folder says must agree.

    Returns:
        `into`.

    Raises:
        UnusableError: It asks for code, a value is out of bounds, or it does not fit its weights.
        FileError: Weights are refused or corrupt.
    """
    given = check_folder(folder, family)
    index = model_index(family) | {"scheduler": given["scheduler"]}
    zeros = given.get("force_zeros_for_empty_prompt", True)
    if "force_zeros_for_empty_prompt" in index:
        index["force_zeros_for_empty_prompt"] = bool(zeros)
    write_json(into / "model_index.json", index)
    for part in _used(family, own_vae=own_vae):
        if part.startswith("tokenizer"):
            copy_tokenizer(folder / part, folder, into / part)
            continue
        config = _read_part(folder, part, weights=weights)
        if like is not None and part in like:
            _compare(config, like[part], part, folder / part / "config.json")
        _write_part(into / part, config, part)
        if weights and part != "scheduler":
            link_weights(folder / part, COMPONENTS[part][0], into / part)
    return into


def model_index(family: str) -> Config:
    """The components of a family's pipeline, and none besides."""
    build = build_of(family)
    index: Config = {part: [COMPONENTS[part][0], COMPONENTS[part][1][0]] for part in build.parts}
    index |= {"_class_name": build.pipeline, "scheduler": ["diffusers", build.scheduler]}
    index |= {"feature_extractor": [None, None], "image_encoder": [None, None]}
    if build.told.zeros_for_nothing:
        return index | {"force_zeros_for_empty_prompt": True}
    return index | {"safety_checker": [None, None], "requires_safety_checker": False}


def hand_over_vae(folder: Path, into: Path) -> Path:
    """Write what may be used of a VAE's folder to where diffusers can have it; see `hand_over`.

    Raises:
        UnusableError: It asks for code, a value is out of bounds, or it does not fit its weights.
        FileError: Weights are refused or corrupt.
    """
    _write_part(into, checked_vae(folder), "vae")
    link_weights(folder, "diffusers", into)
    return into


def checked_vae(folder: Path) -> Config:
    """The configuration of a VAE's folder, which fits its weights.

    Raises:
        UnusableError, FileError: As `hand_over_vae` does.
    """
    config = within_bounds(read_object(folder / "config.json", folder), "vae", folder / "config.json")
    _check_weights(config, "vae", folder, folder / "config.json")
    return config


def _used(family: str, *, own_vae: bool) -> list[str]:
    return [part for part in (*build_of(family).parts, "scheduler") if own_vae or part != "vae"]


def _config_path(folder: Path, part: str) -> Path:
    return folder / part / ("scheduler_config.json" if part == "scheduler" else "config.json")


def _read_part(folder: Path, part: str, *, weights: bool) -> Config:
    path = _config_path(folder, part)
    read = read_object(path, folder)
    if part.startswith("text_encoder"):
        read = _text_config(read, path)
    config = within_bounds(read, part, path)
    if weights and part != "scheduler":
        _check_weights(config, part, folder / part, path)
    return config


def _text_config(config: Config, path: Path) -> Config:
    """The text half of what was written for both of CLIP's halves."""
    refuse_code(config, path)
    inner = config.get("text_config")
    return inner if config.get("model_type") == "clip" and isinstance(inner, dict) else config


def _write_part(into: Path, config: Config, part: str) -> None:
    name = "scheduler_config.json" if part == "scheduler" else "config.json"
    if part.startswith("text_encoder"):
        config = config | {"architectures": [COMPONENTS[part][1][0]], "model_type": "clip_text_model"}
    elif part in COMPONENTS:
        config = config | {"_class_name": COMPONENTS[part][1][0]}
    write_json(into / name, config)


def _check_weights(config: Config, part: str, folder: Path, path: Path) -> None:
    """Compare a configuration with the tensors that it is to describe."""
    shapes: dict[str, tuple[int, ...]] = {}
    for file in weight_files(folder, COMPONENTS[part][0]):
        header = read_header(file)
        refuse_numbers(header)
        shapes |= {name.removeprefix("text_model."): header.shape(name) or () for name in header.tensors}
    wanted = _text_widths(config) if part.startswith("text_encoder") else _widths(config, part)
    for key, value, name, axis in wanted:
        shape = shapes.get(name)
        if shape is not None and (len(shape) <= axis or shape[axis] != value):
            there = "x".join(map(str, shape))
            raise UnusableError(
                f"{path} does not fit its weights: its {key} is {shown_value(value)}, and {name} is {there}.",
                "Fetch the folder again, or choose another checkpoint.",
            )
    wanted_layers, layers = layers_of(config, part), _layers_there(shapes, part)
    if wanted_layers > layers:
        raise UnusableError(
            f"{path} does not fit its weights: it asks for {wanted_layers} layers, and {layers} are there.",
            "Fetch the folder again, or choose another checkpoint.",
        )


#: Layers as `layers_of` counts them, by the beginnings of their tensors' names.
_LAYERS = {
    "unet": re.compile(r"\ndown_blocks\.(\d+\.(?:resnets|attentions\.\d+\.transformer_blocks)\.\d+)\."),
    "vae": re.compile(r"\nencoder\.down_blocks\.(\d+\.resnets\.\d+)\."),
}
_TEXT_LAYERS = re.compile(r"\nencoder\.layers\.(\d+)\.")


def _layers_there(names: Iterable[str], part: str) -> int:
    """How many of a part's layers have tensors."""
    return len(set(_LAYERS.get(part, _TEXT_LAYERS).findall("\n" + "\n".join(names))))


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
    full = _TEXT_DEFAULTS | config
    words, places = "embeddings.token_embedding.weight", "embeddings.position_embedding.weight"
    yield "vocab_size", full["vocab_size"], words, 0
    yield "hidden_size", full["hidden_size"], words, 1
    yield "max_position_embeddings", full["max_position_embeddings"], places, 0
    yield "intermediate_size", full["intermediate_size"], "encoder.layers.0.mlp.fc1.weight", 0
    yield "projection_dim", full["projection_dim"], "text_projection.weight", 0


def _compare(config: Config, like: Config, part: str, path: Path) -> None:
    """Compare a configuration with what a single file's tensors say."""
    keys = (
        ("vocab_size", "hidden_size", "intermediate_size", "max_position_embeddings")
        if part.startswith("text_encoder")
        else ("in_channels", "out_channels", "block_out_channels", "cross_attention_dim", "latent_channels")
    )
    full = _TEXT_DEFAULTS | config if part.startswith("text_encoder") else config
    for key in keys:
        if key in like and key in full and full[key] != like[key]:
            raise UnusableError(
                f"{path} does not fit the checkpoint beside it: its {key} is {shown_value(full[key])}, and "
                f"the tensors' is {shown_value(like[key])}.",
                _BESIDE,
            )
    wanted, there = layers_of(config, part), layers_of(like, part)
    if part != "scheduler" and wanted > there:
        raise UnusableError(
            f"{path} does not fit the checkpoint beside it: it asks for {wanted} layers, and {there} are there.",
            _BESIDE,
        )
