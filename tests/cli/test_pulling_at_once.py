"""Many processes that pull the same assets: one downloads, the others wait and use it."""

from __future__ import annotations

import os
import random
import subprocess
import sys

import pytest
from material import write_lora
from patience import fair

ASSETS = 8


@pytest.mark.parametrize("count", [6, pytest.param(16, marks=pytest.mark.slow)])
def test_many_processes_fetch_eight_assets_once(assetctl, home, hub, tmp_path, count):
    contents = {
        f"lora-{number}.safetensors": write_lora(tmp_path / f"{number}.safetensors", rank=32, seed=number).read_bytes()
        for number in range(ASSETS)
    }
    hub.add("cats/all", contents)
    chance, processes = random.Random(0), []
    for _ in range(count):
        names = [f"hf://cats/all/{name}" for name in chance.sample(sorted(contents), ASSETS)]
        command = [sys.executable, "-m", "assetctl", "pull", *names, "--quiet"]
        processes.append(
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ)
        )
    for process in processes:
        out, err = process.communicate(timeout=fair(120))
        assert (process.returncode, err) == (0, ""), err
        assert len(out.split()) == ASSETS
    for name, content in contents.items():
        assert sum(request.sent for request in hub.downloads(hub.blob(content))) == len(content), name
        assert (home / "models" / "loras" / name).read_bytes() == content
    assert len(assetctl("list", "--json").data) == ASSETS
    assert assetctl("verify").code == 0
