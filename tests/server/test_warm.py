"""A warm worker's pictures are those of a cold one, byte for byte, and its memory stays as it is."""

from __future__ import annotations

import json
import random
import socket
import subprocess
import sys
from pathlib import Path
from statistics import mean

import pytest
from painting import serving

from assetctl import Registry

pytest.importorskip("starlette")
pytest.importorskip("torch")

pytestmark = [
    pytest.mark.generation,
    pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="needs sockets of files"),
]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A home with the demo family."""
    folder = tmp_path_factory.mktemp("warm") / "home"
    with Registry.open(folder) as registry:
        registry.pull_demo()
    return folder


def asked(chance, seed):
    """What one picture is asked for with, by chance."""
    words = ("a red star", "a blue circle", "a (green: 1.2) square", "a demo-cookie")
    said = {
        "prompt": chance.choice(words), "negative_prompt": chance.choice(("", "blurry")), "seed": seed,
        "steps": chance.choice((1, 2)), "width": chance.choice((64, 96)), "height": chance.choice((64, 96)),
        "sampler": chance.choice(("Euler a", "Euler", "DPM++ 2M")), "cfg_scale": chance.choice((1.0, 4.0)),
    }  # fmt: skip
    loras = {name: chance.choice((0.5, 1.0)) for name in ("demo-vintage", "demo-cat") if chance.random() < 0.4}
    return said | {"loras": loras} if loras else said


def cold_twin(home, said, folder):
    """The same picture, made by a process of its own."""
    words = [said["prompt"], "--negative", said["negative_prompt"], "--out", folder / f"{said['seed']}.png"]
    words += ["--size", f"{said['width']}x{said['height']}", "--cfg", said["cfg_scale"]]
    words += [word for name in ("seed", "steps", "sampler") for word in (f"--{name}", said[name])]
    words += [word for name, weight in said.get("loras", {}).items() for word in ("--lora", f"{name}:{weight}")]
    command = [sys.executable, "-m", "assetctl", "--home", home, "generate", *words, "--no-server", "--json"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return Path(json.loads(done.stdout)["data"]["images"][0]["path"])


def memory_of(pid):
    """Bytes that a process has in memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096


def generations(home, folder, count, twins):
    """Make so many pictures with random swaps; each of `twins` is compared with its cold twin. The worker's memory."""
    chance, memory = random.Random(count), []
    with serving(home, painter=False) as server:
        for seed in range(count):
            said = asked(chance, seed)
            job = server.await_job(server.submit(**said))
            assert job["status"] == "done", job["error"]
            (worker,) = server.workers()
            memory.append(memory_of(worker))
            if seed in twins:
                with Registry.open(home) as registry:
                    warm = registry.history(1, seed=seed)[0].image_path
                assert cold_twin(home, said, folder).read_bytes() == Path(warm).read_bytes(), said
    return memory


def test_a_warm_picture_is_its_cold_twin_and_memory_stays(home, tmp_path):
    memory = generations(home, tmp_path, 24, {21})
    assert max(memory[-6:]) < 1.05 * max(memory[8:14])


@pytest.mark.long
def test_a_thousand_pictures_later_memory_is_as_it_was_and_each_fiftieth_is_its_cold_twin(home, tmp_path):
    memory = generations(home, tmp_path, 1000, set(range(49, 1000, 50)))
    assert mean(memory[-100:]) < 1.04 * mean(memory[200:300])
