"""Small assets to try everything with: made on the spot, the same bytes each time, without torch or the network.

They have the architecture and the tensor names of the real things and untrained weights, so that
every command works on them as on a file of some gigabytes; their pictures are abstract.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path  # noqa: TC003 - the fields of a public dataclass resolve at run time

from assetctl.demo.adapters import demo_embedding, sd1_lora, sdxl_lora
from assetctl.demo.checkpoint import demo_checkpoint
from assetctl.demo.tokenizer import demo_tokenizer
from assetctl.demo.writing import write_file

__all__ = ["DemoAssets", "make_demo_assets"]


@dataclass(frozen=True, slots=True)
class DemoAssets:
    """Where the demo's assets are.

    Attributes:
        checkpoint: Stable Diffusion 1's architecture in one file, some megabytes.
        config: The folder beside it, `NAME.config/`, that holds its `tokenizer/`.
        style: A LoRA for the checkpoint; its trigger words are "demo style".
        subject: Another one; "demo subject".
        embedding: A textual inversion for the checkpoint, two vectors.
        sdxl_lora: A LoRA for SDXL, which does not fit the checkpoint.
    """

    checkpoint: Path
    config: Path
    style: Path
    subject: Path
    embedding: Path
    sdxl_lora: Path


def make_demo_assets(folder: Path) -> DemoAssets:
    """Write the demo's assets into `folder`; a file that is there already with the same bytes is left alone.

    Raises:
        StorageError: The folder can not be written.
    """
    assets = DemoAssets(
        checkpoint=folder / "demo-checkpoint.safetensors",
        config=folder / "demo-checkpoint.config",
        style=folder / "demo-style.safetensors",
        subject=folder / "demo-subject.safetensors",
        embedding=folder / "demo-embedding.safetensors",
        sdxl_lora=folder / "demo-sdxl-lora.safetensors",
    )
    tokenizer = demo_tokenizer()
    for name, content in tokenizer.files().items():
        write_file(assets.config / "tokenizer" / name, content)
    write_file(assets.checkpoint, demo_checkpoint(vocabulary=len(tokenizer.vocabulary)))
    write_file(assets.style, sd1_lora("demo-style", trigger="demo style", feed_forward=True))
    write_file(assets.subject, sd1_lora("demo-subject", trigger="demo subject", feed_forward=False))
    write_file(assets.embedding, demo_embedding())
    write_file(assets.sdxl_lora, sdxl_lora())
    return assets
