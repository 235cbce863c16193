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
from typing import TYPE_CHECKING, Any

import orjson

from assetctl.errors import GenerationError
from assetctl.generation.tokenizers import END, START, find_tokenizer, read_vocabulary, write_tokenizer

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from assetctl.files.safetensors import Header

Config = dict[str, Any]

#: Families whose single-file checkpoints can be used, with the pipeline that runs them.
PIPELINES = {
    "sd1": "StableDiffusionPipeline",
    "sd2": "StableDiffusionPipeline",
    "sdxl": "StableDiffusionXLPipeline",
}

#: What each component may be. Nothing else is ever imported on a configuration's word.
COMPONENTS = {
    "unet": ("diffusers", ("UNet2DConditionModel",)),
    "vae": ("diffusers", ("AutoencoderKL",)),
    "text_encoder": ("transformers", ("CLIPTextModel",)),
    "text_encoder_2": ("transformers", ("CLIPTextModelWithProjection",)),
    "tokenizer": ("transformers", ("CLIPTokenizer", "CLIPTokenizerFast")),
    "tokenizer_2": ("transformers", ("CLIPTokenizer", "CLIPTokenizerFast")),
}

_UNET = "model.diffusion_model."
_SAMPLE_SIZE = {"sd1": 512, "sd2": 768, "sdxl": 1024}
_LATENT_SCALE = {"sd1": 0.18215, "sd2": 0.18215, "sdxl": 0.13025}

#: Where each family keeps its text encoders, and whether in open_clip's naming.
_TEXT_ENCODERS = {
    "sd1": (("text_encoder", "cond_stage_model.transformer.text_model.", False),),
    "sd2": (("text_encoder", "cond_stage_model.model.", True),),
    "sdxl": (
        ("text_encoder", "conditioner.embedders.0.transformer.text_model.", False),
        ("text_encoder_2", "conditioner.embedders.1.model.", True),
    ),
}

#: SD 2 was trained on the last but one layer of 24; the last is in the file, and is not used.
_SD2_LAYERS = 23

#: No real configuration comes near this size in bytes.
_MAX_CONFIG = 2**20


def write_configuration(
    header: Header, family: str, prediction: str | None, tokenizer: Path | None, into: Path, *, own_vae: bool = True
) -> Path:
    """Write the configuration folder of a single-file checkpoint.

    Args:
        header: The checkpoint's.
        family: `sd1`, `sd2` or `sdxl`.
        prediction: `epsilon` or `v_prediction`; `None` for the family's usual one.
        tokenizer: Folder with CLIP's `vocab.json` and `merges.txt`; or a companion folder that holds
            `tokenizer/` (and `tokenizer_2/`), or a complete configuration, which is then used as it is.
        into: An empty folder.
        own_vae: Whether the checkpoint's own VAE is wanted.

    Returns:
        The folder to load with: `into`, or the companion folder.

    Raises:
        GenerationError: The checkpoint lacks a part, the family is none of the three, or the
            tokenizer is missing or has another vocabulary than the checkpoint.
    """
    if family not in PIPELINES:
        raise GenerationError(
            f"{header.path} is of the family {family}, which can not be generated with.",
            f"Choose a checkpoint of one of: {', '.join(PIPELINES)}.",
        )
    if tokenizer is not None and (tokenizer / "unet" / "config.json").is_file():
        check_folder(tokenizer, family)
        return tokenizer
    encoders = text_encoder_configs(header, family)
    _write(into / "model_index.json", model_index(family))
    _write(into / "scheduler" / "scheduler_config.json", scheduler_config(header, family, prediction))
    _write(into / "unet" / "config.json", unet_config(header, family, encoders))
    if own_vae:
        _write(into / "vae" / "config.json", vae_config(header, family))
    for encoder, config in encoders.items():
        part = encoder.replace("text_encoder", "tokenizer")
        source = find_tokenizer(tokenizer, part, header.path)
        vocabulary = read_vocabulary(source.folder, config["vocab_size"], header.path)
        pad = "!" if family == "sd2" or part == "tokenizer_2" else END
        write_tokenizer(source, into / part, pad, config["max_position_embeddings"])
        ends = {"bos_token_id": vocabulary[START], "eos_token_id": vocabulary[END]}
        _write(into / encoder / "config.json", config | ends)
    return into


def check_folder(folder: Path, family: str) -> None:
    """Refuse a diffusers folder whose index names other classes than those of its family.

    Raises:
        GenerationError: It does, or the index can not be read.
    """
    index = read_config(folder / "model_index.json")
    for part in (*_parts(family), "scheduler"):
        if not _is_known(part, index.get(part)):
            raise GenerationError(
                f"{folder} can not be used: its model_index.json makes {part} {index.get(part)!r}.",
                f"A {family} folder has the parts of a {PIPELINES[family]}.",
            )


