"""A server of a home on the loopback, in a thread of the test, whose worker paints plain squares."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import socket
import sys
import threading
import time
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from patience import fair

#: The worker that paints.
PAINTING = Path(__file__).with_name("painting.py")


class Reply:
    """What was answered."""

    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, {name.lower(): value for name, value in headers}, body

    @property
    def document(self):
        return json.loads(self.body)

    @property
    def data(self):
        assert "data" in self.document, self.body
        return self.document["data"]

    @property
    def error(self):
        return self.document["error"]


class Served:
    """A running server."""

    def __init__(self, registry, queue, port):
        self.registry, self.queue, self.port = registry, queue, port
        self.url = f"http://127.0.0.1:{port}"
        self.replies = []

    def ask(self, method, path, body=None, headers=None, timeout=None):
        """Ask once; a body that is no text is sent as JSON, bytes as a file."""
        said = {"Host": f"127.0.0.1:{self.port}"}
        if isinstance(body, bytes):
            said["Content-Type"] = "application/octet-stream"
        elif body is not None:
            body = body if isinstance(body, str) else json.dumps(body)
            said["Content-Type"] = "application/json"
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout or fair(120))) as connection:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            data = body.encode() if isinstance(body, str) else body
            if data is not None:
                said["Content-Length"] = str(len(data))
            for name, value in (said | (headers or {})).items():
                if value is not None:
                    connection.putheader(name, value)
            connection.endheaders(data)
            answer = connection.getresponse()
            reply = Reply(answer.status, answer.getheaders(), answer.read())
        self.replies.append((method, path, reply))
        return reply

    def get(self, path, **options):
        return self.ask("GET", path, **options)

    def post(self, path, body, **options):
        return self.ask("POST", path, body, **options)

    def raw(self, data, *, timeout=None, more=()):
        """Send bytes as they are, and all that comes back until the connection ends."""
        with closing(socket.create_connection(("127.0.0.1", self.port), timeout=timeout or fair(15))) as connection:
            found = b""
            try:
                connection.sendall(data)
                for each in more:
                    connection.sendall(each)
            except OSError:  # it hears no more: what did it say?
                pass
            try:
                while chunk := connection.recv(2**16):
                    found += chunk
            except ConnectionResetError:
                pass
            return found

    def await_job(self, number, *states, seconds=120):
        end = time.monotonic() + fair(seconds)
        while time.monotonic() < end:
            if (job := self.get(f"/v1/jobs/{number}").data)["status"] in (states or ("done", "failed", "cancelled")):
                return job
            time.sleep(0.02)
        raise AssertionError(f"job {number} is {job['status']}")


@contextmanager
def served(home, *, access=None, faces=None, **variables):
    """A server of a home while the block runs, whose worker paints, as the environment's `variables` say."""
    from assetctl import Registry
    from assetctl.server.app import make_app
    from assetctl.server.http import make_server
    from assetctl.server.own import OWN
    from assetctl.server.page import page_face, page_routes
    from assetctl.server.queue import Queue
    from assetctl.server.safety import Access

    with (
        pytest.MonkeyPatch.context() as environment,
        contextlib.ExitStack() as opened,
        socket.create_server(("127.0.0.1", 0), backlog=1024) as listening,
    ):
        for name, value in variables.items():
            environment.setenv(name, value)
        registry = opened.enter_context(Registry.open(home, paths=False))
        queue = Queue(registry, [sys.executable, str(PAINTING), str(home)])
        queue.start()
        ready = threading.Event()
        every = [*(faces or [OWN]), page_face()]
        app = make_app(registry, queue, every, access or Access(), page_routes(registry, queue))
        server = make_server(app, ready=ready.set)
        thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
        thread.start()
        assert ready.wait(fair(10))
        try:
            yield Served(registry, queue, listening.getsockname()[1])
        finally:
            server.should_exit = True
            thread.join(fair(10))
            queue.close()
            assert not thread.is_alive()


def events(server, number, last=None):
    """The events of a job: id, event, data."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=fair(120))
    connection.request("GET", f"/v1/jobs/{number}/events", headers={"Last-Event-ID": last} if last else {})
    answer = connection.getresponse()
    if answer.status != 200:
        return answer.status
    assert answer.getheader("content-type").startswith("text/event-stream")
    blocks = answer.read().decode().split("\n\n")
    connection.close()
    found = [dict(line.split(": ", 1) for line in block.splitlines()) for block in blocks if block and block[0] != ":"]
    return [(each["id"], each["event"], json.loads(each["data"])) for each in found]


def see_described(server):
    """Every answer that tests were given is what `/openapi.json` says."""
    said = server.get("/openapi.json").document
    assert said["openapi"] == "3.1.0"
    import jsonschema

    checked = 0
    for method, path, reply in server.replies:
        operation = next((each for each in map(_operation(said, method), _patterns(said)) if each(path)), None)
        if operation is None or reply.headers.get("content-type") != "application/json":
            continue
        answers = operation(path)["responses"]
        answer = answers.get(str(reply.status), answers["default"])
        schema = answer["content"]["application/json"]["schema"] | {"components": said["components"]}
        jsonschema.Draft202012Validator(schema).validate(reply.document)
        checked += 1
    assert checked


def _patterns(said):
    return sorted(said["paths"], key=lambda path: "{" in path)


def _operation(said, method):
    def of(pattern):
        matches = re.compile(re.sub(r"\\\{\w+\\\}", ".+", re.escape(pattern)))
        operation = said["paths"][pattern].get(method.lower())
        return lambda path: operation if operation and matches.fullmatch(path.partition("?")[0]) else None

    return of
