"""Assets of different families."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assetctl.compat.check import Rule
from assetctl.identify.plugins import family_called

if TYPE_CHECKING:
    from collections.abc import Iterator

    from assetctl.compat.check import Context
    from assetctl.types import Asset, Finding

RULE = Rule(
    "family",
    "All assets, ControlNets too, are of the checkpoint's family, or of one family where there is no checkpoint.",
    {"error": "An asset was made for another architecture."},
)


def check(context: Context) -> Iterator[Finding]:
    """Compare each family, or of VAEs the latents, with that of the checkpoint, or of the first asset that has one."""
    selection = context.selection
    known = [asset for asset in selection.assets() if asset.family is not None]
    first = known[0] if selection.checkpoint is None and known else selection.checkpoint
    if first is None or first.family is None:
        return
    for asset in known:
        vae = selection.vae in (asset, first)
        if _comparable(asset.family, vae=vae) != _comparable(first.family, vae=vae):
            yield _finding(asset, first, "vae" if asset == selection.vae else asset.kind)


def _comparable(name: str | None, *, vae: bool) -> str | None:
    family = family_called(name) if vae else None
    return name if family is None else family.latent_space


def _finding(asset: Asset, first: Asset, sought: str) -> Finding:
    message = f"{asset.name} is of family {asset.family}, and {first.name} is {first.family}."
    hint = (
        f"`assetctl list --kind {sought} --family {first.family}` shows what fits; "
        f"`assetctl edit {asset.typed} --family {first.family}` if the family is wrong."
    )
    return RULE.finding("error", message, hint, asset, first)
