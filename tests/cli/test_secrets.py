"""What lets in leaves in no message, traceback, document, lockfile or row."""

from __future__ import annotations

import tomllib

import pytest
from material import write_lora
from servers.scripted import answer, scripted

from assetctl.addresses import redacted, without_secrets
from assetctl.cli.main import run

SECRETS = ("hush-hush", "sesame", "c0ffee", "hf_abcdefghijklmnopqrst1234")
QUERY = "id=5&token=sesame&X-Amz-Signature=c0ffee&access_token=hf_abcdefghijklmnopqrst1234"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://ann:hush@h.org/a?id=5&token=s&x=1", "https://h.org/a?id=5&token=***&x=1"),
        ("for url 'https://h.org/a?X-Amz-Signature=ab&y'.", "for url 'https://h.org/a?X-Amz-Signature=***&y'."),
        ("https://h.org/#access_token=ab", "https://h.org/#access_token=***"),
        ("{'Authorization': 'Bearer abc'}", "{'Authorization': '***'}"),
        ("authorization: Basic YW5uOmh1c2g=\r\nhost: h", "authorization: ***\r\nhost: h"),
        ("Set-Cookie: session=abc; path=/", "Set-Cookie: session=***; path=/"),
        ("cookie: 3 MB, from https://h.org/a", "cookie: 3 MB, from https://h.org/a"),
        ("sent Bearer 0123456789 to", "sent Bearer *** to"),
        ("the token hf_abcdefghijklmnopqrst is", "the token hf_*** is"),
        ("Check HF_ENDPOINT, hf_transfer", "Check HF_ENDPOINT, hf_transfer"),
        ("sig=1 apikey=2", "sig=1 apikey=2"),  # no address
        ("Basic authentication is needed; author=ann", "Basic authentication is needed; author=ann"),
        ("hf://org/repo@v1/a.safetensors", "hf://org/repo@v1/a.safetensors"),
        ("https://h.org/a?author=x&design=y&keyword=z", "https://h.org/a?author=x&design=y&keyword=z"),
    ],
)
def test_any_text_is_shown_without_what_lets_in(text, shown):
    assert redacted(text) == shown
    assert redacted(shown) == shown


@pytest.mark.parametrize(
    ("reference", "kept"),
    [
        ("https://ann:hush@h.org/a?id=5&apiKey=s&Expires=3", "https://h.org/a?id=5"),
        ("https://h.org/a?sig=s&sv=1&design=2", "https://h.org/a?sv=1&design=2"),
        ("https://h.org/a?Policy=p&Signature=s&Key-Pair-Id=k", "https://h.org/a"),
        ("https://h.org/a?X-Goog-Credential=c&X-Goog-Date=d", "https://h.org/a"),
        ("civitai:1@2?token=abc&format=x", "civitai:1@2?format=x"),
        ("hf://org/repo@v1/a#b.safetensors?token=x", "hf://org/repo@v1/a#b.safetensors"),
        ("civitai:1@2?format=SafeTensor", "civitai:1@2?format=SafeTensor"),
        ("/home/ann/key=1", "/home/ann/key=1"),
    ],
)
def test_a_reference_is_kept_without_what_lets_in(reference, kept):
    assert without_secrets(reference) == kept
    assert without_secrets(kept) == kept


@pytest.mark.parametrize(
    "respond",
    [
        lambda _: [answer(status="403 No")],
        lambda _: [answer(status="500 Oh")],
        lambda _: [b"HTTP/1.1 what\r\n\r\n"],
        lambda _: [b"HTTP/1.1 200 OK\r\nno header\r\ncontent-length: 3\r\n\r\nabc"],
        lambda _: [],
        lambda _: [answer(status="302 Go", location=f"http://ann:hush-hush@127.0.0.1:1/x?{QUERY}")],
        lambda _: [answer(status="302 Go", location=f"ftp://ann:hush-hush@127.0.0.1/x?{QUERY}")],
        lambda _: [answer(status="302 Go", location=f"http://169.254.169.254/x?{QUERY}")],
        lambda _: [answer(b"<!DOCTYPE html><html>")],
    ],
    ids=["403", "500", "no http", "no header", "nothing", "dead end", "other scheme", "near", "page"],
)
@pytest.mark.parametrize("form", [("--debug",), ("--debug", "--json"), ("--dry-run", "--debug")])
def test_a_traceback_shows_nothing_that_lets_in(home, monkeypatch, capfd, respond, form):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with scripted(respond) as server:
        host = server.url.removeprefix("http://")
        for reference in (f"http://ann:hush-hush@{host}/a.safetensors?{QUERY}", f"http://[::1?{QUERY}"):
            run(["pull", reference, *form])
    said = capfd.readouterr()
    assert "Traceback" in said.err
    kept = b"".join(path.read_bytes() for path in home.rglob("*") if path.is_file())
    for secret in SECRETS:
        assert secret not in said.out + said.err
        assert secret.encode() not in kept