def _parts(family: str) -> list[str]:
    return [part for part in COMPONENTS if family == "sdxl" or not part.endswith("_2")]


def _is_known(part: str, entry: object) -> bool:
    match entry:
        case [str(library), str(name)] if part == "scheduler":
            return library == "diffusers" and re.fullmatch(r"\w+Scheduler", name) is not None
        case [str(library), str(name)]:
            wanted, names = COMPONENTS[part]
            return library == wanted and name in names
    return False


def read_config(path: Path) -> Config:
    """Read one JSON object of a configuration folder.

    Raises:
        GenerationError: There is none, or it is too large.
    """
    try:
        if path.stat().st_size > _MAX_CONFIG:
            raise GenerationError(f"{path} is too large to be a configuration.", "Fetch the folder again.")
        config = orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError) as error:
        raise GenerationError(f"{path} can not be read: {error}.", "Fetch the folder again.") from error
    if not isinstance(config, dict):
        raise GenerationError(f"{path} is no JSON object.", "Fetch the folder again.")
    return config


def model_index(family: str) -> Config:
    """The components of a family's pipeline."""
    index: Config = {part: [COMPONENTS[part][0], COMPONENTS[part][1][0]] for part in _parts(family)}
    index |= {"_class_name": PIPELINES[family], "scheduler": ["diffusers", _SCHEDULERS[family]]}
    index |= {"feature_extractor": [None, None], "image_encoder": [None, None]}
    if family == "sdxl":
        return index | {"force_zeros_for_empty_prompt": True}
    return index | {"safety_checker": [None, None], "requires_safety_checker": False}


