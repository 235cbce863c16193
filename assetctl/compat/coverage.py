"""Which modules of a checkpoint a LoRA would change, told from the headers of both."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import cached_property
from math import isfinite
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from assetctl.tensors.adapters import (
    EMBEDDINGS,
    ENDINGS,
    FITS,
    HUGGING_FACE,
    KOHYA,
    LISTED,
    MARKS,
    OPEN_CLIP,
    RANKED,
    TEXT_ENCODERS,
    VAES,
    broken_halves,
    kohya_name,
    kohya_names,
    numbered,
    plain_tensors,
    root_of,
    unsupported_method,
)
from assetctl.tensors.networks import (
    cascade_names,
    cascade_parts,
    clip_modules,
    diffusers_names,
    diffusers_parts,
    fused_names,
    in_order,
    ldm_names,
    open_clip_modules,
    stacked,
    t5_modules,
)
from assetctl.types import Coverage

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from assetctl.files.safetensors import Header

    Tensors = Mapping[str, Mapping[str, Any]]
    Shape = list[int]
    #: Canonical names that one name of a LoRA stands for, and the shape of their weights as a whole.
    Target = tuple[tuple[str, ...], Shape]

#: What else a file may hold where nothing stands before the names of its denoising network.
_OTHER_PARTS = (*TEXT_ENCODERS, *VAES, "conditioner.", "model_ema.")

#: What a transformer of FLUX.1 has, in its authors' names and in diffusers'. FLUX.2 shares its modulations.
_FLUX = "double_blocks.0.img_attn.qkv.weight\n"
_FLUX_IN_DIFFUSERS = ("transformer_blocks.0.attn.add_q_proj.weight", "single_transformer_blocks.0.attn.to_q.weight")
_FLUX2 = "double_stream_modulation_img."

#: Weights of four bits lie in the file without their shapes.
_PACKED = (".weight.quant_state.", ".weight.absmax\n")

#: Kohya counts FLUX.1's T5 as the third encoder, as SD 3 has it; OneTrainer and diffusers as the second.
_KOHYA_T5 = "lora_te3_"

#: Where full checkpoints of FLUX.1 keep its second encoder, and of other families the third.
_T5 = "text_encoders.t5xxl.transformer."


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


#: Those of the files that were asked about last, by the table of tensors: one that is read again is the same table.
_KEPT: dict[int, tuple[Tensors, Modules | None]] = {}
_MOST_KEPT = 4


def modules_of_file(header: Header) -> Modules | None:
    """The modules of a checkpoint, a UNet or a transformer in a single file, or `None` where it has none to show."""
    kept = _KEPT.get(id(header.tensors))
    if kept is not None and kept[0] is header.tensors:
        return kept[1]
    modules = _modules_of_file(header)
    if header.shared:
        for oldest in list(_KEPT)[: len(_KEPT) + 1 - _MOST_KEPT]:
            _KEPT.pop(oldest, None)  # another thread may have been faster
        _KEPT[id(header.tensors)] = header.tensors, modules
    return modules


def _modules_of_file(header: Header) -> Modules | None:
    if header.has(*_PACKED):
        return None
    root = root_of(header)
    if header.has(f"\n{root}input_blocks."):
        return _modules_of_ldm(header, root)
    if header.has(f"\n{root}{_FLUX}") and not header.has(f"\n{root}{_FLUX2}"):
        return _modules_of_flux(header, root)
    network = "unet" if header.has(f"\n{root}down_blocks.0.") else "transformer"
    below = ((key, shape) for key, shape in _below(header.tensors, root) if root or not key.startswith(_OTHER_PARTS))
    beside = {place: dict(_below(header.tensors, prefix)) for prefix, place in HUGGING_FACE.items()}
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
    unet, transformer = _weights(cascade_parts(shapes.pop("unet", {}).items())), shapes.pop("transformer", {})
    modules, known = _Collected(), True
    if unet:
        modules.add_unet((diffusers, cascade_names(ldm), unet[path]) for path, diffusers, ldm in ldm_names(unet))
    elif all(key in transformer for key in _FLUX_IN_DIFFUSERS):
        modules.add_flux(_weights(transformer.items()))
    else:
        known = False
        modules.add("transformer", _weights(transformer.items()).items())
    if not modules.shapes:
        return None
    for network, tensors in shapes.items():
        modules.add_text_encoder(network, tensors.items())
    return Modules(modules.shapes, modules.by_kohya_name, known)


def _modules_of_ldm(header: Header, root: str) -> Modules:
    modules = _Collected()
    weights = _weights(_below(header.tensors, root))
    modules.add_unet((diffusers, ldm, weights[path]) for path, ldm, diffusers in diffusers_names(weights))
    for prefix, network in HUGGING_FACE.items():
        if header.has(f"\n{prefix}"):
            modules.add_text_encoder(network, _below(header.tensors, prefix))
    for prefix, network in OPEN_CLIP.items():
        if header.has(f"\n{prefix}"):
            modules.add(network, open_clip_modules(_below(header.tensors, prefix), second=network == "text_encoder_2"))
    return Modules(modules.shapes, modules.by_kohya_name)


def _modules_of_flux(header: Header, root: str) -> Modules:
    modules = _Collected()
    modules.add_flux(diffusers_parts(_weights(_below(header.tensors, root))))
    for prefix, network in HUGGING_FACE.items():
        if header.has(f"\n{prefix}"):
            used = ((key, shape) for key, shape in _below(header.tensors, prefix) if "text_projection" not in key)
            modules.add_text_encoder("text_encoder_2" if prefix == _T5 else network, used)
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
        self.add("transformer", weights.items())
        for fused, paths in fused_names(weights):
            shapes = [shape for path in paths if (shape := weights.get(path))]
            if len(shapes) == len(paths):
                names = tuple(f"transformer_{path.replace('.', '_')}" for path in paths)
                kohya = KOHYA["transformer"] + fused.replace(".", "_")
                self.by_kohya_name.setdefault(kohya, (names, stacked(shapes)))

    def add_text_encoder(self, network: str, tensors: Iterable[tuple[str, Shape]]) -> None:
        """Take in a text encoder's tensors by Hugging Face's name and shape."""
        tensors = list(tensors)
        if any(".SelfAttention." in key for key, _ in tensors):
            self.add(network, t5_modules(tensors), _KOHYA_T5)
        else:
            self.add(network, clip_modules(tensors))

    def add(self, network: str, modules: Iterable[tuple[str, Shape]], *others: str) -> None:
        """Take in modules by path and shape, under kohya's prefix for the network and `others`."""
        for path, shape in modules:
            if shape:
                own = path.replace(".", "_")
                name = f"{network}_{own}"
                self.shapes[name] = shape
                for prefix in (KOHYA[network], *others):
                    self.by_kohya_name[prefix + own] = ((name,), shape)


