"""What we ask of Civitai's API, and what its answers mean. Source: https://developer.civitai.com/docs/api/public-rest."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from assetctl.errors import (
    NotFoundError,
    RefusedFileError,
    SourceError,
    SourceNotFoundError,
    UnauthorizedError,
)
from assetctl.settings import civitai_endpoint
from assetctl.sources import _web, find_token
from assetctl.sources.base import Found, RemoteFile, Way, dictionaries, dictionary, text, texts, words
from assetctl.sources.base import number as number_of
from assetctl.sources.civitai.offer import (
    LOGIN,
    Version,
    chosen_of,
    facts_of,
    has_hash,
    is_number,
    remote,
    see_kept,
    see_offered,
)
from assetctl.text import parts_of, without_secrets
from assetctl.types import Facts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import httpx2

#: How many models Civitai tells of at a time.
_MOST_FOUND = 100

#: Pictures of a version that are looked at, and characters that the address of one may have.
_MOST_PICTURES, _LONGEST_ADDRESS = 100, 2000

#: How Civitai rates what everybody may see (PG); 2, 4, 8 and 16 are more, 32 is blocked, and 0 was not rated yet.
_SAFE = ((int, 1), (str, "None"))

#: How its addresses ask for a picture as it was uploaded; films, by their names.
_WHOLE = re.compile(r"/original=true/")
_FILM = re.compile(r"\.(?:mp4|webm|gif)$", re.IGNORECASE)

#: Civitai's words for what a model is, in ours.
_KINDS = {
    "Checkpoint": "checkpoint", "LORA": "lora", "LoCon": "lora", "DoRA": "lora", "TextualInversion": "embedding",
    "VAE": "vae", "Controlnet": "controlnet", "Upscaler": "upscaler",
    "TextEncoder": "text-encoder", "UNet": "diffusion-model", "CLIPVision": "image-encoder",
}  # fmt: skip


def find_version(model: int | None, version: int | None, digits: str | None, file: int | None = None) -> Version:
    """The version that is named; of a model alone, the one that has a file of this number, or the newest.

    Raises:
        SourceError: Of the kind that fits; Civitai failed or has no such thing.
    """
    if digits is not None:
        said = _ask(f"model-versions/by-hash/{digits}", f"model with the hash {digits}")
    elif version is not None:
        said = _version_said(model, version)
    else:
        newest = _newest(_ask(f"models/{model}", f"model {model}"), f"model {model}", file)
        return newest if {"air", "usageControl"} & newest.said.keys() else _in_full(newest)
    number = said.get("modelId")
    if model is not None and number != model:
        raise SourceNotFoundError(f"Version {version} on Civitai is not of model {model}.", "Check its page.")
    return _version(said, _page_of(number))


def _in_full(version: Version) -> Version:
    """The same with all that is said of it by itself: a model's page may tell its versions in short."""
    try:
        said = _ask(f"model-versions/{version.number}", f"version {version.number}")
        return _version({**version.said, **said, "modelId": version.model}, version.about)
    except SourceError:  # what its model says will do
        return version


def _page_of(model: object) -> dict[str, Any]:
    """What Civitai says of a model; nothing, where its page was taken away, and its files may still be there."""
    try:
        return _ask(f"models/{model}", f"model {model}") if is_number(model) else {}
    except SourceNotFoundError:
        return {}


def _version_said(model: int | None, version: int) -> dict[str, Any]:
    """What Civitai says of a version; where it does not, but of the model, that may say why."""
    try:
        return _ask(f"model-versions/{version}", f"version {version}")
    except SourceNotFoundError as error:
        if model is not None:
            about = _page_of(model)
            named = f"{text(about.get('name')) or f'model {model}'} (version {version} on Civitai)"
            see_kept(about.get("mode"), named, f"{model}@{version}")
        raise error from None


def newest_like(model: int, base_model: str | None) -> Version | None:
    """The newest public version of a model that is made for a base model, or for any if that is not known.

    Raises:
        SourceError: Civitai failed, or has no such model.
    """
    about = _ask(f"models/{model}", f"model {model}")
    versions = [version for version in dictionaries(about.get("modelVersions")) if is_number(version.get("id"))]
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
    models = [model for model in dictionaries(answer.get("items")) if is_number(model.get("id"))]
    return [found for model in models if (found := _found(model)) is not None][:limit]


