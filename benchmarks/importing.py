"""Importing 1,000 LoRAs, against a loop that only parses their headers, and against openssl."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from material import small_loras
from measure import BIN, Row, interleaved, seconds

from assetctl.catalog import Catalog

LOOP = Path(__file__).with_name("bare_loop.py")


def rows(folder: Path, runs: int = 3) -> list[Row]:
    """Whole processes; for the loop, each less its own time for an empty folder."""
    loras, nothing = folder / "loras", folder / "nothing"
    small_loras(loras, 1000)
    nothing.mkdir()
    home = folder / "import-home"
    environment = {"ASSETCTL_HOME": str(home)}

    def fresh(*arguments: object) -> float:
        shutil.rmtree(home, ignore_errors=True)
        Catalog(home / "catalog.db").close()  # before it counts
        return seconds([BIN / "assetctl", "import", *arguments], environment)

    def again() -> float:
        return seconds([BIN / "assetctl", "import", loras], environment)

    files = sorted(loras.iterdir())
    bare, empty, loop, loop_empty, hashed, second, openssl = interleaved(
        runs,
        lambda: fresh("--no-hash", loras),
        lambda: fresh("--no-hash", nothing),
        lambda: seconds([sys.executable, LOOP, loras], environment),
        lambda: seconds([sys.executable, LOOP, nothing], environment),
        lambda: fresh(loras),
        again,
        lambda: seconds(["openssl", "dgst", "-sha256", *files], environment),
    )
    return [
        Row(
            "import --no-hash, less start-up", "read + orjson loop, less start-up", bare - empty, loop - loop_empty, 2.0
        ),
        Row("import with hashes", "openssl dgst -sha256", hashed, openssl, 1.15),
        Row("second import, unchanged", "first import with hashes", second, hashed, 0.2),
        Row("second import, unchanged", "first import --no-hash", second, bare, 0.2),
    ]
