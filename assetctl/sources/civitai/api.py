"""What we ask of Civitai's API, and what its answers mean. Source: https://developer.civitai.com/docs/api/public-rest."""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlunsplit

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
from assetctl.sources import _web
from assetctl.sources.base import Choice, Found, RemoteFile, Way, dictionaries, dictionary, digests, text, texts
from assetctl.sources.base import number as number_of
from assetctl.sources.tokens import find_token
from assetctl.text import parts_of, without_secrets
from assetctl.types import Facts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import httpx2

_LOGIN = "Make a token in your account's settings on Civitai; then `assetctl login civitai` or set CIVITAI_API_TOKEN."
_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)
_MOST_WORDS = 64

#: Files that one message tells.
_MOST_TOLD = 20

#: Files of a version that are listed.
_MOST_CHOICES = 200

#: How many models Civitai tells of at a time.
_MOST_FOUND = 100

#: Civitai's words for what a model is, in ours.
_KINDS = {
    "Checkpoint": "checkpoint", "LORA": "lora", "LoCon": "lora", "DoRA": "lora", "TextualInversion": "embedding",
    "VAE": "vae", "Controlnet": "controlnet", "Upscaler": "upscaler",
}  # fmt: skip

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

#: Kinds of files that are another thing than their page, in our words.
_FILE_KINDS = {
    "vae": "vae", "text encoder": "text-encoder", "diffusion model": "diffusion-model", "unet": "diffusion-model",
    "negative": "embedding", "clipvision": "image-encoder", "controlnet": "controlnet", "upscaler": "upscaler",
}  # fmt: skip

#: Pages that hold texts and pictures for programs, in our words.
_NO_ASSETS = {"Workflows": "a workflow", "Wildcards": "wildcards", "Poses": "poses"}

#: What is taken where nothing is asked for: what loads safely, then what is smaller without loss in use.
_FORMATS = ("SafeTensor", "GGUF")
_PRECISIONS = ("fp16", "bf16", "fp32")


@dataclass(frozen=True, slots=True)
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

    @property
    def files(self) -> list[dict[str, Any]]:
        """Those of its files that can be asked for."""
        files = dictionaries(self.said.get("files"))
        return [file for file in files if isinstance(file.get("downloadUrl"), str) or _is_number(file.get("id"))]


@dataclass(frozen=True, slots=True)
class Offer:
    """The file of a version that comes, and what is said with it."""

    file: RemoteFile
    facts: Facts
    warnings: tuple[str, ...]
    choices: tuple[Choice, ...]


def find_version(model: int | None, version: int | None, digits: str | None) -> Version:
    """The version that is named, or the newest of a model.

    Raises:
        SourceError: Of the kind that fits; Civitai failed or has no such thing.
    """
    if digits is not None:
        said = _ask(f"model-versions/by-hash/{digits}", f"model with the hash {digits}")
    elif version is not None:
        said = _ask(f"model-versions/{version}", f"version {version}")
    else:
        return _newest(_ask(f"models/{model}", f"model {model}"), f"model {model}")
    number = said.get("modelId")
    if model is not None and number != model:
        raise SourceNotFoundError(f"Version {version} on Civitai is not of model {model}.", "Check its page.")
    try:
        parent = _ask(f"models/{number}", f"model {number}") if _is_number(number) else {}
    except SourceNotFoundError:  # its page was taken away, and its files are still there
        parent = {}
    return _version(said, parent)


def newest_like(model: int, base_model: str | None) -> Version | None:
    """The newest public version of a model that is made for a base model, or for any if that is not known.

    Raises:
        SourceError: Civitai failed, or has no such model.
    """
    about = _ask(f"models/{model}", f"model {model}")
    versions = [version for version in dictionaries(about.get("modelVersions")) if _is_number(version.get("id"))]
    fitting = [
        version
        for version in versions
        if version.get("availability", "Public") == "Public" and base_model in (None, version.get("baseModel"))
    ]
    newest = max(fitting, key=lambda version: int(version["id"]), default=None)
    return None if newest is None else _version(newest | {"modelId": model}, about)


def search(query: str, kind: str | None, base_models: Sequence[str], limit: int) -> list[Found]:
    """Models that suit the words, in Civitai's order; see `Searchable`.

    Raises:
        SourceError: Civitai failed.
    """
    types = [theirs for theirs, ours in _KINDS.items() if ours == kind]
    if kind is not None and not types:
        return []
    asked = [("query", query), ("limit", str(min(limit, _MOST_FOUND)))]
    asked += [("types", each) for each in types] + [("baseModels", each) for each in base_models]
    answer = _ask(f"models?{urlencode(asked)}", f"search for {query!r}")
    models = [model for model in dictionaries(answer.get("items")) if _is_number(model.get("id"))]
    return [found for model in models if (found := _found(model)) is not None][:limit]


