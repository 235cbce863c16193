"""FLUX.1: what LoRAs of every layout change, put to diffusers itself."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
from compat.sparse import asset_at, write_sparse
from selections import lora_use, selection_of

from assetctl.compat.check import Context, run_rules

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from assetctl.types import Asset, Coverage

    #: BFL's modules and their shapes, `[out, in]`.
    Shapes = dict[str, list[int]]

pytestmark = pytest.mark.generation
pytest.importorskip("torch")
pytest.importorskip("diffusers")

ATTENTION = ("to_q", "to_k", "to_v", "to_out.0", "add_q_proj", "add_k_proj", "add_v_proj", "to_add_out")


@dataclass(frozen=True)
class Change:
    """One pair of matrices: their names, and the modules that diffusers should change by them."""

    down: str
    up: str
    modules: tuple[str, ...]


@cache
def networks() -> dict[str, Any]:
    """A small transformer and both text encoders, of random numbers."""
    import torch
    from diffusers import FluxTransformer2DModel
    from transformers import CLIPTextConfig, CLIPTextModel, T5Config, T5EncoderModel

    torch.manual_seed(0)
    clip = CLIPTextConfig(
        hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2, vocab_size=20,
        projection_dim=16, bos_token_id=0, eos_token_id=1,
    )  # fmt: skip
    t5 = T5Config(d_model=24, d_ff=40, d_kv=8, num_heads=3, num_layers=2, vocab_size=20, feed_forward_proj="gated-gelu")
    transformer = FluxTransformer2DModel(
        in_channels=8, num_layers=2, num_single_layers=2, attention_head_dim=16, num_attention_heads=2,
        joint_attention_dim=24, pooled_projection_dim=16, guidance_embeds=True, axes_dims_rope=(4, 6, 6),
    )  # fmt: skip
    return {"transformer": transformer, "text_encoder": CLIPTextModel(clip), "text_encoder_2": T5EncoderModel(t5)}


@cache
def targets() -> dict[str, Any]:
    """Linear layers by their paths in a LoRA, with the `text_model` that transformers dropped."""
    import torch

    return {
        f"{name}.{'text_model.' if name == 'text_encoder' else ''}{path.removeprefix('text_model.')}": module
        for name, network in networks().items()
        for path, module in network.named_modules()
        if isinstance(module, torch.nn.Linear)
    }


def diffusers_layout() -> Iterator[Change]:
    for path in targets():
        if not path.startswith("text_encoder_2."):  # FLUX's pipeline trains CLIP alone
            yield Change(f"{path}.lora_A.weight", f"{path}.lora_B.weight", (path,))


def kohya_text() -> Iterator[Change]:
    for path in targets():
        if path.startswith("text_encoder."):
            name = "lora_te1_" + path.removeprefix("text_encoder.").replace(".", "_")
            yield Change(f"{name}.lora_down.weight", f"{name}.lora_up.weight", (path,))


def onetrainer() -> Iterator[Change]:
    """Attention and what lies outside the blocks: diffusers mistakes the rest for the block itself."""
    for path in targets():
        if path.startswith("transformer.") and (".attn." in path or "_blocks." not in path):
            name = "lora_" + path.replace(".", "_")
            yield Change(f"{name}.lora_down.weight", f"{name}.lora_up.weight", (path,))
    yield from kohya_text()


def bfl_names() -> Iterator[tuple[str, tuple[str, ...]]]:
    """BFL's names in the blocks, but for `linear1`, where diffusers' own reading takes the full width for given."""
    for n in range(2):
        double, single = f"transformer.transformer_blocks.{n}.", f"transformer.single_transformer_blocks.{n}."
        for stream, qkv, out, ff, norm in (
            ("img", ATTENTION[:3], ATTENTION[3], "ff", "norm1"),
            ("txt", ATTENTION[4:7], ATTENTION[7], "ff_context", "norm1_context"),
        ):
            place = f"double_blocks.{n}.{stream}"
            yield f"{place}_attn.qkv", tuple(f"{double}attn.{part}" for part in qkv)
            yield f"{place}_attn.proj", (f"{double}attn.{out}",)
            yield f"{place}_mlp.0", (f"{double}{ff}.net.0.proj",)
            yield f"{place}_mlp.2", (f"{double}{ff}.net.2",)
            yield f"{place}_mod.lin", (f"{double}{norm}.linear",)
        yield f"single_blocks.{n}.linear2", (f"{single}proj_out",)
        yield f"single_blocks.{n}.modulation.lin", (f"{single}norm.linear",)


def kohya() -> Iterator[Change]:
    for name, modules in bfl_names():
        own = f"lora_unet_{name.replace('.', '_')}"
        yield Change(f"{own}.lora_down.weight", f"{own}.lora_up.weight", modules)
    yield from kohya_text()


def comfyui() -> Iterator[Change]:
    for name, modules in bfl_names():
        own = f"diffusion_model.{name}"
        yield Change(f"{own}.lora_down.weight", f"{own}.lora_up.weight", modules)


def xlabs() -> Iterator[Change]:
    for n in range(2):
        double, single = f"transformer.transformer_blocks.{n}.", f"transformer.single_transformer_blocks.{n}."
        for stream, qkv, out in ((1, ATTENTION[:3], ATTENTION[3]), (2, ATTENTION[4:7], ATTENTION[7])):
            own = f"double_blocks.{n}.processor"
            for name, parts in (("qkv", qkv), ("proj", (out,))):
                start = f"{own}.{name}_lora{stream}"
                modules = tuple(f"{double}attn.{part}" for part in parts)
                yield Change(f"{start}.down.weight", f"{start}.up.weight", modules)
        own = f"single_blocks.{n}.processor"
        qkv = tuple(f"{single}attn.{part}" for part in ATTENTION[:3])
        yield Change(f"{own}.qkv_lora.down.weight", f"{own}.qkv_lora.up.weight", qkv)
        yield Change(f"{own}.proj_lora.down.weight", f"{own}.proj_lora.up.weight", (f"{single}proj_out",))


def write_lora(path: Path, changes: list[Change]) -> None:
    import torch
    from safetensors.torch import save_file

    tensors = {}
    for change in changes:
        shapes = [targets()[module].weight.shape for module in change.modules]
        tensors[change.down] = torch.randn(2, shapes[0][1])
        tensors[change.up] = torch.randn(sum(shape[0] for shape in shapes), 2)
        if change.down.startswith("lora_"):
            tensors[change.down.replace("lora_down.weight", "alpha")] = torch.tensor(2.0)
    save_file(tensors, path)


def changed_by(lora: Path) -> set[str]:
    """Modules whose weight is another once diffusers has fused the LoRA."""
    import torch
    from diffusers import FlowMatchEulerDiscreteScheduler, FluxPipeline

    nothing = {"vae": None, "tokenizer": None, "tokenizer_2": None}
    pipeline = FluxPipeline(scheduler=FlowMatchEulerDiscreteScheduler(), **copy.deepcopy(networks()), **nothing)
    pipeline.load_lora_weights(str(lora.parent), weight_name=lora.name)
    pipeline.fuse_lora(components=["transformer", "text_encoder"])
    weights = {
        f"{name}.{key.removesuffix('.weight').removesuffix('.base_layer')}": tensor
        for name in networks()
        for key, tensor in getattr(pipeline, name).state_dict().items()
    }
    short = {path: path if path in weights else path.replace("text_model.", "") for path in targets()}
    return {path for path, module in targets().items() if not torch.equal(module.weight, weights[short[path]])}


def write_checkpoint(folder: Path) -> Asset:
    for name, network in networks().items():
        network.save_pretrained(folder / name)
    return asset_at(folder, "checkpoint", "flux1", format="diffusers")


def covered(checkpoint: Asset, lora: Path) -> Coverage:
    (found,) = run_rules(selection_of(checkpoint, (lora_use(asset_at(lora, "lora", "flux1")),))).coverage
    return found


@pytest.mark.parametrize("layout", [diffusers_layout, kohya, comfyui, onetrainer, xlabs])
def test_matched_modules_are_those_that_diffusers_changes(tmp_path: Path, layout: Callable[[], Iterator[Change]]):
    changes = list(layout())
    lora = tmp_path / "lora.safetensors"
    write_lora(lora, changes)
    found = covered(write_checkpoint(tmp_path / "model"), lora)
    changed = changed_by(lora)
    assert changed == {module for change in changes for module in change.modules}
    assert (found.modules, found.matched) == (len(targets()), len(changed))
    assert (found.shape_conflicts, found.unmatched, found.ranks) == ((), (), (2,))


def full_width() -> Shapes:
    """One block of each sort as wide as published, and everything outside the blocks, in BFL's names."""
    wide, outside = 3072, {"img_in": [3072, 64], "txt_in": [3072, 4096], "final_layer.linear": [64, 3072]}
    shapes = outside | {"final_layer.adaLN_modulation.1": [2 * wide, wide]}
    for name, width in (("time_in", 256), ("vector_in", 768), ("guidance_in", 256)):
        shapes |= {f"{name}.in_layer": [wide, width], f"{name}.out_layer": [wide, wide]}
    for stream in ("img", "txt"):
        start = f"double_blocks.0.{stream}"
        shapes |= {f"{start}_attn.qkv": [3 * wide, wide], f"{start}_attn.proj": [wide, wide]}
        shapes |= {f"{start}_mlp.0": [4 * wide, wide], f"{start}_mlp.2": [wide, 4 * wide]}
        shapes |= {f"{start}_mod.lin": [6 * wide, wide]}
    single = {"linear1": [7 * wide, wide], "linear2": [wide, 5 * wide], "modulation.lin": [3 * wide, wide]}
    return shapes | {f"single_blocks.0.{name}": shape for name, shape in single.items()}


