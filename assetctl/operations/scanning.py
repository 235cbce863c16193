"""Finding assets on disk: files and diffusers folders, and how the catalog knew them before."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from assetctl.errors import AssetctlError, CorruptFileError, NotFoundError, StorageError
from assetctl.files.paths import absolute
from assetctl.files.png_embeddings import holds_embedding
from assetctl.files.sniff import MODEL_SUFFIXES
from assetctl.identify import is_diffusers_folder
from assetctl.types import AssetFile

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

#: Folders of embeddings, as A1111, ComfyUI and Stability Matrix call them: there pictures may hold some.
EMBEDDINGS = frozenset({"embedding", "embeddings", "textual_inversion", "textualinversion"})

#: What belongs to a diffusers folder; pickles and everything else stay out.
FOLDER_SUFFIXES = (".safetensors", ".json", ".txt", ".model")


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
            StorageError: A folder that was named can not be read.
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
            yield from self._walk(folder, set())
        except OSError as error:
            raise _unreadable(folder, error) from error

    def _walk(self, folder: Path, seen: set[str]) -> Iterator[Candidate]:
        real = os.path.realpath(folder)
        if real in seen:  # a link that leads back up
            return
        seen.add(real)
        with os.scandir(folder) as scanned:
            entries = sorted(scanned, key=lambda entry: entry.name)
        of_embeddings = not EMBEDDINGS.isdisjoint(part.lower() for part in folder.parts)
        for entry in entries:
            try:
                found = None if entry.name.startswith(".") else self._look_at(entry, of_embeddings=of_embeddings)
            except FileNotFoundError:  # somebody has removed it since
                continue
            except OSError as error:
                self.unreadable.append((entry.path, _unreadable(entry.path, error)))
                continue
            if isinstance(found, Candidate):
                yield found
            elif found is not None:
                yield from self._enter(found, seen)

    def _look_at(self, entry: os.DirEntry[str], *, of_embeddings: bool) -> Candidate | Path | None:
        """What an entry of a folder is: something that could be an asset, a folder to enter, or neither."""
        name = entry.name.lower()
        if not entry.name.isprintable() and not _encodes(entry.name):
            refusal = StorageError("The file's name is no valid text.", "Rename it, and import the folder again.")
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

    def _enter(self, folder: Path, seen: set[str]) -> Iterator[Candidate]:
        """A folder in a folder is an asset, or is looked into."""
        if folder.suffix == ".config":  # the companion of a single-file checkpoint
            return
        try:
            if is_diffusers_folder(folder):
                yield Candidate(str(folder), folder_files(folder))
            else:
                yield from self._walk(folder, seen)
        except AssetctlError as error:
            self.unreadable.append((str(folder), error))
        except OSError as error:
            self.unreadable.append((str(folder), _unreadable(folder, error)))

    def _named(self, place: Path) -> Candidate | None:
        """What a person named, if it is an asset and no folder of them.

        A folder whose configuration is damaged is no asset, and what lies in it may be.
        """
        if not place.is_dir():
            return Candidate(str(place), (single_file(place),), named=True)
        try:
            return Candidate(str(place), folder_files(place), named=True) if is_diffusers_folder(place) else None
        except OSError as error:
            raise _unreadable(place, error) from error
        except CorruptFileError as error:
            self.unreadable.append((str(place), error))
            return None


def folder_files(folder: Path) -> tuple[AssetFile, ...]:
    """The files of a diffusers folder."""
    files = [
        _file(path, path.stat(), "part")
        for path in sorted(folder.rglob("*"))
        if path.suffix in FOLDER_SUFFIXES and path.is_file() and not _hidden(path.relative_to(folder))
    ]
    return tuple(files)


def single_file(path: Path) -> AssetFile:
    """A single file as it lies on disk now."""
    return _file(path, path.stat())


def _unreadable(place: Path | str, error: OSError) -> StorageError:
    return StorageError(f"{place} can not be read: {error.strerror}.", "Check its permissions.")


def _encodes(name: str) -> bool:
    """Whether a name is text: file systems allow any bytes."""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _hidden(relative: Path) -> bool:
    return any(part.startswith(".") for part in relative.parts)


def _file(path: str | Path, stat: os.stat_result, role: str = "main") -> AssetFile:
    return AssetFile(str(path), stat.st_size, stat.st_mtime_ns, role)  # type: ignore[arg-type]
