"""The cache of the Hub's own client: a large file in it is named by its SHA256, whatever source it is wanted from."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from assetctl.files.disk import link_or_copy, storage_errors
from assetctl.sources._download.promise import is_there

if TYPE_CHECKING:
    from assetctl.sources.base import RemoteFile


def from_hub_cache(file: RemoteFile, target: Path) -> bool:
    """Take a file from the cache if it is there and right; no byte is stored twice where the disk has hard links.

    Raises:
        StorageError: The disk refused.
    """
    if file.sha256 is None:
        return False
    found = (each.resolve() for each in _folder().glob(f"models--*/blobs/{file.sha256}"))
    blob = next((each for each in found if is_there(each, file)), None)
    if blob is None:
        return False
    with storage_errors(f"copy {blob}"):
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        link_or_copy(blob, target)
    return True


def _folder() -> Path:
    """Where the Hub's client keeps it. Source: the client's documentation of its environment variables."""
    if named := os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE"):
        return Path(os.path.expanduser(named))  # noqa: PTH111 - leaves an unknown user's home as it is
    home = os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "huggingface")
    return Path(os.path.expanduser(home)) / "hub"  # noqa: PTH111 - likewise
