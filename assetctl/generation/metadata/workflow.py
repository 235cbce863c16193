"""ComfyUI's other format: the graph as its editor saves it, where values have places instead of names.

Links are numbered and listed apart; a node's values stand in `widgets_values` in the order of its class's widgets,
which only the program knows. Those of the usual nodes are listed here. The result is in the API format.

Format: https://docs.comfy.org/specs/workflow_json.
"""

from __future__ import annotations

from typing import Any

from assetctl.generation.metadata.graph import MAX_NODES
from assetctl.generation.metadata.values import mapping, sequence

#: Names of the widgets by class; those of the seed are followed by one that says how it changes.
_WIDGETS: dict[str, tuple[str, ...]] = {
    "KSampler": ("seed", "", "steps", "cfg", "sampler_name", "scheduler", "denoise"),
    "KSamplerAdvanced": (
        "add_noise", "noise_seed", "", "steps", "cfg", "sampler_name", "scheduler", "start_at_step", "end_at_step",
    ),
    "SamplerCustom": ("add_noise", "noise_seed", "", "cfg"),
    "RandomNoise": ("noise_seed",),
    "BasicScheduler": ("scheduler", "steps", "denoise"),
    "KSamplerSelect": ("sampler_name",),
    "CFGGuider": ("cfg",),
    "CheckpointLoaderSimple": ("ckpt_name",),
    "UNETLoader": ("unet_name", "weight_dtype"),
    "LoraLoader": ("lora_name", "strength_model", "strength_clip"),
    "LoraLoaderModelOnly": ("lora_name", "strength_model"),
    "VAELoader": ("vae_name",),
    "ControlNetLoader": ("control_net_name",),
    "ControlNetApply": ("strength",),
    "ControlNetApplyAdvanced": ("strength", "start_percent", "end_percent"),
    "UpscaleModelLoader": ("model_name",),
    "CLIPTextEncode": ("text",),
    "CLIPSetLastLayer": ("stop_at_clip_layer",),
    "EmptyLatentImage": ("width", "height", "batch_size"),
    "EmptySD3LatentImage": ("width", "height", "batch_size"),
    "PrimitiveNode": ("value",),
    "PrimitiveString": ("value",),
    "PrimitiveStringMultiline": ("value",),
}  # fmt: skip

#: Modes of a node that is switched off: never, and bypassed.
_OFF = (2, 4)


def to_api(workflow: object) -> dict[str, Any]:
    """The nodes of an editor's graph in the API format, as far as their values' names are known."""
    described = mapping(workflow)
    links = {}
    for link in sequence(described.get("links"))[: 8 * MAX_NODES]:
        if isinstance(link, list) and len(link) >= 3 and isinstance(link[0], int):
            links[link[0]] = [str(link[1]), link[2]]
    nodes = {}
    for node in map(mapping, sequence(described.get("nodes"))[:MAX_NODES]):
        kind = node.get("type")
        if isinstance(kind, str) and node.get("mode") not in _OFF:
            nodes[str(node.get("id"))] = {"class_type": kind, "inputs": _inputs(kind, node, links)}
    return nodes


def _inputs(kind: str, node: dict[str, Any], links: dict[int, list[Any]]) -> dict[str, Any]:
    values = node.get("widgets_values")
    found = dict(values) if isinstance(values, dict) else {}
    found |= {name: each for name, each in zip(_WIDGETS.get(kind, ()), sequence(values), strict=False) if name}
    for each in map(mapping, sequence(node.get("inputs"))):
        name, link = each.get("name"), each.get("link")
        if isinstance(name, str) and isinstance(link, int) and link in links:
            found[name] = links[link]
    return found
