"""Find files and folders that could be assets, and say what each is: on all cores, with no catalog at all, or again."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import chain, islice, starmap
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assetctl.errors import AssetctlError, CorruptFileError, NotFoundError, StorageError
from assetctl.files.paths import absolute
from assetctl.files.png_embeddings import holds_embedding
from assetctl.files.safetensors import MODEL_SUFFIXES
from assetctl.identify.identification import identify_path, is_diffusers
from assetctl.identify.plugins import families, kinds
from assetctl.operations.library.ingest import as_file, folder_files, with_source_facts
from assetctl.run import Warned
from assetctl.types import Evidence, Identification

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from concurrent.futures import Future
    from multiprocessing.connection import Connection
    from typing import Self

    from assetctl.operations.workspace import Workspace
    from assetctl.run import Run
    from assetctl.types import Asset, AssetFile


#: Folders of embeddings, as A1111, ComfyUI and Stability Matrix call them: there pictures may hold some.
EMBEDDINGS = frozenset({"embedding", "embeddings", "textual_inversion", "textualinversion"})

#: From this many files on, starting processes pays.
MANY = 200

#: Files that a process takes at a time, at least and at most: each hand-over costs the parent a quarter of a
#: millisecond, and towards the end no process should wait long for another.
FEWEST, MOST = 10, 100

#: An identification as a tuple, the evidence last, each piece of it a tuple too; or what went wrong.
_Packed = tuple[Any, ...] | AssetctlError
_VALUES = attrgetter(*Identification.__slots__)
_PARTS = attrgetter(*Evidence.__slots__)
_evidence = lru_cache(maxsize=1024)(Evidence)


@dataclass(frozen=True, slots=True)
class Candidate:
    """Something on disk that could be an asset.

    Attributes:
        path: Absolute; links in it are kept, so that the person recognises it.
        files: What it consists of, with sizes and times, and no hashes.
        named: Whether the person named it, rather than a folder that holds it.
    """

    path: str
    files: tuple[AssetFile, ...]
    named: bool = False


class Scan:
    """A look at files and whole folders; to iterate over it finds what could be an asset, while it goes.

    Candidates come in the order of the paths, and within a folder in that of their names; pictures count where
    embeddings are kept.

    Attributes:
        unreadable: What could not be looked at inside of folders; known once all candidates are.
    """

    def __init__(self, paths: Iterable[Path], *, named_first: bool = False) -> None:
        """Get ready.

        Args:
            paths: What a person named.
            named_first: Find what was named itself before what named folders hold.

        Raises:
            NotFoundError: There is no such path.
        """
        self.unreadable: list[tuple[str, AssetctlError]] = []
        self._named_first = named_first
        self._places: list[Path] = []
        for path in paths:
            self._places.append(absolute(path))
            if not self._places[-1].exists():
                raise NotFoundError(f"There is no file or folder {path}.", "Check the path.")

    def __iter__(self) -> Iterator[Candidate]:
        """Find candidates.

        Raises:
            StorageError: A folder that was named cannot be read.
        """
        self.unreadable.clear()
        later: list[Path] = []
        for place in self._places:
            candidate = self._named(place)
            if candidate is not None:
                yield candidate
            elif self._named_first:
                later.append(place)
            else:
                yield from self._inside(place)
        for place in later:
            yield from self._inside(place)

    def _inside(self, folder: Path) -> Iterator[Candidate]:
        try:
            yield from self._walk(folder)
        except OSError as error:
            raise _unreadable(folder, error) from error

    def _walk(self, top: Path) -> Iterator[Candidate]:
        """What lies in a folder and those below, however deep they nest: with a stack of our own, for Python's ends."""
        seen: set[object] = set()
        levels = [self._look_into(top, seen)]
        while levels:
            found = next(levels[-1], None)
            if found is None:
                levels.pop()
            elif isinstance(found, Candidate):
                yield found
            else:
                try:
                    levels.append(self._look_into(found, seen))
                except OSError as error:
                    self.unreadable.append((str(found), _unreadable(found, error)))

    def _look_into(self, folder: Path, seen: set[object]) -> Iterator[Candidate | Path]:
        """The candidates in a folder, and the folders that are to be entered; nothing, if it was `seen` before.

        Raises:
            OSError: It cannot be read; this is raised at once.
        """
        status = folder.stat()
        known = (status.st_dev, status.st_ino) if status.st_ino else os.path.realpath(folder)
        if known in seen:  # a link that leads back up
            return iter(())
        seen.add(known)
        with os.scandir(folder) as scanned:
            return self._judge(sorted(scanned, key=lambda entry: entry.name), folder)

    def _judge(self, entries: Iterable[os.DirEntry[str]], folder: Path) -> Iterator[Candidate | Path]:
        of_embeddings = not EMBEDDINGS.isdisjoint(part.lower() for part in folder.parts)
        for entry in entries:
            try:
                found = None if entry.name.startswith(".") else self._look_at(entry, of_embeddings=of_embeddings)
                if isinstance(found, Path):
                    found = self._enter(found)
            except FileNotFoundError:  # somebody has removed it since
                continue
            except AssetctlError as error:
                self.unreadable.append((entry.path, error))
                continue
            except OSError as error:
                self.unreadable.append((entry.path, _unreadable(entry.path, error)))
                continue
            if found is not None:
                yield found

    def _look_at(self, entry: os.DirEntry[str], *, of_embeddings: bool) -> Candidate | Path | None:
        """What an entry of a folder is: something that could be an asset, a folder to enter, or neither."""
        name = entry.name.lower()
        if not entry.name.isprintable() and not _encodes(entry.name):
            refusal = StorageError("The file's name is not valid text.", "Rename it, and import the folder again.")
            self.unreadable.append((ascii(entry.path), refusal))
        elif entry.is_file() and (
            name.endswith(MODEL_SUFFIXES)
            or (of_embeddings and name.endswith(".png") and holds_embedding(Path(entry.path)))
        ):
            return Candidate(entry.path, (as_file(entry.path, entry.stat()),))
        elif entry.is_dir():
            return Path(entry.path)
        elif entry.is_symlink() and not os.path.exists(entry.path):  # noqa: PTH110 - a `Path` costs more
            hint = "Mount the disk that it leads to, or remove it."
            refusal = StorageError(f"{entry.path} is a link that leads nowhere.", hint)
            self.unreadable.append((entry.path, refusal))
        return None

    @staticmethod
    def _enter(folder: Path) -> Candidate | Path | None:
        """A folder in a folder is an asset, or is to be looked into, or neither."""
        if folder.suffix == ".config":  # the companion of a single-file checkpoint
            return None
        return Candidate(str(folder), folder_files(folder)) if is_diffusers(folder) else folder

    def _named(self, place: Path) -> Candidate | None:
        """What a person named, if it is an asset and no folder of them.

        A folder whose configuration is damaged is no asset, and what lies in it may be.
        """
        if not place.is_dir():
            return Candidate(str(place), (as_file(place, place.stat()),), named=True)
        try:
            return Candidate(str(place), folder_files(place), named=True) if is_diffusers(place) else None
        except OSError as error:
            raise _unreadable(place, error) from error
        except CorruptFileError as error:
            self.unreadable.append((str(place), error))
            return None


