"""Which file of a version on Civitai comes, and what keeps it from coming. No network."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import urlunsplit

from assetctl.errors import (
    NotFoundError,
    RefusedFileError,
    SourceError,
    SourceNotFoundError,
    UnauthorizedError,
    WithdrawnError,
)
from assetctl.files.disk import LARGEST_FILE
from assetctl.files.safetensors import MODEL_SUFFIXES, PICKLE_SUFFIXES
from assetctl.settings import civitai_endpoint
from assetctl.sources import find_token
from assetctl.sources._web import name_of_download
from assetctl.sources.base import Choice, RemoteFile, dictionaries, dictionary, digests, text
from assetctl.sources.base import number as number_
from assetctl.text import parts_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from assetctl.types import Facts

LOGIN = "Make a token in your account's settings on Civitai; then `assetctl login civitai` or set CIVITAI_API_TOKEN."
_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)

#: Files that one message tells.
_MOST_TOLD = 20

#: Bytes by which a size in kilobytes may miss a whole number, as numbers with a point do.
_ROUNDING = 0.01

#: Files of a version that are looked at.
_MOST_FILES = 1000

#: Those that are listed.
_MOST_CHOICES = 200

#: What Civitai calls a file that is used by itself, best first, and one that goes with such a file; others are new.
_MAIN = ("model", "pruned model", "diffusion model", "unet", "archive")
_COMPANIONS = ("vae", "text encoder", "negative", "clipvision", "controlnet", "upscaler")

#: Files that are no model, by what Civitai calls them and by their names.
_NO_MODELS = ("config", "training data", "training results")
_NO_MODEL_SUFFIXES = (
    ".json", ".yaml", ".yml", ".toml", ".txt", ".md", ".html", ".pdf", ".csv", ".py", ".png", ".jpg", ".jpeg",
    ".webp", ".gif", ".mp4", ".webm",
)  # fmt: skip

#: Archives that nobody opens here.
_OTHER_ARCHIVES = (".rar", ".7z", ".tar", ".tgz", ".gz", ".xz", ".zst")

#: Models of other runtimes, by their names and formats, of which nothing is known here.
_OTHER_SUFFIXES = (".onnx", ".mlmodel", ".mlpackage", ".engine", ".trt")
_OTHER_FORMATS = ("onnx", "core ml")

#: What a name ends in that tells no format.
_SUFFIX_OF = {"pickletensor": ".pt", "gguf": ".gguf"}

#: Kinds of files that are another thing than their page, in our words.
_FILE_KINDS = {
    "vae": "vae", "text encoder": "text-encoder", "diffusion model": "diffusion-model", "unet": "diffusion-model",
    "negative": "embedding", "clipvision": "image-encoder", "controlnet": "controlnet", "upscaler": "upscaler",
}  # fmt: skip

#: Pages that hold texts and pictures for programs, in our words.
_NO_ASSETS = {"Workflows": "a workflow", "Wildcards": "wildcards", "Poses": "poses"}

#: What is taken where nothing is asked for: what loads safely, then what is smaller without loss in use.
_FORMATS = ("safetensor", "gguf")
_PRECISIONS = ("fp16", "bf16", "fp32")


@dataclass(frozen=True)
class Version:
    """One version of a model, as Civitai describes it; `said` is its whole answer."""

    number: int
    model: int
    page: str
    facts: Facts
    said: Mapping[str, Any]
    about: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The model's name, for messages."""
        return text(self.about.get("name")) or f"model {self.model}"

    @cached_property
    def files(self) -> list[dict[str, Any]]:
        """Those of its files that can be asked for; no page has so many that some would be left out."""
        files = dictionaries(self.said.get("files"))[:_MOST_FILES]
        return [file for file in files if isinstance(file.get("downloadUrl"), str) or is_number(file.get("id"))]


@dataclass(frozen=True, slots=True)
class Offer:
    """The file of a version that comes, and what is said with it."""

    file: RemoteFile
    facts: Facts
    warnings: tuple[str, ...]
    choices: tuple[Choice, ...]


