"""Files that are not what generation can load."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from assetctl.compat.check import Rule
from assetctl.errors import CorruptFileError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from assetctl.compat.check import Context
    from assetctl.types import Finding

RULE = Rule(
    "unreadable_file",
    "The header of every file can be read and adds up.",
    {"error": "A file is damaged, cut short, or of a format that is never loaded."},
    told_as=CorruptFileError,
)


def check(context: Context) -> Iterator[Finding]:
    """Read every header; a file that is gone is told of by `missing_file`."""
    for asset in dict.fromkeys(context.selection.assets()):
        error = context.failure(asset)
        if error is not None and Path(asset.path).exists():
            yield RULE.finding("error", error.message, error.hint, asset)
