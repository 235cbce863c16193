"""A plan becomes a pipeline of diffusers, and LoRAs come onto it and leave it."""

from __future__ import annotations

import inspect
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import diffusers
from safetensors.torch import load_file

from assetctl.errors import UnusableError
from assetctl.files.paths import write_json
from assetctl.files.safetensors import read_header
from assetctl.generation.bounds import check_lora
from assetctl.generation.configuration import checked_vae_config, is_diffusers_vae, write_configuration
from assetctl.generation.diffusers.runtime import told, torch_dtype
from assetctl.generation.families import build_of
from assetctl.generation.folders import hand_over, hand_over_vae, link
from assetctl.samplers import SAMPLERS
from assetctl.tensors.adapters import (
    EMBEDDINGS,
    ENDINGS,
    as_kohya,
    broken_halves,
    kohya_name,
    plain_tensors,
    unsupported_method,
    with_adapters_names,
)
from assetctl.tensors.networks import ldm_names
from assetctl.types import Finding

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractContextManager

    import torch
    from diffusers import AutoencoderKL, DiffusionPipeline, SchedulerMixin

    from assetctl.request import Plan, PlannedUse


def load_pipeline(plan: Plan, device: str, dtype: str, there: Mapping[str, Any]) -> DiffusionPipeline:
    """The pipeline of a plan's checkpoint, in `dtype`, on `device`.

    Args:
        plan: Its checkpoint is loaded.
        device: One of torch's.
        dtype: `bf16`, `fp32` or `fp16`.
        there: Parts of the pipeline that are loaded already, by their names: they are taken as they are.

    Raises:
        UnusableError: A file does not fit, lacks a part, or cannot be read.
        FileError: A file is refused or corrupt.
    """
    checkpoint = plan.checkpoint
    options = {"torch_dtype": torch_dtype(dtype), "local_files_only": True}
    with tempfile.TemporaryDirectory(prefix="assetctl-") as scratch:
        load = _from_folder if Path(checkpoint.path).is_dir() else _from_file
        pipeline = load(plan, Path(scratch), options | dict(there))
    pipeline.set_progress_bar_config(disable=True)
    with _loading(checkpoint):
        return pipeline.to(device)


def load_vae(plan: Plan, device: str, dtype: str) -> AutoencoderKL:
    """The VAE that a plan names in place of its checkpoint's own.

    Raises:
        UnusableError, FileError: As `load_pipeline` does.
    """
    assert plan.vae is not None  # noqa: S101 - who calls this looked
    options = {"torch_dtype": torch_dtype(dtype), "local_files_only": True}
    with tempfile.TemporaryDirectory(prefix="assetctl-") as scratch:
        vae = _load_vae(plan.vae, plan.checkpoint.family or "unknown", Path(scratch), options)
    with _loading(plan.vae):
        return vae.to(device)


def with_vae(pipeline: DiffusionPipeline, vae: AutoencoderKL) -> DiffusionPipeline:
    """The same networks with another VAE."""
    if pipeline.vae is vae:
        return pipeline
    flags = ("requires_safety_checker", "force_zeros_for_empty_prompt")
    kept = {name: pipeline.config[name] for name in flags if name in pipeline.config}
    other: DiffusionPipeline = type(pipeline)(**pipeline.components | {"vae": vae}, **kept)
    other.set_progress_bar_config(disable=True)
    return other


def make_scheduler(
    config: Mapping[str, Any], sampler: str, prediction: str | None, steps: int | None = None, *, few: bool = False
) -> SchedulerMixin:
    """A fresh scheduler for one picture.

    Args:
        config: The checkpoint's own scheduler configuration.
        sampler: A canonical name.
        prediction: What the checkpoint predicts, where that is known better than `config` knows it.
        steps: Of how many steps, which are spaced so that they begin at the end of training; `None` leaves all as
            `config` has it, whatever that was meant for, as pictures were made once.
        few: Whether the model was distilled to take few steps, which end well before the picture.
    """
    wanted = SAMPLERS[sampler]
    options = dict(wanted.options) | ({"prediction_type": prediction} if prediction else {})
    kind = getattr(diffusers, str(wanted.scheduler))
    if steps is not None:
        known = inspect.signature(kind.__init__).parameters
        spacing = _spacing(config, sampler, few=few or steps == 1)
        sound = {"timestep_spacing": spacing, "clip_sample": False, "thresholding": False}
        options |= {name: value for name, value in sound.items() if name in known}
    return kind.from_config(config, **options)


#: Samplers whose schedulers take the steps for evenly spaced, all of them.
_EVEN = ("DDIM", "PLMS")


def _spacing(config: Mapping[str, Any], sampler: str, *, few: bool) -> str:
    """How to space steps so that the first is where all is noise: `leading` begins below, and one step of `linspace`
    is the last."""
    return "trailing" if few or sampler in _EVEN or config.get("timestep_spacing") == "trailing" else "linspace"


