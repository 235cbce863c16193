"""A1111's infotext, which Forge, SD.Next, Fooocus and most savers of other programs write too; `saving` writes ours."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from assetctl.options import OPTIONS, together
from assetctl.pictures.parameters import (
    LOST,
    NO_FILE,
    Collection,
    Dialect,
    PictureParameters,
    digits,
    mapping,
    number,
    parse_json,
    prompt,
    role_of,
    settings,
    with_understood,
)
from assetctl.prompt.syntax import without_networks
from assetctl.samplers import a1111_name, comfyui_names
from assetctl.text import clean, is_altered, line

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


#: Fields that are read of one line, and vain searches for the end of a nested value.
MAX_FIELDS = 500
_MAX_FAILURES = 2

_KEY = re.compile(r"\s*+(\w[\w \-/.()+&#']{0,80}?)[ \t]{0,8}+:(?!//)\s*+")
_STRING = re.compile(r'"(?:[^"\\]++|\\.)*+"')
_TOKEN = re.compile(r'"(?:[^"\\]++|\\.)*+"|[\[\]{}]')
_AFTER = re.compile(r"\s*+(?:,|$)")


@dataclass(slots=True)
class Fields:
    """A line's fields.

    Attributes:
        plain: Values as written, without the quotes around them.
        nested: Values that are JSON objects or arrays.
        twice: Names that were said again with another value.
        lost: Whether something in the line is of no field, or there are more fields than are read.
    """

    plain: dict[str, str] = field(default_factory=dict)
    nested: dict[str, Any] = field(default_factory=dict)
    twice: set[str] = field(default_factory=set)
    lost: bool = False


def parse_fields(line: str) -> Fields:
    """Take a line apart, in time linear in its length. What follows a comma and names no field belongs to the
    value before it; of two fields of one name the last counts, as in A1111."""
    found, failures, place, read = Fields(), 0, 0, 0
    while place < len(line) and read < MAX_FIELDS:
        key, read = _KEY.match(line, place), read + 1
        if key is None:
            start, place = place, _past_comma(line, place)
            found.lost |= bool(line[start:place].strip(" ,\t\n"))
            continue
        name, start = key[1].strip(), key.end()
        end = _end_of_special(line, start) if failures < _MAX_FAILURES else None
        if end is None:
            failures += line[start : start + 1] in ("{", "[")
            end = _end_of_plain(line, start)
        _keep(found, name, _without_tail(line[start:end].strip()))
        place = _past_comma(line, end)
    found.lost |= bool(line[place:].strip())
    return found


def _past_comma(line: str, place: int) -> int:
    comma = line.find(",", place)
    return len(line) if comma < 0 else comma + 1


def _end_of_plain(line: str, place: int) -> int:
    """Where a plain value ends: before the comma that is followed by another field."""
    while (comma := line.find(",", place)) >= 0:
        if _KEY.match(line, comma + 1):
            return comma
        place = comma + 1
    return len(line)


def _without_tail(value: str) -> str:
    """A value without the commas at its end, and the colons of no name behind these."""
    kept = len(value.rstrip(" \t,:"))
    comma = value.find(",", kept)
    return value if comma < 0 else value[:comma].rstrip()


def _end_of_special(line: str, place: int) -> int | None:
    """Where a quoted or nested value ends that starts here and is followed by a comma or nothing."""
    first = line[place : place + 1]
    end = None
    if first == '"':
        string = _STRING.match(line, place)
        end = string.end() if string else None
    elif first in ("{", "["):
        depth = 0
        for token in _TOKEN.finditer(line, place):
            depth += {"{": 1, "[": 1, "}": -1, "]": -1}.get(token[0], 0)
            if depth == 0:
                end = token.end()
                break
    return end if end is not None and _AFTER.match(line, end) else None


def _keep(found: Fields, name: str, value: str) -> None:
    special = parse_json(value) if value[:1] in ('"', "{", "[") else None
    before = found.plain.pop(name, found.nested.pop(name, None))
    if isinstance(special, dict | list):
        found.nested[name] = special
    else:
        found.plain[name] = clean(special if isinstance(special, str) else value)
    if before is not None and before != found.plain.get(name, found.nested.get(name)):
        found.twice.add(name)


NEGATIVE = "Negative prompt:"

_STEPS = re.compile(r"\s*+Steps:\s*+[0-9]++\s*+(?:,|$)")
_TEMPLATE = re.compile(r"\s*+(Template|Negative Template):[ \t]*+(.*+)")
_REMARK = re.compile(r"(\w[\w ]{0,40}):[ \t]*+(.*+)")
_PAIR = re.compile(r"(.*): ([0-9A-Za-z]{4,64})", re.DOTALL)

#: At least two of these are in every line of fields, and hardly in a prompt's last line.
_TELLING = {"Steps", "Sampler", "CFG scale", "Seed", "Size", "Model hash"}

#: Fields by the role of the assets that express them.
_ROLES = {
    "Model": "checkpoint", "Model hash": "checkpoint", "VAE": "vae", "VAE hash": "vae", "Lora hashes": "lora",
    "LoRA hashes": "lora", "LoRA networks": "lora", "Lora weights": "lora", "Extra networks": "lora",
    "TI hashes": "embedding", "Used embeddings": "embedding", "Hashes": "checkpoint",
}  # fmt: skip

#: Remarks and numbered fields of one text that are looked at.
_MAX_REMARKS = 20
_MAX_NUMBERED = 20


#: What the picture of a grid says is true of one of its cells, here as in A1111.
_SHEET = "It is a sheet of several pictures, and says how the first of them was made."


def read_infotext(text: str) -> tuple[PictureParameters, bool]:
    """What an infotext says, and whether it has a line of fields at all; without one all of it is prompt."""
    lines, templates = _without_templates(_in_lines(clean(text).strip().split("\n")))
    at, fields = _fields_line(lines)
    for remark in map(_REMARK.fullmatch, [] if at is None else lines[at + 1 :][:_MAX_REMARKS]):
        if remark is not None:
            fields.plain.setdefault(remark[1], remark[2])
    positive, negative = _prompts(lines[:at])
    said = fields.plain = _respelled(fields.plain)
    for name, template in templates.items():
        said.setdefault(name, template)
    software = None if at is None else _software_of(said)
    # of a negative prompt, A1111 reads tags as words
    tagged = (without_networks(positive)[0],) if software == "A1111" else (positive, negative)
    found = PictureParameters(
        software=software,
        prompt=prompt(positive),
        negative_prompt=prompt(negative),
        settings=_settings(said),
        assets=_assets(tagged, fields).assets(),
        fields=said,
        extra=fields.nested,
        text=clean(text),
        understood=_neutral(said),
        notes=tuple(_notes(text, fields)),
    )
    expressed = {each.field: each.name for each in OPTIONS}
    others = {"Eta DDIM": "eta", "Version": "software", "KSampler": "sampler", "Schedule": "scheduler"}
    found = with_understood(found, expressed | others, _ROLES)
    return replace(found, understood=found.understood - _unreadable(said)), at is not None


def _respelled(said: dict[str, str]) -> dict[str, str]:
    """Fields by the names that A1111 has for them, in its capitals: SD.Next has `CLIP skip`."""
    names = {name.lower(): name for name in together("field")}
    usual = {name: names.get(name.lower(), name) for name in said}
    return {name if usual[name] in said else usual[name]: value for name, value in said.items()}


#: Where fields and a negative prompt begin in a text that lost its lines, with the dots that may stand for one.
_BEGIN = r"(?:,?\.{1,3}|[ \t]{1,4})"
_MIDDLE = re.compile(rf"{_BEGIN}(?=Steps:[ ]?\d{{1,5}}, (?:Sampler|Schedule type|CFG scale|Seed|Size|Model):)")
_MIDDLE_NEGATIVE = re.compile(rf"{_BEGIN}(?=Negative prompt:)")


def _in_lines(lines: list[str]) -> list[str]:
    """The lines of a text; of one that a page or chat made a single line of, those that it had."""
    if len(lines) > 1:
        return lines
    fields = next(_MIDDLE.finditer(lines[0]), None)
    if fields is None:
        return lines
    prompts = _MIDDLE_NEGATIVE.split(lines[0][: fields.start()], maxsplit=1)
    return [*prompts, lines[0][fields.end() :]]


def _notes(text: str, fields: Fields) -> Iterator[str]:
    """What of a text is not what it seems."""
    if fields.plain.get("Script") == "X/Y/Z plot":
        yield _SHEET
    for name in sorted(fields.twice):
        yield f"It says its {name} twice: the last counts, as in A1111."
    if fields.lost:
        yield "Its line of fields has something that is not understood."
    if is_altered(text.strip("\0\ufeff \n")):
        yield LOST


def _unreadable(said: Mapping[str, str]) -> frozenset[str]:
    """Fields of options, and hashes, whose values are none: nothing else says what they were."""
    found = {name for name in ("Model hash", "VAE hash") if said.get(name) and digits(said[name]) is None}
    if settings({"eta": said.get("Eta DDIM", "0")}).get("eta") is None:
        found.add("Eta DDIM")
    for name, options in together("field").items():
        values = said.get(name, "").split("x") if len(options) > 1 else [said.get(name)]
        pairs = zip(options, values, strict=False)
        if len(values) != len(options) or any(not settings({each.name: value}) for each, value in pairs):
            found.add(name)
    return frozenset(found)


def _without_templates(lines: list[str]) -> tuple[list[str], dict[str, str]]:
    """The lines without what Dynamic Prompts made the prompts of, which would be read as parts of these; and that."""
    left: list[str] = []
    found: dict[str, str] = {}
    within = None
    for each in lines:
        begun = _TEMPLATE.fullmatch(each)
        if begun is not None:
            within = begun[1]
            found.setdefault(within, begun[2])
        elif within is None or each.lstrip().startswith(NEGATIVE) or _STEPS.match(each):
            within = None
            left.append(each)
    return (left, found) if found and left and _fields_line(left)[0] is not None else (lines, {})


def _settings(said: dict[str, str]) -> dict[str, Any]:
    """What the fields say of options."""
    found: dict[str, object] = {"sampler": _sampler(said)}
    _, schedule = comfyui_names(line(said.get("Sampler")) or "")
    if schedule is not None:
        found["scheduler"] = schedule
    if _KSAMPLER in said:
        found |= {"scheduler": line(said.get("Schedule") or said.get("Schedule type")), "flavour": "comfyui"}
    if "Eta DDIM" in said:
        found["eta"] = said["Eta DDIM"]
    for name, options in together("field").items():
        values = said.get(name, "").split("x") if len(options) > 1 else [said.get(name)]
        if len(values) == len(options):
            found = dict(zip((each.name for each in options), values, strict=True)) | found
    return settings(found)


def _neutral(said: dict[str, str]) -> frozenset[str]:
    """Fields that say no more than that something is as usual, or that belong to one that is read."""
    names = {key for key in said if key.startswith("AddNet") or (key in _ROLES and not said[key])}
    names |= {_vae_module(said)} & said.keys()
    if said.get("VAE", "x").lower() in NO_FILE:
        names.add("VAE")
    for key in filter(_NUMBERED.fullmatch, said):
        if "Strength" not in key or number(said[key]) is not None:
            names.add(key)
    if said.get("Schedule type", "").lower() in ("automatic", "karras", "exponential"):
        names.add("Schedule type")
    return frozenset(names)


def _fields_line(lines: list[str]) -> tuple[int | None, Fields]:
    """Which line holds the fields: the last one, or the last that starts with steps where remarks follow it."""
    fields = parse_fields(lines[-1])
    if len(_TELLING & fields.plain.keys()) >= 2:
        return len(lines) - 1, fields
    at = next((at for at in reversed(range(len(lines))) if _STEPS.match(lines[at])), None)
    return at, Fields() if at is None else parse_fields(lines[at])


def _prompts(lines: list[str]) -> tuple[str, str]:
    at = next((at for at, each in enumerate(lines) if each.lstrip().startswith(NEGATIVE)), len(lines))
    negative = "\n".join(lines[at:]).strip()
    return "\n".join(lines[:at]).strip(), negative.removeprefix(NEGATIVE).strip()


def _software(version: str) -> str:
    return next((name for name in ("assetctl", "ComfyUI") if version.startswith(name)), "A1111")


def _software_of(said: dict[str, str]) -> str:
    """Who wrote the fields: A1111, or what tells in a field of its own."""
    if _KSAMPLER in said:
        return "Tensor.Art"
    return "SD.Next" if said.get("App") == "SD.Next" else _software(said.get("Version", ""))


#: Where Tensor.Art has what ComfyUI calls the sampler; its schedule is the field `Schedule`.
_KSAMPLER = "KSampler"


def _sampler(said: dict[str, str]) -> str | None:
    """The sampler as A1111 named it before it told samplers and schedules apart."""
    if _KSAMPLER in said:
        return a1111_name(line(said[_KSAMPLER]), line(said.get("Schedule")))
    written, own = comfyui_names(line(said.get("Sampler")) or "")
    name, schedule = a1111_name(written or None, own), line(said.get("Schedule type"))
    if name and schedule in ("Karras", "Exponential") and not name.endswith(schedule):
        return f"{name} {schedule}"
    return name


def _assets(tagged: Sequence[str], fields: Fields) -> Collection:
    """What fields name, and tags in these prompts."""
    found, said = Collection(), fields.plain
    found.add_loras(*tagged)
    model = said.get("Model")
    found.add("checkpoint", model, digest=said.get("Model hash"))
    vae = said.get("VAE", said.get(_vae_module(said), ""))
    if vae.lower() not in NO_FILE or "VAE" not in said:
        found.add("vae", vae, digest=said.get("VAE hash"))
    for name, digest in _pairs(said.get("Lora hashes") or said.get("LoRA hashes", "")):
        found.add("lora", name, digest=digest)
    for each in said.get("LoRA networks", "").split(", "):
        name, weight = _name_and_weight(each)
        found.add("lora", name, weight=weight)
    for name, digest in (*_pairs(said.get("TI hashes", "")), *_bracketed(said.get("Used embeddings", ""))):
        found.add("embedding", name, digest=digest)
    _add_hashes(found, mapping(fields.nested.get("Hashes")), model, vae)
    _add_numbered(found, said)
    for key in ("Hypernet", "Refiner"):
        name, digest = _name_and_hash(said.get(key, ""), "[" if key == "Refiner" else "(")
        digest = digest or said.get(f"{key} hash", "")
        found.add("other", name, digest=digest, weight=said.get("Hypernet strength") if key == "Hypernet" else None)
    return found


#: Forge numbers VAEs and text encoders alike, and does not say which is which.
_MODULE = re.compile(r"Module [1-9]")


def _vae_module(said: Mapping[str, str]) -> str:
    """The field of the module that is a VAE by its name, if there is one."""
    if "VAE" in said:
        return ""
    return next((key for key, value in said.items() if _MODULE.fullmatch(key) and "vae" in value.lower()), "")


def _add_hashes(found: Collection, hashes: dict[str, object], model: str | None, vae: str) -> None:
    """The object that Civitai reads: `model`, `vae`, `lora:NAME`, `embed:NAME` and their hashes."""
    for key, digest in hashes.items():
        kind, _, name = key.partition(":")
        role = role_of(kind)
        if name:
            found.add(role, name, digest=digest)
        elif role == "checkpoint":
            found.add(role, model, digest=digest)
        elif role == "vae":
            found.add(role, vae, digest=digest)


#: What SaveImageWithMetaData says of a LoRA, behind its number; and all that it numbers.
_OF_LORA = ("Model name", "Model hash", "Strength model", "Strength clip")
_NUMBERED = re.compile(rf"Lora_1?\d (?:{'|'.join(_OF_LORA)})|Embedding_1?\d (?:name|hash)")


def _add_numbered(found: Collection, said: dict[str, str]) -> None:
    """What extensions number: LoRAs of Additional Networks, and ControlNets; and what a saver of ComfyUI's does."""
    for number_ in range(1, _MAX_NUMBERED + 1):
        name, digest = _name_and_hash(said.get(f"AddNet Model {number_}", ""), "(")
        weight = said.get(f"AddNet Weight A {number_}") or said.get(f"AddNet Weight {number_}")
        text = number(said.get(f"AddNet Weight B {number_}"))  # of text encoders, where A is of all else
        own = None if text == number(weight) else text
        found.add("lora", name, digest=digest, weight=weight, text_weight=own)
    for number_ in range(_MAX_NUMBERED):
        inner = parse_fields(said.get(f"ControlNet {number_}", "")).plain
        name, digest = _name_and_hash(inner.get("Model") or inner.get("model") or "", "[")
        if name.lower() not in NO_FILE:
            found.add("controlnet", name, digest=digest, weight=inner.get("Weight") or inner.get("weight"))
    for before in ("ControlNet", *(f"ControlNet-{number_}" for number_ in range(_MAX_NUMBERED))):  # as it once did
        name, digest = _name_and_hash(said.get(f"{before} Model", ""), "[")
        if name.lower() not in NO_FILE and said.get(f"{before} Enabled") != "False":
            found.add("controlnet", name, digest=digest, weight=said.get(f"{before} Weight"))
    turns = Counter[str]()
    for number_ in range(_MAX_NUMBERED):
        file, sha256, strength, clip = (said.get(f"Lora_{number_} {name}") for name in _OF_LORA)
        found.add(
            "lora",
            file,
            digest=sha256,
            weight=strength,
            text_weight=None if number(clip) == number(strength) else clip,
            turn=turns[file or ""] or None,  # the first is the one that other fields name
        )
        turns[file or ""] += 1
        found.add("embedding", said.get(f"Embedding_{number_} name"), digest=said.get(f"Embedding_{number_} hash"))


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    """`name: hash` between commas, where a name may contain both signs itself."""
    pending: list[str] = []
    for piece in text.split(", "):
        pending.append(piece)
        pair = _PAIR.fullmatch(piece)
        if pair is not None:
            yield ", ".join([*pending[:-1], pair[1]]), pair[2]
            pending = []