def _unreadable(place: Path | str, error: OSError) -> StorageError:
    return StorageError(f"{place} cannot be read: {error.strerror}.", "Check its permissions.")


def _encodes(name: str) -> bool:
    """Whether a name is text: file systems allow any bytes."""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


@contextmanager
def identified(paths: Iterable[str]) -> Iterator[Iterator[Identification | AssetctlError]]:
    """What each file or folder is, or why that cannot be said, in the order of `paths`.

    All paths are taken before the block is entered; where they are many, work begins while they are still being found.
    Whoever leaves the block early ends it.

    Raises:
        UsageError: A third party's kind or family cannot be loaded.
    """
    rest = iter(paths)
    first = list(islice(rest, MANY))
    if first:  # once and for all, rather than for each file or in each process
        kinds()
        families()
    if len(first) < MANY:
        yield map(identify_one, first)
        return
    with _Crew(os.cpu_count() or 1) as crew:
        for chunk in _chunks(chain(first, rest), crew.workers):
            crew.take(chunk)
        yield map(_unpack, crew.results())


def identify_one(path: str) -> Identification | AssetctlError:
    """What one file or folder is, or why that cannot be said; not where: a traceback holds on to all that was read."""
    try:
        return identify_path(Path(path))
    except AssetctlError as error:
        error.__cause__ = error.__context__ = None
        return error.with_traceback(None)
    except OSError as error:
        return StorageError(f"{path} cannot be read: {error.strerror}.", "Check the path and its permissions.")


