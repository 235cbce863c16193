"""The reference for `import`: read and parse every header of a folder, and do nothing with it."""

from __future__ import annotations

import sys
from pathlib import Path

import orjson


def main(folder: Path) -> None:
    """Read and parse."""
    for path in sorted(folder.iterdir()):
        with path.open("rb") as file:
            orjson.loads(file.read(int.from_bytes(file.read(8), "little")))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
