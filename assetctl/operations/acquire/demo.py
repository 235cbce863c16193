"""Demo: the small family that ships with assetctl, and the commands that lead through assetctl with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from assetctl.demo import demo_assets
from assetctl.operations.acquire.pull import pull
from assetctl.run import gathering

if TYPE_CHECKING:
    from assetctl.operations.acquire.pull import PullResult
    from assetctl.operations.workspace import Workspace
    from assetctl.run import Run

PICTURE = "demo-picture.png"


@dataclass(frozen=True, slots=True)
class DemoStep:
    """One command of the tour: what it is for, its words behind `assetctl`, and how it ends."""

    title: str
    arguments: tuple[str, ...]
    exit_code: int = 0


def pull_demo(workspace: Workspace, run: Run) -> list[PullResult]:
    """Bring the demo family into the store.

    Raises:
        StorageError: Its files are not installed, or the home cannot be written.
        Cancelled: The run is; its `done` has what came.
    """
    results: list[PullResult] = []
    with gathering(results):
        for path in demo_assets().files:
            results.append(pull(workspace, str(path), run))  # noqa: PERF401 - each counts when the next is cancelled
    return results


def demo_steps(workspace: Workspace) -> list[DemoStep]:
    """What to do with the demo family, step by step.

    Raises:
        StorageError: Its files are not installed.
    """
    family = demo_assets()
    checkpoint, style, subject, negative = (
        path.stem for path in (family.checkpoint, family.style, family.subject, family.negative)
    )
    prompt, loras = "an orange cat on a cyan background, vintage", (f"{style}:0.8", subject)
    picture = _free_picture(workspace)
    return [
        DemoStep("Bring in the small family that ships with assetctl", ("demo", "--pull")),
        DemoStep("See what is there", ("list",)),
        DemoStep("Know one of them", ("inspect", subject)),
        DemoStep("Prove that a selection fits", ("check", checkpoint, *loras, negative)),
        DemoStep("A LoRA for SDXL does not fit this checkpoint", ("check", checkpoint, family.sdxl_lora.stem), 4),
        DemoStep(
            "Make a picture",
            (
                "generate", prompt, "--checkpoint", checkpoint, "--lora", loras[0], "--lora", loras[1],
                "--negative", negative, "--embedding", negative, "--seed", "7", "--out", picture,
            ),
        ),
        DemoStep("Ask the picture what it was made of", ("inspect", picture)),
    ]  # fmt: skip


def _free_picture(workspace: Workspace) -> str:
    """A name for the picture that no earlier tour has taken."""
    outputs, number = workspace.settings.outputs, 1
    path = outputs / PICTURE
    while path.exists():
        number += 1
        path = outputs / f"{PICTURE.removesuffix('.png')}-{number}.png"
    return str(path)
