"""Files made to do harm to whoever reads them, each harmless to keep: small, or sparse on disk.

`write_all` writes them into a folder. Another kind of file is another list of `Sample`s, added to `SAMPLES`.
"""

from __future__ import annotations

import base64
import bz2
import io
import json
import lzma
import struct
import tarfile
import zipfile
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@dataclass(frozen=True)
class Sample:
    """A file or folder by its name, what writes it, and what `assetctl identify` is to exit with: some do no harm."""

    name: str
    write: Callable[[Path], object]
    code: int = 5


def write_all(folder: Path) -> dict[Path, Sample]:
    """Write all samples, each by its name."""
    folder.mkdir(parents=True, exist_ok=True)
    written = {}
    for sample in SAMPLES:
        path = folder / sample.name
        sample.write(path)
        written[path] = sample
    return written


def of(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


# Pickles: words of their language, and what PyTorch says in it.

PROTO, CALL, BUILD, STOP = b"\x80\x02", b"R", b"b", b"."


def word(text: str) -> bytes:
    encoded = text.encode("utf-8", "surrogatepass")
    return b"X" + struct.pack("<I", len(encoded)) + encoded


def number(value: int) -> bytes:
    encoded = value.to_bytes(9, "little", signed=True)
    return b"\x8a\x09" + encoded


def name(module: str, function: str) -> bytes:
    return b"c" + module.encode() + b"\n" + function.encode() + b"\n"


def put(place: int) -> bytes:
    return b"r" + struct.pack("<I", place)


def get(place: int) -> bytes:
    return b"j" + struct.pack("<I", place)


def row(*items: bytes) -> bytes:
    return b"(" + b"".join(items) + b"t"


def mapping(**items: bytes) -> bytes:
    return b"}(" + b"".join(word(key) + value for key, value in items.items()) + b"u"


def program(body: bytes) -> bytes:
    return PROTO + body + STOP


def storage(elements: int = 4, key: str = "0", kind: str = "FloatStorage", rest: bytes = b"") -> bytes:
    return row(word("storage"), name("torch", kind), word(key), word("cpu"), number(elements), rest) + b"Q"


def numbers(*values: int) -> bytes:
    return row(*map(number, values))


def tensor(
    shape: bytes | None = None, stride: bytes | None = None, offset: int = 0, of_storage: bytes | None = None
) -> bytes:
    shape, stride = shape or numbers(2, 2), stride or numbers(2, 1)
    rest = b"\x89" + name("collections", "OrderedDict") + b")R"
    parts = row(of_storage or storage(), number(offset), shape, stride, rest)
    return name("torch._utils", "_rebuild_tensor_v2") + parts + CALL


def archived(body: bytes, method: int = zipfile.ZIP_STORED, stored: bytes = b"\0" * 16) -> Callable[[Path], object]:
    def write(path: Path) -> None:
        with zipfile.ZipFile(path, "w", method) as archive:
            archive.writestr("archive/data.pkl", program(body))
            archive.writestr("archive/data/0", stored, zipfile.ZIP_STORED)
            archive.writestr("archive/version", "3\n")

    return write


def legacy(body: bytes, keys: bytes, stored: bytes = b"", sparse: int = 0) -> Callable[[Path], object]:
    """PyTorch's older stream: magic number, version, machine, object, keys, and then the storages."""
    magic = program(b"\x8a\x0a" + (0x1950A86A20F9469CFC6C).to_bytes(10, "little"))
    content = magic + program(b"M\xe9\x03") + program(b"}") + program(body) + program(keys) + stored

    def write(path: Path) -> None:
        with path.open("wb") as file:
            file.write(content)
            file.truncate(len(content) + sparse)

    return write


def maze(depth: int) -> bytes:
    """A tuple of two tuples of two tuples: who hashes, compares or shows it walks 2 to the power of `depth` paths."""
    return b")" + put(0) + b"".join(b"0" + get(step) * 2 + b"\x86" + put(step + 1) for step in range(depth))


def times(body: bytes, count: int) -> bytes:
    return body * count


def halves(depth: int) -> bytes:
    """A list of twice a list of twice a list."""
    return b"]" + put(0) + b"".join(b"0](" + get(step) * 2 + b"e" + put(step + 1) for step in range(depth))


_LONG = "k" * 2_000_000
_FUNCTION = name("torch._utils", "_rebuild_tensor_v2")

PICKLES = [
    Sample("key-maze.pt", of(program(b"}" + maze(60) + b"Ns"))),
    Sample("key-maze-archived.pt", archived(b"}" + maze(60) + b"Ns")),
    Sample("key-maze-in-a-set.pt", of(PROTO + b"\x8f(" + maze(60) + b"\x90.")),
    Sample("key-maze-frozen.pt", of(PROTO + b"(" + maze(60) + b"\x91.")),
    Sample(
        "key-maze-of-pairs.pt",
        of(program(name("collections", "OrderedDict") + row(b"](" + row(maze(60), b"N") + b"e") + CALL)),
    ),
    Sample("key-of-depth.pt", of(program(b"})" + b"\x85" * 200_000 + b"Ns"))),
    Sample("key-of-lists.pt", of(program(b"}]Ns"))),
    Sample("lists-of-depth.pt", of(program(b"]" * 50_000 + b"a" * 49_999)), code=0),
    Sample("lists-of-halves.pt", of(program(halves(40))), code=0),
    Sample("list-in-itself.pt", of(program(b"]" + put(0) + get(0) + b"a")), code=0),
    Sample("dictionary-in-itself.pt", of(program(b"}" + put(0) + word("a") + get(0) + b"s")), code=0),
    Sample(
        "long-key-of-many.pt", archived(mapping(**{_LONG: b"](" + b"N" * 10_000 + b"e"}), zipfile.ZIP_DEFLATED), code=0
    ),
    Sample(
        "long-key-of-many-tensors.pt",
        archived(mapping(**{_LONG: tensor() + put(0) + b"0](" + get(0) * 1000 + b"e"}), zipfile.ZIP_DEFLATED),
    ),
    Sample(
        "word-encoded-a-thousand-times.pt",
        archived(
            word(_LONG)
            + put(0)
            + b"0]("
            + (name("_codecs", "encode") + row(get(0), word("latin1")) + CALL) * 1000
            + b"e",
            zipfile.ZIP_DEFLATED,
        ),
        code=0,
    ),
    Sample(
        "bytes-as-names.pt",
        archived(
            b"B" + struct.pack("<I", len(_LONG)) + _LONG.encode() + put(0) + b"0" + (get(0) * 2 + b"\x93") * 1000,
            zipfile.ZIP_DEFLATED,
        ),
    ),
    Sample("name-of-many-dots.pt", of(program(b"c" + b"a." * 500_000 + b"\nx\n"))),
    Sample(
        "pairs-copied.pt",
        of(
            program(
                b"]("
                + row(word("a"), b"N") * 50_000
                + b"e"
                + put(0)
                + b"0]("
                + (name("collections", "OrderedDict") + row(get(0)) + CALL) * 1000
                + b"e"
            )
        ),
    ),
    Sample("millions-of-steps.pt", archived(b"N0" * 3_000_000 + b"N", zipfile.ZIP_DEFLATED)),
    Sample("millions-of-pickles.pt", of(b"N." * 1_000_000)),
    Sample("long-number.pt", of(PROTO + b"\x8b" + struct.pack("<I", 1_000_000) + b"\x7f" * 1_000_000 + b"."), code=0),
    Sample("long-number-as-words.pt", of(b"I" + b"9" * 1_000_000 + b"\n.")),
    Sample(
        "long-number-as-step.pt",
        archived(
            mapping(string_to_param=mapping(x=tensor()), step=b"\x8b" + struct.pack("<I", 100_000) + b"\x7f" * 100_000)
        ),
        code=0,
    ),
    Sample("memory-of-billions.pt", of(PROTO + b"]r\xff\xff\xff\x7f.")),
    Sample("empty-stack.pt", of(PROTO + b"0000.")),
    Sample("no-mark.pt", of(PROTO + b"Nt.")),
    Sample(
        "changes-a-function.pt",
        archived(mapping(a=_FUNCTION + b"](" + name("collections", "OrderedDict") + b"e" + BUILD)),
    ),
    Sample("changes-a-function-by-item.pt", archived(mapping(a=_FUNCTION + word("x") + b"Ns"))),
    Sample("appends-to-a-function.pt", archived(mapping(a=_FUNCTION + b"Na"))),
    Sample("changes-a-dtype.pt", archived(mapping(a=name("torch", "float16") + b"}" + BUILD))),
    Sample("changes-a-storage.pt", archived(mapping(a=storage() + b"}" + BUILD))),
    Sample(
        "changes-a-tensor.pt", archived(mapping(a=tensor() + b"](" + storage() + word("F32") + b"K\x00))e" + BUILD))
    ),
    Sample("changes-an-inert-class.pt", archived(mapping(a=name("argparse", "Namespace") + mapping(x=b"N") + BUILD))),
    Sample(
        "changes-an-inert-object.pt",
        archived(mapping(a=name("argparse", "Namespace") + b")R" + mapping(x=b"N") + BUILD)),
        code=0,
    ),
    Sample("tensor-beyond.pt", archived(mapping(a=tensor(offset=1)))),
    Sample("tensor-before.pt", archived(mapping(a=tensor(offset=-1)))),
    Sample("tensor-backwards.pt", archived(mapping(a=tensor(stride=numbers(-2, 1))))),
    Sample("tensor-of-exabytes.pt", archived(mapping(a=tensor(numbers(2**31, 2**31), of_storage=storage(2**62))))),
    Sample("tensor-of-one-number.pt", archived(mapping(a=tensor(numbers(2**40), numbers(0))))),
    Sample("tensor-of-many-dimensions.pt", archived(mapping(a=tensor(numbers(*[1] * 1000), numbers(*[1] * 1000))))),
    Sample("tensor-of-words.pt", archived(mapping(a=tensor(row(word("a")))))),
    Sample("tensor-of-truths.pt", archived(mapping(a=tensor(row(b"\x88", b"\x88"))))),
    Sample("tensor-of-no-shape.pt", archived(mapping(a=tensor(b"N", b"N")))),
    Sample("tensor-of-no-storage.pt", archived(mapping(a=tensor(of_storage=word("0"))))),
    Sample("tensor-of-quaternions.pt", archived(mapping(a=tensor(of_storage=storage(kind="ComplexDoubleStorage"))))),
    Sample("tensors-from-nowhere.pt", archived(mapping(a=tensor(of_storage=storage(key="../../etc/passwd"))))),
    Sample(
        "storage-of-two-kinds.pt", archived(mapping(a=tensor(), b=tensor(of_storage=storage(2, kind="DoubleStorage"))))
    ),
    Sample("half-a-letter.pt", archived(mapping(**{"\ud800": tensor()}))),
    Sample(
        "half-a-letter-said.pt", archived(mapping(string_to_param=mapping(x=tensor()), name=word("\udfff"))), code=0
    ),
    Sample("named-as-metadata.pt", archived(mapping(__metadata__=tensor())), code=0),
    Sample("two-of-one-name.pt", archived(b"}(" + word("1") + tensor() + number(1) + tensor() + b"u")),
    Sample(
        "tensors-without-end.pt",
        archived(tensor(numbers(0), numbers(1)) + put(0) + b"0](" + get(0) * 150_000 + b"e", zipfile.ZIP_DEFLATED),
    ),
    Sample(
        "old-storage-of-exabytes.pt", legacy(mapping(a=tensor()), b"](" + word("0") + b"e", b"\xff" * 8 + b"\0" * 16)
    ),
    Sample(
        "old-storage-of-another.pt",
        legacy(
            mapping(a=tensor(of_storage=storage(rest=row(word("1"), number(2), number(4))))),
            b"](" + word("0") + b"e",
            struct.pack("<Q", 4) + b"\0" * 16,
        ),
    ),
    Sample(
        "old-storage-twice.pt",
        legacy(mapping(a=tensor()), b"](" + word("0") * 2 + b"e", struct.pack("<Q", 4) + b"\0" * 60),
    ),
    Sample("old-keys-of-halves.pt", legacy(mapping(a=tensor()), halves(40))),
    Sample(
        "old-and-far-apart.pt",
        legacy(
            mapping(a=tensor(numbers(2, 3), numbers(1, 2**29), of_storage=storage(2**30 + 2))),
            b"](" + word("0") + b"e",
            struct.pack("<Q", 2**30 + 2),
            sparse=4 * 2**30 + 8,
        ),
        code=0,
    ),
    Sample("by-extension.pt", of(PROTO + b"\x82\x01.")),
    Sample("by-buffer.pt", of(b"\x80\x05\x97.")),
    Sample("by-persistent-words.pt", of(b"Pstorage\n.")),
    Sample("by-halves-as-storage.pt", of(PROTO + maze(60) + b"Q.")),
]


# Archives around them.


def archive_of(entries: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Callable[[Path], object]:
    def write(path: Path) -> None:
        with zipfile.ZipFile(path, "w", method) as archive:
            for entry, content in entries.items():
                archive.writestr(entry, content)

    return write


def patched(write: Callable[[Path], object], magic: bytes, at: int, content: bytes) -> Callable[[Path], object]:
    """An archive with other bytes in its last header of a kind: `PK12` is the directory's, `PK34` an entry's own."""

    def written(path: Path) -> None:
        write(path)
        data = bytearray(path.read_bytes())
        begin = data.rindex(magic) + at
        data[begin : begin + len(content)] = content
        path.write_bytes(data)

    return written


def many_entries(path: Path) -> None:
    entry = b"PK\1\2" + b"\0" * 24 + struct.pack("<H", 1) + b"\0" * 16 + b"a"
    count = 200_000
    end = b"PK\5\6" + struct.pack("<4H2IH", 0, 0, count % 65536, count % 65536, len(entry) * count, 4, 0)
    path.write_bytes(b"PK\3\4" + entry * count + end)


def tar_archive(first: bytes, entries: dict[str, bytes], behind: bytes = b"") -> Callable[[Path], object]:
    """A tar archive whose first entry's name, which is what the file begins with, is any bytes."""

    def write(path: Path) -> None:
        with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as archive:
            for entry, content in {"first": b"", **entries}.items():
                described = tarfile.TarInfo(entry)
                described.size = len(content)
                archive.addfile(described, io.BytesIO(content))
        data = bytearray(path.read_bytes())
        data[:100] = first.ljust(100, b"\0")
        data[148:156] = b" " * 8
        data[148:156] = b"%06o\0 " % sum(data[:512])
        path.write_bytes(data + behind)

    return write


_RUNS = program(name("posix", "getcwd") + b")" + CALL)
_TAR_ENTRIES = {"storages": program(number(0)) + program(b"]"), "tensors": program(number(0)), "pickle": _RUNS}
_STREAM = program(b"\x8a\x0a" + (0x1950A86A20F9469CFC6C).to_bytes(10, "little")) + program(b"M\xe9\x03") + program(b"}")


def tar_and_stream(path: Path) -> None:
    """PyTorch's oldest format, which runs code, before an honest embedding in its older stream."""
    vectors = tensor(numbers(2, 768), numbers(768, 1), of_storage=storage(1536))
    embedding = mapping(string_to_param=mapping(**{"*": vectors}), name=word("x"))
    tar_archive(b"", _TAR_ENTRIES)(path)
    begins = _STREAM + PROTO + b"B"
    over = begins + struct.pack("<I", path.stat().st_size - len(begins) - 4)  # the rest of it, as one string
    behind = b"0" + embedding + STOP + program(b"](" + word("0") + b"e") + struct.pack("<Q", 1536) + b"\0" * 6144
    tar_archive(over, _TAR_ENTRIES, behind)(path)


def stream_and_zip(path: Path) -> None:
    """The older stream of an honest tensor, and behind it an archive of a pickle."""
    stored = struct.pack("<Q", 4) + b"\0" * 16
    legacy(mapping(a=tensor()), b"](" + word("0") + b"e", stored)(path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("archive/data.pkl", _RUNS)


def safetensors_and_pickle(path: Path) -> None:
    """A safetensors file whose length, as a pickle's string, leads on into its metadata and its tensor."""
    code = b"0" + name("posix", "getcwd") + b")" + CALL + STOP
    table = b'"},"t":{"dtype":"U8","shape":[%d],"data_offsets":[0,%d]}}' % (len(code), len(code))
    begin = b'{"__metadata__":{"a":"'
    padding = (ord("X") - len(begin) - 2 - len(table)) % 128  # so that strings of 126 bytes fill the rest
    begin = b"{" + b" " * padding + begin[1:]
    length = ord("X") + 256 * (len(begin) + 3)
    strings = b"U~" + b"~" * 126
    fill = strings * ((length - len(begin) - 2 - len(table)) // len(strings))
    path.write_bytes(length.to_bytes(8, "little") + begin + fill + b"U" + bytes([len(table)]) + table + code)


def overlapping(path: Path) -> None:
    """Two storages whose bytes are one another's."""
    body = program(mapping(a=tensor(), b=tensor(of_storage=storage(key="1"))))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/data.pkl", body)
        archive.writestr("a/data/0", b"\0" * 16)
        archive.writestr("a/data/1", b"\0" * 16)
        archive.getinfo("a/data/1").header_offset = archive.getinfo("a/data/0").header_offset


_PLAIN = archived(mapping(a=tensor()))
_STEPS = program(b"N0" * 400_000 + b"N")

ARCHIVES = [
    Sample("zip-of-zeros.pt", archive_of({"a/data.pkl": b"\0" * 60_000_000})),
    Sample(
        "zip-of-many-steps.pt",
        archive_of({f"a/{number}": _STEPS for number in range(8)} | {"a/data.pkl": program(b"N")}),
    ),
    Sample("zip-of-many-entries.pt", many_entries),
    Sample("zip-of-two-models.pt", archive_of({"a/data.pkl": program(b"N"), "b/data.pkl": program(b"N")})),
    Sample("zip-overlapping.pt", overlapping),
    Sample("zip-by-bzip.pt", archive_of({"a/data.pkl": program(b"N")}, zipfile.ZIP_BZIP2)),
    Sample("zip-by-lzma.pt", archive_of({"a/data.pkl": program(b"N")}, zipfile.ZIP_LZMA)),
    Sample("zip-locked.pt", patched(archive_of({"a/data.pkl": program(b"N")}), b"PK\1\2", 8, b"\1\0"), code=0),
    Sample("zip-of-no-method.pt", patched(archive_of({"a/data.pkl": program(b"N")}), b"PK\1\2", 10, b"\x63\0")),
    Sample("zip-far-away.pt", patched(_PLAIN, b"PK\1\2", 42, b"\xff\xff\xff\x7f")),
    Sample("zip-directory-far-away.pt", patched(_PLAIN, b"PK\5\6", 16, b"\xff\xff\xff\x7f")),
    Sample("zip-directory-of-gigabytes.pt", patched(_PLAIN, b"PK\5\6", 12, b"\xff\xff\xff\x7f")),
    Sample("zip-cut.pt", of(b"PK\3\4")),
    Sample("zip-of-a-zip.pt", archive_of({"a.zip": b"PK\3\4" + b"\0" * 100})),
    Sample("arrays-of-depth.pt", archive_of({"a.npy": b"\x93NUMPY\1\0" + struct.pack("<H", 60_000) + b"(" * 60_000})),
    Sample(
        "arrays-of-signs.pt", archive_of({"a.npy": b"\x93NUMPY\1\0" + struct.pack("<H", 9_001) + b"-" * 9_000 + b"1"})
    ),
    Sample(
        "arrays-described-at-length.pt",
        archive_of(
            {
                f"{number}.npy": b"\x93NUMPY\1\0" + struct.pack("<H", 9_999) + b"[" + b"1," * 4_999
                for number in range(400)
            }
        ),
    ),
    Sample(
        "array-of-a-maze.pt",
        of(b"\x93NUMPY\1\0" + struct.pack("<H", 16) + b"{'descr': '|O'} " + program(b"}" + maze(60) + b"Ns")),
    ),
    Sample("array-cut.pt", of(b"\x93NUMPY")),
    Sample("tar-and-stream.pt", tar_and_stream),
    Sample("tar-and-pickle.pt", tar_archive(b"N.", _TAR_ENTRIES)),
    Sample("tar.pt", tar_archive(b"first", _TAR_ENTRIES)),
    Sample("stream-and-zip.pt", stream_and_zip),
    Sample("safetensors-and-pickle.ckpt", safetensors_and_pickle),
    Sample("gzip.pt", of(zlib.compress(b"\0" * 10_000_000, wbits=31))),
    Sample("bzip.pt", of(bz2.compress(b"\0" * 10_000_000))),
    Sample("xz.pt", of(lzma.compress(b"\0" * 10_000_000))),
]


# Safetensors.


def header(text: str | bytes, data: int = 0) -> Callable[[Path], object]:
    raw = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    return of(len(raw).to_bytes(8, "little") + raw + b"\0" * data)


def described(**said: object) -> Callable[[Path], object]:
    entry = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]} | said
    return header(json.dumps({"a": entry}), 4)


_ONE = '{"dtype":"F32","shape":[1],"data_offsets":[0,4]}'
_TABLE = f'"{"t" * 200}":{_ONE}}}'

#: Prefixes in one name, again and again: to look from each to the name's end, or to keep a way back there, is long.
_PREFIXES = ("lora_te_" * 30_000, "text_encoder." * 20_000, "unet." * 2_000_000, "lora_unet_" + "transformer_" * 80_000)


def _name_of(text: str) -> Callable[[Path], object]:
    return header(f'{{"{text}z.lora_down.weight":{_ONE}}}', 4)


HEADERS = [
    *(Sample(f"name-of-prefixes-{n}.safetensors", _name_of(text), code=0) for n, text in enumerate(_PREFIXES)),
    Sample(
        "header-of-one-long-string.safetensors",
        header('{"a":["F32",[1],[0,4]],"__metadata__":{"k":"' + "x" * 30_000_000 + '"}}', 4),
        code=0,
    ),
    Sample("header-of-lists.safetensors", header(b'{"a":[' + b"[]," * 5_000_000 + b"0]}")),
    Sample("header-of-objects.safetensors", header(b'{"a":[' + b"{}," * 5_000_000 + b"0]}")),
    Sample("header-of-numbers.safetensors", header(b'{"a":[' + b"1e9," * 5_000_000 + b"0]}")),
    Sample(
        "header-of-names.safetensors",
        header(b"{" + b",".join(b'"%x":0' % number for number in range(1_500_000)) + b"}"),
    ),
    Sample("header-of-depth.safetensors", header('{"a":' + "[" * 100_000 + "]" * 100_000 + "}")),
    Sample("header-of-exabytes.safetensors", of(b"\xff" * 7 + b"\x7f{")),
    Sample("header-of-half-letters.safetensors", header('{"\\ud800":' + _ONE + "}", 4)),
    Sample("header-of-bad-letters.safetensors", header(b'{"\xff\xfe":' + _ONE.encode() + b"}", 4)),
    Sample("header-of-one-name-twice.safetensors", header('{"a":' + _ONE + ',"a":' + _ONE + "}", 4), code=0),
    Sample(
        "header-of-metadata-twice.safetensors",
        header('{"__metadata__":{},"__metadata__":{"a":"b"},"a":' + _ONE + "}", 4),
    ),
    Sample("header-of-a-list.safetensors", header("[]      ")),
    Sample("metadata-list.safetensors", header('{"__metadata__":[]}')),
    Sample("metadata-number.safetensors", header('{"__metadata__":1}')),
    Sample("metadata-before-a-table.safetensors", header('{"__metadata__":{"a":"b"},' + _TABLE, 4), code=0),
    Sample(  # the same table, which is known by now
        "metadata-of-lists-before-that-table.safetensors",
        header(b'{"__metadata__":{"a":[' + b"[]," * 5_000_000 + b"0]}," + _TABLE.encode(), 4),
    ),
    Sample("metadata-nothing.safetensors", header('{"__metadata__":null}'), code=0),
    Sample("metadata-of-numbers.safetensors", header('{"__metadata__":{"a":1}}')),
    Sample(
        "metadata-of-depth.safetensors",
        header('{"__metadata__":{"a":"b"},"a":' + _ONE[:-1] + ',"x":' + "[" * 900 + "]" * 900 + "}}", 4),
    ),
    Sample(
        "metadata-of-deep-words.safetensors",
        header(
            json.dumps(
                {
                    "__metadata__": {
                        "ss_tag_frequency": "[" * 100_000,
                        "ss_dataset_dirs": '{"a":' * 900 + "1" + "}" * 900,
                    },
                    "a": json.loads(_ONE),
                }
            ),
            4,
        ),
        code=0,
    ),
    *(
        Sample(f"offsets-{number}.safetensors", described(data_offsets=offsets))
        for number, offsets in enumerate(
            (
                [0, 1e308],
                [-1e308, 4],
                [0, 4.0],
                [False, 4],
                ["0", "4"],
                [0],
                [0, 4, 4],
                [4, 0],
                [-4, 0],
                [0, 2**64 - 1],
                [0, 2**70],
                None,
                {},
                "04",
                4,
                [[0], [4]],
                [0, None],
            )
        )
    ),
    *(
        Sample(f"shape-{number}.safetensors", described(shape=shape))
        for number, shape in enumerate(
            (
                [1.0],
                [True],
                ["1"],
                [None],
                [-1],
                [-1, -1],
                [[1]],
                "1",
                {},
                None,
                1,
                [2**64 - 1] * 16,
                [2**70],
                [2**62] * 100_000,
                [0],
                [1e308],
            )
        )
    ),
    *(
        Sample(f"dtype-{number}.safetensors", described(dtype=dtype))
        for number, dtype in enumerate(("", "F31", 1, None, [], {}))
    ),
    Sample("shape-of-many-dimensions.safetensors", described(shape=[1] * 100_000), code=0),
    Sample("entry-list.safetensors", header('{"a":[]}')),
    Sample("entry-words.safetensors", header('{"a":"dtype shape data_offsets"}')),
    Sample("entry-nothing.safetensors", header('{"a":null}')),
]


# GGUF.


def text(content: bytes) -> bytes:
    return struct.pack("<Q", len(content)) + content


def gguf(*fields: bytes, tensors: bytes = b"", count: int | None = None, sparse: int = 0) -> Callable[[Path], object]:
    content = b"GGUF" + struct.pack("<IQQ", 3, (1 if tensors else 0) if count is None else count, len(fields))
    content += b"".join(fields) + tensors

    def write(path: Path) -> None:
        with path.open("wb") as file:
            file.write(content)
            file.truncate(len(content) + sparse)

    return write


def listed(kind: int, count: int, content: bytes = b"") -> bytes:
    return text(b"a") + struct.pack("<IIQ", 9, kind, count) + content


def shaped(*shape: int, kind: int = 0, begin: int = 0) -> bytes:
    return text(b"x") + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, begin)


QUANTISED = [
    Sample("list-of-bytes.gguf", gguf(listed(0, 60_000_000), sparse=60_000_000), code=0),
    Sample("list-of-words.gguf", gguf(listed(8, 7_000_000), sparse=60_000_000)),
    Sample("list-of-lists.gguf", gguf(listed(9, 5_000_000), sparse=60_000_000)),
    Sample("list-of-exabytes.gguf", gguf(listed(10, 2**63))),
    Sample("list-of-depth.gguf", gguf(listed(9, 1, struct.pack("<IQ", 9, 1) * 100_000))),
    Sample("list-of-nothing.gguf", gguf(listed(99, 1))),
    Sample("word-of-exabytes.gguf", gguf(struct.pack("<Q", 2**63))),
    Sample("word-of-bad-letters.gguf", gguf(text(b"\xff\xfe") + struct.pack("<IB", 0, 0))),
    Sample("tensors-of-exabytes.gguf", gguf(count=2**63)),
    Sample("tensors-beyond.gguf", gguf(tensors=shaped(2**40))),
    Sample("tensors-far-away.gguf", gguf(tensors=shaped(1, begin=2**64 - 1))),
    Sample("tensors-of-many-dimensions.gguf", gguf(tensors=shaped(*[1] * 200))),
    Sample("tensors-that-overflow.gguf", gguf(tensors=shaped(*[2**64 - 1] * 16))),
    Sample("tensors-of-nothing.gguf", gguf(tensors=shaped(0, 2**64 - 1), sparse=64), code=0),
    Sample("tensors-of-no-type.gguf", gguf(tensors=shaped(1, kind=99))),
    Sample("aligned-to-nothing.gguf", gguf(text(b"general.alignment") + struct.pack("<II", 4, 0))),
    Sample("aligned-to-words.gguf", gguf(text(b"general.alignment") + struct.pack("<I", 8) + text(b"a"))),
    Sample("aligned-to-exabytes.gguf", gguf(text(b"general.alignment") + struct.pack("<IQ", 10, 2**63))),
    Sample("gguf-cut.gguf", of(b"GGUF")),
]


# Embeddings in pictures.


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def picture(*chunks: bytes) -> bytes:
    head = chunk(b"IHDR", struct.pack(">2I5B", 1, 1, 8, 0, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(b"\0\0"))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(chunks) + body + chunk(b"IEND", b"")


def embedded(said: str | bytes) -> Callable[[Path], object]:
    raw = said.encode() if isinstance(said, str) else said
    return of(picture(chunk(b"tEXt", b"sd-ti-embedding\0" + base64.b64encode(raw))))


def vectors(rows: str, **said: str) -> Callable[[Path], object]:
    return embedded(
        '{"string_to_param":{"*":{"TORCHTENSOR":' + rows + "}}" + "".join(f',"{k}":{v}' for k, v in said.items()) + "}"
    )


_ROW = "[" + ",".join(["0.5"] * 768) + "]"

PICTURES = [
    *(
        Sample(f"vectors-{number}.png", vectors(rows))
        for number, rows in enumerate(
            (
                "[[1e300]]",
                "[[-1e39]]",
                "[[1e999]]",
                "[[NaN]]",
                "[[3.4028236e38]]",
                "[[true]]",
                '[["1"]]',
                '["12","34"]',
                '[{"1":2}]',
                "[[null]]",
                "[[[1]]]",
                "[[]]",
                "[]",
                "[1]",
                "{}",
                "null",
                "1",
                '"12"',
                "[[1],[1,2]]",
                "[" * 900 + "]" * 900,
                "[[1e300,1],[1,1]]",
            )
        )
    ),
    Sample("vectors-without-end.png", vectors("[" + "[1]," * 1_500_000 + "[1]]")),
    Sample("vectors-of-lists.png", vectors("[" + "[]," * 1_500_000 + "[1]]")),
    Sample("vectors-named-as-metadata.png", vectors(f"[{_ROW}]", name='"__metadata__"'), code=0),
    Sample("vectors-named-at-length.png", vectors(f"[{_ROW}]", name='"' + "n" * 1_000_000 + '"'), code=0),
    Sample("vectors-large.png", vectors("[" + _ROW.replace("0.5", "3.4028235e38") + "]"), code=0),
    Sample("vectors-of-a-list.png", embedded('{"string_to_param":[]}')),
    Sample("vectors-of-none.png", embedded("[]")),
    Sample("vectors-in-no-json.png", embedded(b"\xff" * 100)),
    Sample("chunk-of-gigabytes.png", of(picture(b"\x7f\xff\xff\xfftEXtsd-ti-embedding\0"))),
    Sample("chunks-without-end.png", of(picture(chunk(b"tEXt", b"") * 200_000))),
    Sample("text-inflated.png", of(picture(chunk(b"zTXt", b"parameters\0\0" + zlib.compress(b"\0" * 50_000_000))))),
]


#: A picture's graph whose VAE comes by a node that is linked to itself.
GRAPH_OF_CIRCLES = {
    "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "dream.safetensors"}},
    "3": {"class_type": "CLIPTextEncode", "inputs": {"text": "a cat", "clip": ["1", 1]}},
    "4": {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64}},
    "5": {
        "class_type": "KSampler",
        "inputs": {"seed": 1, "steps": 1, "cfg": 3.0, "sampler_name": "euler", "scheduler": "normal",
                   "model": ["1", 0], "positive": ["3", 0], "negative": ["3", 0], "latent_image": ["4", 0]},
    },
    "8": {"class_type": "VAEDecode", "inputs": {"samples": ["5", 0], "vae": ["9", 0]}},
    "9": {"class_type": "Reroute", "inputs": {"": ["9", 0]}},
}  # fmt: skip
PICTURES.append(
    Sample("graph-of-circles.png", of(picture(chunk(b"tEXt", b"prompt\0" + json.dumps(GRAPH_OF_CIRCLES).encode()))))
)


# Folders of diffusers models.


def folder(**files: str) -> Callable[[Path], object]:
    def write(path: Path) -> None:
        path.mkdir()
        for file, content in files.items():
            (path / f"{file}.json").write_text(content)

    return write


FOLDERS = [
    Sample("folder-of-depth", folder(config="[" * 1_000_000)),
    Sample("folder-of-a-list", folder(model_index="[]")),
    Sample("folder-of-no-class", folder(config='{"_class_name": ["UNet2DConditionModel"]}'), code=0),
    Sample(
        "folder-of-odd-numbers",
        folder(config='{"_class_name": "UNet2DConditionModel", "cross_attention_dim": 1e308, "in_channels": true}'),
        code=0,
    ),
    Sample(
        "folder-of-large-numbers",
        folder(config='{"_class_name": "AutoencoderKL", "latent_channels": 18446744073709551615}'),
        code=0,
    ),
    Sample("folder-at-length", folder(config='{"a": "' + "a" * 2**21 + '"}')),
]

SAMPLES = [*PICKLES, *ARCHIVES, *HEADERS, *QUANTISED, *PICTURES, *FOLDERS]
