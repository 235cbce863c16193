"""What becomes of hundreds of files when reading one of them ends the process, or does not end."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from headers import lora, write_safetensors
from patience import fair

from assetctl.operations.library.identify_files import MANY, identified
from assetctl.types import Identification

#: A third party's family whose code is killed by one file, as memory's end would, and does not come back from another.
FAMILY = """
import os, signal
from assetctl.identify.features import Family

def _match(features):
    if features.outline.begins("killing_blocks."):
        os.kill(os.getpid(), signal.SIGKILL)
    if features.outline.begins("endless_blocks."):
        open(os.environ["MARK"], "x").close()
        while True:
            pass

FAMILY = Family("novel", _match)
"""
COUNT = MANY + 60

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are forked, and killed, on Linux")


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "many"
    root.mkdir()
    for number in range(COUNT):
        layer = lora({f"diffusion_model.other_blocks.{number}.mixer": (8, 8)})
        write_safetensors(root / f"{number:03}.safetensors", layer)
    return root


def begin(tmp_path, folder, *options):
    info = tmp_path / "plugin" / "novel-1.0.dist-info"
    info.mkdir(parents=True)
    (info.parent / "novel.py").write_text(FAMILY)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: novel\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[assetctl.families]\nnovel = novel:FAMILY\n")
    path = f"{info.parent}:{Path(__file__).resolve().parents[2]}"
    own = {"PYTHONPATH": path, "ASSETCTL_HOME": str(tmp_path / "home"), "MARK": str(tmp_path / "at it")}
    return subprocess.Popen(
        [sys.executable, "-m", "assetctl", "import", str(folder), *options], env={**os.environ, **own},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip


def test_a_file_that_ends_its_process_is_named_and_all_others_are_registered(tmp_path, folder):
    for name in ("100", "257"):
        killing = lora({"diffusion_model.killing_blocks.0.mixer": (8, 8)})
        write_safetensors(folder / f"{name}-killer.safetensors", killing)
    process = begin(tmp_path, folder, "--no-hash", "--json")
    out, err = process.communicate(timeout=fair(60))
    assert process.returncode == 0, err
    assert [asset["name"] for asset in json.loads(out)["data"]] == [f"{number:03}" for number in range(COUNT)]
    warnings = [line for line in err.splitlines() if line.startswith("warning: ")]
    assert len(warnings) == 2
    for name, line in zip(("100-killer", "257-killer"), warnings, strict=True):
        assert f"{name}.safetensors cannot be read" in line


def test_a_process_that_is_killed_while_it_has_nothing_to_do_costs_no_file(folder):
    def kill():
        for worker in multiprocessing.active_children():
            worker.kill()
            worker.join()
        time.sleep(0.3)  # until the pool has noticed

    with identified(map(str, sorted(folder.iterdir()))) as results:
        kill()
        found = [next(results)]  # by a process of its own, which waits for more
        kill()
        found += results
    assert [type(each) for each in found] == [Identification] * COUNT


@pytest.fixture(params=[False, True], ids=["first", "after one was killed"])
def busy(tmp_path, folder, request):
    """An import with processes that are at work on a file without end."""
    if request.param:
        killing = lora({"diffusion_model.killing_blocks.0.mixer": (8, 8)})
        write_safetensors(folder / "000-a-killer.safetensors", killing)
    endless = lora({"diffusion_model.endless_blocks.0.mixer": (8, 8)})
    write_safetensors(folder / "000-b-endless.safetensors", endless)
    process = begin(tmp_path, folder, "--no-hash")
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    while not (tmp_path / "at it").exists():
        assert process.poll() is None
        time.sleep(0.02)
    process.workers = list(map(int, children.read_text().split()))
    yield process
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def are_gone(workers: list[int], within: float) -> bool:
    """Whether all these processes have ended, soon; nobody may have asked how."""
    end = time.monotonic() + fair(within)
    while time.monotonic() < end:
        try:
            states = [Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] for number in workers]
        except (FileNotFoundError, ProcessLookupError):
            workers = [number for number in workers if Path(f"/proc/{number}").exists()]
            continue
        if {"Z"}.issuperset(states):
            return True
        time.sleep(0.02)
    return False


def test_an_interrupt_is_heard_at_once_while_others_are_at_work_on_a_file_without_end(busy):
    start = time.monotonic()
    busy.send_signal(signal.SIGINT)  # to it alone: its children do not hear it
    busy.wait(timeout=fair(20))
    assert busy.returncode == 130
    assert time.monotonic() - start < fair(1)
    assert are_gone(busy.workers, within=1)


def test_nobody_works_on_for_one_who_was_killed(busy):
    busy.kill()
    busy.wait(timeout=fair(20))
    assert are_gone(busy.workers, within=3)