def see_offered(version: Version) -> None:
    """See that a page lets whoever asks have its files, as far as it says before they are asked for.

    Raises:
        SourceError: Of the kind that fits; it does not.
        RefusedFileError: It is about no model.
    """
    named = f"{version.name} (version {version.number} on Civitai)"
    hashes = [remote(version, each).sha256 for each in dictionaries(version.said.get("files"))[:_MOST_FILES]]
    see_kept(version.about.get("mode") or version.said.get("mode"), named, f"{version.model}@{version.number}", hashes)
    if (use := text(version.said.get("usageControl"))) and use.lower() != "download":
        message = f"{named} is for generating on Civitai alone: its maker does not let it be downloaded ({use})."
        raise SourceError(message, f"Look at {version.page} for a version that can be, or choose another model.")
    kind = text(version.about.get("type")) or ""
    if kind in _NO_ASSETS and not any(_name(file).lower().endswith(MODEL_SUFFIXES) for file in _models(version)):
        message = f"{named} is the page of {_NO_ASSETS[kind]}: there is no model on it."
        raise RefusedFileError(message, f"Download it in a browser, if you want it: {version.page}")
    if find_token("civitai") is not None:
        return
    if _is_early(version):
        until = text(version.said.get("earlyAccessEndsAt")) or "later"
        raise UnauthorizedError(
            f"{named} is in early access until {until}: until then, only who bought it can download it.",
            f"Wait, or buy it on {version.page}. Then: {LOGIN}",
        )
    if version.said.get("requireAuth") is True:
        raise UnauthorizedError(f"{named} is for people who are logged in, and there is no token.", LOGIN)


def see_kept(mode: object, named: str, key: str, hashes: Sequence[str | None] = ()) -> None:
    """See that what is `named` was not taken back.

    Raises:
        WithdrawnError: It was.
    """
    who = {"Archived": "archived by its maker", "TakenDown": "taken down by Civitai"}.get(str(mode))
    if who is not None:
        message = f"{named} was {who}: nothing of it can be downloaded there any more."
        hint = "Look for its name, or for the SHA256 of its file, elsewhere."
        raise WithdrawnError(message, hint, key, [sha256 for sha256 in hashes if sha256])


def _is_early(version: Version) -> bool:
    """Whether only who bought a version can have it by now."""
    if version.said.get("availability") != "EarlyAccess":
        return False
    try:
        ends = datetime.fromisoformat(text(version.said.get("earlyAccessEndsAt")) or "")
    except ValueError:
        return True
    return (ends if ends.tzinfo else ends.replace(tzinfo=UTC)) > datetime.now(UTC)


def offer(version: Version, wanted: Mapping[str, str], digits: str | None = None, number: int | None = None) -> Offer:
    """The file of a version that is wanted: by its number, by hash, by words, or the one that Civitai shows first.

    Raises:
        NotFoundError: There is none such.
        RefusedFileError: It is no model, or was found to be dangerous.
    """
    see_offered(version)
    chosen = chosen_of(version, wanted, digits, number)
    is_zip = _name(chosen).lower().endswith(".zip")  # what is in it is known by the number of the ZIP
    file = remote(version, chosen, exactly=number is not None or is_zip)
    warnings = []
    if _is_early(version):
        until = text(version.said.get("earlyAccessEndsAt")) or "later"
        warnings.append(f"Version {version.number} is in early access until {until}: Civitai gives it to who paid.")
    if not file.digests:
        how = "by nothing" if file.size is None else "by its size alone"
        warnings.append(f"Civitai tells no SHA256 of {file.path}: it is verified {how}.")
    primary = next((each for each in version.files if each.get("primary") is True), None)
    if primary not in (None, chosen) and primary in _models(version) and not (wanted or digits or number):
        why = "is nothing that assetctl reads" if _is_foreign(primary) else "is a pickle"
        warnings.append(f"{_name(primary)} is the page's first file, and {why}: {file.path} comes instead.")
    if digits is not None and _hashes(chosen) and not has_hash(chosen, digits):
        warnings.append(f"Civitai has version {version.number} under the hash {digits}, but tells others of its files.")
    return Offer(file, facts_of(version, chosen), tuple(warnings), _choices(version, chosen))


def facts_of(version: Version, file: Mapping[str, Any] | None) -> Facts:
    """What a page says of one of its files: a VAE on the page of a checkpoint is none."""
    kind = None if file is None else _FILE_KINDS.get(_type(file))
    return version.facts if kind is None else replace(version.facts, kind=kind)


