"""What was read out of a picture, whichever program wrote it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


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
        understood: Those names in `fields` and `extra` that say nothing beyond the attributes above.
        record: assetctl's own record, whole and exactly as it was written, where the picture is ours. Its texts are
            not clean: they are for making the picture again.
        text: The infotext itself, where there is one.
        unread: Names of texts that may be parameters, of a program that is not known here. All else is empty then.
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
    understood: frozenset[str] = frozenset()
    unread: tuple[str, ...] = ()


def with_understood(
    found: PictureParameters, attributes: Mapping[str, str], roles: Mapping[str, str] = MappingProxyType({})
) -> PictureParameters:
    """Parameters that know which of their fields they express: by an attribute, or by assets of a role."""
    here = {each.role for each in found.assets}
    names = {name for name, attribute in attributes.items() if getattr(found, attribute) is not None}
    names |= {name for name, role in roles.items() if role in here}
    return replace(found, understood=found.understood | (names & (found.fields.keys() | found.extra.keys())))
