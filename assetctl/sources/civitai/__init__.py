"""Civitai: `civitai:MODEL[@VERSION]`, `civitai:by-hash/HASH`, an AIR, or the address of a page or download."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlencode

from assetctl.errors import SourceNotFoundError, UsageError
from assetctl.files.paths import safe_name
from assetctl.files.safetensors import MODEL_SUFFIXES, PICKLE_SUFFIXES
from assetctl.settings import civitai_endpoint
from assetctl.sources.base import Newest, Packed, RemoteFile, Resolution, misspelt, need_network, path_at
from assetctl.text import air, parts_of, without_secrets

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from assetctl.settings import Settings
    from assetctl.sources.base import Found, Way
    from assetctl.text import Air
    from assetctl.types import Facts, Origin

#: What is written so is asked of nobody else.
SCHEMES = ("civitai:",)

_HOSTS = frozenset({f"{www}civitai.{ending}" for www in ("", "www.") for ending in ("com", "red", "green")})
_SHORT = re.compile(r"civitai:(?P<model>\d+)(?:@(?P<version>\d+))?", re.ASCII | re.IGNORECASE)
_BY_HASH = re.compile(r"civitai:by-hash/(?P<hash>[0-9A-F]{8,64})", re.ASCII | re.IGNORECASE)
#: What follows `civitai:` in an AIR: `MODEL[@VERSION][+FILE][.FORMAT]`.
_RESOURCE = re.compile(
    r"(?P<model>[^@+.:]*)(?:@(?P<version>[^+.:]*))?(?:\+(?P<file>[^.:]*))?(?:[.:](?P<format>[\w-]+))?"
)
_MODEL_PAGE = re.compile(r"(?:/api/v1)?/models/(?P<model>\d+)(?:/[^/]*)?/?", re.ASCII)
_DOWNLOAD = re.compile(r"/api/download/models/(?P<version>\d+)/?", re.ASCII)
_VERSION_PAGE = re.compile(r"(?:/api/v1)?/model-versions/(?P<version>\d+)/?", re.ASCII)
_HASH_PAGE = re.compile(r"/api/v1/model-versions/by-hash/(?P<hash>[0-9A-F]{8,64})/?", re.ASCII | re.IGNORECASE)
_PAGES = (_MODEL_PAGE, _DOWNLOAD, _VERSION_PAGE, _HASH_PAGE)
_OF_MODEL = re.compile(r"/models/(\d{1,18})\b|civitai:(\d{1,18})@", re.ASCII)
_OF_VERSION = re.compile(r"modelVersionId=(\d{1,18})\b", re.ASCII)

#: Words by which an address of a download may tell a file from others of its version.
_WORDS = ("type", "format", "size", "fp", "quantType")

#: What may be asked behind a question mark, in any letters: these words, a file's name or number, a file of a ZIP.
_KEYS = {
    "type": "type", "format": "format", "size": "size", "fp": "fp", "quanttype": "quantType", "name": "name",
    "member": "member", "fileid": "fileId", "modelversionid": "modelVersionId",
}  # fmt: skip

#: Formats as AIRs write them, as Civitai's files have them.
_FORMATS = {
    "safetensor": "SafeTensor", "safetensors": "SafeTensor", "pickletensor": "PickleTensor", "ckpt": "PickleTensor",
    "pt": "PickleTensor", "gguf": "GGUF", "diffuser": "Diffusers", "diffusers": "Diffusers", "onnx": "ONNX",
    "coreml": "Core ML",
}  # fmt: skip

#: Files that may come where nothing was asked for, by what Civitai calls them: models that load safely.
_USUAL = {
    "format": ("safetensor", "gguf", "other"),
    "type": ("model", "pruned model", "diffusion model", "unet", "vae", "text encoder", "archive"),
}

#: Places that AIRs name, and nobody can pull from.
_ELSEWHERE = {
    "civitai-r2": "is kept at a place that only Civitai's own workers reach",
    "orchestrator": "is kept by Civitai's generator alone",
    "oci": "is a container image, and no asset",
    "dockerhub": "is a container image, and no asset",
    "ghcr": "is a container image, and no asset",
}

#: Digits of the largest number that is one.
_DIGITS = 18

_FORM = "Write civitai:MODEL[@VERSION], or paste the address of the model's page."


@dataclass(frozen=True, slots=True)
class CivitaiReference:
    """A model, a version of one, or whatever has a hash; with what is asked of the file.

    Attributes:
        wanted: Words for the file: format, fp, size, type, name.
        file: Its number.
        member: Where the file is a ZIP, the path in it of the one that is meant.
    """

    model: int | None = None
    version: int | None = None
    hash: str | None = None
    wanted: tuple[tuple[str, str], ...] = ()
    file: int | None = None
    member: str | None = None

    @property
    def query(self) -> str:
        """What is asked of the file, as it stands behind a question mark."""
        number = (("fileId", str(self.file)),) if self.file is not None else ()
        member = (("member", self.member),) if self.member is not None else ()
        asked = urlencode((*number, *self.wanted, *member))
        return f"?{asked}" if asked else ""


def source(settings: Settings) -> CivitaiSource:
    """Civitai as a source."""
    return CivitaiSource(offline=settings.offline)


class CivitaiSource:
    """Resolves to one file of one version, and downloads it; the token goes to Civitai alone."""

    name = "civitai"
    aliases = ()

    def __init__(self, *, offline: bool = False) -> None:
        self._offline = offline
        self._archives: dict[str, RemoteFile] = {}  # what was promised of a ZIP, by its address

    def accepts(self, reference: str) -> bool:
        """Whether it begins with `civitai:`, is an AIR of anything but the Hub, or an address of Civitai's."""
        if reference.lower().startswith(SCHEMES) or _page_path(reference) is not None:
            return "://" in reference or not Path(reference).exists()
        named = air(reference)
        return named is not None and named.source != "huggingface"

    def resolve(self, reference: str) -> Resolution:
        """Ask Civitai for the version and its files; see `Source`."""
        wanted = parse(reference)
        need_network(reference, offline=self._offline)
        from assetctl.sources.civitai import api, offer  # noqa: PLC0415 - the client costs 60 ms

        version = api.find_version(wanted.model, wanted.version, wanted.hash, wanted.file)
        offered = offer.offer(version, dict(wanted.wanted), wanted.hash, wanted.file)
        chosen, facts = offered.file, offered.facts
        form = "archive" if chosen.path.lower().endswith(".zip") else "file"
        url = chosen.url or version.page
        if wanted.member is not None:
            if form == "file":
                raise UsageError(f"{chosen.path} is no ZIP, so nothing in it can be asked for.", "Leave out `member=`.")
            self._archives[url] = chosen
            form, url = "file", with_member(url, wanted.member)
            chosen = RemoteFile(safe_name(PurePosixPath(wanted.member).name), url=url)
        path = chosen.path
        name = Path(path).stem if path.lower().endswith(MODEL_SUFFIXES[:2]) else path
        revision, files = str(version.number), (chosen,)
        return Resolution(
            self.name, reference, revision, url, name, form, files, facts, offered.warnings, offered.choices
        )

    def packed(self, resolution: Resolution) -> Packed | None:
        """A ZIP, or a file of one; see `Packing`."""
        try:
            wanted = parse(resolution.reference)
        except UsageError:  # a page of another endpoint
            return None
        if resolution.format == "archive":
            return Packed(resolution)
        if wanted.member is None:
            return None
        url = without_member(resolution.files[0].url or "")
        archive = self._archives.get(url) or RemoteFile("archive.zip", url=url)
        return Packed(replace(resolution, format="archive", files=(archive,), url=url), wanted.member)

    def unpacked(self, archive: Resolution, member: str, file: RemoteFile, of: int) -> Resolution:
        """What one file of a ZIP is, by itself; see `Packing`."""
        wanted, url = parse(archive.reference), with_member(archive.url or "", member)
        page = _MODEL_PAGE.search(parts_of((archive.facts and archive.facts.page) or "").path)
        number = parse_qs(parts_of(url).query).get("fileId")
        exact = replace(
            wanted,
            model=wanted.model or (int(page["model"]) if page else None),
            version=int(archive.revision or 0) or wanted.version,
            file=int(number[0]) if number else wanted.file,
            member=member,
        )
        name = Path(file.path).stem
        reference = f"civitai:{exact.model}@{exact.version}{exact.query}" if exact.model else archive.reference
        fresh = replace(file, url=url)
        return replace(
            archive, reference=reference, url=f"{url}&of={of}", name=name, format="file", files=(fresh,), choices=()
        )

    def way(self, resolution: Resolution, file: RemoteFile) -> Way:
        """Its download, with the token where that is Civitai's own; see `Source`."""
        from assetctl.sources.civitai import api  # noqa: PLC0415 - the client costs 60 ms

        return api.way(resolution.reference, file, offline=self._offline)

    def describe(self, sha256: str | None, origin: Origin | None) -> Facts | None:
        """It knows files by their hashes, and what came of a ZIP by its version; see `Describing`."""
        from assetctl.sources.civitai import api  # noqa: PLC0415 - the client costs 60 ms

        if sha256 is None:
            return None
        try:
            return api.described(sha256)
        except SourceNotFoundError:
            if origin is None or origin.source != self.name or "member=" not in origin.reference:
                raise
            wanted = parse(origin.reference)
            return api.find_version(wanted.model, wanted.version, wanted.hash).facts

    def pictures(self, sha256: str | None, origin: Origin | None, *, nsfw: bool) -> list[Way]:
        """Those of the version's page, as its maker ordered them; see `Picturing`."""
        from assetctl.sources.civitai import api  # noqa: PLC0415 - the client costs 60 ms

        known = None if origin is None else _version(origin)
        if known is None and sha256 is None:
            return []
        return api.pictures(None if known is None else known[1], sha256, nsfw=nsfw)

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
        page = _MODEL_PAGE.search(parts_of((origin.facts and origin.facts.page) or "").path)
        model, version = wanted.model or (page and page["model"]), origin.revision or wanted.version
        if wanted.hash is not None or not (model and version):
            return origin.reference
        return f"civitai:{model}@{version}{wanted.query}"

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
    if _page_path(reference) is not None:
        return _parse_address(reference)
    body, _, query = reference.partition("?")
    for form in (_SHORT, _BY_HASH):
        match = form.fullmatch(body)
        if match is not None:
            return _reference(reference, match.groupdict(), _asked(query))
    named = air(reference)
    if named is None:
        raise UsageError(f"{reference!r} does not name a model on Civitai.", _FORM)
    return _parse_air(reference, named)


