"""How fast a server lists assets: requests a second on one core, and a page of many assets beside a page of few.

The server is a process of its own, bound to one core where the system can; whoever asks is another process, on
another core where there is one. Wall time is what a client waits for, on an idle machine; the time of the server's
processor is told too, which other programs change little. `python benchmarks/run.py answering` prints the ratios.
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

from assetctl.catalog import Catalog, GenerationEntry, NewAsset
from assetctl.request import PlannedUse
from assetctl.types import AssetFile, AssetUse, Identification

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Assets of a small home and of a large one, and seconds that requests are counted.
FEW, MANY, SECONDS = 1_000, 100_000, 10.0

#: Pages that are compared: as a program asks for them, and a browser. `{middle}` is the asset in the middle.
PAGES = {
    "first": "/v1/assets",
    "in the middle": "/v1/assets?after={middle}",
    "of a family": "/v1/assets?kind=lora&family=sdxl",
    "of a base model": "/v1/assets?base_model=pony",
    "of a format": "/v1/assets?format=pickle",
    "in the store": "/v1/assets?in_store=true",
    "the largest first": "/v1/assets?sort=size",
    "the same, in the middle": "/v1/assets?sort=size&after={middle}",
    "the largest embeddings": "/v1/assets?kind=embedding&sort=size",
    "the latest first": "/v1/assets?sort=added",
    "the latest of the store": "/v1/assets?in_store=true&sort=added",
    "last used": "/v1/assets?sort=used",
    "the same, in the middle ": "/v1/assets?sort=used&after={middle}",
    "of what has no family, last used": "/v1/assets?family=&sort=used",
    "of a tag": "/v1/assets?tag=odd",
    "of a tag, the largest first": "/v1/assets?tag=odd&sort=size",
    "that fits a checkpoint": "/v1/assets?fits={checkpoint}",
    "search": "/v1/assets?q=asset",
    "search of loras": "/v1/assets?q=asset&kind=lora",
    "search, from the 900th on": "/v1/assets?q=asset&offset=900",
    "the library": "/",
    "the library, largest loras": "/?kind=lora&sort=size",
    "the library, search": "/?q=asset",
    "an asset": "/assets/{middle}",
}

_SERVER = """
import os, socket, sys
from assetctl import Registry
from assetctl.server.app import make_app
from assetctl.server.http import serve
from assetctl.server.own import OWN
from assetctl.server.page import page_routes
from assetctl.server.queue import Queue
from assetctl.server.safety import Access
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
with Registry.open(sys.argv[1], paths=False) as registry, socket.create_server(("127.0.0.1", 0)) as listening:
    queue = Queue(registry)
    app = make_app(registry, queue, [OWN], Access(), page_routes(registry, queue))
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
            few_took, many_took = [], []
            for _ in range(runs + 1):
                few_took.append(_page(few, path, FEW))
                many_took.append(_page(many, path, MANY))
            small, large = _medians(few_took[1:]), _medians(many_took[1:])
            for what, ours, theirs in zip(("wall", "processor"), large, small, strict=True):
                yield Row(f"page, {name}: {what}", f"of {FEW:,} in place of {MANY:,}", ours, theirs, 1.5)


class _Server(NamedTuple):
    pid: int
    port: int

    @property
    def busy(self) -> float:
        """Seconds that it has had a processor: what others do on this machine is no part of it."""
        tasks = Path(f"/proc/{self.pid}/task").glob("*/schedstat")
        return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9


def _fill(home: Path, count: int) -> None:
    home.mkdir()
    with Catalog(home / "catalog.db") as catalog:
        catalog.add([_asset(home, number, count) for number in range(count)])
        with catalog.write() as writer:
            for number, asset in enumerate(catalog.read.assets(limit=count // 4, kind="lora")):
                use = PlannedUse.of(AssetUse("lora", asset, 1.0))
                picture = GenerationEntry([use], "a cat", "", {"seed": number}, f"/{number}.png", "", {})
                writer.generations.record(picture)


_KINDS = ("lora",) * 6 + ("embedding", "embedding", "checkpoint", "vae", "controlnet", "upscaler")
_FAMILIES = (
    ("sd1", "SD 1.5"), ("sdxl", "Pony"), ("sdxl", None), ("sdxl", "Illustrious"), ("flux1", None), (None, None),
)  # fmt: skip


def _asset(home: Path, number: int, count: int) -> NewAsset:
    kind, (family, base_model) = _KINDS[number % 12], _FAMILIES[number // 5 % 6]
    in_store = number % 9 == 0
    path = (home / "models" if in_store else home) / f"asset-{number:06}.safetensors"
    file = AssetFile(str(path), 10_000 + number * 7919 % count, 1, sha256=f"{number:064x}")
    form = "pickle" if number % 7 == 0 else "safetensors"
    found = Identification(kind, family, base_model, format=form, confidence="certain")
    tags = (f"tag {number % 50}", *(("odd",) if number % 2 else ()))
    return NewAsset(path.stem, str(path), (file,), found, in_store=in_store, sha256=file.sha256, tags=tags)


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


def _medians(taken: list[tuple[float, float]]) -> tuple[float, float]:
    wall, busy = zip(*taken, strict=True)
    return statistics.median(wall), statistics.median(busy)


def _page(server: _Server, path: str, count: int) -> tuple[float, float]:
    """Seconds of a page, and of the server's core."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    connection.connect()
    path = path.format(middle=f"asset-{count // 2:06}", checkpoint="asset-000008")
    begun, before = time.perf_counter(), server.busy
    _asked(connection, path)
    took = time.perf_counter() - begun, server.busy - before
    connection.close()
    return took


def _asked(connection: http.client.HTTPConnection, path: str) -> None:
    connection.request("GET", path)
    answer = connection.getresponse()
    data = answer.read()
    if answer.status != 200 or len(data) < 1000:
        raise ValueError(f"{path}: {answer.status} {data[:200]!r}")
