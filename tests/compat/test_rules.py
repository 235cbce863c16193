from __future__ import annotations

import pkgutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from compat.sparse import low_rank, tiny_checkpoint
from identify.networks import diffusers_unet, flux, kohya, parts, peft, whole
from selections import lora_use, selection_of

from assetctl.compat import rules
from assetctl.compat.check import list_rules, run_rules

if TYPE_CHECKING:
    from compat.sparse import Make

    from assetctl.types import Asset, Finding

MODULE = "lora_unet_down_blocks_0_resnets_0_conv1"


def checkpoint_of(asset: Make, **other: object) -> Asset:
    return asset("base", "checkpoint", "sd1", tiny_checkpoint(), **other)


def lora_of(asset: Make, name: str = "style", family: str | None = "sd1", **other: object) -> Asset:
    return asset(name, "lora", family, low_rank(MODULE, 8, [8, 3, 3]), **other)


def embedding_of(asset: Make, width: int = 768, family: str | None = "sd1", **other: object) -> Asset:
    return asset("token", "embedding", family, {"emb_params": [2, width]}, **other)


def found(rule: str, checkpoint: Asset | None, *loras: Asset, **other: object) -> list[Finding]:
    selection = selection_of(checkpoint, tuple(map(lora_use, loras)), **other)
    return [finding for finding in run_rules(selection).findings if finding.rule == rule]


def test_what_fits_has_no_findings(asset: Make):
    lora, embedding = lora_of(asset, trigger_words=("ink wash",)), embedding_of(asset, trigger_words=("tok",))
    vae = asset("vae", "vae", "sd1", {"decoder.conv_in.weight": [4, 4, 3, 3]})
    selection = selection_of(checkpoint_of(asset), (lora_use(lora),), (embedding,), vae, "(ink wash:1.2), tok", "")
    report = run_rules(selection)
    assert (report.ok, report.findings, len(report.coverage)) == (True, (), 1)


def test_findings_stand_by_severity_and_only_errors_spoil_the_report(asset: Make):
    lora = lora_of(asset, family=None, trigger_words=("ink",))
    warned = run_rules(selection_of(None, (lora_use(lora),), prompt="a cat"))
    assert warned.ok
    assert [finding.severity for finding in warned.findings] == ["warning", "warning", "info"]
    spoilt = run_rules(selection_of(replace(lora, family="sd1"), (lora_use(lora),), prompt="a cat"))
    assert not spoilt.ok
    assert [finding.severity for finding in spoilt.findings] == sorted(finding.severity for finding in spoilt.findings)


@pytest.mark.parametrize("kind", ["lora", "unknown", "text-encoder"])
def test_asset_of_another_kind_is_an_error(asset: Make, kind: str):
    (finding,) = found("kind", replace(checkpoint_of(asset), kind=kind))
    assert (finding.severity, finding.assets) == ("error", ("base",))
    assert "checkpoint" in str(finding.hint)


@pytest.mark.parametrize("family", ["sdxl", "sd2", "flux1"])
def test_lora_of_another_family_is_an_error(asset: Make, family: str):
    (finding,) = found("family", checkpoint_of(asset), lora_of(asset, family=family))
    assert (finding.severity, finding.assets) == ("error", ("style", "base"))
    assert family in finding.message
    assert "sd1" in finding.message


CHROMA = flux(modulation=False)
SDXL_ATTENTION = parts(diffusers_unet("sdxl"), "attn")


