"""Demo: small assets made on the spot, and the commands that lead through assetctl with them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from assetctl.demo import make_demo_assets

if TYPE_CHECKING:
    from assetctl.operations.workspace import Workspace

PROMPT = "demo style, demo subject, a (red circle: 1.2) beside demo-embedding"


@dataclass(frozen=True, slots=True)
class DemoStep:
    """One command of the tour: what it is for, its words behind `assetctl`, and how it ends."""

    title: str
    arguments: tuple[str, ...]
    exit_code: int = 0


def demo_steps(workspace: Workspace) -> list[DemoStep]:
    """Make the assets in the home's `demo` folder and say what to do with them.

    Raises:
        StorageError: The home can not be written.
    """
    made = make_demo_assets(workspace.settings.home / "demo")
    files = (made.checkpoint, made.style, made.subject, made.embedding, made.sdxl_lora)
    checkpoint, style, subject, embedding, sdxl = (path.stem for path in files)
    loras = ("--lora", f"{style}:0.8", "--lora", subject)
    size = ("--steps", "4", "--size", "128x128", "--seed", "7")
    return [
        DemoStep("Bring assets into the store", ("pull", *map(str, files))),
        DemoStep("See what is there", ("list",)),
        DemoStep("Know one of them", ("inspect", style)),
        DemoStep("Prove that a selection fits", ("check", checkpoint, f"{style}:0.8", subject, embedding)),
        DemoStep("A LoRA for SDXL does not fit this checkpoint", ("check", checkpoint, sdxl), exit_code=4),
        DemoStep(
            "Make a picture (the demo's weights are noise, and so is what it paints)",
            ("generate", PROMPT, "--checkpoint", checkpoint, *loras, "--embedding", embedding, *size),
        ),
    ]
