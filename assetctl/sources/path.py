"""A file or diffusers folder on this machine."""

from __future__ import annotations

import errno
import os
import re
import stat
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from assetctl.errors import NotFoundError, RefusedFileError, UsageError
from assetctl.files.disk import storage_errors
from assetctl.files.hashing import hash_file
from assetctl.files.headers import read_any_header
from assetctl.files.paths import safe_path
from assetctl.files.safetensors import MODEL_SUFFIXES
from assetctl.run import silent
from assetctl.sources._choose import (
    INDEX,
    LARGEST_INDEX,
    TEXT_SUFFIXES,
    could_be_chosen,
    diffusers_files,
    read_index,
    see_beside,
)
from assetctl.sources.base import RemoteFile, Resolution, current_run, digests

if TYPE_CHECKING:
    from assetctl.settings import Settings

_WRITTEN_AS_PATH = re.compile(r"[/~]|\.{1,2}[/\\]|[A-Za-z]:[/\\]")


def source(_settings: Settings) -> PathSource:
    """This machine as a source."""
    return PathSource()


class PathSource:
    """Copies what a person has, and leaves the original as it is."""

    name = "path"

    def __init__(self, within: Path | None = None, *, known: bool = False) -> None:
        self._within = within
        self._known = known

    def accepts(self, reference: str) -> bool:
        """Whether it exists, or is written like a path."""
        if "://" in reference:
            return False
        return bool(
            _WRITTEN_AS_PATH.match(reference) or reference.lower().endswith(MODEL_SUFFIXES) or _exists(reference)
        )

    def confined(self, folder: Path, *, known: bool = False) -> PathSource:
        """The same for one folder alone; see `Confinable`."""
        return PathSource(Path(os.path.realpath(folder)), known=known)

    def departure(self, wanted: str, said: Resolution) -> str | None:
        """It is what lies there, and beside it its configuration at most; see `Accountable`."""
        if said.reference != wanted:
            return "reference"
        if said.revision is not None or said.url is not None:
            return "revision" if said.url is None else "url"
        first, *others = paths = [file.path for file in said.files]
        if said.format == "diffusers":
            return None if could_be_chosen(paths) else "files"
        beside = f"{Path(wanted).stem}.config"
        return None if first == Path(wanted).name and all(_is_companion(other, beside) for other in others) else "files"

    def resolve(self, reference: str) -> Resolution:
        """See what lies there; see `Source`."""
        path = _expand(reference)
        reference = str(path)  # it is to mean the same wherever one stands
        if not self._known:
            self._keep_inside(path)
        _see_there(path)
        with storage_errors(f"read {path}"):
            return self._folder(reference, path) if path.is_dir() else self._file(reference, path)

    def way(self, resolution: Resolution, file: RemoteFile) -> Path:
        """Where it lies; see `Source`."""
        base = self._base(resolution)
        path = base / file.path
        _see_there(path)
        self._see_place(base, path, is_main=resolution.format == "diffusers" or file == resolution.files[0])
        return path

    def folder(self, reference: str) -> tuple[str, str | None]:
        """It is called as it is here; see `NamesFolders`."""
        return _expand(reference).name, None

    def with_hashes(self, resolution: Resolution) -> Resolution:
        """Read all of it; see `Pinning`."""
        base, run = self._base(resolution), current_run() or silent()
        hashed = [
            hash_file(base / file.path, frozenset({"sha256"}), on_bytes=lambda _: run.check()).sha256
            for file in resolution.files
        ]
        files = zip(resolution.files, hashed, strict=True)
        return replace(resolution, files=tuple(replace(file, digests=digests(sha256=value)) for file, value in files))

    def _base(self, resolution: Resolution) -> Path:
        """The folder that its files' paths count from."""
        path = _expand(resolution.reference)
        return path if resolution.format == "diffusers" else path.parent

    def _file(self, reference: str, path: Path) -> Resolution:
        if not stat.S_ISREG(path.stat().st_mode):
            raise RefusedFileError(f"{path} is not a regular file.", "Give the path of a model file.")
        read_any_header(path)  # what is damaged, or would run code, is not worth copying
        files = (path, *_companion_files(path))
        return self._resolution(reference, path.name, "file", path.parent, files)

    def _folder(self, reference: str, path: Path) -> Resolution:
        if not (path / INDEX).is_file():
            raise RefusedFileError(
                f"{path} is a folder without {INDEX}, so it is not a diffusers model.",
                f"Try: assetctl import {reference}",
            )
        self._see_place(path, path / INDEX, is_main=True)
        with (path / INDEX).open("rb") as file:
            index = read_index(file.read(LARGEST_INDEX), str(path))
        names = [file.relative_to(path).as_posix() for file in path.glob("*/*") if file.is_file()]
        chosen = [path / name for name in diffusers_files(names, index, str(path))]
        return self._resolution(reference, path.name, "diffusers", path, chosen)

    def _resolution(
        self, reference: str, name: str, form: str, base: Path, files: list[Path] | tuple[Path, ...]
    ) -> Resolution:
        for number, file in enumerate(files):
            self._see_place(base, file, is_main=form == "diffusers" or number == 0)
        remote = tuple(
            RemoteFile(safe_path(file.relative_to(base).as_posix(), str(base)), file.stat().st_size) for file in files
        )
        see_beside([file.path for file in remote], str(base))
        return Resolution(self.name, reference, None, None, name, form, remote)

    def _see_place(self, base: Path, path: Path, *, is_main: bool) -> None:
        """See that a file of an asset in the folder `base` may be taken.

        What was named by its hash may lie anywhere. What lies beside that was not: links could name anything there.

        Raises:
            RefusedFileError: It may not.
        """
        if not (is_main and self._known):
            self._keep_inside(path)
        if not is_main:
            self._keep_inside(path, Path(os.path.realpath(base)))

    def _keep_inside(self, path: Path, folder: Path | None = None) -> None:
        """See that a path does not lead out of the one folder, or out of a folder in that.

        Raises:
            RefusedFileError: It does.
        """
        if self._within is None:
            return
        within = folder or self._within
        place = Path(os.path.realpath(path))
        if not place.is_relative_to(within):
            by = "" if place == path else f", as {path} does"
            hint = "Put a copy of it in that folder. If you wrote the manifest yourself, add --allow-outside."
            raise RefusedFileError(f"{place} lies outside of {within}{by}.", hint)


