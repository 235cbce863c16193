"""What each part must have, held against diffusers' and transformers' own classes."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from assetctl.errors import UnusableError
from assetctl.files.safetensors import Header
from assetctl.generation.configuration import check_vae, derived
from assetctl.generation.weights import see_weights

SD1 = {"block_out_channels": [32, 64], "attention_head_dim": 8, "cross_attention_dim": 24,
       "down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"],
       "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D"]}  # fmt: skip
UNETS = {
    "as sd1": SD1,
    "as sdxl": SD1 | {
        "block_out_channels": [32, 64, 96], "attention_head_dim": [1, 2, 3], "use_linear_projection": True,
        "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
        "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
        "transformer_layers_per_block": [1, 2, 3], "addition_embed_type": "text_time", "addition_time_embed_dim": 8,
        "projection_class_embeddings_input_dim": 64,
    },
    "asymmetrical, without attention in the middle": SD1 | {
        "transformer_layers_per_block": [[2, 1], 1], "reverse_transformer_layers_per_block": [1, [1, 3, 2]],
        "mid_block_type": "UNetMidBlock2D",
    },
    "without a middle": SD1 | {"mid_block_type": None, "layers_per_block": 1},
    "told how strongly it is guided": SD1 | {"time_cond_proj_dim": 16, "time_embedding_dim": 48},
    "of other numbers": SD1 | {
        "in_channels": 9, "out_channels": 5, "conv_in_kernel": 5, "conv_out_kernel": 1, "layers_per_block": [1, 3],
        "cross_attention_dim": [24, 40], "attention_head_dim": [5, 7], "only_cross_attention": [True, False],
        "resnet_time_scale_shift": "scale_shift", "norm_num_groups": 16,
    },
    "whose text is made wider": SD1 | {"encoder_hid_dim": 20, "encoder_hid_dim_type": "text_proj"},
    "of nothing but defaults": {},
}  # fmt: skip
VAES = {
    "as ever": {"block_out_channels": [32, 64, 64], "down_block_types": ["DownEncoderBlock2D"] * 3,
                "up_block_types": ["UpDecoderBlock2D"] * 3},
    "of other numbers": {"block_out_channels": [16, 48], "down_block_types": ["DownEncoderBlock2D"] * 2,
                         "up_block_types": ["UpDecoderBlock2D"] * 2, "layers_per_block": 3, "latent_channels": 16,
                         "norm_num_groups": 8, "use_quant_conv": False, "use_post_quant_conv": False},
    "without attention": {"mid_block_add_attention": False, "in_channels": 4, "out_channels": 5},
    "of nothing but defaults": {},
}  # fmt: skip
TEXTS = {
    "small": {"vocab_size": 99, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3,
              "num_attention_heads": 4, "max_position_embeddings": 20, "projection_dim": 24},
    "of nothing but defaults": {},
}  # fmt: skip

CASES = [
    *(("unet", name, config) for name, config in UNETS.items()),
    *(("vae", name, config) for name, config in VAES.items()),
    *((part, name, config) for part in ("text_encoder", "text_encoder_2") for name, config in TEXTS.items()),
]


def built(part: str, config: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The tensors that the libraries' own class has."""
    torch, diffusers, transformers = map(pytest.importorskip, ("torch", "diffusers", "transformers"))
    with torch.device("meta"):
        if part == "unet":
            model = diffusers.UNet2DConditionModel(**config)
        elif part == "vae":
            model = diffusers.AutoencoderKL(**config)
        else:
            kind = transformers.CLIPTextModel if part == "text_encoder" else transformers.CLIPTextModelWithProjection
            model = kind(transformers.CLIPTextConfig(**config))
    return {
        name.removeprefix("text_model."): {"dtype": "F16", "shape": list(tensor.shape)}
        for name, tensor in model.state_dict().items()
    }


