"""Start-up, against the Hub's own command line; and a small change, against reading."""

from __future__ import annotations

from typing import TYPE_CHECKING

from material import small_loras
from measure import BIN, Row, interleaved, seconds

if TYPE_CHECKING:
    from pathlib import Path


def rows(folder: Path, runs: int = 9) -> list[Row]:
    """`--version` against `hf --version`; a list of 1,000 assets against `hf cache ls`, and an edit against it."""
    small_loras(folder / "thousand", 1000)
    environment = {"ASSETCTL_HOME": str(folder / "startup-home"), "HF_HOME": str(folder / "hf"), "HF_HUB_OFFLINE": "1"}
    (folder / "hf" / "hub").mkdir(parents=True)
    seconds([BIN / "assetctl", "import", "--no-hash", folder / "thousand"], environment)
    name = next((folder / "thousand").rglob("*.safetensors")).stem
    version, hf_version, listing, hf_listing, editing = interleaved(
        runs,
        lambda: seconds([BIN / "assetctl", "--version"], environment),
        lambda: seconds([BIN / "hf", "--version"], environment),
        lambda: seconds([BIN / "assetctl", "list", "--json"], environment),
        lambda: seconds([BIN / "hf", "cache", "ls"], environment),
        lambda: seconds([BIN / "assetctl", "edit", name, "--tag", "cats"], environment),
    )
    return [
        Row("assetctl --version", "hf --version", version, hf_version, 0.7),
        Row("assetctl list --json, 1,000 assets", "hf cache ls, empty", listing, hf_listing, 1.2),
        Row("assetctl edit, one of 1,000 assets", "assetctl list --json, 1,000 assets", editing, listing, 1.5),
    ]