def _companion_files(path: Path) -> tuple[Path, ...]:
    """Texts in the folder `NAME.config` beside a single file: its configuration in diffusers' form."""
    folder = path.with_name(f"{path.stem}.config")
    found = (*folder.glob("*"), *folder.glob("*/*"))
    return tuple(sorted(file for file in found if file.suffix in TEXT_SUFFIXES and file.is_file()))


def _is_companion(path: str, folder: str) -> bool:
    """Whether `_companion_files` could have found what a lockfile names so."""
    first, *below = path.split("/")
    return first == folder and len(below) in (1, 2) and PurePosixPath(path).suffix in TEXT_SUFFIXES


def _expand(reference: str) -> Path:
    try:
        return Path(os.path.abspath(Path(reference).expanduser()))  # noqa: PTH100 - `..` must go, links must stay
    except RuntimeError as error:
        raise UsageError(f"{reference} names a home folder that does not exist.", "Write the path in full.") from error


def _see_there(path: Path) -> None:
    """See that something is called so.

    Raises:
        NotFoundError: Nothing is.
        StorageError: The disk does not say.
    """
    with storage_errors(f"read {path}"):
        try:
            is_there = path.exists()
        except OSError as error:
            if error.errno != errno.ENAMETOOLONG:  # then nothing is
                raise
            is_there = False
        except ValueError:  # a null character
            is_there = False
    if not is_there:
        raise NotFoundError(f"There is no file or folder {path}.", "Check the spelling of the path.")


def _exists(reference: str) -> bool:
    try:
        return bool(reference) and Path(reference).exists()
    except (OSError, ValueError):
        return False
