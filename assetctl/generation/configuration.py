"""A diffusers configuration for a single-file checkpoint, read off the shapes in its header.

diffusers can load the original ("LDM") layout only beside a folder of configurations, which it would
fetch from the network. Everything in them is either visible in the tensors (widths, depths) or fixed by
the family (noise schedule, activation, scale of the latents), so they are written here instead.

Sources: the configurations of `stable-diffusion-v1-5`, `stable-diffusion-2-1` and
`stable-diffusion-xl-base-1.0` on the Hugging Face Hub, and CompVis' and Stability's LDM code.
"""

from __future__ import annotations

import math
import re
from functools import partial
from typing import TYPE_CHECKING

from assetctl.errors import UnusableError
from assetctl.files.paths import write_json
from assetctl.generation.bounds import Config, within_bounds
from assetctl.generation.families import build_of
from assetctl.generation.folders import (
    END,
    START,
    check_model,
    check_vocabulary,
    checked_vae,
    find_tokenizer_files,
    hand_over,
    is_complete,
    model_index,
    read_vocabulary,
    see_together,
    with_todays_names,
    write_tokenizer,
)
from assetctl.generation.weights import see_weights, see_widths
from assetctl.identify.plugins import family_called

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from assetctl.files.safetensors import Header
    from assetctl.generation.weights import Spelling
    from assetctl.identify.features import Driven, TextEncoder

_UNET, _VAE = "model.diffusion_model.", "first_stage_model."


def write_configuration(
    header: Header, family: str, prediction: str | None, tokenizer: Path | None, into: Path, *, own_vae: bool = True
) -> Path:
    """Write the configuration folder of a single-file checkpoint.

    Args:
        header: The checkpoint's.
        family: One that is driven.
        prediction: `epsilon` or `v_prediction`; `None` for the family's usual one.
        tokenizer: Folder with CLIP's `vocab.json` and `merges.txt`; or a companion folder that holds
            `tokenizer/` (and `tokenizer_2/`), or a complete configuration, which then counts.
        into: An empty folder.
        own_vae: Whether the checkpoint's own VAE is wanted.

    Returns:
        The folder to load with: `into`.

    Raises:
        UnusableError: The checkpoint lacks a part or is sampled as EDM, the family is not driven, or the
            tokenizer is missing or has another vocabulary than the checkpoint.
    """
    _see_sampling(header)
    _see_one_of_each(header, family)
    if tokenizer is not None and is_complete(tokenizer):
        see = partial(_see_part, header, family)
        return hand_over(tokenizer, family, into, own_vae=own_vae, see_part=see)
    encoders_by_part = {encoder.part: encoder for encoder in _asked(family).text_encoders}
    parts = derived(header, family, own_vae=own_vae)
    write_json(into / "model_index.json", model_index(family))
    write_json(into / "scheduler" / "scheduler_config.json", scheduler_config(header, family, prediction))
    for part in ("unet", "vae") if own_vae else ("unet",):
        write_json(into / part / "config.json", parts[part])
    for encoder in (name for name in parts if name.startswith("text_encoder")):
        config = parts[encoder]
        part = encoder.replace("text_encoder", "tokenizer")
        source = find_tokenizer_files(tokenizer, part, header.path)
        vocabulary = read_vocabulary(source.folder, config["vocab_size"], header.path)
        write_tokenizer(source, into / part, encoders_by_part[encoder].padding, config["max_position_embeddings"])
        ends = {"bos_token_id": vocabulary[START], "eos_token_id": vocabulary[END]}
        write_json(into / encoder / "config.json", config | ends)
    return into


def derived(header: Header, family: str, *, own_vae: bool = True) -> dict[str, Config]:
    """The configuration of each part that has weights, read off a single file's tensors, and within bounds.

    Raises:
        UnusableError: The checkpoint lacks a part, or is of no shape that is ever built.
    """
    encoders = text_encoder_configs(header, family)
    parts = encoders | {"unet": unet_config(header, family, encoders)}
    if own_vae:
        parts["vae"] = vae_config(header, family)
    for part, config in parts.items():
        within_bounds(config, part, header.path)
        _see_part(header, family, part, config)
    see_together(parts, family, header.path)
    return parts