def _weights(tensors: Iterable[tuple[str, Shape]]) -> dict[str, Shape]:
    """Shapes by the modules' paths. BFL calls the weight of a norm its scale."""
    return {key.rpartition(".")[0]: shape for key, shape in tensors if key.endswith((".weight", ".scale")) and shape}


def _below(tensors: Tensors, prefix: str) -> Iterator[tuple[str, Shape]]:
    start = len(prefix)
    return ((key[start:], entry["shape"]) for key, entry in tensors.items() if key.startswith(prefix))


#: Kohya's trainer writes the alpha itself, and that of convolutions among the network's arguments.
_KOHYA, _KOHYA_MORE = "ss_network_alpha", "ss_network_args"

#: Where peft and diffusers keep a LoRA's configuration.
_PEFT = "lora_adapter_metadata"


def alphas(header: Header) -> tuple[float, ...]:
    """The alphas that a LoRA's metadata name, smallest first; none where they are silent."""
    said = [header.metadata.get(_KOHYA), _object(header.metadata, _KOHYA_MORE).get("conv_alpha")]
    said += _configured(_object(header.metadata, _PEFT))
    return tuple(sorted({number for value in said if (number := _number(value)) is not None}))


def _configured(fields: Mapping[str, object]) -> Iterator[object]:
    for name, value in fields.items():
        if name.endswith("lora_alpha"):
            yield value
        elif name.endswith("alpha_pattern") and isinstance(value, dict):
            yield from value.values()


