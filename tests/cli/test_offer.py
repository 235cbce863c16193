"""Someone without a checkpoint is offered the demo family."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

ASKED = ["assetctl", "generate", "a red star", "--dry-run"]


def at_a_terminal(home: Path, answer: str) -> tuple[str, int]:
    """What a person at a terminal sees who gives this answer, and how the command ends."""
    import pty

    child, terminal = pty.fork()
    if child == 0:
        os.environ["ASSETCTL_HOME"] = str(home)
        os.execv(sys.executable, [sys.executable, "-m", *ASKED])  # noqa: S606 - no shell is what is wanted
    seen = b""
    while True:
        try:
            part = os.read(terminal, 4096)
        except OSError:  # the child has closed its end
            break
        seen += part
        if b"[Y/n]" in part:
            os.write(terminal, answer.encode() + b"\n")
        if not part:
            break
    return seen.decode(), os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals of this kind")
@pytest.mark.parametrize(("answer", "code", "shown"), [("y", 0, "demo-checkpoint"), ("n", 3, "assetctl demo --pull")])
def test_a_person_without_a_checkpoint_is_offered_one(tmp_path, answer, code, shown):
    seen, ended = at_a_terminal(tmp_path, answer)
    assert "There is no checkpoint yet." in seen
    assert shown in seen
    assert ended == code


def test_a_script_is_told_where_to_get_one(assetctl):
    ended = assetctl("generate", "a red star", "--dry-run", "--json")
    assert (ended.code, ended.error["code"]) == (3, "not_found")
    assert "assetctl demo --pull" in ended.error["hint"]
