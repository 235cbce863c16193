"""What a command that only reads may import."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from material import write_lora

from assetctl.catalog import Catalog

HEAVY = {
    "torch",
    "diffusers",
    "transformers",
    "peft",
    "alembic",
    "sqlalchemy",
    "huggingface_hub",
    "numpy",
    "PIL",
    "pydantic",
}


def imported(tmp_path, *arguments: str) -> set[str]:
    """Top-level packages that `python -m assetctl ARGUMENTS` imports, as `-X importtime` names them."""
    ended = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "assetctl", *arguments],
        env={**os.environ, "ASSETCTL_HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [line for line in ended.stderr.splitlines() if line.startswith("import time:")]
    assert lines
    return {line.rsplit("|", 1)[1].strip().split(".")[0] for line in lines}


@pytest.mark.parametrize("arguments", [("list",), ("list", "--json"), ("search", "cat"), ("--version",), ("--help",)])
def test_reading_commands_import_nothing_heavy(tmp_path, arguments):
    Catalog(tmp_path / "home" / "catalog.db").close()
    assert imported(tmp_path, *arguments) & HEAVY == set()


@pytest.mark.parametrize("arguments", [("pull",), ("import", "--no-hash")])
def test_what_is_new_is_added_without_the_orm(tmp_path, arguments):
    lora = write_lora(tmp_path / "whiskers.safetensors")
    Catalog(tmp_path / "home" / "catalog.db").close()
    assert imported(tmp_path, *arguments, str(lora)) & HEAVY == set()


@pytest.mark.parametrize("arguments", [("edit", "--tag", "cats"), ("verify",), ("inspect",), ("rm", "--yes")])
def test_what_is_changed_is_written_without_the_orm(tmp_path, arguments):
    command, *options = arguments
    imported(tmp_path, "import", "--no-hash", str(write_lora(tmp_path / "whiskers.safetensors")))
    assert imported(tmp_path, command, "whiskers", *options) & HEAVY == set()


def test_importing_the_package_costs_next_to_nothing():
    code = "import sys, assetctl; print(*sorted({m.split('.')[0] for m in sys.modules}))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(ended.stdout.split()) & (HEAVY | {"typer", "rich", "sqlite3"}) == set()
