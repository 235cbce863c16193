"""Which modules of a checkpoint a LoRA would change, told from the headers of both: adapters, scaling and damage."""

from __future__ import annotations

import json
from math import isfinite, prod
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from assetctl.compat.module_names import kohya_name
from assetctl.types import Coverage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from assetctl.files.safetensors import Header

    Tensors = Mapping[str, Mapping[str, Any]]
    Shape = list[int]
    Fits = Callable[[Tensors, str, Shape, Shape], bool]
    from collections.abc import Iterable, Mapping

    from assetctl.compat.modules import Modules, Shape


#: How the tensor ends whose first number is the rank.
_RANKED = (
    ".lora_down.weight", ".lora_A.weight", ".lora_A.default.weight", ".down.weight",
    ".hada_w1_b", ".lokr_w1_b", ".lokr_w2_b",
)  # fmt: skip

#: Kohya's trainer writes the alpha itself, and that of convolutions among the network's arguments.
_KOHYA, _KOHYA_MORE = "ss_network_alpha", "ss_network_args"

#: Where peft and diffusers keep a LoRA's configuration.
_PEFT = "lora_adapter_metadata"


def ranks(header: Header) -> tuple[int, ...]:
    """The ranks that occur in a LoRA, smallest first; none where nothing is decomposed."""
    shapes = (entry["shape"] for key, entry in header.tensors.items() if key.endswith(_RANKED))
    return tuple(sorted({shape[0] for shape in shapes if len(shape) > 1}))


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


#: How the halves of a LoRA end: down, and up.
HALVES = {
    ".lora_down.weight": ".lora_up.weight",
    ".lora_A.weight": ".lora_B.weight",
    ".lora_A.default.weight": ".lora_B.default.weight",
    ".down.weight": ".up.weight",  # after `.lora`, `_lora`, `_lora1` or `.lora_linear_layer`
}


def _low_rank(up_ending: str, mid_ending: str = "") -> Fits:
    def fits(tensors: Tensors, module: str, down: Shape, weight: Shape) -> bool:
        other = tensors.get(module + up_ending)
        up: Shape = [] if other is None else other["shape"]
        if len(up) < 2 or len(down) < 2 or up[0] != weight[0] or up[1] != down[0]:
            return False
        if down[1:] == weight[1:]:
            return True
        mid = _shape(tensors, module + mid_ending) if mid_ending else []
        return _flat([down[1], *mid[2:]] if mid else down[1:]) == _flat(weight[1:])

    return fits


def _flat(shape: Shape) -> Shape:
    """Without ones behind the first number: a convolution of one pixel is a linear layer."""
    end = len(shape)
    while end > 1 and shape[end - 1] == 1:
        end -= 1
    return shape[:end]


def _hadamard(tensors: Tensors, module: str, a: Shape, weight: Shape) -> bool:
    b, kernel = _shape(tensors, f"{module}.hada_w1_b"), _shape(tensors, f"{module}.hada_t1")
    if len(a) != 2 or len(b) != 2:
        return False
    if kernel:
        return [a[1], b[1], *kernel[2:]] == weight
    return a[0] == weight[0] and b[1] == prod(weight[1:])


def _kronecker(tensors: Tensors, module: str, _first: Shape, weight: Shape) -> bool:
    outer, inner = _factor(tensors, f"{module}.lokr_w1"), _factor(tensors, f"{module}.lokr_w2")
    if len(outer) != 2 or len(inner) < 2:
        return False
    return outer[0] * inner[0] == weight[0] and outer[1] * prod(inner[1:]) == prod(weight[1:])


def _factor(tensors: Tensors, name: str) -> Shape:
    """Shape of one factor of a Kronecker product, which may be decomposed itself."""
    a, b = _shape(tensors, f"{name}_a"), _shape(tensors, f"{name}_b")
    if len(a) < 2 or len(b) < 2:
        return _shape(tensors, name)
    kernel = _shape(tensors, name.replace("lokr_w", "lokr_t"))
    return [a[1], b[1], *kernel[2:]] if kernel else [a[0], *b[1:]]


