"""A server is asked badly, over real sockets: the answer is short and right, and nobody else waits for it."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import resource
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import headers
import pytest
from compat.sparse import whole_checkpoint, write_sparse
from generation import tiny
from patience import fair
from written_pictures import picture

from assetctl import Registry

pytest.importorskip("starlette")
pytest.importorskip("PIL.Image")

from served import served
from starlette.responses import Response

from assetctl.server import http
from assetctl.server.safety import Access, Guard

TOKEN = "s3cret-token"


def made(folder):
    """A home with a checkpoint: each server has its own."""
    write_sparse(folder / "files" / "dawn.safetensors", whole_checkpoint())
    tiny.write_vocabulary(folder / "files" / "dawn.config" / "tokenizer")
    with Registry.open(folder / "home") as registry:
        registry.import_files(folder / "files")
    return folder / "home"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    from assetctl.server.a1111 import A1111
    from assetctl.server.openai import OpenAI
    from assetctl.server.own import OWN

    with served(made(tmp_path_factory.mktemp("made")), faces=[OWN, A1111(), OpenAI()]) as server:
        yield server


@pytest.fixture(scope="module")
def private(tmp_path_factory):
    """One that everybody may ask who has the token."""
    with served(tmp_path_factory.mktemp("empty"), access=Access(hosts=frozenset(), token=TOKEN)) as server:
        yield server


@contextlib.contextmanager
def others_answered(server, seconds=1.0):
    """While the block runs, whoever else asks is answered in time."""
    slowest, ended = [0.0], threading.Event()

    def ask():
        while not ended.is_set():
            begun = time.monotonic()
            assert server.get("/v1/health").status == 200
            slowest[0] = max(slowest[0], time.monotonic() - begun)
            time.sleep(0.02)

    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(ask)
        try:
            yield
        finally:
            ended.set()
        asking.result(fair(30))
    assert slowest[0] < fair(seconds)


def head(method="GET", path="/v1/assets", *more, host="127.0.0.1"):
    lines = [f"{method} {path} HTTP/1.1", *([f"Host: {host}"] if host else []), *more, "", ""]
    return "\r\n".join(lines).encode()


def status(answer):
    return int(answer.split(b" ", 2)[1]) if answer else None


def error(answer):
    said = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert said["version"] == 1
    assert {"code", "message", "hint"} <= said["error"].keys()
    return said["error"]


JSON = "Content-Type: application/json"

# bodies


def test_a_hundred_megabytes_are_not_taken(server):
    with others_answered(server):
        begun = time.monotonic()
        piece = b"x" * 2**20
        answer = server.raw(head("POST", "/v1/check", JSON, f"Content-Length: {100 * 2**20}"), more=[piece] * 100)
        assert (status(answer), error(answer)["code"]) == (413, "usage")
        assert time.monotonic() - begun < fair(5)


@pytest.mark.parametrize("chunk", [b"1\r\na\r\n", b"10000\r\n" + b"a" * 2**16 + b"\r\n"])
def test_a_body_without_end_is_not_taken(server, chunk, monkeypatch):
    monkeypatch.setattr("assetctl.server.safety._HEARING", 0.5)
    with others_answered(server):
        begun = time.monotonic()
        more = [chunk * (2**20 // len(chunk))] * 200
        answer = server.raw(head("POST", "/v1/check", JSON, "Transfer-Encoding: chunked"), more=more)
        assert (status(answer), error(answer)["code"]) == (411, "usage")
        assert time.monotonic() - begun < fair(5)


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 10_000, b'{"a":' * 10_000, b"[" * 10_000 + b"]" * 10_000, b'{"prompt":' + b"[" * 70 + b"]" * 70 + b"}",
        b'{"prompt": "x", "prompt": "y"}', b'{"prompt": NaN}', b'{"prompt": Infinity}', b'{"prompt": 1e999}', b"null",
        b'"x"', b"{", b"\xff\xfe{}", b'{"prompt": "\xed\xa0\x80"}', b"", b'{"loras": {"a": 1, "a": 2}, "prompt": "x"}',
        b'{"prompt": "x", "checkpoint": ' + b"9" * 10_000 + b"}", b"[" + b"[]," * 300_000 + b"[]]",
    ],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/v1/generate", "/v1/check", "/v1/prompt"])
def test_a_body_that_is_no_request_is_refused_shortly(server, path, body):
    begun = time.monotonic()
    reply = server.ask("POST", path, body, headers={"Content-Type": "application/json"})
    assert (reply.status, reply.error["code"]) == (400, "usage")
    assert len(reply.body) < 2000
    assert time.monotonic() - begun < fair(5)


def test_a_body_of_millions_of_values_is_not_taken_apart(server):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    body = b'{"image": "x", "z": [' + b"[]," * 7_000_000 + b"[]]}"
    reply = server.ask("POST", "/sdapi/v1/png-info", body, headers={"Content-Type": "application/json"})
    assert (reply.status, "values" in reply.document["detail"]) == (422, True)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 250_000


@pytest.mark.parametrize(
    ("more", "wanted"),
    [
        (["Content-Encoding: gzip", JSON], 415), (["Content-Type: text/plain"], 415), ([], 415),
        (["Content-Type: application/x-www-form-urlencoded"], 415),
        (["Content-Type: multipart/form-data; boundary=x"], 400),
        ([JSON, "Content-Length: 2"], 400), ([JSON, "Content-Length: -1"], 400), ([JSON, JSON], 400),
        ([JSON, "Transfer-Encoding: chunked"], 411), ([JSON, "Transfer-Encoding: gzip, chunked"], (400, 411, 501)),
    ],
)  # fmt: skip
def test_a_body_is_read_in_one_way_or_not_at_all(server, more, wanted):
    length = [] if any("Transfer" in each for each in more) else ["Content-Length: 14"]
    answer = server.raw(head("POST", "/v1/prompt", "Connection: close", *length, *more) + b'{"prompt":"x"}')
    assert status(answer) in (wanted if isinstance(wanted, tuple) else (wanted,)), answer


@pytest.mark.parametrize(
    "data",
    [
        # two lengths: neither hides a second request in the first
        head("POST", "/v1/prompt", JSON, "Content-Length: 5", "Transfer-Encoding: chunked")
        + b"0\r\n\r\n" + head("GET", "/v1/health"),
        head("POST", "/v1/prompt", JSON, "Content-Length: 5", "Content-Length: 6") + b"0\r\n\r\n" + head(),
        head("POST", "/v1/prompt", JSON, "Transfer-Encoding : chunked") + b"0\r\n\r\n" + head(),
        head("POST", "/v1/prompt", JSON, "Transfer-Encoding: xchunked") + b"0\r\n\r\n" + head(),
        head("GET", "/v1/assets", "X: a\r\n\tTransfer-Encoding: chunked", "Transfer-Encoding: identity") + head(),
        b"GET /v1/assets HTTP/1.1\nHost: 127.0.0.1\nTransfer-Encoding:\x0bchunked\n\n" + head(),
    ],
)  # fmt: skip
def test_no_request_hides_in_another(server, data):
    answer = server.raw(data, timeout=fair(5))
    assert answer.count(b"HTTP/1.1 ") == 1
    assert status(answer) >= 400


def test_a_body_that_does_not_come_is_not_waited_for(server, monkeypatch):
    monkeypatch.setattr("assetctl.server.safety._PATIENCE", 0.5)
    for path, kind in (("/v1/prompt", JSON), ("/v1/identify?filename=x", "Content-Type: application/octet-stream")):
        answer = server.raw(head("POST", path, kind, "Content-Length: 100") + b"{", timeout=fair(10))
        assert status(answer) in (408, 422)


FAR = "/a" * 400_000 + "/dawn"  # a path of many folders, to an asset of that name
LONG = "%_" * 400_000
DAWN = {"prompt": "x", "checkpoint": "dawn"}
BY_NAME = ("loras", "textual_inversions")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        *(("/v1/check", DAWN | {kind: {name: None}}) for kind in BY_NAME for name in (FAR, LONG)),
        *(("/v1/check", {"prompt": f"<lora:{name}:1>", "checkpoint": "dawn"}) for name in (FAR, LONG)),
        ("/v1/check", DAWN | {"sampler": LONG}), ("/v1/check", DAWN | {"sizes": LONG}), ("/v1/check", DAWN | {LONG: 1}),
        *(("/sdapi/v1/options", {"sd_model_checkpoint": name}) for name in (FAR, LONG)),
        *(("/sdapi/v1/txt2img", {"prompt": "x"} | said) for said in (
            {"sampler_name": LONG}, {"scheduler": LONG}, {"override_settings": {"sd_model_checkpoint": FAR}},
            {"override_settings": {"sd_vae": LONG}}, {"override_settings": {LONG: 1}},
            {"override_settings": {"randn_source": LONG}}, {"styles": [LONG]},
        )),
        *(("/v1/images/generations", {"prompt": "x", "model": "dawn"} | said) for said in (
            {"model": FAR}, {"size": LONG}, {"sampler": LONG}, {LONG: 1},
        )),
        ("/v1/check", b"{" + b",".join(b'"a%d":1' % each for each in range(80_000)) + b',"a7":1}'),
        ("/v1/check", DAWN | {"prompt": "[" * 3000 + "a" + ":b:0.5]" * 3000}),
        ("/v1/prompt", {"prompt": "(" * 400_000 + ")" * 400_000}),
        ("/v1/prompt", {"prompt": "<lora:a:1>" * 80_000}), ("/v1/prompt", {"prompt": "[a|b|c]" * 100_000}),
    ],
    ids=lambda said: str(said)[:40],
)  # fmt: skip
def test_what_is_long_is_not_pondered(server, path, body):
    """Nor is it told back."""
    with others_answered(server, 2):
        begun = time.monotonic()
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        reply = server.ask("POST", path, data, headers={"Content-Type": "application/json"})
        assert time.monotonic() - begun < fair(5)
    assert reply.status in (200, 400, 404, 422)
    assert len(reply.body) < 2000 or path == "/v1/prompt"


# who asks


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "localhost.", "evil.example:80", "[::2]", "", "0.0.0.1", "127.1",
             "127.0.0.1@evil.example", "localhost evil", "LOCALHOST:evil.example"],
)  # fmt: skip
def test_another_name_is_turned_away(server, host):
    reply = server.get("/v1/assets", headers={"Host": host})
    assert reply.status in (400, 403)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:1", "[::1]:7860", "LocalHost:80", "[::1]"])
def test_its_own_names_are_let_in(server, host):
    assert server.get("/v1/assets", headers={"Host": host}).status == 200


def test_no_name_or_two_are_turned_away(server):
    assert status(server.raw(head(host=None))) == 400
    assert status(server.raw(head("GET", "/v1/assets", "Host: evil.example"))) == 400
    assert status(server.raw(b"GET /v1/assets HTTP/1.0\r\n\r\n")) == 403
    assert status(server.raw(b"GET http://evil.example/v1/assets HTTP/1.1\r\nHost: evil.example\r\n\r\n")) == 403


@pytest.mark.parametrize(
    "said",
    [
        {"Origin": "null"}, {"Origin": "http://evil.example"}, {"Origin": "http://127.0.0.1:1"}, {"Origin": ""},
        {"Origin": "http://127.0.0.1"}, {"Origin": "file://"}, {"Origin": "http://["}, {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"}, {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"},
    ],
)  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_page_of_another_site_is_turned_away(server, said, method):
    reply = server.ask(method, "/v1/prompt" if method == "POST" else "/v1/assets", {"prompt": "x"}, headers=said)
    assert reply.status == 403
    assert not [name for name in reply.headers if name.startswith("access-control")]


def test_a_link_of_another_site_leads_to_pages_alone(server):
    said = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    wanted = {"/": 200, "/history": 200, "/docs": 200, "/page/found?q=x": 403, "/page/fits/dawn": 403}
    wanted |= dict.fromkeys(("/v1/pull/plan?reference=x", "/v1/assets", "/sdapi/v1/options", "/queue/status"), 403)
    assert {path: server.get(path, headers=said).status for path in wanted} == wanted


def test_a_form_of_another_site_changes_nothing(server):
    # a browser that says neither Origin nor Sec-Fetch: what a form can send is no type that is read
    for kind in ("application/x-www-form-urlencoded", "text/plain", "", None):
        reply = server.ask("POST", "/v1/generate", '{"prompt": "x"}', headers={"Content-Type": kind})
        assert reply.status == 415
    # a link from elsewhere may lead here, and changes nothing
    follow = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert server.get("/docs", headers=follow).status == 200
    assert server.ask("DELETE", "/v1/assets/dawn", headers=follow).status == 403
    own = {"Origin": f"http://127.0.0.1:{server.port}", "Sec-Fetch-Site": "same-origin"}
    assert server.post("/v1/prompt", {"prompt": "x"}, headers=own).status == 200


@pytest.mark.parametrize("method", ["OPTIONS", "PUT", "TRACE", "CONNECT", "PROPFIND", "X" * 100, "get"])
def test_other_methods_are_not_allowed(server, method):
    answer = server.raw(head(method, "/v1/assets", "Connection: close"))
    assert status(answer) in (400, 405)
    assert b"access-control" not in answer.lower()
    if status(answer) == 405:
        allowed = answer.lower().partition(b"allow: ")[2].partition(b"\r\n")[0]
        assert {each.strip() for each in allowed.split(b",")} == {b"get", b"head", b"post"}


def test_a_head_has_no_body(server):
    answer = server.raw(head("HEAD", "/v1/assets", "Connection: close"))
    assert status(answer) == 200
    assert answer.endswith(b"\r\n\r\n")


def test_a_token_is_needed_and_shown_in_the_head_alone(private):
    assert private.get("/v1/assets").status == 401
    assert private.get(f"/v1/assets?token={TOKEN}").status == 401
    assert private.get(f"/v1/assets?access_token={TOKEN}").status == 401
    for shown in ("Bearer", "Bearer x", f"Token {TOKEN}", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", "Basic !!!",
                  "Basic eA==", "Bearer \xe9"):  # fmt: skip
        reply = private.get("/v1/assets", headers={"Authorization": shown})
        assert (reply.status, reply.error["code"]) == (401, "unauthorized")
        assert TOKEN not in reply.body.decode()
    import base64

    basic = base64.b64encode(f"anybody:{TOKEN}".encode()).decode()
    for shown in (f"Bearer {TOKEN}", f"bearer {TOKEN}", f"Basic {basic}"):
        assert private.get("/v1/assets", headers={"Authorization": shown, "Host": "my.machine"}).status == 200
    foreign = {"Authorization": f"Basic {basic}", "Origin": "http://evil.example"}
    assert private.post("/v1/prompt", {"prompt": "x"}, headers=foreign).status == 403
    assert private.get("/v1/assets", headers={"Authorization": f"Bearer {TOKEN}"}).status == 200


# paths


@pytest.mark.parametrize(
    "path",
    [
        "/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "//etc/passwd", "/v1/pictures/../../etc/passwd",
        "/v1//assets",
        "/v1/pictures/%2e%2e%2f%2e%2e%2fetc%2fpasswd/file", "/..%5c..%5cwindows", "/v1/pictures/1%00.png/file",
        "/v1/assets/%00", "/" + "a" * 5000, "/v1/assets/" + "%2e%2e%2f" * 500, "/.git/config", "/static/../app.py",
        "/v1/assets;x", "/V1/assets", "/v1/pictures/file:%2f%2f%2fetc%2fpasswd/file", "/\\etc\\passwd",
    ],
)  # fmt: skip
def test_a_path_leads_nowhere_else(server, path):
    answer = server.raw(head("GET", path, "Connection: close"))
    assert status(answer) in (400, 404, 414), answer
    assert b"root:" not in answer


# connections


def test_a_flood_of_headers_is_cut_short(server):
    with others_answered(server):
        for more in ([f"X-{number}: y" for number in range(100_000)], ["X: " + "y" * 10**6]):
            assert status(server.raw(head("GET", "/v1/assets", *more))) == 400
    assert status(server.raw(b"\0" * 10_000)) == 400
    assert status(server.raw(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 100)) == 400  # TLS


def test_a_head_that_does_not_come_is_not_waited_for(server, monkeypatch):
    monkeypatch.setattr(http, "HEAD_PATIENCE", 0.5)
    for data in (b"", b"GET /v1/as", head()[:-2], head() + b"GET /v1"):
        begun = time.monotonic()
        answer = server.raw(data)
        assert 0.4 < time.monotonic() - begun < fair(4)
        assert b" 408 " in answer


@pytest.fixture
def many():
    """As many connections as a test wants."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard) if hard > 0 else 4096, hard))
    with contextlib.ExitStack() as opened:
        yield lambda server: opened.enter_context(closing(socket.create_connection(("127.0.0.1", server.port), 10)))
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_five_hundred_that_send_a_byte_a_second_keep_nobody_waiting(server, many, monkeypatch):
    monkeypatch.setattr(http, "HEAD_PATIENCE", 1.2)
    slow = [many(server) for _ in range(500)]
    with others_answered(server):
        for each in head() * 4:
            gone = 0
            for connection in slow:
                try:
                    connection.send(bytes([each]))
                except OSError:
                    gone += 1
            if gone == len(slow):
                break
            time.sleep(0.4)  # a byte a second would be no harder, and last longer
    assert gone == len(slow)


