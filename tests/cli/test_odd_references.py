"""References that are none: each gets one clear sentence, whatever command it is given to."""

from __future__ import annotations

import pytest
from tables import table

ODD = table("references/none")


@pytest.fixture(autouse=True)
def _nobody_is_asked(monkeypatch):
    """A request that is made after all ends at once."""
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    for name in ("NO_PROXY", "no_proxy", "HF_ENDPOINT", "ASSETCTL_CIVITAI_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("case", ODD)
def test_a_reference_that_is_none_is_refused_in_words(assetctl, case):
    reference = case["reference"]
    for command in (("pull", "--"), ("pull", "--dry-run", "--")):
        ended = assetctl(command[0], "--json", *command[1:], reference)
        assert ended.code in (2, 3), (ended.error, reference)
        assert ended.error["code"] in ("usage", "not_found")
        assert ended.error["hint"]
        assert "defect" not in ended.error["message"]
        assert len(ended.error["message"]) < 800 + len(reference)
        assert ended.error["message"].count("\n") == 0


@pytest.mark.parametrize("case", ODD[::2])
def test_other_commands_take_no_harm(assetctl, case, tmp_path, monkeypatch):
    reference = case["reference"]
    monkeypatch.chdir(tmp_path)
    for command in (("identify", "--"), ("inspect", "--"), ("search", "hf", "--"), ("search", "civitai", "--")):
        ended = assetctl(command[0], "--json", *command[1:], reference)
        assert ended.code in (1, 2, 3, 5, 6), ended
        assert "defect" not in ended.out + ended.err
    if reference.strip() and reference.isprintable():
        quoted = reference.replace("\\", "\\\\")
        (tmp_path / "registry.toml").write_text(f'[assets.a]\nsource = "{quoted}"\n', "utf-8")
        ended = assetctl("lock", "--json")
        assert ended.code in (2, 3), ended.out
        assert ended.error["code"] in ("usage", "not_found")


@pytest.mark.parametrize("case", table("references/endpoints"))
def test_an_endpoint_that_is_no_address_is_told(assetctl, monkeypatch, case):
    endpoint = case["endpoint"]
    monkeypatch.setenv("HF_ENDPOINT", endpoint)
    monkeypatch.setenv("ASSETCTL_CIVITAI_ENDPOINT", endpoint)
    for command in (
        ("pull", "org/repo"), ("pull", "civitai:7"), ("pull", "hf://org/repo/x.safetensors"),
        ("search", "hf", "cat"), ("search", "civitai", "cat"),
    ):  # fmt: skip
        ended = assetctl(*command, "--json")
        assert (ended.code, "defect" in ended.out) in ((2, False), (6, False)), ended.out
    assert "defect" not in assetctl("pull", "https://h.org/a.safetensors", "--json").out


@pytest.mark.parametrize("case", table("references/proxies"))
def test_a_proxy_that_is_no_address_is_told(assetctl, monkeypatch, case):
    proxy = case["proxy"]
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, proxy)
    for reference in ("https://h.invalid/a.safetensors", "org/repo", "civitai:7"):
        ended = assetctl("pull", reference, "--json")
        assert (ended.code, "defect" in ended.out) == (6, False), ended.out
