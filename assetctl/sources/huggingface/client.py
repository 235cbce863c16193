"""What we ask of the Hub's API, and its errors in our words.

Its own client reads whatever comes, however much that is: it is asked for the person's token alone.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from http import HTTPStatus
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, urlencode

import httpx2
from huggingface_hub import constants, get_token, hf_hub_url
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import build_hf_headers, validate_repo_id  # type: ignore[attr-defined]  # lazily exported

from assetctl.errors import (
    HashMismatchError,
    OfflineError,
    SourceError,
    SourceNotFoundError,
    UnauthorizedError,
    UsageError,
)
from assetctl.files.paths import safe_path
from assetctl.sources import _web, find_token
from assetctl.sources._web import AstrayError, Wire
from assetctl.sources.base import Found, RemoteFile, Way, dictionaries, dictionary, digests, number, size, text, texts
from assetctl.types import Facts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


#: Tags by which models of the Hub say what they are, and our words.
KINDS = {
    "lora": "lora",
    "textual_inversion": "embedding",
    "controlnet": "controlnet",
    "vae": "vae",
    "ip-adapter": "ip-adapter",
    "super-resolution": "upscaler",
}

#: Models that others are trained on, and their names in Civitai's spelling. Source: the pages of both.
_BASE_MODELS = {
    "stable-diffusion-v1-5": "SD 1.5",
    "stable-diffusion-v1-4": "SD 1.4",
    "stable-diffusion-2-1": "SD 2.1",
    "stable-diffusion-2": "SD 2.0",
    "stable-diffusion-xl-base-1.0": "SDXL 1.0",
    "sdxl-turbo": "SDXL Turbo",
    "stable-diffusion-3-medium": "SD 3",
    "stable-diffusion-3.5-large": "SD 3.5 Large",
    "stable-diffusion-3.5-medium": "SD 3.5 Medium",
    "flux.1-dev": "Flux.1 D",
    "flux.1-schnell": "Flux.1 S",
}

#: Licences that forbid to sell what is made with the model, as far as their names tell.
_NOT_COMMERCIAL = re.compile(r"(^|-)nc(-|$)|non-?commercial", re.IGNORECASE)


def facts_of(info: Mapping[str, Any], page: str) -> Facts | None:
    """What is said of a model, `None` if that is nothing."""
    card, tags = dictionary(info.get("cardData")), texts(info.get("tags"))
    licence = text(card.get("license_name")) or text(card.get("license"))
    words = text(card.get("instance_prompt"))
    facts = Facts(
        base_model=_base_model(card.get("base_model")),
        kind=next((word for tag, word in KINDS.items() if tag in tags), None),
        trigger_words=(words,) if words else (),
        licence=licence,
        commercial=False if licence and _NOT_COMMERCIAL.search(licence) else None,
        page=page,
        creator=text(info.get("author")),
        source="huggingface",
    )
    said = (facts.base_model, facts.kind, facts.licence, *facts.trigger_words)
    return facts if any(said) else None


def _base_model(said: object) -> str | None:
    named = said[0] if isinstance(said, list) and said else said
    return _BASE_MODELS.get(named.rpartition("/")[2].lower()) if isinstance(named, str) else None


constants.HF_HUB_DISABLE_TELEMETRY = True  # what else is installed here is nobody's business
logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # we say ourselves what went wrong

#: Limit on a list of a repository's files: a hundred thousand have room in it.
_LISTING = 32 * 2**20

#: Requests that one question comes to, where the Hub's name for a repository has changed.
_MOVES = 5

#: Limit on a file that is read to decide what to fetch.
SMALL = 2**20

#: Limit on a text of a diffusers folder: git keeps none that is larger, on the Hub.
_TEXT = 16 * 2**20

#: What we call ourselves to the Hub.
LIBRARY = "assetctl"
#: What the Hub says of a repository whose owner asks for something first.
_GATED = ("auto", "manual", True)

#: What the Hub calls models whose pictures are not for everybody.
_ADULT = "not-for-all-audiences"

#: Files that can show a model; pictures of a card in Markdown or HTML; how much of it is read, and how many are told.
_PICTURE = re.compile(r"\.(?:png|jpe?g|webp)$", re.IGNORECASE)
_PICTURE_ENDS = re.compile(r"(?:\.preview)?\.(?:png|jpe?g|webp)$", re.IGNORECASE)
_SHOWN = re.compile(
    r"!\[[^\]\n]{0,200}\]\(\s{0,8}<?([^)\s>]{1,500})|<img\s[^>]{0,200}?src=[\"']([^\"'>\n]{1,500})", re.IGNORECASE
)
_README, _MOST_PICTURES, _LONGEST_PATH = 200_000, 20, 500

_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)
_SHA1 = re.compile(r"[0-9a-f]{40}", re.ASCII)
_COMMIT = re.compile(r"[\w.-]{1,100}", re.ASCII)
_AGAIN = "Run the command again: what was fetched so far is kept, and it goes on from there."

#: What to do where the Hub was only asked.
ASK_AGAIN = "Check your connection and proxy, and run the command again."


def endpoint() -> str:
    """The Hub's address: `HF_ENDPOINT`, else its usual one."""
    return (os.environ.get("HF_ENDPOINT") or constants.ENDPOINT).rstrip("/")


