"""What the page's script asks as a person works: answered like an API, in a person's words."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from assetctl.compat.check import refusal, verdict
from assetctl.errors import AssetctlError
from assetctl.operations.make.inspect_picture import lines_of
from assetctl.options import together
from assetctl.prompt import is_infotext
from assetctl.server.endpoints import PROMPT, Endpoint
from assetctl.server.face import Face
from assetctl.server.own import OWN
from assetctl.server.own_jobs import look_into
from assetctl.server.page.rendering import PLAIN, html
from assetctl.server.page.said import FORMS, command, said
from assetctl.server.requests import job_of, request_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.responses import Response

    from assetctl.operations.make.inspect_picture import PictureDetails
    from assetctl.registry import Registry
    from assetctl.server.endpoints import Asked


def _judged(asked: Asked) -> Response:
    """What `check` says of the form as it stands."""
    body = asked.body
    values: dict[str, Any] = {"pasted": is_infotext(body.get("prompt", "")), "report": None, "problem": None}
    if any(body.get(name) for name in ("checkpoint", "vae", "loras", "textual_inversions")):
        try:
            report = asked.registry.check(request_of(body))
            values |= {"report": report, "works": refusal(report) is None, "verdict": verdict(report)}
        except AssetctlError as error:
            values["problem"] = error
    return html("findings.html", **values)


def _looked_into(asked: Asked) -> Response:
    """What a picture that somebody drops was made of."""
    return _told(look_into(asked))


def _read(asked: Asked) -> Response:
    """Likewise, a text that somebody pastes."""
    return _told(asked.registry.inspect_infotext(asked.body["text"]))


def _told(details: PictureDetails) -> Response:
    lines = [] if details.parameters is None else lines_of(details.parameters)
    return html("told.html", details=details, lines=lines)


def _said(of: str) -> Callable[[Asked], Response]:
    def answer(asked: Asked) -> Response:
        """The request of a form in other words."""
        home, token = asked.registry.settings.home, "authorization" in asked.headers
        found, sides = said(of, asked.body, asked.base, home, token=token), _other_sides(asked.registry, asked.body)
        if sides is None:
            found = replace(found, command=None)
        elif sides:
            found = replace(found, command=command(of, {**asked.body, **sides}, home))
        return html("said.html", said=found)

    return answer


def _other_sides(registry: Registry, body: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """What goes with a width or a height that is named alone, which a command line cannot; `None` if it is unknown."""
    pairs = [[each.name for each in options] for options in together("flag").values() if len(options) > 1]
    halves = [pair for pair in pairs if len({body.get(name) is None for name in pair}) > 1]
    if not halves:
        return {}
    try:
        settings = registry.plan(request_of(job_of(body)))[0].settings
        return {name: settings[name] for pair in halves for name in pair}
    except (AssetctlError, KeyError):
        return None


class _PageFace(Face):
    """What the page's script asks: described nowhere, as it is the page's alone."""

    title = ""
    words = PLAIN


def page_face() -> Face:
    """What the page's script asks, in a person's words: some of `/v1`, and parts of the page."""
    own = {(each.method, each.path): each for each in OWN.endpoints}
    generate, inspect = own["POST", "/v1/generate"], own["POST", "/v1/pictures/inspect"]
    listened = own["GET", "/v1/jobs/{number}/events"]
    return _PageFace((
        replace(generate, path="/page/generate"),
        replace(listened, path="/page/jobs/{number}/events"),
        replace(generate, path="/page/check", answer=_judged, query={}, heavy=True, also=None, gives=""),
        replace(inspect, path="/page/inspect", answer=_looked_into, gives=""),
        Endpoint("POST", "/page/read", _read, "", body={"text": PROMPT}, required=("text",), heavy=True),
        *(
            replace(
                form, path=f"/page/said/{of}", answer=_said(of), query={}, gives="",
                heavy=of in ("generate", "check"),  # which may look at the checkpoint
            )
            for of, form in FORMS.items()
        ),
    ))  # fmt: skip
