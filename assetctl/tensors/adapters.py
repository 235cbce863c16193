"""How LoRAs and their relatives are written: what stands before a module's name, and what behind it.

A *layout* is a prefix that some program writes before the names of a network's modules; a *change* is a way to write
what is done to one. `identify`, `check` and `generate` all go by these two tables, and a new entry is known to all of
them. Sources: kohya-ss/sd-scripts and musubi-tuner, KohakuBlueleaf/LyCORIS, huggingface/peft and diffusers,
Nerogar/OneTrainer, ostris/ai-toolkit, bghira/SimpleTuner, ComfyUI, cloneofsimo/lora.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from math import isqrt, prod
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from assetctl.files.safetensors import Header

    Tensors = Mapping[str, Mapping[str, Any]]
    Shape = list[int]


@dataclass(frozen=True, slots=True)
class Layout:
    """A prefix of modules' names. One that ends in an underscore is followed by a path with underscores for dots.

    Attributes:
        prefix: What the names begin with.
        network: Whose modules they are: `denoiser` (a UNet or a transformer), a text encoder as diffusers calls it
            (`text_encoder_2`), `control`, or `any`, with another prefix behind it or none.
        writer: What the layout is called by, where it is a trainer's own.
        before: How names go on that it is a prefix of; all, if empty.
        unless: Beginnings of names, itself included, that it is no prefix of: those of other networks, and those that
            begin as it does where all dots are underscores.
    """

    prefix: str
    network: str = "denoiser"
    writer: str | None = None
    before: tuple[str, ...] = ()
    unless: tuple[str, ...] = ()

    @property
    def flat(self) -> bool:
        """Whether a path follows that has underscores for dots."""
        return self.prefix.endswith("_")

    def pattern(self, spelled: Callable[[str], str]) -> str:
        """A regular expression for the prefix where all names are spelled so."""
        more = "+" if self.flat else ""  # VideoX-Fun writes two underscores
        go_on = f"(?={'|'.join(re.escape(spelled(name)) for name in self.before)})" if self.before else ""
        prefix, parts = spelled(self.prefix), map(spelled, self.unless)
        alike = "|".join(re.escape(part.removeprefix(prefix)) for part in parts if part.startswith(prefix))
        return re.escape(prefix) + more + go_on + (f"(?!{alike})" if alike else "")


#: Stacks of blocks, and what else begins a transformer's own names: after `model.`, a language model's begin otherwise.
STACKS = (
    "double_blocks.", "single_blocks.", "transformer_blocks.", "single_transformer_blocks.", "blocks.",
    "layers.0.attention.", "double_layers.", "single_layers.", "joint_blocks.", "joint_transformer_blocks.",
)  # fmt: skip

#: Where single files keep text encoders in Hugging Face's names, and what diffusers calls the encoder.
HUGGING_FACE = {
    "cond_stage_model.transformer.": "text_encoder",
    "conditioner.embedders.0.transformer.": "text_encoder",
    "text_encoders.clip_l.transformer.": "text_encoder",  # as ComfyUI saves them
    "text_encoders.clip_h.transformer.": "text_encoder",
    "text_encoders.clip_g.transformer.": "text_encoder_2",
    "text_encoders.t5xxl.transformer.": "text_encoder_3",
}

#: The same in open_clip's names. The SDXL refiner has only the second encoder.
OPEN_CLIP = {
    "cond_stage_model.model.": "text_encoder",
    "conditioner.embedders.0.model.": "text_encoder_2",
    "conditioner.embedders.1.model.": "text_encoder_2",
}

#: What else begins the names of text encoders there, and what those of a VAE.
TEXT_ENCODERS = (
    "cond_stage_model.", "conditioner.embedders.", "text_encoders.", "text_encoder.", "text_encoder_2.", "te1.",
    "conditioner.conditioners.",  # of sound, as the VAE's last
)  # fmt: skip
VAES = ("first_stage_model.", "vae.", "pretransform.")

LAYOUTS = (
    Layout("lora_unet_", writer="kohya"),
    Layout("oft_unet_", writer="kohya"),
    Layout("lora_transformer_", writer="onetrainer"),
    Layout("lora_prior_unet_", writer="onetrainer"),
    Layout("lora_prior_", writer="onetrainer", unless=("lora_prior_te_",)),
    Layout("lycoris_", writer="lycoris"),
    Layout("base_model.model.", "any", "peft"),
    Layout("unet.", writer="diffusers"),
    # CLIP has such a part, in transformers' names and in open_clip's, and GPT has
    Layout("transformer.", writer="diffusers", unless=(
        "transformer.resblocks", "transformer.text_model", "transformer.h.0.", "transformer_blocks.0.",
    )),
    Layout("transformer_2.", writer="diffusers"),  # Wan 2.2 has a second one, for little noise
    Layout("diffusion_model."),
    Layout("model.diffusion_model."),
    Layout("model.model.", before=STACKS),
    Layout("model.", before=STACKS),
    Layout("pipe.dit."),  # DiffSynth-Studio
    Layout("net."),  # NVIDIA's Cosmos
    Layout("module.", "any"),  # torch's, around what is trained on several machines
    Layout("_orig_mod.", "any"),  # torch's, around what is compiled
    Layout("control_model."),
    Layout("state_dict.", "any"),  # as pytorch-lightning nests what it trained
    Layout("params.", "any"),  # upscalers
    Layout("params_ema.", "any"),
    Layout("lllite_unet_", "control", "kohya"),
    Layout("lllite_", "control", "kohya"),
    Layout("lora_te_", "text_encoder", "kohya"),
    Layout("lora_te1_", "text_encoder", "kohya"),
    Layout("lora_te2_", "text_encoder_2", "kohya"),
    Layout("lora_te3_", "text_encoder_3", "kohya"),
    Layout("lora_te4_", "text_encoder_4", "kohya"),
    Layout("lora_prior_te_", "text_encoder", "onetrainer"),
    Layout("text_encoder.", "text_encoder", "diffusers"),
    Layout("text_encoder_2.", "text_encoder_2", "diffusers"),
    Layout("text_encoder_3.", "text_encoder_3", "diffusers"),
    Layout("text_encoder_4.", "text_encoder_4", "diffusers"),
    *(
        Layout(place, network)
        for name, network in (
            ("clip_l", "text_encoder"), ("clip_h", "text_encoder"), ("clip_g", "text_encoder_2"),
            ("t5xxl", "text_encoder_3"), ("t5", "text_encoder_3"),
        )
        for place in (f"{name}.", f"{name}.transformer.", f"text_encoders.{name}.")
    ),
    *(Layout(prefix, network) for prefix, network in HUGGING_FACE.items()),
    Layout("text_encoders.", "text_encoder_other"),  # ComfyUI's language models, by their own names
    Layout("", "text_encoder", before=("text_model.", "text_model_")),
)  # fmt: skip


def prefixes(layouts: Iterable[Layout], spelled: Callable[[str], str] = str) -> str:
    """A regular expression for the prefixes of layouts where all names are spelled so, longest first."""
    return "|".join(layout.pattern(spelled) for layout in sorted(layouts, key=lambda layout: -len(layout.prefix)))


#: Those of a denoising network's modules, with what may stand before them.
DENOISERS = tuple(layout for layout in LAYOUTS if layout.network in ("denoiser", "any"))


def root_of(header: Header) -> str:
    """What stands before the names of a denoising network in a file that holds it; nothing in one of it alone."""
    for layout in sorted(DENOISERS, key=lambda layout: -len(layout.prefix)):
        if layout.network == "denoiser" and not layout.flat:
            starts = [f"\n{layout.prefix}{name}" for name in layout.before or ("",)]
            other = (f"\n{name}" for name in layout.unless if name.startswith(layout.prefix))
            if header.has(*starts) and not header.has(*other):
                return layout.prefix
    return ""


#: A denoiser's prefixes, as often as they follow each other, and a text encoder's after them.
_DENOISER = re.compile(f"(?:{prefixes(DENOISERS)})*+")
_ENCODERS = sorted(
    (layout for layout in LAYOUTS if layout.network.startswith("text_encoder")), key=lambda layout: -len(layout.prefix)
)
_ENCODER = re.compile("|".join(f"({layout.pattern(str)})" for layout in _ENCODERS))

#: What a path with underscores may begin with that is a prefix all the same.
_FURTHER = ("unet_", "transformer_", "model_", "diffusion_model_")

#: As many of them as may follow each other: each makes another name to look up, as long as what remains.
_MOST_FURTHER = 4

#: Kohya's prefix by the name of a network's folder.
KOHYA = {
    "unet": "lora_unet_",
    "transformer": "lora_unet_",
    "text_encoder": "lora_te1_",
    "text_encoder_2": "lora_te2_",
    "text_encoder_3": "lora_te3_",
    "text_encoder_4": "lora_te4_",
    "text_encoder_other": "lora_te0_",
}

#: What stands between a module's name and `.down.weight` or `.lora_A`. XLabs counts its streams there: `_lora1` stays.
_BETWEEN = (".lora", "_lora", ".lora_linear_layer")


def kohya_name(name: str) -> str:
    """A module's name in kohya's spelling, given any other LoRA's; LDM's block numbers stay as they are.

    >>> kohya_name("unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.processor.to_out")
    'lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_out_0'
    """
    for ending in _BETWEEN:
        name = name.removesuffix(ending)
    start = _DENOISER.match(name).end()  # type: ignore[union-attr]  # it matches nothing, at least
    encoder = _ENCODER.match(name, start)
    if encoder is None or not encoder.lastindex:
        return "lora_unet_" + _undotted(name[start:])
    rest = name[encoder.end() :].removeprefix("base_model.model.")  # diffusers around peft's own model
    whole = f"text_model.{rest}" if rest.startswith("encoder.layers.") else rest  # as transformers drops it
    return KOHYA[_ENCODERS[encoder.lastindex - 1].network] + _undotted(whole)


def kohya_names(name: str) -> Iterator[str]:
    """The same, and what remains where more of the beginning is taken for prefixes; only one is some module's."""
    found = kohya_name(name)
    yield found
    if found.startswith("lora_unet_"):
        rest = found[len("lora_unet_") :]
        for _ in range(_MOST_FURTHER):
            prefix = next((each for each in _FURTHER if rest.startswith(each)), None)
            if prefix is None:
                return
            rest = rest[len(prefix) :]
            yield f"lora_unet_{rest}"


