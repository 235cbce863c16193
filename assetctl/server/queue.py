"""Jobs."""

from __future__ import annotations


class Queue:
    """Placeholder until the table is there."""
