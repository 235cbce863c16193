"""UNets and transformers in a file of their own, without text encoders and VAE."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assetctl.compat.check import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from assetctl.compat.check import Context
    from assetctl.types import Finding

RULE = Rule(
    "parts_elsewhere",
    "The checkpoint brings its text encoders and its VAE along.",
    {"info": "It is a UNet or transformer alone, so that nothing is said of its text encoders and its VAE."},
)


def check(context: Context) -> Iterator[Finding]:
    """Say what is not in the file, and which LoRAs would change that too."""
    checkpoint = context.selection.checkpoint
    if checkpoint is None or checkpoint.kind != "diffusion-model":
        return
    parts = "text encoders" if context.selection.vae is not None else "text encoders and VAE"
    message = f"{checkpoint.name} is a diffusion model alone: its {parts} come from elsewhere, and were not looked at."
    yield RULE.finding("info", message, None, checkpoint)
    for lora, covered in context.coverage:
        if covered.elsewhere:
            message = f"{lora.name} changes text encoders too, in {len(covered.elsewhere)} modules that are not there."
            yield RULE.finding("info", message, None, lora, checkpoint)