@pytest.mark.parametrize(
    ("family", "network", "taken_for", "changes"),
    [
        ("chroma", whole(CHROMA), "flux1", peft(CHROMA, "diffusion_model.")),
        ("kolors", whole(diffusers_unet("sdxl")), "sdxl", peft(SDXL_ATTENTION, "unet.")),
    ],
    ids=["chroma", "kolors"],
)
def test_a_lora_whose_tensors_fit_the_checkpoints_family_too_is_no_error(
    asset: Make, family: str, network: dict[str, list[int]], taken_for: str, changes: dict[str, list[int]]
):
    checkpoint = asset("base", "diffusion-model", family, network)
    lora = asset("style", "lora", taken_for, changes)
    report = run_rules(selection_of(checkpoint, (lora_use(lora),)))
    assert [(each.rule, each.severity) for each in report.findings] == [
        ("family", "warning"),
        ("parts_elsewhere", "info"),
    ]
    assert report.coverage[0].matched > 0
    (finding,) = found("family", checkpoint, lora)
    assert f"assetctl edit style --family {family}" in str(finding.hint)
    (finding,) = found("family", checkpoint, replace(lora, base_model="Its page says so"))
    assert finding.severity == "error"
    narrow = asset("narrow", "diffusion-model", family, {name: [8, *shape[1:]] for name, shape in network.items()})
    judged = run_rules(selection_of(narrow, (lora_use(lora),)))
    assert [each.rule for each in judged.findings if each.severity == "error"] == ["coverage"]


def test_a_lora_that_proves_its_family_is_an_error_beside_another(asset: Make):
    clip = low_rank("lora_te1_text_model_encoder_layers_0_self_attn_q_proj", 768, [768])
    clip |= low_rank("lora_te2_text_model_encoder_layers_0_self_attn_q_proj", 1280, [1280])
    lora = asset("style", "lora", "sdxl", kohya(SDXL_ATTENTION) | clip)
    (finding,) = found("family", asset("base", "diffusion-model", "kolors", whole(SDXL_ATTENTION)), lora)
    assert finding.severity == "error"


def test_refiner_is_another_family_than_sdxl(asset: Make):
    refiner = replace(checkpoint_of(asset), family="sdxl-refiner")
    assert len(found("family", refiner, lora_of(asset, family="sdxl"))) == 1


def test_without_a_checkpoint_loras_are_compared_with_each_other(asset: Make):
    first, second = lora_of(asset), lora_of(asset, "other", "sdxl")
    assert [finding.assets for finding in found("family", None, first, second)] == [("other", "style")]
    assert [finding.severity for finding in found("no_checkpoint", None, first)] == ["info"]


@pytest.mark.parametrize(("family", "count"), [(None, 0), ("sd1", 0), ("sd2", 0), ("sdxl", 1)])
def test_vae_fits_every_family_with_the_same_latents(asset: Make, family: str | None, count: int):
    vae = asset("vae", "vae", family, {"decoder.conv_in.weight": [4, 4, 3, 3]})
    assert len(found("family", checkpoint_of(asset), vae=vae)) == count


IMAGE, VIDEO = "decoder.conv_in.weight", "decoder.conv1.weight"


def vae_of(asset: Make, family: str | None, name: str = IMAGE, channels: int = 4) -> Asset:
    kernel = [3, 3] if name == IMAGE else [3, 3, 3]
    return asset("vae", "vae", family, {name: [8, channels, *kernel], "decoder.mid.block_1.conv1.weight": [8, 8]})


@pytest.mark.parametrize(
    ("family", "name", "channels", "label"),
    [
        ("kolors", IMAGE, 4, None),
        ("auraflow", IMAGE, 4, None),
        ("pixart", IMAGE, 4, None),
        ("pixart", IMAGE, 4, "sd1"),
        ("pixart", IMAGE, 4, "sdxl"),
        ("chroma", IMAGE, 16, None),
        ("z-image", IMAGE, 16, "flux1"),
        ("lumina2", IMAGE, 16, "flux1"),
        ("hidream", IMAGE, 16, "flux1"),
        ("wan", VIDEO, 16, "qwen-image"),
        ("cosmos", VIDEO, 16, None),
        ("cosmos", VIDEO, 16, "wan"),
        ("krea2", VIDEO, 16, "qwen-image"),
        ("hunyuan-video", "decoder.conv_in.conv.weight", 16, None),
        ("svd", IMAGE, 4, None),
    ],
)
def test_a_vae_of_the_same_latents_fits_whatever_it_is_called_after(
    asset: Make, family: str, name: str, channels: int, label: str | None
):
    vae = vae_of(asset, label, name, channels)
    report = run_rules(selection_of(replace(checkpoint_of(asset), family=family), vae=vae))
    assert not [each for each in report.findings if each.severity == "error"]


