"""The contracts of imports: no module is forgotten by them."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]

#: Who alone may import what a contract forbids to all others.
OWNERS = {"typer": {"cli"}, "sqlalchemy": {"catalog"}, "huggingface_hub": {"sources"}}


def test_what_one_module_may_import_is_forbidden_to_each_other():
    modules = {path.stem for path in (ROOT / "assetctl").iterdir() if path.is_dir() or path.suffix == ".py"}
    modules = {name for name in modules if not name.startswith(("_", "."))}
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    forbidding = [each for each in contracts if each.get("forbidden_modules", [""])[0] in OWNERS]
    assert len(forbidding) == len(OWNERS)
    for contract in forbidding:
        named = {name.removeprefix("assetctl.") for name in contract["source_modules"]}
        assert named == modules - OWNERS[contract["forbidden_modules"][0]], contract["name"]


def test_nobody_else_knows_what_is_private_to_the_sources():
    """Neither `from assetctl.sources import _module` nor `from assetctl.sources.base import _name`."""
    sources = ROOT / "assetctl" / "sources"
    others = [path for path in (ROOT / "assetctl").rglob("*.py") if not path.is_relative_to(sources)]
    imported = {
        f"{node.module}.{alias.name}"
        for path in others
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("assetctl.sources")
        for alias in node.names
    }
    assert imported
    assert not [name for name in imported if "._" in name]
