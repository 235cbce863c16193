"""What a selection meets on this machine: its memory, its files as they are, and the tokenizer of its prompts."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from assetctl.operations.tokenizers import tokenizer_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from assetctl.operations.workspace import Workspace
    from assetctl.types import AssetFile, Selection

_MEMINFO = Path("/proc/meminfo")

#: Linux's limit on a container, and what is used of it: the second version of control groups, and the first.
_LIMITS = (
    (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")),
    (Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"), Path("/sys/fs/cgroup/memory/memory.usage_in_bytes")),
)


def with_surroundings(workspace: Workspace, selection: Selection) -> Selection:
    """The selection with what this machine says to it; no tokenizer where there is no prompt to count."""
    weight_bytes = 4 if workspace.settings.dtype == "fp32" else 2
    states = tuple(_states(workspace, selection))
    selection = replace(selection, memory=free_memory(), weight_bytes=weight_bytes, states=states)
    if selection.checkpoint is None or not (selection.prompt or selection.negative_prompt):
        return selection
    folder = tokenizer_folder(workspace, selection.checkpoint)
    return replace(selection, tokenizer=None if folder is None else str(folder))


def _states(workspace: Workspace, selection: Selection) -> Iterator[tuple[str, str]]:
    """Assets whose files were written to since they were registered, or were never hashed; not what is gone."""
    for asset in dict.fromkeys(selection.assets()):
        files = [file for file in workspace.catalog.read.files(asset) if file.role != "copy"]
        if any(_written(file) for file in files):
            yield asset.path, "changed"
        elif any(file.sha256 is None for file in files):
            yield asset.path, "unverified"


def _written(file: AssetFile) -> bool:
    with suppress(OSError):
        status = Path(file.path).stat()
        return (status.st_size, status.st_mtime_ns) != (file.size, file.mtime_ns)
    return False


def free_memory() -> int | None:
    """Bytes that a program can have now, or all that the machine has where the system does not tell; else `None`.

    Memory of a graphics card is not seen: weights pass through the machine's own on their way there.
    """
    there = [number for number in (_available(), *_left_of_limits()) if number is not None]
    if there:
        return min(there)
    with suppress(AttributeError, ValueError, OSError):  # Windows has no such call, and not every system this name
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return None


def _available() -> int | None:
    with suppress(OSError):
        match = re.search(r"MemAvailable:\s+(\d+) kB", _MEMINFO.read_text())
        return None if match is None else int(match[1]) * 1024
    return None


def _left_of_limits() -> list[int]:
    left = []
    for limit, used in _LIMITS:
        with suppress(OSError, ValueError):  # `max` means that there is none
            left.append(int(limit.read_text()) - int(used.read_text()))
    return left
