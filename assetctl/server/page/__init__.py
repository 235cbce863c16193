"""The page: a home in a browser. HTML is made here, from templates; what changes anything asks `/v1`."""

from __future__ import annotations

import hashlib
import re
import shlex
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from anyio import CapacityLimiter, to_thread
from starlette.responses import Response
from starlette.routing import Route

from assetctl.errors import AmbiguousNameError, AssetctlError, NotFoundError, UsageError
from assetctl.operations.make.history import lines_of
from assetctl.options import OPTIONS
from assetctl.server.app import status_of
from assetctl.server.page.asked import page_face
from assetctl.server.page.rendering import HEADERS, PLACES, TYPES, html, label, page_files, start_of, templates
from assetctl.server.page.said import said
from assetctl.server.requests import PROMPTS
from assetctl.settings import program

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from starlette.requests import Request
    from starlette.routing import BaseRoute

    from assetctl.operations.make.inspect_picture import Outlook
    from assetctl.registry import Registry
    from assetctl.server.queue import Queue
    from assetctl.types import Asset

#: Cards and pictures of one page, and what is offered for a place.
_CARDS, _PICTURES, _OFFERED = 48, 24, 20

#: How far a search is paged, as `/v1/assets` does.
_DEEPEST = 10_000

__all__ = ["page_face", "page_routes"]

#: Characters of a query that are read, and of a metadata's value that are shown.
_LONGEST, _SHOWN = 500, 2000

#: What reads files, which may be large.
_HEAVY = ("/assets/{name:path}", "/combine", "/pictures/{number:int}", "/page/choose", "/page/fits/{name:path}")

#: What waits for a source.
_SLOW = ("/page/found",)

#: Options that most want to see; the rest is folded away.
_FIRST = ("steps", "cfg_scale", "sampler", "scheduler", "seed", "width", "height", "clip_skip", "flavour")

#: Colours of what no picture shows, in degrees.
_HUES = {"checkpoint": 222, "lora": 268, "embedding": 168, "vae": 28, "controlnet": 340, "picture": 200}


def page_routes(registry: Registry, queue: Queue) -> list[BaseRoute]:
    """What the page consists of."""
    page = _Page(registry, queue)
    shown: dict[str, Callable[[Request], Response]] = {
        "/": page.library, "/assets/{name:path}": page.asset, "/combine": page.combine, "/history": page.history,
        "/pictures/{number:int}": page.picture, "/jobs": page.jobs, "/pull": page.pull,
        "/page/found": page.found, "/page/choose": page.choose,
        "/page/fits/{name:path}": page.fits, "/page/thumbnails/assets/{name:path}": page.asset_thumbnail,
        "/page/thumbnails/pictures/{number:int}": page.picture_thumbnail, "/page/files/{file}": page.file,
    }  # fmt: skip
    return [Route(path, _answering(answer, page, path), methods=["GET"]) for path, answer in shown.items()]


def _answering(answer: Callable[[Request], Response], page: _Page, path: str) -> Any:  # noqa: ANN401 - what starlette calls
    async def handle(request: Request) -> Response:
        turns = page.reading if path in _HEAVY else page.asking if path in _SLOW else None
        try:
            return await to_thread.run_sync(answer, request, limiter=turns)
        except AssetctlError as error:
            return html("error.html", status_of(error), message=error.message, hint=error.hint)

    return handle


def _asked(request: Request, *names: str) -> dict[str, str]:
    """What the query says, as far as it says something."""
    found = {name: request.query_params.get(name, "").strip()[:_LONGEST] for name in names}
    return {name: value for name, value in found.items() if value}