def _object(metadata: Mapping[str, str], name: str) -> dict[str, object]:
    """A JSON object in the metadata; an empty one for anything else that a stranger wrote there."""
    try:
        found = json.loads(metadata.get(name, "{}"))
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if isfinite(number) else None


_TEXT = "lora_te"

#: Where transformers read the picture. Control LoRAs have them read a second one beside it.
_INPUTS = frozenset({"transformer_x_embedder", "transformer_img_in"})

_TAIL = 12
_tail = itemgetter(slice(-_TAIL, None))
_TAILS = tuple({*map(_tail, ENDINGS)})


class Changes:
    """What the tensors of a LoRA change, told from their names and shapes alone; each thing is looked at once.

    Attributes:
        tensors: Its tensors, without the names of peft's adapters in theirs.
        strays: Those of them that belong to no way of changing a module, and so have no effect.
    """

    def __init__(self, header: Header) -> None:
        self._header = header
        self._take(header.tensors)
        if self.strays and header.tensors is not (plain := plain_tensors(header)):
            self._take(plain)

    def _take(self, tensors: Tensors) -> None:
        tails = {*map(_tail, tensors)}  # a few stand for thousands of names
        self.tensors, self._tails = tensors, "\n".join(tails) + "\n"
        self.strays = list(_strays(tensors, {tail for tail in tails if not tail.endswith(_TAILS)}))
        self._ending: dict[str, list[str]] = {}

    def ending(self, ending: str) -> list[str]:
        """The names of tensors that end so, in the file's order."""
        if ending not in self._ending:
            there = f"{ending[-_TAIL:]}\n" in self._tails
            self._ending[ending] = [name for name in self.tensors if name.endswith(ending)] if there else []
        return self._ending[ending]

    @cached_property
    def ranks(self) -> tuple[int, ...]:
        """The ranks that occur, smallest first; none where nothing is decomposed."""
        shapes = [self.tensors[name]["shape"] for ending in RANKED for name in self.ending(ending)]
        return tuple(sorted({shape[0] for shape in shapes if len(shape) > 1}))

    @cached_property
    def unsupported_method(self) -> str | None:
        """Name of the method, if it is one that `generate` does not apply."""
        return unsupported_method(self._header)

    @cached_property
    def damaged(self) -> Mapping[str, tuple[str, str]]:
        """Halves that are broken, by their names: the module, and what such modules do."""
        return broken_halves(self.tensors, self.ending)

    def compared(self, modules: Modules) -> Coverage | None:
        """`coverage`, but for what a LoRA is called and what its metadata say."""
        found = _Compared(self, modules)
        numbers = numbered(self.tensors) if self.strays else {}
        if not (found.by_number(numbers) if numbers else found.by_name()):
            return None
        return Coverage(
            lora="",
            modules=modules.targets,
            matched=len((found.matched | found.widened) - found.conflicts),
            shape_conflicts=tuple(sorted(found.conflicts)),
            unmatched=tuple(sorted(found.missing)),
            elsewhere=tuple(sorted(found.elsewhere)),
            widened=tuple(sorted(found.widened)),
            ranks=self.ranks,
        )