def _undotted(path: str) -> str:
    if ".processor." in path:  # attention processors, before peft, hid one level and the dropout beside `to_out`
        path = path.replace(".processor.", ".")
        path = path + ".0" if path.endswith(".to_out") else path
    if ".self_attn.to_" in path:
        path = path.replace(".self_attn.to_", ".self_attn.") + "_proj"
    if "_orig_mod." in path:
        path = path.replace("_orig_mod.", "")
    return path.replace(".", "_").rstrip("_")  # SimpleTuner once wrote an underscore for a name's last dot


#: A number that a tensor does not show.
UNSEEN = -1


@dataclass(frozen=True, slots=True)
class Change:
    """A way to write what is done to a module.

    Attributes:
        name: What people call it.
        signs: Parts of tensors' names that nothing else has; a newline is a name's end.
        marks: How the tensor ends that each module so changed has once, in one way or another.
        others: How its other tensors end, which change nothing by themselves.
        halves: For the product of two matrices: how the second one ends, which leads up, by how the first does.
        measure: Shape of the weight that it changes, as far as its tensors show, given those, the module and the mark.
        fits: Whether it fits a weight of this shape, where to compare with `measure` is not enough.
        ranked: How the tensors end whose first number is the rank.
        between: What may stand between a module's name and those endings.
        telling: Whether its signs alone make a file a LoRA.
        lycoris: Whether it is one of LyCORIS's algorithms.
        backends: Ways to generate that apply it as it was meant.
    """

    name: str
    signs: tuple[str, ...]
    marks: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    measure: Callable[[Tensors, str, str], Shape] | None = None
    fits: Callable[[Tensors, str, str, Shape], bool] | None = None
    ranked: tuple[str, ...] = ()
    between: tuple[str, ...] = ("",)
    telling: bool = True
    lycoris: bool = False
    backends: tuple[str, ...] = ()

    def ends(self, mark: str) -> tuple[str, ...]:
        """How those tensors end that show a width by themselves, where a change is marked so."""
        return (mark, HALVES[mark]) if mark in HALVES else (mark,)

    def width(self, tensors: Tensors, module: str, mark: str, axis: int) -> int | None:
        """Width of what a module takes in (1) or gives out (0), as far as the change shows that is marked so."""
        shape = [] if self.measure is None else self.measure(tensors, module, mark)
        return shape[axis] if len(shape) > axis and shape[axis] > 0 else None


