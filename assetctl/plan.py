"""What a request comes to, and what a backend is."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from assetctl.options import Settings
    from assetctl.prompt import ParsedPrompt
    from assetctl.run import Run
    from assetctl.types import AssetUse, Finding


@dataclass(frozen=True, slots=True)
class PlannedUse:
    """One asset of a plan: what it is and where it lies, by its content; what a person noted of it is not here.

    Attributes:
        sha256: `None` in a plan that is only looked at, where it was left for later.
        source: Where others could get it.
        weight: How strongly it is applied.
        found_by: The word of a prompt that an embedding was found by; `None` of what somebody chose.
        text_weight: How strongly a LoRA changes text encoders, where that is not as strongly as all else.
    """

    role: str
    name: str
    kind: str
    family: str | None
    base_model: str | None
    variant: str | None
    prediction: str | None
    format: str | None
    layout: str | None
    path: str
    sha256: str | None
    autov3: str | None
    trigger_words: tuple[str, ...]
    source: str | None
    weight: float = 1.0
    found_by: str | None = None
    text_weight: float | None = None

    @classmethod
    def of(cls, use: AssetUse) -> PlannedUse:
        """What a plan needs of an asset."""
        said = {name: getattr(use, name) for name in ("role", "weight", "found_by", "text_weight")}
        return cls(
            **said, **{each.name: getattr(use.asset, each.name) for each in fields(cls) if each.name not in said}
        )

    @property
    def token(self) -> str:
        """Of an embedding: the word that stands for it in a prompt."""
        return next(iter(self.trigger_words), self.name)

    @property
    def typed(self) -> str:
        """The name as one types it in a shell."""
        return shlex.quote(self.name)

    @property
    def applied_weight(self) -> float | None:
        """The weight, of what has one."""
        return self.weight if self.role == "lora" else None

    @property
    def autov2(self) -> str | None:
        """The first ten digits of the SHA256."""
        return None if self.sha256 is None else self.sha256[:10]


@dataclass(frozen=True, slots=True)
class Plan:
    """A request made exact: every asset found and checked, every default chosen.

    Attributes:
        uses: The assets, the checkpoint first. LoRAs named in the prompt are among them; weights are final.
        prompt: The prompt without its LoRA tags.
        negative_prompt: Likewise.
        settings: A value for each of `assetctl.options`; the seed is the first picture's.
        seeds: One per picture.
        prediction: `epsilon`, `v_prediction`, or `None` where the checkpoint's own configuration decides.
        tokenizer: Folder with `vocab.json` and `merges.txt` of CLIP, for a single-file checkpoint;
            or a diffusers configuration folder that stands beside the checkpoint.
        device: `auto` or a torch device.
        dtype: `auto`, `bf16`, `fp32` or `fp16`.
        threads: How many threads compute; `None` for as many as suit the machine.
    """

    uses: tuple[PlannedUse, ...]
    prompt: ParsedPrompt
    negative_prompt: ParsedPrompt
    settings: Settings
    seeds: tuple[int, ...]
    prediction: str | None = None
    tokenizer: Path | None = None
    device: str = "auto"
    dtype: str = "auto"
    threads: int | None = None

    def of(self, role: str) -> tuple[PlannedUse, ...]:
        """The assets of one role."""
        return tuple(use for use in self.uses if use.role == role)

    @property
    def checkpoint(self) -> PlannedUse:
        """The checkpoint, which every plan has."""
        return self.of("checkpoint")[0]

    @property
    def vae(self) -> PlannedUse | None:
        """A VAE in place of the checkpoint's own."""
        return next(iter(self.of("vae")), None)


def loading_order(plans: Sequence[Plan]) -> list[int]:
    """The numbers of plans in the order that loads least, and else as they come.

    Each checkpoint is loaded once; with it each VAE, then each set of embeddings, then each set of LoRAs.
    """
    first: dict[object, int] = {}
    places: list[tuple[int, ...]] = []
    for number, plan in enumerate(plans):
        # A1111's and ComfyUI's pictures are computed in another precision than diffusers'
        theirs = plan.settings.get("flavour") in ("a1111", "comfyui")
        model = (plan.checkpoint, plan.prediction, plan.tokenizer, plan.device, plan.dtype, theirs)
        loaded = [model, (model, plan.vae), (model, plan.vae, plan.of("embedding")), (model, plan.uses)]
        places.append(tuple(first.setdefault((depth, each), number) for depth, each in enumerate(loaded)))
    return sorted(range(len(plans)), key=places.__getitem__)


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
