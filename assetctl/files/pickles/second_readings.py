"""Files that are two things at once: what one program reads is not what another one runs.

PyTorch takes a file that begins as a zip archive for one, then whatever `tarfile` can open for its oldest format, a tar
archive of pickles, and only then reads its older stream. Others look for a zip archive's directory, which stands at the
end. No honest file can be read in two of these ways. Source: PyTorch's `torch/serialization.py`.
"""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING

from assetctl.files.pickles.archives import DAMAGED, Archive
from assetctl.files.pickles.budget import MAX_BYTES, Budget
from assetctl.files.pickles.verdict import begins_program

if TYPE_CHECKING:
    from pathlib import Path

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
        OSError: It can not be read.
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
