"""Identify mutated headers in a process of its own: `python fuzzing.py SEED COUNT`, which prints what became of them.

Each header is one of a few real shapes, changed in one to three ways, and written to a file. Whatever it is, there is
an answer or a refusal. Prints a JSON object: answers, refusals, bytes that memory grew by, the slowest in CPU seconds.
"""

from __future__ import annotations

import json
import random
import resource
import sys
import tempfile
import time
from pathlib import Path

from identify.networks import clip, diffusers_unet, flux, kohya, loha, lokr, parts, peft, qwen, wan, whole
from tables import cases

from assetctl.errors import FileError
from assetctl.identify import identify

#: Bytes of address space beyond which an allocation fails, and with it the run.
MEMORY = 2 * 2**30

ODD_NAMES = ("", "\n", "__metadata__", "é\u202e", "\ud83d\ude00", ".", "_", "0", "x" * 5000, "blocks.0.attn.to_q")
ODD_NUMBERS = (-1, 0, 1, 2**31, 2**53, 2**64, 10**40, 1.5, 1e308, True, None, "8", [], {}, [[[]]])
ODD_TEXTS = ("", "{", "[" * 5000, '{"a":' * 300 + "1" + "}" * 300, "\x00\u202e", "9" * 4000, '{"1_x":{"y":-1}}', "null")
KEYS = ("ss_tag_frequency", "ss_dataset_dirs", "modelspec.architecture", "modelspec.trigger_phrase", "ss_sd_model_name",
        "ss_base_model_version", "modelspec.prediction_type", "modelspec.title")  # fmt: skip

Document = dict[str, object]


def seeds() -> list[dict[str, list[int]]]:
    """Shapes to start from."""
    unet = parts(diffusers_unet("sd1"), "down_blocks.0", "mid_block", "conv_in", "time_embedding")
    block = parts(flux(), "blocks.0.")
    return [
        whole(unet), kohya(unet), loha(unet), lokr(unet), peft(unet, "base_model.model."), whole(block), kohya(block),
        kohya(clip(768, 1), "lora_te_"), peft(parts(qwen(), "blocks.7."), "transformer."), whole(clip(1024, 1)),
        peft(parts(wan(), "blocks.3."), "diffusion_model."), {"emb_params": [8, 768]}, {"clip_l": [1, 768]},
        *(case["tensors"] for case in cases("names/kinds")[::8]),
    ]  # fmt: skip


def document(shapes: dict[str, list[int]]) -> Document:
    """A header's JSON object for tensors of `shapes`, all `F16`."""
    header: Document = {}
    end = 0
    for name, shape in shapes.items():
        size = 2
        for number in shape:
            size *= number
        header[name] = {"dtype": "F16", "shape": shape, "data_offsets": [end, end + size]}
        end += size
    return header


def renamed(header: Document, chance: random.Random) -> None:
    name = chance.choice(list(header))
    at = chance.randrange(len(name) + 1)
    new = chance.choice([*ODD_NAMES, name[:at], name[at:], name[:at] + chance.choice(ODD_NAMES) + name[at:], name * 2])
    header[new] = header.pop(name)


def reshaped(header: Document, chance: random.Random) -> None:
    """Another shape of the same size, which is valid, or one that is not."""
    tensor = header[chance.choice(list(header))]
    if not isinstance(tensor, dict) or not isinstance(tensor.get("shape"), list):
        return
    shape = tensor["shape"]
    chance.shuffle(shape)
    if chance.random() < 0.5:
        shape.insert(chance.randrange(len(shape) + 1), chance.choice([1, 1, 1, *ODD_NUMBERS]))


def retyped(header: Document, chance: random.Random) -> None:
    tensor = header[chance.choice(list(header))]
    if isinstance(tensor, dict):
        tensor["dtype"] = chance.choice(["BF16", "F16", "F32", "F8_E4M3", "I64", "NOPE", "", None, 7, ["F16"], {}])


