"""Jobs: what somebody wants done by the worker, in which order, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import orjson

from assetctl.catalog.rows import TABLES, Asking, DamagedError, check, explained, from_json, insert
from assetctl.errors import CatalogError, NotFoundError, UsageError
from assetctl.text import without_secrets

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

_COLUMNS = TABLES["jobs"]

#: What jobs do: on the device that makes pictures, for the server or for a command that borrows it; and elsewhere.
ON_DEVICE, ELSEWHERE = ("generate", "paint"), ("pull",)
KINDS = (*ON_DEVICE, *ELSEWHERE)

#: Those of a job that has come to its end.
ENDED = ("done", "failed", "cancelled")

_HAS_ENDED = "status IN ('done', 'failed', 'cancelled')"

#: A job's row, as `Job` is made of it.
_ROW = ", ".join(_COLUMNS)

#: Warnings of a job that are kept.
MOST_WARNINGS = 20

#: Days after which a job that has ended is forgotten; how many stay so long, and for how many days the others do.
_MONTH, _MOST, _DAY = 30, 1000, 1


@dataclass(frozen=True, slots=True)
class Job:
    """Something that somebody wants done.

    Attributes:
        id: Counts up from 1, and is never given again.
        kind: `generate`, `pull`, or `paint`: pictures that `assetctl generate` saves and records itself.
        status: `queued`, `running`, `done`, `failed` or `cancelled`.
        priority: Those of a higher one come first; equal ones as they came.
        request: What is wanted: of pictures, as a line of a batch has it.
        pictures: Numbers of the pictures that were made, as the history has them; of the assets that a pull brought.
        error: What it failed of, as documents have it.
        attempts: How often it was begun.
        warnings: What was to be known of it, as events have it: the last ones, once it has ended.
    """

    id: int
    kind: str
    status: str
    priority: int
    request: Mapping[str, Any]
    pictures: tuple[int, ...]
    error: Mapping[str, Any] | None
    attempts: int
    created_at: str
    started_at: str | None
    finished_at: str | None
    warnings: tuple[Mapping[str, Any], ...] = ()

    @property
    def has_ended(self) -> bool:
        """Whether nothing more becomes of it."""
        return self.status in ENDED


class Jobs(Asking):
    """Questions about jobs, and what becomes of them. One server at a time takes them; anybody adds and cancels.

    Args:
        connect: As `Asking` has it.
        path: The catalog.
        write: The transaction in which a job is changed.
    """

    def __init__(
        self,
        connect: Callable[[], sqlite3.Connection],
        path: Path,
        write: Callable[[], AbstractContextManager[Asking]],
    ) -> None:
        super().__init__(connect, path)
        self._write = write

    def add(self, kind: str, request: Mapping[str, Any], priority: int = 0) -> Job:
        """Have something done, after what waits already."""
        values = {
            "kind": kind, "status": "queued", "priority": priority, "request": orjson.dumps(dict(request)).decode(),
            "pictures": "[]", "attempts": 0, "created_at": _now(),
        }  # fmt: skip
        return self._changed(f"{insert('jobs', *values)} RETURNING {_ROW}", tuple(values.values()))[0]

    def get(self, number: int) -> Job:
        """One job.

        Raises:
            NotFoundError: None has this number.
        """
        found = self._jobs("WHERE id = ?", [number]) if abs(number) < 2**63 else []
        if not found:
            raise NotFoundError(f"There is no job {number}.", "`assetctl jobs` lists them.")
        return found[0]

    def latest(self, limit: int, *, ended: bool = True, after: int | None = None) -> list[Job]:
        """Jobs: those that run or wait in the order of their turn, and then those that ended, the last one first.

        Args:
            limit: How many at most.
            ended: Whether those that ended are wanted too.
            after: The number of one that ran or waited: only those that come behind it, whatever became of it.

        Raises:
            NotFoundError: None has the number `after`.
        """
        last = None if after is None else self.get(after)
        place = (-1, 0, 0) if last is None else (last.status != "running", -last.priority, last.id)
        turn = "status <> 'running', -priority, id"
        waiting = self._jobs(
            f"WHERE status IN ('queued', 'running') AND ({turn}) > (?, ?, ?) ORDER BY {turn} LIMIT ?", [*place, limit]
        )
        rest = limit - len(waiting)
        if not ended or rest <= 0:
            return waiting
        return waiting + self._jobs(f"WHERE {_HAS_ENDED} ORDER BY id DESC LIMIT ?", [rest])

    def ended_before(self, number: int, limit: int) -> list[Job]:
        """Jobs of lower numbers that have ended, the last one first."""
        return self._jobs(f"WHERE {_HAS_ENDED} AND id < ? ORDER BY id DESC LIMIT ?", [min(number, 2**63 - 1), limit])

    def count(self, status: str, kinds: Sequence[str] | None = None) -> int:
        """How many are so, of these kinds or of all."""
        query = "SELECT count(*) FROM jobs WHERE status = ?"
        if kinds is not None:  # which the index does not know
            query += f" AND kind IN ({_marks(kinds)})"
        return int(self._rows(query, [status, *(kinds or ())])[0][0])

    def take(self, kinds: Sequence[str] = KINDS) -> Job | None:
        """Begin the job of these kinds whose turn it is; `None` where none waits."""
        these = f"status = 'queued' AND kind IN ({_marks(kinds)})"
        highest = f"SELECT priority FROM jobs WHERE {these} ORDER BY priority DESC LIMIT 1"
        # by one order of the index after the other: both at once would sort all that wait
        turn = f"SELECT id FROM jobs WHERE {these} AND priority = ({highest}) ORDER BY id LIMIT 1"
        while rows := self._rows(turn, [*kinds, *kinds]):  # which keeps no other from writing
            begun = self._change(
                "UPDATE jobs SET status = 'running', attempts = attempts + 1, started_at = ? "
                f"WHERE id = ? AND status = 'queued' RETURNING {_ROW}",
                [_now(), rows[0][0]],
            )
            try:
                found = self._read(begun)
            except CatalogError as damaged:  # nobody can do it, now or later
                said = {"code": damaged.code, "message": damaged.message, "hint": damaged.hint}
                self.end(rows[0][0], "failed", error=said)
            else:
                if found:  # else it was cancelled meanwhile
                    return found[0]
        return None

    def end(
        self,
        number: int,
        status: str,
        pictures: Sequence[int] = (),
        error: Mapping[str, Any] | None = None,
        warnings: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        """Let a running job end as `done`, `failed` or `cancelled`; one that has ended stays as it is.

        Those pictures stay that a command has told of; see `made`. Warnings are kept with the request.
        """
        said = None if error is None else orjson.dumps(dict(error)).decode()
        kept = orjson.dumps(list(warnings[-MOST_WARNINGS:])).decode() if warnings else None
        with self._write() as tx:
            tx.connection.execute(
                "UPDATE jobs SET status = ?, pictures = iif(kind = 'paint', pictures, ?), error = ?, finished_at = ?, "
                "request = iif(? ISNULL OR NOT json_valid(request), request, json_set(request, '$.warnings', json(?))) "
                "WHERE id = ? AND status = 'running'",
                [status, orjson.dumps(list(pictures)).decode(), said, _now(), kept, kept, number],
            )
            _hide(tx, number)

    def made(self, number: int, pictures: Sequence[int]) -> None:
        """Keep which pictures a command has recorded of those that were painted for it."""
        with self._write() as tx:
            tx.connection.execute(
                "UPDATE jobs SET pictures = ? WHERE id = ? AND kind = 'paint'",
                [orjson.dumps(list(pictures)).decode(), number],
            )

    def cancel(self, number: int, pictures: Sequence[int] = (), *, left: bool = False) -> Job:
        """Let a job that waits not begin. One that runs is stopped by whoever runs it; see `Queue.cancel`.

        Args:
            number: Of the job.
            pictures: Those that there are of it: it may have been begun before.
            left: Whether nobody runs any: then one that seems to run was left so by a server that has ended.

        Raises:
            NotFoundError: None has this number.
        """
        self.get(number)
        with self._write() as tx:
            tx.connection.execute(
                "UPDATE jobs SET status = 'cancelled', pictures = iif(kind = 'paint', pictures, ?), finished_at = ? "
                "WHERE id = ? AND (status = 'queued' OR ? AND status = 'running')",
                [orjson.dumps(list(pictures)).decode(), _now(), number, left],
            )
            _hide(tx, number)
        return self.get(number)

    def resume(self) -> None:
        """Let what was running when its server ended wait again: that was no try, and what is made is found again.

        A job of a command that was connected is over: the command goes on by itself, or was stopped.
        """
        with self._write() as tx:
            tx.connection.execute(
                "UPDATE jobs SET status = 'cancelled', finished_at = ? "
                "WHERE kind = 'paint' AND status IN ('queued', 'running')",
                [_now()],
            )
        self.put_back(counts=False)

    def forget(self, *numbers: int) -> list[Job]:
        """Let jobs be known no more that have ended: those of these numbers, or all. Their pictures stay what they are.

        Raises:
            NotFoundError: None has this number.
            UsageError: It has not ended.
        """
        found = [self.get(number) for number in numbers] or self.ended_before(2**63 - 1, 2**62)
        for each in found:
            if not each.has_ended:
                hint = f"`assetctl jobs cancel {each.id}` ends it."
                raise UsageError(f"Job {each.id} is {each.status}, and is not forgotten before it has ended.", hint)
        with self._write() as tx:
            tx.connection.executemany(f"DELETE FROM jobs WHERE id = ? AND {_HAS_ENDED}", [(each.id,) for each in found])
        return found

    def tidy(self) -> None:
        """Forget what ended a month ago, or yesterday where a thousand others have ended since; and plans of commands.

        Whoever asks what became of a job has a day for it, however many there are.
        """
        month, day = (_now(timedelta(days=days)) for days in (_MONTH, _DAY))
        ended = "coalesce(finished_at, created_at)"
        with self._write() as tx:
            tx.connection.execute(
                f"DELETE FROM jobs WHERE {_HAS_ENDED} AND ({ended} < ? OR {ended} < ? AND id <= coalesce("
                f"(SELECT id FROM jobs WHERE {_HAS_ENDED} ORDER BY id DESC LIMIT 1 OFFSET ?), 0))",
                [month, day, _MOST],
            )
            tx.connection.execute(
                "UPDATE jobs SET request = json_remove(request, '$.plan') "
                f"WHERE kind = 'paint' AND {_HAS_ENDED} "
                "AND iif(json_valid(request), json_type(request, '$.plan'), NULL) NOTNULL"
            )

    def put_back(self, number: int | None = None, *, counts: bool) -> None:
        """Let what was running wait again, or this one; whether that `counts` as a try, or was no fault of the job."""
        with self._write() as tx:
            tx.connection.execute(
                "UPDATE jobs SET status = 'queued', started_at = NULL, attempts = attempts - ? "
                "WHERE status = 'running' AND id = coalesce(?, id)",
                [not counts, number],
            )

    def _changed(self, statement: str, values: Sequence[object]) -> list[Job]:
        """Change jobs, and have them as they are then."""
        return self._read(self._change(statement, values))

    def _change(self, statement: str, values: Sequence[object]) -> list[sqlite3.Row]:
        with self._write() as tx:
            return tx.connection.execute(statement, values).fetchall()

    def _read(self, rows: list[sqlite3.Row]) -> list[Job]:
        with explained(self._path):
            check(rows, _COLUMNS)
        return [self._job(dict(zip(_COLUMNS, row, strict=True))) for row in rows]

    def _jobs(self, rest: str, values: Sequence[object]) -> list[Job]:
        rows = self._rows(f"SELECT {_ROW} FROM jobs {rest}", values, _COLUMNS)
        return [self._job(dict(row)) for row in rows]

    def _job(self, values: dict[str, Any]) -> Job:
        with explained(self._path):
            request = from_json(values.pop("request"), "what a job is to do")
            made = from_json(values.pop("pictures"), "the pictures of a job")
            error = values.pop("error")
            said = None if error is None else from_json(error, "what a job failed of")
            numbered = isinstance(made, list) and all(type(each) is int for each in made)
            if not (isinstance(request, dict) and numbered and (said is None or isinstance(said, dict))):
                raise DamagedError("a job is not what assetctl writes")
            warnings = request.pop("warnings", [])
            if not (isinstance(warnings, list) and all(isinstance(each, dict) for each in warnings)):
                raise DamagedError("the warnings of a job are not what assetctl writes")
        return Job(**values, request=request, pictures=tuple(made), error=said, warnings=tuple(warnings))


def _hide(tx: Asking, number: int) -> None:
    """What lets in, in the reference of a pull, goes when that ends."""
    asked = "SELECT json_extract(iif(json_valid(request), request, '{}'), '$.reference') FROM jobs WHERE id = ? AND "
    for (reference,) in tx.connection.execute(asked + _HAS_ENDED, [number]).fetchall():
        if isinstance(reference, str) and (shown := without_secrets(reference)) != reference:
            tx.connection.execute(
                "UPDATE jobs SET request = json_set(request, '$.reference', ?) WHERE id = ?", [shown, number]
            )


def _marks(values: Sequence[object]) -> str:
    return ", ".join("?" * len(values))


def _now(ago: timedelta = timedelta(0)) -> str:
    return (datetime.now(UTC) - ago).strftime("%Y-%m-%dT%H:%M:%SZ")