def _parse_air(reference: str, named: Air) -> CivitaiReference:
    """Read an AIR.

    Raises:
        UsageError: It is of another place, or has letters where Civitai has numbers.
    """
    if named.source != "civitai":
        where = _ELSEWHERE.get(named.source, f"is kept at {named.source[:40]!r}, from where assetctl pulls nothing")
        hint = "civitai and huggingface are the places of an AIR that can be pulled from."
        raise UsageError(f"{misspelt(reference)!r} {where}.", hint)
    match = _RESOURCE.fullmatch(named.resource)
    if match is None:
        raise UsageError(f"{misspelt(reference)!r} does not name a model on Civitai.", _FORM)
    for word in ("model", "version", "file"):
        if match[word] is not None and not re.fullmatch(r"\d+", match[word], re.ASCII):
            message = f"{misspelt(reference)!r} has {match[word][:40]!r} where the number of a {word} belongs."
            raise UsageError(message, _FORM)
    asked = _asked(named.query)
    if match["format"] is not None:
        format_ = _FORMATS.get(match["format"].lower())
        if format_ is None:
            known = ", ".join(sorted(_FORMATS))
            raise UsageError(f"{misspelt(reference)!r} ends in no format that is known.", f"Name one of: {known}.")
        asked.setdefault("format", format_)
    return _reference(reference, match.groupdict() | {"file": match["file"] or None}, asked)


