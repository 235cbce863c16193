"""Nothing that a stranger writes into a picture raises anything but our own errors, or takes long."""

from __future__ import annotations

import io
import json
import random
import re
import struct
import time
import zlib
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from generation import tiny
from hostile import GRAPH_OF_CIRCLES, chunk, picture
from patience import fair
from PIL import Image

from assetctl.errors import AssetctlError
from assetctl.pictures import PictureParameters, infotext, parse_infotext, read_parameters, read_record
from assetctl.pictures.reading import dialects
from assetctl.pictures.saving import save_picture

if TYPE_CHECKING:
    from pathlib import Path

CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
FIELDS = "Steps: 20, Sampler: Euler a, CFG scale: 7, Seed: 42, Size: 512x768, "
GRAPH = {
    "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "dream.safetensors"}},
    "2": {"class_type": "LoraLoader", "inputs": {"lora_name": "a", "strength_model": 0.5, "model": ["1", 0]}},
    "3": {"class_type": "CLIPTextEncode", "inputs": {"text": "a cat embedding:x", "clip": ["2", 1]}},
    "4": {"class_type": "EmptyLatentImage", "inputs": {"width": 512, "height": 512}},
    "5": {
        "class_type": "KSampler",
        "inputs": {"seed": 1, "steps": 2, "cfg": 3.0, "sampler_name": "euler", "scheduler": "karras",
                   "model": ["2", 0], "positive": ["3", 0], "negative": ["3", 0], "latent_image": ["4", 0]},
    },
}  # fmt: skip
WORKFLOW = {
    "nodes": [{"id": 1, "type": "KSampler", "inputs": [{"name": "model", "link": 1}],
               "widgets_values": [1, "fixed", 2, 3, "euler", "normal", 1]}],
    "links": [[1, 1, 0, 1, 0, "M"]],
}  # fmt: skip
INVOKE = {
    "positive_prompt": "a", "steps": 3, "seed": 1, "clip_skip": 1, "model": {"name": "m", "hash": "blake3:abcdef"},
    "loras": [{"model": {"name": "l"}, "weight": 0.5}], "vae": {"model_name": "v"},
    "controlnets": [{"control_model": {}}],
}  # fmt: skip
RECORD = {
    "version": 1, "prompt": "a", "steps": 2, "seed": 3, "width": 8,
    "assets": [{"role": "lora", "name": "x", "weight": 1}],
}  # fmt: skip
REQUEST = {"prompt": "a", "steps": 3, "resources": [{"modelVersionId": 1, "type": "lora"}]}
INFOTEXT = (
    "a <lora:x:0.5>\nNegative prompt: bad\n"
    + FIELDS
    + 'Model: "a, b", Model hash: abcdef12, Lora hashes: "x: abcd1234", '
    'Hashes: {"model": "abcdef1234", "lora:x": "ab12"}, ControlNet 0: "Model: c [abcd], Weight: 1", '
    "AddNet Model 1: a(abcd), "
    'Civitai resources: [{"air": "urn:air:sd1:lora:civitai:1@2", "weight": 1}], Civitai metadata: {"a": {"b": 1}}'
    "\nUsed embeddings: x [abcd]"
)
ODD_TEXTS = [
    "\0", "\x1b[2J", "\u202e", "\ud800", "\ufffe", "NaN", "1e999", "9" * 5000, "-1", '"', "\\", "{", "}", "[", "]", ",",
    ": ", "\n", "Steps: 1", "Negative prompt:", "<lora:", ">", "\u2028", "\ufeff", "猫",
]  # fmt: skip
ODD_VALUES: list[Any] = [
    None, True, [], {}, [[]], {"a": []}, "", "x", "\ud800\x1b", -1, 0, 10**30, 1e308, float("nan"), float("inf"),
    ["1", 0], ["5", 0], [1, "x"], [None, None], [[], 0], "9" * 5000, "urn:air:\n", ["5", 10**30],
]  # fmt: skip


