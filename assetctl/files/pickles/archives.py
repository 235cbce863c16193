"""Archives that hold pickles, numpy files, and files that can be read in two ways."""

from __future__ import annotations

import ast
import io
import struct
import zipfile
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from assetctl.files.pickles.machine import build
from assetctl.files.pickles.verdict import MAX_BYTES, Budget, begins_program, refuse_dangerous

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path
    from typing import BinaryIO


#: Limits on an archive: entries, bytes of its directory, and bytes of all that are no storages together.
_MOST_ENTRIES, _LONGEST_DIRECTORY, _MOST_BYTES = 50_000, 4 * 2**20, 4 * MAX_BYTES

#: What the standard library raises over an archive that is damaged, or made to deceive.
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


NUMPY_MAGIC = b"\x93NUMPY"

#: Limit on the bytes that describe an array; NumPy has the same.
_LONGEST_HEADER = 10_000


def read_array(budget: Budget, data: bytes) -> None:
    """See that an array can be read, and that its objects, if it has any, do nothing when they are loaded.

    Raises:
        RefusedFileError: They would run code.
        CorruptFileError: It is damaged.
    """
    wide = 4 if data[6:7] in (b"\x02", b"\x03") else 2
    start = 8 + wide
    end = start + int.from_bytes(data[8:start], "little")
    budget.spend(max(1, end - start))  # to read a character takes about a step
    try:
        described = ast.literal_eval(data[start : min(end, start + _LONGEST_HEADER)].decode("latin1").strip())
        has_objects = "O" in str(described["descr"])
    except (ValueError, SyntaxError, TypeError, KeyError, MemoryError, RecursionError) as error:
        raise budget.corrupt("is a damaged NumPy array") from error
    if has_objects:
        if not refuse_dangerous(budget, data, end):
            raise budget.corrupt("is not a valid pickle, or is cut short")
        build(budget, data, end)


#: Bytes of a tar archive's first header, by which it is known.
_TAR_HEADER = 512


def refuse_second_readings(budget: Budget, file: Archive) -> None:
    """See that a file that does not begin as a zip archive is no archive in any other way; leaves it at its beginning.

    Raises:
        RefusedFileError: It is one.
    """
    file.seek(0)
    start = file.read(_TAR_HEADER)
    if _is_tar(start):
        raise budget.refused("is a tar archive of pickles, whose code PyTorch would run, or is made to pass for one")
    if _is_zip(file):
        raise budget.refused("has a zip archive behind it, so that programs load one or the other")
    file.seek(0)


def refuse_program_in(path: Path) -> None:
    """See that a file of another format is nothing that runs code where its name makes programs load it as a pickle.

    Raises:
        RefusedFileError: It is a pickle, or an archive, as well.
        CorruptFileError: It is made to exhaust memory or time.
        OSError: It cannot be read.
    """
    budget = Budget(path)
    with Archive(path.open("rb", buffering=0)) as file:
        refuse_second_readings(budget, file)
        file.longest = MAX_BYTES
        if begins_program(budget, file.read(MAX_BYTES)):
            raise budget.refused("is made to pass for what it is not: to programs that go by its name, it is a pickle")


def _is_tar(start: bytes) -> bool:
    """Whether the standard library, and so PyTorch, takes a file for a tar archive; `ustar` alone makes others do."""
    import tarfile  # noqa: PLC0415 - few files are pickles

    try:
        tarfile.TarInfo.frombuf(start, "utf-8", "surrogateescape")
    except (tarfile.TarError, ValueError):
        return start[257:262] == b"ustar"
    return True


def _is_zip(file: Archive) -> bool:
    """Whether a directory that lists something stands at a file's end."""
    from picklescan.relaxed_zipfile import RelaxedZipFile  # noqa: PLC0415 - as lenient as PyTorch's own reader

    try:
        if not zipfile.is_zipfile(file):
            return False
        with RelaxedZipFile(file) as archive:
            return bool(archive.infolist())
    except DAMAGED:
        return False
