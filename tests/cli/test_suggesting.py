"""Hints of `check` name what the catalog has that fits, and files that changed are told."""

from __future__ import annotations

import os
import time

import pytest
from material import write_embedding, write_lora, write_safetensors

from assetctl.catalog import Catalog, NewAsset
from assetctl.types import AssetFile, Identification

UNET = "model.diffusion_model."


def checkpoint(path, context):
    """One block of attention with the family's widths, where `write_lora` reaches."""
    large = context == 2048
    text = "conditioner.embedders.0.transformer" if large else "cond_stage_model.transformer"
    inner, attention = (640, f"{UNET}input_blocks.4.1") if large else (320, f"{UNET}input_blocks.1.1")
    shapes = {
        f"{UNET}input_blocks.0.0.weight": (8, 4, 3, 3),
        f"{UNET}input_blocks.3.0.op.weight": (8, 8, 3, 3),
        f"{UNET}time_embed.0.weight": (8, 8),
        f"{attention}.transformer_blocks.0.attn1.to_k.weight": (inner, inner),
        f"{attention}.transformer_blocks.0.attn2.to_k.weight": (inner, context),
        f"{attention}.transformer_blocks.0.attn2.to_v.weight": (inner, context),
        f"{text}.text_model.encoder.layers.0.self_attn.q_proj.weight": (8, 8),
        "first_stage_model.decoder.conv_in.weight": (8, 4, 3, 3),
    }
    return write_safetensors(path, shapes)


@pytest.fixture
def filled(assetctl, tmp_path):
    folder = tmp_path / "mine"
    checkpoint(folder / "photo.safetensors", 768)
    checkpoint(folder / "photo-xl.safetensors", 2048)
    write_lora(folder / "cat-whiskers-xl.safetensors", "sdxl", words="whiskers")
    write_lora(folder / "cat-whiskers.safetensors", words="whiskers", seed=1)
    write_lora(folder / "alpine-hut.safetensors", words="hut", seed=2)
    write_embedding(folder / "soft.safetensors")
    assert assetctl("import", folder).code == 0
    return folder


def hints(assetctl, rule, *arguments):
    findings = assetctl("check", *arguments, "--for", "any", "--json").data["findings"]
    return [finding["hint"] for finding in findings if finding["rule"] == rule]


def test_a_lora_of_another_family_names_the_one_most_like_it_and_the_checkpoint_that_all_fit(assetctl, filled):
    (hint,) = hints(assetctl, "family", "photo", "cat-whiskers-xl")
    assert "cat-whiskers in your catalog fits: `--lora cat-whiskers`." in hint
    assert "All of them fit photo-xl: `--checkpoint photo-xl`." in hint


def test_only_what_is_really_there_is_named(assetctl, filled):
    (filled / "cat-whiskers.safetensors").unlink()
    (hint,) = hints(assetctl, "family", "photo", "cat-whiskers-xl")
    assert "alpine-hut in your catalog fits" in hint
    assetctl("rm", "alpine-hut", "--yes")
    (hint,) = hints(assetctl, "family", "photo", "cat-whiskers-xl")
    assert "of your catalog" not in hint


def broken_lora(path, family="sd1"):
    """A LoRA of modules that no checkpoint has."""
    block = f"lora_unet_down_blocks_{'1' if family == 'sdxl' else '0'}_attentions_9_transformer_blocks_0"
    width = 2048 if family == "sdxl" else 768
    shapes = {f"{block}_attn2_to_k.lora_down.weight": (4, width), f"{block}_attn2_to_k.lora_up.weight": (320, 4)}
    return write_safetensors(path, shapes, {"ss_network_module": "networks.lora"}, seed=len(path.name))


def test_what_is_named_was_asked_the_same_rules(assetctl, filled):
    broken_lora(filled / "cat-ears.safetensors")
    broken_lora(filled / "cat-ears-too.safetensors")
    assetctl("import", filled)
    (hint,) = hints(assetctl, "coverage", "photo", "cat-ears")
    assert "cat-whiskers in your catalog fits: `--lora cat-whiskers`." in hint
    for name in ("cat-whiskers", "alpine-hut"):
        assetctl("rm", name, "--yes")
    (hint,) = hints(assetctl, "coverage", "photo", "cat-ears")
    assert "of your catalog" not in hint


