"""The page: a home in a browser. HTML is made here, from templates; what changes anything asks `/v1`."""

from __future__ import annotations

import hashlib
import re
from functools import cache, cached_property
from importlib.resources import files
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import orjson
from anyio import CapacityLimiter, to_thread
from jinja2 import Environment, PackageLoader
from markupsafe import Markup, escape
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.routing import Route

import assetctl
from assetctl.errors import AssetctlError, UsageError
from assetctl.options import OPTIONS, complete
from assetctl.prompt import without_tags
from assetctl.server.app import status_of
from assetctl.server.page.said import FORMS, assetctl_of, said
from assetctl.server.safety import TooLargeError, TooSlowError
from assetctl.text import readable_size, visible
from assetctl.types import KINDS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from starlette.requests import Request
    from starlette.routing import BaseRoute

    from assetctl.catalog import Generation
    from assetctl.registry import Registry
    from assetctl.server.queue import Queue
    from assetctl.types import Asset

#: Cards and pictures of one page, and what is offered for a place.
_CARDS, _PICTURES, _OFFERED = 48, 24, 20

#: How far a search is paged, as `/v1/assets` does.
_DEEPEST = 10_000

#: Characters of a query that are read, and of a metadata's value that are shown.
_LONGEST, _SHOWN = 500, 2000