def test_more_connections_than_there_may_be_end_those_that_waited_longest(server, many, monkeypatch):
    monkeypatch.setattr(http, "MOST_CONNECTIONS", 20)
    first = many(server)
    for _ in range(60):
        many(server)
    assert server.get("/v1/health").status == 200
    first.settimeout(5)
    with contextlib.suppress(ConnectionResetError):
        assert first.recv(100) == b""


def test_an_answer_that_nobody_reads_is_not_kept(server, many, monkeypatch):
    monkeypatch.setattr(http, "READING_PATIENCE", 1.0)
    connections = [many(server) for _ in range(20)]
    for connection in connections:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
    with others_answered(server):
        for connection in connections:
            connection.sendall(head("GET", "/openapi.json") * 100)
        end = time.monotonic() + fair(20)
        ended = set()
        while len(ended) < len(connections) and time.monotonic() < end:
            for connection in set(connections) - ended:
                try:
                    connection.send(b"x")
                except OSError:
                    ended.add(connection)
            time.sleep(0.2)
    assert len(ended) == len(connections)


def test_uploads_that_come_slowly_keep_no_other_from_uploading(server, many):
    slow = [many(server) for _ in range(60)]
    for each in slow:
        kind = "Content-Type: application/octet-stream"
        each.sendall(head("POST", "/v1/identify?filename=x.png", kind, "Content-Length: 1000000") + b"x")
    time.sleep(0.3)
    with others_answered(server):
        begun = time.monotonic()
        assert server.post("/v1/identify?filename=x.bin", b"x" * 100).status == 200
        assert time.monotonic() - begun < fair(3)


