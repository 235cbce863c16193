"""A checkpoint whose headers are read when they are first asked for, and then kept."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from assetctl.compat.folder import read_networks
from assetctl.compat.modules import Modules, modules_of_file, modules_of_networks
from assetctl.errors import AssetctlError
from assetctl.files.headers import read_any_header

if TYPE_CHECKING:
    from collections.abc import Mapping

    from assetctl.files.safetensors import Header
    from assetctl.types import Asset


@dataclass(frozen=True)
class Opened:
    """A checkpoint, and what the headers of its files say.

    Attributes:
        asset: The checkpoint.
        failures: Its path to the error, once it could not be read.
    """

    asset: Asset
    failures: dict[str, AssetctlError] = field(default_factory=dict)

    @cached_property
    def header(self) -> Header | None:
        """Header of a single file; `None` for a folder and for what can not be read."""
        if self.asset.format == "diffusers":
            return None
        try:
            return read_any_header(Path(self.asset.path))
        except AssetctlError as error:
            self.failures[self.asset.path] = error
            return None

    @property
    def readable(self) -> bool:
        """Whether its files are there and whole."""
        return bool(self.header or self.networks)

    @cached_property
    def networks(self) -> Mapping[str, list[Header]]:
        """Headers of the networks of a diffusers folder; empty for a file and for what can not be read."""
        if self.asset.format != "diffusers":
            return {}
        try:
            return read_networks(Path(self.asset.path))
        except AssetctlError as error:
            self.failures[self.asset.path] = error
            return {}

    @cached_property
    def modules(self) -> Modules | None:
        """What a LoRA can change in it; `None` where its names are none of those that we know."""
        if self.asset.kind not in ("checkpoint", "diffusion-model"):
            return None
        if self.header is not None:
            return modules_of_file(self.header)
        return modules_of_networks(self.networks) if self.networks else None