@cache
def client() -> httpx2.Client:
    """The one client for the Hub: it is silent where the Hub's own would be.

    At a redirect to another host, httpx2 leaves the token out.
    """
    return httpx2.Client(transport=Wire(), event_hooks={"request": [_allow]}, follow_redirects=True, max_redirects=10)


def _allow(request: httpx2.Request) -> None:
    if constants.is_offline_mode():
        raise _SilentError("The network is switched off.", request=request)


class _SilentError(httpx2.TransportError):
    """Nobody is to be asked."""


class _RefusalError(Exception):
    """The Hub refused; its answer's body was not read."""

    def __init__(self, response: httpx2.Response) -> None:
        self.response = response
        self.reason = response.headers.get("x-error-code", "")


def check(response: httpx2.Response) -> None:
    """Raise what `hub_errors` understands, for a refusal."""
    if not (response.is_success or response.has_redirect_location):
        raise _RefusalError(response)


def ask(path: str, what: str, asked: Mapping[str, str | Sequence[str]], *, token: str | None = None) -> Any:  # noqa: ANN401 - from outside
    """What the Hub's API answers to a question; to be called inside `hub_errors`.

    Raises:
        SourceError: No JSON comes, or far too much.
    """
    query = f"?{urlencode(asked, doseq=True)}" if asked else ""
    headers = _headers(token or _token()) | {"accept-encoding": "gzip"}
    with client().stream(
        "GET", f"{endpoint()}/api/{path}{query}", headers=headers, timeout=constants.HF_HUB_DOWNLOAD_TIMEOUT
    ) as response:
        check(response)
        content = _web.read(response, what, _LISTING)
    try:
        return _web.parsed(content, what, "")
    except SourceError:
        raise _no_hub() from None


def headers() -> dict[str, str]:
    """Headers of a download: the person's token, and bytes as they are."""
    return _headers(_token()) | _web.AS_IT_IS


def _headers(token: str | None) -> dict[str, str]:
    return build_hf_headers(library_name=LIBRARY, token=token or False)


def user(token: str) -> str:
    """Whose token this is.

    Raises:
        UnauthorizedError: The Hub does not know it.
        SourceError: It failed.
    """
    with hub_errors("Your account on the Hub", ASK_AGAIN):
        try:
            said = ask("whoami-v2", "Your account on the Hub", {}, token=token)
        except _RefusalError as error:
            if error.response.status_code != HTTPStatus.UNAUTHORIZED:
                raise
            hint = f"Make a new one on {endpoint()}/settings/tokens."
            raise UnauthorizedError("The Hub does not know this token.", hint) from None
    return text(dictionary(said).get("name")) or "you"


def _token() -> str | None:
    """The token as the Hub's client finds it, from `HF_TOKEN` or its own login, else from the keyring."""
    if found := get_token():
        return found
    if constants.HF_HUB_DISABLE_IMPLICIT_TOKEN:
        return None
    kept = find_token("huggingface")
    return None if kept is None else kept[0]


def _token_place() -> str:
    """Where the token is from that is sent."""
    if os.environ.get("HF_TOKEN"):
        return "HF_TOKEN"
    return "the login of the Hub's own tools" if get_token() else "the system's keyring"


def file_url(repo: str, revision: str, path: str) -> str:
    """Where a file of a repository can be had."""
    return hf_hub_url(repo, path, revision=revision, endpoint=endpoint())


