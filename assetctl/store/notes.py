"""What assetctl is putting into the store, noted before it is done: after a kill, the note proves what is ours.

A note names files and, of each, disk, number, size and time of writing. A rename keeps these, and no other file has
them: whatever else lies at the noted path, somebody else put it there.
"""

from __future__ import annotations

import json
import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from assetctl.files.disk import incoming
from assetctl.files.paths import below

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

SUFFIX = ".placing"

#: Disk, number, size, time of writing: what no two files have in common.
_Identity = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Note:
    """What one process was putting into the store.

    Attributes:
        path: The asset's file or folder, at its final place.
        files: Every file of it and of its companion, at its final place.
    """

    path: Path
    files: dict[Path, _Identity]

    @classmethod
    def of(cls, near: Path, final: Path, beside: Path | None) -> Note:
        """What moving `near` to `final`, and its companion `beside` along with it, will put there."""
        moves = [(near, final)]
        if beside is not None:
            moves.append((beside, final.with_name(f"{final.stem}.config")))
        files: dict[Path, _Identity] = {}
        for source, target in moves:
            own = [path for path in below(source) if not path.is_dir()] if source.is_dir() else [source]
            files |= {target / path.relative_to(source): _identity(path.lstat()) for path in own}
        return cls(final, files)

    def proven(self) -> list[Path]:
        """The noted files that lie there, and are the very files that were noted."""
        return [path for path, identity in self.files.items() if _is(path, identity)]

    def is_whole(self) -> bool:
        """Whether all of them do, and in the asset's folder lies nothing else."""
        if len(self.proven()) < len(self.files):
            return False
        return not self.path.is_dir() or all(path in self.files for path in below(self.path) if not path.is_dir())

    def write(self, place: Path, root: Path) -> None:
        """Keep it at `place`, with paths below `root`.

        Raises:
            OSError: The disk refused.
        """
        files = [[os.path.relpath(path, root), *identity] for path, identity in self.files.items()]
        with incoming(place, lasting=False) as file:  # after a power cut, what it tells of is a stranger
            file.write(json.dumps({"path": os.path.relpath(self.path, root), "files": files}).encode())


def read_note(place: Path, root: Path) -> Note | None:
    """The note at `place`; `None` if there is none, or none that assetctl wrote."""
    try:
        document: Any = json.loads(place.read_bytes())
        files = {_below(root, row[0]): _numbers(row[1:]) for row in document["files"]}
        return Note(_below(root, document["path"]), files)
    except (OSError, ValueError, TypeError, LookupError, RecursionError):
        return None


def _below(root: Path, relative: str) -> Path:
    path = root / relative
    if ".." in path.parts or not path.is_relative_to(root):
        raise ValueError(relative)
    return path


def _numbers(row: Iterable[int]) -> _Identity:
    device, number, size, written = row
    return device, number, size, written


def _identity(status: os.stat_result) -> _Identity:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _is(path: Path, identity: _Identity) -> bool:
    try:
        status = path.lstat()
    except OSError:
        return False
    return not stat.S_ISDIR(status.st_mode) and _identity(status) == identity
