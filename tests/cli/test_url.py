"""Pulling from a web server that runs on the loopback, and misbehaves as web servers do."""

from __future__ import annotations

import errno
import json
import re
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from material import write_lora

from assetctl.files.disk import DirectFile
from assetctl.sources import _partial


class Site:
    """What a server knows of its one file, and how it misbehaves."""

    def __init__(self, content: bytes):
        self.content, self.type, self.etag = content, "application/octet-stream", '"one"'
        self.headers: dict[str, str] = {}
        self.statuses: list[int] = []
        self.busy: list[int] = []  # answered to all but the first request
        self.requests: list[tuple[str, str | None, str | None]] = []
        self.cuts = 0
        self.after_cuts = lambda: None
        self.ranges = True
        self.asks_if_range = True
        self.length: int | None = None
        self.location: str | None = None
        self.url = ""


class Handler(BaseHTTPRequestHandler):
    site: Site

    def do_GET(self):
        site = self.site
        site.requests.append((self.path, self.headers.get("Range"), self.headers.get("Authorization")))
        statuses = site.busy if len(site.requests) > 1 and site.busy else site.statuses
        if statuses:
            self.send_response(statuses.pop(0))
            self.send_header("retry-after", "0")
            self.send_header("content-length", "0")
            self.end_headers()
            return
        if site.location is not None and not self.path.startswith("/final"):
            self.send_response(302)
            self.send_header("location", site.location)
            self.send_header("content-length", "0")
            self.end_headers()
            return
        self._content(site)

    def _content(self, site: Site):
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
        fresh = self.headers.get("If-Range") in (None, site.etag) or not site.asks_if_range
        start = int(wanted[1]) if wanted and site.ranges and fresh else 0
        self.send_response(206 if start else 200)
        if start:
            self.send_header("content-range", f"bytes {start}-{len(site.content) - 1}/{len(site.content)}")
        body = site.content[start:]
        headers = {
            "content-type": site.type, "etag": site.etag,
            "content-length": str(len(body) if site.length is None else site.length), **site.headers,
        }  # fmt: skip
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if not site.cuts:
            self.wfile.write(body)
            return
        site.cuts -= 1  # the first request only asks for the name
        self.close_connection = True
        self.wfile.write(body[: len(body) // 2])
        if not site.cuts:
            site.after_cuts()

    def log_message(self, *_):
        """Say nothing."""


@contextmanager
def serve(content: bytes):
    site = Site(content)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"site": site}))
    site.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def content(tmp_path):
    return write_lora(tmp_path / "source.safetensors", rank=16).read_bytes()


@pytest.fixture
def site(content, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr("assetctl.sources._download.PAUSES", (0.01, 0.01))
    with serve(content) as served:
        yield served


def test_a_file_is_pulled_under_the_end_of_its_address(assetctl, home, site, content):
    (asset,) = assetctl("pull", f"{site.url}/loras/my%20whiskers.safetensors", "--json").data
    assert (asset["name"], asset["kind"]) == ("my whiskers", "lora")
    assert (home / "models/loras/my whiskers.safetensors").read_bytes() == content
    again = assetctl("pull", f"{site.url}/loras/my%20whiskers.safetensors")
    assert "already here" in again.err


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ('attachment; filename="whiskers.safetensors"', "whiskers"),
        ("attachment; filename*=UTF-8''sch%C3%B6n.safetensors; filename=\"x.safetensors\"", "schön"),
        ('attachment; filename="../../evil.safetensors"', "evil"),
        ('attachment; filename="C:\\\\evil.safetensors"', "evil"),
        ("attachment; filename=/etc/evil.safetensors", "evil"),
        (f'attachment; filename="{"x" * 4000}.safetensors"', "x" * 119),
        ("attachment", "download"),
    ],
)
def test_the_servers_name_is_taken_and_made_harmless(assetctl, home, site, said, name):
    site.headers["content-disposition"] = said
    (asset,) = assetctl("pull", f"{site.url}/download?id=5", "--json").data
    assert (asset["name"], asset["format"]) == (name, "safetensors")
    assert asset["path"] == str(home / "models" / "loras" / f"{name}.safetensors")


def test_secrets_of_an_address_are_kept_nowhere(assetctl, home, site):
    host = site.url.removeprefix("http://")
    ended = assetctl("pull", f"http://ann:hush-hush@{host}/a.safetensors?id=5&token=sesame&X-Amz-Signature=abc")
    shown = assetctl("inspect", "a", "--json")
    assert ended.code == 0
    assert shown.data["origin"]["url"] == f"{site.url}/a.safetensors?id=5"
    site.statuses = [403]
    refused = assetctl("pull", f"http://ann:hush-hush@{host}/b.safetensors?token=sesame")
    everything = ended.out + ended.err + shown.out + refused.out + refused.err
    kept = b"".join(path.read_bytes() for path in home.rglob("*") if path.is_file())
    for secret in ("hush-hush", "sesame", "abc"):
        assert secret not in everything
        assert secret.encode() not in kept
    assert site.requests[0][2].startswith("Basic ")


def test_a_password_does_not_follow_to_another_host(assetctl, site, content):
    with serve(content) as other:
        site.location = f"{other.url}/final.safetensors"
        host = site.url.removeprefix("http://")
        assert assetctl("pull", f"http://ann:hush@{host}/a.safetensors").code == 0
        assert {authorization for _, _, authorization in other.requests} == {None}