def chosen_of(version: Version, wanted: Mapping[str, str], digits: str | None, number: int | None) -> dict[str, Any]:
    """What Civitai says of the file that is wanted; see `offer`."""
    files, models = version.files, _models(version)
    fitting = [file for file in models if _suits(file, wanted)]
    if digits is not None:
        fitting = [file for file in files if has_hash(file, digits)] or fitting
    if number is not None:
        fitting = [file for file in files if file.get("id") == number]
    if not models and not wanted and number is None and not fitting:
        raise _without_model(version)
    if not fitting:
        there = ", ".join(dict.fromkeys(_described(file) for file in models[:_MOST_TOLD])) or "no model at all"
        raise NotFoundError(f"Version {version.number} has no such file.", f"It has: {there}.")
    chosen = min(fitting, key=lambda file: _rank(file, fitting))
    name = _name(chosen)
    if chosen not in models and digits is None:
        raise RefusedFileError(f"{name} is no model: Civitai calls it {_type(chosen)!r}.", "Choose another file.")
    if name.lower().endswith(_OTHER_ARCHIVES):
        hint = "Download and unpack it yourself; then `assetctl import` what is in it."
        raise RefusedFileError(f"{name} is an archive of a kind that assetctl does not open.", hint)
    if _is_foreign(chosen):
        hint = "Look for one in safetensors or GGUF: it can be loaded here."
        raise RefusedFileError(f"{name} is a model for another runtime, which assetctl does not read.", hint)
    for scan in ("pickleScanResult", "virusScanResult"):
        if (text(chosen.get(scan)) or "").lower() == "danger":
            raise RefusedFileError(f"Civitai found {name} to be dangerous.", "Choose another model.")
    return chosen


def _without_model(version: Version) -> SourceNotFoundError | RefusedFileError:
    """Why no file of a page comes, where none was asked for."""
    named = f"{version.name} (version {version.number} on Civitai)"
    there = ", ".join(f"{_name(file)} ({text(file.get('type')) or '?'})" for file in version.files[:_MOST_TOLD])
    if there:
        return RefusedFileError(f"{named} has no model file, only {there}.", f"Look at {version.page} for what it is.")
    return SourceNotFoundError(f"{named} has no file that can be downloaded.", f"Look at {version.page} for why.")


def _choices(version: Version, chosen: Mapping[str, Any]) -> tuple[Choice, ...]:
    files, models = version.files[:_MOST_CHOICES], _models(version)
    return tuple(_choice(version, file, file is chosen, file in models and not _is_foreign(file)) for file in files)


def _choice(version: Version, file: Mapping[str, Any], chosen: bool, model: bool) -> Choice:  # noqa: FBT001
    about, number = dictionary(file.get("metadata")), file.get("id")
    known = int(number) if number is not None and is_number(number) else None
    reference = f"civitai:{version.model}@{version.number}?fileId={known}" if known and model else None
    words = (text(about.get("quantType")) or text(about.get("fp")), text(about.get("format")))
    return Choice(_name(file), known, text(file.get("type")), _size(file), words[1], words[0], chosen, reference)


def _models(version: Version) -> list[dict[str, Any]]:
    """Those of a version's files that are a model, as far as their types and names tell."""
    return [
        file
        for file in version.files
        if _type(file) not in _NO_MODELS and not _name(file).lower().endswith(_NO_MODEL_SUFFIXES)
    ]


def _type(file: Mapping[str, Any]) -> str:
    return (text(file.get("type")) or "").lower()


def _suits(file: Mapping[str, Any], wanted: Mapping[str, str]) -> bool:
    there = {**dictionary(file.get("metadata")), "type": file.get("type"), "name": file.get("name")}
    return all((text(there.get(key)) or "").lower() == value.lower() for key, value in wanted.items())


def has_hash(file: Mapping[str, Any], digits: str) -> bool:
    """Whether any hash of a file begins with these digits."""
    return any(value.startswith(digits.lower()) for value in _hashes(file).values())


def _hashes(file: Mapping[str, Any]) -> dict[str, str]:
    """A file's hashes by their kinds, in small letters: in an object or, as Civitai told them once, a list."""
    said = file.get("hashes")
    listed = [(each.get("type"), each.get("hash")) for each in dictionaries(said)]
    pairs = listed or dictionary(said).items()
    return {kind.lower(): value.strip().lower() for kind, value in pairs
            if isinstance(kind, str) and isinstance(value, str)}  # fmt: skip


