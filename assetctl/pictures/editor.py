"""ComfyUI's editor: its graph, with subgraphs, nodes that are off and shortcuts, becomes the one that would be run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from assetctl.pictures.graph import MAX_NODES
from assetctl.pictures.parameters import mapping, sequence

if TYPE_CHECKING:
    from collections.abc import Iterator

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

#: What follows a seed among a node's values: how it changes from one run to the next.
_CONTROLS = ("fixed", "increment", "decrement", "randomize")

#: Modes of a node that is left out, and of one that what it takes goes past.
_NEVER, _BYPASSED = 2, 4

#: Nodes of the editor alone: what comes out is what goes in, there or where the other one of that name is.
_SHORTCUTS = ("Reroute", "GetNode", "SetNode")

#: In a subgraph, what stands for the node that it is outside: where links come in, and go out.
_INTO, _OUT_OF = -10, -20

#: Graphs within graphs, how many of all, inputs of one, and links to where something is made, that are followed.
_DEEPEST, _MAX_SCOPES, _MAX_INPUTS, _MAX_LINKS = 8, 100, 200, 50


def to_api(workflow: object) -> dict[str, Any]:
    """The nodes of an editor's graph in the API format, as far as their values' names are known."""
    described = mapping(workflow)
    kinds = (mapping(each) for each in sequence(mapping(described.get("definitions")).get("subgraphs"))[:MAX_NODES])
    subgraphs = {str(each["id"]): each for each in kinds if "id" in each}
    found: dict[str, Any] = {}
    for key, node in _Scope.of(described, subgraphs, []).run():
        found[key] = node
        if len(found) >= MAX_NODES:
            break
    return found


@dataclass(slots=True)
class _Scope:
    """A graph, or a use of a subgraph.

    Attributes:
        nodes: By their numbers.
        links: From where each comes: a node and its output, by its number.
        leaving: The numbers of links that leave a subgraph, by its output.
        subgraphs: Descriptions of all, by the class of the nodes that they are outside.
        prefix: What stands before the numbers of nodes.
        given: What comes into a subgraph.
        promoted: Values of nodes here that the node outside has, by number and name.
        scopes: The prefixes of all scopes that there are.
    """

    nodes: dict[str, dict[str, Any]]
    links: dict[object, tuple[object, object]]
    leaving: dict[object, object]
    subgraphs: dict[str, dict[str, Any]]
    prefix: str = ""
    given: list[Any] = field(default_factory=list)
    promoted: dict[tuple[str, str], Any] = field(default_factory=dict)
    scopes: list[str] = field(default_factory=list)
    _known: dict[str, _Scope | None] = field(default_factory=dict)
    _setters: dict[object, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        described: dict[str, Any],
        subgraphs: dict[str, dict[str, Any]],
        scopes: list[str],
        **more: Any,  # noqa: ANN401 - fields
    ) -> _Scope:
        """The scope of a graph as it is written."""
        listed = map(mapping, sequence(described.get("nodes"))[:MAX_NODES])
        nodes = {str(node.get("id")): node for node in listed if isinstance(node.get("type"), str)}
        links: dict[object, tuple[object, object]] = {}
        leaving: dict[object, object] = {}
        for link in map(_link, sequence(described.get("links"))[: 8 * MAX_NODES]):
            if link is not None:
                links[link[0]] = link[1], link[2]
                if link[3] == _OUT_OF:
                    leaving[link[4]] = link[0]
        scopes.append(more.get("prefix", ""))
        found = cls(nodes, links, leaving, subgraphs, scopes=scopes, **more)
        for node in nodes.values():
            if node["type"] == "SetNode":
                found._setters.setdefault(_called(node), node)
        return found

    def run(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """All nodes that would be run, those of subgraphs among them."""
        for key, node in self.nodes.items():
            if node.get("mode") in (_NEVER, _BYPASSED) or node["type"] in _SHORTCUTS:
                continue
            if node["type"] not in self.subgraphs:
                yield self.prefix + key, {"class_type": node["type"], "inputs": self._inputs(key, node)}
            elif (inside := self._inside(key, node)) is not None:
                yield from inside.run()

    def _inside(self, key: str, node: dict[str, Any]) -> _Scope | None:
        """The scope of a subgraph that a node stands for, unless there are too many."""
        if key not in self._known:
            self._known[key] = None  # while it is looked at, it has nothing in itself
            if len(self.scopes) < _MAX_SCOPES and self.prefix.count(":") < _DEEPEST:
                self._known[key] = self._made(key, node)
        return self._known[key]

    def _made(self, key: str, node: dict[str, Any]) -> _Scope:
        described = self.subgraphs[node["type"]]
        names = [mapping(each).get("name") for each in sequence(described.get("inputs"))[:_MAX_INPUTS]]
        values, links = _widgets_outside(node), dict(_linked(node))
        given = [self._made_by(links[name]) if name in links else values.get(("-1", str(name))) for name in names]
        prefix, inside = f"{self.prefix}{key}:", {each: value for each, value in values.items() if each[0] != "-1"}
        return _Scope.of(described, self.subgraphs, self.scopes, prefix=prefix, given=given, promoted=inside)

    def _inputs(self, key: str, node: dict[str, Any]) -> dict[str, Any]:
        found = _widgets(node)
        found |= {name: value for (inner, name), value in self.promoted.items() if inner == key}
        for name, link in _linked(node):
            made = self._made_by(link)
            if made is not None:
                found[name] = made
        return found

    def _made_by(self, link: object, hops: int = 0) -> Any:  # noqa: ANN401 - a link or any plain value
        """Where a link comes from in the graph that is run; or the value that a node outside gives."""
        origin, slot = self.links.get(link, (None, None))
        node = self.nodes.get(str(origin))
        if origin == _INTO:
            return dict(enumerate(self.given)).get(slot) if isinstance(slot, int) else None
        if node is None or hops > _MAX_LINKS or node.get("mode") == _NEVER:
            return None
        return self._from(node, str(origin), slot, hops)

    def _from(self, node: dict[str, Any], origin: str, slot: object, hops: int) -> Any:  # noqa: ANN401 - likewise
        """What comes out of a node here."""
        if node.get("mode") == _BYPASSED:
            return self._made_by(_past(node, slot), hops + 1)
        if node["type"] in _SHORTCUTS:
            source = self._setters.get(_called(node), {}) if node["type"] == "GetNode" else node
            return self._made_by(next((each for _, each in _linked(source)), None), hops + 1)
        if node["type"] in self.subgraphs:
            inside = self._inside(origin, node)
            return None if inside is None else inside._made_by(inside.leaving.get(slot), hops + 1)  # noqa: SLF001
        return [f"{self.prefix}{origin}", slot]


def _called(node: dict[str, Any]) -> str:
    """The name that nodes set and get something by."""
    return str(next(iter(sequence(node.get("widgets_values"))), ""))


def _link(link: object) -> tuple[object, ...] | None:
    """Number, origin, its output, target, its input."""
    if isinstance(link, dict):
        link = [link.get(name) for name in ("id", "origin_id", "origin_slot", "target_id", "target_slot")]
    if not isinstance(link, list) or len(link) < 3:
        return None
    if not all(isinstance(each, str | int | None) for each in link[:5]):
        return None
    return (*link[:5], *[None] * (5 - len(link)))


def _linked(node: dict[str, Any]) -> Iterator[tuple[str, int]]:
    """Names of a node's inputs that something is linked to, and the link's number."""
    for each in map(mapping, sequence(node.get("inputs"))):
        name, link = each.get("name"), each.get("link")
        if isinstance(name, str) and isinstance(link, int):
            yield name, link


def _past(node: dict[str, Any], slot: object) -> object:
    """The link that goes past a bypassed node to an output: of the same place and type, or the first of that type."""
    inputs, outputs = ([mapping(each) for each in sequence(node.get(name))] for name in ("inputs", "outputs"))
    kind = outputs[slot].get("type") if isinstance(slot, int) and 0 <= slot < len(outputs) else None
    here = inputs[slot : slot + 1] if isinstance(slot, int) and slot >= 0 else []
    return next((each.get("link") for each in (*here, *inputs) if kind is not None and each.get("type") == kind), None)


def _widgets(node: dict[str, Any]) -> dict[str, Any]:
    """A node's own values by their names, those of the node's class or those that it says."""
    values = node.get("widgets_values")
    if isinstance(values, dict):
        return dict(values)
    listed = sequence(values)
    known = _WIDGETS.get(node["type"])
    if known is not None:
        return {name: each for name, each in zip(known, listed, strict=False) if name}
    found = {f"lora_{place}": each for place, each in enumerate(listed) if "lora" in mapping(each)}
    named = [mapping(each) for each in sequence(node.get("inputs"))]
    names = [str(each["name"]) for each in named if mapping(each.get("widget")) and "name" in each]
    left = iter(names)
    before = ""
    for value in listed:
        if "seed" in before and value in _CONTROLS:
            before = ""
            continue
        before = next(left, "")
        if before:
            found.setdefault(before, value)
    return found


def _widgets_outside(node: dict[str, Any]) -> dict[tuple[str, str], Any]:
    """Values that the node of a subgraph has for it: by the number of the node within, or -1 for its own inputs.

    Where names and values are not as many, nobody knows which is whose.
    """
    listed = sequence(node.get("widgets_values"))
    pairs = sequence(mapping(node.get("properties")).get("proxyWidgets"))
    names = [(str(each[0]), str(each[1])) for each in pairs if isinstance(each, list) and len(each) >= 2]
    if not pairs:
        named = [mapping(each) for each in sequence(node.get("inputs"))]
        names = [("-1", str(each.get("name"))) for each in named if mapping(each.get("widget"))]
    return dict(zip(names, listed, strict=True)) if len(names) == len(listed) else {}