def full_norms() -> Shapes:
    attentions = ("double_blocks.0.img_attn", "double_blocks.0.txt_attn", "single_blocks.0")
    return {f"{place}.norm.{name}_norm.scale": [128] for place in attentions for name in ("query", "key")}


@pytest.mark.parametrize("prefix", ["", "model.diffusion_model."])
def test_single_file_has_the_modules_that_diffusers_converts_it_to(tmp_path: Path, prefix: str):
    import torch
    from diffusers.loaders.single_file_utils import convert_flux_transformer_checkpoint_to_diffusers as convert

    weights = {f"{name}.weight": shape for name, shape in full_width().items()} | full_norms()
    biases = {f"{name}.bias": shape[:1] for name, shape in full_width().items()}
    single = write_sparse(tmp_path / "single.safetensors", {f"{prefix}{key}": own for key, own in weights.items()})
    tensors = {key: torch.empty(shape, device="meta") for key, shape in (weights | biases).items()}
    converted = {key: list(tensor.shape) for key, tensor in convert(tensors).items()}
    write_sparse(tmp_path / "model/transformer/diffusion_pytorch_model.safetensors", converted)
    folder = asset_at(tmp_path / "model", "checkpoint", "flux1", format="diffusers")
    modules = Context(selection_of(asset_at(single, "diffusion-model", "flux1"))).modules
    assert modules is not None
    assert modules == Context(selection_of(folder)).modules
    assert len(modules.shapes) == sum(key.endswith(".weight") for key in converted)


