"""Spellings and ways of writing a change that diffusers does not load: told by formulas and by published headers."""

from __future__ import annotations

import json
from time import process_time
from typing import TYPE_CHECKING, Any

import pytest
from compat.sparse import low_rank, tiny_checkpoint, write_sparse
from patience import fair
from selections import lora_use, selection_of

from assetctl.compat.check import run_rules
from assetctl.compat.coverage import coverage, modules_of_file
from assetctl.files.safetensors import read_header

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from compat.sparse import Make

    from assetctl.types import Asset, Coverage

    Shapes = dict[str, list[int]]

#: FLUX.1's published blocks: so many of two streams and of one.
DOUBLE, SINGLE = 19, 38


def covered(checkpoint: Asset, lora: Asset) -> Coverage:
    (found,) = run_rules(selection_of(checkpoint, (lora_use(lora),))).coverage
    return found


def flux(*, text: bool = False) -> Shapes:
    """The names of FLUX.1 [dev] as its authors publish it, in blocks of published width."""
    wide = 3072
    shapes = {"img_in.weight": [wide, 64], "final_layer.linear.weight": [64, wide]}
    for n in range(DOUBLE):
        for stream in ("img", "txt"):
            start = f"double_blocks.{n}.{stream}"
            shapes |= {f"{start}_attn.qkv.weight": [3 * wide, wide], f"{start}_attn.proj.weight": [wide, wide]}
            shapes |= {f"{start}_mlp.0.weight": [4 * wide, wide], f"{start}_mlp.2.weight": [wide, 4 * wide]}
            shapes |= {f"{start}_mod.lin.weight": [6 * wide, wide]}
    for n in range(SINGLE):
        start = f"single_blocks.{n}"
        shapes |= {f"{start}.linear1.weight": [7 * wide, wide], f"{start}.linear2.weight": [wide, 5 * wide]}
        shapes |= {f"{start}.modulation.lin.weight": [3 * wide, wide]}
    if not text:
        return shapes
    return {f"model.diffusion_model.{key}": shape for key, shape in shapes.items()} | text_encoders()


def text_encoders() -> Shapes:
    clip, t5 = "text_encoders.clip_l.transformer", "text_encoders.t5xxl.transformer"
    shapes = {
        f"{clip}.text_model.embeddings.token_embedding.weight": [49408, 768],
        f"{clip}.text_projection.weight": [768, 768],
        f"{t5}.shared.weight": [32128, 4096],
        f"{t5}.encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight": [32, 64],
    }
    for n in range(12):
        start = f"{clip}.text_model.encoder.layers.{n}"
        shapes |= {f"{start}.self_attn.{part}_proj.weight": [768, 768] for part in ("q", "k", "v", "out")}
        shapes |= {f"{start}.mlp.fc1.weight": [3072, 768], f"{start}.mlp.fc2.weight": [768, 3072]}
    for n in range(24):
        start = f"{t5}.encoder.block.{n}.layer"
        shapes |= {f"{start}.0.SelfAttention.{part}.weight": [4096, 4096] for part in "qkvo"}
        shapes |= {f"{start}.1.DenseReluDense.wi_{part}.weight": [10240, 4096] for part in (0, 1)}
        shapes |= {f"{start}.1.DenseReluDense.wo.weight": [4096, 10240]}
    return shapes


@pytest.mark.parametrize(
    ("name", "matched", "ranks"),
    [
        ("flux1-lora-kohya", 14 * DOUBLE + 6 * SINGLE, (2,)),
        ("flux1-lora-kohya-2", 14 * DOUBLE + 6 * SINGLE, (16,)),
        ("flux1-lora-diffusers-2", 14 * DOUBLE + 6 * SINGLE, (32,)),
        ("flux1-dora-onetrainer", 8 * DOUBLE + 3 * SINGLE + 12 * 6 + 24 * 7, (4,)),
    ],
)
def test_published_flux_loras_match_every_module_in_flux(
    real: Make, asset: Make, name: str, matched: int, ranks: tuple[int, ...]
):
    found = covered(asset("flux", "checkpoint", "flux1", flux(text=True)), real(name, "lora", "flux1"))
    assert (found.modules, found.matched) == (14 * DOUBLE + 6 * SINGLE + 2 + 12 * 6 + 24 * 7, matched)
    assert (found.shape_conflicts, found.unmatched, found.ranks) == ((), (), ranks)


