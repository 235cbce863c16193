from __future__ import annotations

import base64
import json
import struct
import zlib
from pathlib import Path

import pytest
from material import convert

from assetctl.errors import CorruptFileError, RefusedFileError
from assetctl.files.safetensors import read_header
from assetctl.identify import identify

EMBEDDINGS = Path(__file__).parents[2] / "../shared/corpus/embeddings"


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def picture(path: Path, *chunks: bytes) -> Path:
    head = chunk(b"IHDR", struct.pack(">2I5B", 1, 1, 8, 0, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(b"\0\0"))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + head + b"".join(chunks) + body + chunk(b"IEND", b""))
    return path


def embedding(said: object) -> bytes:
    return chunk(b"tEXt", b"sd-ti-embedding\0" + base64.b64encode(json.dumps(said).encode()))


ROWS = {"TORCHTENSOR": [[0.5] * 768, [0.25] * 768]}


def test_it_is_identified_with_the_token_that_a1111_takes(tmp_path: Path):
    said = {"string_to_param": {"*": ROWS}, "name": "calico cat", "step": 100}
    found = identify(picture(tmp_path / "shared.png", embedding(said)))
    assert (found.kind, found.family, found.trigger_words) == ("embedding", "sd1", ("calico cat",))


def test_it_becomes_a_safetensors_file_with_that_token(tmp_path: Path):
    said = {"string_to_param": {"*": ROWS}, "name": "calico cat"}
    target = tmp_path / "out.safetensors"
    convert(picture(tmp_path / "shared.png", embedding(said)), target)
    assert read_header(target).shape("calico cat") == (2, 768)
    assert identify(target).trigger_words == ("calico cat",)
    assert target.read_bytes().endswith(struct.pack("<768f", *[0.25] * 768))


def test_a_picture_is_no_model(tmp_path: Path):
    with pytest.raises(RefusedFileError, match="picture"):
        identify(picture(tmp_path / "cat.png"))


@pytest.mark.parametrize(
    "bad",
    [
        chunk(b"tEXt", b"sd-ti-embedding\0%%%"),
        chunk(b"tEXt", b"sd-ti-embedding\0" + base64.b64encode(b"no JSON")),
        embedding([1, 2]),
        embedding({"string_to_param": {"*": {"TORCHTENSOR": [[1, 2], [3]]}}}),
        embedding({"string_to_param": {"*": {"TORCHTENSOR": [["x"]]}}}),
        embedding({"string_to_param": {"*": {"TORCHTENSOR": [[[1]]]}}}),
    ],
    ids=["base64", "json", "list", "ragged", "words", "deep"],
)
def test_a_damaged_one_is_told(tmp_path: Path, bad: bytes):
    with pytest.raises(CorruptFileError):
        identify(picture(tmp_path / "bad.png", bad))


@pytest.mark.skipif(not EMBEDDINGS.is_dir(), reason="the third-party corpus is not beside the checkout")
def test_one_embedding_as_pickle_and_as_picture_has_the_same_numbers(tmp_path: Path):
    for source in ("a1111-8x768.pt", "a1111-8x768.png"):
        convert(EMBEDDINGS / source, tmp_path / f"{source}.safetensors")
    files = [tmp_path / f"a1111-8x768.{suffix}.safetensors" for suffix in ("pt", "png")]
    one, other = (path.read_bytes()[read_header(path).data_start :] for path in files)
    assert one == other
    assert len(one) == 8 * 768 * 4
