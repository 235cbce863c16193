"""The demo family: small, trained assets that ship with assetctl, so that everything can be tried without a network.

They have the architecture and the tensor names of the real things; `examples/demo_family` is the recipe that made
them, and the card beside each says what it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from assetctl.errors import StorageError

__all__ = ["DemoAssets", "demo_assets"]

_FOLDER = Path(__file__).parent / "family"


@dataclass(frozen=True, slots=True)
class DemoAssets:
    """Where the demo family's files are.

    Attributes:
        checkpoint: Stable Diffusion 1's architecture in one file; draws coloured shapes, 96 x 96 pixels.
        config: The folder beside it, `NAME.config/`: its configuration and tokenizer.
        style: A LoRA for the checkpoint; trigger word "vintage".
        subject: Another one; "cat".
        embedding: A textual inversion for the prompt, two vectors.
        negative: One for the negative prompt.
        sdxl_lora: A LoRA for SDXL, which does not fit the checkpoint.
    """

    checkpoint: Path
    config: Path
    style: Path
    subject: Path
    embedding: Path
    negative: Path
    sdxl_lora: Path

    @property
    def files(self) -> tuple[Path, ...]:
        """The assets; the configuration goes along with its checkpoint."""
        return self.checkpoint, self.style, self.subject, self.embedding, self.negative, self.sdxl_lora


def demo_assets() -> DemoAssets:
    """The files of the demo family, where they are installed.

    Raises:
        StorageError: Some are not there.
    """
    assets = DemoAssets(
        checkpoint=_FOLDER / "demo-checkpoint.safetensors",
        config=_FOLDER / "demo-checkpoint.config",
        style=_FOLDER / "demo-vintage.safetensors",
        subject=_FOLDER / "demo-cat.safetensors",
        embedding=_FOLDER / "demo-cookie.safetensors",
        negative=_FOLDER / "demo-negative.safetensors",
        sdxl_lora=_FOLDER / "demo-sdxl-lora.safetensors",
    )
    missing = [path.name for path in assets.files if not path.is_file()]
    if missing:
        raise StorageError(
            f"The demo's files are not where assetctl was installed: {', '.join(missing)}.",
            "Reinstall it: `pip install --force-reinstall assetctl`.",
        )
    return assets