def test_fused_lora_of_full_width_matches_what_diffusers_converts_it_to(tmp_path: Path):
    import torch
    from diffusers import FluxPipeline

    tensors = {}
    for name, (out, into) in full_width().items():
        own = f"lora_unet_{name.replace('.', '_')}"
        tensors |= {f"{own}.lora_down.weight": torch.zeros(2, into), f"{own}.lora_up.weight": torch.zeros(out, 2)}
    lora = write_sparse(tmp_path / "lora.safetensors", {key: list(own.shape) for key, own in tensors.items()})
    weights = {f"{name}.weight": shape for name, shape in full_width().items()}
    checkpoint = asset_at(write_sparse(tmp_path / "model.safetensors", weights), "diffusion-model", "flux1")
    modules = Context(selection_of(checkpoint)).modules
    converted = FluxPipeline.lora_state_dict(tensors)
    halves = {key.removeprefix("transformer."): list(tensor.shape) for key, tensor in converted.items()}
    theirs = {
        "transformer_" + key.removesuffix(".lora_A.weight").replace(".", "_"): [
            halves[key.replace("A", "B")][0],
            own[1],
        ]
        for key, own in halves.items()
        if key.endswith(".lora_A.weight")
    }
    assert modules is not None
    assert theirs == modules.shapes
    assert covered(checkpoint, lora).matched == len(theirs)
