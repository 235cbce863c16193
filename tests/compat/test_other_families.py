"""Checkpoints of families without names of their own here, and UNets and transformers in files of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from compat.sparse import low_rank, tiny_checkpoint
from selections import lora_use, selection_of

from assetctl.compat.check import Situation, run_rules

if TYPE_CHECKING:
    from collections.abc import Mapping

    from compat.sparse import Make

    from assetctl.types import Asset, CheckReport

#: A transformer as Wan's authors name it.
WAN = {
    "blocks.0.self_attn.q.weight": [3072, 3072],
    "blocks.0.cross_attn.k.weight": [3072, 3072],
    "blocks.0.ffn.0.weight": [14336, 3072],
}


def checked(checkpoint: Asset, *loras: Asset) -> CheckReport:
    return run_rules(selection_of(checkpoint, tuple(map(lora_use, loras))))


def told(report: CheckReport) -> dict[str, str]:
    return {finding.rule: finding.severity for finding in report.findings}


def under(root: str, shapes: Mapping[str, list[int]]) -> dict[str, list[int]]:
    return {f"{root}{name}": shape for name, shape in shapes.items()}


@pytest.mark.parametrize(
    "root", ["", "model.diffusion_model.", "diffusion_model.", "transformer.", "model.", "model.model.", "net."]
)
@pytest.mark.parametrize(
    "module",
    [
        "lora_unet_blocks_0_self_attn_q",
        "lora_unet__blocks_0_self_attn_q",
        "transformer_2.blocks.0.self_attn.q",
        "diffusion_model.blocks.0.self_attn.q",
        "transformer.blocks.0.self_attn.q",
        "base_model.model.blocks.0.self_attn.q",
        "blocks.0.self_attn.q",
    ],
)
def test_names_that_both_files_share_are_compared(asset: Make, root: str, module: str):
    checkpoint = asset("wan", "diffusion-model", "wan", under(root, WAN))
    report = checked(checkpoint, asset("style", "lora", "wan", low_rank(module, 3072, [3072])))
    (found,) = report.coverage
    assert (found.modules, found.matched, found.shape_conflicts, found.unmatched) == (3, 1, (), ())
    assert told(report) == {"parts_elsewhere": "info"}
    refused = checked(checkpoint, asset("wide", "lora", "wan", low_rank(module, 5120, [5120])))
    assert told(refused)["coverage"] == "error"


def test_names_that_no_module_has_are_no_proof_of_anything(asset: Make):
    checkpoint = asset("wan", "diffusion-model", "wan", WAN)
    other = low_rank("transformer.blocks.0.attn1.to_q", 3072, [3072])
    report = checked(checkpoint, asset("style", "lora", "wan", other))
    assert (report.ok, report.coverage) == (True, ())
    assert told(report)["not_compared"] == "info"
    mixed = checked(checkpoint, asset("mixed", "lora", "wan", other | low_rank("blocks.0.ffn.0", 14336, [3072])))
    (found,) = mixed.coverage
    assert (mixed.ok, found.matched, len(found.unmatched)) == (True, 1, 1)
    assert "coverage" not in told(mixed)
    assert any("1 modules of mixed were not compared" in finding.message for finding in mixed.findings)


def test_published_loras_of_other_families_are_compared(real: Make, asset: Make):
    lora = real("wan-lora-diffusers-lying-metadata", "lora", "wan")
    report = checked(asset("wan", "diffusion-model", "wan", WAN), lora)
    assert report.ok
    assert report.coverage[0].matched == 3


@pytest.mark.parametrize("root", ["model.diffusion_model.", "diffusion_model.", ""])
def test_a_unet_alone_is_compared_and_its_text_encoders_are_elsewhere(asset: Make, root: str):
    whole = tiny_checkpoint()
    unet = {key.removeprefix("model.diffusion_model."): each for key, each in whole.items() if "diffusion_model" in key}
    checkpoint = asset("unet", "diffusion-model", "sd1", under(root, unet))
    lora = low_rank("lora_unet_down_blocks_0_resnets_0_conv1", 8, [8, 3, 3])
    lora |= low_rank("lora_te_text_model_encoder_layers_0_self_attn_q_proj", 768, [768])
    report = checked(checkpoint, asset("style", "lora", "sd1", lora))
    (found,) = report.coverage
    assert (found.matched, found.unmatched, len(found.elsewhere)) == (1, (), 1)
    assert told(report) == {"parts_elsewhere": "info"}
    assert any("text encoders and VAE come from elsewhere" in finding.message for finding in report.findings)
    assert (
        checked(asset("full", "checkpoint", "sd1", whole), asset("both", "lora", "sd1", lora)).coverage[0].matched == 2
    )


def test_a_lora_of_text_encoders_alone_is_no_error_where_those_are_elsewhere(asset: Make):
    lora = low_rank("lora_te1_text_model_encoder_layers_0_self_attn_q_proj", 768, [768])
    checkpoint = asset(
        "unet", "diffusion-model", "sd1", {k: v for k, v in tiny_checkpoint().items() if "cond" not in k}
    )
    assert told(checked(checkpoint, asset("words", "lora", "sd1", lora))) == {"parts_elsewhere": "info"}


def test_what_comes_on_top_of_a_transformer_is_said_of_its_memory(asset: Make):
    checkpoint = asset("wan", "diffusion-model", "wan", WAN)
    (finding,) = [
        each for each in run_rules(selection_of(checkpoint), Situation(memory=1)).findings if each.rule == "memory"
    ]
    assert "text encoders and VAE come on top" in finding.message


#: One block of Stable Cascade's attention, as ComfyUI, its authors and diffusers name it.
CASCADE = {
    "comfyui": {
        **{f"attention.attn.to_{letter}.weight": [2048, 2048] for letter in "qkv"},
        "attention.attn.out_proj.weight": [2048, 2048],
    },
    "authors": {"attention.attn.in_proj_weight": [6144, 2048], "attention.attn.out_proj.weight": [2048, 2048]},
    "diffusers": {f"attention.to_{part}.weight": [2048, 2048] for part in ("q", "k", "v", "out.0")},
}


@pytest.mark.parametrize("named", CASCADE)
@pytest.mark.parametrize(
    "module",
    ["lora_prior_unet_down_blocks_0_2_attention_to_{}", "lora_unet_down_blocks_0_2_attention_to_{}",
     "unet.down_blocks.0.2.attention.to_{}", "lora_unet_down_blocks_0_2_attention_attn_{}"],
)  # fmt: skip
def test_the_attention_of_stable_cascade_is_compared_however_it_is_named(asset: Make, named: str, module: str):
    block = under("down_blocks.0.2.", CASCADE[named]) | {"down_blocks.0.0.depthwise.weight": [2048, 1, 3, 3]}
    checkpoint = asset("cascade", "checkpoint", "stable-cascade", under("model.diffusion_model.", block))
    authors = module.endswith("attn_{}")
    last = "out_proj" if authors else "out.0" if "." in module else "out_0"
    parts = [*(f"to_{letter}" if authors else letter for letter in "qkv"), last]
    changes = {name: shape for part in parts for name, shape in low_rank(module.format(part), 2048, [2048]).items()}
    (found,) = checked(checkpoint, asset("style", "lora", "stable-cascade", changes)).coverage
    assert (found.modules, found.matched, found.shape_conflicts, found.unmatched) == (5, 4, (), ())
