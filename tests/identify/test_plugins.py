"""A new family is one new file; a third party's is an entry point."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from headers import lora, write_safetensors

import assetctl
from assetctl.identify.plugins import families, family_called

FAMILY = """
from assetctl.identify.features import Family, Features, Match, certain


def _match(features: Features) -> Match | None:
    return certain(features.denoiser and features.outline.begins("novel_blocks."), "it has novel blocks")


FAMILY = Family("novel", _match, said="novel")
"""
IDENTIFY = (
    "import pathlib, sys; from assetctl.identify import identify; print(identify(pathlib.Path(sys.argv[1])).family)"
)


def identified_with(tmp_path, extra, first=""):
    path = write_safetensors(tmp_path / "a.safetensors", lora({"diffusion_model.novel_blocks.0.mixer": (8, 8)}))
    root = Path(__file__).resolve().parents[2]
    return subprocess.run(
        [sys.executable, "-c", first + IDENTIFY, str(path)],
        env={"PYTHONPATH": f"{extra}:{root}"}, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_the_family_that_contributing_shows_is_a_family(tmp_path):
    page = (Path(__file__).resolve().parents[2] / "CONTRIBUTING.md").read_text(encoding="utf-8")
    shown = re.search(r"^```python\n(.*?)^```$", page, re.DOTALL | re.MULTILINE).group(1)
    (tmp_path / "novel.py").write_text(shown)
    code = (
        f"import sys, pathlib, assetctl.identify.families as f; f.__path__.append({str(tmp_path)!r})\n"
        "from assetctl.identify import identify\n"
        "for path in sys.argv[1:]:\n"
        "    found = identify(pathlib.Path(path))\n"
        "    print(found.family, found.confidence, found.base_model, found.prediction)"
    )
    to_q = {"novel_blocks.0.attn.to_q": (1792, 1792)}
    files = {
        "bare": lora({f"diffusion_model.{name}": size for name, size in to_q.items()}, down="lora_A", up="lora_B"),
        "kohya": lora({"lora_unet_novel_blocks_0_attn_to_q": (1792, 1792)}),
        "narrow": lora({"diffusion_model.novel_blocks.0.attn.to_q": (64, 64)}),
        "other": lora({"diffusion_model.other_blocks.0.attn.to_q": (1792, 1792)}),
    }
    said = {"ss_sd_model_name": "novel-2.safetensors"}
    paths = [write_safetensors(tmp_path / f"{name}.safetensors", shapes, said) for name, shapes in files.items()]
    done = subprocess.run([sys.executable, "-c", code, *paths], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "novel certain Novel 2 flow",
        "novel certain Novel 2 flow",
        "None unknown None None",
        "None unknown None None",
    ]


def provider(tmp_path, content):
    (tmp_path / "novel.py").write_text(content)
    (tmp_path / "novel-1.0.dist-info").mkdir()
    (tmp_path / "novel-1.0.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: novel\nVersion: 1.0\n")
    (tmp_path / "novel-1.0.dist-info/entry_points.txt").write_text("[assetctl.families]\nnovel = novel:FAMILY\n")


def test_a_file_in_the_folder_is_a_family(tmp_path):
    folder = tmp_path / "families"
    folder.mkdir()
    (folder / "novel.py").write_text(FAMILY)
    first = f"import assetctl.identify.families as f; f.__path__.append({str(folder)!r}); "
    assert identified_with(tmp_path, "", first).stdout == "novel\n"


def test_an_entry_point_is_a_family(tmp_path):
    provider(tmp_path, FAMILY)
    assert identified_with(tmp_path, tmp_path).stdout == "novel\n"


@pytest.mark.parametrize(
    "content", ["import absent_module", "FAMILY = 1", "", FAMILY.replace('"novel", _', '"sd1", _')]
)
def test_a_broken_plug_in_is_named(tmp_path, content):
    provider(tmp_path, content)
    assert "UsageError: " in identified_with(tmp_path, tmp_path).stderr


def test_importing_identify_loads_no_kind_or_family():
    code = "import sys, assetctl.identify; print([m for m in sys.modules if m.startswith('assetctl.identify.')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_family_of_another_package_is_found_by_its_name(tmp_path):
    provider(tmp_path, FAMILY)
    code = "from assetctl.identify.plugins import family_called as f; print(f('novel').latent_space, f('novel').driven)"
    found = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.stdout == "novel None\n", found.stderr


@pytest.mark.parametrize("name", ["__init__", "z_image", "SD1", "", "a.b", "../sd1", "nobody's", None])
def test_what_no_family_is_called_is_none(name):
    assert family_called(name) is None


def named_in(source: str) -> set[str]:
    """Words of the source that are strings by themselves, docstrings and longer texts aside."""
    strings = (node.value for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant))
    return {string for string in strings if isinstance(string, str)}


def test_what_is_particular_to_a_family_stands_with_the_family():
    names = {family.name for family in families()}
    package = Path(assetctl.__file__).parent
    elsewhere = [path for path in package.rglob("*.py") if path.parent != package / "identify/families"]
    found = {
        (path.relative_to(package).as_posix(), name)
        for path in elsewhere
        for name in named_in(path.read_text()) & names
    }
    # how the tensors of an embedding for SDXL are named is called after it
    assert found == {("identify/kinds/embedding.py", "sdxl")}