class _Crew:
    """Processes that identify files in chunks; of those that a killed one was at, only the file that killed it suffers.

    A process is killed where memory runs out, or by a defect in a library: nothing in it can tell or do anything then.
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers
        # Forked processes start at once, with the plug-ins; else they touch nothing that they inherit.
        self._context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
        self._line = self._context.Pipe(duplex=False)
        self._pool = self._started(workers)
        self._taken: deque[tuple[list[str], Future[list[_Packed]] | None]] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is not None or self._taken:
            self._line[1].send(None)  # what they are at may take a while, and nobody waits for it any more
        self._pool.shutdown(cancel_futures=True)
        for end in self._line:
            end.close()

    def take(self, chunk: list[str]) -> None:
        """Have files identified, when a process is free."""
        self._taken.append((chunk, _submitted(self._pool, chunk)))

    def results(self) -> Iterator[_Packed]:
        """What all the files are that were taken, in order."""
        while self._taken:
            chunk, future = self._taken.popleft()
            found = None if future is None else _result(future)
            if found is not None:
                yield from found
                continue
            yield from self._one_by_one(chunk)
            self._begin_again()

    def _started(self, workers: int) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(workers, mp_context=self._context, initializer=_prepare, initargs=self._line)

    def _one_by_one(self, paths: Sequence[str]) -> Iterator[_Packed]:
        """Identify files each in its turn, in a process that does nothing else."""
        pool = self._started(1)
        try:
            for path in paths:
                future = _submitted(pool, [path])
                if future is None:  # its process was killed while it had nothing to do
                    pool = self._another(pool)
                    future = _submitted(pool, [path])
                found = None if future is None else _result(future)
                if found is None:
                    pool = self._another(pool)
                yield from found or [_killer(path)]
        finally:
            pool.shutdown(wait=False, cancel_futures=True)  # whoever is interrupted has yet to tell it to end

    def _another(self, pool: ProcessPoolExecutor) -> ProcessPoolExecutor:
        pool.shutdown()
        return self._started(1)

    def _begin_again(self) -> None:
        """Have all that is left identified by new processes; what the old ones have done stays done."""
        self._pool.shutdown()
        self._pool = self._started(self.workers)
        left, self._taken = self._taken, deque()
        for chunk, future in left:
            self._taken.append((chunk, future if _is_done(future) else _submitted(self._pool, chunk)))


def _submitted(pool: ProcessPoolExecutor, chunk: list[str]) -> Future[list[_Packed]] | None:
    """What will be known of a chunk; `None` where a process has been killed."""
    try:
        return pool.submit(_identify_chunk, chunk)
    except BrokenProcessPool:
        return None


def _result(future: Future[list[_Packed]]) -> list[_Packed] | None:
    """What is known of a chunk; `None` where a process was killed, not needs be its own."""
    try:
        return future.result()
    except BrokenProcessPool:
        return None


def _is_done(future: Future[list[_Packed]] | None) -> bool:
    return future is not None and future.done() and future.exception() is None


def _killer(path: str) -> CorruptFileError:
    hint = "It may need more memory than there is, or be made to exhaust it: get it from a source that you trust."
    return CorruptFileError(f"{path} cannot be read: the process that read it was killed.", hint)


def _chunks(paths: Iterator[str], workers: int) -> Iterator[list[str]]:
    """What processes take at a time: the more files there are, the more."""
    taken = MANY
    while chunk := list(islice(paths, max(FEWEST, min(MOST, taken // (8 * workers))))):
        yield chunk
        taken += len(chunk)


def _identify_chunk(paths: Sequence[str]) -> list[_Packed]:
    return [_pack(identify_one(path)) for path in paths]


def _pack(found: Identification | AssetctlError) -> _Packed:
    """Plain tuples go between processes in a third of the time that dataclasses take."""
    if isinstance(found, AssetctlError):
        return found
    *values, evidence = _VALUES(found)
    return *values, tuple(map(_PARTS, evidence))


def _unpack(packed: _Packed) -> Identification | AssetctlError:
    if isinstance(packed, AssetctlError):
        return packed
    *values, evidence = packed
    return Identification(*(*values, tuple(starmap(_evidence, evidence))))


def _prepare(line: Connection, ours: Connection) -> None:
    """Make a process ready for work alone, which ends once something stands in `line`, or nobody holds the other end.

    Ctrl-C reaches every process of the terminal; the parent's word is enough. Headers are large trees without cycles:
    to look for cycles among them would take a quarter of the time, and the process ends soon.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ours.close()
    threading.Thread(target=_end_with, args=(line,), daemon=True).start()
    gc.freeze()
    gc.disable()