def _orthogonal(_tensors: Tensors, _module: str, blocks: Shape, weight: Shape) -> bool:
    return len(blocks) >= 3 and prod(blocks[-3:-1]) == weight[0]


def _whole(_tensors: Tensors, _module: str, difference: Shape, weight: Shape) -> bool:
    return _flat(difference) == _flat(weight)


def _skew(_tensors: Tensors, _module: str, halves: Shape, weight: Shape) -> bool:
    """Whether blocks along the input fit, each written as the upper half of a skew-symmetric matrix (peft)."""
    if len(halves) != 2 or not halves[0]:
        return False
    size = prod(weight[1:]) // halves[0]
    return size * halves[0] == prod(weight[1:]) and size * (size - 1) // 2 == halves[1]


def _generalised(_tensors: Tensors, _module: str, first: Shape, weight: Shape) -> bool:
    """GLoRA's first matrix reads the input; old and new versions lay it on different sides."""
    return len(weight) > 1 and weight[1] in first[:2]


def _rescaling(tensors: Tensors, module: str, _flag: Shape, weight: Shape) -> bool:
    """Whether (IA)³ has one factor for each input or output; which, a number that is not in the header says."""
    factors = _shape(tensors, f"{module}.weight")
    return bool(factors) and prod(factors) in weight[:2]


def _shape(tensors: Tensors, name: str) -> Shape:
    entry = tensors.get(name)
    return [] if entry is None else entry["shape"]


#: How the tensor ends that each changed module has once, and whether its change fits a weight.
ADAPTERS: dict[str, Fits] = {
    **{down: _low_rank(up, ".lora_mid.weight") for down, up in HALVES.items()},
    ".hada_w1_a": _hadamard,
    ".lokr_w1": _kronecker,
    ".lokr_w1_a": _kronecker,
    ".oft_blocks": _orthogonal,
    ".oft_diag": _orthogonal,
    ".oft_R.weight": _skew,
    ".diff": _whole,
    ".w_norm": _whole,
    ".a1.weight": _generalised,
    ".on_input": _rescaling,
}

#: How the other tensors of a module end, which change nothing by themselves.
COMPANIONS = (
    ".alpha", ".scale", ".dora_scale", ".lora_magnitude_vector", ".lora_magnitude_vector.weight", ".diff_b", ".b_norm",
    ".lora_up.weight", ".lora_mid.weight", ".lora_B.weight", ".lora_B.default.weight", ".up.weight", ".mid.weight",
    ".lora_up.bias", ".lora_B.bias", ".hada_w1_b", ".hada_w2_a", ".hada_w2_b", ".hada_t1", ".hada_t2",
    ".lokr_w1_b", ".lokr_w2", ".lokr_w2_a", ".lokr_w2_b", ".lokr_t1", ".lokr_t2", ".rescale", ".oft_R.bias",
    ".a2.weight", ".b1.weight", ".b2.weight", ".bm.weight",
)  # fmt: skip


def damaged_modules(header: Header) -> Iterator[tuple[str, str]]:
    """Each such module by its name in the file, and what such modules do."""
    tensors = header.tensors
    for down, up in HALVES.items():
        if not header.has(f"{down}\n", f"{up}\n"):
            continue
        for key, entry in tensors.items():
            if key.endswith(down):
                wrong = damage(tensors, down, key[: -len(down)], entry["shape"])
                if wrong is not None:
                    yield key[: -len(down)], wrong
            elif key.endswith(up) and key[: -len(up)] + down not in tensors:
                yield key[: -len(up)], "lack the half that leads down"


