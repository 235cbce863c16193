"""The transport below the client: proxies of the environment, and errors as httpx2 has them."""

from __future__ import annotations

import gzip
import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import httpx2
import pytest
from patience import fair

from assetctl.sources._web import Wire

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def server(*answers: bytes) -> Iterator[tuple[str, list[bytes]]]:
    """A server that gives each connection the next answer and hangs up; its address, and what it was asked."""
    listening = socket.create_server(("127.0.0.1", 0))
    asked: list[bytes] = []

    def serve() -> None:
        for answer in answers:
            try:
                connection, _ = listening.accept()
            except OSError:  # the test ended before all was asked
                return
            with connection:
                asked.append(connection.recv(65536))
                connection.sendall(answer)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{listening.getsockname()[1]}", asked
    finally:
        listening.close()
        thread.join(fair(5))


@pytest.fixture
def client() -> Iterator[httpx2.Client]:
    with httpx2.Client(transport=Wire(), timeout=fair(5)) as one:
        yield one


OK = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 5\r\n\r\nhello"


def test_a_body_comes_whole(client: httpx2.Client, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with server(OK) as (address, asked):
        assert client.get(f"http://{address}/a?b=%20c").text == "hello"
    assert asked[0].startswith(b"GET /a?b=%20c HTTP/1.1\r\n")
    assert asked[0].lower().count(b"\r\nhost:") == 1


def test_a_body_in_chunks_comes_whole(client: httpx2.Client, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    head = b"HTTP/1.1 200 OK\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n"
    chunks = head + b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"
    with server(chunks, chunks[:-12]) as (address, _):
        assert client.get(f"http://{address}/").text == "hello world"
        with pytest.raises(httpx2.RemoteProtocolError):
            client.get(f"http://{address}/")


def test_a_packed_body_is_unpacked(client: httpx2.Client, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    packed = gzip.compress(b"hello")
    head = b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(packed)
    with server(head + packed) as (address, _):
        assert client.get(f"http://{address}/").text == "hello"


def test_a_redirect_is_followed_without_the_token(client: httpx2.Client, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    with server(OK) as (there, asked):
        elsewhere = there.replace("127.0.0.1", "localhost")
        moved = f"HTTP/1.1 302 Found\r\nlocation: http://{elsewhere}/b\r\ncontent-length: 0\r\n\r\n".encode()
        with server(moved) as (here, first):
            headers = {"authorization": "Bearer secret"}
            answer = client.get(f"http://{here}/a", headers=headers, follow_redirects=True)
    assert answer.text == "hello"
    assert b"secret" in first[0]
    assert b"secret" not in asked[0]


def test_the_environments_proxy_is_asked(client: httpx2.Client, monkeypatch):
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with server(OK) as (address, asked):
        monkeypatch.setenv("http_proxy", f"http://ann:secret@{address}")
        assert client.get("http://models.invalid/a").text == "hello"
    assert asked[0].startswith(b"GET http://models.invalid/a HTTP/1.1\r\n")
    assert asked[0].lower().count(b"\r\nhost:") == asked[0].lower().count(b"\r\naccept:") == 1
    assert b"\r\nproxy-authorization: basic yw5uonnly3jlda==" in asked[0].lower()


def test_hosts_that_want_no_proxy_are_asked_themselves(client: httpx2.Client, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with server(OK, OK) as (address, _):
        for host in ("127.0.0.1", address):
            monkeypatch.setenv("no_proxy", host)
            assert client.get(f"http://{address}/").text == "hello"


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nhello", httpx2.RemoteProtocolError),
        (b"", httpx2.RemoteProtocolError),
        (b"what is this?\r\n\r\n", httpx2.RemoteProtocolError),
    ],
    ids=["short", "nothing", "no http"],
)
def test_what_is_no_answer_is_a_protocol_error(client: httpx2.Client, monkeypatch, answer: bytes, error):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with server(answer) as (address, _), pytest.raises(error):
        client.get(f"http://{address}/")


def test_a_short_body_is_handed_on_before_its_error(client: httpx2.Client, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    short = b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nhello"
    with server(short) as (address, _), client.stream("GET", f"http://{address}/") as response:
        pieces = response.iter_bytes()
        assert next(pieces) == b"hello"
        with pytest.raises(httpx2.RemoteProtocolError):
            next(pieces)


def test_nobody_there_and_nobody_in_time(client: httpx2.Client, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(httpx2.ReadTimeout):
            client.get(f"http://127.0.0.1:{port}/", timeout=0.2)
    with pytest.raises(httpx2.ConnectError):
        client.get(f"http://127.0.0.1:{port}/")