@pytest.mark.parametrize(
    ("family", "name", "channels", "label"),
    [
        ("chroma", IMAGE, 16, "sd3"),
        ("kolors", IMAGE, 4, "sd1"),
        ("qwen-image", VIDEO, 48, "wan"),
        ("krea2", VIDEO, 48, "wan"),
        ("hunyuan-video", VIDEO, 16, None),
        ("wan", IMAGE, 4, None),
        ("sana", IMAGE, 4, None),
    ],
)
def test_a_vae_of_other_latents_does_not_fit(asset: Make, family: str, name: str, channels: int, label: str | None):
    vae = vae_of(asset, label, name, channels)
    report = run_rules(selection_of(replace(checkpoint_of(asset), family=family), vae=vae))
    assert [each for each in report.findings if each.severity == "error"]


def test_where_models_of_a_family_differ_in_their_latents_it_is_left_open(asset: Make):
    pixart, svd = (replace(checkpoint_of(asset), family=family) for family in ("pixart", "svd"))
    for label in (None, "sdxl"):
        (finding,) = found("unknown_family", pixart, vae=vae_of(asset, label))
        assert finding.severity == "info"
    (finding,) = found("unknown_family", svd, vae=vae_of(asset, None))
    assert (finding.severity, "Nothing is known" in finding.message) == ("warning", True)


def test_unknown_family_is_a_warning_with_the_command_that_sets_it(asset: Make):
    (finding,) = found("unknown_family", checkpoint_of(asset), lora_of(asset, family=None))
    assert finding.severity == "warning"
    assert "assetctl edit style --family FAMILY" in str(finding.hint)
    assert "enrich style" in str(finding.hint)


def test_the_hint_to_an_unknown_family_names_those_that_tensors_allow(asset: Make):
    attention = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"
    lora = asset("style", "lora", None, low_rank(attention, 320, [320]))
    (finding,) = found("unknown_family", checkpoint_of(asset), lora)
    assert "its tensors allow sd1 and sd2" in str(finding.hint)


def test_width_of_an_embedding_is_compared_with_what_the_checkpoint_reads(asset: Make):
    narrow = replace(checkpoint_of(asset), family=None)
    assert found("embedding_width", narrow, embeddings=(embedding_of(asset),)) == []
    (finding,) = found("embedding_width", narrow, embeddings=(embedding_of(asset, 1024),))
    assert finding.severity == "error"
    assert "1024" in finding.message
    assert "768" in finding.message


def test_an_embedding_of_another_family_is_told_of_once(asset: Make):
    report = run_rules(
        selection_of(replace(checkpoint_of(asset), family="sdxl"), embeddings=(embedding_of(asset, 1280),))
    )
    assert [finding.rule for finding in report.findings] == ["family"]


def test_an_embedding_without_vectors_is_damaged(asset: Make):
    embedding = asset("token", "embedding", "sd1", {"emb_params": [0, 768]})
    (finding,) = found("embedding_width", checkpoint_of(asset), embeddings=(embedding,))
    assert finding.severity == "error"
    assert "no vector" in finding.message
    one = asset("one", "embedding", "sd1", {"emb_params": [768]})
    assert found("embedding_width", checkpoint_of(asset), embeddings=(one,)) == []


@pytest.mark.parametrize(("vectors", "count"), [(75, 0), (76, 1)])
def test_an_embedding_has_no_more_vectors_than_a_part_of_a_prompt_takes(asset: Make, vectors: int, count: int):
    embedding = asset("token", "embedding", "sd1", {"emb_params": [vectors, 768]})
    findings = found("embedding_width", checkpoint_of(asset), embeddings=(embedding,))
    assert [finding.severity for finding in findings] == ["error"] * count


@pytest.mark.parametrize(
    ("shapes", "count"),
    [
        ({"clip_l": [1, 768], "clip_g": [1, 1280]}, 0),
        ({"clip_l": [1, 768]}, 1),
        ({"<token>": [768]}, 1),
        ({"<one>": [768], "<two>": [1280]}, 0),
        ({"nothing": []}, 0),
    ],
    ids=str,
)
def test_sdxl_wants_vectors_for_both_text_encoders(asset: Make, shapes: dict[str, list[int]], count: int):
    checkpoint = asset("base", "checkpoint", "sdxl", tiny_checkpoint(context=2048))
    embedding = asset("token", "embedding", "sdxl", shapes)
    assert len(found("embedding_width", checkpoint, embeddings=(embedding,))) == count