def _found(model: Mapping[str, Any]) -> Found | None:
    """What `pull` would bring of a model."""
    try:
        version = _newest(model, f"model {model['id']}")
        see_offered(version)
        file = remote(version, chosen_of(version, {}, None, None))
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


def described(digits: str) -> Facts:
    """What is said of the file that has a hash.

    Raises:
        SourceError: Of the kind that fits; Civitai failed or knows no such file.
    """
    version = find_version(None, None, digits)
    return facts_of(version, next((file for file in version.files if has_hash(file, digits)), None))


def pictures(version: int | None, digits: str | None, *, nsfw: bool) -> list[Way]:
    """Ways to the pictures of a version's page, by its number or the hash of a file of it.

    Raises:
        SourceError: Of the kind that fits; Civitai failed or has no such thing.
    """
    if version is not None:
        said = _ask(f"model-versions/{version}", f"version {version}")
    else:
        said = _ask(f"model-versions/by-hash/{digits}", f"model with the hash {digits}")
    listed = [each for each in dictionaries(said.get("images"))[:_MOST_PICTURES] if nsfw or _is_for_all(each)]
    return [_way_to_picture(address) for each in listed if (address := _picture(each)) is not None]


def _is_for_all(said: Mapping[str, Any]) -> bool:
    """Whether Civitai says of a picture that it is safe for everybody: what it has not rated is not known to be so."""
    ratings = [said[key] for key in ("nsfwLevel", "nsfw") if said.get(key) is not None]
    return bool(ratings) and all(each is False or (type(each), each) in _SAFE for each in ratings)


def _picture(said: Mapping[str, Any]) -> str | None:
    """Where a picture can be had, in a size that is enough to know it by; `None` for a film, or no address."""
    address = said.get("url")
    if said.get("type", "image") != "image" or not isinstance(address, str) or len(address) > _LONGEST_ADDRESS:
        return None
    if not address.startswith(("https://", "http://")) or _FILM.search(parts_of(address).path):
        return None
    return _WHOLE.sub("/width=512/", address, count=1)


def _way_to_picture(address: str) -> Way:
    """How to ask for a picture; they are for everybody, and lie on another host: no token goes there."""
    named = civitai_endpoint()
    what = "A picture on Civitai"
    return Way(what, address, lambda: _web.AS_IT_IS, _web.client, _web.check, _errors, _web.TIMEOUT, named)


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
            raise UnauthorizedError(said, LOGIN)
        raise UnauthorizedError("Civitai wants you to log in for this file, and sent its login page.", LOGIN)
    _web.check(response)


@contextmanager
def _errors(what: str) -> Iterator[None]:
    login = f"{LOGIN} A model in early access has to be bought first, on its page."
    with _web.errors(what, login, source="civitai"):
        yield


def _ask(path: str, what: str) -> dict[str, Any]:
    address = f"{civitai_endpoint()}/api/v1/{path}"
    answer = _web.get_json(address, _token(), f"{what} on Civitai", LOGIN, source="civitai")
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


def _newest(model: Mapping[str, Any], what: str, file: int | None = None) -> Version:
    versions = [version for version in dictionaries(model.get("modelVersions")) if is_number(version.get("id"))]
    public = [version for version in versions if version.get("availability", "Public") == "Public"]
    if not versions:
        see_kept(model.get("mode"), f"{text(model.get('name')) or what} on Civitai", f"{model.get('id')}@")
        raise SourceNotFoundError(f"There is no version of {what} on Civitai.", "Check its page.")
    named = [version for version in versions if file in [each.get("id") for each in dictionaries(version.get("files"))]]
    fitting = (named if file is not None else []) or public or versions
    return _version(fitting[0] | {"modelId": model.get("id")}, model)


def _version(said: Mapping[str, Any], model: Mapping[str, Any]) -> Version:
    number, model_number = said.get("id"), said.get("modelId")
    if number is None or not is_number(number) or not is_number(model_number):
        raise SourceError("Civitai does not answer as it should.", "Check ASSETCTL_CIVITAI_ENDPOINT and your proxy.")
    page = f"{civitai_endpoint()}/models/{model_number}?modelVersionId={number}"
    about = {**dictionary(said.get("model")), **model}
    facts = Facts(
        base_model=text(said.get("baseModel")),
        kind=_KINDS.get(text(about.get("type")) or ""),
        trigger_words=words(said.get("trainedWords")),
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
