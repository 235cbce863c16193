"""Assets in a format that is never loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assetctl.compat.check import Rule
from assetctl.errors import UnusableError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from assetctl.compat.check import Context
    from assetctl.types import Finding

RULE = Rule(
    "format",
    "Every asset is a safetensors file or a diffusers folder.",
    {
        "error": "assetctl is to load a pickle, which could run code, a GGUF file, or an embedding inside a picture.",
        "warning": "An asset is one of these; other programs may load it.",
    },
    generating=True,
    told_as=UnusableError,
)

_CALLED = {"pickle": "a pickle", "gguf": "a GGUF file", "png": "an embedding inside a picture"}


def check(context: Context) -> Iterator[Finding]:
    """Look at the format that the catalog has; `unreadable_file` tells of files that changed since."""
    for asset in dict.fromkeys(context.selection.assets()):
        if asset.format in _CALLED:
            message = f"{asset.name} is {_CALLED[asset.format]}, which `generate` does not load."
            convert = f"`assetctl convert {asset.typed}` makes a safetensors file of it."
            hint = convert if asset.format != "gguf" else "Choose a safetensors version of it."
            yield RULE.finding("error" if context.generating else "warning", message, hint, asset)
