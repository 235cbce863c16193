"""Generating the demo's picture, against a script by hand: whole processes, wall time and peak memory."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from measure import BIN, Row, seconds

from assetctl.demo import demo_assets

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

BY_HAND = Path(__file__).with_name("by_hand.py")


def rows(folder: Path, runs: int = 5) -> list[Row]:
    """The same picture both ways; raises if it is not the same to the byte."""
    from by_hand import PROMPT, SEED, SIDE, STEPS  # noqa: PLC0415 - imports torch

    made = demo_assets()
    environment = {"ASSETCTL_HOME": str(folder / "home"), "ASSETCTL_DTYPE": "bf16"}
    for asset in (made.checkpoint, made.style, made.embedding):
        seconds([BIN / "assetctl", "pull", asset], environment)
    ours, theirs = folder / "ours.png", folder / "theirs.png"
    command = [BIN / "assetctl", "generate", PROMPT, "--lora", "demo-vintage:0.8", "--embedding", "demo-cookie"]
    command += [
        "--flavour",
        "diffusers",
        "--steps",
        STEPS,
        "--seed",
        SEED,
        "--size",
        f"{SIDE}x{SIDE}",
        "--sampler",
        "Euler a",
        "--out",
        ours,
    ]
    script = [sys.executable, BY_HAND, made.checkpoint, made.config, made.style, made.embedding, theirs]
    rounds = []
    for _ in range(runs + 1):
        ours.unlink(missing_ok=True)
        rounds.append((*_cost(command, environment), *_cost(script, environment)))
    if _pixels(ours) != _pixels(theirs):
        raise AssertionError("the pictures differ")
    wall, memory, script_wall, script_memory = map(statistics.median, zip(*rounds[1:], strict=True))
    return [
        Row("generate: wall time", "by hand", wall, script_wall, 1.05),
        Row("generate: peak memory", "by hand", memory, script_memory, 1.05, "MB"),
    ]


def _cost(command: Sequence[object], environment: Mapping[str, str]) -> tuple[float, float]:
    """Wall time in seconds and peak memory in MB of one whole process."""
    start = time.perf_counter()
    process = subprocess.Popen(
        [str(word) for word in command],
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, process.args)
    return time.perf_counter() - start, usage.ru_maxrss / 1024


def _pixels(path: Path) -> bytes:
    from PIL import Image  # noqa: PLC0415 - not timed

    with Image.open(path) as image:
        return image.tobytes()
