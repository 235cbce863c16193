"""A face: how one API answers, and what its errors look like."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import orjson
from starlette.responses import Response

from assetctl.options import together
from assetctl.run import Warned
from assetctl.server.endpoints import Answer, Endpoint
from assetctl.server.safety import LARGEST_BODY
from assetctl.wire import Outcome, envelope
from assetctl.wire.documents import error_document

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from assetctl.errors import AssetctlError

#: Statuses by the code of an error, and else by what a process would exit with.
_BY_CODE = {
    "not_found": 404, "ambiguous": 409, "unusable": 422, "incompatible": 422, "unauthorized": 502, "offline": 503,
    "extra_missing": 501, "out_of_date": 409, "source_not_found": 404, "storage": 507,
}  # fmt: skip
_BY_EXIT = {2: 400, 3: 404, 4: 422, 5: 422, 6: 502, 130: 409}


def status_of(error: AssetctlError) -> int:
    """The HTTP status of an error."""
    return _BY_CODE.get(error.code, _BY_EXIT.get(error.exit_code, 500))


_FLAG = re.compile(r"--[a-z][a-z0-9-]*")


def in_fields(error: AssetctlError, fields: Mapping[str, str]) -> AssetctlError:
    """An error that calls options of a picture as they were sent, and not by flags; what is to be typed stays.

    Args:
        error: It is changed.
        fields: What options are called, where they are not called as in `assetctl.options`.
    """
    flags = {flag: " and ".join(fields.get(each.name, each.name) for each in options)
             for flag, options in together("flag").items()}  # fmt: skip

    def said(text: str) -> str:
        parts = text.split("`")
        parts[::2] = [_FLAG.sub(lambda flag: flags.get(flag[0], flag[0]), part) for part in parts[::2]]
        return "`".join(parts)

    error.message, error.hint = said(error.message), None if error.hint is None else said(error.hint)
    return error


class Face:
    """How one API answers: its endpoints, and what its errors look like.

    Attributes:
        endpoints: What can be asked.
        title: What the API is called in its description.
        largest: How many bytes a body may have, where an endpoint says nothing else.
    """

    title = "assetctl"
    largest = LARGEST_BODY

    def __init__(self, endpoints: Sequence[Endpoint]) -> None:
        self.endpoints = endpoints

    def success(self, endpoint: Endpoint, found: object) -> Response:
        """An answer."""
        if isinstance(found, Response):
            return found
        answer = found if isinstance(found, Answer) else Answer(found)
        warnings = [Warned(message=each) for each in answer.warnings]
        made = Outcome(answer.data, warnings).document() if endpoint.gives else answer.data
        status = answer.status or endpoint.status
        return Response(orjson.dumps(made), status, dict(answer.headers), "application/json")

    def failure(self, error: AssetctlError) -> Response:
        """An error."""
        return error_answer(status_of(error), error_document(in_fields(error, {})))

    @property
    def has_our_errors(self) -> bool:
        """Whether its errors are documents of ours."""
        return type(self).failure is Face.failure

    def schema(self, _endpoint: Endpoint) -> Mapping[str, Any]:
        """The JSON Schema of an answer that has no type of ours; anything by default."""
        return {}


def error_answer(status: int, error: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Response:
    """An error as our own documents have it."""
    return Response(orjson.dumps(envelope({"error": error}, ())), status, headers, "application/json")