def page(repo: str, revision: str, path: str | None) -> str:
    """The page that shows a file, or the whole repository, to people."""
    address = f"{endpoint()}/{repo}"
    return f"{address}/blob/{revision}/{quote(path)}" if path else f"{address}/tree/{revision}"


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository at one commit: its files by path, and what is said of it."""

    commit: str
    files: dict[str, RemoteFile]
    facts: Facts | None
    gated: bool = False
    card: Mapping[str, Any] = field(default_factory=dict)
    tags: Sequence[str] = ()

    def warnings(self, repo: str) -> tuple[str, ...]:
        """What keeps who asks from having it, as far as that can be told before."""
        if not self.gated or _token() is not None:
            return ()
        how = f"accept the licence on {endpoint()}/{repo}; then `assetctl login hf`, or set HF_TOKEN."
        return (f"{repo} is gated, and there is no token: {how}",)


def look_up(repo: str, revision: str | None) -> Repository:
    """What `revision` stands for now.

    Raises:
        SourceError: Of the kind that fits; the Hub failed or has no such thing.
        RefusedFileError: A file's name is unsafe.
    """
    at = "" if revision is None else f"/revision/{quote(revision, safe='')}"
    with hub_errors(repo, ASK_AGAIN):
        validate_repo_id(repo)
        info = ask(f"models/{repo}{at}", repo, {"blobs": "True"})
    commit = dictionary(info).get("sha")
    if not isinstance(commit, str) or not _COMMIT.fullmatch(commit) or not isinstance(info.get("siblings"), list):
        raise _no_hub()
    files = [_remote_file(sibling, repo, commit) for sibling in dictionaries(info["siblings"])]
    facts = facts_of(info, page(repo, commit, None))
    listed = {file.path: file for file in files if file}
    card, tags = dictionary(info.get("cardData")), texts(info.get("tags"))
    return Repository(commit, listed, facts, info.get("gated") in _GATED, card, tags)


def pictures(repo: str, revision: str | None, path: str | None, *, nsfw: bool) -> list[Way]:
    """Ways to the pictures of a repository that show a file of it, or all of it where there is no `path`.

    What lies on other hosts is left alone: it would tell them who asks.

    Raises:
        SourceError: Of the kind that fits; the Hub failed or has no such thing.
    """
    there = look_up(repo, revision)
    if not nsfw and _ADULT in there.tags:
        return []
    stem = PurePosixPath(path).with_suffix("") if path else None
    own = [each for each in there.files if PurePosixPath(_PICTURE_ENDS.sub("", each)) == stem]
    card = [there.card.get("thumbnail"), *map(_shown_by, dictionaries(there.card.get("widget")))]
    found = [*own, *(_in_repository(each, repo) for each in card)]
    if not any(each in there.files for each in found) and "README.md" in there.files:
        readme = read_small(repo, there.commit, there.files["README.md"], SMALL)[:_README].decode(errors="replace")
        found += [_in_repository(match[1] or match[2], repo) for match in _SHOWN.finditer(readme)]
    chosen = [each for each in dict.fromkeys(found) if each in there.files and _PICTURE.search(each)]
    return [way(repo, there.commit, each) for each in chosen[:_MOST_PICTURES]]


def _shown_by(widget: Mapping[str, Any]) -> object:
    """What an example of a card shows."""
    return dictionary(widget.get("output")).get("url")


def _in_repository(address: object, repo: str) -> str:
    """The path in a repository that a card means; "" where it means another place."""
    if not isinstance(address, str) or len(address) > _LONGEST_PATH:
        return ""
    for host in (endpoint(), constants.ENDPOINT, "https://huggingface.co"):
        kind, _, rest = address.removeprefix(f"{host}/{repo}/").partition("/")
        if address.startswith(f"{host}/{repo}/") and kind in ("resolve", "raw", "blob"):
            address = rest.partition("/")[2]
            break
    path = unquote(re.split(r"[?#]", address)[0])
    return "" if ":" in path else path.removeprefix("./").removeprefix("/")


def with_hash(repo: str, commit: str, file: RemoteFile) -> RemoteFile:
    """`file` with the hash and size that its ETag promises, where the listing promised none."""
    if file.digests:
        return file
    with hub_errors(f"{repo}/{file.path}"):
        told = _head(file_url(repo, commit, file.path))
    etag = (told.get("x-linked-etag") or told.get("etag") or "").removeprefix("W/").strip('"')
    length = _web.length_of(told.get("x-linked-size") or told.get("content-length") or "")
    return replace(
        file,
        size=length if file.size is None else file.size,
        digests=digests(sha256=_hash(_SHA256, etag), git=_hash(_SHA1, etag)),
    )


def _head(url: str) -> httpx2.Headers:
    """What the Hub says of a file, before it sends elsewhere for it; its own redirects are followed."""
    asked = client().build_request("HEAD", url, headers=headers(), timeout=constants.HF_HUB_DOWNLOAD_TIMEOUT)
    for _ in range(_MOVES):
        response = client().send(asked, follow_redirects=False)
        check(response)
        there = response.next_request
        if there is None or there.url.origin != asked.url.origin:
            return response.headers
        asked = there
    raise httpx2.TooManyRedirects("The Hub redirects in circles.")


def with_sha256(repo: str, commit: str, file: RemoteFile) -> RemoteFile:
    """`file` with the SHA256 of its content, which is read for it and held against what git calls it.

    Raises:
        HashMismatchError: It is something else, or not small.
        SourceError: Of the kind that fits.
    """
    content = read_small(repo, commit, file, _TEXT)
    for known in file.digests:
        digest = known.begun(len(content))
        if digest is not None:
            digest.update(content)
            found = digest.hexdigest()
            if found != known.value:
                message = f"{repo}/{file.path} has the hash {found} where {known.value} was promised."
                raise HashMismatchError(message, "Try again in a few minutes.")
    fresh = digests(sha256=hashlib.sha256(content).hexdigest(), git=file.digest("git"))
    return replace(file, size=len(content), digests=fresh)


def read_small(repo: str, commit: str, file: RemoteFile, most: int = SMALL) -> bytes:
    """The content of a small file.

    Raises:
        HashMismatchError: It is not small.
        SourceError: Of the kind that fits.
    """
    url = file_url(repo, commit, file.path)
    with (
        hub_errors(f"{repo}/{file.path}"),
        client().stream("GET", url, headers=headers(), timeout=constants.HF_HUB_DOWNLOAD_TIMEOUT) as response,
    ):
        check(response)
        _web.refuse_packed(response, f"{repo}/{file.path}")
        try:
            return _web.read(response, file.path, most)
        except _web.TooLargeError:
            message = f"{repo}/{file.path} is larger than {most} bytes."
            raise HashMismatchError(message, "Report the repository.") from None


def way(repo: str, revision: str, path: str, *, offline: bool = False) -> Way:
    """How to download a file of a repository."""
    return Way(
        f"{repo}/{path}",
        file_url(repo, revision, path),
        headers,
        client,
        check,
        hub_errors,
        constants.HF_HUB_DOWNLOAD_TIMEOUT,
        offline=offline,
    )


@contextmanager
def hub_errors(what: str, again: str = _AGAIN) -> Iterator[None]:
    """Say in our words what the Hub or the way to it refuses; `what` was asked for, and may be had `again`.

    The client's own messages are not passed on: they can hold signed addresses, or what a server likes to say.

    Raises:
        UnauthorizedError: A token is missing, or may not.
        SourceNotFoundError: There is no such repository, revision or file.
        OfflineError: The network is switched off.
        SourceError: Anything else.
        UsageError: The name cannot be one.
    """
    try:
        yield
    except _SilentError:
        raise OfflineError(
            f"{what} cannot be fetched: HF_HUB_OFFLINE is set.", "Unset it, or give the path of a local file."
        ) from None
    except _RefusalError as error:
        raise _refusal(what, error, again) from None
    except HFValidationError:
        raise UsageError(f"{what!r} cannot be a repository's name.", "Write hf://ORG/REPO[@REVISION][/FILE].") from None
    except UnicodeEncodeError:
        raise UnauthorizedError("The Hugging Face token has characters that no token has.", "Mend HF_TOKEN.") from None
    except (ValueError, httpx2.DecodingError):
        raise _no_hub() from None
    except (httpx2.TimeoutException, httpx2.TooManyRedirects, AstrayError) as error:
        raise _web.failed(what, error, again) from None
    except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError):
        raise SourceError(f"{what}: the connection to {endpoint()} failed.", again) from None


def _refusal(what: str, error: _RefusalError, again: str) -> SourceError:
    """Our error for the Hub's answer."""
    status = error.response.status_code
    page = f"{endpoint()}/{'/'.join(what.split('/')[:2])}"
    gated = error.reason == "GatedRepo"
    if status in (401, 403) and "authorization" in error.response.request.headers:
        known = f"{what} is gated, and" if gated else f"{what} is private or gated, or does not exist:"
        account = f"has accepted the licence on {page}" if gated else "may read it"
        return UnauthorizedError(
            f"{known} the token of {_token_place()} was sent and refused.",
            f"See that it is valid and that its account {account}; `assetctl login hf` or HF_TOKEN take another.",
        )
    if gated:
        return UnauthorizedError(
            f"{what} is gated: its owner asks you to accept a licence first.",
            f"Accept the licence on {page}; then `assetctl login hf`, or set HF_TOKEN.",
        )
    if status in (401, 403):
        return UnauthorizedError(
            f"{what} is not for everyone: it is private or gated, or does not exist, and no token was sent.",
            "Check the name; accept the licence on the repository's page; `assetctl login hf`, or set HF_TOKEN.",
        )
    if error.reason == "RevisionNotFound":
        return SourceNotFoundError(f"{what} has no such revision.", "Check the branches and tags on its page.")
    if status in (404, 410):
        return SourceNotFoundError(f"There is no {what} on the Hub.", "Check the spelling of its name.")
    hint = "Try again in a few minutes." if status == HTTPStatus.TOO_MANY_REQUESTS else again
    return SourceError(f"{what}: the Hub answered with status {status}.", hint)


