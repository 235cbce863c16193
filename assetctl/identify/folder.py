"""Diffusers folders: a pipeline with `model_index.json`, or one component with `config.json`.

Source: https://huggingface.co/docs/diffusers/using-diffusers/other-formats
"""

from __future__ import annotations

import os
import re
import shlex
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from assetctl.errors import CorruptFileError, RefusedFileError, StorageError
from assetctl.files.headers import contained, read_any_header
from assetctl.files.paths import loads
from assetctl.files.safetensors import Header, read_header
from assetctl.identify.features import Features, UNet
from assetctl.identify.identification import conclude, decide, identify_tensors, look_at
from assetctl.identify.metadata import clean_words, configured
from assetctl.identify.outline import Outline
from assetctl.types import Evidence, Identification

if TYPE_CHECKING:
    from pathlib import Path

_INDEX, _CONFIG, _SCHEDULER = "model_index.json", "config.json", "scheduler/scheduler_config.json"

#: Components that can be the denoising network of a pipeline, the first found counts.
_DENOISERS = ("unet", "transformer", "prior")

#: Limit on a configuration file in bytes, and on the parts that a component's weights are split into.
_MAX_JSON = 2**20
_MAX_PARTS = 64

#: Classes whose configurations tell of a UNet of Stable Diffusion.
_UNETS = frozenset({"UNet2DConditionModel", "UNetMotionModel", "ControlNetModel", "ControlNetUnionModel"})

#: Classes of components as configurations name them, to their kinds; the first that fits counts.
_KINDS = (
    (r"ControlNet|T2IAdapter$|^MultiAdapter$", "controlnet"),
    (r"^Autoencoder|^AsymmetricAutoencoder|VQModel$|VAE$|Vae$|AudioTokenizer$", "vae"),
    (r"UNet(?:$|\w*Model$)|Transformer\dDModel$|DiT\w*Model$|^UVit2DModel$", "diffusion-model"),
    (r"^StableCascadeUNet|^Wuerstchen(?:Prior|DiffNeXt)$|^PriorTransformer$", "diffusion-model"),
    (r"^(?:CLIP|Siglip|Clap)\w*Text\w*Model|^(?:CLIP|Siglip2?)Model$|^U?M?T5Encoder", "text-encoder"),
    (r"^(?:Qwen|Gemma|Mistral|Llama|Llava|SmolLM|ChatGLM|Glm|GptOss|Phi\d)", "text-encoder"),
    (r"^(?:Bert|XLMRoberta|RobertaSeries)Model", "text-encoder"),
    (r"^(?:CLIP|Siglip2?)Vision|^Dinov2|^DINOv3ViT", "image-encoder"),
)


def identify_path(path: Path, *, beside: Path | None = None) -> Identification:
    """What the file or diffusers folder at `path` is; as `assetctl.identify.identify`, which says more."""
    with contained(path):
        try:
            header = read_any_header(path)
        except StorageError:  # most paths are files: to ask first whether each is a folder would take as long again
            if os.path.isdir(path):  # noqa: PTH112 - which raises nothing
                return identify_diffusers(path)
            raise
        found = identify_tensors(header)
    if found.prediction is None and found.kind in ("checkpoint", "diffusion-model"):
        return configured(found, beside or path)
    return found


def is_diffusers(path: Path) -> bool:
    """Whether `path` is a pipeline's folder, or a component's with a class that is known."""
    if (path / _INDEX).is_file():
        return True
    return (path / _CONFIG).is_file() and _component_kind(_read_json(path / _CONFIG)) is not None


def identify_diffusers(path: Path) -> Identification:
    """What the pipeline or component in the folder `path` is.

    Raises:
        RefusedFileError: It is no diffusers folder.
        CorruptFileError: Its configuration or weights are damaged.
        StorageError: A file in it cannot be opened.
    """
    if (path / _INDEX).is_file():
        return _identify_pipeline(path)
    config = _read_json(path / _CONFIG) if (path / _CONFIG).is_file() else {}
    kind = _component_kind(config)
    if kind is None:
        raise RefusedFileError(
            f"{path} is a folder, and no diffusers model.",
            f"`assetctl import {shlex.quote(str(path))}` registers the files inside a folder.",
        )
    return _identify_network(path, kind, config, [])


