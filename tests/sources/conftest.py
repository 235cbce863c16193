from __future__ import annotations

from servers.fixtures import hub

__all__ = ["hub"]
