"""What lets in leaves in no message, traceback, document, lockfile or row."""

from __future__ import annotations

import hashlib
import tomllib
import traceback

import pytest
from material import write_lora
from servers.scripted import answer, scripted

from assetctl.cli.main import run
from assetctl.errors import AssetctlError
from assetctl.sources.civitai import CivitaiSource
from assetctl.sources.huggingface import HuggingFaceSource
from assetctl.sources.url import UrlSource
from assetctl.text import redacted, without_secrets

SECRETS = ("hush-hush", "sesame", "c0ffee", "hf_abcdefghijklmnopqrst1234")
QUERY = "id=5&token=sesame&to%6ben=sesame&X-Amz-Signature=c0ffee&access_token=hf_abcdefghijklmnopqrst1234"


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
        ("sent Bearer 0123456789abcdefghij to", "sent Bearer *** to"),
        ("sent Basic YW5uOmh1c2gtaHVzaC1odXNo to", "sent Basic *** to"),
        ("(b'authorization', b'Token abc')", "(b'authorization', b'***')"),
        ("token: 0123456789abcdefghij", "token: ***"),
        ("{'private_token': 'glpat-0123456789abcdefghij'}", "{'private_token': '***'}"),
        ("https://h.org/a?to%6ben=s&%73ig=t&x=1", "https://h.org/a?to%6ben=***&%73ig=***&x=1"),
        ("at https://ann:hu'sh@h.org/a", "at https://h.org/a"),
        ("at https://ann:h\"u@s'h@h.org/a", "at https://h.org/a"),
        ("at https://ann:hu/sh@h.org/a", "at https://h.org/a"),
        ("https://h.org:8080/x@y and a@b", "https://h.org:8080/x@y and a@b"),
        ('{"a":"https://h.org","b":"x@y"}', '{"a":"https://h.org","b":"x@y"}'),
        ("There is no asset 'basic dreamshaper-v9'.", "There is no asset 'basic dreamshaper-v9'."),
        ("There is no basic dreamshaperinpainting-v9.", "There is no basic dreamshaperinpainting-v9."),
        ("/models/basic dreamshaper-v9-inpainting.safetensors", "/models/basic dreamshaper-v9-inpainting.safetensors"),
        (
            "/models/bearer dreamshaper-v9-inpainting.safetensors",
            "/models/bearer dreamshaper-v9-inpainting.safetensors",
        ),
        ("token: was here; secret: 3 MB", "token: was here; secret: 3 MB"),
        ("token: /home/ann/models/some-where-1234", "token: /home/ann/models/some-where-1234"),
        ("https://h.org/a?key=other.safetensors&code=ONE", "https://h.org/a?key=other.safetensors&code=ONE"),
        ("https://h.org/a?key=AIzaSyA1234567890abcdefg", "https://h.org/a?key=***"),
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
        ("https://h.org/a?Policy=eyJTdGF0ZW1lbnQiOlt7IlJlc29&Signature=s&Key-Pair-Id=k", "https://h.org/a"),
        ("https://h.org/a?code=0123456789abcdef01234567&key=AIzaSyA1234567890abcdefg&v=1", "https://h.org/a?v=1"),
        ("https://h.org/a?key=a+rather+long+name.safetensors", "https://h.org/a?key=a+rather+long+name.safetensors"),
        ("https://h.org/a?code=ONE&policy=fp16&tokenizer=t5", "https://h.org/a?code=ONE&policy=fp16&tokenizer=t5"),
        ("https://h.org/a?to%6ben=s&v=1", "https://h.org/a?v=1"),
        ("https://h.org/a.safetensors?Authorization=3_20250101_abc", "https://h.org/a.safetensors"),
        ("https://h.org/a?author=x&authors=y&author_id=z", "https://h.org/a?author=x&authors=y&author_id=z"),
        ("https://h.org/a.safetensors&token=0123456789abcdef", "https://h.org/a.safetensors&token=***"),
        ("https://h.org/a&b=c;d", "https://h.org/a&b=c;d"),
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


