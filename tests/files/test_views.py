"""Views of storages, byte for byte as PyTorch reads them, with little of the storage in memory."""

from __future__ import annotations

import random
import tracemalloc
from typing import TYPE_CHECKING

import pytest
from material import convert

from assetctl.errors import RefusedFileError
from assetctl.files.conversion import read_convertible
from assetctl.files.pickles import read_pickle
from assetctl.files.safetensors import read_header

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


def some_view(torch, chance: random.Random):
    """A tensor that shares a storage, cut, turned and spread by chance."""
    tensor = torch.arange(2 * 3 * 4 * 5, dtype=chance.choice((torch.int16, torch.float32, torch.int64, torch.uint8)))
    tensor = tensor.view(2, 3, 4, 5)
    for _ in range(chance.randint(0, 4)):
        match chance.randrange(4):
            case 0:
                tensor = tensor.permute(*chance.sample(range(tensor.dim()), tensor.dim()))
            case 1:
                place = chance.randrange(tensor.dim())
                tensor = tensor.narrow(place, 0, chance.randint(1, tensor.shape[place]))
            case 2:
                tensor = tensor[..., :: chance.randint(1, 3)]
            case 3:
                tensor = tensor.unsqueeze(0).expand(chance.choice((1, 2)), *tensor.shape)
    return tensor


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "stream"])
def test_any_view_is_converted_to_the_numbers_that_torch_sees(torch, tmp_path: Path, *, legacy: bool):
    from safetensors.torch import load_file

    chance = random.Random(5)
    tensors = {str(number): some_view(torch, chance) for number in range(200)}
    torch.save(tensors, tmp_path / "views.pt", _use_new_zipfile_serialization=not legacy)
    convert(tmp_path / "views.pt", tmp_path / "views.safetensors")
    read = load_file(tmp_path / "views.safetensors")
    assert read.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert torch.equal(read[name], tensor), (name, tensor.shape, tensor.stride())


@pytest.mark.parametrize(
    "dtype", ["int64", "int32", "int16", "int8", "uint8", "bool", "float64", "complex64", "uint16", "float8_e5m2"]
)
def test_every_dtype_that_safetensors_has_goes_over(torch, tmp_path: Path, dtype: str):
    from safetensors.torch import load_file

    tensor = torch.arange(6).view(2, 3).to(getattr(torch, dtype))
    torch.save({"a": tensor}, tmp_path / "a.pt")
    convert(tmp_path / "a.pt", tmp_path / "a.safetensors")
    read = load_file(tmp_path / "a.safetensors")["a"]
    assert (read.dtype, read.tolist()) == (tensor.dtype, tensor.tolist())


def test_one_that_safetensors_lacks_is_refused_by_its_name(torch, tmp_path: Path):
    torch.save({"a": torch.zeros(2, dtype=torch.complex128)}, tmp_path / "a.pt")
    with pytest.raises(RefusedFileError, match="ComplexDoubleStorage"):
        read_convertible(tmp_path / "a.pt")


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "stream"])
def test_storages_that_no_tensor_of_the_model_uses_are_passed_over(torch, tmp_path: Path, *, legacy: bool):
    saved = {"optimizer": torch.zeros(5), "state_dict": {"a": torch.ones(2, 2).half()}, "ema": torch.zeros(7)}
    torch.save(saved, tmp_path / "a.ckpt", _use_new_zipfile_serialization=not legacy)
    assert dict(read_pickle(tmp_path / "a.ckpt").header.tensors) == {
        "a": {"dtype": "F16", "shape": [2, 2], "data_offsets": [0, 8]}
    }
    convert(tmp_path / "a.ckpt", tmp_path / "a.safetensors")
    assert (tmp_path / "a.safetensors").read_bytes()[-8:] == b"\0\x3c" * 4


def test_a_large_view_is_copied_in_little_memory(torch, tmp_path: Path):
    whole = torch.zeros(40 * 2**20, dtype=torch.uint8)
    whole[:: 2**20] = 7
    torch.save({"thin": whole[:: 2**10], "spread": whole[:1].expand(30 * 2**20)}, tmp_path / "a.pt")
    tracemalloc.start()
    try:
        convert(tmp_path / "a.pt", tmp_path / "a.safetensors")
        assert tracemalloc.get_traced_memory()[1] < 8 * 2**20
    finally:
        tracemalloc.stop()
    header = read_header(tmp_path / "a.safetensors")
    data = (tmp_path / "a.safetensors").read_bytes()[header.data_start :]
    begin, end = header.tensors["thin"]["data_offsets"]
    assert data[begin:end] == (b"\7" + b"\0" * 1023) * 40