def refusal(tensors: dict[str, Any], config: dict[str, Any], part: str) -> str | None:
    try:
        return see_weights(tensors, config, part, file=Path("model"))
    except UnusableError as error:
        return error.message


@pytest.mark.parametrize(("part", "name", "config"), CASES, ids=lambda value: value if isinstance(value, str) else "")
def test_a_part_is_whole_with_what_its_class_has_and_with_nothing_less(part: str, name: str, config: dict[str, Any]):
    tensors = built(part, config)
    assert refusal(tensors, config, part) is None
    for tensor, entry in tensors.items():
        rest = {other: each for other, each in tensors.items() if other != tensor}
        assert tensor in (refusal(rest, config, part) or ""), f"{tensor} is not missed"
        for wrong in ([], [0, *entry["shape"][1:]], [*entry["shape"], 1], [entry["shape"][0] + 1, *entry["shape"][1:]]):
            found = refusal(rest | {tensor: entry | {"shape": wrong}}, config, part)
            assert tensor in (found or ""), f"{tensor} may be {wrong}"
        assert tensor in (refusal(rest | {tensor: entry | {"dtype": "I64"}}, config, part) or "")


def test_configurations_that_chance_made_are_described():
    chance = random.Random(7)
    for _ in range(12):
        levels = chance.randint(1, 3)
        attends = [chance.random() < 0.6 for _ in range(levels)]
        config = {
            "block_out_channels": [8 * chance.randint(1, 4) for _ in range(levels)], "norm_num_groups": 8,
            "layers_per_block": chance.randint(1, 3), "cross_attention_dim": chance.randint(1, 30),
            "attention_head_dim": chance.randint(1, 8), "use_linear_projection": chance.random() < 0.5,
            "transformer_layers_per_block": chance.randint(1, 3),
            "down_block_types": ["CrossAttnDownBlock2D" if each else "DownBlock2D" for each in attends],
            "up_block_types": ["CrossAttnUpBlock2D" if each else "UpBlock2D" for each in reversed(attends)],
        }  # fmt: skip
        tensors = built("unet", config)
        assert refusal(tensors, config, "unet") is None, config
        tensors.pop(chance.choice(list(tensors)))
        assert refusal(tensors, config, "unet") is not None, config


CORPUS = Path(__file__).resolve().parents[2].parent / "shared" / "corpus"


@pytest.mark.parametrize(("place", "name", "family"), [
    ("headers", "sd15", "sd1"), ("headers", "sd21", "sd2"), ("headers", "sdxl-base", "sdxl"),
    ("headers2", "sdxl-mixed-bf16", "sdxl"), ("headers", "vae-ldm", "sdxl"),
    ("headers", "vae-diffusers-juggernaut", "sdxl"),
])  # fmt: skip
def test_real_files_are_whole_and_miss_what_is_taken_away(place: str, name: str, family: str):
    path = CORPUS / place / f"{name}.json"
    if not path.is_file():
        pytest.skip("no folder of real headers beside the checkout")
    tensors = json.loads(path.read_text("utf-8"))["tensors"]

    def see(there: dict[str, Any]) -> None:
        header = Header(Path(name), 0, 0, there, {})
        if name.startswith("vae"):
            check_vae(Path(name), header, family)
        else:
            derived(header, family)

    see(tensors)
    extra = {"model_ema.decay": 0, "alphas_cumprod": 1000, "text_model.embeddings.position_ids": 77}
    see(tensors | {each: {"dtype": "I64", "shape": [size]} for each, size in extra.items()})
    spare = ("model_ema", "position_ids", "logit_scale", "text_projection", "alphas", "betas", "posterior", "log_one",
             "sqrt_", "resblocks.23.", "logvar", "model_ema_", "denoiser.", "global_step")  # fmt: skip
    for tensor in list(tensors)[::41]:
        if any(each in tensor for each in spare):
            continue
        with pytest.raises(UnusableError):
            see({other: entry for other, entry in tensors.items() if other != tensor})
