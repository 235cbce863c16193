"""Civitai: `civitai:MODEL[@VERSION]`, `civitai:by-hash/HASH`, an AIR, or the address of a page or download."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlencode

from assetctl.errors import UsageError
from assetctl.files.safetensors import MODEL_SUFFIXES, PICKLE_SUFFIXES
from assetctl.settings import civitai_endpoint
from assetctl.sources.base import Newest, Resolution, Way, need_network
from assetctl.text import parts_of, without_secrets

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from assetctl.settings import Settings
    from assetctl.sources.base import Found, RemoteFile
    from assetctl.types import Facts, Origin

#: What is written so is asked of nobody else.
SCHEMES = ("civitai:",)

_HOSTS = frozenset({"civitai.com", "www.civitai.com", "civitai.red", "civitai.green"})
_SHORT = re.compile(r"civitai:(?P<model>\d+)(?:@(?P<version>\d+))?(?:\?(?P<query>.*))?", re.ASCII)
_BY_HASH = re.compile(r"civitai:by-hash/(?P<hash>[0-9A-Fa-f]{8,64})(?:\?(?P<query>.*))?", re.ASCII)
_AIR = re.compile(
    r"(?:urn:)?air:[\w.-]+:[\w.-]+:civitai:(?P<model>\d+)@(?P<version>\d+)(?:\.[\w-]+|:[\w-]+)?(?:\?(?P<query>.*))?",
    re.ASCII | re.IGNORECASE,
)
_PAGE = re.compile(r"/models/(?P<model>\d+)(?:/[^/]*)?/?", re.ASCII)
_DOWNLOAD = re.compile(r"/api/download/models/(?P<version>\d+)/?", re.ASCII)
_OF_MODEL = re.compile(r"/models/(\d{1,18})\b|civitai:(\d{1,18})@", re.ASCII)
_OF_VERSION = re.compile(r"modelVersionId=(\d{1,18})\b", re.ASCII)
_VERSION_PAGE = re.compile(r"/api/v1/model-versions/(?P<version>\d+)/?", re.ASCII)

#: Words by which an address of a download may tell a file from others of its version.
_WORDS = ("type", "format", "size", "fp", "quantType")

#: Digits of the largest number that is one.
_DIGITS = 18

_FORM = "Write civitai:MODEL[@VERSION], or paste the address of the model's page."


@dataclass(frozen=True, slots=True)
class CivitaiReference:
    """A model, a version of one, or whatever has a hash; with what is asked of the file: format, fp, size, type."""

    model: int | None = None
    version: int | None = None
    hash: str | None = None
    wanted: tuple[tuple[str, str], ...] = ()


def source(settings: Settings) -> CivitaiSource:
    """Civitai as a source."""
    return CivitaiSource(offline=settings.offline)


class CivitaiSource:
    """Resolves to one file of one version, and downloads it; the token goes to Civitai alone."""

    name = "civitai"
    aliases = ()

    def __init__(self, *, offline: bool = False) -> None:
        self._offline = offline

    def accepts(self, reference: str) -> bool:
        """Whether it begins with `civitai:`, is an AIR, or an address of Civitai's."""
        return reference.startswith("civitai:") or bool(_AIR.fullmatch(reference)) or _is_page(reference)

    def resolve(self, reference: str) -> Resolution:
        """Ask Civitai for the version and its files; see `Source`."""
        wanted = parse(reference)
        need_network(reference, offline=self._offline)
        from assetctl.sources.civitai import api  # noqa: PLC0415 - the client costs 60 ms

        version = api.find_version(wanted.model, wanted.version, wanted.hash)
        chosen = api.choose_file(version, dict(wanted.wanted), wanted.hash)
        name = Path(chosen.path).stem if chosen.path.lower().endswith(MODEL_SUFFIXES[:2]) else chosen.path
        return Resolution(
            self.name,
            reference,
            str(version.number),
            chosen.url or version.page,
            name,
            "file",
            (chosen,),
            facts=version.facts,
            warnings=version.warnings,
        )

    def way(self, resolution: Resolution, file: RemoteFile) -> Way:
        """Its download, with the token where that is Civitai's own; see `Source`."""
        from assetctl.sources.civitai import api  # noqa: PLC0415 - the client costs 60 ms

        return api.way(resolution.reference, file, offline=self._offline)

    def describe(self, sha256: str | None, origin: Origin | None) -> Facts | None:
        """It knows files by their hashes; see `Describing`."""
        from assetctl.sources.civitai import api  # noqa: PLC0415 - the client costs 60 ms

        del origin
        return None if sha256 is None else api.find_version(None, None, sha256).facts

    def follows(self, origin: Origin) -> bool:
        """What it has described; see `Versioned`."""
        return self.version(origin) is not None

    def version(self, origin: Origin) -> str | None:
        """Model and version, as its page tells them; see `Versioned`."""
        known = _version(origin)
        return None if known is None else "{}@{}".format(*known)

    def newest(self, origin: Origin) -> Newest | None:
        """The newest of its model that is made for the same base model; see `Versioned`."""
        from assetctl.sources.civitai import api  # noqa: PLC0415 - the client costs 60 ms

        known = _version(origin)
        if known is None or origin.facts is None:
            return None
        model, number = known
        newest = api.newest_like(model, origin.facts.base_model)
        if newest is None or newest.number <= number:
            return None
        version = f"{model}@{newest.number}"
        return Newest(str(number), str(newest.number), f"civitai:{version}", version)

    def exact(self, origin: Origin) -> str:
        """Its model and version, with what was asked of the file; see `Exact`."""
        try:
            wanted = parse(origin.reference)
        except UsageError:  # a page of another endpoint
            wanted = CivitaiReference()
        page = _PAGE.search(parts_of((origin.facts and origin.facts.page) or "").path)
        model, version = wanted.model or (page and page["model"]), origin.revision or wanted.version
        if wanted.hash is not None or not (model and version):
            return origin.reference
        return f"civitai:{model}@{version}" + (f"?{urlencode(wanted.wanted)}" if wanted.wanted else "")

    def departure(self, wanted: str, said: Resolution) -> str | None:
        """Its one file is a download from Civitai, of the version that was locked; see `Accountable`."""
        asked, version = parse(wanted), said.revision or ""
        try:
            if parse(said.reference) != asked:
                return "reference"
        except UsageError:
            return "reference"
        if not (version.isdecimal() and version.isascii()) or asked.version not in (None, int(version[:19])):
            return "revision"
        if said.format != "file" or len(said.files) != 1:
            return "files"
        (file,) = said.files
        right = {
            "files.path": _is_name(file.path, asked),
            "files.url": _is_download(file.url, version, asked),
            "url": without_secrets(said.url or "") == file.url,
        }
        return next((key for key, fits in right.items() if not fits), None)

    def search(self, query: str, kind: str | None, base_models: Sequence[str], limit: int) -> list[Found]:
        """Ask Civitai; see `Searchable`."""
        need_network("A search on Civitai", offline=self._offline)
        from assetctl.sources.civitai import api  # noqa: PLC0415 - the client costs 60 ms

        return api.search(query, kind, base_models, limit)

    def user(self, token: str) -> str:
        """Whose token this is; see `TakesTokens`."""
        need_network("Your account on Civitai", offline=self._offline)
        from assetctl.sources.civitai import api  # noqa: PLC0415 - as above

        return api.user(token)