def coverage(lora: str, header: Header, modules: Modules) -> Coverage | None:
    """Compare the LoRA named `lora`, whose header is `header`, with a checkpoint's modules.

    What a LoRA does to norms is compared but not counted: `modules` and `matched` count linear
    layers and convolutions, of a fused one each part. Embeddings that come along (`bundle_emb.`)
    are no modules. `unmatched` names modules that the checkpoint lacks, and tensors of no known kind;
    modules of text encoders are not lacking where the checkpoint's file holds no text encoder at all. What is
    damaged is left out: see `Changes.damaged`.

    Returns:
        What it would change; `None` where its names and the checkpoint's cannot be compared.
    """
    return of_lora(lora, header, Changes(header).compared(modules))


def of_lora(lora: str, header: Header, compared: Coverage | None) -> Coverage | None:
    """The coverage of the LoRA of this name and header, given what its tensors come to."""
    return None if compared is None else replace(compared, lora=lora, alphas=alphas(header))


class _Compared:
    """A LoRA's tensors and a checkpoint's modules, and what was found so far."""

    def __init__(self, changes: Changes, modules: Modules) -> None:
        self._changes, self._modules = changes, modules
        self.matched: set[str] = set()
        self.conflicts: set[str] = set()
        self.missing: set[str] = set()
        self.elsewhere: set[str] = set()
        self.widened: set[str] = set()

    def by_name(self) -> bool:
        """Look up each module that is changed; whether any can be told to be there or not."""
        for mark in MARKS:
            self._look_up(mark, self._changes.ending(mark))
        if not self._modules.text_encoders:
            self.elsewhere = {name for name in self.missing if kohya_name(name).startswith(_TEXT)}
        self.missing = (self.missing - self.elsewhere).union(self._changes.strays)
        return self._modules.all_spellings or bool(self.matched or self.widened or self.conflicts)

    def _look_up(self, mark: str, marked: list[str]) -> None:
        """Look up modules by the names of the tensors that mark them so."""
        tensors, damaged = self._changes.tensors, self._changes.damaged
        by_name, fits = self._modules.by_kohya_name, FITS[mark]
        for key in marked:
            if key in damaged or key.startswith(EMBEDDINGS):
                continue
            named = key[: -len(mark)]
            module = by_name.get(named) or next(filter(None, map(by_name.get, kohya_names(named))), None)
            if module is None:
                self.missing.add(named)
                continue
            names, weight = module
            if fits(tensors, named, mark, weight):
                if len(weight) > 1:
                    self.matched.update(names)
            else:
                wider = _wider(weight, tensors[key]["shape"]) if names[0] in _INPUTS else weight
                fit = wider is not weight and fits(tensors, named, mark, wider)
                (self.widened if fit else self.conflicts).update(names)

    def by_number(self, numbers: Mapping[str, Mapping[int, tuple[int, int]]]) -> bool:
        """Count the modules off in the order in which they were trained; whether all fit, and so were the same."""
        order = in_order(self._modules.shapes)
        for network, sizes in numbers.items():
            names = order[network]
            if not names and network == "text_encoder":
                self.elsewhere.update(f"{network}:{number}" for number in sizes)
                continue
            for number, (taken, given) in sizes.items():
                if number >= len(names) or self._modules.shapes[names[number]] != [given, taken]:
                    return False
                self.matched.add(names[number])
        return True


def _wider(weight: Shape, down: Shape) -> Shape:
    """The weight, if it reads several pictures side by side; as it is where `down` does not ask for that."""
    whole = 1 < len(weight) == len(down) and weight[1] > 0 and down[1] % weight[1] == 0
    return [weight[0], down[1], *weight[2:]] if whole else weight


def _strays(tensors: Mapping[str, object], unknown: set[str]) -> Iterator[str]:
    """Tensors that belong to no way of changing a module, given tails of names that end none."""
    for key in tensors if unknown else ():
        if _tail(key) in unknown and not key.startswith(EMBEDDINGS):
            rescaled = key.endswith(".weight") and f"{key.removesuffix('.weight')}.on_input" in tensors
            if not rescaled and not key.rstrip("0123456789").endswith(LISTED):
                yield key
