"""Checkpoints with one tensor dropped or altered: what is refused by the header is what diffusers could not load."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from compat.sparse import WORDS

from assetctl import AssetctlError
from assetctl.files.safetensors import Header, read_header
from assetctl.generation.bounds import within_bounds
from assetctl.generation.configuration import check_single_file, text_encoder_configs, unet_config, vae_config

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
def test_what_is_refused_is_what_diffusers_would_not_load(models: Models, family: str):
    assert list(compare(models, family, 29)) == []


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_of_all_tensors_what_is_refused_is_what_diffusers_would_not_load(models: Models, family: str):
    assert list(compare(models, family, 1)) == []