@pytest.mark.parametrize(
    ("checkpoint", "family", "name", "matched", "ranks"),
    [
        ("sd15", "sd1", "lora-cloneofsimo-disney-real", 144 + 48, (1,)),
        ("sd15", "sd1", "sd15-ia3", 194, ()),
        ("sdxl-base", "sdxl", "sdxl-oft-kohya", 722, ()),
        ("sdxl-base", "sdxl", "sdxl-tlora-lycoris", 722, (8,)),
        ("flux1-dev-fp8-aio", "flux1", "flux1-oft-kohya", 494, ()),
        ("flux2-dev-lone", "flux2", "flux2-dev-lora-musubi", 160, (32,)),
    ],
)
def test_published_changes_of_other_kinds_match_every_module(
    real: Make, checkpoint: str, family: str, name: str, matched: int, ranks: tuple[int, ...]
):
    found = covered(real(checkpoint, "checkpoint", family), real(name, "lora", family))
    assert (found.matched, found.shape_conflicts, found.unmatched, found.ranks) == (matched, (), (), ranks)


def numbered(sizes: list[tuple[int, int]], network: str = "unet") -> Shapes:
    """What cloneofsimo's trainer writes of modules of these widths, taken in and given out, with two words."""
    shapes: Shapes = {"<s1>": [768], "<s2>": [768]}
    for number, (taken, given) in enumerate(sizes):
        shapes |= {f"{network}:{number}:up": [given, 4], f"{network}:{number}:down": [4, taken]}
    return shapes


def test_numbered_modules_are_counted_off_in_the_order_of_their_trainer(asset: Make):
    checkpoint = asset("model", "checkpoint", "sd1", tiny_checkpoint())
    fitting = numbered([(8, 8), (768, 8), (8, 8)]) | numbered([(768, 768)], "text_encoder")
    found = covered(checkpoint, asset("fits", "lora", "sd1", fitting))
    assert (found.matched, found.unmatched, found.ranks) == (4, (), (4,))
    other = asset("other", "lora", "sd1", numbered([(8, 8), (8, 8), (768, 8)]))
    report = run_rules(selection_of(checkpoint, (lora_use(other),)))
    assert (report.coverage, [finding.rule for finding in report.findings if finding.rule == "not_compared"]) == (
        (),
        ["not_compared"],
    )


def test_published_control_lora_widens_the_input_where_it_reads_the_second_picture(real: Make, asset: Make):
    checkpoint, lora = asset("flux", "diffusion-model", "flux1", flux()), real("flux1-control-lora", "lora", "flux1")
    report = run_rules(selection_of(checkpoint, (lora_use(lora),)))
    (found,) = report.coverage
    assert (found.shape_conflicts, found.widened) == ((), ("transformer_x_embedder",))
    assert report.ok
    assert any("widens the input of flux" in finding.message for finding in report.findings)


@pytest.mark.parametrize(("into", "widened"), [(128, 1), (96, 0), (32, 0)])
def test_an_input_is_widened_by_whole_pictures(asset: Make, into: int, widened: int):
    lora = asset("lora", "lora", "flux1", low_rank("transformer.x_embedder", 3072, [into]))
    found = covered(asset("flux", "diffusion-model", "flux1", flux()), lora)
    assert (len(found.widened), found.matched, len(found.shape_conflicts)) == (widened, widened, 1 - widened)


def test_sd1_lora_matches_nothing_in_flux(real: Make, asset: Make):
    found = covered(asset("flux", "diffusion-model", "flux1", flux()), real("sd15-lora-kohya", "lora", "sd1"))
    assert (found.matched, found.shape_conflicts, len(found.unmatched), len(found.elsewhere)) == (0, (), 192, 72)


@pytest.mark.parametrize("shape", [[3072], [3072, 0]])
def test_an_input_of_no_width_is_compared_all_the_same(asset: Make, shape: list[int]):
    checkpoint = asset("odd", "diffusion-model", "wan", {"x_embedder.weight": shape, "blocks.0.q.weight": [8, 8]})
    found = covered(checkpoint, asset("lora", "lora", "wan", low_rank("x_embedder", 3072, [64])))
    assert found.widened == ()


QKV = tuple(f"transformer_transformer_blocks_0_attn_to_{part}" for part in "qkv")


@pytest.mark.parametrize(
    ("module", "out", "matched"),
    [
        ("lora_unet_double_blocks_0_img_attn_qkv", 9216, 3),
        ("lycoris_double_blocks_0_img_attn_qkv", 9216, 3),
        ("diffusion_model.double_blocks.0.img_attn.qkv", 9216, 3),
        ("transformer.double_blocks.0.img_attn.qkv", 9216, 3),
        ("base_model.model.double_blocks.0.img_attn.qkv", 9216, 3),
        ("base_model.model.transformer_blocks.0.attn.to_q", 3072, 1),
        ("base_model.model.transformer.transformer_blocks.0.attn.to_q", 3072, 1),
        ("lycoris_transformer_blocks_0_attn_to_q", 3072, 1),
        ("lora_transformer_transformer_blocks_0_attn_to_q", 3072, 1),
        ("lora_transformer_transformer_blocks.0.attn.to_q", 3072, 1),
        ("lora_unet_single_blocks_0_linear1", 21504, 4),
        ("transformer.single_transformer_blocks.0.proj_mlp", 12288, 1),
    ],
)
def test_every_spelling_of_flux_is_understood(asset: Make, module: str, out: int, matched: int):
    found = covered(
        asset("flux", "diffusion-model", "flux1", flux()), asset("lora", "lora", "flux1", low_rank(module, out, [3072]))
    )
    assert (found.matched, found.shape_conflicts, found.unmatched) == (matched, (), ())


