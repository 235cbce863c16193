"""Loading: a checkpoint, single file or folder, becomes a diffusers pipeline without touching the network."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import diffusers

from assetctl.errors import UnusableError
from assetctl.files.safetensors import read_header
from assetctl.generation.bounds import checked
from assetctl.generation.configuration import vae_config, write_configuration
from assetctl.generation.diffusers.devices import torch_dtype
from assetctl.generation.diffusers.failures import told
from assetctl.generation.folders import PIPELINES, hand_over, hand_over_vae
from assetctl.generation.json_files import write_json
from assetctl.generation.samplers import SAMPLERS
from assetctl.generation.weights import refuse_numbers

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractContextManager

    from diffusers import AutoencoderKL, DiffusionPipeline, SchedulerMixin
    from transformers import PreTrainedModel

    from assetctl.generation.plan import Plan
    from assetctl.types import Asset

_VARIANT = re.compile(r"diffusion_pytorch_model\.(?!safetensors)([A-Za-z0-9_]+)(?:-\d{5}-of-\d{5})?\.safetensors")


def load_pipeline(plan: Plan, device: str, dtype: str) -> DiffusionPipeline:
    """The pipeline of a plan's checkpoint and VAE, in `dtype`, on `device`.

    Raises:
        UnusableError: A file does not fit, lacks a part, or can not be read.
        FileError: A file is refused or corrupt.
    """
    checkpoint = plan.selection.checkpoint
    if checkpoint is None:
        raise UnusableError("No checkpoint was chosen.", "Name one with `--checkpoint NAME`.")
    if checkpoint.family not in PIPELINES:
        raise UnusableError(
            f"{checkpoint.name} is of the family {checkpoint.family or 'unknown'}, which can not be generated with.",
            f"Choose a checkpoint of one of: {', '.join(PIPELINES)}.",
        )
    options = {"torch_dtype": torch_dtype(dtype), "local_files_only": True}
    with tempfile.TemporaryDirectory(prefix="assetctl-") as scratch:
        given = (
            {}
            if plan.selection.vae is None
            else {"vae": _load_vae(plan.selection.vae, checkpoint.family, Path(scratch), options)}
        )
        is_folder = Path(checkpoint.path).is_dir()
        pipeline = (
            _from_folder(checkpoint, Path(scratch), options | given)
            if is_folder
            else _from_file(plan, Path(scratch), options | given)
        )
    _require_whole(pipeline, checkpoint)
    pipeline.set_progress_bar_config(disable=True)
    with _loading(checkpoint):
        return pipeline.to(device)


def make_scheduler(config: Mapping[str, Any], sampler: str, prediction: str | None) -> SchedulerMixin:
    """A fresh scheduler for one picture.

    Args:
        config: The checkpoint's own scheduler configuration.
        sampler: A canonical name.
        prediction: What the checkpoint predicts, where that is known better than `config` knows it.
    """
    wanted = SAMPLERS[sampler]
    options = dict(wanted.options) | ({"prediction_type": prediction} if prediction else {})
    return getattr(diffusers, wanted.scheduler).from_config(config, **options)


def _from_file(plan: Plan, scratch: Path, options: dict[str, Any]) -> DiffusionPipeline:
    checkpoint = plan.selection.checkpoint
    assert checkpoint is not None  # noqa: S101 - load_pipeline looked
    family, path = str(checkpoint.family), Path(checkpoint.path)
    folder = write_configuration(
        read_header(path), family, plan.prediction, plan.tokenizer, scratch / "pipeline", own_vae="vae" not in options
    )
    pipeline_class = getattr(diffusers, PIPELINES[family])
    with _loading(checkpoint, folder):
        return pipeline_class.from_single_file(str(path), config=str(folder), **options)


def _from_folder(checkpoint: Asset, scratch: Path, options: dict[str, Any]) -> DiffusionPipeline:
    folder, family = Path(checkpoint.path), str(checkpoint.family)
    handed = hand_over(folder, family, scratch / "pipeline", own_vae="vae" not in options)
    pipeline_class = getattr(diffusers, PIPELINES[family])
    with _loading(checkpoint, handed):
        pipeline = pipeline_class.from_pretrained(
            str(handed), use_safetensors=True, variant=_variant(handed / "unet"), **options
        )
    for part in ("text_encoder", "text_encoder_2"):
        if (model := getattr(pipeline, part, None)) is not None:
            _require_weights(handed / part, model, checkpoint)
    return pipeline


def _require_weights(folder: Path, model: PreTrainedModel, checkpoint: Asset) -> None:
    """Refuse a text encoder of which a folder lacks weights: transformers would make up random ones."""
    there = {name for path in folder.glob("*.safetensors") for name in read_header(path).tensors}
    # transformers has named them with and without this prefix
    plain = {name.removeprefix("text_model.") for name in there}
    missing = [name for name in model.state_dict() if name.removeprefix("text_model.") not in plain]
    if missing:
        raise UnusableError(
            f"{checkpoint.name} lacks weights of its {folder.name}: {missing[0]}, and {len(missing) - 1} more.",
            "Fetch it again, or choose another checkpoint.",
        )


def _load_vae(vae: Asset, family: str, scratch: Path, options: dict[str, Any]) -> AutoencoderKL:
    path, own = Path(vae.path), scratch / "own"
    if path.is_dir():
        handed = hand_over_vae(path, own / "vae")
        with _loading(vae, handed):
            return diffusers.AutoencoderKL.from_pretrained(
                str(handed), use_safetensors=True, variant=_variant(handed), **options
            )
    header = read_header(path)
    refuse_numbers(header)
    write_json(own / "vae" / "config.json", checked(vae_config(header, family), "vae", path))
    with _loading(vae):
        return diffusers.AutoencoderKL.from_single_file(str(path), config=str(own), subfolder="vae", **options)


def _variant(folder: Path) -> str | None:
    """`fp16` where a folder holds only `diffusion_pytorch_model.fp16.safetensors`, and the like."""
    names = [path.name for path in folder.glob("diffusion_pytorch_model*.safetensors")]
    found = {match[1] for name in names if (match := _VARIANT.fullmatch(name))}
    has_plain = any(not _VARIANT.fullmatch(name) for name in names)
    return None if has_plain or not found else min(found)


def _loading(asset: Asset, place: Path | None = None) -> AbstractContextManager[None]:
    """Tell of what goes wrong while an asset is loaded, by way of a folder of ours that it was handed over in."""
    hint = f"See what it is with `assetctl inspect {asset.typed}`."
    places = {} if place is None else {str(place): asset.path}
    return told(f"{asset.name} could not be loaded", hint, UnusableError, places)


def _require_whole(pipeline: DiffusionPipeline, checkpoint: Asset) -> None:
    """Refuse what diffusers loads without a word: an inpainting UNet, a tokenizer of two words."""
    if pipeline.unet.config.in_channels != pipeline.unet.config.out_channels:
        raise UnusableError(
            f"{checkpoint.name} paints over a given picture and can not make one from text alone.",
            "Choose a checkpoint without a variant: `assetctl list --kind checkpoint`.",
        )
    for suffix in ("", "_2"):
        tokenizer = getattr(pipeline, f"tokenizer{suffix}", None)
        if tokenizer is not None:
            _require_tokenizer(len(tokenizer), getattr(pipeline, f"text_encoder{suffix}"), checkpoint)


def _require_tokenizer(words: int, encoder: PreTrainedModel, checkpoint: Asset) -> None:
    rows = encoder.get_input_embeddings().weight.shape[0]
    # a folder may carry spare rows, but never fewer rows than words
    if not rows // 2 <= words <= rows:
        raise UnusableError(
            f"{checkpoint.name} has a tokenizer of {words} words and a text encoder of {rows}.",
            "Its tokenizer folder is missing or damaged: fetch the checkpoint again.",
        )
