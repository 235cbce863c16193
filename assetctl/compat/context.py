"""What every rule may ask of a selection; each file is read at most once."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from assetctl.compat.coverage import coverage
from assetctl.compat.opened import Opened
from assetctl.errors import AssetctlError
from assetctl.files.headers import read_any_header

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from assetctl.compat.modules import Modules
    from assetctl.files.safetensors import Header
    from assetctl.types import Asset, Coverage, Selection


@dataclass(frozen=True)
class Context:
    """A selection, and what the headers of its files say.

    Attributes:
        selection: What is checked.
        reused: Its checkpoint, opened before; who checks several selections with it reads it once.
    """

    selection: Selection
    reused: Opened | None = None
    _failures: dict[str, AssetctlError] = field(default_factory=dict, repr=False)
    _headers: dict[str, Header | None] = field(default_factory=dict, repr=False)

    def header(self, asset: Asset) -> Header | None:
        """Header of a single-file asset; `None` for a folder and for what can not be read (see `failure`)."""
        if asset.path not in self._headers:
            self._headers[asset.path] = self._read(asset)
        return self._headers[asset.path]

    @cached_property
    def opened(self) -> Opened | None:
        """The checkpoint, if there is one."""
        checkpoint = self.selection.checkpoint
        return self.reused or (None if checkpoint is None else Opened(checkpoint))

    @property
    def modules(self) -> Modules | None:
        """Modules of the checkpoint; `None` without one, or where its names are none of those that we know."""
        return None if self.opened is None else self.opened.modules

    @property
    def networks(self) -> Mapping[str, list[Header]]:
        """Headers of the networks of a checkpoint that is a diffusers folder; empty for what can not be read."""
        return {} if self.opened is None else self.opened.networks

    def failure(self, asset: Asset) -> AssetctlError | None:
        """Why an asset's file or folder can not be read, if that is so."""
        self.header(asset)
        if self.opened is not None and self.opened.asset.path == asset.path:
            _ = self.opened.networks
            return self.opened.failures.get(asset.path)
        return self._failures.get(asset.path)

    def headers(self) -> Iterator[Header]:
        """Headers of all files that would be loaded, each once."""
        for asset in dict.fromkeys(self.selection.assets()):
            header = self.header(asset)
            if header is not None:
                yield header
        for parts in self.networks.values():
            yield from parts

    @cached_property
    def loras(self) -> tuple[Asset, ...]:
        """What is used as a LoRA and is one, each once."""
        return tuple(dict.fromkeys(use.asset for use in self.selection.loras if use.asset.kind == "lora"))

    @cached_property
    def coverage(self) -> tuple[tuple[Asset, Coverage], ...]:
        """What each LoRA would change in the checkpoint; none of those that can not be compared with it."""
        modules = self.modules
        if modules is None:
            return ()
        headers = ((lora, self.header(lora)) for lora in self.loras)
        found = ((lora, coverage(lora.name, header, modules)) for lora, header in headers if header is not None)
        return tuple(
            (lora, each) for lora, each in found if modules.all_spellings or each.matched or each.shape_conflicts
        )

    def _read(self, asset: Asset) -> Header | None:
        if self.opened is not None and self.opened.asset.path == asset.path:
            return self.opened.header
        if asset.format == "diffusers":
            return None
        try:
            return read_any_header(Path(asset.path))
        except AssetctlError as error:
            self._failures[asset.path] = error
            return None