def test_what_takes_a_processors_time_keeps_nobody_waiting_who_asks_little(server):
    long = json.dumps(DAWN | {"prompt": "[" * 3000 + "a" + ":b:0.5]" * 3000})
    with ThreadPoolExecutor(20) as pool:
        with others_answered(server):
            asked = [pool.submit(server.post, "/v1/check", long, timeout=fair(60)) for _ in range(20)]
            time.sleep(2)
        assert {each.result(fair(60)).status for each in asked} == {200}


def test_large_bodies_are_not_all_held_at_once(server, many, monkeypatch):
    monkeypatch.setattr("assetctl.server.app._MOST_HELD", 8 * 2**20)
    slow = [many(server) for _ in range(3)]
    for each in slow:
        size = 20 * 2**20
        each.sendall(head("POST", "/sdapi/v1/png-info", JSON, f"Content-Length: {size}") + b"x" * 2**21)
    time.sleep(0.3)
    large = {"image": "A" * 3 * 2**20}
    assert server.post("/sdapi/v1/png-info", large).status == 503
    assert server.post("/v1/prompt", {"prompt": "x"}).status == 200
    for each in slow:
        each.close()
    time.sleep(0.3)
    assert server.post("/sdapi/v1/png-info", large).status == 422


def test_a_large_body_is_read_as_any_other(server):
    image, pad = base64.b64encode(picture("red")).decode(), f'"pad": "{"A" * 3 * 2**20}"'
    for more, wanted in ((pad, 200), (f'{pad}, "pad": 1', 422), (f'{pad}, "a": NaN', 422)):
        body = f'{{"image": "{image}", {more}}}'.encode()
        first = head("POST", "/sdapi/v1/png-info", JSON, f"Content-Length: {len(body)}") + body
        answer = server.raw(first + head("GET", "/v1/health", "Connection: close"), timeout=fair(30))
        assert status(answer) == wanted
        assert b" 200 OK" in answer.partition(b"\r\n\r\n")[2]  # of what was asked behind it


