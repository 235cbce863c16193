"""Disks that a test can fill, and what cannot be written though root asks."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import subprocess
import sys
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
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        with contextlib.suppress(OSError):
            os.posix_fallocate(handle, path.stat().st_size, max(1, shutil.disk_usage(folder).free - free))
        with contextlib.suppress(OSError):
            while shutil.disk_usage(folder).free > free:
                os.write(handle, b"x" * 4096)
    finally:
        os.close(handle)
    return path


@contextlib.contextmanager
def refused_writes(beyond: int = 0) -> Iterator[None]:
    """No file of this process grows `beyond` so many bytes meanwhile, as on a full disk."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (beyond, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextlib.contextmanager
def unwritable(folder: Path, seen: Path) -> Iterator[Path]:
    """The folder as `seen`, where nothing can be written: by its permissions, or to root by a mount."""
    if os.geteuid():
        folder.chmod(0o555)
        try:
            yield folder
        finally:
            folder.chmod(0o755)
        return
    seen.mkdir()
    try:
        subprocess.run(["mount", "--bind", folder, seen], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("nothing can be mounted here, and permissions do not bind root")
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", seen], check=True)
        yield seen
    finally:
        subprocess.run(["umount", "-l", seen], check=True)


def give_up_rights() -> None:
    """Before a program starts: it has no rights but those of the files' permissions, not even as root."""
    if sys.platform == "linux":
        set_bound, override_permissions, read_all = 24, 1, 2  # `man 2 prctl`, `man 7 capabilities`
        for right in (override_permissions, read_all):
            ctypes.CDLL(None).prctl(set_bound, right)