def _see_part(header: Header, family: str, part: str, config: Config, source: Path | None = None) -> str | None:
    """See that a single file has all weights of a part, where diffusers looks for them, as its configuration asks."""
    prefix, spelling = _place(header, family, part)
    tensors = header.tensors
    for twice in (each for each in _twice(header, family) if each.part == part):
        tensors = {name.replace(twice.spare, twice.prefix, 1): entry for name, entry in tensors.items()}
    if source is not None:
        see_widths(tensors, config, part, source, lambda name: prefix + _SHOWN.get(name, name))
    return see_weights(tensors, config, part, file=header.path, source=source, prefix=prefix, spelling=spelling)


#: What single files call the tensors that show a configuration's widths.
_SHOWN = {
    "conv_in.weight": "input_blocks.0.0.weight", "conv_out.weight": "out.2.weight",
    "mid_block.attentions.0.transformer_blocks.0.attn2.to_k.weight":
        "middle_block.1.transformer_blocks.0.attn2.to_k.weight",
}  # fmt: skip


def _place(header: Header, family: str, part: str) -> tuple[str, Spelling]:
    """What the names of a part's tensors begin with, and how they go on."""
    if part == "unet":
        return _UNET, "ldm"
    if part == "vae":
        return vae_prefix(header), "ldm"
    encoder = next(each for each in _asked(family).text_encoders if each.part == part)
    return encoder.prefix, "open_clip" if encoder.open_clip else "own"


def vae_prefix(header: Header) -> str:
    """What the names of a VAE's tensors begin with: the last of these that diffusers finds."""
    return next((prefix for prefix in ("vae.", _VAE) if header.has(f"\n{prefix}")), "")


def check_single_file(header: Header, family: str, tokenizer: Path | None, *, own_vae: bool = True) -> tuple[str, ...]:
    """Look at all that `write_configuration` would look at, and write nothing.

    Returns:
        Doubts: why it may not load, or paint as it should.

    Raises:
        UnusableError, FileError: As `write_configuration` does.
    """
    _see_sampling(header)
    _see_one_of_each(header, family)
    doubts = tuple(_doubts(header, family))
    if tokenizer is not None and is_complete(tokenizer):
        see = partial(_see_part, header, family)
        return check_model(tokenizer, family, own_vae=own_vae, see_part=see) + doubts
    parts = derived(header, family, own_vae=own_vae)
    for encoder in (name for name in parts if name.startswith("text_encoder")):
        source = find_tokenizer_files(tokenizer, encoder.replace("text_encoder", "tokenizer"), header.path)
        check_vocabulary(source.folder, parts[encoder]["vocab_size"], header.path)
    short = (_short(encoder, parts) for encoder in _asked(family).text_encoders)
    return doubts + tuple(doubt for doubt in short if doubt is not None)


#: Tensors by which ComfyUI tells Playground v2.5 and CosXL from SDXL, whose other tensors they share.
_EDM = ("edm_mean", "edm_std", "edm_vpred.sigma_max")


def _see_sampling(header: Header) -> None:
    """See that a checkpoint is not sampled as EDM (https://arxiv.org/abs/2206.00364), whose noise is another.

    Raises:
        UnusableError: It is.
    """
    if (name := next((each for each in _EDM if each in header.tensors), None)) is not None:
        what = f"it is sampled as EDM, as its tensor {name} says, which assetctl does not do"
        raise UnusableError(
            f"{header.path} cannot be used: {what}.", "Use it in ComfyUI, or choose another checkpoint."
        )


def _see_one_of_each(header: Header, family: str) -> None:
    """See that no text encoder of another family is there too, which would be taken for that of this one.

    Raises:
        UnusableError: One is.
    """
    if (other := next((each for each in _asked(family).mistaken if each in header.tensors), None)) is not None:
        what = f"beside the text encoders of {family} it has another family's ({other})"
        raise UnusableError(f"{header.path} cannot be used: {what}.", "Look for the same model without it.")


def _twice(header: Header, family: str) -> list[TextEncoder]:
    return [each for each in _asked(family).text_encoders if each.spare and header.has(f"\n{each.spare}")]


