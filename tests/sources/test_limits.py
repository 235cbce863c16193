"""Servers that send too much, too little or for ever: each is given up on, in time and with a clear word."""

from __future__ import annotations

import errno
import gzip
import hashlib
import itertools
import re
import shutil
import time
import tracemalloc
import zlib
from typing import TYPE_CHECKING

import pytest
from fetching import fetch
from patience import fair
from servers.scripted import answer, scripted

from assetctl.errors import AssetctlError, HashMismatchError, SourceError, StorageError
from assetctl.run import Run
from assetctl.sources import _download, _web
from assetctl.sources.base import RemoteFile, Way, digests
from assetctl.sources.civitai import CivitaiSource
from assetctl.sources.huggingface import HuggingFaceSource
from assetctl.sources.url import UrlSource

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

CONTENT = bytes(range(256)) * 800
MIB = 2**20
#: What every test must end within, in seconds: far less than what the servers would like.
SOON = 8.0


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(_download, "PAUSES", (0.01, 0.01))
    since = time.monotonic()
    yield
    assert time.monotonic() - since < fair(SOON)


@pytest.fixture(scope="module")
def bomb() -> bytes:
    """300 MiB of JSON's blanks, packed twice into some hundred bytes' worth of answer, as servers can send it."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    once = b"".join([*(packer.compress(b" " * MIB) for _ in range(300)), packer.flush()])
    return gzip.compress(once)


ASKED: dict[str, Callable[[], object]] = {
    "hub listing": lambda: HuggingFaceSource().resolve("org/repo"),
    "hub search": lambda: HuggingFaceSource().search("cat", None, (), 5),
    "hub user": lambda: HuggingFaceSource().user("hf_token"),
    "civitai model": lambda: CivitaiSource().resolve("civitai:7"),
    "civitai version": lambda: CivitaiSource().resolve("civitai:7@8"),
    "civitai search": lambda: CivitaiSource().search("cat", None, (), 5),
    "civitai user": lambda: CivitaiSource().user("token"),
}


def _point(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("HF_ENDPOINT", url)
    monkeypatch.setenv("ASSETCTL_CIVITAI_ENDPOINT", url)
    for name in ("HF_TOKEN", "HF_HUB_OFFLINE", "CIVITAI_API_TOKEN"):
        monkeypatch.delenv(name, raising=False)


def _endless(head: bytes, piece: bytes) -> Callable[[bytes], Iterable[bytes]]:
    return lambda _: itertools.chain([head], itertools.repeat(piece, 100_000))


HOSTILE: dict[str, Callable[[bytes], Callable[[bytes], Iterable[bytes]]]] = {
    "packed": lambda bomb: lambda _: [answer(bomb, content_encoding="gzip, gzip")],
    "packed refusal": lambda bomb: lambda _: [answer(bomb, "500 Oh", content_encoding="gzip, gzip")],
    "packed redirect": lambda bomb: lambda _: [answer(bomb, "302 Go", content_encoding="gzip, gzip", location="/b")],
    "endless": lambda _: _endless(answer(content_length=None), b" " * MIB),
    "endless redirect": lambda _: _endless(answer(b"", "302 Go", location="/b", content_length=None), b" " * MIB),
    "endless header": lambda _: _endless(b"HTTP/1.1 200 OK\r\n", b"x-a: b\r\n" * 10_000),
    "long header": lambda _: _endless(b"HTTP/1.1 200 OK\r\nx-a: ", b"b" * MIB),
    "deep": lambda _: lambda _: [answer(b"[" * 100_000)],
    "not a number": lambda _: lambda _: [answer(b'{"id": NaN}')],
    "circles": lambda _: lambda _: [answer(status="302 Go", location="/again")],
}


@pytest.mark.parametrize("asked", ASKED)
@pytest.mark.parametrize("hostile", HOSTILE)
def test_no_answer_takes_more_than_it_may(monkeypatch: pytest.MonkeyPatch, bomb: bytes, hostile: str, asked: str):
    tracemalloc.start()
    try:
        with scripted(HOSTILE[hostile](bomb)) as server:
            _point(monkeypatch, server.url)
            with pytest.raises(SourceError) as caught:
                ASKED[asked]()
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert caught.value.exit_code == 6
    assert most < 120 * MIB
    assert len(server.requests) < 20


def test_an_answer_may_be_packed_and_in_pieces(monkeypatch: pytest.MonkeyPatch):
    body = gzip.compress(b'{"username": "ann"}')
    pieces = [answer(content_encoding="gzip", content_length=len(body)), *(body[i : i + 1] for i in range(len(body)))]
    with scripted(lambda _: pieces) as server:
        _point(monkeypatch, server.url)
        assert CivitaiSource().user("token") == "ann"


# Time


@pytest.fixture
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_web, "WINDOW", 0.3)
    monkeypatch.setattr(_web, "LONGEST_READ", 0.4)
    monkeypatch.setattr(_web, "_LOOK", 0.05)
    monkeypatch.setattr(_web, "_LONGEST", 1.0)


def _trickle(piece: bytes, pause: float = 0.02) -> Iterator[bytes]:
    for _ in range(2000):
        time.sleep(pause)
        yield piece


SLOW: dict[str, tuple[bytes, bytes]] = {
    "a byte at a time": (answer(content_length=10 * MIB), b"x"),
    "a chunk at a time": (answer(content_length=None, transfer_encoding="chunked"), b"1\r\nx\r\n"),
    "a header at a time": (b"HTTP/1.1 200 OK\r\nx-a: ", b"a"),
    "it goes on for ever": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "trailers for ever": (answer(content_length=None, transfer_encoding="chunked") + b"1\r\nx\r\n0\r\n", b"x-a: b\r\n"),
}


@pytest.mark.usefixtures("_hasty")
@pytest.mark.parametrize("slow", SLOW)
def test_a_server_that_trickles_is_given_up_on(monkeypatch: pytest.MonkeyPatch, slow: str):
    head, piece = SLOW[slow]
    with scripted(lambda _: itertools.chain([head], _trickle(piece))) as server:
        _point(monkeypatch, server.url)
        with pytest.raises(SourceError, match=r"less than \d+ bytes a second|in time|connection"):
            CivitaiSource().resolve("civitai:7")


# Downloads


def _way(url: str, **more: object) -> Way:
    return Way(
        "a file",
        url,
        lambda: _web.AS_IT_IS,
        _web.client,
        _web.check,
        lambda what: _web.errors(what, "Log in."),
        5.0,
        **more,
    )


def _fetch(url: str, into: Path, file: RemoteFile | None = None, **more: object) -> Path:
    file = file or RemoteFile("a.bin", len(CONTENT), digests(sha256=hashlib.sha256(CONTENT).hexdigest()))
    _download.download(_way(url, **more), file, into / "a.bin", into / "partial", Run(), lambda _: None)
    return into / "a.bin"


def _from(head: bytes) -> int | None:
    match = re.search(rb"range: bytes=(\d+)-", head, re.IGNORECASE)
    return int(match[1]) if match else None


def _part(start: int, data: bytes, total: object = len(CONTENT)) -> bytes:
    said = f"bytes {start}-{start + max(len(data), 1) - 1}/{total}"
    return answer(data, "206 Partial Content", content_range=said)


def test_a_server_that_takes_back_what_it_gave_is_not_asked_for_ever(tmp_path: Path):
    def respond(head: bytes) -> list[bytes]:
        if _from(head) is None:
            return [answer(CONTENT[:150_000], content_length=len(CONTENT))]
        return [_part(5, CONTENT[5:])]  # never what was asked for

    with scripted(respond) as server, pytest.raises(SourceError):
        _fetch(server.url, tmp_path)
    assert len(server.requests) < 10


def test_a_server_that_gives_a_byte_at_a_time_is_not_asked_for_ever(tmp_path: Path):
    def respond(head: bytes) -> list[bytes]:
        start = _from(head) or 0
        return [_part(start, CONTENT[start:])[: -(len(CONTENT) - start) + 1]]

    with scripted(respond) as server, pytest.raises(SourceError):
        _fetch(server.url, tmp_path)
    assert len(server.requests) < 10


@pytest.mark.parametrize("total", [len(CONTENT), "*"])
@pytest.mark.parametrize("size", [len(CONTENT), None])
def test_empty_parts_are_not_asked_for_for_ever(tmp_path: Path, total: object, size: int | None):
    def respond(head: bytes) -> list[bytes]:
        start = _from(head)
        return [
            answer(CONTENT[:99], content_length=len(CONTENT), etag='"x"') if start is None else _part(99, b"", total)
        ]

    with scripted(respond) as server, pytest.raises(AssetctlError):
        _fetch(server.url, tmp_path, RemoteFile("a.bin", size, digests(sha256=hashlib.sha256(CONTENT).hexdigest())))
    assert len(server.requests) < 10


@pytest.mark.parametrize("wait", ["99999999999", "9" * 5000, "1e9", "²"])
def test_nobody_waits_as_long_as_a_server_likes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wait: str):
    monkeypatch.setattr(_download, "LONGEST_WAIT", 0.05)
    busy = answer(status="503 Busy", retry_after=wait)
    with scripted(lambda _: [busy]) as server, pytest.raises(SourceError, match="503"):
        _fetch(server.url, tmp_path)
    assert len(server.requests) < 10


def test_a_file_that_needs_too_many_tries_is_gone_on_with_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(_download, "MOST_TRIES", 2)
    monkeypatch.setattr(_download, "ENOUGH", 1000)

    def respond(head: bytes) -> list[bytes]:
        start = _from(head) or 0
        cut = max(0, len(CONTENT) - start - 40_000)
        return [_part(start, CONTENT[start:])[: -cut or None]]

    with scripted(respond) as server:
        with pytest.raises(SourceError, match="broke off 2 times"):
            _fetch(server.url, tmp_path)
        assert len(server.requests) == 3
        assert _fetch(server.url, tmp_path).read_bytes() == CONTENT
    assert _from(server.requests[3]) == 120_000


@pytest.mark.usefixtures("_hasty")
def test_a_download_that_trickles_is_given_up_on_and_kept(tmp_path: Path):
    def respond(head: bytes) -> Iterable[bytes]:
        start = _from(head) or 0
        return itertools.chain([_part(start, CONTENT[start:])[: -len(CONTENT) + start + 9]], _trickle(b"x"))

    with scripted(respond) as server, pytest.raises(SourceError, match="less than 1024 bytes a second") as caught:
        _fetch(server.url, tmp_path)
    assert "goes on from there" in str(caught.value.hint)
    assert len(server.requests) < 10
    assert list((tmp_path / "partial").iterdir())


@pytest.mark.parametrize("encoding", ["gzip", "gzip, gzip", "br", "identity, gzip", "x-unknown"])
def test_a_file_that_comes_packed_is_refused(tmp_path: Path, bomb: bytes, encoding: str):
    with scripted(lambda _: [answer(bomb, content_encoding=encoding, etag='"x"')]) as server:
        with pytest.raises(SourceError, match="packs the file"):
            UrlSource().resolve(f"{server.url}/a.safetensors")
        with pytest.raises(SourceError, match="packs the file"):
            _fetch(server.url, tmp_path, RemoteFile("a.safetensors"))
    assert all(b"accept-encoding: identity" in head.lower() for head in server.requests)
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.stat().st_size]


def test_a_file_of_which_nobody_said_how_large_it_is_has_a_limit_all_the_same(tmp_path: Path):
    endless = _endless(answer(content_length=None), b"x" * MIB)
    with scripted(endless) as server, pytest.raises(HashMismatchError, match="more than 3000000 bytes"):
        _fetch(server.url, tmp_path, RemoteFile("a.bin"), most=3_000_000)
    assert not (tmp_path / "a.bin").exists()


@pytest.fixture
def _nearly_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = shutil.disk_usage(tmp_path)._replace(free=100_000)
    monkeypatch.setattr("shutil.disk_usage", lambda _: free)


@pytest.mark.usefixtures("_nearly_full")
@pytest.mark.parametrize("length", [None, 100 * MIB])
def test_a_server_that_never_ends_does_not_fill_the_disk(tmp_path: Path, length: int | None):
    endless = _endless(answer(content_length=length), b"x" * MIB)
    with scripted(endless) as server, pytest.raises(StorageError, match="more than the 90000 bytes") as caught:
        _fetch(server.url, tmp_path, RemoteFile("a.bin"))
    assert "Free some space" in str(caught.value.hint)
    assert len(server.requests) == 1
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.usefixtures("_nearly_full")
def test_what_came_before_takes_no_room_that_is_free(tmp_path: Path):
    def respond(head: bytes) -> list[bytes]:
        start = _from(head) or 0
        return [_part(start, CONTENT[start:])] if start else [answer(CONTENT, etag='"x"')]

    with scripted(respond) as server:
        key = hashlib.sha256(server.url.encode()).hexdigest()
        (tmp_path / "partial").mkdir()
        (tmp_path / f"partial/{key}.part").write_bytes(CONTENT[:150_000])
        (tmp_path / f"partial/{key}.etag").write_text('"x"')
        assert _fetch(server.url, tmp_path, RemoteFile("a.bin")).read_bytes() == CONTENT
    assert [_from(head) for head in server.requests] == [150_000]


def test_a_disk_that_does_not_say_what_is_free_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("shutil.disk_usage", refuse)
    with pytest.raises(StorageError, match="see how much space is free"):
        _fetch("http://127.0.0.1:1/a", tmp_path, RemoteFile("a.bin"))


@pytest.mark.parametrize(
    "headers",
    [
        {"content_length": "9" * 5000},
        {"content_range": f"bytes 0-{'9' * 5000}/{'9' * 5000}"},
        {"etag": f'"{"x" * 60_000}"'},
        {"content_disposition": "attachment; filename=schön\x80.safetensors"},
        {"location": "http://[::1", "status": "302 Go"},
        {"location": "http://host:99999/x", "status": "302 Go"},
        {"location": "http://\\x/", "status": "302 Go"},
        {"location": "http://xn--\u2603/", "status": "302 Go"},
        {"location": "x" * 60_000, "status": "302 Go"},
    ],
)
def test_headers_of_nonsense_are_no_defect(tmp_path: Path, headers: dict[str, str]):
    with scripted(lambda _: [answer(CONTENT, **headers)]) as server:
        source = UrlSource()
        try:
            resolution = source.resolve(f"{server.url}/a.bin")
            assert len(resolution.revision or "") <= 200
            fetch(source, resolution, tmp_path)
        except AssetctlError as error:
            assert error.exit_code in (5, 6)  # noqa: PT017 - either way is fine