def _end_with(line: Connection) -> None:
    line.poll(None)
    os._exit(1)


@dataclass(frozen=True, slots=True)
class Identified:
    """One path and what it is, or why that cannot be said; `named` by the person, or found in a folder."""

    path: str
    identification: Identification
    error: AssetctlError | None = None
    named: bool = False


def identify_files(paths: Sequence[Path]) -> list[Identified]:
    """What lies at `paths`: files, diffusers folders, or folders full of either; a path that fails has its error."""
    candidates: list[Candidate] = []
    failed: list[Identified] = []
    for path in paths:
        try:
            found = Scan([path])
            candidates += list(found)
        except AssetctlError as error:
            failed.append(Identified(str(path), Identification(), error, named=True))
            continue
        failed += [Identified(folder, Identification(), error) for folder, error in found.unreadable]
    results = _identify([candidate.path for candidate in candidates])
    return [replace(each, named=one.named) for each, one in zip(results, candidates, strict=True)] + failed


def identify_again(workspace: Workspace, names: Sequence[str] = (), *, run: Run) -> list[Asset]:
    """Identify the named assets, or all, once more, and keep the result; what a person set stays on top.

    Those that cannot be identified any more, for their files are gone or broken, stay as they were; the run is warned
    of each, with its error. A run that is cancelled changes nothing.

    Raises:
        NotFoundError, AmbiguousNameError: A name.
    """
    read = workspace.catalog.read
    assets = [read.find(name) for name in names] if names else read.assets()
    origins = {asset.id: read.origin(asset) for asset in assets}
    kept: dict[int, Identification] = {}
    with run.task("", "identify"), identified(asset.path for asset in assets) as results:
        for asset, found in zip(assets, results, strict=True):
            run.check()
            if isinstance(found, AssetctlError):
                message = f"{found.message} What was known of it stays."
                run.tell(Warned(task=asset.name, message=message, error=found))
            else:
                kept[asset.id] = with_source_facts(found, origins[asset.id])
    with workspace.catalog.write() as writer:
        for number, identification in kept.items():
            writer.set_identification(number, identification)
    return read.by_ids(asset.id for asset in assets)


def _identify(paths: Sequence[str]) -> list[Identified]:
    with identified(paths) as results:
        return [
            Identified(path, Identification(), found) if isinstance(found, AssetctlError) else Identified(path, found)
            for path, found in zip(paths, results, strict=True)
        ]