def test_a_large_answer_goes_out_bit_by_bit():
    sent, large = [], os.urandom(10**6)

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": [(b"host", b"localhost")]}
    asyncio.run(Guard(Response(large), Access())(scope, receive, send))
    pieces = [bytes(each["body"]) for each in sent[1:]]
    assert b"".join(pieces) == large
    assert max(map(len, pieces)) <= 2**18
    assert [each.get("more_body", False) for each in sent[1:]] == [True] * (len(pieces) - 1) + [False]


def test_who_waits_for_the_catalog_keeps_nobody_from_asking_whether_the_server_is_there(tmp_path):
    with (
        served(made(tmp_path)) as server,
        closing(sqlite3.connect(server.registry.settings.catalog, isolation_level=None)) as other,
        ThreadPoolExecutor(8) as pool,
    ):
        other.execute("BEGIN IMMEDIATE")
        asked = [pool.submit(server.ask, "PATCH", "/v1/assets/dawn", {"notes": str(each)}) for each in range(8)]
        time.sleep(0.5)
        assert server.get("/v1/health").status == 200
        assert not any(each.done() for each in asked)
        other.execute("ROLLBACK")
        assert {each.result(fair(60)).status for each in asked} == {200}


def test_names_and_metadata_of_megabytes_are_not_told_whole(tmp_path):
    long = "lora_unet_" + "down_blocks_0_" * 100_000
    headers.write_safetensors(tmp_path / "half.safetensors", {f"{long}.lora_down.weight": [4, 8]})
    headers.write_safetensors(
        tmp_path / "told.safetensors",
        headers.lora({"lora_unet_mid_block_attentions_0_proj_in": (8, 8)}),
        {"few": "words", "many": "x" * 5_000_000, "more": "words"},
    )
    with served(made(tmp_path)) as server:
        for name in ("half", "told"):
            data = (tmp_path / f"{name}.safetensors").read_bytes()
            assert server.post(f"/v1/assets?filename={name}.safetensors", data).status == 201
        findings = server.post("/v1/check", DAWN | {"loras": {"half": 1}}).data["findings"]
        assert "damaged_lora" in {each["rule"] for each in findings}
        assert max(len(each["message"]) for each in findings) < 4000
        reply = server.get("/v1/assets/told")
        assert reply.data["metadata"] == {"few": "words"}
        assert "2 entries are too large" in reply.document["warnings"][0]["message"]