def check(found: PictureParameters | None) -> None:
    """Everything that comes out is clean, within reason, and can be written as JSON."""
    if found is None:
        return
    names = [text for each in found.assets for text in (each.name, each.hash, *each.sources) if text is not None]
    texts = [
        found.prompt,
        found.negative_prompt,
        found.settings.get("sampler"),
        found.text,
        *found.fields,
        *found.fields.values(),
    ]
    for text in (*names, *filter(None, texts)):
        assert not CONTROLS.search(text)
    assert not any("\n" in name or "\t" in name for name in names)
    assert all(each.hash is None or re.fullmatch("[0-9a-f]{4,64}", each.hash) for each in found.assets)
    steps, seed = (found.settings.get(name, 0) for name in ("steps", "seed"))
    assert 0 <= steps <= 10_000
    assert -1 <= seed < 2**64
    assert all(1 <= found.settings.get(side, 1) <= 2**20 for side in ("width", "height"))
    assert found.understood <= {*found.fields, *found.extra}
    orjson.dumps(found, default=sorted)


def mutated_text(noise: random.Random, text: str) -> str:
    for _ in range(noise.randint(1, 4)):
        at = noise.randrange(len(text) + 1)
        kind = noise.randrange(4)
        if kind == 0:
            text = text[:at]
        elif kind == 1:
            text = text[:at] + noise.choice(ODD_TEXTS) + text[at:]
        elif kind == 2:
            text = text[:at] + text[at + noise.randrange(20) :]
        else:
            other = noise.randrange(len(text) + 1)
            text = text[:at] + text[other : other + 60] + text[at:]
    return text


def mutated(noise: random.Random, value: Any) -> Any:
    """JSON with some of its values replaced by what does not belong there."""
    if noise.random() < 0.06:
        return noise.choice(ODD_VALUES)
    if isinstance(value, dict):
        return {key: mutated(noise, each) for key, each in value.items()}
    if isinstance(value, list):
        return [mutated(noise, each) for each in value]
    return value


def read_texts(texts: dict[str, str]) -> None:
    for dialect in dialects():
        check(dialect.read(texts))


@pytest.mark.parametrize("count", [300, pytest.param(3000, marks=pytest.mark.slow)])
def test_mutated_infotexts(count: int):
    noise = random.Random(count)
    for _ in range(count):
        check(parse_infotext(mutated_text(noise, INFOTEXT)))


@pytest.mark.parametrize(
    "count", [200, pytest.param(500, marks=pytest.mark.slow), pytest.param(4000, marks=pytest.mark.long)]
)
def test_mutated_descriptions(count: int):
    noise = random.Random(4000)
    for number in range(count):
        texts = {}
        for name, value in {
            "prompt": GRAPH, "workflow": WORKFLOW, "invokeai_metadata": INVOKE, "assetctl": RECORD,
            "extraMetadata": REQUEST, "UserComment": {"prompt": GRAPH, "workflow": WORKFLOW, "extraMetadata": REQUEST},
            "sd-metadata": {"model_weights": "m", "image": {"prompt": [{"prompt": "a [b]"}], "steps": 3}},
            "Dream": '"a [b]" -s 5',
        }.items():  # fmt: skip
            text = value if isinstance(value, str) else json.dumps(mutated(noise, value))
            texts[name] = mutated_text(noise, text) if number % 3 == 0 else text
        for chosen in (texts, {name: texts[name] for name in noise.sample(sorted(texts), 2)}):
            read_texts(chosen)


