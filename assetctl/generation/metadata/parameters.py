"""What was read out of a picture, whichever program wrote it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class UsedAsset:
    """An asset as a picture names it: by a name, a hash, or a place to get it from.

    Attributes:
        role: `checkpoint`, `lora`, `embedding`, `vae`, `controlnet`, `upscaler`, or `other`.
        name: As written, without folders and suffix.
        hash: Lower-case hex digits of whatever hash it is: SHA256, AutoV1, AutoV2, AutoV3 or BLAKE3.
        weight: As it was applied; `None` where the picture does not say.
        sources: References that `pull` may understand, or pages: where it could come from.
    """

    role: str
    name: str | None = None
    hash: str | None = None
    weight: float | None = None
    sources: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PictureParameters:
    """How a picture was made, as far as it says; what it does not say is `None`.

    Attributes:
        software: Who wrote it: `assetctl`, `A1111`, `ComfyUI`, `InvokeAI`, `Civitai`, ….
        prompt: LoRA tags included, as A1111 writes them.
        seed: As written; any size.
        width: In pixels, like `height`.
        assets: What it was made of, the checkpoint first; within a role in the order of the text.
        fields: Everything that was said in named fields, as it was written, by its name there; with what is
            understood above, so that nothing is lost that was not.
        extra: Nested data by name, such as `Civitai metadata`.
        record: assetctl's own record, whole, where the picture is ours.
        text: The infotext itself, where there is one.
    """

    software: str | None = None
    prompt: str | None = None
    negative_prompt: str | None = None
    steps: int | None = None
    sampler: str | None = None
    cfg_scale: float | None = None
    seed: int | None = None
    width: int | None = None
    height: int | None = None
    clip_skip: int | None = None
    assets: tuple[UsedAsset, ...] = ()
    fields: dict[str, str] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)
    record: dict[str, Any] | None = None
    text: str | None = None