def _name_and_weight(text: str) -> tuple[str, str | None]:
    """`name:0.7` as SD.Next writes what it loaded, or a name alone, as it did before."""
    name, _, weight = text.rpartition(":")
    return (name, weight) if name and number(weight) is not None else (text, None)


def _bracketed(text: str) -> Iterator[tuple[str, str]]:
    """`name [hash]` between commas."""
    for piece in text.split("]")[:-1]:
        name, _, digest = piece.rpartition("[")
        yield name.strip(" ,"), digest


def _name_and_hash(text: str, bracket: str) -> tuple[str, str]:
    """A name with its hash in brackets at the end, or a name alone."""
    if bracket not in text or text[-1] not in ")]":
        return text, ""
    name, _, digest = text.rpartition(bracket)
    return name.strip(), digest[:-1]


#: Where an infotext may be: the first is for it alone, the others hold anyone's remarks.
PLACES = ("parameters", "UserComment", "Comment", "ImageDescription")


def read(texts: Mapping[str, str]) -> PictureParameters | None:
    """The first infotext; one without fields, which is a prompt alone, only where nothing else is kept."""
    for place in PLACES:
        text = texts.get(place, "").strip()
        if not text or (text.startswith("{") and isinstance(parse_json(text), dict)):
            continue
        found, has_fields = read_infotext(text)
        if has_fields or place == "parameters":
            return found
    return None


DIALECT = Dialect("A1111", 20, read)
