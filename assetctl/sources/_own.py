"""Our own files in a staging folder, which may lie in a tree where others write too.

Nothing is read or written through a link that somebody put there, and no name can be guessed before it is a file. A
link that is in the way is removed; what it leads to stays as it is. So is a folder where a file is to lie, or a file
where a folder is: an earlier try may have been at other files.
"""

from __future__ import annotations

import os
import secrets
import shutil
import stat
from contextlib import contextmanager
from io import FileIO
from typing import TYPE_CHECKING

from assetctl.files.disk import NO_LINK, storage_errors, write_all
from assetctl.files.paths import below

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path


def without_links(path: str, flags: int) -> int:
    """An opener for `open`: it fails where the file is a link."""
    return os.open(path, flags | NO_LINK)


def clear(root: Path, path: Path) -> None:
    """Make the folders that `path`, which lies below `root`, is to lie in; only a file is in its place, if anything.

    What else is in the way was left by a try at other files, or put there, and goes; of a link, the link alone.

    Raises:
        OSError: The disk refused.
    """
    folder = root
    folder.mkdir(parents=True, exist_ok=True)
    for name in path.relative_to(root).parts[:-1]:
        folder /= name
        if folder.is_symlink() or folder.is_file():
            folder.unlink()
        folder.mkdir(exist_ok=True)
    if path.is_symlink():
        path.unlink()
    elif path.is_dir():
        shutil.rmtree(path)


def prune(folder: Path, wanted: Collection[str]) -> None:
    """Remove what an earlier try left in a folder of ours, such as one at another state of the original.

    Raises:
        OSError: The disk refused.
    """
    for path in list(below(folder)):
        if (path.is_symlink() or not path.is_dir()) and path.relative_to(folder).as_posix() not in wanted:
            path.unlink()


def keep(path: Path) -> None:
    """See that `path` is a file that is nothing else besides: what is one stays, else there is an empty one.

    Raises:
        OSError: The disk refused.
    """
    try:
        about = path.lstat()
    except FileNotFoundError:
        about = None
    if about is not None and not (stat.S_ISREG(about.st_mode) and about.st_nlink <= 1):
        path.unlink()
        about = None
    if about is None:
        os.close(_new(path))


def empty(path: Path) -> None:
    """Make an empty file of `path`, whatever lies there.

    Raises:
        OSError: The disk refused.
    """
    path.unlink(missing_ok=True)
    os.close(_new(path))


def reading(path: Path) -> FileIO:
    """Open a file to read it, without a buffer.

    Raises:
        OSError: There is none, or it is a link.
    """
    return open(path, "rb", buffering=0, opener=without_links)


def start_of(path: Path, most: int) -> bytes:
    """The first bytes of a file, at most so many.

    Raises:
        StorageError: The disk refused.
    """
    with storage_errors(f"read {path}"), reading(path) as file:
        return file.read(most)


def text_of(path: Path, most: int) -> str:
    """What is written in a small file, as ASCII; "" where that is none, or larger than `most` bytes.

    Raises:
        OSError: The disk refused.
    """
    if not path.is_file() or path.is_symlink() or path.stat().st_size > most:
        return ""
    with reading(path) as file:
        return file.read(most).decode("ascii", "replace")


def write(path: Path, text: str) -> None:
    """Write a small file anew, in one step, as ASCII.

    Raises:
        OSError: The disk refused.
    """
    fresh = path.with_name(f"{path.name}.{secrets.token_hex(8)}.fresh")
    try:
        with FileIO(_new(fresh), "w") as opened:  # some systems rename no file that is open
            write_all(opened, text.encode("ascii", "replace"))
        fresh.replace(path)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise


def appending(path: Path) -> FileIO:
    """Open a file that is there to add to it, without a buffer.

    Raises:
        OSError: There is none, or it is a link.
    """
    return FileIO(os.open(path, os.O_WRONLY | os.O_APPEND | NO_LINK | getattr(os, "O_BINARY", 0)), "a")


@contextmanager
def incoming(folder: Path, target: Path) -> Iterator[Path]:
    """A new file in `folder`, on the same disk, which becomes `target` when the block ends well.

    Raises:
        OSError: The disk refused.
    """
    path = folder / f"{secrets.token_hex(8)}.incoming"
    os.close(_new(path))
    try:
        yield path
        path.replace(target)
    finally:
        path.unlink(missing_ok=True)


def _new(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | NO_LINK | getattr(os, "O_BINARY", 0), 0o666)
