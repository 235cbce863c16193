"""The header of a model file in whatever format it is; its content decides, not its name."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from assetctl.errors import AssetctlError, CorruptFileError, OtherFormatError, RefusedFileError
from assetctl.files.safetensors import PICKLE_SUFFIXES, Header, read_header

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def contained(path: Path) -> Iterator[None]:
    """Make whatever goes wrong while `path` is read an error of that file's.

    Readers tell what is wrong with a file as well as they can. What none of them has thought of is as good as damage:
    it must end neither the work on other files, nor with words that are about us.

    Raises:
        CorruptFileError: Something that is none of our errors, nor the system's, was raised.
    """
    try:
        yield
    except (AssetctlError, OSError):
        raise
    except (MemoryError, RecursionError) as error:
        hint = "It may be made to exhaust memory: get it from a source that you trust."
        raise CorruptFileError(f"{path} takes more memory to read than there is.", hint) from error
    except Exception as error:
        met = type(error).__name__
        hint = f"Fetch it again from its source. If other programs read it well, report that assetctl met a {met}."
        raise CorruptFileError(f"{path} cannot be read: it is damaged, or made to deceive.", hint) from error


def read_any_header(path: Path) -> Header:
    """Names, dtypes and shapes of the tensors of a safetensors, pickle or GGUF file, or of a PNG's embedding.

    Raises:
        RefusedFileError: It is none of these, or a pickle that would run code.
        CorruptFileError: It is damaged or cut short.
        StorageError: It cannot be opened.
    """
    with contained(path):
        return _header(path)


def _header(path: Path) -> Header:
    try:
        found, header = "safetensors", read_header(path)
    except OtherFormatError as other:
        found, header = other.format, None
        if found == "pickle" and path.suffix.lower() in (".safetensors", ".sft"):
            # Whoever names it so means to get it past those who are careful.
            hint = "Do not trust its source. If you do: give it the suffix .pt, and `assetctl convert` it."
            raise RefusedFileError(f"{path} is a pickle under the name of a safetensors file.", hint) from other
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
