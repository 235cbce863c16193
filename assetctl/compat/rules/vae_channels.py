"""VAEs whose latents are not those of the checkpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assetctl.compat.check import Rule
from assetctl.identify.plugins import family_called

if TYPE_CHECKING:
    from collections.abc import Iterator

    from assetctl.compat.check import Context
    from assetctl.types import Finding

RULE = Rule(
    "vae_channels",
    "The VAE has as many latent channels as the checkpoint's family.",
    {"error": "The VAE has another number of latent channels."},
)

_NAMES = (
    "decoder.conv_in.weight", "first_stage_model.decoder.conv_in.weight", "vae.decoder.conv_in.weight",
    "decoder.conv1.weight",  # of Wan, as its authors name it
)  # fmt: skip


def check(context: Context) -> Iterator[Finding]:
    """Compare what the decoder takes in with what the family makes."""
    vae, checkpoint = context.selection.vae, context.selection.checkpoint
    family = None if checkpoint is None else family_called(checkpoint.family)
    wanted = None if family is None else family.latent_channels
    header = None if vae is None else context.header(vae)
    if vae is None or checkpoint is None or wanted is None or header is None:
        return
    shape = next((shape for shape in map(header.shape, _NAMES) if shape is not None and len(shape) > 1), None)
    if shape is not None and shape[1] != wanted:
        message = f"{vae.name} has {shape[1]} latent channels, and {checkpoint.name} has {wanted}."
        yield RULE.finding("error", message, "Leave it out, or see `assetctl list --kind vae`.", vae, checkpoint)
