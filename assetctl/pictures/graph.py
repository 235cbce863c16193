"""ComfyUI's graph of nodes: what its sampler was given, found by following links backwards."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from assetctl.pictures.parameters import mapping, sequence

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


#: Limits: nodes of one graph that are looked at, and nodes between an input and its plain value.
MAX_NODES = 5000
_MAX_HOPS = 50

_HELPERS = ("sampler", "sigmas", "noise", "guider")
_CONDITIONING = (
    "conditioning", "conditioning_1", "conditioning_2", "conditioning_to", "conditioning_from", "cond1", "cond2",
    "base_ctx", "context",
)  # fmt: skip
_TEXTS = (
    "text", "text_g", "text_l", "clip_l", "t5xxl", "clip_g", "prompt", "string", "value", "text1", "text2", "text_a",
    "text_b", "string_a", "string_b", "string1", "string2", "text_positive", "wildcard_text",
)  # fmt: skip
_MODELS = ("model", "model1", "base_model", "lora_stack", "optional_lora_stack", "pipe", "basic_pipe")
_STACKS = ("lora_stack", "optional_lora_stack")
_SIZES = (("width", "height"), ("empty_latent_width", "empty_latent_height"))
_LATENTS = ("latent_image", "latent", "samples", "pixels", "image")
_SCALARS = ("value", "Value", "int", "float", "number", "seed", "noise_seed", "air", "string", "text")


@dataclass(frozen=True, slots=True)
class Node:
    """One node: its identifier, class and inputs."""

    key: str
    kind: str
    inputs: dict[str, Any]


class Graph:
    """A graph, read-only."""

    def __init__(self, described: object) -> None:
        """Take what looks like nodes out of JSON that should be a graph."""
        entries = [(key, mapping(each)) for key, each in list(mapping(described).items())[:MAX_NODES]]
        self.nodes = {
            key: Node(key, each["class_type"], mapping(each.get("inputs")))
            for key, each in entries
            if isinstance(each.get("class_type"), str)
        }

    def linked(self, value: object) -> Node | None:
        """The node that a link comes from, or `None` for a plain value and a dangling link."""
        if not isinstance(value, list) or len(value) != 2 or not isinstance(value[0], str | int):
            return None
        return self.nodes.get(str(value[0]))

    def walk(self, start: object, follow: Callable[[Node, int], list[Any]]) -> Iterator[Node]:
        """Nodes backwards from a link, depth first and each once; `follow` gives a node's values that lead on."""
        return self.walk_from([start], follow)

    def walk_from(self, starts: Iterable[object], follow: Callable[[Node, int], list[Any]]) -> Iterator[Node]:
        """As `walk`, from several links: what was met from one is not met again from another."""
        seen, waiting = set(), [*starts][::-1]
        while waiting:
            link = waiting.pop()
            node = self.linked(link)
            if node is None or node.key in seen:
                continue
            seen.add(node.key)
            yield node
            output = link[1] if isinstance(link, list) and isinstance(link[1], int) else 0
            waiting += reversed(follow(node, output))

    def scalar(self, value: object, name: str = "value") -> Any:  # noqa: ANN401 - any plain value
        """A plain value, or the one at the far end of its links: of primitive nodes and selectors."""
        names = (name, *_SCALARS)
        if not isinstance(value, list):
            return value
        walked = self.walk(value, lambda node, _: [node.inputs.get(each) for each in names])
        for node in islice(walked, _MAX_HOPS):
            plain = (node.inputs.get(each) for each in names)
            found = next((each for each in plain if isinstance(each, str | int | float)), None)
            if found is not None:
                return found
        return None

    def samplers(self) -> list[Node]:
        """Nodes that sample, the one that starts from an empty latent image first."""
        found = [
            node
            for node in self.nodes.values()
            if "sampler" in node.kind.lower() and not _LATENTS_OF_SAMPLER.isdisjoint(node.inputs)
        ]
        return sorted(found, key=lambda node: self._starts_empty(node) is False)

    def settings(self, sampler: Node) -> dict[str, Any]:
        """A sampler's inputs, with those of the nodes that a custom sampler takes its parts from."""
        found = dict(sampler.inputs)
        for helper in _HELPERS:
            node = self.linked(sampler.inputs.get(helper))
            if node is not None:
                found = node.inputs | found
        return found

    def texts(self, link: object) -> list[str]:
        """The texts behind a conditioning, in order and each once."""
        found: dict[str, None] = {}

        def follow(node: Node, output: int) -> list[Any]:
            leads = _towards_texts(node, output)
            if "positive" in node.inputs:  # loaders that take both prompts take them as texts
                found.update(dict.fromkeys(each for each in leads if isinstance(each, str) and each.strip()))
            return leads

        for node in self.walk(link, follow):
            populated = node.inputs.get("populated_text")
            values = [populated] if isinstance(populated, str) else [node.inputs.get(each) for each in _TEXTS]
            found |= dict.fromkeys(each for each in values if isinstance(each, str) and each.strip())
        return list(found)

    def behind(self, link: object, name: str) -> Any:  # noqa: ANN401 - any plain value
        """The first value of one name on the way to a conditioning's texts."""
        for node in self.walk(link, _towards_texts):
            if node.inputs.get(name) is not None:
                return self.scalar(node.inputs[name], name)
        return None

    def model_chain(self, link: object) -> list[Node]:
        """Nodes that a model passes through, its loader first."""
        walked = self.walk(link, lambda node, _: [node.inputs.get(each) for each in _MODELS])
        return list(walked)[::-1]

    def encoders(self, link: object) -> list[Node]:
        """The nodes that encode the texts behind a conditioning."""
        return [node for node in self.walk(link, _towards_texts) if "clip" in node.inputs]

    def clip_chain(self, link: object) -> list[Node]:
        """Nodes that text encoders pass through, their loader first."""
        walked = self.walk(link, lambda node, _: [node.inputs.get(each) for each in ("clip", *_STACKS)])
        return list(walked)[::-1]

    def latents(self, link: object) -> list[Node]:
        """Nodes that an empty picture passes through, the one that makes it first."""
        return list(self.walk(link, lambda node, _: [node.inputs.get(each) for each in _LATENTS]))[::-1]

    def readers(self, node: Node) -> list[Node]:
        """Nodes that take something from one."""
        return [
            each for each in self.nodes.values() if any(self.linked(value) is node for value in each.inputs.values())
        ]

    def size(self, link: object) -> tuple[Any, Any]:
        """Width and height of the latent image behind a link."""
        for node in self.walk(link, lambda node, _: [node.inputs.get(each) for each in _LATENTS]):
            for names in _SIZES:
                width, height = (self.scalar(node.inputs.get(each), each) for each in names)
                if width is not None and height is not None:
                    return width, height
        return None, None

    def _starts_empty(self, sampler: Node) -> bool:
        link = sampler.inputs.get("latent_image") or sampler.inputs.get("latent")
        node = self.linked(link)
        return node is not None and node.kind.startswith("Empty")


_LATENTS_OF_SAMPLER = {"latent_image", "latent", "samples", "optional_latent"}


def _towards_texts(node: Node, output: int) -> list[Any]:
    """What leads on to texts: nodes that take both prompts and give both out keep their order.

    Loaders, which take them as texts, give out a model first.
    """
    if "positive" in node.inputs and "negative" in node.inputs:
        second = 2 if isinstance(node.inputs["positive"], str) else 1
        return [node.inputs["negative" if output == second else "positive"]]
    if node.kind == "ConditioningZeroOut":
        return []
    return [node.inputs.get(each) for each in (*_CONDITIONING, *_TEXTS)]


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
