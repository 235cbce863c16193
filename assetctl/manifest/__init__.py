"""`registry.toml`, what is wanted, and `registry.lock`, exactly what that was. Nothing is fetched here."""

from __future__ import annotations

from assetctl.manifest.lockfile import Locked, Lockfile, read_lock, write_lock
from assetctl.manifest.manifest import Manifest, Wanted, place_of, read_manifest, rebased, write_manifest

__all__ = [
    "Locked",
    "Lockfile",
    "Manifest",
    "Wanted",
    "place_of",
    "read_lock",
    "read_manifest",
    "rebased",
    "write_lock",
    "write_manifest",
]  # fmt: skip
