"""The cURL examples of the README and of docs/api.md, run as they stand."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import headers
import pytest
from compat.sparse import whole_checkpoint, write_sparse
from generation import tiny
from patience import fair

from assetctl import Registry

pytest.importorskip("starlette")
pytest.importorskip("PIL.Image")

from served import served

CHECKOUT = Path(__file__).resolve().parents[2]
ADDRESS = "http://127.0.0.1:7860"

#: What asks for a source, which no test does.
ELSEWHERE = ("/v1/search", "/v1/pull")

LORA = headers.lora({"lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k": (768, 8)})


@pytest.mark.parametrize("page", ["README.md", "docs/api.md"])
@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_the_examples_run(page, tmp_path):
    text = (CHECKOUT / page).read_text("utf-8")
    lines = [line for block in re.findall(r"```bash\n(.*?)```", text, re.DOTALL) for line in block.splitlines() if line]
    lines = [line for line in lines if ADDRESS in line]
    assert len(lines) > 2
    write_sparse(tmp_path / "files" / "demo-checkpoint.safetensors", whole_checkpoint())
    tiny.write_vocabulary(tmp_path / "files" / "demo-checkpoint.config" / "tokenizer")
    with Registry.open(tmp_path / "home") as registry:
        registry.import_files(tmp_path / "files")
    headers.write_safetensors(tmp_path / "whiskers.safetensors", LORA)
    with served(tmp_path / "home") as server:
        for line in lines:
            if any(each in line for each in ELSEWHERE):
                continue
            said = subprocess.run(
                ["sh", "-c", line.replace(ADDRESS, server.url)],
                cwd=tmp_path,
                capture_output=True,
                check=True,
                timeout=fair(60),
            ).stdout
            if "-o picture.png" in line:
                assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")
            elif "/events" in line:
                assert b"id: end" in said
            else:
                assert "data" in json.loads(said), (line, said)
