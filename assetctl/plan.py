"""What is asked for, what that comes to, and what a backend is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from assetctl.prompt import ParsedPrompt
    from assetctl.run import Run
    from assetctl.types import Finding, Selection


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """What a person asks for; `None` leaves the choice to the checkpoint, or to chance for the seed.

    Attributes:
        prompt: What the picture shows, in A1111's dialect, `<lora:name:weight>` included.
        negative_prompt: What it must not show, in the same dialect.
        steps: Denoising steps, 1 to 200.
        cfg_scale: How closely the prompt is followed; 1 switches the negative prompt off.
        sampler: A name as A1111 prints it, in any case.
        seed: The first picture's seed; the others count up from it.
        width: In pixels, a multiple of 8.
        height: In pixels, a multiple of 8.
        count: How many pictures.
        clip_skip: Which layer of SD 1's text encoder is read, counted from the last.
    """

    prompt: str
    negative_prompt: str = ""
    steps: int = 20
    cfg_scale: float = 7.0
    sampler: str = "Euler a"
    seed: int | None = None
    width: int | None = None
    height: int | None = None
    count: int = 1
    clip_skip: int = 1


@dataclass(frozen=True, slots=True)
class Plan:
    """A request made exact: every asset found and checked, every default chosen.

    Attributes:
        selection: The assets. LoRAs named in the prompt are among them; weights are final.
        prompt: The prompt without its LoRA tags.
        negative_prompt: Likewise.
        sampler: The canonical spelling.
        seeds: One per picture.
        prediction: `epsilon`, `v_prediction`, or `None` where the checkpoint's own configuration decides.
        tokenizer: Folder with `vocab.json` and `merges.txt` of CLIP, for a single-file checkpoint;
            or a diffusers configuration folder that stands beside the checkpoint.
        device: `auto` or a torch device.
        dtype: `auto`, `bf16`, `fp32` or `fp16`.
        threads: How many threads compute; `None` for as many as suit the machine.
        clip_skip: Which layer of the text encoder is read, counted from the last, which is 1. SDXL
            and SD 2 read the one they were trained with.
    """

    selection: Selection
    prompt: ParsedPrompt
    negative_prompt: ParsedPrompt
    steps: int
    cfg_scale: float
    sampler: str
    seeds: tuple[int, ...]
    width: int
    height: int
    prediction: str | None = None
    tokenizer: Path | None = None
    device: str = "auto"
    dtype: str = "auto"
    threads: int | None = None
    clip_skip: int = 1


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture that a backend made.

    Attributes:
        image: A `PIL.Image.Image`.
        seed: The seed that made it.
        environment: What else its bytes depend on: device, dtype, threads, processor, versions.
        findings: What showed only when the assets were loaded.
        seconds: How long it took, once all was loaded.
    """

    image: Any
    seed: int
    environment: dict[str, str] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    seconds: float = 0.0


class Backend(Protocol):
    """Something that can make pictures of a plan."""

    name: str

    def environment(self, device: str, dtype: str, threads: int | None) -> dict[str, str]:
        """What a picture that is made here would record, asked for this device, precision and number of threads.

        What cannot be had here is replaced by what can, as `auto` would.

        Raises:
            MissingExtraError: The packages for it are not installed.
        """
        ...

    def generate(self, plan: Plan, run: Run) -> Iterator[Picture]:
        """Make the plan's pictures one by one: `Started` with the stage `load` comes first, then a `Step` for each.

        Raises:
            Cancelled: The run was cancelled.
            MissingExtraError: The packages for it are not installed.
            GenerationError: The assets could not be loaded, or a picture could not be made.
        """
        ...
