"""Embeddings inside pictures: A1111 writes a textual inversion into a PNG, so that it can be shared as its preview.

The text chunk `sd-ti-embedding` holds Base64 of JSON: what an embedding's `.pt` holds, with a tensor written as
`{"TORCHTENSOR": [[…], …]}`.
Source: AUTOMATIC1111/stable-diffusion-webui, `modules/textual_inversion/image_embedding.py`.
"""

from __future__ import annotations

import base64
import binascii
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from assetctl.errors import CorruptFileError, RefusedFileError, StorageError
from assetctl.files.safetensors import Header, separators

if TYPE_CHECKING:
    from pathlib import Path
    from typing import BinaryIO

_SIGNATURE = b"\x89PNG\r\n\x1a\n"

#: What the text is called.
KEYWORD = "sd-ti-embedding"

_START = KEYWORD.encode() + b"\0"

#: Limits on the chunk's bytes and the separators in it: 64 vectors of 2048 numbers, in decimals and Base64, are 4 MB.
_LONGEST, _MOST_SEPARATORS = 16 * 2**20, 2**20
_MOST_CHUNKS = 100_000

#: Characters of a name that is believed.
_LONGEST_WORD = 1000

#: The largest number that rounds to one of 32 bits.
_LARGEST = 3.4028235677973362e38


@dataclass(frozen=True, slots=True)
class PictureEmbedding:
    """An embedding that was read from a picture: its header, and its vectors by name as rows of numbers."""

    header: Header
    vectors: dict[str, list[list[float]]]


def holds_embedding(path: Path) -> bool:
    """Whether a file is a PNG with an embedding in it, whole or damaged; pixels are not read."""
    try:
        with path.open("rb") as file:
            return file.read(len(_SIGNATURE)) == _SIGNATURE and _embedding(file) is not None
    except OSError:
        return False


def read_png_embedding(path: Path) -> PictureEmbedding:
    """Read the embedding inside a PNG.

    Raises:
        RefusedFileError: It is a picture and no more.
        CorruptFileError: The embedding is damaged.
        StorageError: It cannot be opened.
    """
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(len(_SIGNATURE))
            text = _embedding(file)
    except OSError as error:
        raise StorageError(f"{path} cannot be read: {error.strerror}.", "Check its permissions.") from error
    if text is None:
        raise RefusedFileError(
            f"{path} is a picture, not a model.", "To see what it was made with: `assetctl inspect PICTURE`."
        )
    try:
        raw = base64.b64decode(text[len(_START) :], validate=True)
        said: Any = orjson.loads(raw) if separators(raw) <= _MOST_SEPARATORS else None
        vectors = {f"string_to_param.{key}": _rows(value) for key, value in said["string_to_param"].items()}
    except (binascii.Error, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CorruptFileError(f"{path} holds an embedding that is damaged.", "Fetch it again.") from error
    words = {key: said[key] for key in ("name", "sd_checkpoint_name") if _is_word(said.get(key))}
    return PictureEmbedding(_header(path, size, vectors, words), vectors)


def _embedding(file: BinaryIO) -> bytes | None:
    """The first whole `tEXt` chunk with an embedding, of the file's chunks from here on.

    Each chunk is its length, its name, its content, and a checksum of the two.
    """
    for _ in range(_MOST_CHUNKS):
        start = file.read(8)
        length, name = int.from_bytes(start[:4]), start[4:]
        if len(start) < 8 or name == b"IEND":
            return None
        begun = file.read(min(length, len(_START)))
        left = length - len(begun)
        if name != b"tEXt" or begun != _START or length > _LONGEST:
            file.seek(left + 4, 1)
            continue
        content, checksum = begun + file.read(left), file.read(4)
        if zlib.crc32(name + content).to_bytes(4) == checksum:
            return content
    return None


def _rows(tensor: Any) -> list[list[float]]:  # noqa: ANN401 - JSON from outside
    rows = tensor["TORCHTENSOR"]
    if type(rows) is not list or set(map(type, rows)) != {list} or len(set(map(len, rows))) != 1 or not rows[0]:
        raise ValueError
    for row in rows:
        if not {int, float}.issuperset(map(type, row)) or not -_LARGEST < min(row) <= max(row) < _LARGEST:
            raise ValueError
    return rows


def _is_word(value: object) -> bool:
    return isinstance(value, str) and len(value) <= _LONGEST_WORD


def _header(path: Path, size: int, vectors: dict[str, list[list[float]]], said: dict[str, str]) -> Header:
    table, start = {}, 0
    for name, rows in vectors.items():
        end = start + 4 * len(rows) * len(rows[0])
        table[name] = {"dtype": "F32", "shape": [len(rows), len(rows[0])], "data_offsets": [start, end]}
        start = end
    return Header(path, size, 0, table, said, format="png")
