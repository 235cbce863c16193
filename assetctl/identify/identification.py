"""From features to an answer: tensors decide; metadata decide only between what tensors leave open.

A file's name never decides a family; it may name a lineage inside one. Of a diffusers folder (a pipeline with
`model_index.json`, or one component with `config.json`) the configuration tells as metadata do.
Source: https://huggingface.co/docs/diffusers/using-diffusers/other-formats
"""

from __future__ import annotations

import os
import re
import shlex
import threading
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

from assetctl.errors import CorruptFileError, RefusedFileError, StorageError
from assetctl.files.headers import contained, read_any_header
from assetctl.files.paths import loads
from assetctl.files.safetensors import Header, read_header
from assetctl.identify import metadata
from assetctl.identify.features import (
    Family,
    Features,
    Kind,
    Match,
    UNet,
    claim,
    odd_levels,
    of_several_builds,
    seen_of,
)
from assetctl.identify.kinds.embedding import NAMELESS
from assetctl.identify.metadata import clean_words, configured, lineage
from assetctl.identify.outline import Outline
from assetctl.identify.plugins import families, kinds
from assetctl.identify.signs import ENCODERS, UNET
from assetctl.types import Evidence, Identification

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from assetctl.identify.features import Sign, Strength
    from assetctl.types import Confidence


#: Kinds that several families use as they are: to have no family is no gap in what is known of them.
_SHARED = frozenset({"text-encoder", "image-encoder", "upscaler"})

#: Tensors by which a file says that it predicts v: the one without noise to go with it, CosXL's with its range.
_V_PREDICTION = ("v_pred", "edm_vpred.sigma_max")

_PREDICTS = frozenset({"checkpoint", "diffusion-model", "lora"})


#: Tensors in all tables of which the sight is kept; the tables are kept with it.
_MOST = 16_384

#: Characters that a tensor's name has at most, of real ones; a longer one counts as several tensors.
_NAME = 128

#: The same observation is made in file after file.
_evidence = lru_cache(maxsize=1024)(Evidence)


@dataclass(slots=True)
class Answer:
    """A family, how sure it is, and why."""

    family: Family | None = None
    confidence: Confidence = "unknown"
    evidence: list[Evidence] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Sight:
    """What tensors alone show: features, the families that claim them, and the evidence for the kind.

    `several` says how it shows that there are parts of several networks in the file, so that it is of no one family.
    """

    features: Features | None
    matches: tuple[tuple[Family, Match], ...]
    evidence: tuple[Evidence, ...]
    several: str | None = None


def identify_tensors(header: Header) -> Identification:
    """What a file of tensors is, by its header alone."""
    sight = (header.shared and _seen.get(header.tensors)) or _look(_shareable(header))
    if header.shared:
        _seen.keep(header, sight)
    if sight.features is None:
        return Identification(format=header.format, evidence=sight.evidence)
    return conclude(sight, header.metadata, format_=header.format, name=header.path.name)


def _shareable(header: Header) -> Header:
    """A header of which the sight may be kept for other files of its tensors: without its metadata."""
    return replace(header, metadata={}) if header.shared and header.metadata else header


def _look(header: Header) -> Sight:
    outline = Outline(header)
    kind, evidence = _kind(outline)
    if kind is None:
        return Sight(None, (), tuple(evidence))
    features = kind.read(outline)
    evidence += [_evidence("tensors", f"contains={part}", "found beside the rest") for part in features.contains]
    return look_at(features, evidence)


def look_at(features: Features, evidence: list[Evidence]) -> Sight:
    """The families that claim these features."""
    matches = tuple(_matches(features))
    several = _several(features, matches) if features.denoiser else None
    if several is not None:
        evidence = [*evidence, _evidence("tensors", "contains=several networks", several)]
    return Sight(features, matches, tuple(evidence), several)


