"""Distilled models and LoRAs, with settings that are not theirs.

They were trained to need few steps and no classifier-free guidance; a usual model's settings burn their pictures.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from assetctl.compat.check import Rule
from assetctl.identify.plugins import family_called

if TYPE_CHECKING:
    from collections.abc import Iterator

    from assetctl.compat.check import Context
    from assetctl.types import Finding

RULE = Rule(
    "distilled",
    "Turbo, Lightning, Hyper, LCM and schnell get the steps and the CFG that they were made for.",
    {"warning": "A distilled checkpoint or LoRA is used with too many or too few steps, or too high a CFG."},
)


def check(context: Context) -> Iterator[Finding]:
    """Compare steps and CFG with what each distilled asset wants, if they are known."""
    selection = context.selection
    steps, scale = (selection.settings.get(name) for name in ("steps", "cfg_scale"))
    active = (use.asset for use in selection.uses if use.weight and use.role in ("checkpoint", "lora"))
    for asset in dict.fromkeys(active):
        family = family_called(asset.family)
        fit = None if family is None else family.distilled.get(asset.base_model or "")
        if fit is None:
            continue
        wrong, right = [], []
        if steps is not None and not fit.fewest <= steps <= fit.most:
            wrong.append(f"{steps} {'step' if steps == 1 else 'steps'}")
            right.append(f"--steps {min(max(steps, fit.fewest), fit.most)}")
        if scale is not None and scale > fit.cfg:
            wrong.append(f"a CFG of {scale:g}")
            right.append(f"--cfg {min(fit.cfg, 1.5):g}")
        if wrong:
            message = (
                f"{asset.name} is {asset.base_model}, made for {fit.fewest} to {fit.most} steps and a CFG up to "
                f"{fit.cfg:g}, and gets {' and '.join(wrong)}."
            )
            yield RULE.finding("warning", message, f"Try `{' '.join(right)}`.", asset)
