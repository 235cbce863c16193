"""Frozen dataclasses that cross layers. They hold data and say nothing of where it came from.

The words are those of the field: see the README's glossary. Sizes are in bytes, hashes are
lower-case hex, times are ISO 8601 in UTC.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

from assetctl.text import hidden_in, visible

if TYPE_CHECKING:
    from collections.abc import Mapping

#: `:` parts a name from its weight, `<>` enclose a LoRA tag.
SPECIAL = ":<>"

#: What no name holds: a path, a weight and a tag would be read otherwise.
_READ_OTHERWISE = frozenset(f"/\\{SPECIAL}")


def can_be_name(name: str) -> bool:
    """Whether an asset or a recipe can be called so: all of it is seen, and nothing takes it for something else."""
    return (
        0 < len(name) <= LONGEST_NAME
        and name == name.strip()
        and bool(name.strip("."))
        and _READ_OTHERWISE.isdisjoint(name)
        and hidden_in(name) is None
    )


Severity = Literal["error", "warning", "info"]
Confidence = Literal["certain", "likely", "ambiguous", "unknown"]
FileRole = Literal["main", "part", "copy"]

#: Characters of an asset's name.
LONGEST_NAME = 255

#: What can take part in a generation, then what is merely recognised.
KINDS = (
    "checkpoint", "lora", "embedding", "vae", "controlnet",
    "diffusion-model", "text-encoder", "image-encoder", "ip-adapter", "upscaler", "unknown",
)  # fmt: skip

#: Formats that assets are in.
FORMATS = ("safetensors", "diffusers", "pickle", "gguf", "png")


#: Formats that are loaded; all others are only recognised.
LOADED = ("safetensors", "diffusers")


@dataclass(frozen=True, slots=True)
class Evidence:
    """One reason for one claim of an identification.

    Attributes:
        source: What spoke: `tensors`, `metadata`, `folder`, `file name` or `person`.
        claim: What it says, as `field=value`, for example `family=sd1`.
        detail: The observation itself, for a person.
    """

    source: str
    claim: str
    detail: str


@dataclass(frozen=True, slots=True)
class Identification:
    """What a file is, and why we think so.

    A field is `None` where the file does not say. Tensors outrank metadata, metadata outranks
    the file's name; what loses stays in `evidence`. `alias` is what its metadata call it, empty where they do not,
    and `None` where nobody looked: A1111 writes it into prompts, in the place of a LoRA's file name.
    """

    kind: str = "unknown"
    family: str | None = None
    base_model: str | None = None
    variant: str | None = None
    prediction: str | None = None
    format: str | None = None
    layout: str | None = None
    confidence: Confidence = "unknown"
    trigger_words: tuple[str, ...] = ()
    alias: str | None = None
    evidence: tuple[Evidence, ...] = ()


@dataclass(frozen=True, slots=True)
class AssetFile:
    """One file of an asset.

    `role` is `main` for a single-file asset, `part` for a file inside a diffusers folder, and
    `copy` for another place where the same bytes lie. Hashes are `None` until computed.
    """

    path: str
    size: int
    mtime_ns: int
    role: FileRole = "main"
    sha256: str | None = None
    autov3: str | None = None
    blake3: str | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """What a source says of an asset; kept as it was said, whatever becomes of the page, but for what nobody sees.

    Attributes:
        base_model: In Civitai's spelling.
        kind: In our words, `None` for what we have none for.
        licence: A licence's name, or what its owner allows: `allowCommercialUse=Image,Rent`.
        commercial: Whether pictures may be sold; `None` where nothing is said.
        page: For people.
        air: The field's own identifier.
        source: Who says so: `civitai`, or the program that left a note beside the file.
    """

    base_model: str | None = None
    kind: str | None = None
    trigger_words: tuple[str, ...] = ()
    licence: str | None = None
    commercial: bool | None = None
    page: str | None = None
    air: str | None = None
    creator: str | None = None
    source: str = "civitai"

    def __post_init__(self) -> None:
        for name in ("base_model", "kind", "licence", "page", "air", "creator"):
            said = getattr(self, name)
            if said is not None:
                object.__setattr__(self, name, visible(said).strip() or None)
        words = (visible(word).strip() for word in self.trigger_words)
        object.__setattr__(self, "trigger_words", tuple(word for word in words if word))


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an asset came from: the reference as given, its exact revision, the URL, the time, what was said there."""

    source: str
    reference: str
    revision: str | None = None
    url: str | None = None
    fetched_at: str | None = None
    facts: Facts | None = None


