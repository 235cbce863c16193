"""What a fresh process does: what it loads, what it opens, and which rules of other packages it finds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from compat.sparse import low_rank, tiny_checkpoint

if TYPE_CHECKING:
    from pathlib import Path

    from compat.sparse import Make

MODULE = "lora_unet_down_blocks_0_resnets_0_conv1"

CHECK = """
import json, sys
opened = []
sys.addaudithook(lambda event, args: opened.append(str(args[0])) if event == "open" else None)
from assetctl.compat.check import run_rules
from assetctl.types import Asset, AssetUse, Selection
def asset(path, size, kind):
    return Asset(1, kind, kind, "sd1", None, None, None, "safetensors", None, size, None, None, (), (), path, False)
base, lora, embedding = (asset(*given) for given in json.loads(sys.argv[1]))
report = run_rules(Selection(tuple(AssetUse(each.kind, each) for each in (base, lora, embedding))))
assert report.ok and report.coverage[0].matched == 1, report
print(json.dumps({"opened": opened, "loaded": sorted(sys.modules)}))
"""

PLUGIN = """
from assetctl.compat.check import Rule
RULE = Rule({name!r}, "No selection is good enough.", {{"info": "Always."}})
def check(context):
    yield RULE.finding("info", "Never good enough.", None)
"""

LIST = """
from assetctl.compat.check import list_rules, run_rules
from assetctl.errors import AssetctlError
from assetctl.types import Selection
try:
    print([rule.name for rule in list_rules()], [finding.rule for finding in run_rules(Selection()).findings])
except AssetctlError as error:
    print(error.code, error.message, error.hint)
"""


def python(*arguments: str, path: Path | None = None) -> str:
    environment = os.environ | ({} if path is None else {"PYTHONPATH": str(path)})
    done = subprocess.run(
        [sys.executable, "-c", *arguments], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def install_rule(folder: Path, name: str, reference: str = "never_rule") -> None:
    (folder / "never_rule.py").write_text(PLUGIN.format(name=name))
    info = folder / "never-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: never\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[assetctl.rules]\nnever = {reference}\n")


def test_check_opens_each_file_once_and_loads_nothing_heavy(asset: Make):
    made = [
        asset("base", "checkpoint", "sd1", tiny_checkpoint()),
        asset("style", "lora", "sd1", low_rank(MODULE, 8, [8, 3, 3])),
        asset("token", "embedding", "sd1", {"emb_params": [1, 768]}),
    ]
    seen = json.loads(python(CHECK, json.dumps([(one.path, one.size, one.kind) for one in made])))
    assert [seen["opened"].count(one.path) for one in made] == [1, 1, 2]  # an embedding's numbers are looked at too
    heavy = {"torch", "diffusers", "transformers", "sqlalchemy", "sqlite3", "typer", "rich", "huggingface_hub"}
    assert not heavy & set(seen["loaded"])
    assert not [name for name in seen["loaded"] if name.startswith(("assetctl.catalog", "assetctl.store"))]


def test_rule_of_another_package_takes_part(tmp_path: Path):
    install_rule(tmp_path, "never_enough")
    printed = python(LIST, path=tmp_path)
    assert printed.count("never_enough") == 2


@pytest.mark.parametrize(
    ("name", "reference", "sentence"),
    [
        ("family", "never_rule", "two rules named family"),
        ("never_enough", "no_such_module", "cannot be loaded"),
        ("never_enough", "never_rule:RULE", "is no rule"),
    ],
)
def test_broken_rule_of_another_package_is_named(tmp_path: Path, name: str, reference: str, sentence: str):
    install_rule(tmp_path, name, reference)
    printed = python(LIST, path=tmp_path)
    assert sentence in printed
    assert "ninstall the package" in printed
