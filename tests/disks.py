"""Disks of a few megabytes, which a test can fill."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextlib.contextmanager
def small_disk(folder: Path, size: int) -> Iterator[Path]:
    """A filesystem of its own with `size` bytes; skips the test where none can be mounted."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no filesystem can be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path, *, free: int = 0) -> Path:
    """Take all of the disk but `free` bytes."""
    path = folder / "taken"
    handle = os.open(path, os.O_WRONLY | os.O_CREAT)
    try:
        with contextlib.suppress(OSError):
            os.posix_fallocate(handle, 0, max(1, shutil.disk_usage(folder).free - free))
        with contextlib.suppress(OSError):
            while shutil.disk_usage(folder).free > free:
                os.write(handle, b"x" * 4096)
    finally:
        os.close(handle)
    return path