def _found(model: Mapping[str, Any]) -> Found | None:
    """What `pull` would bring of a model."""
    try:
        version = _newest(model, f"model {model['id']}")
        see_offered(version)
        file = _remote(version, _chosen(version, {}, None, None))
    except (SourceError, NotFoundError, RefusedFileError):  # nothing that could be pulled
        return None
    downloads = dictionary(model.get("stats")).get("downloadCount")
    return Found(
        f"civitai:{model['id']}@{version.number}",
        text(model.get("name")) or str(model["id"]),
        version.facts.kind,
        version.facts.base_model,
        file.size,
        file.sha256,
        number_of(downloads),
        version.facts.creator,
        version.page,
    )


def see_offered(version: Version) -> None:
    """See that a page lets whoever asks have its files, as far as it says before they are asked for.

    Raises:
        SourceError: Of the kind that fits; it does not.
        RefusedFileError: It is about no model.
    """
    named = f"{version.name} (version {version.number} on Civitai)"
    mode = version.about.get("mode") or version.said.get("mode")
    if mode in ("Archived", "TakenDown"):
        who = "archived by its maker" if mode == "Archived" else "taken down by Civitai"
        hashes = [_remote(version, each).sha256 for each in dictionaries(version.said.get("files"))]
        raise WithdrawnError(
            f"{named} was {who}: nothing of it can be downloaded there any more.",
            "Look for its name, or for the SHA256 of its file, elsewhere.",
            f"{version.model}@{version.number}",
            [sha256 for sha256 in hashes if sha256],
        )
    if (use := text(version.said.get("usageControl"))) and use != "Download":
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
            f"Wait, or buy it on {version.page}. Then: {_LOGIN}",
        )
    if version.said.get("requireAuth") is True:
        raise UnauthorizedError(f"{named} is for people who are logged in, and there is no token.", _LOGIN)


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
    chosen = _chosen(version, wanted, digits, number)
    is_zip = _name(chosen).lower().endswith(".zip")  # what is in it is known by the number of the ZIP
    file = _remote(version, chosen, exactly=number is not None or is_zip)
    warnings = []
    if _is_early(version):
        until = text(version.said.get("earlyAccessEndsAt")) or "later"
        warnings.append(f"Version {version.number} is in early access until {until}: Civitai gives it to who paid.")
    if not file.digests:
        how = "by nothing" if file.size is None else "by its size alone"
        warnings.append(f"Civitai tells no SHA256 of {file.path}: it is verified {how}.")
    primary = next((each for each in version.files if each.get("primary") is True), None)
    if primary not in (None, chosen) and primary in _models(version) and not (wanted or digits or number):
        warnings.append(f"{_name(primary)} is the page's first file, and is a pickle: {file.path} comes instead.")
    return Offer(file, facts_of(version, chosen), tuple(warnings), _choices(version, chosen))


def facts_of(version: Version, file: Mapping[str, Any] | None) -> Facts:
    """What a page says of one of its files: a VAE on the page of a checkpoint is none."""
    kind = None if file is None else _FILE_KINDS.get(_type(file))
    return version.facts if kind is None else replace(version.facts, kind=kind)


def described(digits: str) -> Facts:
    """What is said of the file that has a hash.

    Raises:
        SourceError: Of the kind that fits; Civitai failed or knows no such file.
    """
    version = find_version(None, None, digits)
    return facts_of(version, next((file for file in version.files if _has_hash(file, digits)), None))


def _chosen(version: Version, wanted: Mapping[str, str], digits: str | None, number: int | None) -> dict[str, Any]:
    files, models = version.files, _models(version)
    fitting = [file for file in models if _suits(file, wanted)]
    if digits is not None:
        fitting = [file for file in files if _has_hash(file, digits)] or fitting
    if number is not None:
        fitting = [file for file in files if file.get("id") == number]
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
    for scan in ("pickleScanResult", "virusScanResult"):
        if chosen.get(scan) == "Danger":
            raise RefusedFileError(f"Civitai found {name} to be dangerous.", "Choose another model.")
    return chosen


