"""The zip archives that `torch.save` writes: `NAME/data.pkl`, and each storage as `NAME/data/KEY`.

Nothing is inflated that does not say how large it is, or says that it is larger than a pickle can be.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from assetctl.files.pickles.budget import MAX_BYTES
from assetctl.files.pickles.numpy_files import MAGIC as NUMPY_MAGIC
from assetctl.files.pickles.numpy_files import read_array
from assetctl.files.pickles.verdict import refuse_dangerous

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import BinaryIO

    from assetctl.files.pickles.budget import Budget

#: Limits on an archive: entries, bytes of its directory, and bytes of all that are no storages together.
_MOST_ENTRIES, _LONGEST_DIRECTORY, _MOST_BYTES = 50_000, 4 * 2**20, 4 * MAX_BYTES

#: What the standard library raises over an archive that is damaged, or made to mislead.
DAMAGED = (
    zipfile.BadZipFile, zlib.error, struct.error, NotImplementedError, RuntimeError, EOFError, ValueError, KeyError,
    IndexError, OverflowError,
)  # fmt: skip
_CUT_SHORT = "is an archive that is damaged or cut short"
_EXHAUSTING = "holds a pickle that is made to exhaust memory"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a storage's bytes lie in its file: first byte, length, and whether they lie there as they are."""

    start: int
    length: int
    plain: bool = True


class Archive(io.BufferedReader):
    """A file that gives no more at a time than an archive's directory, or a pickle, may have.

    The standard library takes a directory in at one go, as long as it says that it is, and makes twenty times as much
    of it.
    """

    longest = _LONGEST_DIRECTORY

    def read(self, size: int | None = -1, /) -> bytes:
        """Read up to `size` bytes, or all that are left.

        Raises:
            BadZipFile: These are too many.
        """
        wanted = self.longest + 1 if size is None or size < 0 else size
        content = super().read(min(wanted, self.longest + 1))
        if len(content) > self.longest:
            raise zipfile.BadZipFile
        return content

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Go to a place.

        Raises:
            BadZipFile: It is before the file's beginning.
        """
        try:
            return super().seek(offset, whence)
        except OSError as error:
            raise zipfile.BadZipFile from error


def read_archive(budget: Budget, file: Archive) -> tuple[bytes | None, dict[str, Place]]:
    """The one pickle of an archive, seen to name nothing dangerous, and the places of its storages by key.

    The pickle is `None` for NumPy's archives of arrays, which are read and held no tensors.

    Raises:
        RefusedFileError: Some pickle in it would run code, or it is an archive of something else.
        CorruptFileError: It is damaged, cut short, or made to exhaust memory.
    """
    from picklescan.relaxed_zipfile import RelaxedZipFile  # noqa: PLC0415 - as lenient as PyTorch's own reader

    try:
        with RelaxedZipFile(file) as archive:
            file.longest = MAX_BYTES
            entries = archive.infolist()
            if len(entries) > _MOST_ENTRIES:
                raise budget.corrupt(f"has {len(entries)} entries")
            programs = [entry for entry in entries if entry.filename.rpartition("/")[2] == "data.pkl"]
            if not programs:
                _refuse_unless_numpy(budget, archive, entries)
                return None, {}
            root = programs[0].filename.removesuffix("data.pkl")
            storages, others = _parted(entries, f"{root}data/")
            contents = _scanned(budget, archive, others)
            if len(programs) > 1 or f"{root}constants.pkl" in contents:
                raise budget.refused("is a program saved by PyTorch, not a model's weights")
            places = {key: _place(file, entry) for key, entry in storages.items()}
    except DAMAGED as error:
        raise budget.corrupt(_CUT_SHORT) from error
    _refuse_overlapping(budget, places.values())
    return contents[programs[0].filename], places


def _parted(entries: list[zipfile.ZipInfo], below: str) -> tuple[dict[str, zipfile.ZipInfo], list[zipfile.ZipInfo]]:
    """Storages by key, and everything else."""
    storages = {entry.filename[len(below) :]: entry for entry in entries if entry.filename.startswith(below)}
    return storages, [entry for entry in entries if not entry.filename.startswith(below)]


def _scanned(budget: Budget, archive: zipfile.ZipFile, entries: list[zipfile.ZipInfo]) -> dict[str, bytes]:
    """Contents of entries by name, none of which is a dangerous pickle or an array of what one builds."""
    if sum(entry.file_size for entry in entries) > _MOST_BYTES:
        raise budget.corrupt(_EXHAUSTING)
    contents = {}
    for entry in entries:
        contents[entry.filename] = content = _inflated(budget, archive, entry)
        (read_array if content.startswith(NUMPY_MAGIC) else refuse_dangerous)(budget, content)
    return contents


def _inflated(budget: Budget, archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    if entry.file_size > MAX_BYTES:
        raise budget.corrupt(_EXHAUSTING)
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise budget.corrupt("is an archive that is compressed as no model is")
    with archive.open(entry) as stream:
        content = stream.read(MAX_BYTES)
        if len(content) != entry.file_size or stream.read(1):
            raise budget.corrupt(_CUT_SHORT)
    return content


def _place(file: BinaryIO, entry: zipfile.ZipInfo) -> Place:
    """Where an entry's bytes begin: behind a header of its own, which ends in a name and padding."""
    if entry.header_offset < 0:
        raise zipfile.BadZipFile
    file.seek(entry.header_offset)
    header = file.read(30)
    name, extra = struct.unpack("<26x2H", header)
    plain = entry.compress_type == zipfile.ZIP_STORED and entry.compress_size == entry.file_size
    return Place(entry.header_offset + 30 + name + extra, entry.file_size, plain)


def _refuse_overlapping(budget: Budget, places: Iterable[Place]) -> None:
    """See that no byte belongs to two storages: else a small file would hold as much as it says."""
    end = 0
    for place in sorted((place for place in places if place.plain and place.length), key=lambda place: place.start):
        if place.start < end:
            raise budget.corrupt("is an archive whose storages overlap")
        end = place.start + place.length


def _refuse_unless_numpy(budget: Budget, archive: zipfile.ZipFile, entries: list[zipfile.ZipInfo]) -> None:
    small = [entry for entry in entries if entry.file_size <= MAX_BYTES]
    contents = _scanned(budget, archive, small[: _MOST_BYTES // MAX_BYTES])
    arrays = [content for content in contents.values() if content.startswith(NUMPY_MAGIC)]
    if len(arrays) < len(entries):
        raise budget.refused("is a ZIP file, not a model", "Unpack it, and import what is in it.")
