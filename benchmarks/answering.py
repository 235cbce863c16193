"""How fast a server lists assets: requests a second on one core, and a page of many beside a page of few.

The server is a process of its own, bound to one core where the system can; whoever asks is another process, on
another core where there is one. `python benchmarks/run.py answering` prints the ratios.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from measure import Row

from assetctl.catalog import Catalog, NewAsset
from assetctl.types import AssetFile, Identification

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Assets of a small home and of a large one, and seconds that requests are counted.
FEW, MANY, SECONDS = 1_000, 100_000, 10.0

#: Pages that are compared: as the page of a browser, and a program, ask for them.
PAGES = {
    "first": "/v1/assets",
    "of a family": "/v1/assets?kind=lora&family=sdxl",
    "the largest first": "/v1/assets?sort=size",
    "the latest first": "/v1/assets?sort=added",
    "in the middle": "/v1/assets?after=asset-0{middle:05}",
    "search": "/v1/assets?q=asset",
}

_SERVER = """
import os, socket, sys
from assetctl import Registry
from assetctl.server.app import make_app
from assetctl.server.http import serve
from assetctl.server.own import OWN
from assetctl.server.queue import Queue
from assetctl.server.safety import Access
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
with Registry.open(sys.argv[1], paths=False) as registry, socket.create_server(("127.0.0.1", 0)) as listening:
    app = make_app(registry, Queue(registry), [OWN], Access())
    serve(app, [listening], ready=lambda: print(listening.getsockname()[1], flush=True))
"""


def rows(folder: Path, runs: int = 40) -> Iterator[Row]:
    """Requests a second, and each page."""
    homes = {count: folder / str(count) for count in (FEW, MANY)}
    for count, home in homes.items():
        _fill(home, count)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    with _serving(homes[FEW]) as few, _serving(homes[MANY]) as many:
        for count, server in ((FEW, few), (MANY, many)):
            took, busy = _each(server)
            yield Row(f"GET /v1/assets of {count:,}, one core", "5 ms: 200 a second", took, 1 / 200, 1.0)
            yield Row(f"GET /v1/assets of {count:,}, its core busy", "5 ms: 200 a second", busy, 1 / 200, 1.0)
        for name, path in PAGES.items():
            taken = [
                [_page(server, path.format(middle=count // 2)) for count, server in ((FEW, few), (MANY, many))]
                for _ in range(runs + 1)
            ][1:]
            small, large = map(statistics.median, zip(*taken, strict=True))
            yield Row(f"list page, {name}, of {MANY:,}", f"of {FEW:,}", large, small, 1.5)


class _Server(NamedTuple):
    pid: int
    port: int

    @property
    def busy(self) -> float:
        """Seconds that it has had a processor: what others do on this machine is no part of it."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _fill(home: Path, count: int) -> None:
    home.mkdir()
    with Catalog(home / "catalog.db") as catalog:
        catalog.add([_asset(home, number) for number in range(count)])


def _asset(home: Path, number: int) -> NewAsset:
    kind = ("lora", "lora", "lora", "embedding", "checkpoint", "vae")[number % 6]
    path = home / f"asset-{number:06}.safetensors"
    file = AssetFile(str(path), 10_000 + number, 1, sha256=f"{number:064x}")
    found = Identification(kind, ("sd1", "sdxl", "flux1")[number % 3], format="safetensors", confidence="certain")
    return NewAsset(
        path.stem, str(path), (file,), found, in_store=False, sha256=file.sha256, tags=(f"tag {number % 50}",)
    )


@contextlib.contextmanager
def _serving(home: Path) -> Iterator[_Server]:
    """A server of a home, while the block runs."""
    process = subprocess.Popen([sys.executable, "-c", _SERVER, str(home)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield _Server(process.pid, int(process.stdout.readline()))
    finally:
        process.terminate()
        process.wait(30)


def _each(server: _Server) -> tuple[float, float]:
    """Seconds of one request, over one connection, and of its core; raises at any that is not answered well."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    number, begun, before = 0, time.perf_counter(), server.busy
    while time.perf_counter() - begun < SECONDS:
        _asked(connection, "/v1/assets")
        number += 1
    return (time.perf_counter() - begun) / number, (server.busy - before) / number


def _page(server: _Server, path: str) -> float:
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    connection.connect()
    begun = time.perf_counter()
    _asked(connection, path)
    took = time.perf_counter() - begun
    connection.close()
    return took


def _asked(connection: http.client.HTTPConnection, path: str) -> None:
    connection.request("GET", path)
    answer = connection.getresponse()
    data = answer.read()
    if answer.status != 200 or len(data) < 1000:
        raise ValueError(f"{path}: {answer.status} {data[:200]!r}")
