"""References that are none: each gets one clear sentence, whatever command it is given to."""

from __future__ import annotations

import pytest

ODD = [
    "http://[::1", "https://[::1/a.safetensors", "http://", "https://", "http:///a", "https://:80", "https://:80/x",
    "http://host:99999/x", "http://host:x/x", "http://host:-1/x", "http://host:0/x", "http://host:/x\x00",
    "http://a..b/x", f"http://{'a' * 64}.org/x", f"http://{'a.' * 2000}org/x", f"https://h.org/{'x' * 20_000}",
    "http://\u2603..example/", f"http://{chr(0x2603) * 80}.org/x", "http://xn--\u2603/x", "http://a b/x",
    "http://\\evil/x", "http://good.org\\@evil.org/x", "http://%00/x", "http://h\u202e.org/\x1b[31m",
    "http://[v1.x]/a", "http://[::1]extra/a", "http://[fe80::1%25eth0]/\x00", "http://user:pass@:80/",
    "hf://", "hf://a", "hf://a/b@", "hf://a/b@/c", "hf:///a/b", "hf://[::1", "hf://a/b?variant=", "hf://a/b\x00",
    "hf://datasets/a", "https://huggingface.co/", "https://huggingface.co/a", "https://huggingface.co/a/b/blob/",
    "https://huggingface.co/a/b/wrong/main/x", "https://huggingface.co:99999/a/b", "https://huggingface.co\x00/a/b",
    "civitai:", "civitai:x", "civitai:1@", "civitai:99999999999999999999", "civitai:1@99999999999999999999",
    f"civitai:{'9' * 5000}", "civitai:by-hash/", "civitai:by-hash/xyz", "civitai:\u0661", "civitai:1\x00",
    "urn:air:sdxl:lora:civitai:99999999999999999999@1", "https://civitai.com/", "https://civitai.com/models/x",
    "https://civitai.com/models/99999999999999999999", "https://civitai.com/models/1?modelVersionId=99999999999999999999",
    "file:///etc/passwd", "file://host/x.safetensors", "ftp://h.org/a.safetensors", "data:,x", "javascript:alert(1)",
    "s3://bucket/x", "//h.org/x\x00.safetensors", "\\\\host\\share\\x.safetensors", "http:\\\\h.org\\x.safetensors", "",
    " ", "\x00", "-", "~nobody-here/x.safetensors", f"{'x' * 5000}.safetensors", "a/b/c/d\x00e.safetensors", "?", "#",
    "../" * 2000 + "x.safetensors",
]  # fmt: skip


@pytest.fixture(autouse=True)
def _nobody_is_asked(monkeypatch):
    """A request that is made after all ends at once."""
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    for name in ("NO_PROXY", "no_proxy", "HF_ENDPOINT", "ASSETCTL_CIVITAI_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)


def _shown(reference):
    return ascii(reference)[:60]


@pytest.mark.parametrize("reference", ODD, ids=_shown)
def test_a_reference_that_is_none_is_refused_in_words(assetctl, reference):
    for command in (("pull", "--"), ("pull", "--dry-run", "--")):
        ended = assetctl(command[0], "--json", *command[1:], reference)
        assert ended.code in (2, 3), (ended.error, reference)
        assert ended.error["code"] in ("usage", "not_found")
        assert ended.error["hint"]
        assert "defect" not in ended.error["message"]
        assert len(ended.error["message"]) < 800 + len(reference)
        assert ended.error["message"].count("\n") == 0


@pytest.mark.parametrize("reference", ODD[::2], ids=_shown)
def test_other_commands_take_no_harm(assetctl, reference, tmp_path, monkeypatch):
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


@pytest.mark.parametrize(
    "endpoint", ["http://[::1", "http://", "x", "http://h:99999", "ftp://h", "http://\x7f/", "//", "http://a..b"]
)
def test_an_endpoint_that_is_no_address_is_told(assetctl, monkeypatch, endpoint):
    monkeypatch.setenv("HF_ENDPOINT", endpoint)
    monkeypatch.setenv("ASSETCTL_CIVITAI_ENDPOINT", endpoint)
    for command in (
        ("pull", "org/repo"), ("pull", "civitai:7"), ("pull", "hf://org/repo/x.safetensors"),
        ("search", "hf", "cat"), ("search", "civitai", "cat"),
    ):  # fmt: skip
        ended = assetctl(*command, "--json")
        assert (ended.code, "defect" in ended.out) in ((2, False), (6, False)), ended.out
    assert "defect" not in assetctl("pull", "https://h.org/a.safetensors", "--json").out


@pytest.mark.parametrize("proxy", ["http://[::1", "x y", "http://h:99999", "socks5://h:1", "http://"])
def test_a_proxy_that_is_no_address_is_told(assetctl, monkeypatch, proxy):
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, proxy)
    for reference in ("https://h.invalid/a.safetensors", "org/repo", "civitai:7"):
        ended = assetctl("pull", reference, "--json")
        assert (ended.code, "defect" in ended.out) == (6, False), ended.out