def _identify_pipeline(path: Path) -> Identification:
    index = _read_json(path / _INDEX)
    evidence = [Evidence("folder", "kind=checkpoint", f"model_index.json names a {_class_name(index) or 'pipeline'}")]
    network = next((path / name for name in _DENOISERS if (path / name).is_dir()), None)
    if network is None:
        evidence.append(Evidence("folder", "family=?", "it has no folder of a denoising network"))
        return Identification(kind="checkpoint", format="diffusers", layout="diffusers", evidence=tuple(evidence))
    config = _read_json(network / _CONFIG) if (network / _CONFIG).is_file() else {}
    found = _identify_network(network, "checkpoint", config, evidence)
    return replace(found, prediction=_scheduled(path) or found.prediction)


def _identify_network(path: Path, kind: str, config: dict[str, Any], evidence: list[Evidence]) -> Identification:
    """Identify by the headers of the weights where there are any, and by the configuration."""
    header = _weights(path)
    described = look_at(_described(path, kind, config), [])
    by_config = decide(described, {})
    said = [Evidence("folder", item.claim, f"config.json: {item.detail}") for item in by_config.evidence]
    if header is not None:
        by_tensors = identify_tensors(header)
        if by_tensors.family is not None:
            return replace(
                by_tensors, kind=kind, format="diffusers", layout="diffusers",
                evidence=(*evidence, *by_tensors.evidence, *said),
            )  # fmt: skip
    found = conclude(described, {}, format_="diffusers", name=path.name)
    confidence = "likely" if found.confidence == "certain" else found.confidence
    return replace(found, confidence=confidence, evidence=(*evidence, *said))


def _described(path: Path, kind: str, config: dict[str, Any]) -> Features:
    """Features that a configuration gives; its outline is empty."""
    outline = Outline(Header(path, 0, 0, {}, {}))
    name = _class_name(config)
    unet = None
    if name in _UNETS:
        own = config.get("encoder_hid_dim_type") is None  # else it projects what it is told, as Kandinsky and Kolors do
        unet = UNet(
            _width(config.get("cross_attention_dim")) if own else None,
            _width(config.get("in_channels")),
            _width(config.get("projection_class_embeddings_input_dim")),
        )
    latent = _width(config.get("latent_channels")) if kind == "vae" else None
    return Features(kind, "diffusers", outline, unet=unet, latent=latent, model_class=name)


def _width(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _class_name(config: dict[str, Any]) -> str | None:
    name, classes = config.get("_class_name"), config.get("architectures")
    if name is None and isinstance(classes, list) and classes:
        name = classes[0]
    return clean_words(name) if isinstance(name, str) else None


def _component_kind(config: dict[str, Any]) -> str | None:
    name = _class_name(config) or ""
    return next((kind for pattern, kind in _KINDS if re.search(pattern, name)), None)


def _scheduled(path: Path) -> str | None:
    """What the pipeline's scheduler takes the network to predict."""
    if not (path / _SCHEDULER).is_file():
        return None
    config = _read_json(path / _SCHEDULER)
    if "FlowMatch" in (_class_name(config) or ""):
        return "flow"
    said = config.get("prediction_type")
    return said if said in ("epsilon", "v_prediction") else None


def _weights(path: Path) -> Header | None:
    """The header of a component's weights, all parts together; `None` if it has no safetensors file."""
    try:
        files = sorted(file for file in path.iterdir() if file.suffix == ".safetensors" and file.is_file())
    except OSError as error:
        raise StorageError(f"{path} cannot be read: {error.strerror}.", "Check its permissions.") from error
    if not files:
        return None
    stem = re.sub(r"-\d+-of-\d+$", "", min(files, key=lambda file: (len(file.stem.split(".")), file.name)).stem)
    parts = [file for file in files if re.sub(r"-\d+-of-\d+$", "", file.stem) == stem][:_MAX_PARTS]
    headers = [read_header(file) for file in parts]
    tensors = {name: tensor for header in headers for name, tensor in header.tensors.items()}
    return Header(path, sum(header.size for header in headers), 0, tensors, headers[0].metadata)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            text = file.read(_MAX_JSON + 1)
    except OSError as error:
        raise StorageError(f"{path} cannot be read: {error.strerror}.", "Check its permissions.") from error
    try:
        config = loads(text) if len(text) <= _MAX_JSON else None
    except ValueError:
        config = None
    if not isinstance(config, dict):
        raise CorruptFileError(f"{path} is not a JSON object of a diffusers model.", "Fetch it again from its source.")
    return config
