"""Which modules of a checkpoint a LoRA would change, told from the headers of both."""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING

from assetctl.compat.adapters import ADAPTERS, COMPANIONS
from assetctl.compat.damage import damage
from assetctl.compat.naming import kohya_name
from assetctl.compat.scaling import alphas, ranks
from assetctl.types import Coverage

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from assetctl.compat.modules import Modules, Shape
    from assetctl.files.safetensors import Header

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