def _from_file(plan: Plan, scratch: Path, options: dict[str, Any]) -> DiffusionPipeline:
    checkpoint = plan.checkpoint
    family, path = checkpoint.family or "unknown", Path(checkpoint.path)
    # what it predicts is a plan's, and no part's: whoever makes a scheduler says it
    folder = write_configuration(
        read_header(path), family, None, plan.tokenizer, scratch / "pipeline", own_vae="vae" not in options
    )
    pipeline_class = getattr(diffusers, build_of(family).pipeline)
    with _loading(checkpoint, folder):
        return pipeline_class.from_single_file(str(path), config=str(folder), **options)


def _from_folder(plan: Plan, scratch: Path, options: dict[str, Any]) -> DiffusionPipeline:
    checkpoint = plan.checkpoint
    folder, family = Path(checkpoint.path), checkpoint.family or "unknown"
    handed = hand_over(folder, family, scratch / "pipeline", own_vae="vae" not in options)
    pipeline_class = getattr(diffusers, build_of(family).pipeline)
    with _loading(checkpoint, handed):
        return pipeline_class.from_pretrained(str(handed), use_safetensors=True, **options)


def _load_vae(vae: PlannedUse, family: str, scratch: Path, options: dict[str, Any]) -> AutoencoderKL:
    path, own = Path(vae.path), scratch / "own" / "vae"
    if path.is_dir():
        hand_over_vae(path, own)
    else:
        header = read_header(path)
        write_json(own / "config.json", checked_vae_config(header, family))
        if not is_diffusers_vae(header):
            with _loading(vae):
                return diffusers.AutoencoderKL.from_single_file(
                    str(path), config=str(own.parent), subfolder="vae", **options
                )
        link(path.resolve(), own / "diffusion_pytorch_model.safetensors")
    with _loading(vae, own):
        return diffusers.AutoencoderKL.from_pretrained(str(own), use_safetensors=True, **options)


def _loading(asset: PlannedUse, place: Path | None = None) -> AbstractContextManager[None]:
    """Tell of what goes wrong while an asset is loaded, by way of a folder of ours that it was handed over in."""
    hint = f"See what it is with `assetctl inspect {asset.typed}`."
    places = {} if place is None else {str(place): asset.path}
    return told(f"{asset.name} could not be loaded", hint, UnusableError, places)


#: How names begin that diffusers writes.
_OWN = ("unet.", "text_encoder.", "text_encoder_2.")

#: Tensors of one module: two halves, a middle, an alpha, and what further methods add.
_MOST_OF_ONE = 6

_ELSEWHERE = "Fetch it again, or leave it out."


@dataclass(slots=True)
class Adapter:
    """A LoRA that is on a pipeline.

    Attributes:
        name: What peft calls it.
        blank: Whether all its weights are nought, as one has that was never trained.
    """

    name: str
    blank: bool


def set_loras(
    pipeline: DiffusionPipeline, on: dict[object, Adapter], wanted: Mapping[object, PlannedUse]
) -> tuple[Finding, ...]:
    """Have a pipeline's LoRAs be those that are wanted, in their order, by what differs from those that are on.

    What fails, or is interrupted, leaves the pipeline between the two: it is of no further use.

    Args:
        pipeline: Its networks are changed.
        on: What is on it, by content; this comes to be what is wanted.
        wanted: None whose weights are 0, which changes nothing.

    Returns:
        What showed only when they were loaded: LoRAs that change nothing.

    Raises:
        UnusableError: One is of a method that diffusers does not know, or fits no module of the checkpoint.
        FileError: Its file is refused or corrupt.
    """
    for content in wanted.keys() - on.keys():
        _check(wanted[content])
    if gone := [content for content in on if content not in wanted]:
        if len(gone) < len(on):
            pipeline.delete_adapters([on[content].name for content in gone])
        else:
            pipeline.unload_lora_weights()
        for content in gone:
            del on[content]
    for content, use in wanted.items():
        if content not in on:
            taken = {adapter.name for adapter in on.values()}
            name = next(name for number in range(len(on) + 1) if (name := f"lora_{number}") not in taken)
            _load(pipeline, name, use)
            on[content] = Adapter(name, _is_blank(pipeline, name))
    if wanted:
        names = [on[content].name for content in wanted]
        weights = [_weights(pipeline, *each) for each in zip(names, wanted.values(), strict=True)]
        pipeline.set_adapters(names, weights)
    return tuple(_blank(use) for content, use in wanted.items() if on[content].blank)


def _weights(pipeline: DiffusionPipeline, name: str, use: PlannedUse) -> float | dict[str, float]:
    """How strongly an adapter is applied; to each part, where text encoders have a weight of their own."""
    if use.text_weight is None:
        return use.weight
    parts = (part for part, names in pipeline.get_list_adapters().items() if name in names)
    return {part: use.text_weight if part.startswith("text_encoder") else use.weight for part in parts}