def test_who_waits_and_goes_away_leaves_nothing_behind(tmp_path, many, monkeypatch):
    monkeypatch.setenv("PAINTER_SECONDS", "1")
    with served(made(tmp_path)) as server:
        body = json.dumps({"prompt": "x", "checkpoint": "dawn"}).encode()
        waiting = [many(server) for _ in range(5)]
        for each in waiting:
            each.sendall(head("POST", "/v1/generate?wait=true", JSON, f"Content-Length: {len(body)}") + body)
        end = time.monotonic() + fair(20)
        while len(server.queue._listeners) < 5 and time.monotonic() < end:
            time.sleep(0.02)
        for each in waiting:
            each.close()
        while server.queue._listeners and time.monotonic() < end:
            time.sleep(0.02)
        assert server.queue._listeners == {}
        jobs = server.get("/v1/jobs").data
        assert {each["status"] for each in jobs} <= {"queued", "running", "done"}
        assert "queued" in {each["status"] for each in jobs}
        for each in jobs:
            server.ask("DELETE", f"/v1/jobs/{each['id']}")


def test_many_that_wait_for_a_job_and_many_that_listen_keep_nobody_waiting(tmp_path, many, monkeypatch):
    monkeypatch.setenv("PAINTER_SECONDS", "0.5")
    with served(made(tmp_path)) as server, ThreadPoolExecutor(60) as pool, others_answered(server):
        body = {"prompt": "x", "checkpoint": "dawn"}
        first = server.post("/v1/generate", body).data["id"]
        listening = [many(server) for _ in range(100)]
        for connection in listening:
            connection.sendall(head("GET", f"/v1/jobs/{first}/events"))
        waiting = [
            pool.submit(server.post, "/v1/generate?wait=true", body | {"prompt": str(number)}, timeout=fair(60))
            for number in range(60)
        ]
        time.sleep(1)
        server.await_job(first)
        for connection in listening:
            said = b""
            connection.settimeout(10)
            while b"id: end" not in said:
                said += connection.recv(2**16)

        for each in server.get("/v1/jobs?limit=1000").data:
            server.ask("DELETE", f"/v1/jobs/{each['id']}")
        assert {each.result(fair(60)).status for each in waiting} <= {200, 409}