def test_width_is_that_of_the_family_where_the_checkpoint_does_not_tell(asset: Make):
    checkpoint = asset("base", "checkpoint", "sd2", {"some.weight": [2, 2]})
    (finding,) = found("embedding_width", checkpoint, embeddings=(embedding_of(asset, family=None),))
    assert "1024" in finding.message


def test_file_that_is_gone_is_an_error_that_leads_to_its_source(asset: Make):
    lora = lora_of(asset, source="civitai:1@2")
    Path(lora.path).unlink()
    report = run_rules(selection_of(checkpoint_of(asset), (lora_use(lora),)))
    (finding,) = report.findings
    assert (finding.rule, finding.severity, report.coverage) == ("missing_file", "error", ())
    assert "assetctl pull civitai:1@2" in str(finding.hint)


def test_file_of_another_size_is_an_error(asset: Make):
    (finding,) = found("missing_file", replace(checkpoint_of(asset), size=5))
    assert "had 5" in finding.message


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (b"<!DOCTYPE html>", "web page"),
        (b"", "empty"),
        (b"\x80\x02}q\x00.", "pickle"),
        (b"\x09" * 40, "a text"),
        (b"\xff\x00" * 20, "not a valid"),
    ],
    ids=["page", "empty", "pickle", "text", "noise"],
)
def test_file_that_can_not_be_read_is_a_finding_and_other_rules_go_on(asset: Make, damage: bytes, sentence: str):
    checkpoint, lora = checkpoint_of(asset), lora_of(asset, family="sdxl")
    Path(lora.path).write_bytes(damage)
    report = run_rules(selection_of(checkpoint, (lora_use(replace(lora, size=len(damage))),)))
    assert [finding.rule for finding in report.findings] == ["family", "unreadable_file"]
    assert sentence in report.findings[1].message
    assert report.findings[1].assets == ("style",)


def test_checkpoint_cut_short_is_told_of_once(asset: Make):
    checkpoint = checkpoint_of(asset)
    with Path(checkpoint.path).open("r+b") as file:
        file.truncate(checkpoint.size - 2)
    report = run_rules(selection_of(replace(checkpoint, size=checkpoint.size - 2), (lora_use(lora_of(asset)),)))
    assert [(finding.rule, finding.assets) for finding in report.findings] == [("unreadable_file", ("base",))]


def test_prompt_without_any_trigger_word_is_a_warning_that_lists_five(asset: Make):
    lora = lora_of(asset, trigger_words=("one", "two", "three", "four", "five", "six"))
    (finding,) = found("trigger_words", checkpoint_of(asset), lora, prompt="someone")
    assert finding.severity == "warning"
    assert "five" in finding.message
    assert "six" not in finding.message


@pytest.mark.parametrize("prompt", [None, "a ((six)) pack"])
def test_no_warning_without_a_prompt_or_with_one_trigger_word(asset: Make, prompt: str | None):
    lora = lora_of(asset, trigger_words=("one", "six"))
    assert found("trigger_words", checkpoint_of(asset), lora, prompt=prompt) == []


@pytest.mark.parametrize(
    ("prompt", "negative", "count"),
    [(None, None, 0), ("a cat", "bad", 1), ("tok", None, 0), ("a cat", "(tok:1.3)", 0), ("tokens", "", 1)],
)
def test_embedding_whose_token_is_in_neither_prompt_has_no_effect(
    asset: Make, prompt: str | None, negative: str | None, count: int
):
    embedding = embedding_of(asset, trigger_words=("tok",))
    prompts = {"prompt": prompt, "negative_prompt": negative}
    assert len(found("embedding_in_prompt", checkpoint_of(asset), embeddings=(embedding,), **prompts)) == count


