"""The same questions, put to diffusers itself: what a LoRA changes, and what a module is called."""

from __future__ import annotations

import copy
import json
import random
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from compat.sparse import asset_at, write_sparse
from selections import lora_use, selection_of

from assetctl.compat.check import Context, run_rules
from assetctl.tensors.networks import ldm_names

if TYPE_CHECKING:
    from collections.abc import Callable

    from compat.sparse import Make

    from assetctl.types import Asset

pytestmark = pytest.mark.generation
pytest.importorskip("torch")
pytest.importorskip("diffusers")

CONFIGS = Path(__file__).resolve().parents[2] / "../shared/corpus/diffusers-configs"

UNETS: dict[str, dict[str, Any]] = {
    "sd1": {
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
        "block_out_channels": (8, 16),
        "layers_per_block": 2,
        "cross_attention_dim": 16,
    },
    "sd2": {
        "down_block_types": ("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        "block_out_channels": (8, 16, 16),
        "layers_per_block": 2,
        "cross_attention_dim": 24,
        "use_linear_projection": True,
    },
    "sdxl": {
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        "block_out_channels": (8, 16, 24),
        "layers_per_block": 1,
        "cross_attention_dim": 32,
        "use_linear_projection": True,
        "transformer_layers_per_block": (1, 2, 1),
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 8,
        "projection_class_embeddings_input_dim": 64,
    },
}

KOHYA = {"unet": "lora_unet_", "text_encoder": "lora_te1_", "text_encoder_2": "lora_te2_"}


@cache
def networks(family: str) -> dict[str, Any]:
    """A small UNet and its text encoders, of random numbers."""
    import torch
    from diffusers import UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    torch.manual_seed(0)
    config = CLIPTextConfig(
        hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2, vocab_size=20,
        projection_dim=16, bos_token_id=0, eos_token_id=1,
    )  # fmt: skip
    unet = UNet2DConditionModel(sample_size=8, attention_head_dim=4, norm_num_groups=4, **UNETS[family])
    second = {"text_encoder_2": CLIPTextModelWithProjection(config)} if family == "sdxl" else {}
    return {"unet": unet, "text_encoder": CLIPTextModel(config), **second}


@cache
def targets(family: str) -> dict[str, Any]:
    """Linear layers and convolutions by their paths in a LoRA, with the `text_model` that transformers dropped."""
    import torch

    found = {}
    for name, network in networks(family).items():
        for path, module in network.named_modules():
            if isinstance(module, torch.nn.Linear | torch.nn.Conv2d):
                found[f"{name}.{'text_model.' if path.startswith('encoder.') else ''}{path}"] = module
    return found


def changed_by(family: str, lora: Path) -> set[str]:
    """Modules whose weight is another once diffusers has fused the LoRA."""
    import torch
    from diffusers import DDIMScheduler, StableDiffusionPipeline, StableDiffusionXLPipeline

    scheduler = DDIMScheduler(steps_offset=1, clip_sample=False)
    parts = copy.deepcopy(networks(family)) | {"vae": None, "tokenizer": None, "scheduler": scheduler}
    if family == "sdxl":
        pipeline = StableDiffusionXLPipeline(**parts, tokenizer_2=None)
    else:
        nothing = {"safety_checker": None, "feature_extractor": None}
        pipeline = StableDiffusionPipeline(**parts, **nothing, requires_safety_checker=False)
    pipeline.load_lora_weights(str(lora.parent), weight_name=lora.name)
    pipeline.fuse_lora(components=list(networks(family)))
    weights = {
        f"{name}.{key.removesuffix('.weight').removesuffix('.base_layer')}": tensor
        for name in networks(family)
        for key, tensor in getattr(pipeline, name).state_dict().items()
    }
    short = {path: path if path in weights else path.replace("text_model.", "") for path in targets(family)}
    return {path for path, module in targets(family).items() if not torch.equal(module.weight, weights[short[path]])}


def write_lora(path: Path, family: str, named: dict[str, tuple[str, str]]) -> None:
    """A LoRA of random numbers: module to the names of its `down` and `up`."""
    import torch
    from safetensors.torch import save_file

    tensors = {}
    for module, (down, up) in named.items():
        out, *into = targets(family)[module].weight.shape
        tensors[down] = torch.randn(2, *into)
        tensors[up] = torch.randn(out, 2, *[1] * (len(into) - 1))
    save_file(tensors, path)


def write_checkpoint(folder: Path, family: str) -> Asset:
    for name, network in networks(family).items():
        network.save_pretrained(folder / name)
    return asset_at(folder, "checkpoint", family, format="diffusers")


def kohya(_family: str, path: str) -> tuple[str, str]:
    network, _, rest = path.partition(".")
    module = KOHYA[network] + rest.replace(".", "_")
    return f"{module}.lora_down.weight", f"{module}.lora_up.weight"


def kohya_sd1(family: str, path: str) -> tuple[str, str]:
    """As sd-scripts writes it for models with one text encoder."""
    down, up = kohya(family, path)
    return down.replace("lora_te1_", "lora_te_"), up.replace("lora_te1_", "lora_te_")


def ldm_name(family: str, path: str) -> str:
    modules = (key.rpartition(".")[0] for key in networks(family)["unet"].state_dict())
    return next(ldm for own, _, ldm in ldm_names(modules) if own == path)


def kohya_ldm(family: str, path: str) -> tuple[str, str]:
    network, _, rest = path.partition(".")
    if network != "unet":
        return kohya(family, path)
    module = KOHYA[network] + ldm_name(family, rest)
    return f"{module}.lora_down.weight", f"{module}.lora_up.weight"


def peft(_family: str, path: str) -> tuple[str, str]:
    return f"{path}.lora_A.weight", f"{path}.lora_B.weight"


def processors(_family: str, path: str) -> tuple[str, str] | None:
    attention, dot, projection = path.partition(".to_")
    if not dot or not path.startswith("unet."):
        return None
    start = f"{attention}.processor.to_{projection.removesuffix('.0')}_lora"
    return f"{start}.down.weight", f"{start}.up.weight"


def some_targets(family: str) -> list[str]:
    """Half of them, and what diffusers reads right in every layout: it drops a text encoder's attention unless
    that is there as a whole, and mistakes the name of `add_embedding` in kohya's."""
    half = random.Random(7).sample(sorted(targets(family)), len(targets(family)) // 2)
    attention = [path for path in targets(family) if ".self_attn." in path]
    return [path for path in {*half, *attention} if "add_embedding" not in path]


# diffusers understands LDM's block numbers in LoRAs for SDXL alone.
@pytest.mark.parametrize(
    ("family", "name"),
    [
        ("sd1", kohya),
        ("sd1", kohya_sd1),
        ("sd2", kohya_sd1),
        ("sd2", peft),
        ("sd2", processors),
        ("sd1", peft),
        ("sd1", processors),
        ("sdxl", kohya),
        ("sdxl", kohya_ldm),
        ("sdxl", peft),
        ("sdxl", processors),
    ],
)
def test_matched_modules_are_those_that_diffusers_changes(
    tmp_path: Path, family: str, name: Callable[[str, str], tuple[str, str] | None]
):
    named = {path: names for path in some_targets(family) if (names := name(family, path)) is not None}
    write_lora(tmp_path / "lora.safetensors", family, named)
    selection = selection_of(
        write_checkpoint(tmp_path / "model", family),
        (lora_use(asset_at(tmp_path / "lora.safetensors", "lora", family)),),
    )
    changed = changed_by(family, tmp_path / "lora.safetensors")
    (covered,) = run_rules(selection).coverage
    assert changed == named.keys()
    assert (covered.modules, covered.matched) == (len(targets(family)), len(changed))
    assert (covered.shape_conflicts, covered.unmatched) == ((), ())


@pytest.mark.parametrize(("name", "family", "folder"), [("sd15", "sd1", "sd15"), ("sdxl-base", "sdxl", "sdxl")])
def test_single_file_and_folder_of_one_model_have_the_same_modules(
    real: Make, tmp_path: Path, name: str, family: str, folder: str
):
    single = Context(selection_of(real(name, "checkpoint", family))).modules
    shapes = published_shapes(CONFIGS / folder)
    for network, own in shapes.items():
        kind = "diffusion_pytorch_model" if network == "unet" else "model"
        write_sparse(tmp_path / "folder" / network / f"{kind}.fp16.safetensors", own)
    checkpoint = asset_at(tmp_path / "folder", "checkpoint", family, format="diffusers")
    assert Context(selection_of(checkpoint)).modules == single


def published_shapes(folder: Path) -> dict[str, dict[str, list[int]]]:
    """Names and shapes of a published model's weights, from its configuration."""
    import torch
    import transformers
    from diffusers import UNet2DConditionModel

    shapes = {}
    for path in sorted([folder / "unet", *folder.glob("text_encoder*")]):
        config = json.loads((path / "config.json").read_text())
        with torch.device("meta"):
            if path.name == "unet":
                network = UNet2DConditionModel.from_config(config)
            else:
                kind = getattr(transformers, config["architectures"][0])
                network = kind(transformers.CLIPTextConfig(**config))
        shapes[path.name] = {key: list(tensor.shape) for key, tensor in network.state_dict().items()}
    return shapes
