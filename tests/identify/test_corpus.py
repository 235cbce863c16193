"""Real headers: each is what the people who collected them say it is."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from assetctl.identify import identify
from assetctl.identify.identification import is_diffusers

SHARED = Path(__file__).resolve().parents[2] / "../shared"
LABELS = SHARED / "corpus/labels.json"
CONFIGS = SHARED / "corpus/diffusers-configs"

pytestmark = pytest.mark.skipif(not LABELS.is_file(), reason="the third-party corpus is not beside the checkout")


@pytest.fixture(scope="module")
def headers(tmp_path_factory):
    spec = importlib.util.spec_from_file_location("mk_headers", SHARED / "tools/mk_headers.py")
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    folder = tmp_path_factory.mktemp("headers")
    for source in sorted((SHARED / "corpus/headers").glob("*.json")):
        tool.write(source, folder / f"{source.stem}.safetensors")
    return folder


def test_every_real_header_is_identified(headers):
    wrong = []
    for label in json.loads(LABELS.read_text()):
        found = identify(headers / f"{label['name']}.safetensors")
        kinds = label.get("kind_any", [label["kind"]])
        right = found.kind in kinds and found.family == label["family"] and found.variant == label.get("variant")
        if not right or not found.evidence:
            wrong.append((label, found))
    assert wrong == []


def test_trigger_words_and_base_models_come_from_real_metadata(headers):
    def found(name):
        return identify(headers / f"{name}.safetensors")

    assert found("sdxl-lora-lycoris").trigger_words == ("gwei",)
    assert found("sdxl-lora-lycoris").base_model == "SDXL 0.9"
    assert found("flux1-lora-kohya").base_model == "Flux.1 D"
    assert found("flux2-lora-diffusers").trigger_words == ("migrate",)
    assert found("embedding-easynegative").trigger_words == ("embedding-easynegative",)


def test_lying_metadata_is_kept_as_evidence_and_not_believed(headers):
    found = identify(headers / "wan-lora-diffusers-lying-metadata.safetensors")
    assert (found.family, found.base_model, found.confidence) == ("wan", None, "certain")
    lie = [item for item in found.evidence if item.source == "metadata" and item.claim == "family=sd1"]
    assert "contradict" in lie[0].detail


@pytest.mark.parametrize(("name", "family"), [("sd15", "sd1"), ("sdxl", "sdxl")])
def test_a_pipeline_folder_without_weights_is_identified_by_its_configuration(name, family):
    assert is_diffusers(CONFIGS / name)
    found = identify(CONFIGS / name)
    assert (found.kind, found.family, found.format, found.layout) == ("checkpoint", family, "diffusers", "diffusers")
    assert found.confidence == "likely"
    assert found.prediction == "epsilon"