@pytest.mark.parametrize("prompt", ["(ink:1.2) wash", "ink_wash", "(ink wash:0)", "ink  wash"])
def test_token_that_the_text_encoder_would_not_meet_has_no_effect(asset: Make, prompt: str):
    embedding = embedding_of(asset, trigger_words=("ink wash",))
    (finding,) = found("embedding_in_prompt", None, embeddings=(embedding,), prompt=prompt)
    assert "no effect" in finding.message


def test_token_inside_a_longer_token_has_no_effect(asset: Make):
    short = asset("cat", "embedding", "sd1", {"emb_params": [2, 768]})
    long = asset("cat style", "embedding", "sd1", {"emb_params": [2, 768]})
    findings = found("embedding_in_prompt", None, embeddings=(short, long), prompt="a cat style")
    assert [finding.assets for finding in findings] == [("cat",)]


def test_token_of_an_embedding_without_trigger_words_is_its_name(asset: Make):
    assert found("embedding_in_prompt", None, embeddings=(embedding_of(asset),), prompt="a token") == []


def test_what_has_a_weight_of_nought_has_no_effect(asset: Make):
    lora = lora_of(asset, trigger_words=("ink",))
    selection = selection_of(checkpoint_of(asset), (lora_use(lora, 0.0),), prompt="a cat, (ink:0), ink?")
    findings = run_rules(selection).findings
    assert [(finding.rule, finding.severity) for finding in findings] == [
        ("zero_weight", "warning"),
        ("zero_weight", "info"),
    ]
    (silent,) = found("trigger_words", None, lora, prompt="a cat, (ink:0)")
    assert "ink" in silent.message


def test_embeddings_inside_a_lora_are_told_of(asset: Make):
    shapes = low_rank(MODULE, 8, [8, 3, 3]) | {"bundle_emb.tok.string_to_param.*": [2, 768]}
    (finding,) = found("bundled_embeddings", checkpoint_of(asset), asset("style", "lora", "sd1", shapes))
    assert finding.severity == "warning"


def test_same_lora_twice_is_a_warning(asset: Make):
    lora = lora_of(asset)
    (finding,) = found("duplicates", checkpoint_of(asset), lora, lora)
    assert (finding.severity, finding.assets) == ("warning", ("style",))


def test_lora_that_changes_nothing_is_an_error(asset: Make):
    lora = asset("style", "lora", "sd1", low_rank("lora_unet_double_blocks_0_img_mlp_0", 8, [8]))
    (finding,) = found("coverage", checkpoint_of(asset), lora)
    assert finding.severity == "error"
    assert "changes nothing" in finding.message


def test_lora_of_another_width_is_an_error(asset: Make):
    lora = asset("style", "lora", "sd1", low_rank(MODULE, 16, [16, 3, 3]))
    (finding,) = found("coverage", checkpoint_of(asset), lora)
    assert finding.severity == "error"
    assert "unet_down_blocks_0_resnets_0_conv1" in finding.message


def test_lora_that_fits_in_part_is_a_warning(asset: Make):
    other = low_rank("lora_unet_mid_block_resnets_0_conv1", 8, [8, 3, 3])
    lora = asset("style", "lora", "sd1", low_rank(MODULE, 8, [8, 3, 3]) | other)
    (finding,) = found("coverage", checkpoint_of(asset), lora)
    assert finding.severity == "warning"
    assert "mid_block" in finding.message


def test_empty_selection_is_checked_without_complaint():
    assert run_rules(selection_of()).ok


def test_every_file_in_the_folder_is_a_rule_of_that_name():
    assert [rule.name for rule in list_rules()] == sorted(
        module.name for module in pkgutil.iter_modules(rules.__path__)
    )


def test_every_finding_says_what_to_do_next(asset: Make):
    lora = lora_of(asset, family="sdxl", trigger_words=("ink",))
    broken = replace(embedding_of(asset), size=3)
    selection = selection_of(checkpoint_of(asset), (lora_use(lora),) * 2, (broken,), prompt="a", negative_prompt="b")
    findings = run_rules(selection).findings
    assert len({finding.rule for finding in findings}) == 5
    assert all(finding.hint and finding.message.endswith((".", "ink")) for finding in findings)
