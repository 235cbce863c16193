"""Redirects: followed to the web and on the machine that was named, and to nowhere that is nearer."""

from __future__ import annotations

import socket

import httpx2
import pytest
from fetching import fetch
from patience import fair
from servers.scripted import answer, scripted

from assetctl.errors import SourceError
from assetctl.sources._web import NAMED, AstrayError, Wire, Zone
from assetctl.sources.civitai import CivitaiSource
from assetctl.sources.huggingface import HuggingFaceSource
from assetctl.sources.url import UrlSource

NEAR = [
    "http://169.254.169.254/latest/meta-data/", "http://10.0.0.1/a", "http://192.168.1.1/a", "http://[fe80::1]/a",
    "http://[fd00::1]/a", "http://[::ffff:169.254.169.254]/a", "http://[::ffff:10.0.0.1]/a", "//169.254.169.254/a",
]  # fmt: skip


@pytest.fixture(autouse=True)
def _nobody_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    monkeypatch.setattr("socket.socket.connect", _only_loopback)


def _only_loopback(self: socket.socket, address: tuple[str, int]) -> None:
    assert address[0] in ("127.0.0.1", "::1"), f"{address} is asked"
    if self.connect_ex(address):
        raise ConnectionRefusedError


@pytest.mark.parametrize("near", NEAR)
def test_a_server_that_sends_to_what_is_near_is_not_followed(monkeypatch: pytest.MonkeyPatch, near: str):
    with scripted(lambda _: [answer(status="302 Go", location=near)]) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        monkeypatch.setenv("ASSETCTL_CIVITAI_ENDPOINT", server.url)
        for source, reference in (
            (UrlSource(), f"{server.url}/a.safetensors"),
            (HuggingFaceSource(), "org/repo"),
            (CivitaiSource(), "civitai:7"),
        ):
            with pytest.raises(SourceError, match="does not follow it there") as caught:
                source.resolve(reference)
            assert "trust it" in str(caught.value.hint)
    assert len(server.requests) == 3


@pytest.mark.parametrize("near", ["http://127.0.0.1:{port}/a", "http://localhost:{port}/a", "http://0.0.0.0:{port}/a",
                                  "http://2130706433:{port}/a", "http://[::ffff:127.0.0.1]:{port}/a"])  # fmt: skip
def test_a_public_server_behind_a_proxy_can_not_lead_here(monkeypatch: pytest.MonkeyPatch, near: str):
    """A proxy stands for the internet: it answers for a public name, and that sends to this machine."""
    with scripted(lambda _: [answer(b"secret")]) as here:
        there = near.format(port=here.url.rpartition(":")[2])
        with scripted(lambda _: [answer(status="302 Go", location=there)]) as proxy:
            monkeypatch.setenv("http_proxy", proxy.url)
            monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost,0.0.0.0,2130706433,[::ffff:127.0.0.1]")
            with pytest.raises(SourceError, match=r"does not follow it there|connection"):
                UrlSource().resolve("http://models.example.org/a.safetensors")
    assert here.requests == []


@pytest.mark.parametrize("near", ["2852039166", "0xa9fea9fe", "127.1", "10.1", "[64:ff9b:1::a9fe:a9fe]", "192.0.0.192"])
def test_no_proxy_is_asked_for_what_is_near(monkeypatch: pytest.MonkeyPatch, near: str):
    """A proxy looks up hosts by itself, and takes numbers in every form."""
    with scripted(lambda _: [answer(status="302 Go", location=f"http://{near}/latest/")]) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        with pytest.raises(SourceError, match="does not follow it there"):
            UrlSource().resolve("http://models.example.org/a.safetensors")
    assert len(proxy.requests) == 1


def test_from_one_port_of_this_machine_to_another_one_may_go():
    with scripted(lambda _: [answer(b"x" * 99, etag='"a"')]) as there:
        for host in ("127.0.0.1", "localhost"):
            address = there.url.replace("127.0.0.1", host)
            with scripted(lambda _, to=address: [answer(status="302 Go", location=f"{to}/b.bin")]) as here:
                assert UrlSource().resolve(f"{here.url}/a.bin").files[0].size == 99


