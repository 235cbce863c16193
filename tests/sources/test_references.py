from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from generated import texts
from hypothesis import given
from hypothesis import strategies as st
from tables import field, table

from assetctl.errors import UsageError
from assetctl.manifest import rebased
from assetctl.settings import Settings
from assetctl.sources import civitai, find_source, huggingface
from assetctl.sources.civitai import CivitaiReference
from assetctl.sources.huggingface import HubReference
from assetctl.types import Origin

SETTINGS = Settings(
    home=Path("/h"), models=Path("/h/models"), outputs=Path("/h/outputs"), wildcards=Path("/h/wildcards")
)


#: How each source reads what is its own.
READERS = {"huggingface": (huggingface.parse, HubReference), "civitai": (civitai.parse, CivitaiReference)}


@pytest.mark.parametrize("case", table("references/forms"))
def test_every_way_to_write_a_reference_is_understood(monkeypatch: pytest.MonkeyPatch, case: dict[str, Any]):
    monkeypatch.delenv("ASSETCTL_CIVITAI_ENDPOINT", raising=False)
    monkeypatch.setenv("HF_ENDPOINT", case.get("endpoint", "https://huggingface.co"))
    if case["of"] is None:
        with pytest.raises(UsageError, match="not something that assetctl can fetch") as caught:
            find_source(case["reference"], SETTINGS)
        assert "hf://ORG/REPO[@REVISION][/FILE]" in caught.value.hint
        return
    assert find_source(case["reference"], SETTINGS).name == case["of"]
    if case["of"] in READERS:
        parse, made = READERS[case["of"]]
        reads = case["reads"]
        if "wanted" in reads:
            reads = reads | {"wanted": tuple(map(tuple, reads["wanted"]))}
        assert parse(case["reference"]) == made(**reads)


@pytest.mark.parametrize("case", table("references/forms"))
def test_a_manifest_reads_addresses_as_a_pull_does(tmp_path: Path, case: dict[str, Any]):
    if case["of"] not in READERS:
        return
    assert rebased(case["reference"], tmp_path) == case["reference"]


@pytest.mark.parametrize("reference", ["me:Pa55word@huggingface.co/o/r", "me@civitai.com/models/1"])
def test_a_name_before_a_host_wants_a_scheme_by_which_it_is_hidden(reference: str):
    with pytest.raises(UsageError):
        find_source(reference, SETTINGS)


@pytest.mark.parametrize("case", table("references/no_repository"))
def test_what_names_no_model_repository_is_wrong_usage(case: dict[str, Any]):
    with pytest.raises(UsageError) as caught:
        find_source(case["reference"], SETTINGS).resolve(case["reference"])
    assert "hf://ORG/REPO" in caught.value.hint


@pytest.mark.parametrize("case", table("references/no_assets"))
def test_a_reference_to_no_asset_is_refused_in_one_clear_sentence(case: dict[str, Any]):
    with pytest.raises(UsageError) as caught:
        find_source(case["reference"], SETTINGS).resolve(case["reference"])
    assert case["says"] in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize("case", field("references"))
def test_references_of_the_field_are_understood(monkeypatch: pytest.MonkeyPatch, case: dict[str, Any]):
    monkeypatch.delenv("ASSETCTL_CIVITAI_ENDPOINT", raising=False)
    expected = case["expect"]
    if "error" in expected:
        with pytest.raises(UsageError):
            find_source(case["text"], SETTINGS).resolve(case["text"])
        return
    source = find_source(case["text"], SETTINGS)
    assert source.name == expected["source"]
    if source.name == "huggingface":
        read = huggingface.parse(case["text"])
        assert (read.repo, read.revision) == (expected["repository"], expected["revision"])
        return
    found = civitai.parse(case["text"])
    said = {"model": found.model, "version": found.version, "file": found.file, **dict(found.wanted)}
    wanted = {key: value for key, value in expected.items() if key not in ("source", "note")}
    assert {key: value for key, value in said.items() if value is not None} == wanted


def test_a_folder_here_wins_over_a_repository_of_that_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "org" / "repo").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert find_source("org/repo", SETTINGS).name == "path"
    assert find_source("org/other", SETTINGS).name == "huggingface"


def test_a_path_does_not_load_the_network_client():
    program = (
        "import sys; from pathlib import Path; from assetctl.settings import Settings\n"
        "from assetctl.sources import find_source\n"
        "find_source('./x', Settings.load('/h'))\n"
        "assert not {'huggingface_hub', 'httpx2'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@st.composite
def hub_references(draw: st.DrawFn) -> HubReference:
    """References to the Hub, as they can be asked for."""
    word = st.text("abXY09._-", min_size=1, max_size=6).map("r{}".format)
    branch = st.lists(word | st.sampled_from(["50%", "%2F", "ü", "a b", "#1", "+"]), min_size=1, max_size=3).map(
        "/".join
    )
    revision = draw(st.none() | branch | st.sampled_from(["refs/pr/3", "refs/convert/parquet"]))
    path = draw(
        st.none() | st.lists(word | st.sampled_from(["a b", "50%", "x@2", "猫"]), min_size=1, max_size=3).map("/".join)
    )
    variant = draw(st.sampled_from([None, "fp16"])) if path is None else None
    return HubReference(f"{draw(word)}/{draw(word)}", revision, path, variant)


@given(hub_references())
def test_a_reference_to_the_hub_that_is_written_is_read_again(reference: HubReference):
    assert find_source(reference.written(), SETTINGS).name == "huggingface"
    assert huggingface.parse(reference.written()) == reference


@given(
    st.integers(1, 10**9),
    st.integers(1, 10**9),
    st.dictionaries(st.sampled_from(["fp", "format"]), texts(3).filter(bool)),
)
def test_an_exact_reference_to_civitai_is_read_again(model: int, version: int, asked: dict[str, str]):
    reference = f"civitai:{model}?{urlencode(asked)}"
    exact = civitai.source(SETTINGS).exact(Origin("civitai", reference, str(version)))
    assert civitai.parse(exact) == CivitaiReference(model, version, wanted=tuple(sorted(asked.items())))
