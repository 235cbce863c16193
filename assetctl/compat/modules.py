"""The modules of a checkpoint that a LoRA can change: those of its UNet and its text encoders."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from assetctl.compat.naming import KOHYA, clip_names, diffusers_names, ldm_names

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from assetctl.files.safetensors import Header

    Tensors = Mapping[str, Mapping[str, Any]]
    Shape = list[int]

_UNET = "model.diffusion_model."

#: Where single files keep text encoders in Hugging Face's names, and what diffusers calls the encoder.
_HUGGING_FACE = {
    "cond_stage_model.transformer.": "text_encoder",
    "conditioner.embedders.0.transformer.": "text_encoder",
}

#: The same in open_clip's names. The SDXL refiner has only the second encoder.
_OPEN_CLIP = {
    "cond_stage_model.model.": "text_encoder",
    "conditioner.embedders.0.model.": "text_encoder_2",
    "conditioner.embedders.1.model.": "text_encoder_2",
}

#: SD 2 reads the output of the layer before: diffusers drops this one, and nothing trains it.
_UNUSED_IN_SD2 = "transformer.resblocks.23."


@dataclass(frozen=True)
class Modules:
    """Every module of a checkpoint's UNet and text encoders that has a weight.

    Attributes:
        shapes: Canonical name to the shape of its weight, `[out, in, *kernel]`; a norm's is `[width]`.
        by_kohya_name: Canonical name and shape by what kohya's LoRAs call the module, whether they count
            a UNet's blocks as diffusers does or as LDM does.
    """

    shapes: Mapping[str, Shape]
    by_kohya_name: Mapping[str, tuple[str, Shape]]

    @cached_property
    def targets(self) -> int:
        """How many of them a LoRA can change: linear layers and convolutions."""
        return sum(len(shape) > 1 for shape in self.shapes.values())

    @cached_property
    def context_width(self) -> int | None:
        """Width of what the cross-attention reads: that of all text encoders together."""
        shapes = (shape for name, shape in self.shapes.items() if name.endswith("attn2_to_k"))
        return next((shape[1] for shape in shapes if len(shape) == 2), None)


def modules_of_file(header: Header) -> Modules | None:
    """The modules of a single-file checkpoint, or `None` where it holds no UNet of Stable Diffusion's kind."""
    if not header.has(f"\n{_UNET}input_blocks."):
        return None
    tensors = header.tensors
    start = len(_UNET)
    weights = {
        key[start:-7]: entry["shape"]
        for key, entry in tensors.items()
        if key.startswith(_UNET) and key.endswith(".weight") and entry["shape"]
    }
    modules = _Collected()
    modules.add_unet((diffusers, ldm, weights[path]) for path, ldm, diffusers in diffusers_names(weights))
    for prefix, network in _HUGGING_FACE.items():
        if header.has(f"\n{prefix}"):
            modules.add_text_encoder(network, _hugging_face(_below(tensors, prefix)))
    for prefix, network in _OPEN_CLIP.items():
        if header.has(f"\n{prefix}"):
            modules.add_text_encoder(network, _open_clip(_below(tensors, prefix), second=network == "text_encoder_2"))
    return Modules(modules.shapes, modules.by_kohya_name)


def modules_of_networks(networks: Mapping[str, list[Header]]) -> Modules | None:
    """The modules of a diffusers folder, given the headers of each network's weights, or `None` if it has no UNet."""
    shapes = {
        network: {key: entry["shape"] for header in headers for key, entry in header.tensors.items()}
        for network, headers in networks.items()
    }
    weights = {key[:-7]: shape for key, shape in shapes.pop("unet", {}).items() if key.endswith(".weight") and shape}
    if not weights:
        return None
    modules = _Collected()
    modules.add_unet((diffusers, ldm, weights[path]) for path, diffusers, ldm in ldm_names(weights))
    for network, tensors in shapes.items():
        modules.add_text_encoder(network, _hugging_face(tensors.items()))
    return Modules(modules.shapes, modules.by_kohya_name)


class _Collected:
    """Modules while they are being gathered."""

    def __init__(self) -> None:
        self.shapes: dict[str, Shape] = {}
        self.by_kohya_name: dict[str, tuple[str, Shape]] = {}

    def add_unet(self, modules: Iterable[tuple[str, str, Shape]]) -> None:
        """Take in modules by diffusers' name, LDM's name and shape."""
        for diffusers, ldm, shape in modules:
            name = f"unet_{diffusers}"
            self.shapes[name] = shape
            self.by_kohya_name[f"lora_{name}"] = self.by_kohya_name[f"lora_unet_{ldm}"] = (name, shape)

    def add_text_encoder(self, network: str, modules: Iterable[tuple[str, Shape]]) -> None:
        """Take in modules of one text encoder by Hugging Face's path and shape."""
        for path, shape in modules:
            if not shape:
                continue
            own = path.replace(".", "_")
            name = f"{network}_{own}"
            self.shapes[name] = shape
            self.by_kohya_name[KOHYA[network] + own] = (name, shape)


def _below(tensors: Tensors, prefix: str) -> Iterator[tuple[str, Shape]]:
    start = len(prefix)
    return ((key[start:], entry["shape"]) for key, entry in tensors.items() if key.startswith(prefix))


def _hugging_face(tensors: Iterable[tuple[str, Shape]]) -> Iterator[tuple[str, Shape]]:
    for key, shape in tensors:
        path = key.removeprefix("text_model.")
        if path == "text_projection.weight":
            yield "text_projection", shape
        elif path.endswith(".weight") and not path.startswith("embeddings."):
            yield f"text_model.{path[:-7]}", shape


def _open_clip(tensors: Iterable[tuple[str, Shape]], *, second: bool) -> Iterator[tuple[str, Shape]]:
    """Of SDXL's `second` encoder everything counts; of SD 2's, the parts that make its embeddings."""
    for key, shape in tensors:
        if key == "text_projection":
            if second:
                yield key, shape[::-1]
        elif second or not key.startswith(_UNUSED_IN_SD2):
            names = clip_names(key)
            own = shape if len(names) < 2 or not shape else [shape[0] // len(names), *shape[1:]]
            for name in names:
                yield f"text_model.{name}", own