def unet_config(header: Header, family: str, encoders: Mapping[str, Config]) -> Config:
    """The UNet's configuration. `encoders` are those of the text encoders, whose widths SDXL's conditioning adds up."""
    levels = _levels(header)
    channels = [width for width, _, _ in levels]
    depths = [depth for _, _, depth in levels]
    layers = {count for _, count, _ in levels}
    contexts = {
        header.tensors[name]["shape"][1] for name in header.tensors if name.startswith(_UNET) and _is_context(name)
    }
    if len(layers) != 1 or len(contexts) != 1:
        raise _lacks(header, "a UNet of a known shape")
    transformers = [max(depth, 1) for depth in depths]
    down = ["CrossAttnDownBlock2D" if depth else "DownBlock2D" for depth in depths]
    up = ["CrossAttnUpBlock2D" if depth else "UpBlock2D" for depth in reversed(depths)]
    projection = next(name for name in header.tensors if name.startswith(_UNET) and name.endswith("proj_in.weight"))
    return {
        "_class_name": "UNet2DConditionModel",
        "sample_size": _SAMPLE_SIZE[family] // 8,
        "in_channels": _shape(header, _UNET + "input_blocks.0.0.weight")[1],
        "out_channels": _shape(header, _UNET + "out.2.weight")[0],
        "block_out_channels": channels,
        "layers_per_block": layers.pop(),
        "down_block_types": down,
        "up_block_types": up,
        "transformer_layers_per_block": transformers if len(set(transformers)) > 1 else transformers[0],
        "cross_attention_dim": contexts.pop(),
        "use_linear_projection": len(_shape(header, projection)) == 2,
        # diffusers' word for the number of heads: SD 1 has 8 at each level, the others heads of width 64
        "attention_head_dim": 8 if family == "sd1" else [max(1, width // 64) for width in channels],
        "norm_num_groups": math.gcd(32, *channels),
        **(_added_conditioning(header, encoders["text_encoder_2"]) if family == "sdxl" else {}),
    }


def _is_context(name: str) -> bool:
    return name.endswith(".attn2.to_k.weight")


def _levels(header: Header) -> list[tuple[int, int, int]]:
    """Channels, layers and transformer blocks of each level of the UNet's way down."""
    levels: list[tuple[int, int, int]] = []
    width = layers = depth = 0
    for block in range(1, 1 + _count(header, _UNET + "input_blocks.")):
        prefix = f"{_UNET}input_blocks.{block}."
        resnet = header.shape(prefix + "0.in_layers.2.weight")
        if resnet is not None:
            width, layers = resnet[0], layers + 1
            depth = _count(header, prefix + "1.transformer_blocks.")
        elif layers:
            levels.append((width, layers, depth))
            layers = 0
    if not levels:
        raise _lacks(header, "a UNet in the original layout")
    return levels


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
        GenerationError: There is none.
    """
    prefix = next(
        (each for each in ("first_stage_model.", "vae.", "") if each + "encoder.conv_in.weight" in header.tensors), None
    )
    if prefix is None:
        raise _lacks(header, "a VAE", "Name one with `--vae NAME`.")
    diffusers = header.has(f"\n{prefix}encoder.down_blocks.")
    down = prefix + ("encoder.down_blocks." if diffusers else "encoder.down.")
    block = "resnets" if diffusers else "block"
    levels = _count(header, down)
    channels = [_shape(header, f"{down}{level}.{block}.0.conv1.weight")[0] for level in range(levels)]
    without_quantisation = f"{prefix}quant_conv.weight" not in header.tensors
    return {
        "_class_name": "AutoencoderKL",
        "sample_size": _SAMPLE_SIZE[family],
        "in_channels": _shape(header, prefix + "encoder.conv_in.weight")[1],
        "out_channels": _shape(header, prefix + "decoder.conv_out.weight")[0],
        "latent_channels": _shape(header, prefix + "encoder.conv_out.weight")[0] // 2,
        "block_out_channels": channels,
        "layers_per_block": _count(header, f"{down}0.{block}."),
        "down_block_types": ["DownEncoderBlock2D"] * levels,
        "up_block_types": ["UpDecoderBlock2D"] * levels,
        "norm_num_groups": math.gcd(32, *channels),
        "scaling_factor": _LATENT_SCALE[family],
        "force_upcast": True,
        **({"use_quant_conv": False, "use_post_quant_conv": False} if without_quantisation else {}),
    }


def text_encoder_configs(header: Header, family: str) -> dict[str, Config]:
    """The configuration of each text encoder, by its name in the pipeline."""
    return {
        part: _text_encoder_config(header, family, prefix, open_clip=open_clip)
        for part, prefix, open_clip in _TEXT_ENCODERS[family]
    }


def _text_encoder_config(header: Header, family: str, prefix: str, *, open_clip: bool) -> Config:
    if open_clip:
        words, places = "token_embedding.weight", "positional_embedding"
        blocks, inner = "transformer.resblocks.", "mlp.c_fc.weight"
    else:
        words, places = "embeddings.token_embedding.weight", "embeddings.position_embedding.weight"
        blocks, inner = "encoder.layers.", "mlp.fc1.weight"
    if prefix + words not in header.tensors:
        raise _lacks(header, "a text encoder", "Choose a checkpoint that has one.")
    rows, width = _shape(header, prefix + words)
    layers = _count(header, prefix + blocks)
    projection = header.shape(prefix + "text_projection") if family == "sdxl" else None
    return {
        "architectures": ["CLIPTextModelWithProjection" if projection else "CLIPTextModel"],
        "model_type": "clip_text_model",
        "vocab_size": rows,
        "hidden_size": width,
        "intermediate_size": _shape(header, f"{prefix}{blocks}0.{inner}")[0],
        "num_hidden_layers": min(layers, _SD2_LAYERS) if family == "sd2" else layers,
        "num_attention_heads": max(1, width // 64),
        "max_position_embeddings": _shape(header, prefix + places)[0],
        "hidden_act": "gelu" if open_clip else "quick_gelu",
        "projection_dim": projection[1] if projection else width,
        "layer_norm_eps": 1e-5,
    }


_SCHEDULERS = {"sd1": "PNDMScheduler", "sd2": "DDIMScheduler", "sdxl": "EulerDiscreteScheduler"}


def scheduler_config(header: Header, family: str, prediction: str | None) -> Config:
    """The noise schedule: the same for the three families, but for what the UNet predicts.

    A checkpoint may say of itself that it predicts velocities, or starts from pure noise (zero
    terminal SNR, https://arxiv.org/abs/2305.08891), by empty tensors of the names `v_pred` and `ztsnr`.
    """
    usual = "v_prediction" if family == "sd2" or "v_pred" in header.tensors else "epsilon"
    config: Config = {
        "_class_name": _SCHEDULERS[family],
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
    return config | ({"timestep_spacing": "leading"} if family == "sdxl" else {})


def _count(header: Header, prefix: str) -> int:
    """How many numbered parts follow `prefix`: one more than the highest number, or none."""
    numbers = re.findall(rf"\n{re.escape(prefix)}(\d{{1,4}})\.", header.names)
    return max(map(int, numbers), default=-1) + 1


def _shape(header: Header, name: str) -> tuple[int, ...]:
    shape = header.shape(name)
    if shape is None or not shape:
        raise _lacks(header, f"the tensor {name}")
    return shape


def _lacks(
    header: Header, what: str, hint: str = "See what the file is with `assetctl identify PATH`."
) -> GenerationError:
    return GenerationError(f"{header.path} lacks {what}.", hint)


def _write(path: Path, config: Config) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(orjson.dumps(config, option=orjson.OPT_INDENT_2))