def damage(tensors: Tensors, ending: str, module: str, down: Shape) -> str | None:
    """What modules do that are broken as this one is, given how the first one ends; `None` for other methods too."""
    if ending not in HALVES:
        return None
    up = tensors.get(module + HALVES[ending])
    if up is None:
        return "lack the half that leads up"
    if 0 in down or 0 in up["shape"]:
        return "are of rank 0"
    if len(down) > 1 and len(up["shape"]) > 1 and down[0] != up["shape"][1]:
        return "have halves of different ranks"
    return None


_TEXT = "lora_te"

#: Where transformers read the picture. Control LoRAs have them read a second one beside it.
_INPUTS = frozenset({"transformer_x_embedder", "transformer_img_in"})

_EMBEDDINGS = "bundle_emb."
_KNOWN = (*ADAPTERS, *COMPANIONS)
_TAIL = 12
_tail = itemgetter(slice(-_TAIL, None))


def coverage(lora: str, header: Header, modules: Modules) -> Coverage:
    """Compare the LoRA named `lora`, whose header is `header`, with a checkpoint's modules.

    What a LoRA does to norms is compared but not counted: `modules` and `matched` count linear
    layers and convolutions, of a fused one each part. Embeddings that come along (`bundle_emb.`)
    are no modules. `unmatched` names modules that the checkpoint lacks, and tensors of no known kind;
    modules of text encoders are not lacking where the checkpoint's file holds no text encoder at all. What is
    damaged is left out: see `damage`.
    """
    tensors, modules_by_name = header.tensors, modules.by_kohya_name
    matched: set[str] = set()
    conflicts: set[str] = set()
    missing: set[str] = set()
    widened: set[str] = set()
    for ending in _endings(tensors):
        fits, end = ADAPTERS[ending], -len(ending)
        for key, entry in tensors.items():
            if not key.endswith(ending) or key.startswith(_EMBEDDINGS):
                continue
            named = key[:end]
            if damage(tensors, ending, named, entry["shape"]):
                continue
            module = modules_by_name.get(named) or modules_by_name.get(kohya_name(named))
            if module is None:
                missing.add(named)
                continue
            names, weight = module
            if not fits(tensors, named, entry["shape"], weight):
                wider = names[0] in _INPUTS and fits(tensors, named, entry["shape"], _wider(weight, entry["shape"]))
                (widened if wider else conflicts).update(names)
            elif len(weight) > 1:
                matched.update(names)
    elsewhere = set() if modules.text_encoders else {name for name in missing if kohya_name(name).startswith(_TEXT)}
    return Coverage(
        lora=lora,
        modules=modules.targets,
        matched=len((matched | widened) - conflicts),
        shape_conflicts=tuple(sorted(conflicts)),
        unmatched=tuple(sorted((missing - elsewhere).union(_strays(tensors)))),
        elsewhere=tuple(sorted(elsewhere)),
        widened=tuple(sorted(widened)),
        ranks=ranks(header),
        alphas=alphas(header),
    )


def _wider(weight: Shape, down: Shape) -> Shape:
    """The weight, if it reads several pictures side by side; as it is where `down` does not ask for that."""
    whole = 1 < len(weight) == len(down) and weight[1] > 0 and down[1] % weight[1] == 0
    return [weight[0], down[1], *weight[2:]] if whole else weight


def _strays(tensors: Mapping[str, object]) -> Iterator[str]:
    """Tensors that belong to no way of changing a module, and so have no effect."""
    for key in tensors:
        if not key.endswith(_KNOWN) and not key.startswith(_EMBEDDINGS):
            of_rescaling = key.endswith(".weight") and f"{key.removesuffix('.weight')}.on_input" in tensors
            if not of_rescaling:
                yield key


def _endings(names: Iterable[str]) -> list[str]:
    """Those of `ADAPTERS` that may occur: a few tails stand for thousands of names."""
    tails = "\n".join({*map(_tail, names)}) + "\n"
    return [ending for ending in ADAPTERS if f"{ending[-_TAIL:]}\n" in tails]
