"""What faces of other programs share: pictures that a client waits for, and errors that name their field."""

from __future__ import annotations

import asyncio
import contextlib
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool

from assetctl.errors import AssetctlError, GenerationError, NotFoundError, UnusableError, UsageError
from assetctl.options import option
from assetctl.server.endpoints import Asked, Endpoint, check_value, read_object
from assetctl.wire.hints import error_classes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from assetctl.catalog import Generation
    from assetctl.catalog.jobs import Job

#: Characters of a field that an error names.
_LONGEST = 100

#: What a face cannot do at all is answered with this status.
NOT_YET = 501


@dataclass(frozen=True, slots=True)
class Made:
    """A job that has ended, its pictures, and their files.

    Attributes:
        job: Done, or cancelled.
        pictures: Those that there are.
        data: The bytes of each.
    """

    job: Job
    pictures: Sequence[Generation]
    data: Sequence[bytes]


async def make(
    asked: Asked, wanted: Mapping[str, Any], begun: Callable[[int], object] | None = None, *, previews: bool = False
) -> Made:
    """Have pictures made for a client that waits for them; when it hangs up, they are not made.

    Args:
        asked: The request.
        wanted: As `job_of` returns it.
        begun: Told the job's number.
        previews: Whether it is to be seen on its way.

    Raises:
        AssetctlError: What the job failed of.
    """
    submitting = asyncio.ensure_future(run_in_threadpool(asked.queue.submit, "generate", wanted))
    try:
        job = await asyncio.shield(submitting)
        if begun is not None:
            begun(job.id)
        job = await asked.queue.ended(job.id, previews=previews)
    except asyncio.CancelledError:
        with contextlib.suppress(AssetctlError):
            await run_in_threadpool(asked.queue.cancel, (await submitting).id)
        raise
    if job.error is not None:
        kind = error_classes().get(str(job.error.get("code")), GenerationError)
        raise kind(str(job.error.get("message")), job.error.get("hint"))
    return await run_in_threadpool(_read, asked, job)


def _read(asked: Asked, job: Job) -> Made:
    pictures = asked.registry.pictures(*job.pictures)
    try:
        return Made(job, pictures, [Path(each.image_path).read_bytes() for each in pictures])
    except OSError as error:
        raise NotFoundError(f"A picture of job {job.id} is gone: {error}.", "Ask for it again.") from error


@contextmanager
def about(field: str) -> Iterator[None]:
    """Have an error say which field it is about."""
    try:
        yield
    except AssetctlError as error:
        error.reference = error.reference or field[:_LONGEST]
        raise


def whole(value: Any) -> Any:  # noqa: ANN401 - whatever JSON has
    """20.0 is 20, as JSON has only one sort of number."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def option_of(name: str, value: Any, field: str) -> Any:  # noqa: ANN401 - of the option's type
    """The value of an option of a picture, for a field that is called otherwise.

    Raises:
        UsageError: It makes no sense.
    """
    known = option(name)
    value = whole(value) if known.type is int else value
    with about(field):
        problem = known.problem(value)
        if problem is not None:
            called = "Each side of size" if field == "size" else field
            raise UsageError(f"{called} {problem}.", known.advice)
        return known.checked(value)


def not_yet(field: str, hint: str = "Leave it out.") -> UnusableError:
    """Why a field is refused that asks for what cannot be done."""
    error = UnusableError(f"assetctl cannot do {field} yet.", hint)
    error.reference = field
    return error


class Fields(Endpoint):
    """An endpoint whose errors say which field they are about."""

    def body_of(self, data: bytes | bytearray) -> dict[str, Any]:
        """The body's fields.

        Raises:
            UsageError: As of any endpoint; `reference` is the field.
        """
        declared = self.body or {}
        fields = self.fields_of(data)
        for name, value in fields.items():
            with about(name):
                if name in declared:
                    check_value(value, declared[name], name)
                elif not self.open:
                    hint = f"It takes: {', '.join(declared)}."
                    raise UsageError(f"{self.path} takes no field {name!r:.60}.", hint)
        for name in self.required:
            if fields.get(name) is None:
                with about(name):
                    raise UsageError(f"{self.path} needs {name}.", f"It takes: {', '.join(declared)}.")
        return fields

    def fields_of(self, data: bytes | bytearray) -> dict[str, Any]:
        """What the body says, before it is checked."""
        return read_object(data) if data else {}
