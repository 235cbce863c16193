"""The modules of a checkpoint that a LoRA can change: those of its UNet and its text encoders."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from assetctl.compat.module_names import (
    KOHYA,
    clip_names,
    diffusers_names,
    diffusers_parts,
    fused_names,
    ldm_names,
    stacked,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from assetctl.files.safetensors import Header

    Tensors = Mapping[str, Mapping[str, Any]]
    Shape = list[int]
    #: Canonical names that one name of a LoRA stands for, and the shape of their weights as a whole.
    Target = tuple[tuple[str, ...], Shape]

#: What stands before the names of a UNet or transformer: in a checkpoint, and in a file that holds it alone.
_ROOTS = ("model.diffusion_model.", "diffusion_model.", "transformer.", "unet.", "")

#: What else a file without such a root may hold.
_OTHER_PARTS = (
    "text_encoders.", "text_encoder.", "cond_stage_model.", "conditioner.", "first_stage_model.", "vae.", "model_ema.",
)  # fmt: skip

#: What a transformer of FLUX.1 has, in its authors' names and in diffusers'. FLUX.2 shares its modulations.
_FLUX = "double_blocks.0.img_attn.qkv.weight\n"
_FLUX_IN_DIFFUSERS = ("transformer_blocks.0.attn.add_q_proj.weight", "single_transformer_blocks.0.attn.to_q.weight")
_FLUX2 = "double_stream_modulation_img."

#: Weights of four bits lie in the file without their shapes.
_PACKED = (".weight.quant_state.", ".weight.absmax\n")

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

#: Where full checkpoints of FLUX.1 keep theirs.
_BESIDE_FLUX = {
    "text_encoders.clip_l.transformer.": "text_encoder",
    "text_encoders.t5xxl.transformer.": "text_encoder_2",
}

#: Where full checkpoints of other families do.
_BESIDE_OTHERS = {
    "text_encoders.clip_l.transformer.": "text_encoder",
    "text_encoders.clip_g.transformer.": "text_encoder_2",
    "text_encoders.t5xxl.transformer.": "text_encoder_3",
}

#: What LoRAs begin the names of a transformer's modules with: kohya's and OneTrainer's.
_TRANSFORMER = ("lora_unet_", "lora_transformer_")

#: Kohya counts FLUX.1's T5 as the third encoder, as SD 3 has it; OneTrainer and diffusers as the second.
_KOHYA_T5 = "lora_te3_"

#: T5's tables, which no LoRA changes.
_EMBEDDINGS = (".embed_tokens.weight", ".relative_attention_bias.weight")

#: SD 2 reads the output of the layer before: diffusers drops this one, and nothing trains it.
_UNUSED_IN_SD2 = "transformer.resblocks.23."


@dataclass(frozen=True)
class Modules:
    """Every module of a checkpoint's UNet or transformer and text encoders that has a weight.

    Attributes:
        shapes: Canonical name to the shape of its weight, `[out, in, *kernel]`; a norm's is `[width]`.
        by_kohya_name: Canonical names and shape by what LoRAs call the module, in kohya's spelling, whether
            they name it as diffusers does or as the model's authors do. A module that the authors
            fuse stands for several, and its shape is that of the whole.
        all_spellings: Whether every name that LoRAs give a module is known. Where not, only names that both files
            share are, and a module that is not found may well be there under another.
    """

    shapes: Mapping[str, Shape]
    by_kohya_name: Mapping[str, Target]
    all_spellings: bool = True

    @cached_property
    def targets(self) -> int:
        """How many of them a LoRA can change: linear layers and convolutions."""
        return sum(len(shape) > 1 for shape in self.shapes.values())

    @cached_property
    def text_encoders(self) -> bool:
        """Whether text encoders are among them."""
        return any(name.startswith("text_encoder") for name in self.shapes)

    @cached_property
    def context_width(self) -> int | None:
        """Width of what the cross-attention reads: that of all text encoders together."""
        shapes = (shape for name, shape in self.shapes.items() if name.endswith("attn2_to_k"))
        return next((shape[1] for shape in shapes if len(shape) == 2), None)


def modules_of_file(header: Header) -> Modules | None:
    """The modules of a checkpoint, a UNet or a transformer in a single file, or `None` where it has none to show."""
    if header.has(*_PACKED):
        return None
    root = next(root for root in _ROOTS if header.has(f"\n{root}"))
    if header.has(f"\n{root}input_blocks."):
        return _modules_of_ldm(header, root)
    if header.has(f"\n{root}{_FLUX}") and not header.has(f"\n{root}{_FLUX2}"):
        return _modules_of_flux(header, root)
    network = "unet" if header.has(f"\n{root}down_blocks.0.") else "transformer"
    below = ((key, shape) for key, shape in _below(header.tensors, root) if root or not key.startswith(_OTHER_PARTS))
    beside = {place: dict(_below(header.tensors, prefix)) for prefix, place in _BESIDE_OTHERS.items()}
    return _modules_of_shapes({network: dict(below)} | beside)


def modules_of_networks(networks: Mapping[str, list[Header]]) -> Modules | None:
    """The modules of a diffusers folder, given the headers of each network's weights, or `None` as above."""
    return _modules_of_shapes(
        {
            network: {key: entry["shape"] for header in headers for key, entry in header.tensors.items()}
            for network, headers in networks.items()
        }
    )