@dataclass(frozen=True, slots=True)
class Asset:
    """One thing that can be used in a generation: a file, or a diffusers folder.

    `sha256` of a folder is that of the sorted lines `SHA256  RELATIVE/PATH` of its files.
    `in_store` is false for a user's own file that is registered in place.
    """

    id: int
    name: str
    kind: str
    family: str | None
    base_model: str | None
    variant: str | None
    prediction: str | None
    format: str | None
    layout: str | None
    size: int
    sha256: str | None
    autov3: str | None
    trigger_words: tuple[str, ...]
    tags: tuple[str, ...]
    path: str
    in_store: bool
    source: str | None = None
    default_weight: float | None = None
    notes: str | None = None
    added_at: str | None = None

    @property
    def typed(self) -> str:
        """The name as one types it in a shell."""
        return shlex.quote(self.name)

    @property
    def autov2(self) -> str | None:
        """The first ten digits of its SHA256."""
        return self.sha256 and self.sha256[:10]

    @property
    def token(self) -> str:
        """Of an embedding: the word that stands for it in a prompt."""
        return next(iter(self.trigger_words), self.name)


@dataclass(frozen=True, slots=True)
class AssetDetails:
    """Everything that is known of one asset; `problem` says what is wrong with its file, if anything is."""

    asset: Asset
    files: tuple[AssetFile, ...]
    identification: Identification
    overrides: dict[str, object]
    origin: Origin | None
    metadata: dict[str, str] = field(default_factory=dict)
    generations: int = 0
    problem: str | None = None


class Fitting(NamedTuple):
    """An asset, and how well it fits a checkpoint."""

    asset: Asset
    fit: str


#: The parts that assets take in a generation, in the order in which they are told.
ROLES = ("checkpoint", "lora", "embedding", "vae", "controlnet")


@dataclass(frozen=True, slots=True)
class AssetUse:
    """An asset in its role, and how strongly it is applied; 1.0 is as trained.

    `found_by` is the word of a prompt that an embedding was found by; `None` of what somebody chose. `text_weight` is
    how strongly a LoRA changes text encoders, where that is not as strongly as all else.
    """

    role: str
    asset: Asset
    weight: float = 1.0
    found_by: str | None = None
    text_weight: float | None = None

    @classmethod
    def of(cls, role: str, asset: Asset, weight: float | None = None, text_weight: float | None = None) -> AssetUse:
        """With a weight that was named, or else the asset's own, or 1; only LoRAs have one."""
        if weight is None:
            weight = 1.0 if asset.default_weight is None or role != "lora" else asset.default_weight
        return cls(role, asset, weight, text_weight=None if text_weight == weight else text_weight)

    @property
    def idle(self) -> bool:
        """Whether it changes nothing."""
        return not self.weight and not self.text_weight


@dataclass(frozen=True, slots=True)
class Mention:
    """A word of the prompts that embeddings go by which nobody chose.

    Attributes:
        word: As it stands there.
        where: `prompt` or `negative prompt`.
        names: Of the embeddings.
        used: Whether it stands for the one of them, and not for itself.
        why_not: Otherwise, what keeps it from that, to go on with behind the word: `is an embedding for sdxl`.
        hint: What to do about it.
        explicit: Whether the prompt says that it names an embedding, as ComfyUI does: `embedding:NAME`.
    """

    word: str
    where: str
    names: tuple[str, ...]
    used: bool
    why_not: str | None = None
    hint: str | None = None
    explicit: bool = False