def _measured(change: Change, tensors: Tensors, module: str, mark: str, weight: Shape) -> bool:
    """Whether a change measures as much as a weight, as far as it shows."""
    shape = [] if change.measure is None else change.measure(tensors, module, mark)
    if not shape or shape[0] not in (UNSEEN, weight[0]):
        return False
    return UNSEEN in shape[1:] or prod(shape[1:]) == prod(weight[1:])


def _shape(tensors: Tensors, name: str) -> Shape:
    entry = tensors.get(name)
    return [] if entry is None else entry["shape"]


#: How the halves of a LoRA end: down, and up.
HALVES = {
    ".lora_down.weight": ".lora_up.weight",
    ".lora_A.weight": ".lora_B.weight",
    ".lora_A": ".lora_B",
    ".down.weight": ".up.weight",  # after `.lora`, `_lora`, `_lora1` or `.lora_linear_layer`
    ".down": ".up",  # control LoRAs by Stability AI
}


def broken_halves(tensors: Tensors, ending: Callable[[str], Iterable[str]] | None = None) -> dict[str, tuple[str, str]]:
    """Halves of a LoRA that are broken, by their names: the module, and what such modules do.

    Args:
        tensors: Its tensors, as `plain_tensors` has them.
        ending: Those of their names that end so, where they were sorted before.
    """
    named = ending or (lambda end: [name for name in tensors if name.endswith(end)])
    found = {}
    for down, up in HALVES.items():
        for name in named(down):
            module = name[: -len(down)]
            if (wrong := _damage(tensors[name]["shape"], tensors.get(module + up))) is not None:
                found[name] = module, wrong
        for name in named(up):
            if (module := name[: -len(up)]) + down not in tensors:
                found[name] = module, "lack the half that leads down"
    return found


