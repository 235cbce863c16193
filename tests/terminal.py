"""assetctl as a person at a terminal sees it; Windows has no pseudo-terminals of this kind."""

from __future__ import annotations

import os
import struct
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

needs_terminal = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals of this kind")


def at_a_terminal(
    home: Path, *arguments: str, answer: str = "", width: int = 80, draws_sixels: bool = False, **environment: str
) -> tuple[str, int]:
    """What a person sees who gives this answer where a question is asked, and how the command ends.

    The terminal may be one that draws pictures of sixels, and says so when it is asked what it can.
    """
    import fcntl
    import pty
    import termios

    child, terminal = pty.fork()
    if child == 0:
        fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("HHHH", 40, width, 0, 0))
        told = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR")}
        told |= {"ASSETCTL_HOME": str(home), "TERM": "xterm"} | environment
        os.execve(sys.executable, [sys.executable, "-m", "assetctl", *arguments], told)  # noqa: S606 - no shell is what is wanted
    seen = b""
    while True:
        try:
            part = os.read(terminal, 4096)
        except OSError:  # the child has closed its end
            break
        seen += part
        if draws_sixels and b"\x1b[c" in part:
            os.write(terminal, b"\x1b[?62;4c")
        if b"[Y/n]" in part:
            os.write(terminal, answer.encode() + b"\n")
        if not part:
            break
    return seen.decode(), os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
