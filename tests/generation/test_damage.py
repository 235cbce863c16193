"""Checkpoints with one tensor dropped or altered: what is refused by the header is what diffusers could not load."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from compat.sparse import WORDS
from generation import tiny

from assetctl import AssetctlError
from assetctl.errors import UnusableError
from assetctl.files.safetensors import Header, read_header
from assetctl.generation.bounds import within_bounds
from assetctl.generation.configuration import check_single_file, text_encoder_configs, unet_config, vae_config
from assetctl.generation.diffusers import DiffusersBackend
from assetctl.generation.folders import check_model
from assetctl.run import Run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from generation.conftest import Models

pytestmark = [pytest.mark.generation, pytest.mark.filterwarnings("ignore")]

FAMILIES = ("sd1", "sd2", "sdxl")

Entry = dict[str, Any]


def with_shape(change: Callable[[list[int]], list[int]]) -> Callable[[Entry], Entry]:
    return lambda entry: entry | {"shape": change(entry["shape"])}


DAMAGES: dict[str, Callable[[Entry], Entry | None]] = {
    "dropped": lambda _: None,
    "a row more": with_shape(lambda shape: [shape[0] + 1, *shape[1:]]),
    "no rows": with_shape(lambda shape: [0, *shape[1:]]),
    "half as wide": with_shape(lambda shape: [*shape[:-1], max(1, shape[-1] // 2)]),
    "flat": with_shape(lambda shape: [shape[0]] if len(shape) > 1 else [shape[0], 1]),
}


def damaged(header: Header, name: str, damage: str) -> Header:
    entry = DAMAGES[damage](dict(header.tensors[name]))
    rest = {other: each for other, each in header.tensors.items() if other != name}
    return Header(header.path, 0, 0, rest if entry is None else rest | {name: entry}, {})


def is_refused(header: Header, family: str, vocabulary: Path) -> bool:
    try:
        check_single_file(header, family, vocabulary)
    except AssetctlError:
        return True
    return False


class Loader:
    """Says what diffusers would say of a single file, by its own converters and classes, without any weights."""

    def __init__(self, family: str, words: int) -> None:
        self.family, self.words = family, words
        self._models: dict[str, tuple[Any, dict[str, list[int]]]] = {}

    def loads(self, header: Header) -> bool:
        import torch
        from diffusers.loaders import single_file_utils as utils

        try:
            encoders = text_encoder_configs(header, self.family)
            configs = encoders | {
                "unet": unet_config(header, self.family, encoders), "vae": vae_config(header, self.family)
            }  # fmt: skip
            for part, config in configs.items():
                within_bounds(config, part, header.path)
        except AssetctlError:
            return False
        if any(config.get("vocab_size", self.words) != self.words for config in configs.values()):
            return False  # its tokenizer has another number of words
        tensors = {
            name: torch.empty(entry["shape"], device="meta", dtype=torch.float32)
            for name, entry in header.tensors.items()
        }
        try:
            for part, config in configs.items():
                model, wanted = self._built(part, config)
                if part == "unet":
                    found = utils.convert_ldm_unet_checkpoint(dict(tensors), config)
                elif part == "vae":
                    found = utils.convert_ldm_vae_checkpoint(dict(tensors), config)
                else:
                    found = self._text(part, model, tensors)
                shapes = {name: list(tensor.shape) for name, tensor in found.items() if tensor is not None}
                if any(shapes.get(name) != shape for name, shape in wanted.items()):
                    return False
        except (ArithmeticError, ValueError, LookupError, RuntimeError, AttributeError, TypeError):
            return False
        return True

    def _text(self, part: str, model: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        from diffusers.loaders import single_file_utils as utils

        if part == "text_encoder_2" or self.family == "sd2":
            prefix = "conditioner.embedders.1.model." if part == "text_encoder_2" else "cond_stage_model.model."
            found = utils.convert_open_clip_checkpoint(model, tensors, prefix=prefix)
        else:
            found = utils.convert_ldm_clip_checkpoint(tensors)
        return {name.removeprefix("text_model."): tensor for name, tensor in found.items()}

    def _built(self, part: str, config: dict[str, Any]) -> tuple[Any, dict[str, list[int]]]:
        key = part + json.dumps(config)
        if key not in self._models:
            import torch
            from diffusers import AutoencoderKL, UNet2DConditionModel
            from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

            with torch.device("meta"):
                if part in ("unet", "vae"):
                    kind = UNet2DConditionModel if part == "unet" else AutoencoderKL
                    model = kind(**{name: each for name, each in config.items() if not name.startswith("_")})
                else:
                    kind = CLIPTextModel if part == "text_encoder" else CLIPTextModelWithProjection
                    model = kind(CLIPTextConfig(**config))
            shapes = {name.removeprefix("text_model."): list(each.shape) for name, each in model.state_dict().items()}
            self._models[key] = model, shapes
        return self._models[key]


def compare(models: Models, family: str, every: int) -> Iterator[str]:
    """Each damage of every so many tensors, of which check and diffusers say different things."""
    header, loader = read_header(Path(models.file(family).path)), Loader(family, WORDS)
    assert loader.loads(header)
    assert not is_refused(header, family, models.vocabulary)
    for place, damage in enumerate(DAMAGES):
        for name in list(header.tensors)[place::every]:
            spoilt = damaged(header, name, damage)
            refused = is_refused(spoilt, family, models.vocabulary)
            if refused == loader.loads(spoilt):
                yield f"{name}, {damage}: {'refused' if refused else 'accepted'}"


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    "every", [29, pytest.param(10, marks=pytest.mark.slow), pytest.param(1, marks=pytest.mark.long)]
)
def test_what_is_refused_is_what_diffusers_would_not_load(models: Models, family: str, every: int):
    assert list(compare(models, family, every)) == []


# Several text encoders, and what is in doubt.


def copies(header: Header, old: str, new: str) -> Header:
    """With the tensors whose names begin with `old` a second time."""
    more = {new + name.removeprefix(old): dict(entry) for name, entry in header.tensors.items() if name.startswith(old)}
    return Header(header.path, 0, 0, dict(header.tensors) | more, {})


@pytest.mark.parametrize(
    ("family", "other"), [("sd2", "cond_stage_model.transformer."), ("sdxl", "cond_stage_model.transformer."),
                          ("sdxl", "cond_stage_model.model.")],
)  # fmt: skip
def test_a_text_encoder_of_another_family_would_be_taken_for_its_own(models: Models, family: str, other: str):
    source = "sd2" if other.endswith(".model.") else "sd1"
    more = {
        name: entry
        for name, entry in read_header(Path(models.file(source).path)).tensors.items()
        if name.startswith(other)
    }
    header = read_header(Path(models.file(family).path))
    with pytest.raises(UnusableError, match=f"another family.s .{re.escape(other)}"):
        check_single_file(Header(header.path, 0, 0, header.tensors | more, {}), family, models.vocabulary)


def test_what_loads_and_may_paint_nonsense_is_in_doubt(models: Models):
    header = read_header(Path(models.file("sd1").path))
    assert check_single_file(header, "sd1", models.vocabulary) == ()
    twice = copies(header, "cond_stage_model.transformer.", "conditioner.embedders.0.transformer.")
    (doubt,) = check_single_file(twice, "sd1", models.vocabulary)
    assert "there twice" in doubt
    name = "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn1.to_q.scale_weight"
    scaled = Header(header.path, 0, 0, header.tensors | {name: {"dtype": "F32", "shape": []}}, {})
    (doubt,) = check_single_file(scaled, "sd1", models.vocabulary)
    assert "scale_weight" in doubt


def test_a_vae_is_taken_where_diffusers_takes_it(models: Models):
    header = read_header(Path(models.file("sd1").path))
    twice = copies(header, "first_stage_model.", "vae.")
    assert not is_refused(twice, "sd1", models.vocabulary)
    assert is_refused(damaged(twice, "vae.decoder.conv_in.weight", "dropped"), "sd1", models.vocabulary)
    assert not is_refused(
        damaged(twice, "first_stage_model.decoder.conv_in.weight", "dropped"), "sd1", models.vocabulary
    )


# Folders.


@pytest.fixture
def folder(models: Models, tmp_path: Path) -> Path:
    return Path(shutil.copytree(models.folder("sd1").path, tmp_path / "mine"))


def drawn(folder: Path) -> bytes:
    plan = tiny.plan(tiny.asset(folder, "checkpoint", "sd1"))
    (picture,) = DiffusersBackend().generate(plan, Run())
    return picture.image.tobytes()


def in_pieces(part: Path) -> list[Path]:
    """Weights in two pieces, with an index."""
    from safetensors.torch import load_file, save_file

    (whole,) = part.glob("*.safetensors")
    tensors = load_file(whole)
    whole.unlink()
    halves = [dict(list(tensors.items())[start::2]) for start in range(2)]
    pieces = [part / f"{whole.stem}-0000{number}-of-00002.safetensors" for number in (1, 2)]
    for piece, half in zip(pieces, halves, strict=True):
        save_file(half, piece, {"format": "pt"})
    table = {name: piece.name for piece, half in zip(pieces, halves, strict=True) for name in half}
    (part / f"{whole.name}.index.json").write_text(json.dumps({"metadata": {}, "weight_map": table}))
    return pieces


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder"])
def test_a_folder_in_pieces_lacks_none_of_them_whatever_its_index_says(models: Models, folder: Path, part: str):
    pieces = in_pieces(folder / part)
    (index,) = (folder / part).glob("*.index.json")
    table = json.loads(index.read_text())
    table["weight_map"] |= {"of.no.piece": pieces[0].name, "elsewhere": "none.safetensors"}
    index.write_text(json.dumps(table))
    assert check_model(folder, "sd1") == ()
    assert drawn(folder) == drawn(Path(models.folder("sd1").path))
    pieces[1].unlink()
    with pytest.raises(UnusableError, match="1 of 2 pieces"):
        check_model(folder, "sd1")


def test_a_variant_of_one_part_alone_is_loaded_as_it_is_checked(models: Models, folder: Path):
    (folder / "text_encoder" / "model.safetensors").rename(folder / "text_encoder" / "model.fp16.safetensors")
    (folder / "vae" / "diffusion_pytorch_model.fp16.safetensors").write_bytes(b"no longer")
    assert check_model(folder, "sd1") == ()
    assert drawn(folder) == drawn(Path(models.folder("sd1").path))


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder"])
def test_each_weight_of_a_folder_is_missed(folder: Path, part: str):
    from safetensors.torch import load_file, save_file

    (path,) = (folder / part).glob("*.safetensors")
    tensors = load_file(path)
    for name in list(tensors)[:: len(tensors) // 4]:
        save_file({other: each for other, each in tensors.items() if other != name}, path, {"format": "pt"})
        with pytest.raises(UnusableError, match=re.escape(name.removeprefix("text_model."))):
            check_model(folder, "sd1")
    save_file(tensors, path)  # which says nothing of its format
    check_model(folder, "sd1")
    drawn(folder)


@pytest.mark.parametrize(
    ("part", "change", "said"),
    [("unet", {"cross_attention_dim": 48}, "cross_attention_dim"), ("unet", {"num_class_embeds": 3}, "class_embeds"),
     ("unet", {"attention_head_dim": [1, 2, 3]}, "attention_head_dim has 3"),
     ("unet", {"norm_num_groups": 5}, "groups"),
     ("unet", {"num_attention_heads": 8}, "num_attention_heads"), ("unet", {"timestep_post_act": "x"}, "post_act"),
     ("unet", {"use_linear_projection": True}, "proj_in"), ("unet", {"mid_block_type": None}, None),
     ("unet", {"addition_embed_type": "text_time", "addition_time_embed_dim": 8,
               "projection_class_embeddings_input_dim": 64}, "add_embedding"),
     ("vae", {"norm_num_groups": 7}, "groups"), ("vae", {"layers_per_block": 2}, "lacks weights"),
     ("vae", {"use_quant_conv": False}, None), ("text_encoder", {"num_attention_heads": 7}, "heads"),
     ("text_encoder", {"num_hidden_layers": 2}, None)],
    ids=str,
)  # fmt: skip
def test_a_configuration_that_contradicts_its_weights_is_told_of_and_any_other_draws(
    folder: Path, part: str, change: dict[str, Any], said: str | None
):
    path = folder / part / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    if said is None:
        assert check_model(folder, "sd1") == ()
        drawn(folder)
    else:
        with pytest.raises(UnusableError, match=said):
            check_model(folder, "sd1")