def _damage(down: Shape, other: Mapping[str, Any] | None) -> str | None:
    """What modules do whose halves are broken as these are: the first one's shape, and the second one."""
    if other is None:
        return "lack the half that leads up"
    up = other["shape"]
    if 0 in down or 0 in up:
        return "are of rank 0"
    if len(down) > 1 and len(up) > 1 and down[0] != up[1]:
        return "have halves of different ranks"
    return None


def _product(tensors: Tensors, module: str, mark: str) -> Shape:
    down, up = _shape(tensors, module + mark), _shape(tensors, module + HALVES[mark])
    into = down[1:] if len(down) > 1 else [UNSEEN]
    return [up[0] if len(up) > 1 else UNSEEN, *into]


def _product_fits(tensors: Tensors, module: str, mark: str, weight: Shape) -> bool:
    other = tensors.get(module + HALVES[mark])
    if other is None:
        return False
    down, up = tensors[module + mark]["shape"], other["shape"]
    if len(up) < 2 or len(down) < 2 or up[0] != weight[0] or up[1] != down[0]:
        return False
    if down[1:] == weight[1:]:
        return True
    mid = _shape(tensors, module + ".lora_mid.weight")
    return _flat([down[1], *mid[2:]] if mid else down[1:]) == _flat(weight[1:])


def _flat(shape: Shape) -> Shape:
    """Without ones behind the first number: a convolution of one pixel is a linear layer."""
    end = len(shape)
    while end > 1 and shape[end - 1] == 1:
        end -= 1
    return shape[:end]


def _hadamard(tensors: Tensors, module: str, mark: str) -> Shape:
    a, b = _shape(tensors, module + mark), _shape(tensors, f"{module}.hada_w1_b")
    kernel = _shape(tensors, f"{module}.hada_t1")
    if len(a) != 2 or len(b) != 2:
        return []
    return [a[1], b[1], *kernel[2:]] if kernel else [a[0], b[1]]


