"""assetctl: a package manager for Stable Diffusion assets.

    from assetctl import Registry

    with Registry.open() as registry:
        registry.pull("hf://ORG/REPO/FILE.safetensors")

Names are loaded when they are first used, so that `import assetctl` costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from assetctl import errors, identify
    from assetctl.errors import AssetctlError
    from assetctl.operations.library.edit import Changes
    from assetctl.registry import Registry
    from assetctl.request import Output, Request
    from assetctl.run import Cancelled, Run
    from assetctl.types import Asset, CheckReport, Finding, Identification

__all__ = [
    "Asset",
    "AssetctlError",
    "Cancelled",
    "Changes",
    "CheckReport",
    "Finding",
    "Identification",
    "Output",
    "Registry",
    "Request",
    "Run",
    "errors",
    "identify",
]

_HOMES = {
    "Asset": "types",
    "AssetctlError": "errors",
    "Cancelled": "run",
    "Changes": "operations.library.edit",
    "CheckReport": "types",
    "Finding": "types",
    "Identification": "types",
    "Output": "request",
    "Registry": "registry",
    "Request": "request",
    "Run": "run",
}


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import version  # noqa: PLC0415 - 10 ms that nothing else pays

        return version("assetctl")
    if name in ("errors", "identify"):
        return importlib.import_module(f"{__name__}.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__, "__version__"])