@pytest.mark.parametrize(
    "reference",
    [
        "{hub}/cats/whiskers/blob/main/a.safetensors?token=sesame",
        "{civitai}/models/7?token=sesame",
        "{civitai}/api/download/models/42?token=sesame&format=SafeTensor",
        "civitai:7@42?token=sesame",
        "urn:air:sdxl:lora:civitai:7@42?token=sesame",
    ],
)
def test_what_lets_in_is_kept_of_no_reference(assetctl, home, hub, civitai, tmp_path, reference):
    content = write_lora(tmp_path / "a.safetensors").read_bytes()
    hub.add("cats/whiskers", {"a.safetensors": content})
    civitai.add(7, 42, ("a.safetensors", content))
    ended = assetctl("pull", reference.format(hub=hub.url, civitai=civitai.url), "--json")
    assert ended.code == 0, ended
    shown = assetctl("inspect", "a", "--json")
    assert "sesame" not in ended.out + ended.err + shown.out
    assert b"sesame" not in b"".join(path.read_bytes() for path in home.rglob("*") if path.is_file())


def test_a_lockfile_keeps_no_token_and_is_up_to_date_all_the_same(assetctl, tmp_path, monkeypatch):
    content = write_lora(tmp_path / "a.safetensors").read_bytes()
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    manifest = tmp_path / "registry.toml"
    monkeypatch.chdir(tmp_path)
    with scripted(lambda _: [answer(content, etag='"one"')]) as server:
        address = f"http://ann:hush-hush@{server.url[7:]}/a.safetensors?id=5&token=sesame"
        manifest.write_text(f'[assets.a]\nsource = "{address}"\n')
        assert assetctl("lock").code == 0
        text = (tmp_path / "registry.lock").read_text()
        assert (tomllib.loads(text)["assets"][0]["wanted"]) == f"{server.url}/a.safetensors?id=5"
        assert "sesame" not in text
        assert "hush" not in text
        assert assetctl("lock", "--check").code == 0
        assert assetctl("sync", "--locked").code == 0
        # As it was written before: with the token.
        (tmp_path / "registry.lock").write_text(text.replace(f'wanted = "{server.url}/a.safetensors?id=5"',
                                                             f'wanted = "{address}"'))  # fmt: skip
        assert assetctl("lock", "--check").code == 0
        manifest.write_text(f'[assets.a]\nsource = "{address.replace("sesame", "other")}"\n')
        assert assetctl("lock", "--check").code == 0
        manifest.write_text(f'[assets.a]\nsource = "{address.replace("id=5", "id=6")}"\n')
        assert assetctl("lock", "--check").code == 1


@pytest.mark.parametrize("more", [[], ["--json"], ["--dry-run"]])
@pytest.mark.parametrize(
    "reference",
    [
        "https://ann:se same@h.org/x",
        "https:/ann:sesame@h.org/x",
        "https:\\\\ann:sesame@h.org/x",
        "https:ann:sesame@h.org/x",
        "HTTPS:/ann:ses@me@h.org/x",
        "https://[ann:sesame@h.org/x",
    ],
)
def test_an_address_that_is_misspelt_is_told_without_its_password(assetctl, reference, more):
    ended = assetctl("pull", reference, *more)
    assert ended.code == 2
    assert not [word for word in ("sesame", "same@", "ses@", "ann") if word in ended.out + ended.err]
