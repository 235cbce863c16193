from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import pytest
from generated import texts
from generation import tiny
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from assetctl.errors import CorruptFileError, FileError, GenerationError, StorageError, UsageError
from assetctl.pictures import UsedAsset, infotext, picture_record, read_parameters, read_record, save_picture

SUFFIXES = ["png", "jpg", "JPEG", "webp"]
TEXT = "a cat\nSteps: 3, Sampler: Euler, Seed: 4, Size: 8x8"


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(*chunks: bytes, size: tuple[int, int] = (1, 1)) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", *size, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def write(folder: Path, content: bytes) -> Path:
    path = folder / "picture"
    path.write_bytes(content)
    return path


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pictures")


def noise() -> Any:
    return Image.linear_gradient("L").resize((64, 64)).convert("RGB")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_picture_keeps_its_parameters_and_record(tmp_path: Path, suffix: str):
    lora = tiny.asset(Path("detail"), "lora", "sd1", source="civitai:1@2")
    prompt = 'Ã© é 猫 🧑‍🎨, "x"\nNegative prompt: no\nSteps: 20'
    plan = tiny.plan(tiny.asset(Path("m"), "checkpoint", "sd1"), prompt, negative="bad", loras=[(lora, 0.5)])
    path, said = tmp_path / f"a.{suffix}", picture_record(plan, 9, {"torch": "2"})
    save_picture(noise(), path, infotext(plan, 9), said)

    assert read_record(path) == said
    found = read_parameters(path)
    assert found is not None
    assert found.software == "assetctl"
    assert found.prompt == f"{prompt} <lora:detail:0.5>"
    assert found.text == infotext(plan, 9)
    assert found.record == said
    assert (
        found.negative_prompt,
        found.settings["seed"],
        found.settings["steps"],
        found.settings["width"],
    ) == ("bad", 9, 2, 64)
    assert found.fields["Model hash"] == "ab" * 5
    assert found.assets == (
        UsedAsset("checkpoint", "m", "ab" * 32),
        UsedAsset("lora", "detail", "ab" * 32, 0.5, ("civitai:1@2",)),
    )
    with Image.open(path) as image:
        image.load()
        assert image.format == {"png": "PNG", "webp": "WEBP"}.get(suffix, "JPEG")
        assert image.size == (64, 64)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_same_picture_gives_the_same_bytes(tmp_path: Path, suffix: str):
    one, two = tmp_path / f"1.{suffix}", tmp_path / f"2.{suffix}"
    for path in (one, two):
        save_picture(noise(), path, TEXT, {"a": 1})
    assert one.read_bytes() == two.read_bytes()


@pytest.mark.parametrize("suffix", ["jpg", "webp"])
def test_others_find_the_text_in_the_comment(tmp_path: Path, suffix: str):
    path = tmp_path / f"a.{suffix}"
    save_picture(noise(), path, TEXT + " 猫", {"a": 1})
    with Image.open(path) as image:
        comment = image.getexif().get_ifd(0x8769)[0x9286]
    assert comment == b"UNICODE\0" + (TEXT + " 猫").encode("utf-16-be")


def test_a_jpeg_has_full_colour_resolution_and_no_transparency(tmp_path: Path):
    path = tmp_path / "a.jpg"
    save_picture(noise().convert("RGBA"), path, TEXT, {})
    with Image.open(path) as image:
        assert image.mode == "RGB"
        assert [layer[1:3] for layer in image.layer] == [(1, 1)] * 3


def test_texts_that_a_jpeg_can_not_hold_are_refused(tmp_path: Path):
    with pytest.raises(GenerationError, match="cannot hold") as caught:
        save_picture(noise(), tmp_path / "a.jpg", "x" * 40_000, {})
    assert "PNG" in str(caught.value.hint)
    assert list(tmp_path.iterdir()) == []
    save_picture(noise(), tmp_path / "a.webp", "x" * 400_000 + "\n" + TEXT, {})
    found = read_parameters(tmp_path / "a.webp")
    assert found is not None
    assert len(found.prompt or "") == 400_006


def test_other_suffixes_are_refused(tmp_path: Path):
    with pytest.raises(UsageError, match="suffix"):
        save_picture(noise(), tmp_path / "a.gif", "", {})


@pytest.mark.parametrize(
    "comment",
    [
        b"UNICODE\0" + TEXT.encode("utf-16-be"),
        b"UNICODE\0" + TEXT.encode("utf-16-le"),
        b"UNICODE\0" + TEXT.encode("utf-16"),
        b"UNICODE\0\xfe\xff" + TEXT.encode("utf-16-be"),
        b"UNICODE\0" + TEXT.encode(),
        b"ASCII\0\0\0" + TEXT.encode(),
        b"JIS\0\0\0\0\0" + TEXT.encode("iso2022_jp"),
        bytes(8) + TEXT.encode(),
        TEXT.encode(),
    ],
)
@pytest.mark.parametrize("suffix", ["jpg", "webp", "png"])
def test_comments_of_every_encoding_are_read(tmp_path: Path, comment: bytes, suffix: str):
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9286] = comment
    path = tmp_path / f"a.{suffix}"
    Image.new("RGB", (2, 2)).save(path, exif=exif.tobytes())
    found = read_parameters(path)
    assert found is not None
    assert (found.prompt, found.settings["steps"], found.settings["seed"]) == ("a cat", 3, 4)


