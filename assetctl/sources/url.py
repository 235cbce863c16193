"""Any file that a web server gives away: `https://…`."""

from __future__ import annotations

import re
from functools import partial
from pathlib import PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from assetctl.errors import UsageError
from assetctl.files.safetensors import MODEL_SUFFIXES
from assetctl.sources.base import RemoteFile, Resolution, Way, misspelt, need_network
from assetctl.text import is_address, without_secrets

if TYPE_CHECKING:
    import httpx2

    from assetctl.settings import Settings

#: Other sources know their pages better, and are asked first.
LAST = True

_LOGIN = "Give an address that needs no login, or download the file in a browser and `assetctl import` it."
_LONGEST_ETAG = 200
_DISPOSITION = re.compile(r"filename\*=(?:UTF-8|utf-8)''([^;]+)|filename=\"([^\"]*)\"|filename=([^;\s]+)")


def source(settings: Settings) -> UrlSource:
    """The web as a source."""
    return UrlSource(offline=settings.offline)


class UrlSource:
    """Downloads one file; nothing promises its hash, so a strong ETag is what it is known by."""

    name = "url"

    #: Whether all connections must lead to the internet: this machine's network may be closed to who asks.
    is_public = False

    def __init__(self, *, offline: bool = False) -> None:
        self._offline = offline
        self._addresses: dict[str, str] = {}  # what may be kept, to what is asked for

    def accepts(self, reference: str) -> bool:
        """Whether it is the address of something on the web."""
        return reference.lower().startswith(("https://", "http://"))

    def resolve(self, reference: str) -> Resolution:
        """Ask for the file's name and size; see `Source`."""
        shown = self._shown(reference)
        need_network(shown, offline=self._offline)
        from assetctl.sources import _web  # noqa: PLC0415 - the client costs 60 ms

        named = {_web.NAMED: _web.ANYBODY if self.is_public else reference}
        with (
            _web.errors(shown, _LOGIN),
            _web.client().stream("GET", reference, headers=_web.AS_IT_IS, extensions=named) as response,
        ):
            _web.check(response)
            _web.refuse_packed(response, shown)
            start = next(response.iter_bytes(16), b"")
            name = _name(response, start, shown)
        size = _web.length_of(response.headers.get("content-length", ""))
        etag = response.headers.get("etag", "")
        is_strong = etag[:1] == '"' and etag.isascii() and etag.isprintable() and len(etag) <= _LONGEST_ETAG
        revision = etag if is_strong else None
        file = RemoteFile(name, size, url=shown)
        return Resolution(self.name, shown, revision, shown, name, "file", (file,), warnings=_warnings(reference))

    def unasked(self, reference: str) -> Resolution:
        """One file, called as its address ends; see `Plain`."""
        shown = self._shown(reference)
        file = RemoteFile(_name_in(shown), url=shown)
        return Resolution(self.name, shown, None, shown, file.path, "file", (file,), warnings=_warnings(reference))

    def _shown(self, reference: str) -> str:
        """An address that can be asked for, as it may be kept.

        Raises:
            UsageError: It cannot.
        """
        from assetctl.sources import _web  # noqa: PLC0415 - the client costs 60 ms

        shown = without_secrets(reference)
        if not is_address(reference):
            raise UsageError(f"{misspelt(reference)!r} is not the address of a file.", "Write https://HOST/PATH.")
        _web.see_address(reference, shown)
        if self.is_public and _web.zone_of_host(urlsplit(reference).hostname or "") not in (None, _web.Zone.PUBLIC):
            hint = "`assetctl pull` fetches it for who may run that; a server does with ASSETCTL_PULL_PRIVATE=1."
            raise UsageError(f"{shown} is not on the internet, and is not fetched for others.", hint)
        self._addresses[shown] = reference
        return shown

    def way(self, resolution: Resolution, file: RemoteFile) -> Way:
        """Its address, as it was given; see `Source`."""
        from assetctl.sources import _web  # noqa: PLC0415 - the client costs 60 ms

        del file
        shown = resolution.reference
        errors = partial(_web.errors, login=_LOGIN)
        address = self._addresses.get(shown, shown)
        return Way(
            shown, address, lambda: _web.AS_IT_IS, _web.client, _web.check, errors, _web.TIMEOUT,
            offline=self._offline, named=_web.ANYBODY if self.is_public else None,
        )  # fmt: skip

    def departure(self, wanted: str, said: Resolution) -> str | None:
        """Its one file is had where the reference says; see `Accountable`."""
        shown = without_secrets(wanted)
        named = {"reference": said.reference, "url": said.url, "files.url": said.files[0].url}
        if said.format != "file" or len(said.files) != 1:
            return "files"
        return next((key for key, url in named.items() if url is None or without_secrets(url) != shown), None)


def _name(response: httpx2.Response, start: bytes, shown: str) -> str:
    """What the server calls the file, or the end of the address; with a suffix that fits what it begins with."""
    from assetctl.sources import _web  # noqa: PLC0415 - as above

    match = _DISPOSITION.search(response.headers.get("content-disposition", ""))
    said = "" if match is None else unquote(match[1]) if match[1] else (match[2] or match[3] or "")
    name = _web.name_of_download(said) or _name_in(shown)
    if not name.lower().endswith((*MODEL_SUFFIXES, ".png")) and start[8:9] == b"{":
        name += ".safetensors"
    return name


def _name_in(shown: str) -> str:
    """What the end of an address would be called."""
    from assetctl.sources import _web  # noqa: PLC0415 - as above

    return _web.name_of_download(unquote(PurePosixPath(urlsplit(shown).path).name)) or "download"


def _warnings(address: str) -> tuple[str, ...]:
    from assetctl.sources._web import Zone, zone_of_host  # noqa: PLC0415 - comes with the client

    parts = urlsplit(address)
    if parts.scheme == "https" or zone_of_host(parts.hostname or "") is Zone.HERE:
        return ()
    return (f"{parts.hostname} was asked without encryption: anyone on the way can have changed the file.",)