def _kronecker(tensors: Tensors, module: str, _mark: str) -> Shape:
    outer, inner = _factor(tensors, f"{module}.lokr_w1"), _factor(tensors, f"{module}.lokr_w2")
    if len(outer) != 2 or len(inner) < 2:
        return []
    return [outer[0] * inner[0], outer[1] * inner[1], *inner[2:]]


def _factor(tensors: Tensors, name: str) -> Shape:
    """Shape of one factor of a Kronecker product, which may be decomposed itself."""
    a, b = _shape(tensors, f"{name}_a"), _shape(tensors, f"{name}_b")
    if len(a) < 2 or len(b) < 2:
        return _shape(tensors, name)
    kernel = _shape(tensors, name.replace("lokr_w", "lokr_t"))
    return [a[1], b[1], *kernel[2:]] if kernel else [a[0], *b[1:]]


def _rotated_output(tensors: Tensors, module: str, mark: str) -> Shape:
    """Blocks along the output; kohya's trainer has a list of them where a module is several in one."""
    part, rows = module + mark, 0
    number = 0
    while blocks := _shape(tensors, part):
        rows += prod(blocks[-3:-1]) if len(blocks) >= 3 else 0
        number += 1
        part = f"{module}.oft_blocks.{number}"
    return [rows, UNSEEN] if rows else []


