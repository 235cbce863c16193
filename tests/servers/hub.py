"""A server on the loopback that speaks the parts of the Hub's API that its client uses.

Large files (`.safetensors`, pickles) are LFS files: their address redirects to a second server on another port, as the
real Hub redirects to its CDN, so that a token which follows a redirect is seen. `requests` logs every request.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, quote, unquote, urlsplit

from patience import fair

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_LFS = (".safetensors", ".sft", ".bin", ".ckpt", ".pt", ".gguf", ".jpeg")
_INFO = re.compile(r"/api/models/(?P<repo>[^/]+/[^/]+)(?:/revision/(?P<revision>[^/]+))?")
_RESOLVE = re.compile(r"/(?P<repo>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<path>.+)")
_CDN = re.compile(r"/blobs/(?P<sha256>[0-9a-f]{64})")
_RANGE = re.compile(r"bytes=(\d+)-(\d*)")
_PIECE = 16 * 1024
_COUNTING = threading.Lock()


@dataclass(frozen=True)
class Request:
    """One request as it came in, and what was answered."""

    server: str  # "hub" or "cdn"
    method: str
    path: str
    headers: Mapping[str, str]
    status: int
    sent: int

    @property
    def range(self) -> str | None:
        return self.headers.get("range")


@dataclass
class Repository:
    """One commit of files."""

    files: dict[str, bytes]
    revisions: tuple[str, ...] = ("main",)
    gated: bool = False
    private: bool = False
    tags: tuple[str, ...] = ()
    card: dict[str, object] = field(default_factory=dict)
    downloads: int = 0

    @property
    def commit(self) -> str:
        digest = hashlib.sha1(usedforsecurity=False)
        for path, content in sorted(self.files.items()):
            digest.update(path.encode("utf-8", "surrogateescape") + hashlib.sha256(content).digest())
        return digest.hexdigest()


@dataclass
class Hub:
    """What the two servers know, and how they misbehave."""

    url: str = ""
    cdn_url: str = ""
    repositories: dict[str, Repository] = field(default_factory=dict)
    answered: list[Request] = field(default_factory=list)
    #: Requests that are being answered.
    answering: int = 0
    #: The one token that opens what is gated or private.
    token: str = "hf_opensesame"
    #: Bytes per second of each download, or no limit.
    throttle: int | None = None
    #: Close the connection after that many bytes of a body, the next `cuts` times.
    cut_after: int = 0
    cuts: int = 0
    #: Statuses from the last cut on.
    after_cuts: dict[str, int] = field(default_factory=dict)
    #: Answer this status, to requests whose path contains the key.
    statuses: dict[str, int] = field(default_factory=dict)
    #: Send other bytes of the same length for these paths.
    wrong: set[str] = field(default_factory=set)
    #: Send this body instead, whatever length was promised.
    instead: dict[str, bytes] = field(default_factory=dict)
    #: Ignore `Range`, as some mirrors do.
    ranges: bool = True
    #: List no sizes and hashes, as some mirrors do.
    hashes: bool = True
    #: How many bodies are being sent, and how many were at most.
    sending: int = 0
    most_at_once: int = 0
    #: Never answer.
    silent: bool = False

    @property
    def requests(self) -> list[Request]:
        """What was asked, once what is being answered is written down: a client has its last byte before that."""
        end = time.monotonic() + fair(2)
        while self.answering > 0 and time.monotonic() < end:
            time.sleep(0.001)
        return self.answered

    def add(self, repo: str, files: Mapping[str, bytes], **options: object) -> Repository:
        """Publish a repository."""
        self.repositories[repo] = Repository(dict(files), **options)
        return self.repositories[repo]

    def downloads(self, path: str = "") -> list[Request]:
        """Requests that were sent the content of a file whose address contains `path`."""
        return [r for r in self.requests if r.method == "GET" and r.status in (200, 206) and path in r.path]

    def blob(self, content: bytes) -> str:
        """Address path of an LFS file on the CDN."""
        return f"/blobs/{hashlib.sha256(content).hexdigest()}"


@contextmanager
def serve_hub() -> Iterator[Hub]:
    """Run both servers as long as the block lasts."""
    hub = Hub()
    servers = [_Server(("127.0.0.1", 0), _handler(hub, name)) for name in ("hub", "cdn")]
    hub.url, hub.cdn_url = (f"http://127.0.0.1:{server.server_address[1]}" for server in servers)
    threads = [threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True) for server in servers]
    for thread in threads:
        thread.start()
    try:
        yield hub
    finally:
        hub.silent = False
        for server, thread in zip(servers, threads, strict=True):
            server.shutdown()
            server.server_close()
            thread.join()


def git_oid(content: bytes) -> str:
    """Name of a git blob."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def _handler(hub: Hub, server: str) -> type[BaseHTTPRequestHandler]:
    return type("Handler", (_Handler,), {"hub": hub, "server_name": server})


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_args: object) -> None:
        """Clients that hang up are what the tests are about."""


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    server_name: str
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        with _COUNTING:
            self.hub.answering += 1
        try:
            self._answer()
        finally:
            with _COUNTING:
                self.hub.answering -= 1

    def do_GET(self) -> None:
        self.do_HEAD()

    def log_message(self, *_args: object) -> None:
        pass

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        while self.hub.silent:
            time.sleep(0.02)
        for part, status in self.hub.statuses.items():
            if part in self.path:
                return self._refuse(status)
        if self.server_name == "cdn":
            return self._answer_cdn(path)
        raw = urlsplit(self.path).path
        if raw in ("/api/whoami-v2", "/api/models"):
            return self._who() if raw.endswith("v2") else self._search()
        if match := _INFO.fullmatch(raw):
            return self._answer_info(match["repo"], unquote(match["revision"] or "main"))
        if match := _RESOLVE.fullmatch(raw):
            return self._answer_file(match["repo"], unquote(match["revision"]), unquote(match["path"]))
        return self._refuse(404)

    def _repository(self, name: str, revision: str) -> Repository | None:
        """The repository if this request may see it; refuses otherwise."""
        repository = self.hub.repositories.get(name)
        may = self.headers.get("authorization") == f"Bearer {self.hub.token}"
        if repository is None or (repository.private and not may):
            self._refuse(404 if may else 401, code="RepoNotFound")
        elif repository.gated and not may and "/resolve/" in self.path:
            self._refuse(403, code="GatedRepo")
        elif revision not in (*repository.revisions, repository.commit):
            self._refuse(404, code="RevisionNotFound")
        else:
            return repository
        return None

    def _answer_info(self, name: str, revision: str) -> None:
        repository = self._repository(name, revision)
        if repository is None:
            return
        detailed = "blobs=" in self.path and self.hub.hashes
        siblings = [_sibling(path, content, detailed=detailed) for path, content in repository.files.items()]
        about = {
            "id": name,
            "modelId": name,
            "sha": repository.commit,
            "siblings": siblings,
            "author": name.split("/", maxsplit=1)[0],
        }
        about |= {"gated": "auto" if repository.gated else False}
        about |= {"tags": list(repository.tags), "cardData": repository.card}
        self._send(json.dumps(about).encode(), {"content-type": "application/json"})

    def _answer_file(self, name: str, revision: str, path: str) -> None:
        repository = self._repository(name, revision)
        if repository is None:
            return
        if path not in repository.files:
            self._refuse(404, code="EntryNotFound")
            return
        content = repository.files[path]
        headers = {"x-repo-commit": repository.commit, "accept-ranges": "bytes"}
        if not path.endswith(_LFS):
            self._send_file(path, content, {**headers, "etag": f'"{git_oid(content)}"'})
            return
        sha256 = hashlib.sha256(content).hexdigest()
        headers |= {"x-linked-etag": f'"{sha256}"', "x-linked-size": str(len(content))}
        headers["location"] = f"{self.hub.cdn_url}/blobs/{sha256}?file={quote(path)}"
        self._send(b"", headers, 302)

    def _who(self) -> None:
        known = self.headers.get("authorization") == f"Bearer {self.hub.token}"
        content = b'{"name": "ann", "type": "user"}' if known else b'{"error": "Invalid credentials"}'
        self._send(content, {"content-type": "application/json"}, 200 if known else 401)

    def _search(self) -> None:
        asked = {key: values[-1] for key, values in parse_qs(urlsplit(self.path).query).items()}
        found = [
            {"id": repo, "tags": list(known.tags), "downloads": known.downloads, "author": repo.split("/")[0]}
            for repo, known in self.hub.repositories.items()
            if asked["search"].lower() in repo.lower()
            and asked.get("filter", "") in ("", *known.tags)
            and asked.get("pipeline_tag", "") in ("", *known.tags)
        ]
        found.sort(key=lambda model: -model["downloads"])
        self._send(json.dumps(found[: int(asked["limit"])]).encode(), {"content-type": "application/json"})

    def _answer_cdn(self, path: str) -> None:
        match = _CDN.fullmatch(path)
        for repository in self.hub.repositories.values():
            for name, content in repository.files.items():
                if match and hashlib.sha256(content).hexdigest() == match["sha256"]:
                    self._send_file(name, content, {"etag": f'"{match["sha256"]}"'})
                    return
        self._refuse(404)

    def _send_file(self, path: str, content: bytes, headers: dict[str, str]) -> None:
        if path in self.hub.wrong:
            content = bytes(byte ^ 0xFF for byte in content)
        content = self.hub.instead.get(path, content)
        match = _RANGE.fullmatch(self.headers.get("range", "")) if self.hub.ranges else None
        if match is None:
            self._send(content, headers)
            return
        start = int(match[1])
        if start >= len(content):
            self._send(b"", {"content-range": f"bytes */{len(content)}"}, 416)
            return
        end = min(int(match[2]) + 1, len(content)) if match[2] else len(content)
        headers["content-range"] = f"bytes {start}-{end - 1}/{len(content)}"
        self._send(content[start:end], headers, 206)

    def _refuse(self, status: int, code: str | None = None) -> None:
        self._send(b"", {"x-error-code": code} if code else {}, status)

    def _send(self, body: bytes, headers: dict[str, str], status: int = 200) -> None:
        self.send_response(status)
        for name, value in {**headers, "content-length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self._log(status, self._send_body(body) if self.command == "GET" else 0)

    def _send_body(self, body: bytes) -> int:
        """Bytes that went out before the body ended, was cut, or the client had enough."""
        is_cut = self.hub.cuts > 0 and len(body) > self.hub.cut_after
        if is_cut:
            self.hub.cuts -= 1
            self.hub.statuses |= {} if self.hub.cuts else self.hub.after_cuts
        self.hub.sending += 1
        self.hub.most_at_once = max(self.hub.most_at_once, self.hub.sending)
        sent = 0
        end = self.hub.cut_after if is_cut else len(body)
        try:
            while sent < end:
                piece = body[sent : min(end, sent + _PIECE)]
                self.wfile.write(piece)
                sent += len(piece)
                if self.hub.throttle:
                    time.sleep(len(piece) / self.hub.throttle)
            self.wfile.flush()
        except OSError:
            self.close_connection = True
        self.hub.sending -= 1
        if is_cut:
            self.close_connection = True
        return sent

    def _log(self, status: int, sent: int) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.hub.answered.append(Request(self.server_name, self.command, self.path, headers, status, sent))


def _sibling(path: str, content: bytes, *, detailed: bool) -> dict[str, object]:
    if not detailed:
        return {"rfilename": path}
    about: dict[str, object] = {"rfilename": path, "size": len(content), "blobId": git_oid(content)}
    if path.endswith(_LFS):
        about["lfs"] = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 134}
    return about