def test_a_jpeg_comment_is_read(tmp_path: Path):
    Image.new("RGB", (2, 2)).save(tmp_path / "a.jpg", comment=TEXT)
    found = read_parameters(tmp_path / "a.jpg")
    assert found is not None
    assert found.settings["steps"] == 3


@pytest.mark.parametrize(
    "text",
    [
        chunk(b"tEXt", b"parameters\0" + TEXT.encode()),
        chunk(b"zTXt", b"parameters\0\0" + zlib.compress(TEXT.encode())),
        chunk(b"iTXt", b"parameters\0\0\0\0\0" + TEXT.encode()),
        chunk(b"iTXt", b"parameters\0\1\0en\0Parameter\0" + zlib.compress(TEXT.encode())),
    ],
)
def test_every_text_chunk_is_read_before_and_after_the_pixels(tmp_path: Path, text: bytes):
    for content in (png(text), png(chunk(b"IDAT", b"x"), text), png(text, size=(2**31 - 1, 2**31 - 1))):
        found = read_parameters(write(tmp_path, content))
        assert found is not None
        assert found.settings["steps"] == 3


@pytest.mark.parametrize(
    "text",
    [
        chunk(b"zTXt", b"parameters\0\0" + zlib.compress(bytes(50_000_000))),
        chunk(b"iTXt", b"parameters\0\1\0\0\0" + zlib.compress(bytes(50_000_000))),
        chunk(b"tEXt", b"parameters\0" + b"x" * (2**21 + 1)),
        chunk(b"zTXt", b"parameters\0\0broken"),
        chunk(b"iTXt", b"parameters"),
        chunk(b"tEXt", b"") * 10_000,
        chunk(b"eXIf", b"MM\0*\xff\xff\xff\xff"),
        chunk(b"eXIf", b"II*\0\x08\0\0\0" + b"\xff" * 100),
    ],
    ids=["zTXt bomb", "iTXt bomb", "long", "broken", "cut", "many", "exif", "exif entries"],
)
def test_texts_beyond_the_limits_are_left_out(tmp_path: Path, text: bytes):
    assert read_parameters(write(tmp_path, png(text))) is None


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
def test_a_picture_that_is_cut_short_is_damaged(tmp_path: Path, suffix: str):
    path = tmp_path / f"a.{suffix}"
    save_picture(noise(), path, TEXT, {"a": 1})
    whole = path.read_bytes()
    for length in (len(whole) - 1, len(whole) // 2, 40, 13):
        path.write_bytes(whole[:length])
        with pytest.raises(CorruptFileError, match="damaged") as caught:
            read_parameters(path)
        assert caught.value.hint


@pytest.mark.parametrize("content", [b"GIF89a", b"hello", b"RIFF\0\0\0\0WAVE", b"\x89PNG"])
def test_what_is_no_picture_is_told_so(tmp_path: Path, content: bytes):
    with pytest.raises(FileError, match="not a PNG, JPEG or WebP"):
        read_parameters(write(tmp_path, content))


def test_what_can_not_be_read_is_told_so(tmp_path: Path):
    with pytest.raises(CorruptFileError, match="is empty"):
        read_parameters(write(tmp_path, b""))
    with pytest.raises(StorageError, match="cannot be read"):
        read_parameters(tmp_path / "missing.png")
    with pytest.raises(FileError, match="not a regular file"):
        read_record(tmp_path)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_record_comes_back_with_every_character(tmp_path: Path, suffix: str):
    text = "a\u200b cat\r\n\u202eb\x1b\ufeff \x85 "
    said = {"version": 1, "prompt": text, "negative_prompt": "\r", "seed": 2**64 - 1, "cfg_scale": 0.1}
    path = tmp_path / f"a.{suffix}"
    save_picture(noise(), path, TEXT, said)
    found = read_parameters(path)
    assert found is not None
    assert found.record == read_record(path) == said
    assert (found.prompt, found.negative_prompt) == ("a cat\nb", None)


@pytest.mark.parametrize("value", ['"\\ud800"', "NaN", "1e300", "1" + "0" * 30, "[" * 100 + "]" * 100])
def test_a_record_that_could_not_have_been_written_is_none(tmp_path: Path, value: str):
    path = write(tmp_path, png(chunk(b"tEXt", b'assetctl\0{"prompt": ' + value.encode() + b"}")))
    assert read_record(path) is None


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(-1e18, 1e18) | texts(4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts(2), inner, max_size=3),
    max_leaves=8,
)


@given(said=st.dictionaries(texts(2), VALUES, max_size=4), suffix=st.sampled_from(["png", "jpg", "webp"]))
def test_any_record_comes_back_from_any_picture(place: Path, said: dict[str, Any], suffix: str):
    path = place / f"a.{suffix}"
    path.unlink(missing_ok=True)
    save_picture(Image.new("RGB", (8, 8)), path, TEXT, said)
    assert read_record(path) == said