def _check(lora: PlannedUse) -> None:
    header = read_header(Path(lora.path))
    check_lora(lora.name, header)
    method = unsupported_method(header)
    if method is not None:
        raise UnusableError(
            f"The LoRA {lora.name} is a {method}, which cannot be applied faithfully.",
            "Leave it out, or convert it to a plain LoRA with a tool such as sd-scripts.",
        )
    # of a text encoder's, a half that is missing stays as peft makes it, which is random where it leads down
    broken = list(broken_halves(plain_tensors(header)).values())
    if broken:
        module, what = broken[0]
        message = f"The LoRA {lora.name} is damaged: {len(broken)} of its modules {what}, {module} for one."
        raise UnusableError(message, _ELSEWHERE)


def _load(pipeline: DiffusionPipeline, name: str, lora: PlannedUse) -> None:
    hint = f"See what it fits with `assetctl inspect {lora.typed}` and `assetctl check`."
    with told(f"The LoRA {lora.name} does not fit the checkpoint", hint, UnusableError):
        # tensors alone: what the file says of itself would decide on modules by expressions of its own, or on code
        pipeline.load_lora_weights(_spelled(_tensors(lora, _modules(pipeline)), pipeline), adapter_name=name)
    if not any(name in names for names in pipeline.get_list_adapters().values()):
        raise UnusableError(f"The LoRA {lora.name} fits no module of the checkpoint.", hint)


def _modules(pipeline: DiffusionPipeline) -> int:
    """How many modules of a pipeline a LoRA could change at most: those of LoRAs that are on are not counted."""
    parts = (getattr(pipeline, part, None) for part in ("unet", "text_encoder", "text_encoder_2"))
    paths = (path for part in parts if part is not None for path, _ in part.named_modules())
    return sum(1 for path in paths if ".lora_" not in path and not path.endswith(".base_layer"))


def _tensors(lora: PlannedUse, modules: int) -> dict[str, torch.Tensor]:
    """A LoRA's tensors.

    Raises:
        UnusableError: There are far more than `modules`.
    """
    header = read_header(Path(lora.path))
    if len(header.tensors) > _MOST_OF_ONE * modules:  # peft looks for each of them among all
        counts = f"it has {len(header.tensors)} tensors for {modules} modules"
        raise UnusableError(f"The LoRA {lora.name} does not fit the checkpoint: {counts}.", _ELSEWHERE)
    tensors: dict[str, torch.Tensor] = load_file(lora.path)
    # without embeddings and tensors of no change: `check` tells of them, and diffusers refuses all for their sake
    return {
        key: tensor
        for key, tensor in tensors.items()
        if not key.startswith(EMBEDDINGS) and ("lora" in key or key.endswith(ENDINGS))
    }


def _spelled(tensors: dict[str, torch.Tensor], pipeline: DiffusionPipeline) -> dict[str, torch.Tensor]:
    """A LoRA's tensors under names that diffusers reads: its own, or else kohya's; of others' it knows few."""
    names = "\n".join(["", *tensors, ""])
    own = all(name.startswith(_OWN) for name in tensors) and "base_model.model." not in names
    if own and not with_adapters_names(names):
        return tensors
    modules: dict[str, str] = {}
    for _, path, original in ldm_names(_paths(pipeline.unet)):
        modules[f"lora_unet_{path}"] = modules[f"lora_unet_{original}"] = f"lora_unet_{path}"
    for part in ("text_encoder", "text_encoder_2"):
        for path in _paths(getattr(pipeline, part, None)):
            kohya = kohya_name(f"{part}.{path}")
            modules[kohya] = kohya
    called = as_kohya(tensors, modules)
    if len(set(called.values())) < len(called):  # two names of one module, which diffusers may still tell apart
        return tensors
    return {called[name]: tensor for name, tensor in tensors.items()}


def _paths(network: torch.nn.Module | None) -> list[str]:
    """Paths of a network's modules that have weights, as they were before LoRAs were added."""
    named = () if network is None else network.named_modules()
    paths = (path.removesuffix(".base_layer") for path, module in named if hasattr(module, "weight"))
    return [path for path in dict.fromkeys(paths) if ".lora_" not in path]


def _is_blank(pipeline: DiffusionPipeline, name: str) -> bool:
    """Whether an adapter changes nothing: each of its products has a factor of zeros. Most tell with the first."""
    parts = (getattr(pipeline, part, None) for part in ("unet", "text_encoder", "text_encoder_2"))
    ups = (
        module.lora_B[name].weight
        for part in parts
        if part is not None
        for module in part.modules()
        if name in getattr(module, "lora_B", {})
    )
    return not any(bool(weight.any()) for weight in ups)


def _blank(lora: PlannedUse) -> Finding:
    message = f"The LoRA {lora.name} has no effect: all its weights are zero, as before training."
    return Finding("blank", "warning", (lora.name,), message, "Leave it out, or get the trained file.")
