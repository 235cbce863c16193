"""What comes of making a picture again is told without torch, and never more than is known."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
from pathlib import Path

import headers
import pytest
from compat.sparse import whole_checkpoint, write_sparse
from generation import tiny
from painting import Painter as Squares
from written_pictures import infotext, write_png

from assetctl import Registry, Request
from assetctl.generation.diffusers import backend
from assetctl.operations.library.edit import Changes
from assetctl.pictures import read_parameters, save_picture
from assetctl.request import Picture, Use
from assetctl.server.requests import request_of

Image = pytest.importorskip("PIL.Image")


LORA = headers.lora({"lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k": (768, 8)})


class Painter(Squares):
    """A backend whose pictures are as large as they say, and made where somebody says."""

    def __init__(self, surroundings):
        super().__init__()
        self.surroundings = surroundings

    def environment(self, *_):
        return self.surroundings

    def generate(self, plan, run):
        for picture in super().generate(plan, run):
            size = plan.settings["width"], plan.settings["height"]
            yield Picture(Image.new("RGB", size, (picture.seed, 0, 0)), picture.seed, self.surroundings)


@pytest.fixture
def registry(home, tmp_path):
    """A home with a checkpoint and a LoRA."""
    write_sparse(tmp_path / "files" / "dawn.safetensors", whole_checkpoint())
    tiny.write_vocabulary(tmp_path / "files" / "dawn.config" / "tokenizer")
    headers.write_safetensors(tmp_path / "files" / "whiskers.safetensors", LORA)
    with Registry.open(home) as registry:
        registry.import_files(tmp_path / "files")
        yield registry


@pytest.fixture
def here():
    """What is known of this machine."""
    if importlib.util.find_spec("torch") is None:
        pytest.skip("needs torch")
    found = backend.known_environment("cpu", "fp32", 1)
    if "threads" not in found:
        pytest.skip("torch alone knows this machine")
    return found


def made(registry, surroundings=None, **said):
    """One picture: its number, and its file."""
    request = Request.of("a cat", checkpoint="dawn", **{"width": 64, "height": 64, "steps": 1, "seed": 5} | said)
    return saved(registry, request, surroundings)


def saved(registry, request, surroundings=None):
    (image,) = registry.generate(request, backend=Painter(surroundings or {"device": "cpu", "threads": "1"})).images
    return image.number, image.path


def test_the_same_bytes_are_promised_where_all_is_known_and_as_it_was(registry, here):
    number, path = made(registry, here)
    for told in (registry.outlook(number), registry.inspect_picture(path).outlook):
        assert (told.likeness, told.remarks) == ("same", ())
        assert "byte for byte" in told.verdict


def test_nothing_is_promised_of_a_card_that_torch_alone_knows(registry, here, monkeypatch):
    number, path = made(registry, here | {"device": "cuda", "dtype": "fp16", "processor": "NVIDIA A100"})
    monkeypatch.setattr(backend, "_is_plain", lambda: False)
    for told in (registry.outlook(number), registry.inspect_picture(path).outlook):
        assert (told.likeness, told.verdict) == ("alike", "The new picture may differ from the original.")
        assert "known only once torch is loaded" in told.remarks[0]
        assert len(told.remarks) == 1


def test_nothing_is_promised_of_more_threads_than_are_believed(registry, here):
    number, _ = made(registry, here | {"threads": "192"})
    assert registry.outlook(number).likeness == "alike"


def test_where_torch_is_not_installed_that_is_said(registry, here, monkeypatch):
    number, path = made(registry, here)
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == "torch" else find(name, *more))
    for told in (registry.outlook(number), registry.inspect_picture(path).outlook):
        assert (told.likeness, told.error.code) == (None, "extra_missing")
        assert "torch" in told.verdict
        assert told.request["checkpoint"] == "dawn"


def test_what_lies_there_without_a_version_keeps_no_picture_from_being_looked_at(registry, here, monkeypatch):
    number, _ = made(registry, here)
    real = importlib.metadata.version

    def version(name):
        if name == "torch":
            raise importlib.metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    backend._versions.cache_clear()
    assert registry.outlook(number).likeness == "alike"


def test_a_file_that_was_saved_anew_is_not_what_comes(registry, here, tmp_path):
    path = Path(made(registry, here)[1])
    said = read_parameters(path)
    with Image.open(path) as image:
        image.putpixel((0, 0), (0, 0, 9))
        save_picture(image, tmp_path / "edited.png", said.text, said.record)
    told = registry.inspect_picture(tmp_path / "edited.png").outlook
    assert (told.likeness, told.remarks) == ("alike", ())
    assert "that the record describes" in told.verdict


def planned(registry, request):
    plan, _ = registry.plan(request_of(request))
    return plan


@pytest.mark.parametrize("flavour", ["a1111", "diffusers"])
def test_what_a_distilled_model_would_take_otherwise_is_asked_for(registry, flavour):
    registry.edit("dawn", Changes(base_model="SD 1.5 Hyper"))
    number, _ = made(registry, scheduler="Automatic", flavour=flavour, sampler="Euler")
    for request in (registry.remade(number).request, registry.outlook(number).request):
        assert planned(registry, request).settings["scheduler"] == "Automatic"
    theirs = infotext(Model="dawn", Version="v1.10.1", Sampler="Euler", **{"Schedule type": "Automatic"})
    request = registry.inspect_infotext(theirs).outlook.request
    assert planned(registry, request).settings["scheduler"] == "Automatic"


def test_a_lora_that_a_picture_has_twice_is_asked_for_twice(registry):
    uses = (Use("checkpoint", "dawn"), Use("lora", "whiskers", 0.5), Use("lora", "whiskers", 0.3))
    settings = {"width": 64, "height": 64, "steps": 1, "seed": 5}
    number, _ = saved(registry, Request(uses, "a cat", settings=settings))
    theirs = infotext("a cat <lora:whiskers:0.5> <lora:whiskers:0.3>", Model="dawn", Version="v1.10.1")
    for request in (
        registry.remade(number).request,
        registry.outlook(number).request,
        registry.inspect_infotext(theirs).outlook.request,
    ):
        loras = [use for use in planned(registry, request).uses if use.role == "lora"]
        assert [(use.name, use.applied_weight) for use in loras] == [("whiskers", 0.5), ("whiskers", 0.3)]


def test_what_only_wants_hashing_is_open_and_reproduce_finds_it(registry, tmp_path):
    paths = [tmp_path / folder / "paws.safetensors" for folder in ("a", "b")]
    for path in paths:
        path.parent.mkdir()
        headers.write_safetensors(path, LORA, {"said": path.parent.name})
        registry.import_files(path, hashes=False)
    registry.edit("paws", Changes(name="first"))
    text = infotext("a cat <lora:paws:1>", Model="dawn", Lora_hashes=f'"paws: {autov2(paths[1])}"')
    told = registry.inspect_infotext(text).outlook
    assert (told.likeness, told.error) == (None, None)
    assert "known only once they are hashed" in told.verdict
    picture = write_png(tmp_path / "theirs.png", parameters=text)
    found = registry.plan_reproduction(picture, backend=Painter({}))
    assert [each.asset.path for each in found.assets if each.used.role == "lora"] == [str(paths[1])]
    assert registry.inspect_infotext(text).outlook.likeness == "alike"


def autov2(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()[:10]


def test_a_number_is_no_file_of_the_folder_that_somebody_is_in(registry, here, tmp_path, monkeypatch):
    number, _ = made(registry, here)
    other = Path(made(registry, here, seed=9)[1]).read_bytes()
    monkeypatch.chdir(tmp_path)
    before = registry.outlook(number)
    assert before.error is None
    for content in (b"x", other):
        (tmp_path / str(number)).write_bytes(content)
        assert registry.outlook(number) == before