def _rank(file: Mapping[str, Any], among: Sequence[Mapping[str, Any]]) -> tuple[object, ...]:
    """The page's first file, unless that is a pickle and there is another like it; then type, format and precision."""
    kind = _type(file)
    is_first = file.get("primary") is True
    goes_with = kind in _COMPANIONS
    pickled = _is_pickle(file) and any(
        not _is_pickle(other) and (_type(other) in _COMPANIONS) is goes_with for other in among
    )
    return (
        _is_foreign(file),
        goes_with and not is_first,
        pickled,
        not is_first,
        goes_with,
        _index(_FORMATS, _about(file, "format")),
        _index((*_MAIN, *_COMPANIONS), kind),
        _index(_PRECISIONS, _about(file, "fp")),
    )


def _about(file: Mapping[str, Any], key: str) -> str:
    """One of the words for a file, in small letters; "" where there is none."""
    return (text(dictionary(file.get("metadata")).get(key)) or "").lower()


def _is_pickle(file: Mapping[str, Any]) -> bool:
    return _about(file, "format") == "pickletensor" or _name(file).lower().endswith(PICKLE_SUFFIXES)


def _is_foreign(file: Mapping[str, Any]) -> bool:
    """Whether nobody could open it here, whatever it holds."""
    return _about(file, "format") in _OTHER_FORMATS or _name(file).lower().endswith(
        (*_OTHER_ARCHIVES, *_OTHER_SUFFIXES)
    )


def _index(words: tuple[str, ...], word: str) -> int:
    return words.index(word) if word in words else len(words)


def remote(version: Version, file: Mapping[str, Any], *, exactly: bool = False) -> RemoteFile:
    """A file as it can be fetched; `exactly`: by its number, whatever else there is."""
    sha256 = _hashes(file).get("sha256", "")
    known = digests(sha256=sha256 if _SHA256.fullmatch(sha256) else None)
    return RemoteFile(_name(file), _size(file), known, _address(version, file, exactly=exactly))


def _size(file: Mapping[str, Any]) -> int | None:
    """Its bytes, where they are told exactly: a part of a byte tells that they are not."""
    said = file.get("sizeKB")
    kilobytes = 0.0 if isinstance(said, bool) or not isinstance(said, (int, float)) else float(said)
    if not 0 < kilobytes <= LARGEST_FILE / 1024:
        return None
    whole = round(kilobytes * 1024)
    return whole if abs(kilobytes * 1024 - whole) < _ROUNDING else None


def _address(version: Version, file: Mapping[str, Any], *, exactly: bool) -> str:
    """Where a file can be had; by its number, where words could mean another one of the version."""
    said, number = file.get("downloadUrl"), file.get("id")
    place = f"/api/download/models/{version.number}"
    is_told = isinstance(said, str) and said.startswith(("https://", "http://")) and not _is_of_another(said, place)
    address = said if isinstance(said, str) and is_told else f"{civitai_endpoint()}{place}"
    if not is_number(number) or not (exactly or len(version.files) > 1 or not is_told):
        return address
    parts = parts_of(address)
    if not parts.path.endswith(place):
        return address
    return urlunsplit((parts.scheme, parts.netloc, parts.path, f"fileId={number}", ""))


def _is_of_another(address: str, place: str) -> bool:
    """Whether this is where another version is downloaded."""
    path = parts_of(address).path
    return "/api/download/models/" in path and not path.endswith(place)


def _name(file: Mapping[str, Any]) -> str:
    name = name_of_download(said[-500:] if isinstance(said := file.get("name"), str) else "") or "model"
    known = (*MODEL_SUFFIXES, ".zip", *_OTHER_ARCHIVES, *_OTHER_SUFFIXES, *_NO_MODEL_SUFFIXES)
    return name if name.lower().endswith(known) else name + _SUFFIX_OF.get(_about(file, "format"), ".safetensors")


def _described(file: Mapping[str, Any]) -> str:
    about = dictionary(file.get("metadata"))
    said = {key: about.get(key) for key in ("format", "fp", "size")} | {"type": file.get("type"), "fileId": None}
    number = file.get("id")
    said |= {"fileId": str(number)} if is_number(number) else {}
    return " ".join(f"{key}={word}" for key, value in said.items() if (word := text(value))) or "?"


def is_number(said: object) -> bool:
    """Whether it can be the number of something on Civitai."""
    return (number_(said) or 0) > 0