def _modules_of_shapes(shapes: dict[str, dict[str, Shape]]) -> Modules | None:
    """The modules of networks by diffusers' names of those, given their tensors."""
    unet, transformer = _weights(shapes.pop("unet", {}).items()), shapes.pop("transformer", {})
    modules, known = _Collected(), True
    if unet:
        modules.add_unet((diffusers, ldm, unet[path]) for path, diffusers, ldm in ldm_names(unet))
    elif all(key in transformer for key in _FLUX_IN_DIFFUSERS):
        modules.add_flux(_weights(transformer.items()))
    else:
        known = False
        modules.add("transformer", _weights(transformer.items()).items(), _TRANSFORMER)
    if not modules.shapes:
        return None
    for network, tensors in shapes.items():
        modules.add_text_encoder(network, tensors.items())
    return Modules(modules.shapes, modules.by_kohya_name, known)


def _modules_of_ldm(header: Header, root: str) -> Modules:
    modules = _Collected()
    weights = _weights(_below(header.tensors, root))
    modules.add_unet((diffusers, ldm, weights[path]) for path, ldm, diffusers in diffusers_names(weights))
    for prefix, network in _HUGGING_FACE.items():
        if header.has(f"\n{prefix}"):
            modules.add_text_encoder(network, _below(header.tensors, prefix))
    for prefix, network in _OPEN_CLIP.items():
        if header.has(f"\n{prefix}"):
            names = _open_clip(_below(header.tensors, prefix), second=network == "text_encoder_2")
            modules.add(network, names, [KOHYA[network]])
    return Modules(modules.shapes, modules.by_kohya_name)


def _modules_of_flux(header: Header, root: str) -> Modules:
    modules = _Collected()
    modules.add_flux(diffusers_parts(_weights(_below(header.tensors, root))))
    for place, network in _BESIDE_FLUX.items():
        if header.has(f"\n{place}"):
            used = ((key, shape) for key, shape in _below(header.tensors, place) if "text_projection" not in key)
            modules.add_text_encoder(network, used)
    return Modules(modules.shapes, modules.by_kohya_name)


class _Collected:
    """Modules while they are being gathered."""

    def __init__(self) -> None:
        self.shapes: dict[str, Shape] = {}
        self.by_kohya_name: dict[str, Target] = {}

    def add_unet(self, modules: Iterable[tuple[str, str, Shape]]) -> None:
        """Take in modules by diffusers' name, LDM's name and shape."""
        for diffusers, ldm, shape in modules:
            name = f"unet_{diffusers}"
            self.shapes[name] = shape
            self.by_kohya_name[f"lora_{name}"] = self.by_kohya_name[f"lora_unet_{ldm}"] = ((name,), shape)

    def add_flux(self, weights: Mapping[str, Shape]) -> None:
        """Take in a transformer's modules by diffusers' path and shape, and what others call them."""
        self.add("transformer", weights.items(), _TRANSFORMER)
        for fused, paths in fused_names(weights):
            shapes = [shape for path in paths if (shape := weights.get(path))]
            if len(shapes) == len(paths):
                names = tuple(f"transformer_{path.replace('.', '_')}" for path in paths)
                for prefix in _TRANSFORMER:
                    self.by_kohya_name.setdefault(prefix + fused.replace(".", "_"), (names, stacked(shapes)))

    def add_text_encoder(self, network: str, tensors: Iterable[tuple[str, Shape]]) -> None:
        """Take in a text encoder's tensors by Hugging Face's name and shape."""
        tensors = list(tensors)
        if any(".SelfAttention." in key for key, _ in tensors):
            self.add(network, _t5(tensors), [KOHYA[network], _KOHYA_T5])
        else:
            self.add(network, _clip(tensors), [KOHYA[network]])

    def add(self, network: str, modules: Iterable[tuple[str, Shape]], prefixes: Iterable[str]) -> None:
        """Take in modules by path and shape, under each of the prefixes that LoRAs give the network."""
        for path, shape in modules:
            if shape:
                own = path.replace(".", "_")
                name = f"{network}_{own}"
                self.shapes[name] = shape
                for prefix in prefixes:
                    self.by_kohya_name[prefix + own] = ((name,), shape)


def _weights(tensors: Iterable[tuple[str, Shape]]) -> dict[str, Shape]:
    """Shapes by the modules' paths. BFL calls the weight of a norm its scale."""
    return {key.rpartition(".")[0]: shape for key, shape in tensors if key.endswith((".weight", ".scale")) and shape}


def _below(tensors: Tensors, prefix: str) -> Iterator[tuple[str, Shape]]:
    start = len(prefix)
    return ((key[start:], entry["shape"]) for key, entry in tensors.items() if key.startswith(prefix))


def _t5(tensors: Iterable[tuple[str, Shape]]) -> Iterator[tuple[str, Shape]]:
    for key, shape in tensors:
        if key.startswith("encoder.") and key.endswith(".weight") and not key.endswith(_EMBEDDINGS):
            yield key[:-7], shape


def _clip(tensors: Iterable[tuple[str, Shape]]) -> Iterator[tuple[str, Shape]]:
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