@pytest.mark.parametrize("prefix", ["lora_te1_", "text_encoder.", "text_encoders.clip_l.transformer.", "clip_l."])
def test_every_spelling_of_clip_beside_flux_is_understood(asset: Make, prefix: str):
    lora = low_rank(f"{prefix}text_model.encoder.layers.0.self_attn.q_proj", 768, [768])
    found = covered(asset("flux", "checkpoint", "flux1", flux(text=True)), asset("lora", "lora", "flux1", lora))
    assert (found.matched, found.unmatched) == (1, ())


@pytest.mark.parametrize(
    "prefix", ["lora_te2_", "lora_te3_", "text_encoder_2.", "text_encoders.t5xxl.transformer.", "t5."]
)
def test_every_spelling_of_t5_beside_flux_is_understood(asset: Make, prefix: str):
    lora = low_rank(f"{prefix}encoder.block.0.layer.0.SelfAttention.q", 4096, [4096])
    found = covered(asset("flux", "checkpoint", "flux1", flux(text=True)), asset("lora", "lora", "flux1", lora))
    assert (found.matched, found.unmatched) == (1, ())


def test_fused_change_of_another_width_conflicts_in_all_its_parts(asset: Make):
    lora = asset("lora", "lora", "flux1", low_rank("lora_unet_double_blocks_0_img_attn_qkv", 9000, [3072]))
    assert covered(asset("flux", "diffusion-model", "flux1", flux()), lora).shape_conflicts == tuple(sorted(QKV))


def test_what_is_packed_gets_no_coverage(asset: Make):
    packed = flux() | {"img_in.weight.quant_state.bitsandbytes__nf4": [9]}
    checkpoint = asset("other", "diffusion-model", "flux1", packed)
    lora = asset("lora", "lora", "flux1", low_rank("lora_unet_single_blocks_0_linear2", 3072, [15360]))
    report = run_rules(selection_of(checkpoint, (lora_use(lora),)))
    assert report.coverage == ()
    assert "not_compared" in [finding.rule for finding in report.findings]


@pytest.mark.parametrize(
    "module",
    [
        "lora_unet_down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q",
        "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q",
        "base_model.model.unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q",
        "diffusion_model.input_blocks.1.1.transformer_blocks.0.attn1.to_q",
    ],
)
def test_dotted_spellings_of_an_sd1_unet_are_understood(asset: Make, module: str):
    lora = asset("lora", "lora", "sd1", low_rank(module, 8, [8]))
    found = covered(asset("model", "checkpoint", "sd1", tiny_checkpoint()), lora)
    assert (found.matched, found.unmatched) == (1, ())


def test_embeddings_bundled_with_a_lora_are_no_modules(asset: Make):
    module = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"
    bundled = {"bundle_emb.token.string_to_param.*": [2, 768], "bundle_emb.token.lora_down.weight": [2, 768]}
    lora = asset("lora", "lora", "sd1", low_rank(module, 8, [8]) | bundled)
    found = covered(asset("model", "checkpoint", "sd1", tiny_checkpoint()), lora)
    assert (found.matched, found.unmatched) == (1, ())


@pytest.mark.parametrize(
    ("metadata", "alphas"),
    [
        ({}, ()),
        ({"ss_network_alpha": "8.0", "ss_network_args": json.dumps({"conv_alpha": "4"})}, (4.0, 8.0)),
        ({"ss_network_alpha": "None", "ss_network_args": "["}, ()),
        ({"ss_network_alpha": "inf", "ss_network_args": "[1]"}, ()),
        (
            {"lora_adapter_metadata": json.dumps({"unet.lora_alpha": 16, "unet.alpha_pattern": {"to_q": 2}})},
            (2.0, 16.0),
        ),
        ({"lora_adapter_metadata": json.dumps({"unet.lora_alpha": True, "unet.r": 4})}, ()),
    ],
)
def test_ranks_come_from_shapes_and_alphas_from_metadata(
    tmp_path: Path, metadata: dict[str, str], alphas: tuple[float, ...]
):
    checkpoint = write_sparse(tmp_path / "model.safetensors", tiny_checkpoint())
    block = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0"
    tensors = low_rank(f"{block}_attn1_to_q", 8, [8], rank=4) | low_rank(f"{block}_attn2_to_out_0", 8, [8], rank=2)
    lora = write_sparse(tmp_path / "lora.safetensors", tensors, metadata)
    modules = modules_of_file(read_header(checkpoint))
    assert modules is not None
    found = coverage("lora", read_header(lora), modules)
    assert (found.ranks, found.alphas) == ((2, 4), alphas)


