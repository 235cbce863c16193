"""The folder tree that assetctl owns: layout by kind, atomic placement, locks."""

from __future__ import annotations

from assetctl.files.paths import safe_name
from assetctl.store.store import Store

__all__ = ["Store", "safe_name"]
