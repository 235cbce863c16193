"""The HTTP faces: assetctl's own, A1111's and OpenAI's, over one queue of jobs and one warm worker.

Importing this package is cheap; its modules need the extra `serve`.
"""

from __future__ import annotations

#: The name of a home's socket, which only its owner can open.
SOCKET = "server.sock"