def moved(header: Document, chance: random.Random) -> None:
    tensor = header[chance.choice(list(header))]
    if isinstance(tensor, dict):
        tensor["data_offsets"] = [chance.choice([0, *ODD_NUMBERS]) for _ in range(chance.choice([2, 2, 2, 1, 3]))]


def replaced(header: Document, chance: random.Random) -> None:
    header[chance.choice(list(header))] = chance.choice([*ODD_NUMBERS, {"shape": [1]}])


def told(header: Document, chance: random.Random) -> None:
    words = [*ODD_TEXTS, "sd_1.5", "flux1", "stable-diffusion-xl-v1-base", chance.choice(ODD_NUMBERS)]
    header["__metadata__"] = {chance.choice(KEYS): chance.choice(words) for _ in range(3)}


def lost(header: Document, chance: random.Random) -> None:
    for name in chance.sample(list(header), len(header) // 2):
        del header[name]


CHANGES = (renamed, renamed, reshaped, reshaped, retyped, moved, replaced, told, told, lost)


def mangled(raw: bytes, chance: random.Random) -> bytes:
    """The JSON itself, cut short, with a byte changed, or nested far too deep."""
    at = chance.randrange(len(raw))
    return chance.choice([
        raw[:at], raw[:at] + bytes([chance.randrange(256)]) + raw[at + 1 :], b'{"a":' * 3000 + raw, raw + b" " * 64,
        b'{"__metadata__":' + b"[" * 20_000 + b"]" * 20_000 + b"}",
    ])  # fmt: skip


def valid(header: Document) -> Document:
    """The same names, shapes and metadata, as far as they can be, in a header that adds up."""
    tensors = {
        name: tensor["shape"] for name, tensor in header.items() if isinstance(tensor, dict) and "shape" in tensor
    }
    said = header.get("__metadata__")
    texts = {key: text for key, text in said.items() if isinstance(text, str)} if isinstance(said, dict) else {}
    return {"__metadata__": texts, **document({name: shape for name, shape in tensors.items() if sound(shape)})}


def sound(shape: object) -> bool:
    """Whether all of `shape` are whole numbers of modest size."""
    return isinstance(shape, list) and all(type(number) is int and 0 <= number < 2**20 for number in shape)


def last_byte(tensor: object) -> int | None:
    """Where a tensor says that it ends."""
    offsets = tensor.get("data_offsets") if isinstance(tensor, dict) else None
    return offsets[-1] if offsets and type(offsets[-1]) is int else None


def write(path: Path, chance: random.Random, texts: list[str]) -> None:
    """Write a mutated header and as many bytes of tensors as it would need, taking no room."""
    header: Document = json.loads(chance.choice(texts))
    for change in chance.sample(CHANGES, chance.randint(1, 3)):
        if header:
            change(header, chance)
    if chance.random() < 0.7:  # most should pass the reader, to reach identification
        header = valid(header)
    raw = json.dumps(header).encode()
    if chance.random() < 0.1:
        raw = mangled(raw, chance)
    size = max((end for tensor in header.values() if (end := last_byte(tensor)) is not None), default=0)
    with path.open("wb") as file:
        file.write(len(raw).to_bytes(8, "little") + raw)
        file.truncate(8 + len(raw) + min(max(size, 0), 2**40))


def main(seed: int, count: int) -> None:
    """Identify `count` mutated headers."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    chance = random.Random(seed)
    texts = [json.dumps(document(shapes)) for shapes in seeds()]
    outcome = {"answers": 0, "refusals": 0}
    slowest, before = 0.0, 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "fuzzed.safetensors"
        for number in range(count):
            write(path, chance, texts)
            started = time.process_time()
            try:
                identify(path)
                outcome["answers"] += 1
            except FileError:
                outcome["refusals"] += 1
            slowest = max(slowest, time.process_time() - started)
            if number == 200:  # everything is loaded by now
                before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    growth = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    print(json.dumps({**outcome, "growth": growth, "slowest": slowest}))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