def _choices(version: Version, chosen: Mapping[str, Any]) -> tuple[Choice, ...]:
    files, models = version.files[:_MOST_CHOICES], _models(version)
    return tuple(_choice(version, file, file is chosen, file in models) for file in files) if len(files) > 1 else ()


def _choice(version: Version, file: Mapping[str, Any], chosen: bool, model: bool) -> Choice:  # noqa: FBT001
    about, number = dictionary(file.get("metadata")), file.get("id")
    known = int(number) if number is not None and _is_number(number) else None
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


def way(what: str, file: RemoteFile, *, offline: bool) -> Way:
    """How to download a file; what Civitai sends to people without a token is told from a model."""
    address = file.url or ""
    own = parts_of(address)[:2] == parts_of(civitai_endpoint())[:2]

    def headers() -> dict[str, str]:
        return _web.AS_IT_IS | (_token() if own else {})

    what = without_secrets(what)
    named = civitai_endpoint()
    return Way(what, address, headers, _web.client, _check, _errors, _web.TIMEOUT, named, offline=offline)


def _check(response: httpx2.Response) -> None:
    if response.is_success and response.headers.get("content-type", "").startswith("text/html"):
        where = _web.sent_token(response, "civitai")
        if where is not None:
            said = f"The token of {where} was sent, and Civitai refused it: it sent its login page."
            raise UnauthorizedError(said, _LOGIN)
        raise UnauthorizedError("Civitai wants you to log in for this file, and sent its login page.", _LOGIN)
    _web.check(response)


@contextmanager
def _errors(what: str) -> Iterator[None]:
    login = f"{_LOGIN} A model in early access has to be bought first, on its page."
    with _web.errors(what, login, source="civitai"):
        yield


def _ask(path: str, what: str) -> dict[str, Any]:
    address = f"{civitai_endpoint()}/api/v1/{path}"
    answer = _web.get_json(address, _token(), f"{what} on Civitai", _LOGIN, source="civitai")
    if not isinstance(answer, dict):
        raise SourceError(f"{what}: Civitai does not answer as it should.", "Try again in a few minutes.")
    return answer


def _token() -> dict[str, str]:
    found = find_token("civitai")
    return {} if found is None else _bearer(found[0])


def _bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def user(token: str) -> str:
    """Whose token this is.

    Raises:
        UnauthorizedError: Civitai does not know it.
        SourceError: Civitai failed.
    """
    hint = "Make a new one in your account's settings on Civitai."
    said = _web.get_json(f"{civitai_endpoint()}/api/v1/me", _bearer(token), "Your account on Civitai", hint)
    return text(dictionary(said).get("username")) or "you"


def _newest(model: Mapping[str, Any], what: str) -> Version:
    versions = [version for version in dictionaries(model.get("modelVersions")) if _is_number(version.get("id"))]
    public = [version for version in versions if version.get("availability", "Public") == "Public"]
    if not versions:
        raise SourceNotFoundError(f"There is no version of {what} on Civitai.", "Check its page.")
    return _version((public or versions)[0] | {"modelId": model.get("id")}, model)


def _version(said: Mapping[str, Any], model: Mapping[str, Any]) -> Version:
    number, model_number = said.get("id"), said.get("modelId")
    if number is None or not _is_number(number) or not _is_number(model_number):
        raise SourceError("Civitai does not answer as it should.", "Check ASSETCTL_CIVITAI_ENDPOINT and your proxy.")
    page = f"{civitai_endpoint()}/models/{model_number}?modelVersionId={number}"
    about = {**dictionary(said.get("model")), **model}
    facts = Facts(
        base_model=text(said.get("baseModel")),
        kind=_KINDS.get(text(about.get("type")) or ""),
        trigger_words=_words(said.get("trainedWords")),
        licence=_licence(model),
        commercial=_commercial(model),
        page=page,
        air=text(said.get("air")),
        creator=text(dictionary(model.get("creator")).get("username")),
    )
    return Version(int(number), int(model_number or 0), page, facts, said, about)


def _licence(model: Mapping[str, Any]) -> str | None:
    """What the owner allows, as Civitai's own flags."""
    flags = {key: _flag(model[key]) for key in sorted(model) if key.startswith("allow") and key.isidentifier()}
    return "; ".join(f"{key}={flag}" for key, flag in flags.items() if flag)[:500] or None


def _flag(said: object) -> str:
    """A flag in words: yes or no, a word, or several."""
    if isinstance(said, list):
        return ",".join(map(_flag, texts(said)))
    return str(said) if isinstance(said, bool) else text(said) or ""


