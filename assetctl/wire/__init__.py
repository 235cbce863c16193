"""Results, errors and events as JSON documents, and back: for the command line, and whoever else speaks to programs.

Documents are made of the dataclasses themselves: a field is a key. `documents.SHAPES` says where a key is another one.
"""

from __future__ import annotations

from assetctl.wire.documents import Outcome, document, envelope

__all__ = ["Outcome", "document", "envelope"]
