"""From features to an answer: tensors decide; metadata decide only between what tensors leave open.

A file's name never decides a family; it may name a lineage inside one.
"""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache
from typing import TYPE_CHECKING

from assetctl.identify import metadata
from assetctl.identify.features import Family, Kind, Match, claim, of_several_builds, seen_of
from assetctl.identify.kinds.embedding import NAMELESS
from assetctl.identify.metadata import lineage
from assetctl.identify.outline import Outline
from assetctl.identify.plugins import families, kinds
from assetctl.identify.signs import ENCODERS, UNET
from assetctl.types import Evidence, Identification

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from assetctl.files.safetensors import Header
    from assetctl.identify.features import Features, Sign, Strength
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
    if uneven := outline.uneven():
        yield "blocks of one network are as wide, and here {} takes in {} and {}".format(*uneven)
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
