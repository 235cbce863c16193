"""The zip archives that `torch.save` writes: `NAME/data.pkl`, and each storage as `NAME/data/KEY`.

Nothing is inflated that does not say how large it is, or says that it is larger than a pickle can be.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from assetctl.errors import CorruptFileError, RefusedFileError
from assetctl.files.pickles.numpy_files import MAGIC as NUMPY_MAGIC
from assetctl.files.pickles.numpy_files import read_array
from assetctl.files.pickles.verdict import DO_NOT_LOAD, MAX_BYTES, refuse_dangerous

if TYPE_CHECKING:
    from pathlib import Path
    from typing import BinaryIO

#: Limits on an archive: entries, and bytes of all that are no storages together.
_MOST_ENTRIES, _MOST_BYTES = 100_000, 4 * MAX_BYTES

_DAMAGED = (
    zipfile.BadZipFile, zlib.error, struct.error, NotImplementedError, RuntimeError, EOFError, ValueError, KeyError,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Place:
    """Where a storage's bytes lie in its file: first byte, length, and whether they lie there as they are."""

    start: int
    length: int
    plain: bool = True


def read_archive(path: Path, file: BinaryIO) -> tuple[bytes | None, dict[str, Place]]:
    """The one pickle of an archive, seen to name nothing dangerous, and the places of its storages by key.

    The pickle is `None` for NumPy's archives of arrays, which are read and held no tensors.

    Raises:
        RefusedFileError: Some pickle in it would run code, or it is an archive of something else.
        CorruptFileError: It is damaged, cut short, or made to exhaust memory.
    """
    from picklescan.relaxed_zipfile import RelaxedZipFile  # noqa: PLC0415 - as lenient as PyTorch's own reader

    try:
        with RelaxedZipFile(file) as archive:
            entries = archive.infolist()
            if len(entries) > _MOST_ENTRIES:
                raise _corrupt(path, f"has {len(entries)} entries")
            programs = [entry for entry in entries if entry.filename.rpartition("/")[2] == "data.pkl"]
            if not programs:
                _refuse_unless_numpy(path, archive, entries)
                return None, {}
            root = programs[0].filename.removesuffix("data.pkl")
            storages, others = _parted(entries, f"{root}data/")
            contents = _scanned(path, archive, others)
            if len(programs) > 1 or f"{root}constants.pkl" in contents:
                raise RefusedFileError(f"{path} is a program saved by PyTorch, not a model's weights.", DO_NOT_LOAD)
            return contents[programs[0].filename], {key: _place(file, entry) for key, entry in storages.items()}
    except _DAMAGED as error:
        raise _corrupt(path, "is an archive that is damaged or cut short") from error


def _parted(entries: list[zipfile.ZipInfo], below: str) -> tuple[dict[str, zipfile.ZipInfo], list[zipfile.ZipInfo]]:
    """Storages by key, and everything else."""
    storages = {entry.filename[len(below) :]: entry for entry in entries if entry.filename.startswith(below)}
    return storages, [entry for entry in entries if not entry.filename.startswith(below)]


def _scanned(path: Path, archive: zipfile.ZipFile, entries: list[zipfile.ZipInfo]) -> dict[str, bytes]:
    """Contents of entries by name, none of which is a dangerous pickle or an array of what one builds."""
    if sum(entry.file_size for entry in entries) > _MOST_BYTES:
        raise _corrupt(path, "holds a pickle that is made to exhaust memory")
    contents = {}
    for entry in entries:
        contents[entry.filename] = content = _inflated(path, archive, entry)
        (read_array if content.startswith(NUMPY_MAGIC) else refuse_dangerous)(path, content)
    return contents


def _inflated(path: Path, archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    if entry.file_size > MAX_BYTES:
        raise _corrupt(path, "holds a pickle that is made to exhaust memory")
    with archive.open(entry) as stream:
        content = stream.read(MAX_BYTES + 1)
    if len(content) != entry.file_size:
        raise _corrupt(path, "is an archive that is damaged or cut short")
    return content


def _place(file: BinaryIO, entry: zipfile.ZipInfo) -> Place:
    """Where an entry's bytes begin: behind a header of its own, which ends in a name and padding."""
    file.seek(entry.header_offset)
    header = file.read(30)
    name, extra = struct.unpack("<26x2H", header)
    plain = entry.compress_type == zipfile.ZIP_STORED and entry.compress_size == entry.file_size
    return Place(entry.header_offset + 30 + name + extra, entry.file_size, plain)


def _refuse_unless_numpy(path: Path, archive: zipfile.ZipFile, entries: list[zipfile.ZipInfo]) -> None:
    small = [entry for entry in entries if entry.file_size <= MAX_BYTES]
    contents = _scanned(path, archive, small[: _MOST_BYTES // MAX_BYTES])
    arrays = [content for content in contents.values() if content.startswith(NUMPY_MAGIC)]
    if len(arrays) < len(entries):
        raise RefusedFileError(f"{path} is a ZIP file, not a model.", "Unpack it, and import what is in it.")


def _corrupt(path: Path, why: str) -> CorruptFileError:
    return CorruptFileError(f"{path} {why}.", "Fetch it again from its source.")
