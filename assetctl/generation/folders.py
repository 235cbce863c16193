"""Model folders: what of one is handed to diffusers, and what never is.

diffusers believes a folder: its index names the classes to import, and releases before 0.42 import code that lies in
it. So no folder is handed over as it is. What may be used of it is written anew elsewhere: an index of ours,
configurations whose every value was looked at, a tokenizer's words. Weights are linked, and safetensors files alone.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from assetctl.errors import UnusableError
from assetctl.files.paths import read_object, write_json
from assetctl.generation.bounds import Config, refuse_code, shown_value, within_bounds
from assetctl.generation.families import build_of
from assetctl.generation.parts import SPECIAL, copy_tokenizer, link_weights, read_tokenizer, tensors_of
from assetctl.generation.weights import DEFAULTS, see_weights

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    #: Sees that a part of a single file is as a configuration, and the file that it was read from, have it.
    SeePart = Callable[[str, Config, Path], str | None]


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


def check_model(folder: Path, family: str, *, own_vae: bool = True, see_part: SeePart | None = None) -> tuple[str, ...]:
    """Look at all that `hand_over` would look at, and write nothing.

    Returns:
        Doubts: what of its configurations is not understood.

    Raises:
        UnusableError: As `hand_over` does.
        FileError: Weights are refused or corrupt.
    """
    return _checked(folder, family, own_vae=own_vae, see_part=see_part)[1]


def hand_over(folder: Path, family: str, into: Path, *, own_vae: bool = True, see_part: SeePart | None = None) -> Path:
    """Write what may be used of a model folder to where diffusers can have it.

    Args:
        folder: A diffusers pipeline, or the configuration of one that stands beside a checkpoint.
        family: `sd1`, `sd2` or `sdxl`.
        into: An empty folder, which nobody else writes to.
        own_vae: Whether its VAE is wanted.
        see_part: Of a configuration beside a checkpoint, whose weights are elsewhere: looks at these.

    Returns:
        `into`.

    Raises:
        UnusableError: It asks for code, a value is out of bounds, or it does not fit its weights.
        FileError: Weights are refused or corrupt.
    """
    parts, _ = _checked(folder, family, own_vae=own_vae, see_part=see_part)
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
        _write_part(into / part, parts[part], part)
        if see_part is None and part != "scheduler":
            link_weights(folder / part, COMPONENTS[part][0], into / part)
    return into


def _checked(
    folder: Path, family: str, *, own_vae: bool, see_part: SeePart | None
) -> tuple[dict[str, Config], tuple[str, ...]]:
    """The configurations of the parts that are used, and what of them is in doubt."""
    check_folder(folder, family)
    used = _used(family, own_vae=own_vae)
    parts = {part: _read_part(folder, part) for part in used if not part.startswith("tokenizer")}
    see = see_part or (lambda part, config, path: _see_own(folder / part, part, config, path))
    doubts = [see(part, config, _config_path(folder, part)) for part, config in parts.items() if part != "scheduler"]
    see_together(parts, family, folder)
    for part in (name for name in used if name.startswith("tokenizer")):
        words, _, settings = read_tokenizer(folder / part, folder)
        encoder = parts[part.replace("tokenizer", "text_encoder")]
        _see_words(words, settings, encoder, folder / part)
    return parts, tuple(doubt for doubt in doubts if doubt is not None)


def see_together(parts: Mapping[str, Config], family: str, model: Path) -> None:
    """See that what one part of a model gives is as wide as what another takes: drawing would fail.

    Args:
        parts: Configurations by their names: the UNet's, its text encoders', and the VAE's where that is used.
        family: Its.
        model: What they are of, to be named.

    Raises:
        UnusableError: It is not; or the UNet paints over a given picture.
    """
    full = {part: DEFAULTS.get(part, {}) | config for part, config in parts.items()}
    unet, sized = full["unet"], build_of(family).told.sizes
    given = sum(config["hidden_size"] for part, config in full.items() if part.startswith("text_encoder"))
    taken = unet.get("encoder_hid_dim") or unet["cross_attention_dim"]
    if any(width != given for width in (taken if isinstance(taken, list) else [taken])):
        what = f"its text encoders give {given} numbers for a word, and its UNet takes {shown_value(taken)}"
        raise UnusableError(f"{model} cannot be used: {what}.", _ANOTHER)
    if unet["in_channels"] != unet["out_channels"]:
        raise UnusableError(
            f"{model} paints over a given picture and cannot make one from text alone.",
            "Choose a checkpoint without a variant: `assetctl list --kind checkpoint`.",
        )
    latents = full["vae"]["latent_channels"] if "vae" in full else unet["in_channels"]
    if latents != unet["in_channels"]:
        what = f"its UNet paints {unet['in_channels']} channels, and its VAE reads {latents}"
        raise UnusableError(f"{model} cannot be used: {what}.", _ANOTHER)
    if (unet.get("addition_embed_type") == "text_time") != sized:
        what = (
            f"its UNet is {'not ' if sized else ''}told of sizes, which those of {family} are{'' if sized else ' not'}"
        )
        raise UnusableError(f"{model} cannot be used: {what}.", _ANOTHER)
    if sized:
        pooled, each = full["text_encoder_2"]["projection_dim"], unet.get("addition_time_embed_dim") or 0
        taken = unet.get("projection_class_embeddings_input_dim")
        if taken != pooled + 6 * each:
            what = f"its UNet is told of sizes by {taken} numbers, and {pooled} + 6 x {each} are given"
            raise UnusableError(f"{model} cannot be used: {what}.", _ANOTHER)


_ANOTHER = "Fetch it again, or choose another checkpoint."


def _see_own(folder: Path, part: str, config: Config, path: Path) -> str | None:
    """Compare a configuration with the tensors in its folder that it is to describe."""
    tensors = tensors_of(folder, COMPONENTS[part][0])
    see_widths(tensors, config, part, path)
    return see_weights(tensors, config, part, file=folder, source=path)


def _see_words(words: Iterable[str], settings: Mapping[str, Any], encoder: Config, folder: Path) -> None:
    """See that a text encoder knows the words of its tokenizer: it may have spare rows, but none too few."""
    special = (settings.get(key) for key in SPECIAL)
    added = (*settings.get("added_tokens_decoder", {}).values(), *special)
    count = len({*words, *(each["content"] if isinstance(each, dict) else each for each in added if each is not None)})
    rows = (DEFAULTS["text_encoder"] | encoder)["vocab_size"]
    if not rows // 2 <= count <= rows:
        raise UnusableError(
            f"{folder} has {count} words, and the text encoder knows {rows}.",
            "The tokenizer is missing or damaged: fetch the checkpoint again.",
        )


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
    _write_part(into, checked_vae(folder)[0], "vae")
    link_weights(folder, "diffusers", into)
    return into


def checked_vae(folder: Path) -> tuple[Config, tuple[str, ...]]:
    """The configuration of a VAE's folder, which fits its weights; and what of it is in doubt.

    Raises:
        UnusableError, FileError: As `hand_over_vae` does.
    """
    path = folder / "config.json"
    config = within_bounds(read_object(path, folder), "vae", path)
    doubt = _see_own(folder, "vae", config, path)
    return config, () if doubt is None else (doubt,)


def _used(family: str, *, own_vae: bool) -> list[str]:
    return [part for part in (*build_of(family).parts, "scheduler") if own_vae or part != "vae"]


def _config_path(folder: Path, part: str) -> Path:
    return folder / part / ("scheduler_config.json" if part == "scheduler" else "config.json")


def _read_part(folder: Path, part: str) -> Config:
    path = _config_path(folder, part)
    read = read_object(path, folder)
    if part.startswith("text_encoder"):
        read = _text_config(read, path)
    return within_bounds(read, part, path)


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
    write_json(into / name, DEFAULTS.get(part, {}) | config)


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
                _ANOTHER,
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
    full = DEFAULTS["text_encoder"] | config
    words, places = "embeddings.token_embedding.weight", "embeddings.position_embedding.weight"
    yield "vocab_size", full["vocab_size"], words, 0
    yield "hidden_size", full["hidden_size"], words, 1
    yield "max_position_embeddings", full["max_position_embeddings"], places, 0
    yield "intermediate_size", full["intermediate_size"], "encoder.layers.0.mlp.fc1.weight", 0
    yield "projection_dim", full["projection_dim"], "text_projection.weight", 0
