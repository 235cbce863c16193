"""Clients of A1111's and OpenAI's API, at the real server with the demo family; and what the docs say of them."""

from __future__ import annotations

import base64
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from painting import serving
from patience import fair

from assetctl import Registry

pytest.importorskip("starlette")
pytest.importorskip("torch")
webuiapi = pytest.importorskip("webuiapi")
pytest.importorskip("openai")

pytestmark = [
    pytest.mark.generation,
    pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="needs sockets of files"),
]

PAGE = (Path(__file__).parents[2] / "docs" / "clients.md").read_text("utf-8")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A server of a home with the demo family."""
    home = tmp_path_factory.mktemp("clients") / "home"
    with Registry.open(home) as registry:
        registry.pull_demo()
    with serving(home, painter=False) as server:
        yield server


def blocks(language, server):
    found = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    port = server.url.rpartition(":")[2]
    return [each.replace("127.0.0.1:7860", f"127.0.0.1:{port}").replace("port=7860", f"port={port}") for each in found]


def ended(arguments, folder):
    done = subprocess.run(arguments, cwd=folder, capture_output=True, text=True, check=False, timeout=fair(300))
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_docs_python_works(server, tmp_path):
    first, second = blocks("python", server)
    assert "a red star" in ended([sys.executable, "-c", first], tmp_path)
    assert "/v1/pictures/" in ended([sys.executable, "-c", second], tmp_path)
    assert {each.name for each in tmp_path.glob("*.png")} == {"star.png", "star-0.png", "star-1.png"}


def test_the_docs_requests_work(server, tmp_path):
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    lines = [line for block in blocks("sh", server) for line in block.splitlines()]
    assert len(lines) > 5
    for line in lines:
        said = ended(["sh", "-c", line.replace("curl -s", "curl -sf")], tmp_path)
        assert said.startswith(("{", "["))


def test_one_seed_is_one_picture_by_client_and_by_command(server, tmp_path):
    """By the same worker, whose pictures are those of a cold one: see `test_warm.py`."""
    api = webuiapi.WebUIApi(baseurl=f"{server.url}/sdapi/v1", sampler="DPM++ 2M", scheduler="karras", steps=3)
    settings = {"width": 96, "height": 64, "cfg_scale": 4, "seed": 11, "subseed": 5, "subseed_strength": 0.3}
    found = api.txt2img(prompt="a (red:1.2) star", negative_prompt="blurry", **settings)
    out = tmp_path / "cold.png"
    words = [
        "a (red:1.2) star",
        "--negative",
        "blurry",
        "--size",
        "96x64",
        "--cfg",
        "4",
        "--seed",
        "11",
        "--steps",
        "3",
    ]
    words += ["--sampler", "DPM++ 2M", "--scheduler", "Karras", "--variation-seed", "5", "--variation-strength", "0.3"]
    words += ["--flavour", "a1111", "--out", str(out)]
    ended([sys.executable, "-m", "assetctl", "--home", str(server.home), "generate", *words], tmp_path)
    assert base64.b64decode(found.json["images"][0]) == out.read_bytes()