def _no_hub() -> SourceError:
    return SourceError(f"{endpoint()} does not answer as the Hub does.", "Check HF_ENDPOINT and your proxy.")


def _remote_file(sibling: Mapping[str, Any], repo: str, commit: str) -> RemoteFile | None:
    """A file of a list; `None` for what has no name."""
    name, said = sibling.get("rfilename"), sibling.get("lfs")
    if not isinstance(name, str):
        return None
    path, lfs = safe_path(name, repo), dictionary(said)
    return RemoteFile(
        path,
        size(lfs.get("size") if said else sibling.get("size")),
        digests(sha256=_hash(_SHA256, lfs.get("sha256")), git=None if said else _hash(_SHA1, sibling.get("blobId"))),
        file_url(repo, commit, path),
    )


def _hash(form: re.Pattern[str], value: object) -> str | None:
    return value if isinstance(value, str) and form.fullmatch(value) else None


#: What pictures are made with, where no tag says more.
_PICTURES = "text-to-image"
_NAME = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)
_BASE_MODEL = "base_model:"


def search(query: str, kind: str | None, base_models: Sequence[str], limit: int) -> list[Found]:
    """Repositories that suit, the most downloaded first; see `Searchable`. The Hub knows no base models of Civitai's.

    Raises:
        SourceError: Of the kind that fits.
    """
    del base_models
    tag = next((tag for tag, word in KINDS.items() if word == kind), None)
    if kind not in (None, "checkpoint") and tag is None:
        return []
    asked = {"filter": tag} if tag else {"pipeline_tag": _PICTURES}
    asked |= {"search": query, "sort": "downloads", "limit": str(limit)}
    found = [_found(model) for model in _listed(f"A search for {query!r}", asked)][:limit]
    return [each for each in found if kind in (None, each.kind)]


def _listed(what: str, asked: Mapping[str, str]) -> list[dict[str, Any]]:
    """One page of the Hub's list, asked for once: its client would try for 24 seconds while a person waits."""
    with hub_errors(what, ASK_AGAIN):
        listed = ask("models", what, {**asked, "expand": ["downloads", "tags", "author"]})
        if not isinstance(listed, list) or (listed and not dictionaries(listed)):
            raise ValueError
    return [model for model in dictionaries(listed) if _NAME.fullmatch(text(model.get("id")) or "")]


def _found(model: Mapping[str, Any]) -> Found:
    tags, name = texts(model.get("tags")), str(model["id"])
    kind = next((word for tag, word in KINDS.items() if tag in tags), None)
    if kind is None and {"diffusers", _PICTURES} <= {*tags}:
        kind = "checkpoint"
    bases = [tag.rpartition(":")[2] for tag in tags if tag.startswith(_BASE_MODEL)]
    return Found(
        f"hf://{name}",
        name.rpartition("/")[2],
        kind,
        text(bases[0]) if bases else None,
        None,
        None,
        number(model.get("downloads")),
        text(model.get("author")) or name.partition("/")[0],
        f"{endpoint()}/{name}",
    )