def _parse_address(address: str) -> CivitaiReference:
    query = _asked(parts_of(address).query)
    for form in _PAGES:
        match = form.fullmatch(_page_path(address) or "")
        if match is not None:
            version = query.get("modelVersionId", "")
            given: dict[str, Any] = {"version": version if version.isdecimal() else None} | match.groupdict()
            return _reference(address, given, query)
    raise UsageError(f"{address.partition('?')[0]} is not the page of a model.", _FORM)


def _reference(written: str, given: Mapping[str, str | None], query: Mapping[str, str]) -> CivitaiReference:
    asked = {key: query[key] for key in (*_WORDS, "name") if query.get(key)}
    numbers = {key: text for key in ("model", "version", "file") if (text := given.get(key))}
    if query.get("fileId"):
        numbers.setdefault("file", query["fileId"])
    for text in numbers.values():
        if len(text) > _DIGITS:
            raise UsageError(f"{misspelt(written)[:100]!r} has a number that no model on Civitai has.", _FORM)
        if not re.fullmatch(r"\d+", text, re.ASCII):
            raise UsageError(f"{misspelt(written)[:100]!r} has {text!r} where a file's number belongs.", _FORM)
    return CivitaiReference(
        **{key: int(text) for key, text in numbers.items()},
        hash=given.get("hash"),
        wanted=tuple(sorted(asked.items())),
        member=query.get("member") or None,
    )