def _rotated_input(tensors: Tensors, module: str, mark: str) -> Shape:
    """Blocks along the input (peft), as whole matrices or as the halves above their diagonals."""
    blocks = _shape(tensors, module + mark)
    if len(blocks) >= 3:
        return [UNSEEN, prod(blocks[-3:-1])]
    if len(blocks) != 2 or blocks[0] < 1:
        return []
    return [UNSEEN, blocks[0] * (1 + isqrt(1 + 8 * blocks[1])) // 2]


def _rotates(tensors: Tensors, module: str, mark: str, weight: Shape) -> bool:
    taken = _rotated_input(tensors, module, mark)
    if not taken or taken[1] < 1:
        return False
    wide = prod(weight[1:])
    return wide == taken[1] or (_shape(tensors, module + mark)[0] == 1 and wide % taken[1] == 0)  # one for all blocks


def _whole(tensors: Tensors, module: str, mark: str) -> Shape:
    return _shape(tensors, module + mark)


def _generalised(tensors: Tensors, module: str, mark: str) -> Shape:
    """`W a + b`, each a product; old and new versions hold the halves of both the other way round."""
    first = _shape(tensors, module + mark)
    if len(first) < 2:
        return []
    last = _shape(tensors, module + (".b1.weight" if first[0] > first[1] else ".b2.weight"))
    return [last[0] if last else UNSEEN, max(first[:2])]


def _generalised_fits(tensors: Tensors, module: str, mark: str, weight: Shape) -> bool:
    return len(weight) > 1 and weight[1] in _shape(tensors, module + mark)[:2]


def _ranked_by_time(tensors: Tensors, module: str, _mark: str) -> Shape:
    taken, given = _shape(tensors, f"{module}.q_layer.weight"), _shape(tensors, f"{module}.p_layer.weight")
    return [given[0], *taken[1:]] if len(taken) > 1 and len(given) > 1 else []


def _rescaling(tensors: Tensors, module: str, mark: str, weight: Shape) -> bool:
    """Whether there is one factor for each input or output; which, a number that is not in the header says."""
    factors = _shape(tensors, f"{module}.weight" if mark == ".on_input" else module + mark)
    return bool(factors) and prod(factors) in weight[:2]


def _vectors(tensors: Tensors, module: str, mark: str) -> Shape:
    given = _shape(tensors, module + mark)
    return [given[0], UNSEEN] if given else []


#: What cloneofsimo's trainer writes: see `numbered`.
NUMBERED = ("unet:0:down\n", "text_encoder:0:down\n")

#: What goes with changes of several kinds.
_ALONGSIDE = (".alpha", ".scale")

CHANGES = (
    Change(
        "LoRA",
        (
            "lora_down.", "lora_up.", "_lora.down.", "_lora.up.", "lora.down.", "lora.up.", "lora_A", "lora_B",
            "lora_linear_layer.", "_lora_linear_layer.", "_loras.", "loras.",
            "processor.qkv_lora", "processor.proj_lora",
        ),
        tuple(HALVES),
        (*HALVES.values(), ".lora_mid.weight", ".mid.weight", ".lora_up.bias", ".lora_B.bias", ".lora_E", ".ranknum"),
        measure=_product,
        fits=_product_fits,
        ranked=tuple(HALVES),
        between=("", *_BETWEEN, "_"),
        backends=("diffusers",),
    ),
    Change(
        "LoHa",
        (".hada_",),
        (".hada_w1_a",),
        (".hada_w1_b", ".hada_w2_a", ".hada_w2_b", ".hada_t1", ".hada_t2"),
        measure=_hadamard,
        ranked=(".hada_w1_b",),
        lycoris=True,
    ),
    Change(
        "LoKr",
        (".lokr_",),
        (".lokr_w1", ".lokr_w1_a"),
        (".lokr_w1_b", ".lokr_w2", ".lokr_w2_a", ".lokr_w2_b", ".lokr_t1", ".lokr_t2"),
        measure=_kronecker,
        ranked=(".lokr_w1_b", ".lokr_w2_b"),
        lycoris=True,
    ),
    Change(
        "DoRA",
        ("dora_scale", "lora_magnitude_vector"),
        others=(".dora_scale", ".lora_magnitude_vector", ".lora_magnitude_vector.weight"),
    ),
    Change("DoRA", ("magnitude\n",), others=(".magnitude",), telling=False),  # ai-toolkit's
    Change(
        "OFT",
        (".oft_",),
        (".oft_blocks", ".oft_blocks.0", ".oft_diag"),
        (".rescale",),
        measure=_rotated_output,
        lycoris=True,
    ),
    Change(
        "OFT",
        (".oft_",),
        (".oft_R.weight", ".oft_R", ".oft_r"),
        (".oft_R.bias", ".oft_s"),
        measure=_rotated_input,
        fits=_rotates,
        lycoris=True,
    ),
    Change(
        "BOFT", (".boft_",), (".boft_R",), (".boft_s",), measure=_rotated_input, fits=_rotates, lycoris=True
    ),
    Change(
        "GLoRA",
        (".a1.weight\n",),
        (".a1.weight",),
        (".a2.weight", ".b1.weight", ".b2.weight", ".bm.weight"),
        measure=_generalised,
        fits=_generalised_fits,
        telling=False,
        lycoris=True,
    ),
    Change("IA3", (".on_input\n",), (".on_input",), fits=_rescaling, lycoris=True),
    Change("IA3", (".ia3_l\n",), (".ia3_l",), fits=_rescaling),
    Change(
        "T-LoRA",
        (".lambda_layer\n",),
        (".lambda_layer",),
        (".q_layer.weight", ".p_layer.weight"),
        measure=_ranked_by_time,
        ranked=(".q_layer.weight",),
        lycoris=True,
    ),
    Change("numbered LoRA", NUMBERED, ranked=(":down",)),
    Change(
        "VeRA",
        (".vera_lambda_b",),
        (".vera_lambda_b",),
        (".vera_lambda_d", ".vera_A", ".vera_B"),
        measure=_vectors,
    ),
    Change(
        "full difference",
        (".diff\n", ".diff_b\n", ".diff_m\n", ".set_weight\n"),
        (".diff", ".set_weight"),
        (".diff_b", ".diff_m", ".reshape_weight"),
        measure=_whole,
    ),
    Change("change of norms", (".w_norm\n", ".b_norm\n"), (".w_norm",), (".b_norm",), measure=_whole),
)  # fmt: skip


#: How the tensor ends that marks a changed module, and the way in which it is changed.
MARKS = {mark: change for change in CHANGES for mark in change.marks}

#: Whether the change of a module that is marked so fits a weight: of all tensors, the module, the mark and the weight.
FITS = {mark: change.fits or partial(_measured, change) for mark, change in MARKS.items()}

#: How the tensors of changes end, all of them.
ENDINGS = tuple(sorted({*_ALONGSIDE, *MARKS}.union(*(change.others for change in CHANGES))))

#: Those whose first number is the rank.
RANKED = tuple(ending for change in CHANGES for ending in change.ranked)

#: Those that are numbered.
LISTED = ".oft_blocks."

#: What the names of embeddings begin with that were trained along with a LoRA: OneTrainer writes them into its file.
EMBEDDINGS = "bundle_emb."


#: Blocks differ in their numbers alone: with one digit for all, thousands of names are a hundred that are distinct.
_ONE_DIGIT = str.maketrans("123456789", "000000000")


def unsupported_method(header: Header, backend: str = "diffusers") -> str | None:
    """Name of the method, if a LoRA's header shows one that this way to generate does not apply faithfully."""
    alike = "\n" + "\n".join(set(header.names.translate(_ONE_DIGIT).split("\n"))) + "\n"
    return next(
        (
            change.name
            for change in CHANGES
            if backend not in change.backends
            for sign in change.signs
            if sign.translate(_ONE_DIGIT) in alike and header.has(sign)
        ),
        None,
    )


#: Peft's tensors with the name of an adapter within.
_MAY_BE_NAMED = (".lora_A.", ".lora_B.", ".lora_magnitude_vector.", ".oft_R.", ".boft_R.", ".ia3_l.")
_NAMED = re.compile(
    r"(\.(?:lora_[AB]|lora_magnitude_vector|oft_R|boft_[Rs]|ia3_l))\.(?!weight\Z|bias\Z)[^.]+(\.weight|\.bias)?\Z"
)


def with_adapters_names(names: str) -> bool:
    """Whether peft wrote the name of an adapter into some of these names, each between newlines."""
    return any(names.count(part) != names.count(f"{part}weight\n") for part in _MAY_BE_NAMED if part in names)


def plain_tensors(header: Header) -> Tensors:
    """A LoRA's tensors, without the names of adapters that peft writes into theirs: `lora_A.default.weight`."""
    if not with_adapters_names(header.names):
        return header.tensors
    return {_NAMED.sub(r"\1\2", name): entry for name, entry in header.tensors.items()}


#: How the tensors of a LoRA end that kohya's tools write, by how others end them.
_AS_KOHYA = (
    *((down, ".lora_down.weight") for down in HALVES),
    *((up, ".lora_up.weight") for up in HALVES.values()),
    (".lora_mid.weight", ".lora_mid.weight"),
    (".alpha", ".alpha"),
)


def as_kohya(names: Iterable[str], modules: Mapping[str, str]) -> dict[str, str]:
    """What kohya's tools call the tensors of a plain LoRA, by their own names; a name that is no module's stays.

    Args:
        names: The tensors'.
        modules: A checkpoint's modules as kohya's tools call them, by all the names that `kohya_names` may give them.
    """
    found = {}
    for name in names:
        plain = _NAMED.sub(r"\1\2", name)
        end, kohya = next((each for each in _AS_KOHYA if plain.endswith(each[0])), ("", ""))
        called = kohya_names(plain[: -len(end)]) if end else ()
        module = next(filter(None, map(modules.get, called)), None)
        found[name] = name if module is None else module + kohya
    return found


#: A tensor of cloneofsimo's trainer: what it numbers are the modules of a network in their order.
_NUMBERED = re.compile(r"(unet|text_encoder):(\d{1,4}):(down|up)")


def numbered(tensors: Tensors) -> dict[str, dict[int, tuple[int, int]]]:
    """For files that number the modules that they change: network to number to widths taken in and given out."""
    found: dict[str, dict[int, tuple[int, int]]] = {}
    for name, entry in tensors.items():
        match = _NUMBERED.fullmatch(name)
        up = tensors.get(f"{name[:-4]}up") if match is not None and match[3] == "down" else None
        if match is not None and up is not None and len(entry["shape"]) > 1 and len(up["shape"]) > 1:
            found.setdefault(match[1], {})[int(match[2])] = (entry["shape"][1], up["shape"][0])
    return found
