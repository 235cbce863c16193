"""Files that are gone, or are not what they were."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from assetctl.compat.check import Rule
from assetctl.errors import CorruptFileError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from assetctl.compat.check import Context
    from assetctl.types import Asset, Finding

RULE = Rule(
    "missing_file",
    "Every asset is where the catalog says, and as large.",
    {"error": "A file or folder is gone, or its size has changed."},
    told_as=CorruptFileError,
)


def check(context: Context) -> Iterator[Finding]:
    """Look at every path once."""
    for asset in dict.fromkeys(context.selection.assets()):
        problem = _problem(asset)
        if problem is not None:
            yield RULE.finding("error", f"The file of {asset.name}, {asset.path}, {problem}.", _hint(asset), asset)


def _problem(asset: Asset) -> str | None:
    try:
        path = Path(asset.path)
        if asset.format == "diffusers":
            return None if path.is_dir() else "is gone"
        size = path.stat().st_size
    except (FileNotFoundError, NotADirectoryError):
        return "is gone"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    return None if size == asset.size else f"has {size:,} bytes, and had {asset.size:,} when it was registered"


def _hint(asset: Asset) -> str:
    if asset.source is None or asset.source == asset.path or asset.source[:1] == "/":
        return f"`assetctl verify {asset.typed}` tells more; `assetctl import` registers it at another place."
    return f"`assetctl verify {asset.typed}` tells more; `assetctl pull {asset.source}` fetches it again."
