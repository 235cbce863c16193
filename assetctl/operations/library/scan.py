"""Finding assets on disk: files and diffusers folders, and how the catalog knew them before."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from assetctl.errors import AssetctlError, CorruptFileError, NotFoundError, StorageError
from assetctl.files.paths import absolute
from assetctl.files.png_embeddings import holds_embedding
from assetctl.files.safetensors import MODEL_SUFFIXES
from assetctl.identify.folder import is_diffusers
from assetctl.types import AssetFile

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

#: Folders of embeddings, as A1111, ComfyUI and Stability Matrix call them: there pictures may hold some.
EMBEDDINGS = frozenset({"embedding", "embeddings", "textual_inversion", "textualinversion"})

#: What belongs to a diffusers folder; pickles and everything else stay out.
FOLDER_SUFFIXES = (".safetensors", ".json", ".txt", ".model")

#: Levels of folders below a diffusers folder; real ones have one, or two.
_DEEPEST = 16


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
            return Candidate(entry.path, (_file(entry.path, entry.stat()),))
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
            return Candidate(str(place), (_file(place, place.stat()),), named=True)
        try:
            return Candidate(str(place), folder_files(place), named=True) if is_diffusers(place) else None
        except OSError as error:
            raise _unreadable(place, error) from error
        except CorruptFileError as error:
            self.unreadable.append((str(place), error))
            return None


def folder_files(folder: Path) -> tuple[AssetFile, ...]:
    """The files of a diffusers folder.

    Raises:
        CorruptFileError: Folders nest in it deeper than in any model.
        OSError: It cannot be read.
    """
    return tuple(_file(path, path.stat(), "part") for path in sorted(_parts(folder)))


def _parts(folder: Path) -> Iterator[Path]:
    """Paths of a diffusers folder's files; links to other folders are not followed."""
    left = [(folder, 0)]
    while left:
        place, depth = left.pop()
        if depth > _DEEPEST:
            hint = "Take out of it what is no part of the model."
            raise CorruptFileError(f"{folder} has folders nested too deeply for a model.", hint)
        with contextlib.suppress(PermissionError), os.scandir(place) as entries:
            for entry in entries:
                path = place / entry.name
                if entry.name.startswith("."):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    left.append((path, depth + 1))
                elif path.suffix in FOLDER_SUFFIXES and path.is_file():
                    yield path


def _unreadable(place: Path | str, error: OSError) -> StorageError:
    return StorageError(f"{place} cannot be read: {error.strerror}.", "Check its permissions.")


def _encodes(name: str) -> bool:
    """Whether a name is text: file systems allow any bytes."""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _file(path: str | Path, stat: os.stat_result, role: str = "main") -> AssetFile:
    return AssetFile(str(path), stat.st_size, stat.st_mtime_ns, role)  # type: ignore[arg-type]