ANSWERS = pytest.mark.parametrize(
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


@ANSWERS
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


@ANSWERS
def test_nor_does_that_of_the_python_api(monkeypatch, respond):
    """Nobody hides what lets in there but who raises: causes hold whole addresses."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with scripted(respond) as server, scripted(lambda _: [answer(status="302 Go", location=f"{to}?{QUERY}")]) as hub:
        to = server.url
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("ASSETCTL_CIVITAI_ENDPOINT", hub.url)
        host = server.url.removeprefix("http://")
        for source, reference in (
            (UrlSource(), f"http://ann:hush-hush@{host}/a.safetensors?{QUERY}"),
            (HuggingFaceSource(), "hf://cats/whiskers"),
            (CivitaiSource(), "civitai:7"),
        ):
            told = ""
            try:  # some are refused where they are fetched alone
                source.resolve(reference)
            except AssetctlError as error:
                told = "".join(traceback.format_exception(error))
            assert not [secret for secret in SECRETS if secret in told]


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


@pytest.mark.parametrize(
    "change",
    [
        "key=another-model-with-a-long-name",
        "code=4a5b6c7d8e9f4a5b6c7d8e9f",
        "code=TWO",
        "key=other.safetensors",
        "session=2",
        "policy=bf16",
        "tokenizer=t5",
    ],
)
def test_what_says_which_file_is_meant_is_part_of_an_address(assetctl, tmp_path, monkeypatch, change):
    """Its name may be that of a secret all the same."""
    contents = {b"1": write_lora(tmp_path / "a.safetensors").read_bytes()}
    contents[b"2"] = write_lora(tmp_path / "b.safetensors", seed=5).read_bytes()
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.chdir(tmp_path)

    def respond(head: bytes) -> list[bytes]:
        return [answer(contents[b"2" if change.encode() in head else b"1"])]

    manifest, name = tmp_path / "registry.toml", change.partition("=")[0]
    with scripted(respond) as server:
        manifest.write_text(f'[assets.a]\nsource = "{server.url}/dl?{name}=ONE"\n')
        assert assetctl("lock").code == 0
        manifest.write_text(f'[assets.a]\nsource = "{server.url}/dl?{change}"\n')
        assert assetctl("sync", "--locked").code == 1
        assert assetctl("lock").code == 0
        assert assetctl("sync", "--locked").code == 0
        locked = tomllib.loads((tmp_path / "registry.lock").read_text())["assets"][0]
        monkeypatch.setenv("ASSETCTL_HOME", str(tmp_path / "other-home"))
        assert assetctl("sync", "--locked").code == 0  # the manifest has it, where it may be a secret
    assert (change in locked["wanted"]) is (len(change) < 25)
    assert locked["sha256"] == hashlib.sha256(contents[b"2"]).hexdigest()


@pytest.mark.parametrize("name", ["basic dreamshaper-v9", "bearer 12345678", "token: abc-12345678"])
def test_a_name_is_told_as_it_is(assetctl, name):
    assert f"'{name}'" in assetctl("rm", name).err


def test_a_path_that_looks_like_an_address_is_locked_once(assetctl, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = "a?key=0123456789abcdefghij&x.safetensors"
    write_lora(tmp_path / name)
    (tmp_path / "registry.toml").write_text(f'[assets.a]\nsource = "./{name}"\n')
    assert assetctl("lock").code == 0
    assert assetctl("sync", "--locked").code == 0
    assert assetctl("lock", "--check").code == 0


@pytest.mark.parametrize("more", [[], ["--json"], ["--dry-run"]])
@pytest.mark.parametrize(
    "reference",
    [
        "https://ann:se same@h.org/x",
        "https:/ann:sesame@h.org/x",
        "https:\\\\ann:sesame@h.org/x",
        "https:ann:sesame@h.org/x",
        "ann:sesame@h.org/x",
        "ann:ses@me@huggingface.co/org/repo",
        "HTTPS:/ann:ses@me@h.org/x",
        "https://[ann:sesame@h.org/x",
    ],
)
def test_an_address_that_is_misspelt_is_told_without_its_password(assetctl, reference, more):
    ended = assetctl("pull", reference, *more)
    assert ended.code == 2
    assert not [word for word in ("sesame", "same@", "ses@", "ann") if word in ended.out + ended.err]
