"""Assets whose family nobody knows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assetctl.compat.check import Rule
from assetctl.identify.plugins import family_called

if TYPE_CHECKING:
    from collections.abc import Iterator

    from assetctl.compat.check import Context
    from assetctl.types import Asset, Finding

RULE = Rule(
    "unknown_family",
    "The family of every asset is known. That of a VAE need not be, where all that it could be share their latents.",
    {"warning": "Whether an asset fits cannot be told.", "info": "A VAE may be for the checkpoint, or not."},
)


def check(context: Context) -> Iterator[Finding]:
    """Name the assets without a family, and the families that each could be of."""
    for asset in dict.fromkeys(context.selection.assets()):
        if asset.kind == "vae":
            yield from _of_vae(context, asset)
        elif asset.family is None:
            message = f"The family of {asset.name} is unknown, so nobody can tell what it works with."
            setting = _setting(context, asset, "FAMILY")
            yield RULE.finding("warning", message, f"{setting}; {_where_to_look(context, asset)}.", asset)


def _setting(context: Context, asset: Asset, family: str) -> str:
    """How a person says what they know, or takes back that they know nothing."""
    if context.set_by_hand(asset, "family"):
        return f"You set it so: `assetctl edit {asset.typed} --reset family` takes that back"
    return f"If you know it, set it: `assetctl edit {asset.typed} --family {family}`"


def _of_vae(context: Context, vae: Asset) -> Iterator[Finding]:
    """Say where a VAE could be for other latents than the checkpoint's: nothing in its tensors tells these apart."""
    checkpoint = context.selection.checkpoint
    own = None if checkpoint is None else family_called(checkpoint.family)
    if checkpoint is None or own is None:
        return
    allowed = context.families_of(vae) if vae.family is None else (vae.family,)
    spaces = {space for family in map(family_called, allowed) if family is not None for space in family.latent_spaces}
    if own.other_latents and spaces & own.latent_spaces:
        message = f"Not all models of {own.name} have the same latents, so nobody can tell whether {vae.name} fits."
        yield RULE.finding("info", message, f"The page of {checkpoint.name} says which VAE it takes.", vae, checkpoint)
    elif vae.family is not None:
        return
    elif not spaces and context.header(vae) is not None:
        message = f"Nothing is known of what {vae.name} was made for, so nobody can tell whether it fits."
        yield RULE.finding("warning", message, f"{_setting(context, vae, 'FAMILY')}.", vae, checkpoint)
    elif spaces and not own.tells_latents:
        message = f"Nothing is known of the VAEs that {own.name} takes, so nobody can tell whether {vae.name} fits."
        yield RULE.finding("warning", message, f"{_setting(context, vae, own.name)}.", vae, checkpoint)
    elif spaces & own.latent_spaces and len(spaces) > 1:
        message = f"{vae.name} may be for {' or '.join(allowed)}: its tensors do not tell."
        hint = _setting(context, vae, own.name)
        yield RULE.finding("info", message, f"{hint}, for example.", vae, checkpoint)


def _where_to_look(context: Context, asset: Asset) -> str:
    candidates = context.families_of(asset)
    if candidates:
        return f"its tensors allow {' and '.join(candidates)}"
    return f"its page says it, and `assetctl enrich {asset.typed}` looks for that by hash"
