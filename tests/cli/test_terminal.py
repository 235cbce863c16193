"""What a person sees at a terminal of some width."""

from __future__ import annotations

import os
import struct
import sys

import pytest
from material import write_lora

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals of this kind")


def seen_at(width: int, home, *arguments: str, **environment: str) -> str:
    """What `assetctl ARGUMENTS` shows at a terminal so wide."""
    import fcntl
    import pty
    import termios

    child, terminal = pty.fork()
    if child == 0:
        fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("HHHH", 40, width, 0, 0))
        os.environ.pop("COLUMNS", None)
        os.environ.update(environment, ASSETCTL_HOME=str(home), TERM="xterm")
        os.execv(sys.executable, [sys.executable, "-m", "assetctl", *arguments])  # noqa: S606 - no shell is wanted
    seen = b""
    while True:
        try:
            part = os.read(terminal, 4096)
        except OSError:  # the child has closed its end
            break
        if not part:
            break
        seen += part
    os.waitpid(child, 0)
    return seen.decode()


def test_a_table_is_as_wide_as_the_terminal(assetctl, home, tmp_path):
    name = "a-name-of-some-hundred-characters-" * 3
    assetctl("import", write_lora(tmp_path / f"{name}.safetensors"))
    assert name in seen_at(240, home, "list")
    assert name not in seen_at(60, home, "list")


def test_no_color_is_asked_for(home):
    assert "\x1b[" in seen_at(80, home, "inspect", "nobody")
    assert "\x1b[" not in seen_at(80, home, "inspect", "nobody", NO_COLOR="1")
