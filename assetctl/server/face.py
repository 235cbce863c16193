"""A face: how one API answers, and what its errors look like."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson
from starlette.responses import Response

from assetctl.options import together
from assetctl.run import Warned
from assetctl.server.endpoints import Answer, Endpoint
from assetctl.server.requests import fields_of
from assetctl.server.safety import LARGEST_BODY
from assetctl.wire import Outcome, envelope
from assetctl.wire.documents import error_document

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from assetctl.errors import AssetctlError
    from assetctl.options import Option

#: Statuses by the code of an error, and else by what a process would exit with.
_BY_CODE = {
    "not_found": 404, "ambiguous": 409, "unusable": 422, "incompatible": 422, "unauthorized": 502, "offline": 503,
    "extra_missing": 501, "out_of_date": 409, "source_not_found": 404, "storage": 507,
}  # fmt: skip
_BY_EXIT = {2: 400, 3: 404, 4: 422, 5: 422, 6: 502, 130: 409}


def status_of(error: AssetctlError) -> int:
    """The HTTP status of an error."""
    return _BY_CODE.get(error.code, _BY_EXIT.get(error.exit_code, 500))


#: What is to be typed, and flags.
_FLAGGED = re.compile(r"`([^`]*)`|(?<![\w-])--[a-z][a-z0-9-]*")

#: Texts for people in documents, and where theirs are, which stay as they are.
_TOLD = frozenset({"message", "hint", "detail", "errors", "verdict", "remarks"})
_THEIRS = frozenset({"parameters", "metadata", "record", "request", "assets"})


@dataclass(frozen=True, slots=True)
class Words:
    """What a face calls that which the command line calls by flags: commands that are to be typed stay.

    Attributes:
        names: What stands for a flag in a sentence.
        typed: Likewise, for flags with their values between backticks, from the fields of `/v1/generate`; `None` where
            they stay flags.
        mark: What stands around these.
    """

    names: Mapping[str, str]
    typed: Callable[[Mapping[str, Any]], str | None]
    mark: str = "`"

    @classmethod
    def of(
        cls,
        selection: Mapping[str, str],
        options: Callable[[Option], str],
        typed: Callable[[Mapping[str, Any]], str | None],
        mark: str = "`",
    ) -> Words:
        """Words made of those for assets and prompts, and those for options."""
        named = {flag: " and ".join(map(options, each)) for flag, each in together("flag").items()}
        return cls({**named, **selection}, typed, mark)

    def __call__(self, text: str) -> str:
        """A sentence in these words."""
        return _FLAGGED.sub(self._put, text)

    def _put(self, found: re.Match[str]) -> str:
        if found[1] is None:
            return self.names.get(found[0], found[0])
        said = self.names.get(found[1])
        if said is None and found[1].startswith("--") and (fields := fields_of(found[1])) is not None:
            said = self.typed(fields)
        return found[0] if said is None else f"{self.mark}{said}{self.mark}"

    def within(self, said: Any) -> Any:  # noqa: ANN401 - a document, and parts of one
        """A document whose sentences are in these words."""
        if isinstance(said, dict):
            return {
                name: self._told(each) if name in _TOLD else each if name in _THEIRS else self.within(each)
                for name, each in said.items()
            }
        return list(map(self.within, said)) if isinstance(said, list) else said

    def _told(self, said: Any) -> Any:  # noqa: ANN401 - a sentence, several, or documents with such
        if isinstance(said, str):
            return self(said)
        return list(map(self._told, said)) if isinstance(said, list) else self.within(said)


#: As `/v1` calls it.
FIELDS = Words.of(
    {
        "--checkpoint": "checkpoint", "--vae": "vae", "--lora": "loras", "--embedding": "textual_inversions",
        "--negative": "negative_prompt", "--prompt": "prompt", "--count": "num_images",
        "--no-auto-embeddings": '"auto_embeddings": false', "--help": "GET /v1/options",
    },
    lambda option: option.name,
    lambda fields: json.dumps(fields, ensure_ascii=False)[1:-1],
)  # fmt: skip


class Face:
    """How one API answers: its endpoints, and what its errors look like.

    Attributes:
        endpoints: What can be asked.
        title: What the API is called in its description; nothing where it is not described.
        words: What it calls that which the command line calls by flags.
        largest: How many bytes a body may have, where an endpoint says nothing else.
    """

    title = "assetctl"
    words = FIELDS
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
        data = orjson.dumps(made)
        if endpoint.gives and b"--" in data:
            data = orjson.dumps(self.words.within(made))
        return Response(data, answer.status or endpoint.status, dict(answer.headers), "application/json")

    def failure(self, error: AssetctlError) -> Response:
        """An error."""
        return error_answer(status_of(error), self.words.within(error_document(error)))

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
