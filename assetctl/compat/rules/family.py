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
    {
        "error": "An asset was made for another architecture.",
        "warning": "An asset was taken for another architecture, but its tensors fit the checkpoint's as well.",
    },
)


def check(context: Context) -> Iterator[Finding]:
    """Compare each family, or of VAEs the latents, with that of the checkpoint, or of the first asset that has one."""
    selection = context.selection
    known = [asset for asset in selection.assets() if asset.family is not None]
    first = known[0] if selection.checkpoint is None and known else selection.checkpoint
    if first is None or first.family is None:
        return
    yield from _of_vae(context, selection.vae, first)
    for asset in known:
        vae = selection.vae in (asset, first)
        if not _comparable(asset.family, vae=vae) & _comparable(first.family, vae=vae):
            yield _doubt(context, asset, first, vae=vae) or _finding(
                context, asset, first, "vae" if asset == selection.vae else asset.kind
            )


def _of_vae(context: Context, vae: Asset | None, first: Asset) -> Iterator[Finding]:
    """See that a VAE that could be for several families could be for this one, if it is known whose VAEs it takes."""
    family = family_called(first.family)
    if vae is None or vae.family is not None or vae.kind != "vae" or family is None or not family.tells_latents:
        return
    allowed = context.families_of(vae)
    if allowed and not any(_comparable(name, vae=True) & family.latent_spaces for name in allowed):
        message = f"{vae.name} is for {' or '.join(allowed)} by its tensors, and {first.name} is {first.family}."
        hint = f"`assetctl list --fits {first.typed} --kind vae` shows what fits."
        yield RULE.finding("error", message, hint, vae, first)


def _comparable(name: str | None, *, vae: bool) -> frozenset[str | None]:
    family = family_called(name) if vae else None
    return frozenset({name}) if family is None else family.latent_spaces


def _doubt(context: Context, asset: Asset, first: Asset, *, vae: bool) -> Finding | None:
    """What is said where one of them may as well be of the other's family; a checkpoint is what it was taken for."""
    pairs = [(asset, first)] if context.selection.checkpoint is not None else [(asset, first), (first, asset)]
    for one, other in pairs:
        if not vae and context.may_be(one, other.family):
            message = f"{one.name} was taken for {one.family}, but its tensors fit {other.family} as well, "
            message += f"which {other.name} is."
            return RULE.finding("warning", message, context.to_set_family(one, str(other.family)), one, other)
    return None


def _finding(context: Context, asset: Asset, first: Asset, sought: str) -> Finding:
    message = f"{asset.name} is of family {asset.family}, and {first.name} is {first.family}."
    hint = f"`assetctl list --kind {sought} --family {first.family}` shows what fits."
    set_right = context.to_set_family(asset, str(first.family))
    if context.set_by_hand(first, "family") and not context.set_by_hand(asset, "family"):
        set_right = context.to_set_family(first, str(asset.family))
    return RULE.finding("error", message, " ".join(filter(None, [hint, set_right])), asset, first)
