"""Downloads from the loopback against `curl | openssl`, and `sync` where all is here."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

from material import write_header
from measure import BIN, Row, interleaved, seconds

from assetctl.catalog import Catalog

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: Bytes of the file that is downloaded, assets that are synced, and the seconds that they may take.
LARGE, ASSETS, SYNC_SECONDS = 2_000_000_000, 500, 2.0


def rows(folder: Path) -> Iterator[Row]:
    """The promises, and what the disk makes of the first."""
    yield from _download(folder)
    yield _sync(folder)


def _download(folder: Path) -> Iterator[Row]:
    model = folder / "large.safetensors"
    header = json.dumps({"x": {"dtype": "U8", "shape": [LARGE], "data_offsets": [0, LARGE]}}).encode()
    with model.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        block = os.urandom(2**20)
        for start in range(0, LARGE, len(block)):
            file.write(block[: LARGE - start])
    home = {"ASSETCTL_HOME": str(folder / "home"), "NO_PROXY": "127.0.0.1"}
    with _serve(model) as url:

        def pull(reference: str, **more: str) -> float:
            shutil.rmtree(folder / "home", ignore_errors=True)
            Catalog(folder / "home" / "catalog.db").close()  # before it counts
            os.sync()  # what an earlier run left to be written, or freed, is not counted against this one
            return seconds([BIN / "assetctl", "pull", reference, "--quiet"], home | more)

        def ours() -> float:
            return pull(f"{url}/large.safetensors")

        def from_hub() -> float:
            return pull("hf://ann/large", HF_ENDPOINT=url)

        def piped() -> float:
            os.sync()
            return seconds(["sh", "-c", f"curl -s {url}/large.safetensors | openssl dgst -sha256"], home)

        def written() -> float:
            out = folder / "written"
            os.sync()
            took = seconds(
                ["sh", "-c", f"curl -s {url}/large.safetensors -o {out} && openssl dgst -sha256 {out} && sync {out}"],
                home,
            )
            out.unlink()
            return took

        def hf() -> float:
            shutil.rmtree(folder / "hf", ignore_errors=True)
            os.sync()
            own = {"HF_ENDPOINT": url, "HF_HOME": str(folder / "hf"), "HF_HUB_DISABLE_XET": "1"}
            fetch = f"{BIN}/hf download ann/large large.safetensors --local-dir {folder}/hf/out"
            return seconds(
                ["sh", "-c", f"{fetch} && openssl dgst -sha256 {folder}/hf/out/large.safetensors"], home | own
            )

        plain, hub, pipe, disk, theirs = interleaved(5, ours, from_hub, piped, written, hf)
    yield Row("pull 2 GB, verified and in the catalog", "curl | openssl dgst -sha256", plain, pipe, 1.15)
    yield Row("the same", "curl -o, openssl dgst -sha256, sync", plain, disk, 1.15)
    yield Row("the same from a Hub", "curl | openssl dgst -sha256", hub, pipe, 1.15)
    yield Row("the same from a Hub", "hf download, openssl dgst -sha256", hub, theirs, 1.0)


def _sync(folder: Path) -> Row:
    project = folder / "project"
    project.mkdir()
    text = ""
    for number in range(ASSETS):
        table = {"emb_params": {"dtype": "F32", "shape": [1 + number, 768]}}
        write_header(project / f"e{number}.safetensors", table, {})
        text += f'[assets.e{number}]\nsource = "./e{number}.safetensors"\n'
    (project / "registry.toml").write_text(text)
    home = {"ASSETCTL_HOME": str(folder / "synced")}
    command = [BIN / "assetctl", "sync", "--file", project / "registry.toml", "--quiet"]
    seconds(command, home)
    (took,) = interleaved(5, lambda: seconds(command, home))
    return Row(f"sync, {ASSETS} assets that are here", f"{SYNC_SECONDS:.0f} seconds", took, SYNC_SECONDS, 1.0)


@contextmanager
def _serve(path: Path) -> Iterator[str]:
    """A server of one file that costs as little as one can: the kernel sends it."""
    with path.open("rb") as file:
        known = {"path_of_file": path, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), known))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    path_of_file: Path
    sha256: str
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        if self.path.startswith("/api/"):
            self._describe()
        else:
            self._answer()

    def _describe(self) -> None:
        """What the Hub says of a repository with this one file."""
        size = self.path_of_file.stat().st_size
        lfs = {"sha256": self.sha256, "size": size, "pointerSize": 134}
        file = {"rfilename": "large.safetensors", "size": size, "blobId": "0" * 40, "lfs": lfs}
        body = json.dumps({"id": "ann/large", "sha": "0" * 40, "siblings": [file]}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _answer(self) -> None:
        size = self.path_of_file.stat().st_size
        match = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        start = int(match[1]) if match else 0
        end = int(match[2]) + 1 if match and match[2] else size
        self.send_response(206 if match else 200)
        if match:
            self.send_header("content-range", f"bytes {start}-{end - 1}/{size}")
        self.send_header("content-length", str(end - start))
        self.send_header("etag", f'"{self.sha256}"')
        self.send_header("x-repo-commit", "0" * 40)
        self.end_headers()
        if self.command == "HEAD":
            return
        with self.path_of_file.open("rb") as file:
            try:
                while start < end:
                    start += os.sendfile(self.connection.fileno(), file.fileno(), start, min(2**22, end - start))
            except OSError:  # who only asked for the name has hung up
                self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Say nothing."""