@dataclass(frozen=True, slots=True)
class Selection:
    """What one generation uses, with the prompts and settings that it is meant for.

    Attributes:
        uses: The assets, by `ROLES`.
        prompt: `None` where nobody asks about one.
        negative_prompt: Likewise.
        settings: Values by the names of `assetctl.options`, as far as they are asked about.
        unknown_loras: Names in the prompts' LoRA tags that no asset has, each with what may have been meant.
        mentions: Words of the prompts that embeddings go by which nobody chose.
    """

    uses: tuple[AssetUse, ...] = ()
    prompt: str | None = None
    negative_prompt: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    unknown_loras: tuple[tuple[str, str], ...] = ()
    mentions: tuple[Mention, ...] = ()

    def __post_init__(self) -> None:
        """Bring the uses in order."""
        object.__setattr__(self, "uses", tuple(sorted(self.uses, key=lambda use: ROLES.index(use.role))))

    def of(self, role: str) -> tuple[Asset, ...]:
        """The assets of one role."""
        return tuple(use.asset for use in self.uses if use.role == role)

    @property
    def checkpoint(self) -> Asset | None:
        """The checkpoint, if there is one."""
        return next(iter(self.of("checkpoint")), None)

    @property
    def vae(self) -> Asset | None:
        """A VAE in place of the checkpoint's own."""
        return next(iter(self.of("vae")), None)

    @property
    def loras(self) -> tuple[AssetUse, ...]:
        """The LoRAs, with their weights."""
        return tuple(use for use in self.uses if use.role == "lora")

    @property
    def embeddings(self) -> tuple[Asset, ...]:
        """The embeddings."""
        return self.of("embedding")

    def assets(self) -> tuple[Asset, ...]:
        """All assets of the selection, the checkpoint first."""
        return tuple(use.asset for use in self.uses)


@dataclass(frozen=True, slots=True)
class Finding:
    """What one compatibility rule says of a selection."""

    rule: str
    severity: Severity
    assets: tuple[str, ...]
    message: str
    hint: str | None = None


@dataclass(frozen=True, slots=True)
class Coverage:
    """What a LoRA would change in a checkpoint, from headers alone.

    Attributes:
        lora: Name of the LoRA.
        modules: Modules of the checkpoint's networks that a LoRA can target.
        matched: Those that this LoRA changes.
        shape_conflicts: Modules that it names, but with other widths.
        unmatched: Modules of the LoRA that the checkpoint does not have.
        elsewhere: Modules of text encoders that it changes, where the checkpoint's file holds no text encoder.
        widened: Modules that it gives a wider input, as a control LoRA does; they count as matched.
        ranks: The ranks that occur in the LoRA, smallest first.
        alphas: The alphas that its metadata name, smallest first.
    """

    lora: str
    modules: int
    matched: int
    shape_conflicts: tuple[str, ...] = ()
    unmatched: tuple[str, ...] = ()
    elsewhere: tuple[str, ...] = ()
    widened: tuple[str, ...] = ()
    ranks: tuple[int, ...] = ()
    alphas: tuple[float, ...] = ()


#: What a selection is for: pictures that assetctl makes, that ComfyUI makes, or any program.
Purpose = Literal["generate", "comfyui", "any"]
PURPOSES: tuple[Purpose, ...] = get_args(Purpose)


@dataclass(frozen=True, slots=True)
class CheckReport:
    """The verdict on a selection.

    Attributes:
        ok: Whether its assets work together, in whatever program: no error but of what assetctl alone cannot do.
        purpose: What it was asked about.
        can_generate: Whether `generate` takes it: no finding is an error. `None` where that was not asked.
    """

    ok: bool
    findings: tuple[Finding, ...]
    coverage: tuple[Coverage, ...] = ()
    purpose: Purpose = "any"
    can_generate: bool | None = None