#: No script, style or picture but this server's own, and no page around this one; previews of steps are `data:`.
_POLICY = (
    "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)
_HEADERS = {"content-security-policy": _POLICY, "x-content-type-options": "nosniff", "cache-control": "no-store"}

_TYPES = {"js": "text/javascript", "css": "text/css", "svg": "image/svg+xml", "LICENSE": "text/plain"}

#: What reads files, which may be large.
_HEAVY = ("/assets/{name:path}", "/page/choose", "/page/fits/{name:path}")

#: Options that most want to see; the rest is folded away.
_FIRST = ("steps", "cfg_scale", "sampler", "scheduler", "seed", "width", "height", "clip_skip", "flavour")

#: Colours of what no picture shows, in degrees.
_HUES = {"checkpoint": 222, "lora": 268, "embedding": 168, "vae": 28, "controlnet": 340, "picture": 200}

#: Kinds that have a place in a picture, by that place.
_PLACES = {"checkpoint": "checkpoint", "lora": "lora", "embedding": "embedding", "vae": "vae"}


def page_routes(registry: Registry, queue: Queue) -> list[BaseRoute]:
    """What the page consists of."""
    page = _Page(registry, queue)
    shown: dict[str, Callable[[Request], Response]] = {
        "/": page.library, "/assets/{name:path}": page.asset, "/combine": page.combine, "/history": page.history,
        "/jobs": page.jobs, "/pull": page.pull, "/page/found": page.found, "/page/choose": page.choose,
        "/page/fits/{name:path}": page.fits, "/page/thumbnails/assets/{name:path}": page.asset_thumbnail,
        "/page/thumbnails/pictures/{number:int}": page.picture_thumbnail, "/page/files/{file}": page.file,
    }  # fmt: skip
    return [
        *(
            Route(path, _answering(answer, page if path in _HEAVY else None), methods=["GET"])
            for path, answer in shown.items()
        ),
        Route("/page/said", page.said, methods=["POST"]),
    ]


def _answering(answer: Callable[[Request], Response], heavy: _Page | None) -> Any:  # noqa: ANN401 - what starlette calls
    async def handle(request: Request) -> Response:
        try:
            return await to_thread.run_sync(answer, request, limiter=None if heavy is None else heavy.turns)
        except AssetctlError as error:
            return _html("error.html", status_of(error), message=error.message, hint=error.hint)

    return handle


@cache
def _files() -> dict[str, tuple[bytes, str]]:
    """The page's own files, and the beginning of the hash of each, by which it is asked for."""
    folder = files(__package__) / "static"
    found = {each.name: each.read_bytes() for each in folder.iterdir() if each.is_file()}
    return {name: (data, hashlib.sha256(data).hexdigest()[:12]) for name, data in found.items()}


def _file_url(name: str) -> str:
    return f"/page/files/{name}?v={_files()[name][1]}"


@cache
def _templates() -> Environment:
    found = Environment(
        loader=PackageLoader(__package__), autoescape=True, trim_blocks=True, lstrip_blocks=True, auto_reload=False
    )
    found.globals |= {"file": _file_url, "version": assetctl.__version__, "kinds": KINDS, "places": _PLACES}
    filters: dict[str, Callable[..., object]] = {
        "size": readable_size,
        "inpath": lambda name: quote(name, safe=""),
        "seen": visible,
        "short": lambda name: name if len(name) <= 44 else f"{name[:24]}…{name[-16:]}",  # names differ at their ends
        "when": lambda at: f"{at[:10]} {at[11:16]}",
        "json": _data,
        "typed": _typed,
    }
    found.filters |= filters
    return found


def _typed(text: str) -> Markup:
    """A sentence in which stands between backticks what is to be typed."""
    return Markup("").join(
        Markup("<code>{}</code>").format(part[1:-1]) if part.startswith("`") else escape(part)
        for part in re.split("(`[^`]+`)", text)
    )


def _data(value: object) -> str:
    """JSON that can stand in a page."""
    return orjson.dumps(value).decode().replace("<", "\\u003c").replace("&", "\\u0026")


def _html(template: str, status: int = 200, **values: object) -> Response:
    made = _templates().get_template(template).render(**values)
    return Response(made, status, _HEADERS, "text/html; charset=utf-8")


def _asked(request: Request, *names: str) -> dict[str, str]:
    """What the query says, as far as it says something."""
    found = {name: request.query_params.get(name, "").strip()[:_LONGEST] for name in names}
    return {name: value for name, value in found.items() if value}


class _Page:
    """Makes the pages of a home."""

    def __init__(self, registry: Registry, queue: Queue) -> None:
        self._registry, self._queue = registry, queue

    @cached_property
    def turns(self) -> CapacityLimiter:
        """Lets few at a time read files, while others are answered; made when the loop is there."""
        return CapacityLimiter(2)

    def _assetctl(self) -> str:
        """What a command line of this home begins with."""
        return assetctl_of(self._registry.settings.home)

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
        return _html(
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
        found = self._registry.search(asked["q"], limit=_CARDS + 1, offset=start, **filters)
        total = self._registry.count_matches(asked["q"], **filters)
        shown = found[:_CARDS]
        if "tag" in asked:
            shown = [each for each in shown if asked["tag"] in each.tags]
        more = {**asked, "offset": str(start + _CARDS)} if len(found) > _CARDS and start < _DEEPEST else None
        return list(shown), total, more

    def asset(self, request: Request) -> Response:
        """All that is known of an asset."""
        name = request.path_params["name"]
        details = self._registry.inspect(name, hashes=False)
        metadata = [(key[:200], value[:_SHOWN]) for key, value in list(details.metadata.items())[:200]]
        made = self._registry.history(12, used=details.asset.name, damaged=lambda _: None)
        return _html("asset.html", details=details, asset=details.asset, metadata=metadata, made=made)

    def fits(self, request: Request) -> Response:
        """What fits an asset; a part of its page."""
        asset = self._registry.get(request.path_params["name"])
        found: Sequence[tuple[Asset, str]] = ()
        if asset.family is not None and asset.kind in ("checkpoint", "diffusion-model"):
            found = self._registry.fitting(asset.name, limit=_PICTURES)
        elif asset.family is not None:
            there = self._registry.list(kind="checkpoint", family=asset.family, limit=_PICTURES)
            found = [(each, _how(each, asset)) for each in there]
        return _html("fits.html", asset=asset, found=found)

    # pictures

    def combine(self, request: Request) -> Response:
        """What makes pictures: assets, prompts, options."""
        start = self._start(request)
        first = [each for name in _FIRST for each in OPTIONS if each.name == name]
        rest = [each for each in OPTIONS if each not in first]
        has_checkpoint = bool(self._registry.list(kind="checkpoint", limit=1))
        return _html(
            "combine.html", first=first, rest=rest, start=start, has_checkpoint=has_checkpoint, label=_label,
            home=self._assetctl(),
        )  # fmt: skip

    def _start(self, request: Request) -> dict[str, Any]:
        """What the form begins with: a picture to be made again, or assets."""
        asked = _asked(request, "from", *_PLACES)
        number = asked.get("from", "")
        if number.isascii() and number.isdecimal() and len(number) < 19:
            remade = self._registry.remade(int(number))
            return _again(remade.generation, called="--no-auto-embeddings" not in remade.command)
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
        return start

    def choose(self, request: Request) -> Response:
        """Assets for one place of a picture; those that do not fit the checkpoint come last, each with the reason."""
        asked = _asked(request, "kind", "q", "checkpoint")
        kind = asked.get("kind", "checkpoint")
        if kind not in _PLACES:
            raise UsageError(f"There is no place for {kind!r:.40}.")
        try:
            offered = self._offered(kind, asked.get("q"), asked.get("checkpoint") if kind != "checkpoint" else None)
        except UsageError:  # there is no word to search for
            offered = []
        return _html("choose.html", offered=offered, kind=kind, asked=asked)

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

    async def said(self, request: Request) -> Response:
        """The request of a form in other words."""
        of = request.query_params.get("of", "generate")
        of = of if of in FORMS else "generate"
        try:
            wanted = FORMS[of].body_of(await request.body())
        except UsageError as error:
            return Response(error.message, 400, _HEADERS, "text/plain")
        except (TooLargeError, TooSlowError):
            return Response("The request is too large, or took too long.", 413, {**_HEADERS, "connection": "close"})
        base = str(request.base_url).rstrip("/")
        token = "authorization" in request.headers
        made = said(of, wanted, base, self._registry.settings.home, token=token)
        return await run_in_threadpool(_html, "said.html", said=made)

    def history(self, request: Request) -> Response:
        """The pictures that were made."""
        asked = _asked(request, "prompt", "with", "before")
        before = asked.get("before", "")
        made = self._registry.history(
            _PICTURES, prompt=asked.get("prompt"), used=asked.get("with"), damaged=lambda _: None,
            before=int(before) if re.fullmatch("[0-9]{1,18}", before, re.ASCII) else None,
        )  # fmt: skip
        more = urlencode({**asked, "before": made[-1].number}) if len(made) == _PICTURES else None
        return _html("history.html", made=made, asked=asked, more=more)

    # what is done

    def jobs(self, _request: Request) -> Response:
        """What waits, is done, or was."""
        jobs = self._registry.job_details(self._registry.jobs.latest(50), at=self._queue.at_work(), base="")
        return _html("jobs.html", jobs=jobs)

    def pull(self, _request: Request) -> Response:
        """Bring assets from elsewhere."""
        return _html(
            "pull.html", offline=self._registry.settings.offline, families=self._registry.families(),
            home=self._assetctl(),
        )  # fmt: skip

    def found(self, request: Request) -> Response:
        """What a source has; a part of the page."""
        asked = _asked(request, "source", "q", "kind", "family")
        if "q" not in asked:
            return _html("found.html", hits=(), problem=None, asked=asked)
        hits, problem = (), None
        try:
            hits = self._registry.search_source(  # type: ignore[assignment]
                asked.get("source", "huggingface"), asked["q"], kind=asked.get("kind"), family=asked.get("family")
            )
        except AssetctlError as error:
            problem = error
        return _html("found.html", hits=hits, problem=problem, asked=asked)

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
        data, _ = _files().get(name, (None, ""))
        if data is None:
            return _html("error.html", 404, message="There is no such page.", hint=None)
        headers = {**_HEADERS, "cache-control": "public, max-age=31536000, immutable"}
        return Response(data, 200, headers, _TYPES[name.rpartition(".")[2]])


def _picture(request: Request, data: bytes | None, kind: str) -> Response:
    drawn = data is None
    if data is None:
        data = _templates().get_template("none.svg").render(kind=kind, hue=_HUES.get(kind, 220)).encode()
    tag = f'"{hashlib.sha256(data).hexdigest()[:32]}"'
    headers = {**_HEADERS, "cache-control": "private, no-cache", "etag": tag}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(data, 200, headers, "image/svg+xml" if drawn else "image/webp")


def _how(one: Asset, other: Asset) -> str:
    """How well assets of one family fit each other."""
    known = one.base_model is not None and one.base_model == other.base_model
    return "same base model" if known else "same family"


def _label(option: Any) -> str:  # noqa: ANN401 - one of `OPTIONS`
    """What an option is called beside its field: as A1111 calls it, but where several go by that."""
    if sum(each.field == option.field for each in OPTIONS) == 1:
        return str(option.field)
    return str(option.name).replace("_", " ").capitalize()


def _recorded(generation: Generation) -> list[dict[str, Any]]:
    """What a picture's record says of its assets."""
    found = (generation.record or {}).get("assets")
    return [each for each in found if isinstance(each, dict) and "name" in each] if isinstance(found, list) else []


def _again(generation: Generation, *, called: bool) -> dict[str, Any]:
    """What the form says to have a picture made again."""
    start: dict[str, Any] = {
        "prompt": without_tags(generation.prompt).strip(),
        "negative_prompt": without_tags(generation.negative_prompt).strip(),
        "loras": {}, "textual_inversions": {}, "auto_embeddings": called,
    }  # fmt: skip
    texts = {each["name"]: each["text_weight"] for each in _recorded(generation) if each.get("text_weight") is not None}
    for use in generation.assets:
        name = use.asset or use.name
        if use.role == "lora" and use.name in texts:  # only a tag can say both weights
            start["prompt"] += f" <lora:{name}:{texts[use.name]}:{use.weight}>"
        elif use.role == "lora":
            start["loras"][name] = use.weight
        elif use.role == "embedding":
            start["textual_inversions"][name] = None
        elif use.role in ("checkpoint", "vae"):
            start[use.role] = name
    settings = complete(generation.settings)
    for each in OPTIONS:
        value = settings.get(each.name)
        if value is not None and not value == each.silent == each.usual:
            start[each.name] = str(value) if each.name.endswith("seed") else value  # beyond what scripts count to
    return start
