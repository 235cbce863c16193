"""Checkpoints that do not say what they predict, where that matters."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from assetctl.compat.check import Rule
from assetctl.identify.plugins import assumed_prediction

if TYPE_CHECKING:
    from collections.abc import Iterator

    from assetctl.compat.check import Context
    from assetctl.types import Asset, Finding

RULE = Rule(
    "prediction",
    "A checkpoint in a single file says whether it predicts epsilon or v, where it could be either.",
    {"warning": "It does not say, and its family's usual one is assumed: of SD 2 v, else epsilon."},
)

#: How v-prediction models are called: NoobAI-XL-Vpred, sdxl_v-pred, v_prediction. Merges lose what marks them.
_NAMED_V = re.compile(r"(?<![a-z])v[-_ .]?pred(?:iction)?(?![a-z])", re.IGNORECASE)


def check(context: Context) -> Iterator[Finding]:
    """Nothing in the tensors tells the two apart; a folder's configuration does."""
    asset = context.selection.checkpoint
    assumed = None if asset is None else assumed_prediction(asset)
    if asset is not None and assumed is not None:
        message = f"{asset.name} does not say what it predicts; {assumed} is assumed."
        hint = f"If pictures are noise, it is an epsilon model: `assetctl edit {asset.typed} --prediction epsilon`."
        yield RULE.finding("warning", message, hint, asset)
    elif asset is not None and asset.prediction is None and asset.format == "safetensors" and _says_v(asset):
        message = f"{asset.name} is called a v-prediction model, and its file does not say so: epsilon is assumed."
        hint = f"`assetctl edit {asset.typed} --prediction v_prediction` says that it is one, epsilon that it is not."
        yield RULE.finding("warning", message, hint, asset)


def _says_v(asset: Asset) -> bool:
    """Whether its name, or that of its file, does."""
    return any(map(_NAMED_V.search, (asset.name, Path(asset.path).stem)))