def _version(origin: Origin) -> tuple[int, int] | None:
    """Model and version, as Civitai's page or AIR tells them."""
    facts = origin.facts
    if facts is None or facts.source != "civitai":
        return None
    model = _OF_MODEL.search(facts.page or "") or _OF_MODEL.search(facts.air or "")
    number = _OF_VERSION.search(facts.page or "")
    return None if model is None or number is None else (int(model[1] or model[2]), int(number[1]))


def parse(reference: str) -> CivitaiReference:
    """Read a reference to Civitai.

    Raises:
        UsageError: It does not make sense.
    """
    if _is_page(reference):
        return _parse_address(reference)
    for form in (_SHORT, _BY_HASH, _AIR):
        match = form.fullmatch(reference)
        if match is not None:
            return _reference(reference, match.groupdict(), _asked(match["query"] or ""))
    raise UsageError(f"{reference!r} does not name a model on Civitai.", _FORM)


def _parse_address(address: str) -> CivitaiReference:
    parts = parts_of(address)
    query = _asked(parts.query)
    for form in (_PAGE, _DOWNLOAD, _VERSION_PAGE):
        match = form.fullmatch(parts.path)
        if match is not None:
            version = query.get("modelVersionId", "")
            given: dict[str, Any] = {"version": version if version.isdecimal() else None} | match.groupdict()
            return _reference(address, given, query)
    raise UsageError(f"{address.partition('?')[0]} is not the page of a model.", _FORM)


