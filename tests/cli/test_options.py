"""An option that is added as CONTRIBUTING.md shows goes all the way: flag, plan, record, infotext, and back."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from compat.sparse import whole_checkpoint, write_sparse
from generation import tiny
from patience import fair

from assetctl import Request
from assetctl.errors import UsageError
from assetctl.request import Use

pytest.importorskip("PIL.Image")

#: Adds the option before anything else is imported, and makes pictures without a model.
START = """
import json, os, sys
from pathlib import Path
import assetctl.options as options
Option = options.Option
options.OPTIONS = (*options.OPTIONS, {entry})
from PIL import Image
from assetctl import Output, Registry, Request
from assetctl.cli.main import run
from assetctl.request import Picture

class Painter:
    name, seen = "painter", []
    def environment(self, device, dtype, threads):
        return {{"device": device, "dtype": dtype, "threads": "1"}}
    def generate(self, plan, _):
        self.seen.append(plan.settings["glow"])
        for seed in plan.seeds:
            yield Picture(Image.new("RGB", (64, 64), (seed, 0, 0)), seed, self.environment("cpu", "fp32", 1))

painter, out = Painter(), Path("out.png")
small = dict(steps=1, width=64, height=64, seed=3)
"""


@pytest.fixture
def glowing(assetctl, tmp_path, home):
    """Runs Python in which pictures can glow, in a home with one checkpoint; returns the last line that it prints."""
    write_sparse(tmp_path / "files" / "dream.safetensors", whole_checkpoint())
    tiny.write_vocabulary(tmp_path / "files" / "dream.config" / "tokenizer")
    assetctl("import", tmp_path / "files")
    page = (Path(__file__).resolve().parents[2] / "CONTRIBUTING.md").read_text(encoding="utf-8")
    entry = re.search(r"```python\n(Option\(.*?\n\))\n```", page, re.DOTALL)
    assert entry is not None

    def python(code: str):
        command = [sys.executable, "-c", START.format(entry=entry[1]) + code]
        environment = os.environ | {"ASSETCTL_HOME": str(home)}
        done = subprocess.run(
            command, capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=fair(100), check=False
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return python


def test_a_new_option_is_a_flag_with_help_bounds_and_a_key_of_recipes(glowing, tmp_path):
    plan = glowing('run(["generate", "a cat", "--glow", "0.25", "--dry-run", "--json"])')
    assert plan["data"]["plan"]["glow"] == 0.25
    assert glowing('run(["generate", "a cat", "--dry-run", "--json"])')["data"]["plan"]["glow"] == 0.0
    refused = glowing('run(["generate", "a cat", "--glow", "2", "--json"])')
    assert refused["error"]["message"] == "--glow must be 0 to 1, not 2."
    assert glowing(
        "import io, contextlib as c\nwith c.redirect_stdout(io.StringIO()) as said:\n"
        '    run(["generate", "--help"])\nprint(json.dumps("How much the picture" in said.getvalue()))'
    )
    (tmp_path / "registry.toml").write_text("[recipes.warm]\nprompt = 'a cat'\nglow = 0.5\n")
    plan = glowing('run(["generate", "--recipe", "warm", "--dry-run", "--json"])')
    assert plan["data"]["plan"]["glow"] == 0.5


def test_a_new_option_is_recorded_and_made_again(glowing):
    seen = glowing("""
with Registry.open() as registry:
    made = registry.generate(Request.of("a cat", glow=0.75, output=Output(out), **small), backend=painter)
    again = registry.reproduce(out, out=Path("again.png"), backend=painter)
    plain = registry.generate(Request.of("a dog", output=Output(Path("plain.png")), **small), backend=painter)
    said = registry.inspect_picture(out).parameters
    bare = registry.inspect_picture(Path("plain.png")).parameters
    generation = registry.generation(1)
from PIL import Image as I
from PIL.PngImagePlugin import PngInfo
text = PngInfo()
text.add_text("parameters", I.open(out).info["parameters"])  # the infotext alone, as another program keeps it
I.open(out).save("bare.png", pnginfo=text)
with Registry.open() as registry:
    other = registry.plan_reproduction("bare.png", backend=painter)
print(json.dumps([
    painter.seen, again.comparison.status, said.fields.get("Glow"), said.settings.get("glow"), said.record["glow"],
    "Glow" in bare.fields, "glow" in bare.record, other.plan.settings["glow"], other.remarks,
]))
""")
    settings, compared, field, read, recorded, plain_field, plain_record, other, remarks = seen
    assert settings == [0.75, 0.75, 0.0]
    assert compared == "identical"
    assert (field, read, recorded) == ("0.75", 0.75, 0.75)
    assert not plain_field
    assert not plain_record
    assert other == 0.75
    assert not any("Glow" in remark for remark in remarks)


def test_a_new_option_is_in_the_command_that_history_shows(glowing):
    words = glowing("""
with Registry.open() as registry:
    registry.generate(Request.of("a cat", glow=0.5, output=Output(out), **small), backend=painter)
run(["history", "1", "--json"])
""")["data"]["command"]
    assert words[words.index("--glow") + 1] == "0.5"


def test_a_request_is_laid_over_another():
    base = Request.of("a cat", "dog", checkpoint="dream", loras=["style:0.5"], steps=10, cfg_scale=3)
    typed = Request.of(checkpoint="other", loras=["whiskers"], cfg_scale=5, seed=0)
    both = typed.over(base)
    assert both.uses == (Use("checkpoint", "other"), Use("lora", "style", 0.5), Use("lora", "whiskers"))
    assert (both.prompt, both.negative_prompt) == ("a cat", "dog")
    assert both.settings == {"steps": 10, "cfg_scale": 5, "seed": 0}
    assert Request().over(base) == base


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"stepps": 4}, "no option 'stepps'"),
        ({"steps": 4.5}, "--steps must be a whole number"),
        ({"steps": True}, "--steps must be a whole number"),
        ({"cfg_scale": float("nan")}, "--cfg must be a number"),
        ({"seed": 2**64}, "--seed must be -1 to 18446744073709551615"),
        ({"sampler": "Eulr"}, "no sampler 'Eulr'"),
        ({"width": 65}, "width must be a multiple of 8"),
    ],
)
def test_what_makes_no_sense_is_refused_when_it_is_asked_for(settings, said):
    with pytest.raises(UsageError, match=re.escape(said)):
        Request.of("a cat", **settings)