def _asked(url: str, named: str) -> bytes:
    with httpx2.Client(transport=Wire(), timeout=fair(5), trust_env=False) as client:
        return client.get(url, extensions={NAMED: named}).content


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """Names and what they mean, first and then: the last for good."""
    known: dict[str, list[str]] = {}
    real = socket.getaddrinfo

    def look_up(host: str, *arguments: object, **options: object) -> object:
        meant = known.get(host, [host])
        return real(meant.pop(0) if len(meant) > 1 else meant[0], *arguments, **options)

    monkeypatch.setattr("socket.getaddrinfo", look_up)
    return known


def test_a_name_that_means_what_is_near_is_not_asked(names: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("NO_PROXY", "*")
    with scripted(lambda _: [answer(b"secret")]) as here:
        port = here.url.rpartition(":")[2]
        for means in (["127.0.0.1"], ["93.184.216.34", "127.0.0.1"]):  # the second is another thing when it is asked
            names["inside.example.org"] = means
            with pytest.raises(AstrayError):
                _asked(f"http://inside.example.org:{port}/", "http://public.example.org/")
        assert here.requests == []
        names["inside.example.org"] = ["127.0.0.1"]
        assert _asked(f"http://inside.example.org:{port}/", f"http://inside.example.org:{port}/") == b"secret"
        assert _asked(f"http://inside.example.org:{port}/", "http://localhost:1/") == b"secret"


def test_a_name_that_was_far_and_means_this_machine_by_now_is_not_asked(
    names: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("NO_PROXY", "*")
    with scripted(lambda _: [answer(b"secret")]) as here, httpx2.Client(transport=(wire := Wire())) as client:
        wire._zones["public.example.org"] = Zone.PUBLIC  # as it was met first: no test can go there
        names["public.example.org"] = ["127.0.0.1"]
        with pytest.raises(AstrayError):
            client.get(f"http://public.example.org:{here.url.rpartition(':')[2]}/")
    assert here.requests == []


def test_nobody_is_led_from_encryption_to_none():
    with scripted(lambda _: [answer(b"x")]) as here:
        for url in ("http://example.org/a", "http://10.0.0.1/a"):
            with pytest.raises(AstrayError, match="without encryption"):
                _asked(url, "https://example.org/a")
        assert _asked(here.url, "https://127.0.0.1:1/") == b"x"  # on this machine nobody listens on the way


def test_civitai_names_no_address_that_is_near(civitai, tmp_path):
    civitai.add(7, 42, ("whiskers.safetensors", b"0" * 99))
    civitai.versions[42]["files"][0]["downloadUrl"] = "http://169.254.169.254/latest/"
    source = CivitaiSource()
    with pytest.raises(SourceError, match="does not follow it there"):
        fetch(source, "civitai:7@42", tmp_path)


def test_a_moved_repository_is_asked_for_where_it_went_and_no_circle_is_walked_for_ever(monkeypatch):
    """A mirror that lists no hashes is asked for each file; a token goes to the same origin alone."""
    listing = b'{"sha": "%s", "siblings": [{"rfilename": "a.safetensors"}]}' % (b"c" * 40)

    def respond(head: bytes) -> list[bytes]:
        path = head.split(b" ")[1]
        if path.startswith(b"/api/"):
            return [answer(listing)]
        if path.startswith(b"/circle/"):
            return [answer(status="302 Go", location=path.decode())]
        if path.startswith(b"/old/"):
            return [answer(status="307 Go", location="/new/repo/a")]
        return [answer(status="302 Go", location="https://cdn.example.org/x", x_linked_etag=f'"{"a" * 64}"',
                       x_linked_size=99)]  # fmt: skip

    with scripted(respond) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        monkeypatch.setenv("HF_TOKEN", "hf_opensesame")
        (file,) = HuggingFaceSource().resolve("old/repo").files
        assert (file.sha256, file.size) == ("a" * 64, 99)
        with pytest.raises(SourceError, match="circles"):
            HuggingFaceSource().resolve("circle/repo")
    assert len(server.requests) < 12