def _reference(written: str, given: Mapping[str, str | None], query: Mapping[str, str]) -> CivitaiReference:
    asked = {key: query[key] for key in ("format", "fp", "size", "type") if key in query}
    digits = {key: text for key in ("model", "version") if (text := given.get(key))}
    if any(len(text) > _DIGITS for text in digits.values()):
        raise UsageError(f"{written[:100]!r} has a number that no model on Civitai has.", _FORM)
    numbers = {key: int(text) for key, text in digits.items()}
    return CivitaiReference(**numbers, hash=given.get("hash"), wanted=tuple(sorted(asked.items())))


def _asked(query: str) -> dict[str, str]:
    """What is asked for behind a question mark."""
    try:
        return {key: values[-1] for key, values in parse_qs(query).items()}
    except ValueError:  # more than any page has
        raise UsageError("This address asks for too much.", _FORM) from None


def _is_download(address: str | None, version: str, asked: CivitaiReference) -> bool:
    """Whether a file of this version is had there, from Civitai itself, and none that was not asked for."""
    parts = parts_of(address or "")
    match = _DOWNLOAD.fullmatch(parts.path)
    place = (parts.scheme, parts.netloc.lower())
    own = place == parts_of(civitai_endpoint())[:2] or (place[0] == "https" and place[1] in _HOSTS)
    return own and match is not None and match["version"] == version and _is_asked(parts.query, asked)


def _is_asked(query: str, asked: CivitaiReference) -> bool:
    """Whether an address of a download says no more of its file than Civitai does, and nothing else than was asked.

    Civitai names a file by its number, which only Civitai understands, or by words. Where nothing was asked for, what
    is chosen of several is a model that loads safely; a hash may be that of any file.
    """
    try:
        said = parse_qs(query, keep_blank_values=True, strict_parsing=bool(query), max_num_fields=len(_WORDS))
    except ValueError:
        return False
    if said.keys() == {"fileId"}:
        (number, *others) = said["fileId"]
        return not others and bool(re.fullmatch(rf"\d{{1,{_DIGITS}}}", number, re.ASCII))
    wanted = dict(asked.wanted)
    usual = {} if asked.hash else {"format": ("safetensor",), "type": ("model", "pruned model", "vae")}
    for key, values in said.items():
        allowed = (wanted[key].lower(),) if key in wanted else usual.get(key, (values[0].lower(),))
        if key not in _WORDS or len(values) > 1 or values[0].lower() not in allowed:
            return False
    return True


def _is_name(path: str, asked: CivitaiReference) -> bool:
    """Whether a file may be called so: as what can be a model, and as no pickle where safe ones were asked for."""
    refused = PICKLE_SUFFIXES if dict(asked.wanted).get("format", "").lower() == "safetensor" else ()
    name = path.lower()
    return "/" not in path and name.endswith((*MODEL_SUFFIXES, ".zip")) and not name.endswith(refused)


def _is_page(reference: str) -> bool:
    if not reference.startswith(("https://", "http://")):
        return False
    place = parts_of(reference).netloc.lower()
    return bool(place) and place in _HOSTS | {parts_of(civitai_endpoint()).netloc}
