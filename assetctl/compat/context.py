"""What every rule may ask of a selection; each file is read at most once."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from assetctl.compat.coverage import coverage
from assetctl.compat.folder import read_networks
from assetctl.compat.modules import Modules, modules_of_file, modules_of_networks
from assetctl.errors import AssetctlError
from assetctl.files.headers import read_any_header

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from assetctl.files.safetensors import Header
    from assetctl.types import Asset, Coverage, Selection


@dataclass(frozen=True)
class Context:
    """A selection, and what the headers of its files say.

    Attributes:
        selection: What is checked.
        failures: Path to the error of each file that could not be read so far.
    """

    selection: Selection
    failures: dict[str, AssetctlError] = field(default_factory=dict)
    _headers: dict[str, Header | None] = field(default_factory=dict, repr=False)

    def header(self, asset: Asset) -> Header | None:
        """Header of a single-file asset; `None` for a folder and for what can not be read (see `failures`)."""
        if asset.path not in self._headers:
            self._headers[asset.path] = self._read(asset)
        return self._headers[asset.path]

    @cached_property
    def modules(self) -> Modules | None:
        """Modules of the checkpoint; `None` without one, or where its names are none of those that we know."""
        checkpoint = self.selection.checkpoint
        if checkpoint is None or checkpoint.kind not in ("checkpoint", "diffusion-model"):
            return None
        if checkpoint.format != "diffusers":
            header = self.header(checkpoint)
            return None if header is None else modules_of_file(header)
        return modules_of_networks(self.networks) if self.networks else None

    @cached_property
    def networks(self) -> Mapping[str, list[Header]]:
        """Headers of the networks of a checkpoint that is a diffusers folder; empty for what can not be read."""
        checkpoint = self.selection.checkpoint
        if checkpoint is None or checkpoint.format != "diffusers":
            return {}
        try:
            return read_networks(Path(checkpoint.path))
        except AssetctlError as error:
            self.failures[checkpoint.path] = error
            return {}

    def headers(self) -> Iterator[Header]:
        """Headers of all files that would be loaded, each once."""
        for asset in dict.fromkeys(self.selection.assets()):
            header = self.header(asset)
            if header is not None:
                yield header
        for parts in self.networks.values():
            yield from parts

    @cached_property
    def coverage(self) -> tuple[tuple[Asset, Coverage], ...]:
        """What each LoRA would change in the checkpoint; nothing where one of the two can not be told."""
        loras = {use.asset.path: use.asset for use in self.selection.loras if use.asset.kind == "lora"}
        modules = self.modules
        if modules is None:
            return ()
        headers = ((lora, self.header(lora)) for lora in loras.values())
        return tuple((lora, coverage(lora.name, header, modules)) for lora, header in headers if header is not None)

    def _read(self, asset: Asset) -> Header | None:
        if asset.format == "diffusers":
            return None
        try:
            return read_any_header(Path(asset.path))
        except AssetctlError as error:
            self.failures[asset.path] = error
            return None