def _commercial(model: Mapping[str, Any]) -> bool | None:
    """Whether pictures may be sold: `allowCommercialUse` lists `Image`, `Rent`, `Sell` and others, or is one."""
    allowed = model.get("allowCommercialUse")
    if not isinstance(allowed, (list, str)):
        return None
    listed = texts(allowed) if isinstance(allowed, list) else re.findall(r"\w+", allowed)
    return bool({"Image", "Rent", "Sell"} & set(listed))


def _suits(file: Mapping[str, Any], wanted: Mapping[str, str]) -> bool:
    there = {**dictionary(file.get("metadata")), "type": file.get("type"), "name": file.get("name")}
    return all((text(there.get(key)) or "").lower() == value.lower() for key, value in wanted.items())


def _has_hash(file: Mapping[str, Any], digits: str) -> bool:
    hashes = dictionary(file.get("hashes")).values()
    return any(isinstance(value, str) and value.lower().startswith(digits.lower()) for value in hashes)


def _rank(file: Mapping[str, Any], among: Sequence[Mapping[str, Any]]) -> tuple[object, ...]:
    """The page's first file, unless that is a pickle and there is another like it; then type, format and precision."""
    about, kind = dictionary(file.get("metadata")), _type(file)
    is_first = file.get("primary") is True
    goes_with = kind in _COMPANIONS
    pickled = _is_pickle(file) and any(
        not _is_pickle(other) and (_type(other) in _COMPANIONS) is goes_with for other in among
    )
    return (
        goes_with and not is_first,
        pickled,
        not is_first,
        goes_with,
        _index(_FORMATS, about.get("format")),
        _index((*_MAIN, *_COMPANIONS), kind),
        _index(_PRECISIONS, about.get("fp")),
    )


def _is_pickle(file: Mapping[str, Any]) -> bool:
    said = dictionary(file.get("metadata")).get("format")
    return said == "PickleTensor" or _name(file).lower().endswith(PICKLE_SUFFIXES)


def _index(words: tuple[str, ...], word: object) -> int:
    return words.index(word) if isinstance(word, str) and word in words else len(words)


def _remote(version: Version, file: Mapping[str, Any], *, exactly: bool = False) -> RemoteFile:
    sha256 = (text(dictionary(file.get("hashes")).get("SHA256")) or "").lower()
    known = digests(sha256=sha256 if _SHA256.fullmatch(sha256) else None)
    return RemoteFile(_name(file), _size(file), known, _address(version, file, exactly=exactly))


def _size(file: Mapping[str, Any]) -> int | None:
    said = file.get("sizeKB")
    kilobytes = 0.0 if isinstance(said, bool) or not isinstance(said, (int, float)) else float(said)
    return round(kilobytes * 1024) if 0 < kilobytes <= LARGEST_FILE / 1024 else None


def _address(version: Version, file: Mapping[str, Any], *, exactly: bool) -> str:
    """Where a file can be had; by its number, where words could mean another one of the version."""
    said, number = file.get("downloadUrl"), file.get("id")
    address = said if isinstance(said, str) else f"{civitai_endpoint()}/api/download/models/{version.number}"
    if not _is_number(number) or not (exactly or len(version.files) > 1 or not isinstance(said, str)):
        return address
    parts = parts_of(address)
    if not parts.path.endswith(f"/api/download/models/{version.number}"):
        return address
    return urlunsplit((parts.scheme, parts.netloc, parts.path, f"fileId={number}", ""))


def _name(file: Mapping[str, Any]) -> str:
    name = _web.name_of_download(said[-500:] if isinstance(said := file.get("name"), str) else "") or "model"
    known = (*MODEL_SUFFIXES, ".zip", *_OTHER_ARCHIVES, *_NO_MODEL_SUFFIXES)
    return name if name.lower().endswith(known) else f"{name}.safetensors"


def _described(file: Mapping[str, Any]) -> str:
    about = dictionary(file.get("metadata"))
    said = {key: about.get(key) for key in ("format", "fp", "size")} | {"type": file.get("type"), "fileId": None}
    number = file.get("id")
    said |= {"fileId": str(number)} if _is_number(number) else {}
    return " ".join(f"{key}={word}" for key, value in said.items() if (word := text(value))) or "?"


def _words(said: object) -> tuple[str, ...]:
    words = [word.strip(" ,") for word in texts(said)]
    return tuple(dict.fromkeys(word[:500] for word in words if word and word.isprintable()))[:_MOST_WORDS]


def _is_number(said: object) -> bool:
    return (number_of(said) or 0) > 0
