"""The header of a model file in whatever format it is; its content decides, not its name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assetctl.errors import ForeignFormatError, RefusedFileError
from assetctl.files.contained import contained
from assetctl.files.safetensors import Header, read_header
from assetctl.files.sniff import PICKLE_SUFFIXES

if TYPE_CHECKING:
    from pathlib import Path


def read_any_header(path: Path) -> Header:
    """Names, dtypes and shapes of the tensors of a safetensors, pickle or GGUF file, or of a PNG's embedding.

    Raises:
        RefusedFileError: It is none of these, or a pickle that would run code.
        CorruptFileError: It is damaged or cut short.
        StorageError: It can not be opened.
    """
    with contained(path):
        return _header(path)


def _header(path: Path) -> Header:
    try:
        found, header = "safetensors", read_header(path)
    except ForeignFormatError as foreign:
        found, header = foreign.format, None
        if found == "pickle" and path.suffix.lower() in (".safetensors", ".sft"):
            # Whoever names it so means to get it past those who are careful.
            hint = "Do not trust its source. If you do: give it the suffix .pt, and `assetctl convert` it."
            raise RefusedFileError(f"{path} is a pickle under the name of a safetensors file.", hint) from foreign
    if found != "pickle" and path.suffix.lower() in PICKLE_SUFFIXES:
        from assetctl.files.pickles import refuse_program_in  # noqa: PLC0415 - few files are named so

        refuse_program_in(path)
    return header or _foreign(path, found)


def _foreign(path: Path, found: str) -> Header:
    if found == "gguf":
        from assetctl.files.gguf import read_gguf  # noqa: PLC0415 - most files are safetensors

        return read_gguf(path)
    if found == "png":
        from assetctl.files.png_embeddings import read_png_embedding  # noqa: PLC0415 - as above

        return read_png_embedding(path).header
    from assetctl.files.pickles import read_pickle  # noqa: PLC0415 - as above

    return read_pickle(path).header