#: How tensors end by which ComfyUI marks scaled weights, in its first format and in its present one.
_SCALED = (".scale_weight\n", "scaled_fp8\n", ".weight_scale\n", ".comfy_quant\n")


def _doubts(header: Header, family: str) -> Iterator[str]:
    """What of a single file loads, and may paint nonsense."""
    for twice in _twice(header, family):
        yield f"its text encoder is there twice, under {twice.prefix} and {twice.spare}"
    if header.has(*_SCALED) or "_quantization_metadata" in header.metadata:
        yield "its weights are scaled (scale_weight or weight_scale), which assetctl does not undo"


#: Layers of the text encoders that are published, by their widths.
_PUBLISHED = {768: 12, 1024: 24, 1280: 32}


#: How wide the UNets begin that they are published with; beside a smaller one, a text encoder may be small too.
_PUBLISHED_UNET = 320


def _short(encoder: TextEncoder, parts: Mapping[str, Config]) -> str | None:
    """What is odd of a text encoder that has fewer layers than others of its width."""
    config = parts[encoder.part]
    usual = min(_PUBLISHED.get(config["hidden_size"], 0), encoder.layers or 128)
    layers = config["num_hidden_layers"]
    if layers < usual and parts["unet"]["block_out_channels"][0] >= _PUBLISHED_UNET:
        return f"its {encoder.part} has {layers} layers, where others have {usual}"
    return None


def check_vae(path: Path, header: Header | None, family: str) -> tuple[str, ...]:
    """Look at all that loading a VAE of its own would look at: its file, or its folder where it has no header.

    Returns:
        Doubts: why it may not load.

    Raises:
        UnusableError: It lacks a part, or a value is out of bounds.
        FileError: Weights are refused or corrupt.
    """
    if header is None:
        return checked_vae(path)[1]
    checked_vae_config(header, family)
    return ()


def checked_vae_config(header: Header, family: str) -> Config:
    """The configuration of a VAE's own file, which has all its weights.

    Raises:
        UnusableError: It lacks a part, or a value is out of bounds.
    """
    config = vae_config(header, family)
    within_bounds(config, "vae", header.path)
    if is_diffusers_vae(header):
        see_weights(with_todays_names(header.tensors), config, "vae", file=header.path)
    else:
        see_weights(header.tensors, config, "vae", file=header.path, prefix=vae_prefix(header), spelling="ldm")
    return config


def is_diffusers_vae(header: Header) -> bool:
    """Whether a VAE's own file has diffusers' names."""
    return header.has("\nencoder.down_blocks.")


