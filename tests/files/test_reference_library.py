"""A header is read here if and only if the reference library reads it, and says the same."""

from __future__ import annotations

import json
import random

import pytest
import safetensors
from headers import write_raw

from assetctl.errors import FileError
from assetctl.files.safetensors import read_header

SIZES = {"BOOL": 8, "U8": 8, "F8_E4M3": 8, "F8_E8M0": 8, "F8_E5M2FNUZ": 8, "F16": 16, "BF16": 16, "F32": 32, "C64": 64,
         "I64": 64, "U64": 64, "F4": 4, "F6_E2M3": 6}  # fmt: skip
SPACES = (*[""] * 20, *[" ", "\n\t\r ", " " * 70] * 5, "\0", "\x0b", "\ufeff", "\xa0")
ODD = (
    "-0",
    "-1",
    "2.0",
    "1e1",
    "18446744073709551615",
    "18446744073709551616",
    "null",
    "true",
    '"2"',
    "[2]",
    "02",
    "{}",
)

BESIDE = ("[" * 124 + "]" * 124, "[" * 126 + "]" * 126, "1.5", '"\\"dtype\\""', "1e999")


class Text(str):
    """JSON as it is to be written."""

    __slots__ = ()


def written(value):
    """JSON of a value, in which objects are lists of pairs, so that a name may stand twice."""
    if isinstance(value, Text):
        return str(value)
    if isinstance(value, list) and value and isinstance(value[0], tuple):
        return "{" + ",".join(f"{written(name)}:{written(each)}" for name, each in value) + "}"
    return json.dumps(value) if not isinstance(value, list) else "[" + ",".join(map(written, value)) + "]"


def tensor(chance, start):
    dtype = chance.choice(list(SIZES))
    shape = [chance.choice([0, 1, 2, 2, 4, 8]) for _ in range(chance.choice([0, 1, 1, 2, 2, 3]))]
    shape += [1] * chance.choice([0, 0, 0, 20]) + [4] * (SIZES[dtype] % 8 > 0 and chance.random() < 0.9)
    bits = SIZES[dtype]
    for number in shape:
        bits *= number
    return [("dtype", dtype), ("shape", shape), ("data_offsets", [start, start + bits // 8])], start + bits // 8


def table(chance):
    """Entries that add up, in any order, with metadata anywhere or nowhere."""
    entries, end = [], 0
    for number in range(chance.choice([0, 1, 2, 3, 5])):
        fields, end = tensor(chance, end)
        entries.append((chance.choice([f"a.{number}", f"b-0-{number}", f'"{number}', f"é\\{number}", "twice"]), fields))
    if chance.random() < 0.4:
        chance.shuffle(entries)
    said = [*[[("k", "v"), ("k", 'w "dtype" \\')], [("k", "v")], Text("{}"), Text("null")] * 6, [("k", 1)], [], "text"]
    for _ in range(chance.choice([0, 0, 0, 0, 1, 1, 1, 1, 1, 2])):
        entries.insert(chance.choice([0, 0, len(entries)]), ("__metadata__", chance.choice(said)))
    return entries, end


def twisted(chance, entries):
    """One tensor, changed in one way."""
    places = [at for at, (_, fields) in enumerate(entries) if isinstance(fields, list) and len(fields) == 3]
    places = [at for at in places if all(isinstance(field, tuple) for field in entries[at][1])]
    if not places:
        return
    at = chance.choice(places)
    name, fields = entries[at]
    fields = list(fields)
    field = chance.randrange(3)
    key, value = fields[field]
    match chance.randrange(9):
        case 0:
            fields.append((key, value))
        case 1:
            fields.insert(chance.randrange(3), ("more", Text(chance.choice(BESIDE))))
        case 2:
            fields = [each for _, each in fields]
        case 3:
            fields[0] = ("dtype", chance.choice([[("F16", None)], [("F16", 1)], "f16", "F4_E2M1", ["F16"], None]))
        case 4:
            fields[2] = ("data_offsets", [fields[2][1][0] + chance.choice([-1, 1, 8]), fields[2][1][1]])
        case 5 if isinstance(value, list) and value:
            fields[field] = (key, [Text(chance.choice(ODD)), *value[1:]])
        case 6:
            fields[1] = (
                "shape",
                chance.choice([[2**40, 2**40, 0], [0, 2**40, 2**40], [2**62] * 70, [1] * 70, [0] * 70]),
            )
        case 7:
            del fields[field]
        case _:
            entries.insert(chance.choice([0, at, at + 1]), (name, chance.choice([fields, Text("null"), fields[:2]])))
            return
    entries[at] = (name, fields)


def header(chance):
    """The bytes of a header, and how many follow."""
    entries, end = table(chance)
    for _ in range(chance.choice([0, 0, 1, 1])):
        twisted(chance, entries)
    text = written(entries) if entries else "{}"
    raw = (chance.choice(SPACES) + text + chance.choice(SPACES)).encode()
    return raw, max(0, end + chance.choice([0] * 20 + [-1, 1, 8]))


def here(path):
    try:
        found = read_header(path)
    except FileError:
        return None
    return {name: (list(found.shape(name) or ()), each["dtype"]) for name, each in found.tensors.items()}


def there(path):
    try:
        return {name: (each["shape"], each["dtype"]) for name, each in safetensors.deserialize(path.read_bytes())}
    except safetensors.SafetensorError:
        return None


@pytest.mark.parametrize("seed", range(4))
def test_what_the_reference_library_reads_is_read_alike_and_nothing_else(tmp_path, seed):
    chance = random.Random(seed)
    path, read = tmp_path / "file.safetensors", 0
    for _ in range(400):
        raw, data = header(chance)
        write_raw(path, raw, data)
        wanted = there(path)
        read += wanted is not None
        assert here(path) == wanted, (raw, data)
    assert 100 < read < 300  # both are common


def test_metadata_are_those_that_the_reference_library_tells(tmp_path):
    path = tmp_path / "file.safetensors"
    for said, wanted in (('{"k":"v","k":"w"}', {"k": "w"}), ("null", {}), ("{}", {})):
        for place in ('{"__metadata__":%s,"a":%s}', ' {"a":%s,"__metadata__":%s}'):
            one = '{"dtype":"F16","shape":[2],"data_offsets":[0,4]}'
            raw = place % ((said, one) if place.startswith("{") else (one, said))
            assert read_header(write_raw(path, raw.encode(), 4)).metadata == wanted
            with safetensors.safe_open(path, "np") as file:
                assert (file.metadata() or {}) == wanted


def test_a_table_that_was_seen_before_is_held_to_the_same(tmp_path):
    """The second file of one table is not parsed again, and its metadata may still stand twice."""
    rest = b'"%b":{"dtype":"F16","shape":[2],"data_offsets":[0,4]}}' % (b"a" * 200)
    usual, twice = b'{"__metadata__":{"k":"v"},', b'{"__metadata__":{"k":"v"},"__metadata__":{"k":"v"},'
    escaped = usual + b'"\\u005f_\\u006Detadata__":{"k":"w"},'
    for start in (escaped, usual, usual, twice, usual, b" \n" + usual, twice, escaped):
        path = write_raw(tmp_path / "file.safetensors", start + rest, 4)
        assert here(path) == there(path), start