@pytest.mark.parametrize(
    "count", [100, pytest.param(300, marks=pytest.mark.slow), pytest.param(2000, marks=pytest.mark.long)]
)
@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
def test_mutated_pictures(tmp_path: Path, suffix: str, count: int):
    noise = random.Random(suffix)
    good = tmp_path / f"good.{suffix}"
    save_picture(Image.new("RGB", (4, 4)), good, INFOTEXT, RECORD)
    whole, path, understood = good.read_bytes(), tmp_path / "bad", 0
    for _ in range(count):
        content = bytearray(whole)
        for _ in range(noise.randint(1, 5)):
            at = noise.randrange(len(content))
            content[at] = noise.choice([0, 0xFF, content[at] ^ 1 << noise.randrange(8)])
        if noise.random() < 0.2:
            del content[noise.randrange(12, len(content)) :]
        path.write_bytes(content)
        try:
            check(read_parameters(path))
            read_record(path)
            understood += 1
        except AssetctlError as error:
            assert error.hint  # noqa: PT017 - only our own errors, and those in full
    assert count / 10 < understood < count


@pytest.mark.parametrize("length", [200_000, pytest.param(10**6, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "text",
    [
        "[" * 10**6, "{" * 10**6, '{"1":' * 200_000, "[" * 100_000 + "]" * 100_000, "(" * 10**6, "a," * 500_000,
        "ab: c, " * 140_000, FIELDS + "a: {, " * 160_000, FIELDS + 'a: ["b: [", ' * 90_000, "a" + " " * 10**6 + ":",
        FIELDS + 'a: "' + '\\"' * 500_000, FIELDS + 'a: "' * 250_000,
        FIELDS + 'A: "b, ' * 140_000, "<lora:a:1>" * 100_000, "<lora:" * 170_000,
        "\n" * 10**6, "Steps: 1,\n" * 100_000, "Negative prompt:\n" * 60_000, ":" * 10**6, "\ud800" * 10**6,
        FIELDS + 'Lora hashes: "' + "a: b, " * 150_000 + '"', FIELDS + 'TI hashes: "' + ": " * 500_000 + '"',
        FIELDS + "Used embeddings: " + "a [b], " * 140_000, FIELDS + "Size: " + "1" * 10**6,
        '{"1":{"class_type":"x","inputs":{"text":"' + "embedding:" * 100_000 + '"}}}',
        FIELDS + "Hashes: {" + ", ".join(f'"lora:{each}": "abcd"' for each in range(50_000)) + "}",
    ],
    ids=lambda text: text[-20:].encode("unicode_escape").decode()[:12] + str(len(text)),
)  # fmt: skip
def test_a_megabyte_of_anything_is_read_in_linear_time(text: str, length: int):
    start = time.process_time()
    check(parse_infotext(text[: length // 2] + text[-length // 2 :]))
    assert time.process_time() - start < fair(
        5 * length / 10**6
    )  # a tenth of that is usual; quadratic would be minutes


def test_a_graph_of_links_to_everything_is_read_quickly():
    keys = [str(number) for number in range(5000)]
    names = (
        "text", "conditioning_1", "conditioning_2", "model", "ckpt_name", "vae_name", "control_net", "control_net_name",
        "lora_name", "strength", "stop_at_clip_layer", "latent_image", "positive", "width", "height", "seed",
    )  # fmt: skip
    noise = random.Random(3)
    dense = {
        key: {"class_type": "KSampler", "inputs": {name: [noise.choice(keys), 0] for name in names}} for key in keys
    }
    start = time.process_time()
    check(dialects()[-1].read({"prompt": json.dumps(dense)}))
    assert time.process_time() - start < fair(10)


def test_links_that_go_in_circles_come_to_an_end(tmp_path: Path):
    for number in range(1, 4):  # circles of one, of two and of three
        graph = GRAPH_OF_CIRCLES | {
            f"{9 + each}": {"class_type": "Reroute", "inputs": {"": [f"{9 + (each + 1) % number}", 0]}}
            for each in range(number)
        }
        path = tmp_path / f"{number}.png"
        path.write_bytes(picture(chunk(b"tEXt", b"prompt\0" + json.dumps(graph).encode())))
        found = read_parameters(path)
        assert found is not None
        assert any("the VAE of another checkpoint" in note for note in found.notes)


def test_thousands_of_decoders_behind_one_long_chain_are_read_quickly():
    count = 1500
    chain = {f"r{n}": {"class_type": "Reroute", "inputs": {"": [f"r{n + 1}", 0]}} for n in range(count)}
    decoders = {f"d{n}": {"class_type": "VAEDecode", "inputs": {"vae": ["r0", 0]}} for n in range(count)}
    loaders = {f"v{n}": {"class_type": "VAELoader", "inputs": {"vae_name": f"{n}"}} for n in range(count)}
    start = time.process_time()
    check(dialects()[-1].read({"prompt": json.dumps(chain | decoders | loaders)}))
    assert time.process_time() - start < fair(5)


def test_a_million_empty_segments_are_not_walked(tmp_path: Path):
    path = tmp_path / "a.jpg"
    path.write_bytes(b"\xff\xd8\xff\xe0\0\2" + b"\xff\xe0\0\2" * 10**6)
    start = time.process_time()
    check(read_parameters(path))
    assert time.process_time() - start < fair(5)


def test_huge_dimensions_are_not_decoded(tmp_path: Path):
    buffer = io.BytesIO()
    Image.new("L", (1, 1)).save(buffer, "png")
    content = bytearray(buffer.getvalue())
    content[16:24] = b"\x7f\xff\xff\xff" * 2
    path = tmp_path / "a.png"
    path.write_bytes(content)
    assert read_parameters(path) is None


def in_seconds(path: Path) -> float:
    start = time.process_time()
    check(read_parameters(path))
    return time.process_time() - start


def chunks(*kinds_and_data: tuple[bytes, bytes]) -> bytes:
    """A PNG of these chunks; checksums are not looked at."""
    whole = ((b"IHDR", bytes(13)), *kinds_and_data, (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + bytes(4) for kind, data in whole
    )


@pytest.mark.parametrize("tag", [0x1234, 0x9286, 0x927C])
def test_a_thousand_pointers_to_a_thousand_large_entries_are_not_followed(tmp_path: Path, tag: int):
    second = 8 + 2 + 12 * 1000 + 4
    large = 2**22
    block = b"MM\0*" + struct.pack(">IH", 8, 1000) + struct.pack(">HHII", 0x8769, 4, 1, second) * 1000 + bytes(4)
    block += struct.pack(">H", 1000) + struct.pack(">HHII", tag, 7, large, 8) * 1000 + bytes(large)
    path = tmp_path / "a.png"
    path.write_bytes(chunks((b"eXIf", block)))
    assert in_seconds(path) < fair(3)


@pytest.mark.parametrize("ending", [b"", b"x"])
def test_thousands_of_texts_that_inflate_to_megabytes_are_not_inflated(tmp_path: Path, ending: bytes):
    bomb = zlib.compress(bytes(2**21 + 2))
    bomb = bomb[: len(bomb) // 2] + ending * 50 if ending else bomb  # damaged ones cost as much
    path = tmp_path / "a.png"
    path.write_bytes(chunks(*[(b"zTXt", b"a\0\0" + bomb)] * 3000))
    assert in_seconds(path) < fair(3)


@pytest.mark.parametrize("blank", [" ", "\n", "\n ", " \n"])
def test_a_record_of_a_million_blanks_is_read_in_linear_time(tmp_path: Path, blank: str):
    path = tmp_path / "a.png"
    prompt = "a" + blank * (10**6 // len(blank)) + "b"
    save_picture(Image.new("L", (1, 1)), path, "a", {"prompt": prompt})
    assert in_seconds(path) < fair(3)
    start = time.process_time()
    tiny_plan = tiny.plan(tiny.asset(path, "checkpoint", "sd1"), prompt, negative=prompt)
    infotext(tiny_plan, 1)
    assert time.process_time() - start < fair(3)


def test_an_asset_with_thousands_of_sources_keeps_some():
    resources = ", ".join(f'{{"air": "urn:air:{each}", "modelName": "x"}}' for each in range(40_000))
    start = time.process_time()
    found = parse_infotext(f"{FIELDS}Civitai resources: [{resources}]")
    assert [len(each.sources) for each in found.assets] == [20]
    assert time.process_time() - start < fair(5)
