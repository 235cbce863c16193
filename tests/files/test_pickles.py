from __future__ import annotations

import argparse
import collections
import contextlib
import io
import json
import pickle
import random
import resource
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest
from hostile import ARCHIVES, PICKLES, Sample, archived, mapping, numbers, tensor
from material import convert
from patience import fair

from assetctl.errors import AssetctlError, CorruptFileError, RefusedFileError
from assetctl.files.pickles import read_pickle
from assetctl.identify import identify

CORPUS = Path(__file__).parents[2] / "../shared/corpus"
LABELS = CORPUS / "pickles/labels.json"
ENTRIES = json.loads(LABELS.read_text()) if LABELS.is_file() else []


class Calls:
    """Pickles as a call of a function."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


def archive(path: Path, program: bytes, method: int = zipfile.ZIP_STORED, **others: bytes) -> Path:
    with zipfile.ZipFile(path, "w", method) as file:
        file.writestr("model/data.pkl", program)
        for name, content in others.items():
            file.writestr(f"model/{name.replace('__', '/')}", content)
    return path


@pytest.mark.skipif(not ENTRIES, reason="the third-party corpus is not beside the checkout")
@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry["file"])
def test_every_pickle_of_the_corpus_is_judged_as_its_label_says(entry):
    path = CORPUS / "pickles" / entry["file"]
    if not entry["must_refuse"]:
        assert identify(path).format in ("pickle", None)
        return
    with pytest.raises(RefusedFileError) as caught:
        identify(path)
    assert caught.value.exit_code == 5
    # picklescan's labels leave out what is inside an archive that it cannot open
    named = [f"{module}.{name}" for module, name, level in entry["globals"] if level == "dangerous"]
    assert not named or any(name in caught.value.message for name in named)


@pytest.mark.parametrize("wrap", ["bare", "archive"])
def test_what_it_would_have_called_is_named_and_not_called(tmp_path: Path, wrap: str):
    mark = tmp_path / "ran"
    program = pickle.dumps({"state_dict": Calls(Path.touch, mark), "x": Calls(subprocess.call, ["touch", str(mark)])})
    path = tmp_path / "evil.ckpt"
    _ = path.write_bytes(program) if wrap == "bare" else archive(path, program)
    with pytest.raises(RefusedFileError, match=r"subprocess\.call") as caught:
        identify(path)
    assert "Do not load" in caught.value.hint
    assert not mark.exists()


@pytest.mark.parametrize("function", [json.loads, random.Random, zipfile.ZipFile, io.StringIO])
def test_a_call_that_nobody_lists_as_dangerous_is_refused_all_the_same(tmp_path: Path, function):
    path = tmp_path / "odd.pt"
    path.write_bytes(pickle.dumps([Calls(function)]))
    with pytest.raises(RefusedFileError, match=function.__name__):
        identify(path)


def test_a_pickle_behind_the_first_is_seen(tmp_path: Path):
    path = tmp_path / "two.pt"
    path.write_bytes(pickle.dumps({}) + pickle.dumps(Calls(subprocess.call, "true")))
    with pytest.raises(RefusedFileError, match=r"subprocess\.call"):
        identify(path)


def test_every_pickle_of_an_archive_counts(tmp_path: Path):
    path = archive(
        tmp_path / "a.pt", pickle.dumps({}), **{"extra__more.pkl": pickle.dumps(Calls(subprocess.call, "x"))}
    )
    with pytest.raises(RefusedFileError, match=r"subprocess\.call"):
        identify(path)


def test_a_pickle_under_a_safetensors_name_is_refused(tmp_path: Path):
    path = tmp_path / "style.safetensors"
    path.write_bytes(pickle.dumps({}))
    with pytest.raises(RefusedFileError, match="under the name of a safetensors file"):
        identify(path)


@pytest.mark.parametrize(
    "name", ["tar-and-stream.pt", "tar-and-pickle.pt", "tar.pt", "stream-and-zip.pt", "safetensors-and-pickle.ckpt"]
)
def test_what_can_be_read_in_two_ways_is_refused(tmp_path: Path, name: str):
    path = tmp_path / name
    next(sample for sample in ARCHIVES if sample.name == name).write(path)

    with pytest.raises(RefusedFileError, match=r"archive|is a pickle"):
        identify(path)


def bomb_of_zeros(path: Path):
    archive(path, b"\x80\x02" + b"N0" * (40 * 2**20) + b"N.", zipfile.ZIP_DEFLATED)


def bomb_that_lies(path: Path):
    """An archive whose directory says that its pickle is small."""
    archive(path, b"\x80\x02" + b"N0" * (40 * 2**20) + b"N.", zipfile.ZIP_DEFLATED)
    data = bytearray(path.read_bytes())
    at = data.rindex(b"PK\x01\x02")
    data[at + 24 : at + 28] = (100).to_bytes(4, "little")
    path.write_bytes(data)


def bomb_of_the_memo(path: Path):
    path.write_bytes(b"\x80\x02]r\xff\xff\xff\x7f.")


def bomb_of_a_long_number(path: Path):
    path.write_bytes(b"\x80\x02\x8b\xff\xff\xff\x7f.")


def bomb_of_doubling(path: Path):
    """A list of two lists of two lists…: 2⁴⁰ places to look at, in forty lines."""
    path.write_bytes(b"\x80\x02]q\x00" + b"".join(b"](h%ch%ceq%c" % (i, i, i + 1) for i in range(40)) + b".")


def bomb_of_a_view(path: Path):
    """A tensor of 2⁴⁰ numbers that are all the same one, by a step of 0."""
    program = (
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000"
        b"X\x03\x00\x00\x00cpuK\x01tQK\x00\x8a\x06\x00\x00\x00\x00\x00\x01\x85K\x00\x85\x89}tR."
    )
    archive(path, program, data__0=b"\0" * 4)


@pytest.mark.skipif(sys.platform != "linux", reason="limits on memory are Linux's")
@pytest.mark.parametrize(
    "make",
    [bomb_of_zeros, bomb_that_lies, bomb_of_the_memo, bomb_of_a_long_number, bomb_of_doubling, bomb_of_a_view],
    ids=lambda make: make.__name__,
)
def test_a_file_made_to_exhaust_memory_is_refused_within_100_mb(tmp_path: Path, make):
    path = tmp_path / "bomb.pt"
    make(path)
    script = (
        "import sys, resource; from pathlib import Path\n"
        "from assetctl.identify import identify; from assetctl.errors import AssetctlError\n"
        "import picklescan.scanner, assetctl.files.pickles\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try: print(identify(Path(sys.argv[1])).kind)\n"
        "except AssetctlError as error: print(type(error).__name__)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script, path], capture_output=True, text=True, timeout=fair(60), check=True
    )
    verdict, grown = ended.stdout.split()
    assert verdict in ("CorruptFileError", "RefusedFileError") or make is bomb_of_doubling
    assert int(grown) < 100 * 1024


def test_mutated_pickles_give_a_verdict_and_nothing_else(tmp_path: Path):
    chance = random.Random(7)
    seeds = [pickle.dumps({"a": [1, 2.5, "x"], "b": {"c": None}}, protocol) for protocol in range(5)]
    program = pickle.dumps({"state_dict": {"x": {"deep": (1, 2)}}})
    seeds += [archive(tmp_path / "s.pt", program, data__0=b"1234").read_bytes()]
    if LABELS.is_file():
        seeds += [path.read_bytes() for path in sorted((CORPUS / "embeddings").glob("*.*t")) if path.suffix == ".pt"]
    limit = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss + 200 * 1024
    for number in range(3_000):
        data = bytearray(chance.choice(seeds))
        for _ in range(chance.randint(1, 8)):
            at = chance.randrange(len(data))
            change = chance.randrange(3)
            if change == 0:
                data[at] = chance.randrange(256)
            elif change == 1:
                del data[at : at + chance.randint(1, 16)]
            else:
                data[at:at] = chance.randbytes(chance.randint(1, 4))
        path = tmp_path / f"{number % 2}.pt"
        path.write_bytes(data)
        with contextlib.suppress(AssetctlError):  # anything else is a failure
            identify(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < limit


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "stream"])
def test_a_checkpoint_is_read_and_converted_to_the_bytes_that_torch_reads(torch, tmp_path: Path, *, legacy: bool):
    from safetensors.torch import load_file

    torch.manual_seed(0)
    shared = torch.randn(6, 5)
    tensors = {
        "plain": torch.randn(3, 4, 5),
        "half": torch.randn(7).half(),
        "brain": torch.randn(2, 3).bfloat16(),
        "scalar": torch.tensor(3),
        "empty": torch.zeros(0, 4),
        "flags": torch.tensor([True, False]),
        "turned": torch.randn(4, 6).T,
        "slice": shared[1:4, ::2],
        "whole": shared,
        "spread": torch.ones(1).expand(3, 2),
        "parameter": torch.nn.Parameter(torch.randn(2, 2)),
    }
    path = tmp_path / "model.ckpt"
    torch.save({"state_dict": tensors, "epoch": 3, "lr": [0.1]}, path, _use_new_zipfile_serialization=not legacy)
    header = read_pickle(path).header
    assert header.format == "pickle"
    assert {name: header.shape(name) for name in tensors} == {n: tuple(t.shape) for n, t in tensors.items()}
    target = tmp_path / "model.safetensors"
    convert(path, target)
    read = load_file(target)
    assert read.keys() == tensors.keys()
    for name, saved in tensors.items():
        assert read[name].dtype == saved.dtype
        assert torch.equal(read[name], saved), name


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "stream"])
def test_a_file_that_lacks_its_last_tensor_is_cut_short(torch, tmp_path: Path, *, legacy: bool):
    path = tmp_path / "model.ckpt"
    torch.save({"a": torch.randn(1000)}, path, _use_new_zipfile_serialization=not legacy)
    path.write_bytes(path.read_bytes()[:-3000])
    with pytest.raises(CorruptFileError):
        identify(path)


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "stream"])
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_what_trainers_leave_beside_a_model_keeps_nobody_from_reading_it(
    torch, tmp_path: Path, protocol: int, *, legacy: bool
):
    model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3))
    left = {
        "optimizer": torch.optim.Adam(model.parameters()).state_dict(),
        "hyper_parameters": argparse.Namespace(lr=[0.1, 1e-300], betas=(0.9, 0.999), seed=2**100, none=None),
        "callbacks": {"Checkpoint": {"best": torch.tensor(1.0)}},
        "counts": collections.Counter("aab"),
        "sets": [{1, 2}, frozenset({(1, 2)})],
        "torch": [torch.Size([1, 2]), torch.device("cpu"), torch.float16, torch.get_rng_state()],
        "bytes": [b"\xff\x00", bytearray(b"ab")],
        "keys": {(1, 2): 3, 1.5: 2, None: 1, b"x": 1, "\N{SNOWMAN}": ()},
        "parameter": torch.nn.Parameter(torch.ones(2)),
    }
    path = tmp_path / "model.ckpt"
    options = {"_use_new_zipfile_serialization": not legacy, "pickle_protocol": protocol}
    torch.save({"epoch": 3, "state_dict": model.state_dict(), **left}, path, **options)
    header = read_pickle(path).header
    assert {name: header.shape(name) for name in header.tensors} == {
        name: tuple(tensor.shape) for name, tensor in model.state_dict().items()
    }


@pytest.mark.parametrize(
    "sample", [each for each in PICKLES if each.name.startswith("changes-")], ids=lambda sample: sample.name
)
def test_no_file_changes_how_another_is_read(tmp_path: Path, sample: Sample):
    sample.write(tmp_path / "first.pt")
    if sample.code:
        with pytest.raises(RefusedFileError, match="changes functions or tensors"):
            identify(tmp_path / "first.pt")
    archived(mapping(state_dict=mapping(a=tensor(offset=1, shape=numbers(3), stride=numbers(1)))))(tmp_path / "next.pt")
    (found,) = read_pickle(tmp_path / "next.pt").tensors.values()
    assert (found.dtype, found.offset, found.shape, found.stride) == ("F32", 1, (3,), (1,))


def test_a_frame_that_begins_within_a_name_hides_nothing(tmp_path: Path):
    path = tmp_path / "framed.pt"
    words = [b"\x8c%c%s" % (len(word), word) for word in (b"collections", b"OrderedDict", b"os", b"system")]
    frame = b"\x95" + (15).to_bytes(8, "little")
    path.write_bytes(b"\x80\x04" + words[0] + frame + words[1] + b"\x93)R.")
    assert identify(path).format == "pickle"
    path.write_bytes(b"\x80\x04" + words[2] + frame + words[3] + b"\x93)R.")
    with pytest.raises(RefusedFileError, match=r"os\.system"):
        identify(path)


@pytest.mark.parametrize(
    "hidden",
    [
        b"\x8c\x02os0\x8c\x06system\x8c\x02os2\x93)R.",
        b"\x8c\x02os\x94\x8c\x06system\x940h\x00h\x01\x93)R.",
        b"\x8c\x02os\x8c\x06system\x8c\x01xN00\x93)R.",
        b"(\x8c\x02os\x8c\x06system1\x8c\x02os\x8c\x06system\x8c\x0bcollections0\x93)R.",
        b"\x8c\x02os\x85\x940\x8c\x06systemh\x00\x93)R.",
        b"cos\nsystem\n)R.",
        b"(cos\nsystem\no.",
        b"(ios\nsystem\n.",
        b"\x8c\x0acollections\x8c\x05a.b.c\x93)R.",
    ],
)
def test_a_name_that_is_put_together_by_tricks_is_refused(tmp_path: Path, hidden: bytes):
    path = tmp_path / "trick.pt"
    path.write_bytes(b"\x80\x04" + hidden)
    with pytest.raises((RefusedFileError, CorruptFileError)):
        identify(path)


def test_an_endless_maze_is_told_at_once(tmp_path: Path):
    path = tmp_path / "maze.pt"
    path.write_bytes(b"\x80\x02})q\x00" + b"".join(b"0h%ch%c\x86q%c" % (i, i, i + 1) for i in range(60)) + b"Ns.")
    start = time.process_time()
    with pytest.raises(CorruptFileError, match="made to exhaust"):
        identify(path)
    assert time.process_time() - start < fair(1)


def test_a_program_of_pytorch_is_no_model(torch, tmp_path: Path):
    path = tmp_path / "program.pt"
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), path)
    with pytest.raises(RefusedFileError):
        identify(path)


def test_a_whole_module_is_refused(torch, tmp_path: Path):
    path = tmp_path / "module.pt"
    torch.save(torch.nn.Linear(2, 2), path)
    with pytest.raises(RefusedFileError, match=r"torch\.nn\.modules\.linear\.Linear"):
        identify(path)