class _Page:
    """Makes the pages of a home."""

    def __init__(self, registry: Registry, queue: Queue) -> None:
        self._registry, self._queue = registry, queue

    @cached_property
    def reading(self) -> CapacityLimiter:
        """Lets few at a time read files, while others are answered; made when the loop is there."""
        return CapacityLimiter(2)

    @cached_property
    def asking(self) -> CapacityLimiter:
        """Likewise, who waits for a source."""
        return CapacityLimiter(8)

    def _assetctl(self) -> str:
        """What a command line of this home begins with."""
        return shlex.join(program(self._registry.settings.home))

    # the library

    def library(self, request: Request) -> Response:
        """Cards of assets, found as `list` and `search` do."""
        asked = _asked(request, "q", "kind", "family", "base_model", "tag", "sort", "after", "offset")
        filters: dict[str, Any] = {name: asked[name] for name in ("kind", "family", "base_model") if name in asked}
        problem, assets, total, more = None, list[Any](), 0, None
        try:
            if "q" in asked:
                assets, total, more = self._searched(asked, filters)
            else:
                assets, total, more = self._listed(asked, filters)
        except UsageError as error:
            problem = error
        return html(
            "library.html", assets=assets, total=total, more=more and urlencode(more), asked=asked, problem=problem,
            families=self._registry.families(), base_models=self._registry.base_models(), home=self._assetctl(),
        )  # fmt: skip

    def _listed(
        self, asked: Mapping[str, str], filters: dict[str, Any]
    ) -> tuple[list[Asset], int, dict[str, str] | None]:
        tags = (asked["tag"],) if "tag" in asked else ()
        found = list(
            self._registry.list(
                limit=_CARDS + 1, after=asked.get("after"), sort=asked.get("sort", "name"), tags=tags,
                damaged=lambda _: None, **filters,
            )
        )  # fmt: skip
        total = self._registry.count(10_001, tags=tags, **filters)
        shown = found[:_CARDS]
        return shown, total, {**asked, "after": shown[-1].name} if len(found) > _CARDS else None

    def _searched(
        self, asked: Mapping[str, str], filters: dict[str, Any]
    ) -> tuple[list[Asset], int, dict[str, str] | None]:
        offset = asked.get("offset", "0")
        start = min(int(offset), _DEEPEST) if offset.isascii() and offset.isdecimal() else 0
        tags = (asked["tag"],) if "tag" in asked else ()
        found = self._registry.search(asked["q"], tags=tags, limit=_CARDS + 1, offset=start, **filters)
        total = self._registry.count_matches(asked["q"], tags=tags, **filters)
        shown = found[:_CARDS]
        more = {**asked, "offset": str(start + _CARDS)} if len(found) > _CARDS and start < _DEEPEST else None
        return list(shown), total, more

    def asset(self, request: Request) -> Response:
        """All that is known of an asset."""
        name = request.path_params["name"]
        details = self._registry.inspect(name, hashes=False)
        metadata = [(key[:200], value[:_SHOWN]) for key, value in list(details.metadata.items())[:200]]
        made = self._registry.history(12, used=details.asset.name, damaged=lambda _: None)
        return html("asset.html", details=details, asset=details.asset, metadata=metadata, made=made)

    def fits(self, request: Request) -> Response:
        """What fits an asset; a part of its page."""
        asset = self._registry.get(request.path_params["name"])
        found: Sequence[tuple[Asset, str]] = ()
        if asset.family is not None and asset.kind in ("checkpoint", "diffusion-model"):
            found = self._registry.fitting(asset.name, limit=_PICTURES)
        elif asset.family is not None:
            there = self._registry.list(kind="checkpoint", family=asset.family, limit=_PICTURES)
            found = [(each, _how(each, asset)) for each in there]
        return html("fits.html", asset=asset, found=found)

    # pictures

    def combine(self, request: Request) -> Response:
        """What makes pictures: assets, prompts, options."""
        start, told = self.start_of(request)
        first = [each for name in _FIRST for each in OPTIONS if each.name == name]
        rest = [each for each in OPTIONS if each not in first]
        has_checkpoint = bool(self._registry.list(kind="checkpoint", limit=1))
        return html(
            "combine.html", first=first, rest=rest, start=start, told=told, has_checkpoint=has_checkpoint, label=label,
            home=self._assetctl(), prompts=PROMPTS,
        )  # fmt: skip

    def start_of(self, request: Request) -> tuple[dict[str, Any], Outlook | None]:
        """What the form begins with: a picture to be made again, with what comes of that, or assets."""
        asked = _asked(request, "from", *PLACES)
        number = asked.get("from", "")
        if number.isascii() and number.isdecimal() and len(number) < 19:
            return start_of(self._registry.remade(int(number)).request), self._registry.outlook(int(number))
        start: dict[str, Any] = {role: asked[role] for role in ("checkpoint", "vae") if role in asked}
        if "lora" in asked:
            start["loras"] = {asked["lora"]: self._registry.get(asked["lora"]).default_weight or 1.0}
        if "embedding" in asked:
            asset = self._registry.get(asked["embedding"])
            start |= {"textual_inversions": {asset.name: None}, "prompt": asset.token}
        if "checkpoint" not in start:
            family = next((self._registry.get(name).family for name in asked.values()), None)
            for last in self._registry.list(kind="checkpoint", family=family, limit=1, sort="used"):
                start["checkpoint"] = last.name
        return start, None

    def choose(self, request: Request) -> Response:
        """Assets for one place of a picture; those that do not fit the checkpoint come last, each with the reason."""
        asked = _asked(request, "kind", "q", "checkpoint")
        kind = asked.get("kind", "checkpoint")
        if kind not in PLACES:
            raise UsageError(f"There is no place for {kind!r:.40}.")
        try:
            offered = self._offered(kind, asked.get("q"), asked.get("checkpoint") if kind != "checkpoint" else None)
        except UsageError:  # there is no word to search for
            offered = []
        return html("choose.html", offered=offered, kind=kind, asked=asked)

    def _offered(self, kind: str, words: str | None, checkpoint: str | None) -> list[tuple[Asset, str | None]]:
        sort = "used" if words is None else "name"
        found = (
            self._registry.list(kind=kind, limit=_OFFERED, sort=sort)
            if words is None
            else self._registry.search(words, kind=kind, limit=_OFFERED)
        )
        if checkpoint is None:
            return [(each, None) for each in found]
        if words is None and (of := self._registry.get(checkpoint)).family is not None and of.kind == "checkpoint":
            fitting = [each for each, _ in self._registry.fitting(checkpoint, kind=kind, limit=_OFFERED)]
            known = {each.id for each in fitting}
            rest = [each for each in found if each.id not in known][: _OFFERED // 2]
            return [(each, None) for each in fitting] + self._judged(checkpoint, rest)
        return sorted(self._judged(checkpoint, found), key=lambda pair: pair[1] is not None)

    def _judged(self, checkpoint: str, assets: Sequence[Asset]) -> list[tuple[Asset, str | None]]:
        """Assets, each with why it does not go with a checkpoint, if it does not."""
        wrong = self._registry.misfits(checkpoint, *(each.name for each in assets))
        return [(each, wrong.get(each.name)) for each in assets]

    def picture(self, request: Request) -> Response:
        """A picture that was made: what of, what comes of making it again, and how that is asked for."""
        number = request.path_params["number"]
        remade = self._registry.remade(number)
        base, home = str(request.base_url).rstrip("/"), self._registry.settings.home
        elsewhere = said("generate", remade.request, base, home, token="authorization" in request.headers)
        return html(
            "picture.html", picture=remade.generation, lines=lines_of(remade.generation),
            told=self._registry.outlook(number), said=replace(elsewhere, command=shlex.join(remade.command)),
        )  # fmt: skip

    def history(self, request: Request) -> Response:
        """The pictures that were made."""
        asked = _asked(request, "prompt", "with", "before")
        before = asked.get("before", "")
        made: Sequence[Any] = ()
        problem: AssetctlError | None = None
        try:
            made = self._registry.history(
                _PICTURES + 1, prompt=asked.get("prompt"), used=asked.get("with"), damaged=lambda _: None,
                before=int(before) if re.fullmatch("[0-9]{1,18}", before, re.ASCII) else None,
            )  # fmt: skip
        except (NotFoundError, AmbiguousNameError) as error:  # a name is still being typed
            problem = error
        more = urlencode({**asked, "before": made[_PICTURES - 1].number}) if len(made) > _PICTURES else None
        return html("history.html", made=made[:_PICTURES], asked=asked, more=more, problem=problem)

    # what is done

    def jobs(self, _request: Request) -> Response:
        """What waits, is done, or was."""
        jobs = self._registry.job_details(self._registry.jobs.latest(50), at=self._queue.at_work(), base="")
        return html("jobs.html", jobs=jobs)

    def pull(self, _request: Request) -> Response:
        """Bring assets from elsewhere."""
        return html(
            "pull.html", offline=self._registry.settings.offline, families=self._registry.families(),
            home=self._assetctl(),
        )  # fmt: skip

    def found(self, request: Request) -> Response:
        """What a source has; a part of the page."""
        asked = _asked(request, "source", "q", "kind", "family")
        if "q" not in asked:
            return html("found.html", hits=(), problem=None, asked=asked)
        hits, problem = (), None
        try:
            hits = self._registry.search_source(  # type: ignore[assignment]
                asked.get("source", "huggingface"), asked["q"], kind=asked.get("kind"), family=asked.get("family")
            )
        except AssetctlError as error:
            problem = error
        return html("found.html", hits=hits, problem=problem, asked=asked)

    # files

    def asset_thumbnail(self, request: Request) -> Response:
        """A small picture of an asset, or a drawing in its place."""
        asset = self._registry.get(request.path_params["name"])
        return _picture(request, self._registry.preview(asset.name), asset.kind)

    def picture_thumbnail(self, request: Request) -> Response:
        """A small copy of a picture that was made."""
        return _picture(request, self._registry.thumbnail(request.path_params["number"]), "picture")

    def file(self, request: Request) -> Response:
        """A file of the page."""
        name = request.path_params["file"]
        data, _ = page_files().get(name, (None, ""))
        if data is None:
            return html("error.html", 404, message="There is no such page.", hint=None)
        headers = {**HEADERS, "cache-control": "public, max-age=31536000, immutable"}
        return Response(data, 200, headers, TYPES[name.rpartition(".")[2]])


def _picture(request: Request, data: bytes | None, kind: str) -> Response:
    drawn = data is None
    if data is None:
        data = templates().get_template("none.svg").render(kind=kind, hue=_HUES.get(kind, 220)).encode()
    tag = f'"{hashlib.sha256(data).hexdigest()[:32]}"'
    headers = {**HEADERS, "cache-control": "private, no-cache", "etag": tag}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(data, 200, headers, "image/svg+xml" if drawn else "image/webp")


def _how(one: Asset, other: Asset) -> str:
    """How well assets of one family fit each other."""
    known = one.base_model is not None and one.base_model == other.base_model
    return "same base model" if known else "same family"
