from __future__ import annotations

import contextlib
import random
import struct
from typing import TYPE_CHECKING

import pytest

from assetctl.errors import AssetctlError, CorruptFileError, OtherFormatError, RefusedFileError
from assetctl.files.gguf import read_gguf
from assetctl.files.safetensors import read_header
from assetctl.identify import identify

if TYPE_CHECKING:
    from pathlib import Path

F16, Q4_K = 1, 12


def text(word: str) -> bytes:
    return struct.pack("<Q", len(word)) + word.encode()


def gguf(path: Path, tensors: dict[str, tuple[int, ...]], fields: bytes = b"", count: int = 0, **change: int) -> Path:
    """A file whose matrices are Q4_K, or of another type as wide, and whose other tensors are F16."""
    body, listed = b"", b""
    for name, shape in tensors.items():
        kind, size = (change.get("type", Q4_K), 144) if len(shape) == 2 else (F16, 2 * 256)
        total = 1
        for length in shape:
            total *= length
        listed += text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *reversed(shape), kind, len(body))
        body += b"\0" * (-(-(total * size // 256) // 32) * 32)
    head = b"GGUF" + struct.pack("<IQQ", change.get("version", 3), change.get("tensors", len(tensors)), count)
    head += fields + listed
    path.write_bytes(head + b"\0" * (-len(head) % 32) + body)
    return path


FLUX = {
    "double_blocks.0.img_attn.qkv.weight": (9216, 3072),
    "double_blocks.0.img_attn.norm.query_norm.scale": (128,),
    "single_blocks.0.linear1.weight": (21504, 3072),
    "img_in.weight": (3072, 256),
    "time_in.in_layer.weight": (3072, 256),
    "guidance_in.in_layer.weight": (3072, 256),
    "vector_in.in_layer.weight": (3072, 768),
    "txt_in.weight": (3072, 4096),
}


def test_names_shapes_and_types_are_read_and_identified(tmp_path: Path):
    architecture = text("general.architecture") + struct.pack("<I", 8) + text("flux")
    numbers = text("some.numbers") + struct.pack("<IIQ3f", 9, 6, 3, 1, 2, 3)
    header = read_gguf(gguf(tmp_path / "flux.gguf", FLUX, architecture + numbers, 2))
    assert header.format == "gguf"
    assert header.shape("double_blocks.0.img_attn.qkv.weight") == (9216, 3072)
    assert header.tensors["img_in.weight"]["dtype"] == "Q4_K"
    assert header.metadata == {"general.architecture": "flux"}
    found = identify(tmp_path / "flux.gguf")
    assert (found.kind, found.family, found.format) == ("diffusion-model", "flux1", "gguf")


def test_a_shape_that_was_flattened_is_told_as_it_was(tmp_path: Path):
    true = text("comfy.gguf.orig_shape.x") + struct.pack("<IIQ4i", 9, 5, 4, 2, 4, 8, 8)
    assert read_gguf(gguf(tmp_path / "a.gguf", {"x": (2, 256)}, true, 1)).shape("x") == (2, 4, 8, 8)
    lie = text("comfy.gguf.orig_shape.x") + struct.pack("<IIQ4i", 9, 5, 4, 2, 4, 8, 9)
    assert read_gguf(gguf(tmp_path / "b.gguf", {"x": (2, 256)}, lie, 1)).shape("x") == (2, 256)


def test_it_is_no_safetensors_file(tmp_path: Path):
    with pytest.raises(OtherFormatError, match="GGUF"):
        read_header(gguf(tmp_path / "a.gguf", {"x": (2, 256)}))


def test_an_unknown_version_is_refused(tmp_path: Path):
    with pytest.raises(RefusedFileError, match="version 9"):
        read_gguf(gguf(tmp_path / "a.gguf", {"x": (2, 256)}, version=9))


@pytest.mark.parametrize("number", [31, 99])
def test_a_type_of_another_time_is_refused_and_not_called_damage(tmp_path: Path, number: int):
    with pytest.raises(RefusedFileError, match=f"type {number}") as caught:
        read_gguf(gguf(tmp_path / "a.gguf", {"x": (2, 256)}, type=number))
    assert "newer assetctl" in str(caught.value.hint)


def test_a_type_that_no_version_has_is_damage(tmp_path: Path):
    with pytest.raises(CorruptFileError):
        read_gguf(gguf(tmp_path / "a.gguf", {"x": (2, 256)}, type=2**31))


def test_nvfp4_is_known(tmp_path: Path):
    header = read_gguf(gguf(tmp_path / "a.gguf", {"x": (2, 256)}, type=40))  # four blocks of 64 are as wide as Q4_K's
    assert (header.tensors["x"]["dtype"], header.tensors["x"]["data_offsets"]) == ("NVFP4", [0, 288])


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-1000],
        lambda data: data[:60],
        lambda data: data[:8] + b"\xff" * 8 + data[16:],
        lambda data: data.replace(b"img_in", b"txt_in"),
    ],
    ids=["body cut", "header cut", "number of tensors", "two of one name"],
)
def test_damage_is_told(tmp_path: Path, damage):
    path = gguf(tmp_path / "a.gguf", FLUX)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(CorruptFileError):
        read_gguf(path)


def test_mutated_headers_give_a_verdict_and_nothing_else(tmp_path: Path):
    chance = random.Random(3)
    fields = text("a.list") + struct.pack("<IIQ2f", 9, 6, 2, 1, 2)
    good = gguf(tmp_path / "good.gguf", {"x.weight": (2, 256), "y": (256,)}, fields, 1).read_bytes()
    path = tmp_path / "bad.gguf"
    for _ in range(3_000):
        data = bytearray(good)
        for _ in range(chance.randint(1, 6)):
            data[chance.randrange(4, 220)] = chance.choice((0, 1, 9, 255, chance.randrange(256)))
        path.write_bytes(data)
        with contextlib.suppress(AssetctlError):  # anything else is a failure
            identify(path)
