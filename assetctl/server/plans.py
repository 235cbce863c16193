"""What is handed to a worker: lines of a batch; and plans and pictures of a command, exactly as they are.

Documents of plans leave out what people need not see. Here every field stands, and comes back as it was.
"""

from __future__ import annotations

import os
import time
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import fields, is_dataclass
from pathlib import Path, PurePath
from types import UnionType
from typing import TYPE_CHECKING, Any, Union, get_args, get_origin

from assetctl.errors import AssetctlError
from assetctl.options import MAX_SEED
from assetctl.request import MAX_COUNT, Picture, Plan
from assetctl.types import Finding
from assetctl.wire import document
from assetctl.wire.hints import hints_of
from assetctl.wire.reading import read

if TYPE_CHECKING:
    from collections.abc import Iterable

    from assetctl.catalog.jobs import Job
    from assetctl.registry import Registry
    from assetctl.request import Request


#: Seconds for which the same is said of a selection whose files have not changed.
_FORESEEN = 60.0


def plan_said(plan: Plan) -> dict[str, Any]:
    """A plan as JSON has it."""
    said: dict[str, Any] = _said(plan)
    return said


def plan_meant(said: Mapping[str, Any]) -> Plan:
    """The plan that was said.

    Raises:
        ValueError: It is none.
    """
    try:
        plan: Plan = _meant(Plan, said)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"This is no plan: {error}") from error
    return plan


def picture_said(picture: Picture) -> dict[str, Any]:
    """A picture as JSON has it: its pixels as they are."""
    image = picture.image
    return {
        "mode": image.mode, "size": image.size, "pixels": b64encode(image.tobytes()).decode(), "seed": picture.seed,
        "environment": picture.environment, "findings": document(picture.findings), "seconds": picture.seconds,
    }  # fmt: skip


def picture_meant(said: Mapping[str, Any]) -> Picture:
    """The picture that was said."""
    from PIL import Image  # noqa: PLC0415 - commands that make none do without it

    image = Image.frombytes(said["mode"], tuple(said["size"]), b64decode(said["pixels"]))
    findings = tuple(read(Finding, each) for each in said["findings"])
    return Picture(image, said["seed"], dict(said["environment"]), findings, said["seconds"])


def _said(value: Any) -> Any:  # noqa: ANN401 - whatever a plan holds
    if is_dataclass(value):
        return {each.name: _said(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, Mapping):
        return {name: _said(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_said(each) for each in value]
    return str(value) if isinstance(value, PurePath) else value


def _meant(kind: Any, said: Any) -> Any:  # noqa: ANN401, PLR0911 - likewise; a way for each sort of type
    origin, parts = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        if said is None:
            return None
        return _meant(next(each for each in parts if each is not type(None)), said)
    if is_dataclass(kind):
        hints = hints_of(kind)  # type: ignore[arg-type]  # which is a class
        return kind(**{each.name: _meant(hints[each.name], said[each.name]) for each in fields(kind)})  # type: ignore[operator]
    if origin is tuple:
        if len(parts) == 2 and parts[1] is Ellipsis:
            return tuple(_meant(parts[0], each) for each in said)
        return tuple(_meant(part, each) for part, each in zip(parts, said, strict=True))
    if origin is not None and issubclass(origin, Mapping):
        return {name: _meant(parts[1], each) for name, each in said.items()}
    return Path(said) if kind is Path else said


def lines_of(number: int, job: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The lines of a batch that are a job of this number: one for pictures whose seeds follow each other.

    Pictures of one seed may each have a `variation_seeds` of its own, and then a line.
    """
    shared = {name: value for name, value in job.items() if name not in ("seeds", "variation_seeds")}
    shared["id"] = f"job-{number}"
    if "variation_seeds" in job:
        pairs = zip(job["seeds"], job["variation_seeds"], strict=True)
        return [{**shared, "seed": seed, "variation_seed": variation, "count": 1} for seed, variation in pairs]
    runs: list[list[int]] = []
    for seed in job["seeds"]:
        if runs and seed == runs[-1][-1] + 1 and seed != MAX_SEED + 1 and len(runs[-1]) < MAX_COUNT:
            runs[-1].append(seed)
        else:
            runs.append([seed])
    return [{**shared, "seed": run[0], "count": len(run)} for run in runs]


def made_of(registry: Registry, job: Job) -> Sequence[int]:
    """The numbers of the pictures that there are of a job, whatever became of whoever made them; as far as is known.

    A job comes to its end though what it asked for, or what was made, cannot be read.
    """
    try:
        return registry.made(lines_of(job.id, job.request)) if job.kind == "generate" else []
    except (AssetctlError, KeyError, TypeError, ValueError):
        return []


class Foresight:
    """Says whether requests can work, to who asks for one after the other; whoever makes them looks for himself.

    Args:
        registry: The home.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._known: dict[object, Any] = {}
        self._files: dict[str, object] = {}
        self._since = 0.0

    def see(self, request: Request) -> None:
        """See that a request can work. Files that have not changed are looked at once a minute.

        Raises:
            AssetctlError: It cannot; see `Registry.plan`.
        """
        now, files = time.monotonic(), list(self._files.items())
        if now - self._since > _FORESEEN or any(_stamp(path) != stamp for path, stamp in files):
            self._known, self._files, self._since = {}, {}, now
        known, files_of = self._known, self._files
        try:
            plan, _ = self._registry.plan(request, known)
        except AssetctlError:
            plan, _ = self._registry.plan(request)  # what was refused may work by now
        files_of |= {use.path: _stamp(use.path) for use in plan.uses}


def _stamp(path: str) -> object:
    """What changes where a file does."""
    try:
        found = os.stat(path)  # noqa: PTH116 - on the way of every job
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def clear_up(registry: Registry, jobs: Iterable[Job] | None = None) -> None:
    """Take away what killed workers left in the home of claims of these jobs, or of all, that have ended.

    It is no matter if that cannot be: the next server does so.
    """
    with suppress(AssetctlError, OSError):
        if not any((registry.settings.home / "jobs").iterdir()):  # as nearly always, and many jobs may have ended
            return
        for job in registry.jobs.ended_before(2**63 - 1, 2**62) if jobs is None else jobs:
            with suppress(KeyError, TypeError, ValueError):  # as above
                registry.clear_claims(lines_of(job.id, job.request) if job.kind == "generate" else ())