def _several(features: Features, matches: tuple[tuple[Family, Match], ...]) -> str | None:
    """How it shows that a file, which some family claims, has parts of several networks; `None` where it does not."""
    telling = [(family, match) for family, match in matches if match.strength != "possible"]
    return next(_parts(features, telling), None) if telling else None


def _parts(features: Features, telling: list[tuple[Family, Match]]) -> Iterator[str]:
    """All that shows it, what is quickest to look at first."""
    outline = features.outline
    if names := outline.once(of_several_builds, lambda: of_several_builds(outline)):
        yield f"no network has {' and '.join(names[:_SHOWN])}"
    for family, _ in telling:
        if family.stacks and len(prefixes := outline.blocks(family.stacks)[0]) > 1:
            yield f"one network's blocks are named alike, and here after {' and '.join(prefixes[:_SHOWN])}"
    yield from _widths(outline)
    for _, match in telling:
        for measure in match.sign.measures if match.sign else ():
            if len(seen := seen_of(measure, features)) > 1:
                numbers = sorted(map(str, seen))[:_SHOWN]
                yield f"one network has one {measure.name}, and here are {' and '.join(numbers)}"
    for family, match in telling:
        proven = match.strength == "certain" or (match.sign is not None and match.sign.strength == "certain")
        rival = next(_rivals(features, family), None) if proven else None
        if rival is not None:
            yield f"it shows {family.name} and {rival.name}: {match.detail}"


def _widths(outline: Outline) -> Iterator[str]:
    if uneven := outline.uneven():
        yield "blocks of one network are as wide, and here {} takes in {} and {}".format(*uneven)
    if odd := odd_levels(outline):
        yield "a level of a network is twice as wide as the one above, and here are {} and {}".format(*odd)


def _rivals(features: Features, family: Family) -> Iterator[Family]:
    """Other families of which a part of a file shows what nothing but their networks shows."""
    certain = _certain_of_kind(features.kind, unet=features.unet is not None)

    def named() -> _Signs:
        left = ((other, tuple(sign for sign in signs if sign.partly_named(features))) for other, signs in certain)
        return tuple((other, signs) for other, signs in left if signs)

    for other, signs in features.outline.once(certain, named):
        if other is not family and any(sign.partly_measured(features) for sign in signs):
            yield other


#: How many of the widths of several networks are told.
_SHOWN = 4


