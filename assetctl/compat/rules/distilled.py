"""Distilled models and LoRAs, with settings that are not theirs.

They were trained to need few steps and no classifier-free guidance; a usual model's settings burn their pictures.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from assetctl.compat.check import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from assetctl.compat.check import Context
    from assetctl.types import Finding

RULE = Rule(
    "distilled",
    "Turbo, Lightning, Hyper, LCM and schnell get the steps and the CFG that they were made for.",
    {"warning": "A distilled checkpoint or LoRA is used with too many or too few steps, or too high a CFG."},
)


@dataclass(frozen=True, slots=True)
class _Fit:
    """Fewest and most steps, and the highest CFG."""

    fewest: int
    most: int
    cfg: float


#: What their authors' pages ask for, with some room.
_FITS = {
    "SDXL Turbo": _Fit(1, 8, 2),
    "SDXL Lightning": _Fit(2, 10, 2),
    "SDXL Hyper": _Fit(1, 12, 5),
    "SDXL 1.0 LCM": _Fit(2, 12, 2.5),
    "SD 1.5 Hyper": _Fit(1, 12, 5),
    "SD 1.5 LCM": _Fit(2, 12, 2.5),
    "Flux.1 S": _Fit(1, 8, 1),
}


def check(context: Context) -> Iterator[Finding]:
    """Compare steps and CFG with what each distilled asset wants, if they are known."""
    selection = context.selection
    first = () if selection.checkpoint is None else (selection.checkpoint,)
    active = [use.asset for use in selection.loras if use.weight]
    for asset in dict.fromkeys((*first, *active)):
        fit = _FITS.get(asset.base_model or "")
        if fit is None:
            continue
        wrong, right = [], []
        if selection.steps is not None and not fit.fewest <= selection.steps <= fit.most:
            wrong.append(f"{selection.steps} {'step' if selection.steps == 1 else 'steps'}")
            right.append(f"--steps {min(max(selection.steps, fit.fewest), fit.most)}")
        if selection.cfg_scale is not None and selection.cfg_scale > fit.cfg:
            wrong.append(f"a CFG of {selection.cfg_scale:g}")
            right.append(f"--cfg {min(fit.cfg, 1.5):g}")
        if wrong:
            message = (
                f"{asset.name} is {asset.base_model}, made for {fit.fewest} to {fit.most} steps and a CFG up to "
                f"{fit.cfg:g}, and gets {' and '.join(wrong)}."
            )
            yield RULE.finding("warning", message, f"Try {' '.join(right)}.", asset)