def test_an_embedding_of_another_width_names_one_of_the_right_width(assetctl, filled):
    write_embedding(filled / "soft-light.safetensors", width=1280)
    assetctl("import", filled)
    for name in ("soft", "soft-light"):
        assetctl("edit", name, "--family", "sdxl")
    (hint,) = hints(assetctl, "embedding_width", "photo-xl", "soft")
    assert "of your catalog" not in hint
    write_safetensors(filled / "soft-xl.safetensors", {"clip_l": (1, 768), "clip_g": (1, 1280)})
    assetctl("import", filled)
    (hint,) = hints(assetctl, "embedding_width", "photo-xl", "soft")
    assert "soft-xl in your catalog fits: `--embedding soft-xl`." in hint


def test_what_replaces_an_unknown_licence_has_a_known_one(assetctl, filled):
    assert all("of your catalog" not in hint for hint in hints(assetctl, "licence", "photo", "soft", "--commercial"))
    write_safetensors(filled / "soft-free.safetensors", {"emb_params": (2, 768)}, {"modelspec.license": "mit"}, 3)
    assetctl("import", filled)
    told = hints(assetctl, "licence", "photo", "soft", "--commercial")
    assert any("soft-free in your catalog fits" in hint for hint in told)


def test_what_generate_does_not_apply_is_not_named(assetctl, filled):
    module = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k"
    dora = {f"{module}.lora_down.weight": (4, 768), f"{module}.lora_up.weight": (320, 4)}
    for number in range(2):
        shapes = dora | {f"{module}.dora_scale": (320, 1)}
        write_safetensors(filled / f"cat-whiskers-xl-{number}.safetensors", shapes, seed=number)
    assetctl("import", filled)
    assetctl("edit", "cat-whiskers-xl-0", "--family", "sd1")
    assetctl("edit", "cat-whiskers-xl-1", "--family", "sd1")
    for rule, name in (("family", "cat-whiskers-xl"), ("method", "cat-whiskers-xl-0")):
        (hint,) = hints(assetctl, rule, "photo", name)
        assert "`--lora cat-whiskers`." in hint


def test_a_checkpoint_that_all_would_fit_is_of_the_family_and_has_their_modules(assetctl, filled):
    broken_lora(filled / "cat-ears-xl.safetensors", "sdxl")
    assetctl("import", filled)
    (hint,) = hints(assetctl, "family", "photo", "cat-ears-xl")
    assert "All of them fit" not in hint


def test_what_fits_gets_no_suggestion(assetctl, filled):
    findings = assetctl("check", "photo", "soft", "--prompt", "a dog", "--json").data["findings"]
    assert findings
    assert not [finding for finding in findings if "of your catalog" in str(finding["hint"])]


def test_a_file_that_was_written_to_is_a_warning(assetctl, filled):
    path = filled / "soft.safetensors"
    assert hints(assetctl, "changed_file", "photo", "soft") == []
    later = path.stat().st_mtime_ns + 10**9
    os.utime(path, ns=(later, later))
    (hint,) = hints(assetctl, "changed_file", "photo", "soft")
    assert "assetctl verify soft" in hint


def test_a_file_that_was_never_hashed_is_told_of(assetctl, tmp_path):
    write_embedding(tmp_path / "mine" / "soft.safetensors")
    assetctl("import", tmp_path / "mine", "--no-hash")
    findings = assetctl("check", "soft", "--json").data["findings"]
    assert [(each["rule"], each["severity"]) for each in findings if each["rule"] == "changed_file"] == [
        ("changed_file", "info")
    ]


def test_suggesting_takes_no_longer_in_a_large_catalog(assetctl, home, filled):
    def timed():
        started = time.perf_counter()
        assert hints(assetctl, "family", "photo", "cat-whiskers-xl")
        return time.perf_counter() - started

    small = min(timed() for _ in range(3))
    with Catalog(home / "catalog.db") as catalog, catalog.write() as writer:
        writer.add([_entry(number) for number in range(20_000)])
    assert min(timed() for _ in range(3)) < 3 * small + 0.05


def _entry(number: int) -> NewAsset:
    path = f"/models/cat-{number:05}.safetensors"
    found = Identification("lora", "sd1")
    return NewAsset(f"cat-{number:05}", path, (AssetFile(path, 10, 1),), found, in_store=False)
