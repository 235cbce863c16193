"""Time and memory that identification takes grow no faster than a header, and what is kept between files is bounded."""

from __future__ import annotations

import gc
import json
import time
import tracemalloc
from pathlib import Path

import pytest
from headers import write_raw
from patience import fair

from assetctl.compat.coverage import coverage, modules_of_file
from assetctl.files.odd_headers import read_odd_header
from assetctl.files.safetensors import Header, read_header
from assetctl.identify import identify, identify_header

ENTRY = {"dtype": "F32", "shape": [1, 1], "data_offsets": [0, 4]}


def named(*names: str) -> Header:
    return Header(Path("style.safetensors"), 0, 0, dict.fromkeys(names, ENTRY), {})


def written(path: Path, name: str, said: str = "") -> Path:
    document = ({"__metadata__": {"said": said}} if said else {}) | {name: ENTRY}
    return write_raw(path, json.dumps(document, separators=(",", ":")).encode(), 4)


@pytest.fixture
def traced():
    tracemalloc.start()
    yield
    tracemalloc.stop()


@pytest.mark.parametrize("prefix", ["lora_te_", "text_encoder.", "lora_te1_", "unet.", "text_encoders."])
def test_a_name_of_prefixes_is_read_once(prefix):
    header = named(f"{prefix * 2_500}z.lora_down.weight")
    begun = time.process_time()
    identify_header(header)
    assert time.process_time() - begun < fair(0.1)


@pytest.mark.parametrize("further", ["transformer_", "unet_", "model_"])
def test_a_name_of_further_prefixes_is_looked_up_a_few_times(further):
    header = named(f"lora_unet_{further * 20_000}.lora_down.weight", f"lora_unet_{further * 20_000}.lora_up.weight")
    modules = modules_of_file(named("model.diffusion_model.input_blocks.0.0.weight"))
    begun = time.process_time()
    coverage("style", header, modules)
    assert time.process_time() - begun < fair(0.1)


@pytest.mark.parametrize("prefix", ["unet.", "model.", "params."])
def test_a_name_of_prefixes_takes_little_more_memory_than_itself(prefix, traced):
    header = named(prefix * 50_000 + "double_blocks.0.img_attn.qkv.weight")
    identify_header(header)
    assert tracemalloc.get_traced_memory()[1] < 20 * len(header.names)


def test_a_string_in_an_odd_header_takes_little_more_memory_than_itself(tmp_path, traced):
    read_odd_header(b"{}")
    raw = '{"a":["F32",[1],[0,4]],"__metadata__":{"k":"' + "x" * 300_000 + '"}}'
    read_header(write_raw(tmp_path / "a.safetensors", raw.encode(), 4))
    assert tracemalloc.get_traced_memory()[1] < 40 * len(raw)


def kept_after(paths: list[Path]) -> int:
    """Bytes that are still held after identification of these files."""
    identify(paths[0])
    gc.collect()
    before = tracemalloc.get_traced_memory()[0]
    for path in paths[1:]:
        identify(path)
    gc.collect()
    return tracemalloc.get_traced_memory()[0] - before


def test_long_names_of_many_files_are_not_kept(tmp_path, traced):
    names = [f"n{each}.{'x' * 1_200_000}.lora_down.weight" for each in range(5)]
    assert kept_after([written(tmp_path / f"{name[:2]}.safetensors", name) for name in names]) < 2_000_000


def test_metadata_are_not_kept_with_what_was_seen_of_the_tensors(tmp_path, traced):
    name = f"lora_unet_{'x' * 150}%d.lora_down.weight"
    paths = [
        written(tmp_path / f"{each}-{len(said)}.safetensors", name % each, said)
        for each in range(6)
        for said in ("a", "x" * 1_000_000)  # the second shares the tensors of the first
    ]
    assert kept_after(paths) < 3_000_000


@pytest.mark.parametrize(
    ("name", "confidence"), [("emb_params", "certain"), ("<cat>", "certain"), ("pooled", "likely"), ("style", "likely")]
)
@pytest.mark.parametrize(("width", "family"), [(768, "sd1"), (1024, "sd2")])
def test_vectors_by_any_name_are_not_certain(name, confidence, width, family):
    found = identify_header(shaped({name: [1, width]}))
    assert (found.kind, found.family, found.confidence) == ("embedding", family, confidence)


@pytest.mark.parametrize(
    ("channels", "width", "confidence"),
    [(4, 320, "certain"), (9, 320, "certain"), (8, 320, "certain"), (8, 128, "likely"), (3, 320, "likely")],
)
def test_a_unet_of_other_inputs_is_not_certain(channels, width, confidence):
    block = "model.diffusion_model.input_blocks.1.1.transformer_blocks.0."
    found = identify_header(
        shaped({
            "model.diffusion_model.input_blocks.0.0.weight": [width, channels, 3, 3],
            f"{block}attn1.to_k.weight": [width, width],
            f"{block}attn2.to_k.weight": [width, 768],
        })
    )  # fmt: skip
    assert (found.family, found.confidence) == ("sd1", confidence)


def shaped(shapes: dict[str, list[int]]) -> Header:
    tensors = {name: {"dtype": "F16", "shape": shape, "data_offsets": [0, 0]} for name, shape in shapes.items()}
    return Header(Path("style.safetensors"), 0, 0, tensors, {})