def _asked(query: str) -> dict[str, str]:
    """What is asked for behind a question mark."""
    try:
        given = parse_qs(query)
    except ValueError:  # more than any page has
        raise UsageError("This address asks for too much.", _FORM) from None
    return {_KEYS[key.lower()]: values[-1] for key, values in given.items() if key.lower() in _KEYS}


def with_member(address: str, member: str) -> str:
    """The address of a ZIP's download, which says as well which file of it is meant."""
    return f"{address}{'&' if '?' in address else '?'}{urlencode({'member': member})}"


def without_member(address: str) -> str:
    """The address of the ZIP that a file is in, whether or not it tells how many there are."""
    return re.sub(r"[?&]member=[^&]*(?:&of=\d+)?$", "", address)


def _is_download(address: str | None, version: str, asked: CivitaiReference) -> bool:
    """Whether a file of this version is had there, from Civitai itself, and none that was not asked for."""
    parts = parts_of(address or "")
    match = _DOWNLOAD.fullmatch(_page_path(address or "") or "")
    place = (parts.scheme, parts.netloc.lower())
    own = place == parts_of(civitai_endpoint())[:2] or (place[0] == "https" and place[1] in _HOSTS)
    return own and match is not None and match["version"] == version and _is_asked(parts.query, asked)


def _is_asked(query: str, asked: CivitaiReference) -> bool:
    """Whether an address of a download says no more of its file than Civitai does, and nothing else than was asked.

    Civitai names a file by its number, which only Civitai understands, or by words. Where nothing was asked for, what
    is chosen of several is a model that loads safely; a hash may be that of any file.
    """
    try:
        said = parse_qs(query, keep_blank_values=True, strict_parsing=bool(query), max_num_fields=len(_WORDS) + 2)
    except ValueError:
        return False
    given = {key: values[0] for key, values in said.items()}
    number = given.pop("fileId", None)
    if any(len(values) > 1 for values in said.values()) or given.pop("member", None) != asked.member:
        return False
    if number is not None or asked.file is not None:
        right = re.fullmatch(rf"\d{{1,{_DIGITS}}}", number or "", re.ASCII) is not None
        return right and not given and asked.file in (None, int(number or 0))
    return given == {"primary": "true"} or all(_is_right(key, value, asked) for key, value in given.items())


def _is_right(key: str, value: str, asked: CivitaiReference) -> bool:
    """Whether one word for a file was asked for or, where none was, is of those that come by themselves."""
    wanted, usual = dict(asked.wanted), {} if asked.hash else _USUAL
    allowed = (wanted[key].lower(),) if key in wanted else usual.get(key, (value.lower(),))
    return key in _WORDS and value.lower() in allowed


def _is_name(path: str, asked: CivitaiReference) -> bool:
    """Whether a file may be called so: as what can be a model, and as no pickle where safe ones were asked for."""
    refused = PICKLE_SUFFIXES if dict(asked.wanted).get("format", "").lower() == "safetensor" else ()
    name = path.lower()
    return "/" not in path and name.endswith((*MODEL_SUFFIXES, ".zip")) and not name.endswith(refused)


def _page_path(address: str) -> str | None:
    """The path of an address on Civitai or, behind whatever path that has, on what stands for it here.

    On the host that `ASSETCTL_CIVITAI_ENDPOINT` names other things may lie as well: there it must look like a page.
    """
    if (known := path_at(address, _HOSTS)) is not None:
        return known
    parts, own = parts_of(address), parts_of(civitai_endpoint())
    place = parts.netloc.lower().rpartition("@")[2]
    if parts.scheme not in ("https", "http"):
        return None
    if not own.netloc or place != own.netloc.lower() or not parts.path.startswith(f"{own.path}/"):
        return None
    path = parts.path.removeprefix(own.path)
    return path if any(form.fullmatch(path) for form in _PAGES) else None
