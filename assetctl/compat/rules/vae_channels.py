"""VAEs whose latents are not those of the checkpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assetctl.compat.check import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from assetctl.compat.check import Context
    from assetctl.types import Finding

RULE = Rule(
    "vae_channels",
    "The VAE has as many latent channels as the checkpoint's family.",
    {"error": "The VAE has another number of latent channels."},
)

#: Latent channels of each family.
CHANNELS = {
    "sd1": 4, "sd2": 4, "sdxl": 4, "sdxl-refiner": 4, "svd": 4, "kolors": 4, "pixart": 4, "auraflow": 4,
    "sd3": 16, "flux1": 16, "chroma": 16, "lumina2": 16, "z-image": 16, "hidream": 16, "qwen-image": 16,
    "hunyuan-video": 16, "flux2": 32, "sana": 32, "ltx": 128,
}  # fmt: skip

_NAMES = ("decoder.conv_in.weight", "first_stage_model.decoder.conv_in.weight", "vae.decoder.conv_in.weight")


def check(context: Context) -> Iterator[Finding]:
    """Compare what the decoder takes in with what the family makes."""
    vae, checkpoint = context.selection.vae, context.selection.checkpoint
    wanted = None if checkpoint is None else CHANNELS.get(checkpoint.family or "")
    header = None if vae is None else context.header(vae)
    if vae is None or checkpoint is None or wanted is None or header is None:
        return
    shape = next((shape for shape in map(header.shape, _NAMES) if shape is not None and len(shape) > 1), None)
    if shape is not None and shape[1] != wanted:
        message = f"{vae.name} has {shape[1]} latent channels, and {checkpoint.name} has {wanted}."
        yield RULE.finding("error", message, "Leave it out, or see `assetctl list --kind vae`.", vae, checkpoint)
