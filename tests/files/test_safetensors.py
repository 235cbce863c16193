from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from headers import write_raw, write_safetensors

from assetctl.errors import CorruptFileError, RefusedFileError, StorageError
from assetctl.files.safetensors import read_header

CORPUS = Path(__file__).resolve().parents[2] / "../shared/corpus/bad_safetensors"
SAMPLES = sorted(CORPUS.glob("*.safetensors"))

GOOD = {"dtype": "F16", "shape": [2, 2], "data_offsets": [0, 8]}


def write(path: Path, header: object, data: int = 8) -> Path:
    return write_raw(path, json.dumps(header).encode(), data)


@pytest.mark.skipif(not SAMPLES, reason="the third-party corpus is not beside the checkout")
def test_the_reference_librarys_own_samples_are_refused_and_accepted_as_it_does():
    for sample in SAMPLES:
        if sample.name.startswith("ok_"):
            read_header(sample)
        else:
            with pytest.raises(CorruptFileError):
                read_header(sample)


def test_a_header_gives_names_shapes_and_metadata(tmp_path):
    header = read_header(write_safetensors(tmp_path / "a.safetensors", {"a.b": [2, 3], "c": []}, {"k": "v"}))
    assert header.names == "\na.b\nc\n"
    assert header.shape("a.b") == (2, 3)
    assert header.shape("c") == ()
    assert header.shape("absent") is None
    assert header.metadata == {"k": "v"}
    assert header.has("\na.")
    assert not header.has("\nb")


def test_tensors_may_stand_in_any_order(tmp_path):
    tensors = {
        "second": {**GOOD, "data_offsets": [8, 16]},
        "first": GOOD,
        "empty": {**GOOD, "shape": [0], "data_offsets": [8, 8]},
    }
    assert len(read_header(write(tmp_path / "a.safetensors", tensors, 16)).tensors) == 3


def test_elements_smaller_than_a_byte_are_counted(tmp_path):
    packed = {"a": {"dtype": "F4", "shape": [6], "data_offsets": [0, 3]}}
    assert read_header(write(tmp_path / "a.safetensors", packed, 3)).shape("a") == (6,)
    odd = {"a": {"dtype": "F4", "shape": [5], "data_offsets": [0, 3]}}
    with pytest.raises(CorruptFileError):
        read_header(write(tmp_path / "b.safetensors", odd, 3))


@pytest.mark.parametrize(
    ("tensors", "data"),
    [
        ({"a": GOOD}, 7),  # cut short
        ({"a": GOOD}, 9),  # bytes that no tensor names
        ({"a": GOOD, "b": {**GOOD, "data_offsets": [4, 12]}}, 12),  # overlap
        ({"a": GOOD, "b": {**GOOD, "data_offsets": [10, 18]}}, 18),  # gap
        ({"a": GOOD, "b": {**GOOD, "shape": [0], "data_offsets": [4, 4]}}, 8),  # nothing, amid another
        ({"a": {**GOOD, "shape": [2, 3]}}, 8),
        ({"a": {**GOOD, "shape": [-2, -2]}}, 8),
        ({"a": {**GOOD, "shape": [2.0, 2]}}, 8),
        ({"a": {**GOOD, "shape": [True, 4]}}, 8),
        ({"a": {**GOOD, "shape": ["2", "2"]}}, 8),
        ({"a": {**GOOD, "shape": [[2], 2]}}, 8),
        ({"a": {**GOOD, "shape": [10**15, [2]]}}, 8),
        ({"a": {**GOOD, "shape": [None, 2]}}, 8),
        ({"a": {**GOOD, "shape": {}}}, 8),
        ({"a": {**GOOD, "shape": "22"}}, 8),
        ({"a": {**GOOD, "shape": 4}}, 8),
        ({"a": {**GOOD, "shape": [2**62] * 16}}, 8),
        ({"a": {**GOOD, "dtype": "F4", "shape": [2**62] * 16}}, 8),
        ({"a": {**GOOD, "shape": [1] * 100_000}}, 8),
        ({"a": {**GOOD, "shape": [2**70]}}, 8),
        ({"a": {**GOOD, "data_offsets": [0.0, 8.0]}}, 8),
        ({"a": {**GOOD, "data_offsets": [False, 8]}}, 8),
        ({"a": {**GOOD, "data_offsets": [0, 8, 8]}}, 8),
        ({"a": {**GOOD, "data_offsets": [[0], [8]]}}, 8),
        ({"a": {**GOOD, "data_offsets": ["0", "8"]}}, 8),
        ({"a": {**GOOD, "data_offsets": [-8, 0]}}, 0),
        ({"a": {**GOOD, "dtype": "F17"}}, 8),
        ({"a": {**GOOD, "dtype": ["F16"]}}, 8),
        ({"a": {"dtype": "F16"}}, 8),
        ({"a": []}, 8),
        ({"a": None}, 8),
        ({}, 8),
        ({"__metadata__": {"k": 1}, "a": GOOD}, 8),
        ({"__metadata__": "text", "a": GOOD}, 8),
    ],
)
def test_a_header_whose_numbers_do_not_add_up_is_corrupt(tmp_path, tensors, data):
    with pytest.raises(CorruptFileError) as caught:
        read_header(write(tmp_path / "a.safetensors", tensors, data))
    assert str(tmp_path / "a.safetensors") in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize("raw", [b"{", b"{}x", b'{"a":}', b"{" * 4000, b'{"a":' * 2000, b"\xff\xfe{}"])
def test_a_header_that_is_not_json_is_corrupt(tmp_path, raw):
    with pytest.raises(CorruptFileError):
        read_header(write_raw(tmp_path / "a.safetensors", raw, 8))


def test_a_truncated_file_hints_at_the_download(tmp_path):
    path = write_safetensors(tmp_path / "a.safetensors", {"a": [1000, 1000]})
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)
    with pytest.raises(CorruptFileError, match="should hold 2000000 bytes") as caught:
        read_header(path)
    assert "cut short" in (caught.value.hint or "")


def test_a_huge_header_length_is_refused_without_reading_it(tmp_path):
    path = tmp_path / "a.safetensors"
    with path.open("wb") as file:
        file.write((2**40).to_bytes(8, "little") + b"{")
        file.truncate(2**41)
    with pytest.raises(CorruptFileError):
        read_header(path)


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"", "empty"),
        (b"<!DOCTYPE html><html><title>Log in</title></html>", "web page"),
        (b"\n  <html lang=en>" + b" " * 5000, "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 4\n", "LFS"),
        (b'{"error": "Unauthorized", "message": "Please log in to download"}', "JSON"),
        (b"\x80\x02}q\x00." + b"\0" * 100, "pickle"),
        (b"PK\x03\x04" + b"\0" * 100, "pickle"),
        (b"GGUF" + b"\0" * 100, "GGUF"),
    ],
)
def test_something_else_under_a_models_name_is_named(tmp_path, content, word):
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(RefusedFileError, match=word) as caught:
        read_header(path)
    assert caught.value.hint


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_not_waited_for(tmp_path):
    pipe = tmp_path / "pipe.safetensors"
    os.mkfifo(pipe)
    with pytest.raises(StorageError, match="not a regular file"):
        read_header(pipe)


def test_a_missing_file_is_a_storage_error(tmp_path):
    with pytest.raises(StorageError):
        read_header(tmp_path / "absent.safetensors")
