from __future__ import annotations

import hashlib
import os
import time
from typing import TYPE_CHECKING

import pytest
from blake3 import blake3

from assetctl.errors import CorruptFileError, StorageError
from assetctl.files.hashing import CHUNK, Digests, hash_file, tree_sha256

if TYPE_CHECKING:
    from pathlib import Path

HEADER = b'{"__metadata__":{}}'
BODY = os.urandom(3 * CHUNK + 17)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    path.write_bytes(len(HEADER).to_bytes(8, "little") + HEADER + BODY)
    return path


def test_all_digests_agree_with_their_definitions(model: Path):
    content = model.read_bytes()
    assert hash_file(model) == Digests(
        sha256=hashlib.sha256(content).hexdigest(),
        autov3=hashlib.sha256(BODY).hexdigest()[:12],
        blake3=blake3(content).hexdigest(),
    )


def test_only_what_is_wanted_is_computed(model: Path):
    found = hash_file(model, frozenset({"autov3"}), data_start=8 + len(HEADER))
    assert found == Digests(autov3=hashlib.sha256(BODY).hexdigest()[:12])


def test_a_header_longer_than_a_piece_is_skipped_whole(tmp_path: Path):
    header = b'{"__metadata__":{"pad":"' + b"x" * (2 * CHUNK) + b'"}}'
    path = tmp_path / "long.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + BODY)
    assert hash_file(path).autov3 == hashlib.sha256(BODY).hexdigest()[:12]


@pytest.mark.parametrize("content", [b"", b"short", b"\xff" * 100, b"PK\x03\x04" + b"\0" * 100])
def test_other_files_have_no_autov3(tmp_path: Path, content: bytes):
    path = tmp_path / "other.bin"
    path.write_bytes(content)
    found = hash_file(path)
    assert (found.sha256, found.autov3) == (hashlib.sha256(content).hexdigest(), None)


def test_progress_adds_up_to_the_size(model: Path):
    pieces: list[int] = []
    hash_file(model, on_bytes=pieces.append)
    assert sum(pieces) == model.stat().st_size
    assert len(pieces) == 4


def test_a_file_that_changes_meanwhile_is_an_error(model: Path):
    def append(_length: int) -> None:
        with model.open("ab") as file:
            file.write(b"more")

    with pytest.raises(CorruptFileError, match="changed while it was read"):
        hash_file(model, on_bytes=append)


def test_a_file_that_is_replaced_meanwhile_is_an_error(model: Path, tmp_path: Path):
    other = tmp_path / "other"
    other.write_bytes(model.read_bytes())

    def replace(_length: int) -> None:
        if other.exists():
            other.replace(model)

    with pytest.raises(CorruptFileError, match="changed while it was read"):
        hash_file(model, on_bytes=replace)


def test_cancelling_ends_at_once(model: Path):
    seen: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        hash_file(model, on_bytes=seen.append, cancelled=lambda: len(seen) == 1)
    assert len(seen) == 1


def test_a_missing_file_is_a_storage_error(tmp_path: Path):
    with pytest.raises(StorageError, match="cannot be read"):
        hash_file(tmp_path / "none.safetensors")


def test_sha256_alone_costs_no_more_than_the_library(tmp_path: Path):
    path = tmp_path / "large.bin"
    path.write_bytes(BODY[: 2 * CHUNK] * 32)

    def library() -> None:
        with path.open("rb") as file:
            hashlib.file_digest(file, "sha256")

    def fastest(call: object) -> float:
        times = []
        for _ in range(3):
            start = time.perf_counter()
            call()
            times.append(time.perf_counter() - start)
        return min(times)

    assert (
        fastest(lambda: hash_file(path, frozenset({"sha256"}))) < 2 * fastest(library) + 0.05
    )  # other tests run meanwhile


def test_a_tree_hash_does_not_depend_on_the_order():
    entries = [("vae/config.json", "b" * 64), ("model_index.json", "a" * 64)]
    lines = "".join(sorted([f"{'b' * 64}  vae/config.json\n", f"{'a' * 64}  model_index.json\n"]))
    assert tree_sha256(entries) == tree_sha256(reversed(entries)) == hashlib.sha256(lines.encode()).hexdigest()
