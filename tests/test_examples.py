"""The README's commands and the examples, run as they stand."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parent.parent
README = (CHECKOUT / "README.md").read_text("utf-8")
MAKEFILE = (CHECKOUT / "Makefile").read_text("utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def run(arguments: list[str], home: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "ASSETCTL_HOME": str(home)}
    return subprocess.run(arguments, env=environment, cwd=home, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """The home that `make demo` leaves, by its own command line."""
    pytest.importorskip("torch")
    folder = tmp_path_factory.mktemp("checkout")
    (arguments,) = re.findall(r"^\t@\$\(BIN\)/assetctl (.* demo)$", MAKEFILE, re.MULTILINE)
    tour = run([sys.executable, "-m", "assetctl", *arguments.split()], folder)
    assert tour.returncode == 0, tour.stdout + tour.stderr
    assert list((folder / "demo-home" / "outputs").glob("*.png"))
    assert "Traceback" not in tour.stderr
    return folder / "demo-home"


def test_what_makes_the_readmes_commands_work_is_said_by_both(home):
    lines = [". .venv/bin/activate", f'export ASSETCTL_HOME="$PWD/{home.name}"']
    assert "\n".join(lines) in README
    printed = MAKEFILE.replace("$(BIN)", ".venv/bin").replace("$$", "$")
    assert all(f"@echo '{line}'" in printed for line in lines)


@pytest.mark.generation
def test_the_readmes_commands_work_after_the_demo(home):
    lines = [line for block in blocks("sh") for line in block.splitlines() if line]
    assert len(lines) > 5
    for line in lines:
        program, *arguments = shlex.split(line)
        assert program == "assetctl"
        ended = run([sys.executable, "-m", "assetctl", *arguments], home)
        assert ended.returncode == 0, f"{line}\n{ended.stdout}{ended.stderr}"


@pytest.mark.generation
def test_the_readmes_python_works_after_the_demo(home):
    (code,) = blocks("python")
    ended = run([sys.executable, "-c", code], home)
    assert ended.returncode == 0, ended.stderr
    assert "True" in ended.stdout


@pytest.mark.generation
def test_the_tour_from_python_works(tmp_path):
    pytest.importorskip("torch")
    ended = run([sys.executable, str(CHECKOUT / "examples" / "tour.py"), str(tmp_path)], tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert "this fits: True" in ended.stdout
    assert "all as it was: True" in ended.stdout
    assert list((tmp_path / "outputs").glob("*.png"))