def unet_config(header: Header, family: str, encoders: Mapping[str, Config]) -> Config:
    """The UNet's configuration. `encoders` are those of the text encoders, whose widths SDXL's conditioning adds up."""
    levels = _levels(header)
    channels = [width for width, _, _ in levels]
    depths = [depth for _, _, depth in levels]
    layers = {count for _, count, _ in levels}
    contexts = {_shape(header, name)[1] for name in header.tensors if name.startswith(_UNET) and _is_context(name)}
    if len(layers) != 1 or len(contexts) != 1:
        raise _lacks(header, "a UNet of a known shape")
    transformers = [max(depth, 1) for depth in depths]
    transformers[-1] = max(transformers[-1], _count(header, f"{_UNET}middle_block.1.transformer_blocks."))
    down = ["CrossAttnDownBlock2D" if depth else "DownBlock2D" for depth in depths]
    up = ["CrossAttnUpBlock2D" if depth else "UpBlock2D" for depth in reversed(depths)]
    projection = next(
        (name for name in header.tensors if name.startswith(_UNET) and name.endswith("proj_in.weight")),
        "proj_in.weight",
    )
    return {
        "_class_name": "UNet2DConditionModel",
        "sample_size": _asked(family).native_size // build_of(family).latents.factor,
        "in_channels": _shape(header, _UNET + "input_blocks.0.0.weight")[1],
        "out_channels": _shape(header, _UNET + "out.2.weight")[0],
        "block_out_channels": channels,
        "layers_per_block": layers.pop(),
        "down_block_types": down,
        "up_block_types": up,
        "transformer_layers_per_block": transformers if len(set(transformers)) > 1 else transformers[0],
        "cross_attention_dim": contexts.pop(),
        "use_linear_projection": len(_shape(header, projection)) == 2,
        # diffusers' word for the number of heads
        "attention_head_dim": build_of(family).heads or [max(1, width // 64) for width in channels],
        "norm_num_groups": math.gcd(32, *channels),
        **(_added_conditioning(header, encoders["text_encoder_2"]) if build_of(family).told.sizes else {}),
    }


def _is_context(name: str) -> bool:
    return name.endswith(".attn2.to_k.weight")


def _levels(header: Header) -> list[tuple[int, int, int]]:
    """Channels, layers and transformer blocks of each level of the UNet.

    As many transformer blocks as any layer of the level has on either way: where another lacks some, they are missing.
    """
    levels: list[tuple[int, int, int]] = []
    depths, depths_up = _depths(header, "input_blocks."), _depths(header, "output_blocks.")
    width = layers = depth = 0
    for block in range(1, max(depths, default=-1) + 2):
        resnet = header.shape(f"{_UNET}input_blocks.{block}.0.in_layers.2.weight")
        if resnet is not None:
            width, layers, depth = resnet[0], layers + 1, max(depth, depths[block])
        elif layers:
            levels.append((width, layers, depth))
            layers = depth = 0
    if not levels:
        raise _lacks(header, "a UNet in the original layout")
    above = 0
    for level, (width, layers, depth) in reversed([*enumerate(levels)]):
        up = range(above, above + layers + 1)
        levels[level] = width, layers, max(depth, *(depths_up.get(block, 0) for block in up))
        above += layers + 1
    return levels


def _depths(header: Header, way: str) -> dict[int, int]:
    """Transformer blocks in each block of a way through the UNet, by their numbers; all names are looked at once."""
    pattern = rf"\n{re.escape(_UNET + way)}(\d{{1,4}})\.(?:1\.transformer_blocks\.(\d{{1,4}})\.)?"
    depths: dict[int, int] = {}
    for block, transformer in re.findall(pattern, header.names):
        depths[int(block)] = max(depths.get(int(block), 0), int(transformer or -1) + 1)
    return depths


def _added_conditioning(header: Header, encoder: Config) -> Config:
    """SDXL adds six numbers on sizes, each embedded, and the pooled text to the time step."""
    width = _shape(header, _UNET + "label_emb.0.0.weight")[1]
    return {
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": (width - encoder["projection_dim"]) // 6,
        "projection_class_embeddings_input_dim": width,
    }


def vae_config(header: Header, family: str) -> Config:
    """The configuration of the VAE in a checkpoint, or of a VAE's own file in either layout.

    Raises:
        UnusableError: There is none.
    """
    prefix = vae_prefix(header)
    if prefix + "encoder.conv_in.weight" not in header.tensors:
        hint = "Name one with `--vae NAME`; `assetctl list --kind vae` shows all."
        raise _lacks(header, "a VAE", hint)
    diffusers = not prefix and is_diffusers_vae(header)
    down = prefix + ("encoder.down_blocks." if diffusers else "encoder.down.")
    up = prefix + ("decoder.up_blocks." if diffusers else "decoder.up.")
    block = "resnets" if diffusers else "block"
    levels = max(_count(header, down), _count(header, up))
    channels = [_shape(header, f"{down}{level}.{block}.0.conv1.weight")[0] for level in range(levels)]
    quantised = header.has(f"\n{prefix}quant_conv.", f"\n{prefix}post_quant_conv.")
    return {
        "_class_name": "AutoencoderKL",
        "sample_size": _asked(family).native_size,
        "in_channels": _shape(header, prefix + "encoder.conv_in.weight")[1],
        "out_channels": _shape(header, prefix + "decoder.conv_out.weight")[0],
        "latent_channels": _shape(header, prefix + "encoder.conv_out.weight")[0] // 2,
        "block_out_channels": channels,
        "layers_per_block": max(_count(header, down, f"{block}."), _count(header, up, f"{block}.") - 1),
        "down_block_types": ["DownEncoderBlock2D"] * levels,
        "up_block_types": ["UpDecoderBlock2D"] * levels,
        "norm_num_groups": math.gcd(32, *channels),
        "scaling_factor": build_of(family).latents.scale,
        "force_upcast": True,
        **({} if quantised else {"use_quant_conv": False, "use_post_quant_conv": False}),
    }


def text_encoder_configs(header: Header, family: str) -> dict[str, Config]:
    """The configuration of each text encoder, by its name in the pipeline."""
    return {encoder.part: _text_encoder_config(header, encoder) for encoder in _asked(family).text_encoders}


def _text_encoder_config(header: Header, encoder: TextEncoder) -> Config:
    prefix = encoder.prefix
    if encoder.open_clip:
        words, places = "token_embedding.weight", "positional_embedding"
        blocks, inner = "transformer.resblocks.", "mlp.c_fc.weight"
    else:
        words, places = "embeddings.token_embedding.weight", "embeddings.position_embedding.weight"
        blocks, inner = "encoder.layers.", "mlp.fc1.weight"
    if prefix + words not in header.tensors:
        which = f"a text encoder ({encoder.part})"
        hint = (
            "assetctl takes none from another file: choose a checkpoint that brings it along, or its diffusers folder."
        )
        raise _lacks(header, which, hint)
    rows, width = _shape(header, prefix + words)[:2]
    layers = _count(header, prefix + blocks)
    projection = header.shape(prefix + "text_projection") if encoder.projects else None
    return {
        "architectures": ["CLIPTextModelWithProjection" if projection else "CLIPTextModel"],
        "model_type": "clip_text_model",
        "vocab_size": rows,
        "hidden_size": width,
        "intermediate_size": _shape(header, f"{prefix}{blocks}0.{inner}")[0],
        "num_hidden_layers": min(layers, encoder.layers or layers),
        "num_attention_heads": max(1, width // 64),
        "max_position_embeddings": _shape(header, prefix + places)[0],
        "hidden_act": "gelu" if encoder.open_clip else "quick_gelu",
        "projection_dim": _shape(header, prefix + "text_projection")[1] if projection else width,
        "layer_norm_eps": 1e-5,
    }


def scheduler_config(header: Header, family: str, prediction: str | None) -> Config:
    """The noise schedule: the same for all families that are driven, but for what the UNet predicts.

    A checkpoint may say of itself that it predicts velocities, or starts from pure noise (zero
    terminal SNR, https://arxiv.org/abs/2305.08891), by empty tensors of the names `v_pred` and `ztsnr`.
    """
    known = family_called(family)
    assumed = None if known is None else known.assumed_prediction
    usual = "v_prediction" if "v_pred" in header.tensors else assumed or "epsilon"
    config: Config = {
        "_class_name": build_of(family).scheduler,
        "beta_start": 0.00085,
        "beta_end": 0.012,
        "beta_schedule": "scaled_linear",
        "num_train_timesteps": 1000,
        "clip_sample": False,
        "set_alpha_to_one": False,
        "skip_prk_steps": True,
        "steps_offset": 1,
        "prediction_type": prediction or usual,
    }
    if "ztsnr" in header.tensors:
        return config | {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
    spacing = build_of(family).spacing
    return config | ({"timestep_spacing": spacing} if spacing else {})


def _asked(family: str) -> Driven:
    known = family_called(family)
    if known is None or known.driven is None:
        build_of(family)  # which says so
        raise AssertionError(family)
    return known.driven


def _count(header: Header, prefix: str, within: str = "") -> int:
    """How many numbered parts follow `prefix`, or `within` any of those: one more than the highest number, or none."""
    place = re.escape(prefix) + (rf"\d{{1,4}}\.{re.escape(within)}" if within else "")
    numbers = re.findall(rf"\n{place}(\d{{1,4}})\.", header.names)
    return max(map(int, numbers), default=-1) + 1


def _shape(header: Header, name: str) -> tuple[int, ...]:
    """Shape of a tensor, which has two dimensions at least."""
    shape = header.shape(name)
    if shape is None or len(shape) < 2:
        raise _lacks(header, f"the tensor {name}")
    return shape


def _lacks(
    header: Header, what: str, hint: str = "See what the file is with `assetctl identify PATH`."
) -> UnusableError:
    return UnusableError(f"{header.path} lacks {what}.", hint)