# the end


def test_a_server_whose_home_is_gone_takes_no_more_jobs_and_says_so(tmp_path):
    home = tmp_path / "home"
    command = [sys.executable, "-m", "assetctl", "--home", home, "serve", "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline().startswith("http")
        home.rename(tmp_path / "elsewhere")
        said = process.communicate(timeout=fair(30))[1]
    finally:
        process.kill()
    assert process.returncode == 1
    assert f"its home {home} is gone" in said
    assert "Traceback" not in said
    assert not home.exists()


def test_a_server_ends_though_a_source_is_silent(tmp_path):
    """Whoever waits is cut off, without a traceback, and the home is free for the next server."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        process = subprocess.Popen(
            [sys.executable, "-m", "assetctl", "--home", tmp_path, "serve", "--port", "0"],
            env=os.environ | {"ASSETCTL_CIVITAI_ENDPOINT": address},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            port = int(process.stdout.readline().strip().rpartition(":")[2])
            with closing(socket.create_connection(("127.0.0.1", port))) as waiting:
                waiting.sendall(head("GET", "/v1/search?source=civitai&q=x"))
                silent.settimeout(30)
                asked, _ = silent.accept()
                process.terminate()
                said = process.communicate(timeout=fair(30))[1]
                asked.close()
        finally:
            process.kill()
    assert process.returncode == 0
    assert "Traceback" not in said
    assert not (tmp_path / "server.json").exists()
    with served(tmp_path) as server:
        assert server.get("/v1/health").status == 200
