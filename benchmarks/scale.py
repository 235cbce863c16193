"""Importing 10,000 headers, against a loop that only reads and parses them; and hashing eight large files."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from headers import SHORT, WHOLE, all_different, grown
from measure import BIN, Row, interleaved, seconds

from assetctl.catalog import Catalog

if TYPE_CHECKING:
    from collections.abc import Iterator

LOOP = Path(__file__).with_name("bare_loop.py")
COUNT = 10_000


def rows(folder: Path, runs: int = 3, count: int = COUNT) -> Iterator[Row]:
    """Whole processes, of two folders; then the bytes of eight files of 256 MB."""
    for length, longest in (("37 KB", WHOLE), ("12 KB", SHORT)):
        for kind, write in (("a grown folder", grown), ("all different", all_different)):
            name = f"{kind}, {length}"
            write(folder / name, count, longest)
            yield from _import_rows(folder, name, runs)
            shutil.rmtree(folder / name)
    yield from _hash_rows(folder, runs)


def _import_rows(folder: Path, name: str, runs: int) -> list[Row]:
    loras, home = folder / name, folder / "scale-home"
    environment = {"ASSETCTL_HOME": str(home)}

    def listing() -> float:
        shutil.rmtree(home, ignore_errors=True)
        Catalog(home / "catalog.db").close()  # before it counts
        return seconds([BIN / "assetctl", "list"], environment)

    def imported(*options: str) -> float:
        return seconds([BIN / "assetctl", "import", *options, loras], environment)

    startup, first, second, loop = interleaved(
        runs,
        listing,
        lambda: imported("--no-hash"),
        lambda: imported("--no-hash"),
        lambda: seconds([sys.executable, LOOP, loras], environment),
    )
    return [
        Row(f"import --no-hash, {name}", "read + orjson loop", first, loop, 2.0),
        Row(f"import --no-hash, {name}, less `list`", "read + orjson loop", first - startup, loop, 2.0),
        Row(f"second import --no-hash, {name}", "first import --no-hash", second, first, 0.5),
    ]


def _hash_rows(folder: Path, runs: int) -> list[Row]:
    """SHA256 of eight files of 256 MB that are no holes."""
    large, home = folder / "large", folder / "hash-home"
    large.mkdir()
    start = b'{"a":{"dtype":"U8","shape":[268435456],"data_offsets":[0,268435456]}}'
    for number in range(8):
        with (large / f"{number}.safetensors").open("wb") as file:
            file.write(len(start).to_bytes(8, "little") + start)
            file.writelines(os.urandom(2**20) for _ in range(256))
    environment = {"ASSETCTL_HOME": str(home)}

    def imported() -> float:
        shutil.rmtree(home, ignore_errors=True)
        Catalog(home / "catalog.db").close()
        return seconds([BIN / "assetctl", "import", large], environment)

    files = sorted(large.iterdir())
    hashed, openssl = interleaved(runs, imported, lambda: seconds(["openssl", "dgst", "-sha256", *files], environment))
    return [Row("import of eight files of 256 MB", "openssl dgst -sha256", hashed, openssl, 1.15)]
