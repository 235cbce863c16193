"""Rules about how assets go together that no tensor forbids."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from compat.sparse import asset_at, low_rank, tiny_checkpoint
from headers import write_safetensors
from selections import lora_use, selection_of

from assetctl.compat.check import Situation, run_rules

if TYPE_CHECKING:
    from pathlib import Path

    from compat.sparse import Make

    from assetctl.types import Asset, Finding, Selection


def checkpoint_of(asset: Make, base_model: str | None = None, prediction: str | None = None) -> Asset:
    made = asset("base", "checkpoint", "sdxl", tiny_checkpoint())
    return replace(made, base_model=base_model, prediction=prediction)


def lora_of(asset: Make, base_model: str | None = None, prediction: str | None = None) -> Asset:
    made = asset("style", "lora", "sdxl", low_rank("lora_unet_down_blocks_0_resnets_0_conv1", 8, [8, 3, 3]))
    return replace(made, base_model=base_model, prediction=prediction)


def embedding_of(asset: Make, name: str, *words: str, tags: tuple[str, ...] = ()) -> Asset:
    made = asset(name, "embedding", "sdxl", {"clip_l": [2, 768], "clip_g": [2, 1280]}, trigger_words=words)
    return replace(made, tags=tags)


def found(rule: str, selection: Selection, **situation: Any) -> list[Finding]:
    return [finding for finding in run_rules(selection, Situation(**situation)).findings if finding.rule == rule]


@pytest.mark.parametrize(
    "pair", [("Pony", "SDXL 1.0"), ("SDXL 1.0", "Pony"), ("Pony", "NoobAI"), ("NoobAI", "Illustrious")]
)
def test_another_lineage_is_a_warning(asset: Make, pair: tuple[str, str]):
    lora, embedding = lora_of(asset, pair[0]), replace(embedding_of(asset, "token"), base_model=pair[0])
    findings = found("lineage", selection_of(checkpoint_of(asset, pair[1]), (lora_use(lora),), (embedding,)))
    assert [(finding.severity, finding.assets) for finding in findings] == [
        ("warning", ("style", "base")),
        ("warning", ("token", "base")),
    ]
    assert "--fits base" in str(findings[0].hint)


@pytest.mark.parametrize(
    "pair", [("Pony", "Pony"), (None, "Pony"), ("Pony", None), ("Illustrious", "NoobAI"), ("SDXL 1.0", "SDXL Turbo")]
)
def test_the_same_lineage_or_an_unknown_one_is_no_finding(asset: Make, pair: tuple[str | None, str | None]):
    selection = selection_of(checkpoint_of(asset, pair[1]), (lora_use(lora_of(asset, pair[0])),))
    assert found("lineage", selection) == []


def test_a_lora_for_another_prediction_is_a_warning(asset: Make):
    lora = lora_use(lora_of(asset, prediction="epsilon"))
    (finding,) = found("prediction_mismatch", selection_of(checkpoint_of(asset, prediction="v_prediction"), (lora,)))
    assert (finding.severity, finding.assets) == ("warning", ("style", "base"))
    for checkpoint in (checkpoint_of(asset, prediction="epsilon"), checkpoint_of(asset)):
        assert found("prediction_mismatch", selection_of(checkpoint, (lora,))) == []
    assert (
        found("prediction_mismatch", selection_of(checkpoint_of(asset, None, "epsilon"), (lora_use(lora_of(asset)),)))
        == []
    )


def test_a_token_that_is_an_ordinary_word_is_a_warning(asset: Make):
    (finding,) = found("shadowed_word", selection_of(embeddings=(embedding_of(asset, "whiskers", "Cat"),)))
    assert finding.severity == "warning"
    assert "edit whiskers --trigger-word" in str(finding.hint)
    assert found("shadowed_word", selection_of(embeddings=(embedding_of(asset, "whiskers", "ohwx-cat"),))) == []


@pytest.mark.parametrize(
    "name", ["EasyNegative", "bad-hands-5", "FastNegativeV2", "ng_deepnegative_v1_75t", "badhandv4"]
)
def test_a_negative_embedding_in_the_prompt_is_a_warning(asset: Make, name: str):
    chosen = (embedding_of(asset, name, name),)
    (finding,) = found(
        "negative_embedding", selection_of(embeddings=chosen, prompt=f"a cat, {name}", negative_prompt="")
    )
    assert (finding.severity, finding.assets) == ("warning", (name,))
    for prompt in ("a cat", f"a cat, ({name}:0)"):
        assert found("negative_embedding", selection_of(embeddings=chosen, prompt=prompt, negative_prompt=name)) == []


def test_the_hint_to_a_negative_embedding_can_be_pasted(asset: Make):
    chosen = (
        embedding_of(asset, "emb768", "badhandv4", tags=("negative",)),
        embedding_of(asset, "bad-artist", "bad art"),
    )
    prompt = selection_of(embeddings=chosen, prompt="a cat, badhandv4, bad art", negative_prompt="blurry")
    hints = {finding.hint for finding in found("negative_embedding", prompt)}
    assert hints == {"Take it out, and write `--negative 'badhandv4, bad art, blurry'`."}
    (alone,) = found("negative_embedding", selection_of(embeddings=chosen, prompt="badhandv4"))
    assert "`--negative badhandv4`" in str(alone.hint)


@pytest.mark.parametrize("name", ["badge", "negroni", "angry", "sinbad", "baddie"])
def test_what_only_sounds_negative_is_no_finding(asset: Make, name: str):
    assert found("negative_embedding", selection_of(embeddings=(embedding_of(asset, name, name),), prompt=name)) == []


def test_a_tag_says_that_an_embedding_is_negative(asset: Make):
    chosen = (embedding_of(asset, "token", "tok", tags=("negative",)),)
    assert len(found("negative_embedding", selection_of(embeddings=chosen, prompt="a cat, tok"))) == 1


@pytest.mark.parametrize(
    ("licence", "severity"),
    [
        ("apache-2.0", None),
        ("MIT", None),
        ("CreativeML Open RAIL++-M", None),
        ("creativeml-openrail-m", None),
        ("CC-BY-4.0", None),
        ("cc-by-nc-4.0", "error"),
        ("CC BY-NC-SA 4.0", "error"),
        ("FLUX-1-dev-Non-Commercial", "error"),
        ("Stability AI Community License", "warning"),
        ("Fair-AI-Public-License-1.0-SD", "warning"),
        ("made of limits", "warning"),
        (None, "warning"),
    ],
)
def test_licences_speak_when_selling_is_asked(tmp_path: Path, licence: str | None, severity: str | None):
    said = {} if licence is None else {"modelspec.license": licence}
    path = write_safetensors(tmp_path / "base.safetensors", tiny_checkpoint(), said)
    selection = selection_of(asset_at(path, "checkpoint", "sdxl"))
    found_then = found("licence", selection, commercial=True)
    assert [finding.severity for finding in found_then] == ([] if severity is None else [severity])
    assert found("licence", selection) == []


def test_what_a1111_reads_in_a_prompt_and_we_do_not_is_a_warning(asset: Make):
    prompts = selection_of(checkpoint_of(asset), prompt="a [cat:dog:0.5]", negative_prompt="[a|b], [cat:dog:0.5]")
    assert found("unread_syntax", prompts) == []  # as A1111 makes it, unless asked otherwise
    prompts = replace(prompts, settings={"flavour": "diffusers"})
    findings = found("unread_syntax", prompts)
    assert [finding.severity for finding in findings] == ["warning", "warning"]
    assert "'[cat:dog:0.5]'" in findings[0].message
    assert found("unread_syntax", replace(prompts, prompt=r"a \[cat|dog\]", negative_prompt=None)) == []


def test_a_tag_in_the_negative_prompt_is_words_to_a1111():
    prompts = selection_of(prompt="a cat <lora:y:1>", negative_prompt="bad <lora:x:0.5> <lora:x:0.5>")
    (told,) = found("unread_syntax", prompts)
    assert (told.severity, "<lora:x:0.5>" in told.message) == ("warning", True)
    assert found("unread_syntax", replace(prompts, settings={"flavour": "diffusers"})) == []


@pytest.mark.parametrize("weight", [5.5, -12])
def test_a_weight_that_burns_pictures_is_a_warning(asset: Make, weight: float):
    loras, prompt = (lora_use(lora_of(asset), weight),), f"a (cat:{weight}) <lora:style:{weight}>"
    findings = found("extreme_weight", selection_of(checkpoint_of(asset), loras, prompt=prompt))
    assert [(finding.severity, finding.assets) for finding in findings] == [("warning", ("style",)), ("warning", ())]
    usual = selection_of(checkpoint_of(asset), (lora_use(lora_of(asset), 1.5),), prompt="a (cat:1.4)")
    assert found("extreme_weight", usual) == []


@pytest.mark.parametrize(("count", "told"), [(1, "of lora-0,"), (3, "of lora-0, lora-1, lora-2,"), (5, "and 2 more,")])
def test_files_that_were_never_hashed_are_told_together(asset: Make, count: int, told: str):
    shapes = low_rank("lora_unet_down_blocks_0_resnets_0_conv1", 8, [8, 3, 3])
    loras = [asset(f"lora-{number}", "lora", "sdxl", shapes) for number in range(count)]
    states = tuple((lora.path, "unverified") for lora in loras)
    (finding,) = found("changed_file", selection_of(loras=map(lora_use, loras)), states=states)
    assert finding.assets == tuple(lora.name for lora in loras)
    assert told in finding.message
    assert "assetctl verify lora-0" in str(finding.hint)


def test_a_licence_is_not_sought_in_the_file_itself(asset: Make):
    local = replace(checkpoint_of(asset), source="/home/me/base.safetensors")
    (finding,) = found("licence", selection_of(local), commercial=True)
    assert "assetctl enrich base" in str(finding.hint)
    assert "/home/me" not in str(finding.hint)
    (finding,) = found("licence", selection_of(replace(local, source="civitai:7")), commercial=True)
    assert "where it came from: civitai:7" in str(finding.hint)