def test_two_thousand_modules_are_compared_in_a_moment(tmp_path: Path):
    shapes = {f"model.diffusion_model.{key}": shape for key, shape in flux().items()}
    modules = modules_of_file(read_header(write_sparse(tmp_path / "flux.safetensors", shapes | text_encoders())))
    tensors: Shapes = {}
    for n in range(2000):
        tensors |= low_rank(f"transformer.single_transformer_blocks.{n % 500}.attn.to_{'qkvx'[n // 500]}", 3072, [3072])
    header = read_header(write_sparse(tmp_path / "lora.safetensors", tensors))
    assert modules is not None
    started = process_time()
    found = coverage("lora", header, modules)
    assert process_time() - started < fair(0.05)
    assert (found.matched, len(found.unmatched)) == (3 * SINGLE, 2000 - 3 * SINGLE)


WEIGHTS = {
    "linear": ("down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_out_0", (8, 8)),
    "convolution": ("down_blocks_0_resnets_0_conv1", (8, 8, 3, 3)),
}


def hadamard(part: dict[str, Any]) -> Any:
    return (part["hada_w1_a"] @ part["hada_w1_b"]) * (part["hada_w2_a"] @ part["hada_w2_b"])


def kronecker(part: dict[str, Any]) -> Any:
    inner = part["lokr_w2"] if "lokr_w2" in part else part["lokr_w2_a"] @ part["lokr_w2_b"]
    outer = part["lokr_w1"].reshape(*part["lokr_w1"].shape, *[1] * (inner.ndim - 2))
    import torch

    return torch.kron(outer.contiguous(), inner.contiguous())


def rotation(part: dict[str, Any]) -> Any:
    """What OFT adds to a weight of ones: (R - 1) W, each block of R by Cayley's transform of a skew matrix."""
    import torch

    skew = part["oft_blocks"] - part["oft_blocks"].transpose(1, 2)
    unit = torch.eye(skew.shape[-1])
    turn = torch.block_diag(*((unit + skew) @ torch.linalg.inv(unit - skew)))
    return (turn - torch.eye(len(turn))) @ part["_weight"]


def rescaling(part: dict[str, Any]) -> Any:
    return part["_weight"] * (part["weight"] if part["on_input"].item() else part["weight"].reshape(-1, 1))


def difference(part: dict[str, Any]) -> Any:
    return part["diff"]


@pytest.mark.generation
@pytest.mark.parametrize(
    ("where", "parts", "formula"),
    [
        ("linear", {"hada_w1_a": [8, 2], "hada_w1_b": [2, 8], "hada_w2_a": [8, 2], "hada_w2_b": [2, 8]}, hadamard),
        (
            "convolution",
            {"hada_w1_a": [8, 2], "hada_w1_b": [2, 72], "hada_w2_a": [8, 2], "hada_w2_b": [2, 72]},
            hadamard,
        ),
        ("linear", {"lokr_w1": [2, 4], "lokr_w2": [4, 2]}, kronecker),
        ("linear", {"lokr_w1": [2, 4], "lokr_w2_a": [4, 1], "lokr_w2_b": [1, 2]}, kronecker),
        ("convolution", {"lokr_w1": [2, 2], "lokr_w2": [4, 4, 3, 3]}, kronecker),
        ("linear", {"oft_blocks": [4, 2, 2]}, rotation),
        ("linear", {"weight": [8], "on_input": []}, rescaling),
        ("convolution", {"diff": [8, 8, 3, 3]}, difference),
    ],
)
@pytest.mark.parametrize("width", [8, 24])
def test_change_is_matched_where_its_formula_gives_the_weights_shape(
    asset: Make, where: str, parts: Shapes, formula: Callable[[dict[str, Any]], Any], width: int
):
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    module, small = WEIGHTS[where]
    weight = torch.ones(width, width, *small[2:])
    part = {name: torch.rand(shape) for name, shape in parts.items()} | {"_weight": weight}
    try:
        delta = formula(part)
        fits = delta.numel() == weight.numel() and bool(delta.any())
    except RuntimeError:  # torch's word for shapes that do not go together
        fits = False
    lora = asset("lora", "lora", "sd1", {f"lora_unet_{module}.{name}": shape for name, shape in parts.items()})
    found = covered(asset("model", "checkpoint", "sd1", tiny_checkpoint(width=width)), lora)
    assert fits is (width == small[0])
    assert (found.matched, found.shape_conflicts) == ((1, ()) if fits else (0, (f"unet_{module}",)))