class _Seen:
    """Sights of tables that files share: `Tables` hands out the same one for the same bytes."""

    def __init__(self) -> None:
        self._sights: OrderedDict[int, tuple[Mapping[str, object], Sight, int]] = OrderedDict()
        self._tensors = 0
        self._lock = threading.Lock()

    def get(self, tensors: Mapping[str, object]) -> Sight | None:
        table, sight, _ = self._sights.get(id(tensors), (None, None, 0))
        return sight if table is tensors else None

    def keep(self, header: Header, sight: Sight) -> None:
        """Remember a sight, but of an embedding: its token may be its file's name."""
        named = sight.features is not None and sight.features.kind == "embedding"
        tensors = header.tensors
        if named or id(tensors) in self._sights:
            return
        size = max(len(tensors), len(header.names) // _NAME)
        if size > _MOST // 4:
            return
        with self._lock:
            if id(tensors) in self._sights:
                return
            self._tensors += size
            # the table is kept too, so that its number stays its own
            self._sights[id(tensors)] = tensors, sight, size
            while self._tensors > _MOST:
                _, (_, _, oldest) = self._sights.popitem(last=False)
                self._tensors -= oldest


_seen = _Seen()


def conclude(sight: Sight, said: Mapping[str, str], *, format_: str, name: str) -> Identification:
    """The identification that what tensors show, a file's own metadata and its `name` come to."""
    features = sight.features
    assert features is not None  # noqa: S101 - who has none has nothing to conclude
    answer = decide(sight, said)
    words = _words(features, said)
    family = answer.family
    base_model = lineage(family, features.kind, said, name) if family is not None else None
    named = [] if base_model is None else [base_model]
    return Identification(
        kind=features.kind,
        family=family.name if family else None,
        base_model=base_model.claim.partition("=")[2] if base_model else None,
        variant=family.variant(features) if family and family.variant else None,
        prediction=_prediction(features, family, said),
        format=format_,
        layout=features.layout,
        confidence=answer.confidence,
        trigger_words=words.words,
        alias=metadata.alias(said),
        evidence=(*sight.evidence, *answer.evidence, *named, *words.evidence),
    )


def decide(sight: Sight, said: Mapping[str, str]) -> Answer:
    """The family of what is seen; metadata choose only among those that the tensors leave open."""
    matches = list(sight.matches)
    claimed = {family.name: (key, text) for key, text in metadata.claims(said) for family in _named(text)}
    other = [family for family, _ in matches if family.unlike and metadata.names(said, family.unlike)]
    chosen, confidence = (None, "ambiguous") if sight.several else _weigh(matches, claimed, other)
    if chosen is None and not matches and sight.features is not None and sight.features.kind in _SHARED:
        confidence = "certain"
    evidence = [_evidence("tensors", f"family={family.name}", match.detail) for family, match in matches]
    return Answer(chosen, confidence, evidence + _claims_beside(chosen, matches, claimed))


def _weigh(
    matches: list[tuple[Family, Match]], claimed: Mapping[str, tuple[str, str]], other: list[Family]
) -> tuple[Family | None, Confidence]:
    """Choose what is certain; else what metadata claim of the rest; else what is likely; else nothing.

    Metadata name an `other` network than some families', which is built alike.
    """
    certain = [family for family, match in matches if match.strength == "certain"]
    if len(certain) == 1:
        return certain[0], "certain"
    matches = [item for item in matches if item[0] in certain] or matches
    for candidates in (
        [family for family, _ in matches if family.name in claimed],
        [family for family, match in matches if match.strength != "possible" and family not in other],
    ):
        if len(candidates) == 1:
            return candidates[0], "likely"
    return None, "ambiguous" if matches else "unknown"


@cache
def _ranked() -> tuple[Kind, ...]:
    """Kinds that outrank more come first, only to spare looking at those that they outrank."""
    return tuple(sorted(kinds(), key=lambda kind: -len(kind.over)))


def _kind(outline: Outline) -> tuple[Kind | None, list[Evidence]]:
    left: dict[str, tuple[Kind, str]] = {}
    outranked: set[str] = set()
    for kind in _ranked():
        mark = None if kind.name in outranked else kind.marks(outline)
        if mark:
            left[kind.name] = (kind, mark)
            rest = kind.rest(outline) if kind.rest else None
            beside = {other.name for other in kinds() if other.name in kind.over and rest and other.marks(rest)}
            outranked.update(name for name in kind.over if name not in beside)
    found = [item for name, item in left.items() if name not in outranked]
    evidence = [Evidence("tensors", f"kind={kind.name}", mark) for kind, mark in found]
    if not found:
        evidence = [Evidence("tensors", "kind=unknown", "its tensors are those of no kind that is known")]
    return (found[0][0] if len(found) == 1 else None), evidence


def _matches(features: Features) -> list[tuple[Family, Match]]:
    found = ((family, _match(family, signs, features)) for family, signs in _in_question(features))
    return [(family, match) for family, match in found if match is not None]


#: What a sign proves that no family is known to account for all of a file.
_WEAKER: Mapping[str, Strength] = {"certain": "likely", "likely": "possible"}


def _match(family: Family, signs: tuple[Sign, ...], features: Features) -> Match | None:
    if features.model_class is not None and features.model_class in family.classes:
        return Match("certain", f"the network is a {features.model_class}")
    match = claim(signs, features) or (family.match(features) if family.match else None)
    weaker = _WEAKER.get(match.strength) if match is not None else None
    if match is None or weaker is None or not features.denoiser:
        return match
    if match.strength == "likely" and features.kind == "controlnet":  # it brings blocks of its own
        return match
    other = _beside(family, features)
    return match if other is None else replace(match, strength=weaker, detail=f"{match.detail}, beside {other}")


def _beside(family: Family, features: Features) -> str | None:
    """What no file of a family's has, beside what proves it."""
    other = features.outline.blocks(family.stacks)[1] if family.stacks else None
    if other is None and family.clip is None and features.kind == "lora" and ENCODERS.take(features):
        return "changes to CLIP"
    return other


_Signs = tuple[tuple[Family, tuple["Sign", ...]], ...]


def _in_question(features: Features) -> _Signs:
    """Families with those signs that the kind of file and its names allow: only measures are left to look at."""
    of_kind = _of_kind(features.kind, unet=features.unet is not None)

    def named() -> _Signs:
        left = ((family, tuple(sign for sign in signs if sign.named(features))) for family, signs in of_kind)
        return tuple((family, signs) for family, signs in left if signs or family.match or features.model_class)

    return named() if features.model_class else features.outline.once(of_kind, named)


@cache
def _of_kind(kind: str, *, unet: bool) -> _Signs:
    """Every family, and those of its signs that a file of this kind may show that is about a UNet, or is not."""

    def may_show(sign: Sign) -> bool:
        return kind in sign.kinds and unet in sign.measures.get(UNET, (unet,))

    return tuple((family, tuple(filter(may_show, family.signs))) for family in families())


@cache
def _certain_of_kind(kind: str, *, unet: bool) -> _Signs:
    """The same of those signs alone that are certain."""
    of_kind = _of_kind(kind, unet=unet)
    return tuple((family, tuple(sign for sign in signs if sign.strength == "certain")) for family, signs in of_kind)


@lru_cache(maxsize=1024)
def _named(text: str) -> tuple[Family, ...]:
    """Families that a trainer's word for an architecture can mean."""
    return tuple(family for family in families() if family.said and re.search(family.said, text))


def _claims_beside(
    chosen: Family | None, matches: list[tuple[Family, Match]], claimed: Mapping[str, tuple[str, str]]
) -> list[Evidence]:
    """What metadata claim of the family, and whether tensors bear it out."""
    open_ = {family.name for family, _ in matches}
    evidence = []
    for name, (key, text) in claimed.items():
        if chosen is not None and name == chosen.name:
            verdict = "which fits"
        elif name in open_ and chosen is None:
            verdict = "which the tensors allow"
        else:
            verdict = "which the tensors contradict" if open_ else "which no tensor bears out"
        evidence.append(Evidence("metadata", f"family={name}", f"{key} is {text!r}, {verdict}"))
    return evidence


def _prediction(features: Features, family: Family | None, said: Mapping[str, str]) -> str | None:
    if features.kind not in _PREDICTS:
        return None
    if family is not None and family.prediction:
        return family.prediction
    marked = features.kind != "lora" and any(map(features.outline.header.tensors.__contains__, _V_PREDICTION))
    return "v_prediction" if marked else metadata.prediction(said)


def _words(features: Features, said: Mapping[str, str]) -> metadata.TriggerWords:
    if features.kind == "embedding":
        own = [name for name in features.vectors if name not in NAMELESS]
        if features.outline.header.format == "png" and said.get("name"):
            own = [said["name"]]  # A1111 goes by it in a picture, and by the file's name elsewhere
        tokens = own or [features.outline.header.path.stem]
        words = tuple(filter(None, map(metadata.clean_words, tokens)))[: metadata.MAX_WORDS]
        detail = "the file names its tokens" if own else "the token is the file's name"
        source = "tensors" if own else "file name"
        return metadata.TriggerWords(words, [Evidence(source, f"trigger_words={', '.join(words)}", detail)])
    if features.kind in {"lora", "checkpoint", "diffusion-model"}:
        return metadata.trigger_words(said)
    return metadata.TriggerWords()


# Files and folders.

_INDEX, _CONFIG, _SCHEDULER = "model_index.json", "config.json", "scheduler/scheduler_config.json"

#: Components that can be the denoising network of a pipeline, the first found counts.
_DENOISERS = ("unet", "transformer", "prior")

#: Limit on a configuration file in bytes, and on the parts that a component's weights are split into.
_MAX_JSON = 2**20
_MAX_PARTS = 64

#: Classes whose configurations tell of a UNet of Stable Diffusion.
_UNETS = frozenset({"UNet2DConditionModel", "UNetMotionModel", "ControlNetModel", "ControlNetUnionModel"})

#: Classes of components as configurations name them, to their kinds; the first that fits counts.
_KINDS = (
    (r"ControlNet|T2IAdapter$|^MultiAdapter$", "controlnet"),
    (r"^Autoencoder|^AsymmetricAutoencoder|VQModel$|VAE$|Vae$|AudioTokenizer$", "vae"),
    (r"UNet(?:$|\w*Model$)|Transformer\dDModel$|DiT\w*Model$|^UVit2DModel$", "diffusion-model"),
    (r"^StableCascadeUNet|^Wuerstchen(?:Prior|DiffNeXt)$|^PriorTransformer$", "diffusion-model"),
    (r"^(?:CLIP|Siglip|Clap)\w*Text\w*Model|^(?:CLIP|Siglip2?)Model$|^U?M?T5Encoder", "text-encoder"),
    (r"^(?:Qwen|Gemma|Mistral|Llama|Llava|SmolLM|ChatGLM|Glm|GptOss|Phi\d)", "text-encoder"),
    (r"^(?:Bert|XLMRoberta|RobertaSeries)Model", "text-encoder"),
    (r"^(?:CLIP|Siglip2?)Vision|^Dinov2|^DINOv3ViT", "image-encoder"),
)


def identify_path(path: Path, *, beside: Path | None = None) -> Identification:
    """What the file or diffusers folder at `path` is; as `assetctl.identify.identify`, which says more."""
    with contained(path):
        try:
            header = read_any_header(path)
        except StorageError:  # most paths are files: to ask first whether each is a folder would take as long again
            if os.path.isdir(path):  # noqa: PTH112 - which raises nothing
                return identify_diffusers(path)
            raise
        found = identify_tensors(header)
    if found.prediction is None and found.kind in ("checkpoint", "diffusion-model"):
        return configured(found, beside or path)
    return found


def is_diffusers(path: Path) -> bool:
    """Whether `path` is a pipeline's folder, or a component's with a class that is known."""
    if (path / _INDEX).is_file():
        return True
    return (path / _CONFIG).is_file() and _component_kind(_read_json(path / _CONFIG)) is not None


def identify_diffusers(path: Path) -> Identification:
    """What the pipeline or component in the folder `path` is.

    Raises:
        RefusedFileError: It is no diffusers folder.
        CorruptFileError: Its configuration or weights are damaged.
        StorageError: A file in it cannot be opened.
    """
    if (path / _INDEX).is_file():
        return _identify_pipeline(path)
    config = _read_json(path / _CONFIG) if (path / _CONFIG).is_file() else {}
    kind = _component_kind(config)
    if kind is None:
        raise RefusedFileError(
            f"{path} is a folder, and no diffusers model.",
            f"`assetctl import {shlex.quote(str(path))}` registers the files inside a folder.",
        )
    return _identify_network(path, kind, config, [])


def _identify_pipeline(path: Path) -> Identification:
    index = _read_json(path / _INDEX)
    evidence = [Evidence("folder", "kind=checkpoint", f"model_index.json names a {_class_name(index) or 'pipeline'}")]
    network = next((path / name for name in _DENOISERS if (path / name).is_dir()), None)
    if network is None:
        evidence.append(Evidence("folder", "family=?", "it has no folder of a denoising network"))
        return Identification(kind="checkpoint", format="diffusers", layout="diffusers", evidence=tuple(evidence))
    config = _read_json(network / _CONFIG) if (network / _CONFIG).is_file() else {}
    found = _identify_network(network, "checkpoint", config, evidence)
    return replace(found, prediction=_scheduled(path) or found.prediction)


def _identify_network(path: Path, kind: str, config: dict[str, Any], evidence: list[Evidence]) -> Identification:
    """Identify by the headers of the weights where there are any, and by the configuration."""
    header = _weights(path)
    described = look_at(_described(path, kind, config), [])
    by_config = decide(described, {})
    said = [Evidence("folder", item.claim, f"config.json: {item.detail}") for item in by_config.evidence]
    if header is not None:
        by_tensors = identify_tensors(header)
        if by_tensors.family is not None:
            return replace(
                by_tensors, kind=kind, format="diffusers", layout="diffusers",
                evidence=(*evidence, *by_tensors.evidence, *said),
            )  # fmt: skip
    found = conclude(described, {}, format_="diffusers", name=path.name)
    confidence = "likely" if found.confidence == "certain" else found.confidence
    return replace(found, confidence=confidence, evidence=(*evidence, *said))


def _described(path: Path, kind: str, config: dict[str, Any]) -> Features:
    """Features that a configuration gives; its outline is empty."""
    outline = Outline(Header(path, 0, 0, {}, {}))
    name = _class_name(config)
    unet = None
    if name in _UNETS:
        own = config.get("encoder_hid_dim_type") is None  # else it projects what it is told, as Kandinsky and Kolors do
        unet = UNet(
            _width(config.get("cross_attention_dim")) if own else None,
            _width(config.get("in_channels")),
            _width(config.get("projection_class_embeddings_input_dim")),
        )
    latent = _width(config.get("latent_channels")) if kind == "vae" else None
    return Features(kind, "diffusers", outline, unet=unet, latent=latent, model_class=name)


def _width(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _class_name(config: dict[str, Any]) -> str | None:
    name, classes = config.get("_class_name"), config.get("architectures")
    if name is None and isinstance(classes, list) and classes:
        name = classes[0]
    return clean_words(name) if isinstance(name, str) else None


def _component_kind(config: dict[str, Any]) -> str | None:
    name = _class_name(config) or ""
    return next((kind for pattern, kind in _KINDS if re.search(pattern, name)), None)


def _scheduled(path: Path) -> str | None:
    """What the pipeline's scheduler takes the network to predict."""
    if not (path / _SCHEDULER).is_file():
        return None
    config = _read_json(path / _SCHEDULER)
    if "FlowMatch" in (_class_name(config) or ""):
        return "flow"
    said = config.get("prediction_type")
    return said if said in ("epsilon", "v_prediction") else None


def _weights(path: Path) -> Header | None:
    """The header of a component's weights, all parts together; `None` if it has no safetensors file."""
    try:
        files = sorted(file for file in path.iterdir() if file.suffix == ".safetensors" and file.is_file())
    except OSError as error:
        raise StorageError(f"{path} cannot be read: {error.strerror}.", "Check its permissions.") from error
    if not files:
        return None
    stem = re.sub(r"-\d+-of-\d+$", "", min(files, key=lambda file: (len(file.stem.split(".")), file.name)).stem)
    parts = [file for file in files if re.sub(r"-\d+-of-\d+$", "", file.stem) == stem][:_MAX_PARTS]
    headers = [read_header(file) for file in parts]
    tensors = {name: tensor for header in headers for name, tensor in header.tensors.items()}
    return Header(path, sum(header.size for header in headers), 0, tensors, headers[0].metadata)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            text = file.read(_MAX_JSON + 1)
    except OSError as error:
        raise StorageError(f"{path} cannot be read: {error.strerror}.", "Check its permissions.") from error
    try:
        config = loads(text) if len(text) <= _MAX_JSON else None
    except ValueError:
        config = None
    if not isinstance(config, dict):
        raise CorruptFileError(f"{path} is not a JSON object of a diffusers model.", "Fetch it again from its source.")
    return config
