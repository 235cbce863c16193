"""Assets of different families."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assetctl.compat.check import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from assetctl.compat.check import Context
    from assetctl.types import Asset, Finding

RULE = Rule(
    "family",
    "All assets, ControlNets too, are of the checkpoint's family, or of one family where there is no checkpoint.",
    {"error": "An asset was made for another architecture."},
)

#: Families whose latents are the same, so that they share VAEs.
_SAME_LATENTS = {"sd2": "sd1", "sdxl-refiner": "sdxl"}


def check(context: Context) -> Iterator[Finding]:
    """Compare each family with that of the checkpoint, or of the first asset that has one."""
    selection = context.selection
    known = [asset for asset in selection.assets() if asset.family is not None]
    first = known[0] if selection.checkpoint is None and known else selection.checkpoint
    if first is None or first.family is None:
        return
    for asset in known:
        vae = selection.vae in (asset, first)
        if _comparable(asset.family, vae=vae) != _comparable(first.family, vae=vae):
            yield _finding(asset, first, "vae" if asset == selection.vae else asset.kind)


def _comparable(family: str | None, *, vae: bool) -> str | None:
    return _SAME_LATENTS.get(family or "", family) if vae else family


def _finding(asset: Asset, first: Asset, sought: str) -> Finding:
    message = f"{asset.name} is of family {asset.family}, and {first.name} is {first.family}."
    hint = (
        f"`assetctl list --kind {sought} --family {first.family}` shows what fits; "
        f"`assetctl edit {asset.typed} --family {first.family}` if the family is wrong."
    )
    return RULE.finding("error", message, hint, asset, first)