def test_a_cut_connection_is_gone_on_with(assetctl, site, content):
    site.cuts = 3
    (asset,) = assetctl("pull", f"{site.url}/a.safetensors", "--json").data
    assert asset["size"] == len(content)
    starts = [int(wanted.removeprefix("bytes=")[:-1]) for _, wanted, _ in site.requests if wanted]
    assert starts == sorted(set(starts))
    assert len(starts) >= 2


@pytest.mark.parametrize("change", ["etag", "ranges"])
def test_another_state_of_the_file_is_never_mixed_with_the_first(assetctl, home, site, tmp_path, change):
    other = write_lora(tmp_path / "other.safetensors", rank=16, seed=5).read_bytes()

    def changed():
        if change == "etag":
            site.etag, site.content = '"two"', other
        else:
            site.ranges = False

    site.cuts, site.after_cuts = 2, changed
    assert assetctl("pull", f"{site.url}/a.safetensors").code == 0
    assert any(wanted for _, wanted, _ in site.requests)
    assert (home / "models/loras/a.safetensors").read_bytes() == site.content


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [(401, 6, "unauthorized"), (403, 6, "unauthorized"), (404, 6, "source_not_found"), (410, 6, "source_not_found"),
     (416, 6, "source_failed"), (418, 6, "source_failed"), (500, 6, "source_failed")],
)  # fmt: skip
def test_each_refusal_has_its_code(assetctl, home, site, status, code, error):
    site.statuses = [status] * 10
    ended = assetctl("pull", f"{site.url}/a.safetensors", "--json")
    assert (ended.code, ended.error["code"]) == (code, error)
    assert ended.error["hint"]


@pytest.mark.parametrize(
    ("fault", "error", "word"),
    [
        ({"content": b"<!DOCTYPE html><html>log in</html>", "type": "text/html"}, "file_refused", "web page"),
        ({"content": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n"}, "file_refused", "LFS"),
        ({"content": b'{"error": "no"}'}, "file_refused", "error message"),
        ({"content": b""}, "file_refused", "empty"),
        ({"length": 10}, "file_corrupt", "valid"),
        ({"location": "/loop"}, "source_failed", "circles"),
        ({"location": "ftp://elsewhere/x"}, "source_failed", "cannot be used"),
    ],
    ids=["page", "pointer", "json", "empty", "short length", "circle", "other scheme"],
)
def test_what_is_no_model_is_refused_and_leaves_nothing(assetctl, home, site, fault, error, word):
    for name, value in fault.items():
        setattr(site, name, value)
    ended = assetctl("pull", f"{site.url}/a.safetensors", "--json")
    assert (ended.error["code"], word in ended.error["message"]) == (error, True), ended.error
    assert assetctl("list", "--json").data == []
    assert not list((home / "models").rglob("a.safetensors"))


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_server_is_asked_again(assetctl, site, status):
    site.busy = [status] * 2
    assert assetctl("pull", f"{site.url}/a.safetensors").code == 0
    assert len(site.requests) == 4


def test_an_unencrypted_address_of_another_machine_is_warned_of():
    from assetctl.sources.url import _warnings

    assert _warnings("http://example.org/a.safetensors")
    assert not _warnings("https://example.org/a.safetensors")
    assert not _warnings("http://127.0.0.1:8000/a.safetensors")


def test_a_range_of_another_state_of_the_file_is_not_gone_on_with(assetctl, home, site, content):
    site.cuts, site.asks_if_range = 2, False

    def change() -> None:
        site.etag, site.content = '"two"', content[:-4] + b"\1\2\3\4"

    site.after_cuts = change
    assert assetctl("pull", f"{site.url}/ink.safetensors").code == 0
    assert (home / "models/loras/ink.safetensors").read_bytes() == site.content


def test_a_disk_that_is_full_for_a_moment_leaves_no_hole(assetctl, home, site, content, monkeypatch):
    monkeypatch.setattr(_partial, "PIECE", 4096)
    write, calls = DirectFile.write, []

    def full_once(self, position, data, **options):
        calls.append(position)
        if len(calls) == 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(self, position, data, **options)

    monkeypatch.setattr(DirectFile, "write", full_once)
    ended = assetctl("pull", f"{site.url}/ink.safetensors")
    assert (ended.code, "disk is full" in ended.err) == (1, True)
    (part,) = home.rglob("*.part")
    assert part.read_bytes() == content[: 2 * 4096]
    assert assetctl("pull", f"{site.url}/ink.safetensors").code == 0
    assert (home / "models/loras/ink.safetensors").read_bytes() == content
    assert site.requests[-1][1] == f"bytes={2 * 4096}-"


def test_a_header_whose_length_looks_like_json_is_no_error_message(assetctl, home, site):
    header = json.dumps({"emb_params": {"dtype": "F32", "shape": [1, 768], "data_offsets": [0, 3072]}}).encode()
    header = header.ljust(0x17B)  # its lowest byte is an opening brace
    site.content = len(header).to_bytes(8, "little") + header + bytes(3072)
    assert site.content[:1] == b"{"
    assert assetctl("pull", f"{site.url}/easy.safetensors").code == 0
