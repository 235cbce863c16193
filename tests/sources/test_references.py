from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tables import table

from assetctl.errors import UsageError
from assetctl.settings import Settings
from assetctl.sources import civitai, find_source, huggingface
from assetctl.sources.civitai import CivitaiReference
from assetctl.sources.huggingface import HubReference

SETTINGS = Settings(home=Path("/h"), models=Path("/h/models"), outputs=Path("/h/outputs"))


#: How each source reads what is its own.
READERS = {"huggingface": (huggingface.parse, HubReference), "civitai": (civitai.parse, CivitaiReference)}


@pytest.mark.parametrize("case", table("references/forms"))
def test_every_way_to_write_a_reference_is_understood(monkeypatch: pytest.MonkeyPatch, case: dict[str, Any]):
    monkeypatch.delenv("ASSETCTL_CIVITAI_ENDPOINT", raising=False)
    monkeypatch.setenv("HF_ENDPOINT", case.get("endpoint", "https://huggingface.co"))
    if case["of"] is None:
        with pytest.raises(UsageError, match="nothing that assetctl can fetch") as caught:
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


@pytest.mark.parametrize("case", table("references/no_repository"))
def test_what_names_no_model_repository_is_wrong_usage(case: dict[str, Any]):
    with pytest.raises(UsageError) as caught:
        find_source(case["reference"], SETTINGS).resolve(case["reference"])
    assert "hf://ORG/REPO" in caught.value.hint


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
