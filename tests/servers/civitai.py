"""A server on the loopback that speaks the parts of Civitai's API that assetctl uses.

Downloads redirect to a second server on another port, as the real ones do, so that a token which follows is seen.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass
class Civitai:
    """What both servers know, and how they misbehave."""

    url: str = ""
    storage_url: str = ""
    models: dict[int, dict[str, Any]] = field(default_factory=dict)
    versions: dict[int, dict[str, Any]] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    #: Server, path and `Authorization` of each request.
    requests: list[tuple[str, str, str | None]] = field(default_factory=list)
    token: str = "opensesame"
    #: Versions that only the token opens; without it comes the login page, with status 200.
    private: set[int] = field(default_factory=set)
    #: Versions that nobody may have yet.
    early: set[int] = field(default_factory=set)
    #: Send this body to whoever downloads, with this type.
    instead: tuple[bytes, str] | None = None
    #: Fail, whatever is asked.
    broken: bool = False

    def add(self, model: int, version: int, *files: tuple[str, bytes], **said: Any) -> dict[str, Any]:
        """Publish a version with its files; `model_said` goes to the model."""
        about = {"type": "LORA", "nsfw": False, **said.pop("model_said", {})}
        made = {
            "id": version,
            "modelId": model,
            "name": "v1",
            "baseModel": "SDXL 1.0",
            "trainedWords": [],
            "air": f"urn:air:sdxl:lora:civitai:{model}@{version}",
            "availability": "Public",
            "model": {"name": "Model", "type": about["type"]},
            **said,
        }
        made["files"] = [self._file(version, number, *file) for number, file in enumerate(files)]
        self.versions[version] = made
        known = self.models.setdefault(model, {"id": model, "name": "Model", "modelVersions": [], **about})
        known["modelVersions"].insert(0, {key: value for key, value in made.items() if key != "modelId"})
        return made

    def _file(self, version: int, number: int, name: str, content: bytes) -> dict[str, Any]:
        self.files[f"{version}-{number}"] = content
        return {
            "id": version * 10 + number,
            "name": name,
            "type": "Model",
            "sizeKB": len(content) / 1024,
            "primary": number == 0,
            "metadata": {"format": "SafeTensor" if name.endswith("safetensors") else "PickleTensor", "fp": "fp16"},
            "pickleScanResult": "Success",
            "virusScanResult": "Success",
            "hashes": {"SHA256": hashlib.sha256(content).hexdigest().upper(), "AutoV2": "0"},
            "downloadUrl": f"{self.url}/api/download/models/{version}?fileId={version * 10 + number}",
        }

    def publish(
        self, model: int, version: int, files: list[dict[str, Any]], contents: list[bytes], **said: Any
    ) -> None:
        """Publish a version whose files are told as the real answers tell them: the first by no number."""
        made = self.add(
            model, version, *((file["name"], each) for file, each in zip(files, contents, strict=True)), **said
        )
        for at, (file, given) in enumerate(zip(made["files"], files, strict=True)):
            words = f"?type={file['type']}" if at else ""
            file |= {"downloadUrl": f"{self.url}/api/download/models/{version}{words}", **given}
            file["metadata"] = dict(given.get("metadata", {}))

    def paths(self, server: str) -> list[str]:
        return [path for name, path, _ in self.requests if name == server]


@contextmanager
def serve_civitai() -> Iterator[Civitai]:
    """Run both servers as long as the block lasts."""
    civitai = Civitai()
    servers = [
        _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"civitai": civitai, "name": name}))
        for name in ("api", "storage")
    ]
    civitai.url, civitai.storage_url = (f"http://127.0.0.1:{server.server_address[1]}" for server in servers)
    threads = [threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True) for server in servers]
    for thread in threads:
        thread.start()
    try:
        yield civitai
    finally:
        for server, thread in zip(servers, threads, strict=True):
            server.shutdown()
            server.server_close()
            thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_args: object) -> None:
        """Clients that hang up are what some tests are about."""


class _Handler(BaseHTTPRequestHandler):
    civitai: Civitai
    name: str

    def do_GET(self) -> None:
        token = self.headers.get("Authorization")
        self.civitai.requests.append((self.name, self.path, token))
        self.path = self.path.removeprefix("/gate")  # as if a gateway stood before it
        if self.civitai.broken:
            self._send(500, b"", "text/plain")
        elif self.name == "storage":
            self._stored()
        elif self.path.startswith("/led?to="):
            self._redirect(self.path.removeprefix("/led?to="))
        elif self.path == "/login":
            self._send(200, b"<!DOCTYPE html><html><title>Log in</title></html>", "text/html")
        elif match := re.fullmatch(r"/api/download/models/(\d+)", urlsplit(self.path).path):
            self._download(int(match[1]), token)
        else:
            self._api(urlsplit(self.path).path.removeprefix("/api/v1/"))

    def _search(self) -> None:
        """Models whose names hold the words, of the types and base models that are asked for."""
        asked = parse_qs(urlsplit(self.path).query)
        types, bases = asked.get("types"), asked.get("baseModels")
        found = []
        for model in self.civitai.models.values():
            versions = [each for each in model["modelVersions"] if bases is None or each["baseModel"] in bases]
            named = asked["query"][0].lower() in model["name"].lower()
            if named and versions and (types is None or model["type"] in types):
                found.append({**model, "modelVersions": versions})
        body = json.dumps({"items": found[: int(asked["limit"][0])], "metadata": {}}).encode()
        self._send(200, body, "application/json")

    def _api(self, path: str) -> None:
        kind, _, name = path.partition("/")
        if path == "me":
            known = self.headers.get("Authorization") == f"Bearer {self.civitai.token}"
            self._send(200 if known else 401, b'{"username": "ann"}' if known else b"{}", "application/json")
            return
        if path == "models":
            self._search()
            return
        known: Any = None
        if kind == "models":
            known = self.civitai.models.get(int(name))
        elif name.startswith("by-hash/"):
            digits = name.removeprefix("by-hash/").upper()
            known = next((v for v in self.civitai.versions.values() if digits in json.dumps(v["files"])), None)
        else:
            known = self.civitai.versions.get(int(name))
        content = json.dumps(known if known is not None else {"error": "Not found"}).encode()
        self._send(404 if known is None else 200, content, "application/json")

    def _download(self, version: int, token: str | None) -> None:
        if version in self.civitai.early:
            self._send(403, b'{"error": "early access"}', "application/json")
        elif version in self.civitai.private and token != f"Bearer {self.civitai.token}":
            self._redirect(f"{self.civitai.url}/login")
        else:
            number = self._meant(version)
            if number is None:
                self._send(404, b'{"error": "File not found"}', "application/json")
            else:
                self._redirect(f"{self.civitai.storage_url}/{version}-{number}?X-Amz-Signature=secret")

    def _meant(self, version: int) -> int | None:
        """Which file of a version is asked for: by its number, else by words, else the first that the page shows."""
        asked = {key: values[-1] for key, values in parse_qs(urlsplit(self.path).query).items()}
        files = self.civitai.versions[version]["files"]
        if "fileId" in asked:
            return next((at for at, file in enumerate(files) if str(file["id"]) == asked["fileId"]), None)
        words = {key: asked[key] for key in ("type", "format", "size", "fp") if key in asked}
        fits = [
            at for at, file in enumerate(files) if words.items() <= {**file["metadata"], "type": file["type"]}.items()
        ]
        return min(fits, key=lambda at: not files[at]["primary"], default=None)

    def _redirect(self, address: str) -> None:
        self.send_response(307)
        self.send_header("location", address)
        self.send_header("content-length", "0")
        self.end_headers()

    def _stored(self) -> None:
        content, kind = self.civitai.files.get(urlsplit(self.path).path[1:]), "application/octet-stream"
        if self.civitai.instead is not None:
            content, kind = self.civitai.instead
        if content is None:
            self._send(404, b"", "text/plain")
            return
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if asked is None:
            self._send(200, content, kind)
        else:
            start, end = int(asked[1]), int(asked[2] or len(content)) + 1
            part = content[start:end]
            self._send(206, part, kind, {"content-range": f"bytes {start}-{start + len(part) - 1}/{len(content)}"})

    def _send(self, status: int, content: bytes, kind: str, extra: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"content-type": kind, "content-length": str(len(content)), **(extra or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing."""
