"""Each generated header is what it was made as; no family claims another's."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
from headers import write_safetensors
from identify.lookalikes import CASES

from assetctl.identify import identify
from assetctl.identify.plugins import families

ROOT = Path(__file__).resolve().parents[2]

#: What trainers call other architectures: real files of FLUX.1 and Wan say `sd_1.5`.
LIES = {"sd1": "stable-diffusion-xl-v1-base/lora"}


@pytest.mark.parametrize("name", CASES)
def test_a_generated_header_is_what_it_was_made_as(tmp_path, name):
    wanted = CASES[name]
    found = identify(write_safetensors(tmp_path / "file.safetensors", wanted.shapes))
    assert (found.kind, found.family, found.variant) == (wanted.kind, wanted.family, wanted.variant), found.evidence
    assert wanted.layout in (None, found.layout)
    assert found.evidence


@pytest.mark.parametrize("every", [4, pytest.param(1, marks=pytest.mark.slow)])
def test_metadata_never_overrule_a_family_that_tensors_make_certain(tmp_path, every):
    for wanted in list(CASES.values())[::every]:
        lie = LIES.get(wanted.family, "stable-diffusion-v1/lora")
        path = tmp_path / "file.safetensors"
        if identify(write_safetensors(path, wanted.shapes)).confidence != "certain" or wanted.family is None:
            continue
        found = identify(write_safetensors(path, wanted.shapes, {"modelspec.architecture": lie}))
        assert (found.family, found.confidence) == (wanted.family, "certain")
        assert any(item.source == "metadata" and "contradict" in item.detail for item in found.evidence)


def test_every_family_states_what_tensors_must_show():
    assert [family.name for family in families() if not family.contract.endswith(".")] == []


def test_the_page_on_identification_holds_what_the_benchmark_prints():
    if not (ROOT / "../shared/corpus/labels.json").is_file():
        pytest.skip("the third-party corpus, which the page counts, is not beside the checkout")
    report = runpy.run_path(str(ROOT / "benchmarks/confusion.py"))["report"]
    assert report() in (ROOT / "docs/identification.md").read_text(encoding="utf-8")
