from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from assetctl.errors import UsageError
from assetctl.settings import Settings
from assetctl.sources import find_source
from assetctl.sources.huggingface import HubReference, parse

SETTINGS = Settings(home=Path("/h"), models=Path("/h/models"), outputs=Path("/h/outputs"))


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("hf://org/repo", HubReference("org/repo")),
        ("hf://org/repo/", HubReference("org/repo")),
        ("hf://org/repo@v1.0", HubReference("org/repo", "v1.0")),
        ("hf://org/repo/sub/a file.safetensors", HubReference("org/repo", None, "sub/a file.safetensors")),
        ("hf://org/repo@abc123/x@2.safetensors", HubReference("org/repo", "abc123", "x@2.safetensors")),
        ("hf://org/repo@refs/pr/3/x.safetensors", HubReference("org/repo", "refs/pr/3", "x.safetensors")),
        ("hf://org/repo@refs%2Fpr%2F3/x.safetensors", HubReference("org/repo", "refs/pr/3", "x.safetensors")),
        ("org/repo", HubReference("org/repo")),
        ("hf://org/..repo", HubReference("org/..repo")),
        ("hf://org/repo@..v1", HubReference("org/repo", "..v1")),
        ("org/repo@main", HubReference("org/repo", "main")),
        ("https://huggingface.co/org/repo", HubReference("org/repo")),
        ("https://hf.co/org/repo/", HubReference("org/repo")),
        ("https://huggingface.co/org/repo/tree/dev", HubReference("org/repo", "dev")),
        ("https://huggingface.co/org/repo/blob/main/a%20b.sft", HubReference("org/repo", "main", "a b.sft")),
        (
            "https://huggingface.co/org/repo/resolve/main/sub/x.safetensors?download=true#top",
            HubReference("org/repo", "main", "sub/x.safetensors"),
        ),
        ("https://huggingface.co/org/repo/blob/refs%2Fpr%2F3/x", HubReference("org/repo", "refs/pr/3", "x")),
        ("https://huggingface.co/org/repo/blob/refs/pr/3/x", HubReference("org/repo", "refs/pr/3", "x")),
    ],
)  # fmt: skip
def test_every_way_to_write_a_repository_is_understood(reference: str, expected: HubReference):
    assert find_source(reference, SETTINGS).name == "huggingface"
    assert parse(reference) == expected


@pytest.mark.parametrize(
    "reference",
    [
        "hf://", "hf://org", "hf://../x", "hf://org/re po", "hf://datasets/org/repo", "https://huggingface.co/org",
        "https://huggingface.co/datasets/org/data", "https://huggingface.co/org/repo/discussions/1",
        "https://huggingface.co/org/repo/blob", "hf://org/.", "hf://org/..", "hf://org/...", "hf://org/../x.safetensors",
        "hf://org/..@main", "hf://org/..?variant=fp16", "https://huggingface.co/org/..", "hf://org/%2e%2e",
        "https://huggingface.co/org/%2e%2e", "https://huggingface.co/org/%2e%2e/blob/main/x.safetensors",
        "hf://org/repo@..", "hf://org/repo@../x.safetensors",
    ],
)  # fmt: skip
def test_what_names_no_model_repository_is_wrong_usage(reference: str):
    with pytest.raises(UsageError) as caught:
        find_source(reference, SETTINGS).resolve(reference)
    assert "hf://ORG/REPO" in caught.value.hint


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/hub/org/repo", HubReference("org/repo")),
        ("/hub/org/repo/resolve/main/x.safetensors", HubReference("org/repo", "main", "x.safetensors")),
        ("/hub/models/x.safetensors", None),
        ("/hub/org/repo/files/x.safetensors", None),
        ("/org/repo/resolve/main/x.safetensors", None),
        ("/hubs/org/repo", None),
    ],
)
def test_on_a_mirrors_host_not_all_is_a_page_of_it(monkeypatch: pytest.MonkeyPatch, path: str, expected: HubReference):
    monkeypatch.setenv("HF_ENDPOINT", "https://mirror.example/hub/")
    reference = f"https://Mirror.example{path}"
    assert find_source(reference, SETTINGS).name == ("huggingface" if expected else "url")
    if expected:
        assert parse(reference) == expected


@pytest.mark.parametrize("reference", ["", "word", "a/b/c", "ftp://host/x.safetensors", "hub:org/repo"])
def test_what_is_no_reference_names_the_forms_that_are(reference: str):
    with pytest.raises(UsageError, match="nothing that assetctl can fetch") as caught:
        find_source(reference, SETTINGS)
    assert "hf://ORG/REPO[@REVISION][/FILE]" in caught.value.hint


@pytest.mark.parametrize("reference", ["./x", "../x", "/x", "~/x", "a/missing.safetensors", "x.ckpt", "C:\\x"])
def test_what_is_written_like_a_path_is_one_even_if_nothing_is_there(reference: str):
    assert find_source(reference, SETTINGS).name == "path"


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
