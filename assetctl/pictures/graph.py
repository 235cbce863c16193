"""ComfyUI's graph of nodes: what its sampler was given, found by following links backwards."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

from assetctl.pictures.parameters import mapping
from assetctl.prompt.syntax import without_tags
from assetctl.request import MAX_PROMPT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


#: Limits: nodes of one graph that are looked at, and nodes between an input and its plain value.
MAX_NODES = 5000
_MAX_HOPS = 50
_MAX_JOINED = 20

#: What a custom sampler takes its parts from, the guider first: its model makes the picture, a schedule's does not.
_HELPERS = ("guider", "sampler", "sigmas", "noise")
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

#: Width and height as the widgets of pickers name them, by what they say where others count; `832x1216 (0.68)`.
_PICKED = re.compile(r"(?:^|\s)(\d{2,5})\s?x\s?(\d{2,5})(?:\s|$)")
_PICKERS = ("resolution", "aspect_ratio", "dimensions", "preset")
_LATENTS = ("latent_image", "latent", "samples", "pixels", "image")
_SCALARS = ("value", "Value", "int", "float", "number", "seed", "noise_seed", "air", "string", "text")

#: Other names of what samplers take, in nodes that hold values for them.
_ALSO = {"sampler_name": ("sampler",), "scheduler": ("scheduler_name",)}

#: What bundles a sampler's inputs: Impact's, Easy-Use's and tinyterra's pipes, rgthree's contexts.
PIPES = ("basic_pipe", "pipe", "context", "base_ctx", "detailer_pipe", "ctx_01", "ctx_02", "ctx_03", "ctx_04", "ctx_05")

#: Nodes that give out what they take, or what a bundle holds that they take: the name of each output.
_BASIC = ("model", "clip", "vae", "positive", "negative")
_GIVES: dict[str, tuple[str, ...]] = {
    "FromBasicPipe": _BASIC,
    "FromBasicPipe_v2": ("basic_pipe", *_BASIC),
    "FromDetailerPipe": _BASIC,
    "FromDetailerPipe_v2": ("detailer_pipe", *_BASIC),
    "easy pipeOut": ("pipe", "model", "positive", "negative", "latent", "vae", "clip", "image", "seed"),
    **dict.fromkeys(
        ("Context (rgthree)", "Context Big (rgthree)", "Context Switch (rgthree)", "Context Merge (rgthree)"),
        ("context", *_BASIC, "latent", "image", "seed", "steps", "step_refiner", "cfg", "ckpt_name", "sampler",
         "scheduler"),
    ),
}  # fmt: skip

#: Nodes that give out the first thing that they take.
_PASSING = ("Reroute", "Reroute (rgthree)", "Any Switch (rgthree)", "easy reroute")

#: Nodes that hand on what others made, and add nothing of their own.
HANDING_ON = (*_GIVES, *_PASSING, "ToBasicPipe", "EditBasicPipe")

#: Nodes that join texts: their texts in order, by names or the beginning of these; and what stands between them.
_JOINING: dict[str, tuple[tuple[str, ...], str]] = {
    "StringConcatenate": (("string_a", "string_b"), "delimiter"),
    "JoinStrings": (("string1", "string2"), "delimiter"),
    "Text Concatenate": (("text_a", "text_b", "text_c", "text_d"), "delimiter"),
    "CR Text Concatenate": (("text1", "text2"), "separator"),
    "easy promptConcat": (("prompt1", "prompt2"), "separator"),
}


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
        self._straighten()

    def _straighten(self) -> None:
        """Have links lead to what is made, past nodes that hand it on, and texts stand joined."""
        known: dict[tuple[str, int | None], Any] = {}
        through = {
            key: {name: self._through(value, known) for name, value in node.inputs.items()}
            for key, node in self.nodes.items()
        }
        self.nodes = {key: Node(key, node.kind, through[key]) for key, node in self.nodes.items()}
        texts: dict[str, str | None] = {}
        for node in self.nodes.values():
            if node.kind in _JOINING:
                self._joined(node, texts)
        for key, text in texts.items():
            if text is not None:
                self.nodes[key] = Node(key, "PrimitiveString", {"value": text})

    def _through(self, value: Any, known: dict[tuple[str, int | None], Any], hops: int = 0) -> Any:  # noqa: ANN401
        """A value, or the link to what makes it; `known` has what was followed before."""
        node = self.linked(value)
        if node is None or hops > _MAX_HOPS:
            return value
        output = value[1] if isinstance(value[1], int) and node.kind not in _PASSING else None
        place = node.key, output
        further: Any = None
        if place in known:
            return known[place]
        if node.kind in _PASSING:
            further = next((each for each in node.inputs.values() if self.linked(each) is not None), None)
        elif output is not None and 0 <= output < len(_GIVES.get(node.kind, ())):
            further = self.bundled(node, _GIVES[node.kind][output])
        if further is None:
            return value
        known[place] = self._through(further, known, hops + 1)
        return known[place]

    def bundle(self, node: Node) -> Iterator[Node]:
        """A node, and those whose bundles it takes up, the nearest first."""
        return self.walk_from([[node.key, 0]], lambda each, _: [each.inputs.get(name) for name in PIPES])

    def bundled(self, node: Node, name: str) -> Any:  # noqa: ANN401 - any plain value
        """What a node hands on by this name."""
        names = (name, *_ALSO.get(name, ()), *(("latent_image",) if name == "latent" else ()))
        for each in islice(self.bundle(node), _MAX_HOPS):
            found = next((each.inputs[key] for key in names if each.inputs.get(key) is not None), None)
            if found is not None:
                return found
            if name == "model" and is_loader(each):
                return [each.key, 0]
        return None

    def _joined(self, node: Node, known: dict[str, str | None], depth: int = 0) -> str | None:
        """The text of a node that joins texts, where all of them can be read; `known` has those of such nodes."""
        if node.key in known or depth > _MAX_JOINED:
            return known.get(node.key)
        known[node.key] = None
        names, between = _JOINING[node.kind]
        parts = [node.inputs[name] for name in names if node.inputs.get(name) is not None]
        said = self._plain_text(node.inputs.get(between, ""), known, depth)
        found = [text for each in parts if (text := self._plain_text(each, known, depth)) is not None]
        if said is None or len(found) < len(parts):
            return None
        if node.kind == "Text Concatenate":  # which leaves empty texts out
            said = "\n" if said in ("\n", "\\n") else said
            is_clean = str(node.inputs.get("clean_whitespace", "true")).lower() == "true"
            found = [each for each in (text.strip() if is_clean else text for text in found) if each]
        if sum(map(len, found)) + len(said) * len(found) <= MAX_PROMPT:
            known[node.key] = said.join(found)
        return known[node.key]

    def _plain_text(self, value: object, known: dict[str, str | None], depth: int) -> str | None:
        node = self.linked(value)
        if node is not None and node.kind in _JOINING:
            return self._joined(node, known, depth + 1)
        found = self.scalar(value, "text")
        return found if isinstance(found, str) else None

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
        names = (name, *_ALSO.get(name, ()), *_SCALARS)
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
        """Nodes that sample and are run, the one that starts from an empty latent image first.

        Those come before others that lead to a picture that is saved. What leads to no picture is not run.
        """
        found = [
            node
            for node in self.nodes.values()
            if "sampler" in node.kind.lower()
            and not node.kind.endswith("Provider")
            and not _GIVEN_TO_SAMPLERS.isdisjoint(node.inputs)
        ]
        saving, showing = self._ways_to_pictures()
        run = [node for node in found if node.key in saving | showing] or found
        return sorted(run, key=lambda node: (node.key not in saving, not self._starts_empty(node)))

    def makes_several(self, samplers: list[Node]) -> bool:
        """Whether more than one sampler may have begun what is saved."""
        saving, _ = self._ways_to_pictures()
        return sum((node.key in saving or not saving) and self._starts_empty(node) for node in samplers) > 1

    def _ways_to_pictures(self) -> tuple[set[str], set[str]]:
        """Nodes that lead to where pictures are saved, and those that lead anywhere else."""
        found = (self.linked(value) for node in self.nodes.values() for value in node.inputs.values())
        read = {node.key for node in found if node is not None}
        saving = {node.key for node in self.nodes.values() if "save" in node.kind.lower()}
        ends = {key for key, node in self.nodes.items() if key not in read and node.kind not in _NO_ENDS} - saving
        return self._behind(saving), self._behind(ends)

    def _behind(self, keys: set[str]) -> set[str]:
        """Nodes from which there is a way to one of these."""
        walked = self.walk_from([[key, 0] for key in keys], lambda node, _: list(node.inputs.values()))
        return {node.key for node in walked}

    def settings(self, sampler: Node) -> dict[str, Any]:
        """A sampler's inputs, with those of the nodes that a custom sampler takes its parts from."""
        found = dict(sampler.inputs)
        for helper in _HELPERS:
            way = self.walk(sampler.inputs.get(helper), partial(_only, helper))
            for node in islice(way, _MAX_HOPS):  # past what changes a schedule, or a sampler
                found = _SAID_BY_KIND.get(node.kind, {}) | node.inputs | found
        for node in islice(self.bundle(sampler), _MAX_HOPS):
            found = node.inputs | found
            if is_loader(node):
                found.setdefault("model", [node.key, 0])
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
            found |= dict.fromkeys(text for each in _said(node) if (text := as_text(node, each)) and text.strip())
        return list(found)

    def texts_are_read(self, link: object) -> tuple[bool, bool]:
        """Whether there is any text behind a conditioning, be it empty, and whether all that leads to one does."""
        any_, all_ = False, self.linked(link) is not None or isinstance(link, str)
        for node in self.walk(link, _towards_texts):
            any_ |= node.kind == "ConditioningZeroOut"
            leads = [node.inputs[each] for each in (*_CONDITIONING, *_TEXTS) if each in node.inputs]
            leads += [each for each in _towards_texts(node, 0) if isinstance(each, str)]
            for each in leads:
                is_text = as_text(node, each) is not None
                any_, all_ = any_ or is_text, all_ and (is_text or self.linked(each) is not None)
        return any_ or isinstance(link, str), all_

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
        found = self.walk(link, lambda node, output: [] if "clip" in node.inputs else _towards_texts(node, output))
        return [node for node in found if "clip" in node.inputs]

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
            found = self.size_of(node)
            if None not in found:
                return found
        return None, None

    def size_of(self, node: Node) -> tuple[Any, Any]:
        """Width and height that a node says itself: what is picked counts before numbers beside it."""
        for name in _PICKERS:
            picked = _PICKED.search(str(self.scalar(node.inputs.get(name), name) or ""))
            if picked is not None:
                sides = picked[1], picked[2]
                own = [self.scalar(node.inputs.get(f"{side}_override"), "value") for side in ("width", "height")]
                turned = str(node.inputs.get("swap_dimensions", "Off")).lower() in ("on", "true")
                width, height = (mine or its for mine, its in zip(own, sides, strict=True))
                return (height, width) if turned else (width, height)
        for names in _SIZES:
            width, height = (self.scalar(node.inputs.get(each), each) for each in names)
            if width is not None and height is not None:
                return width, height
        return None, None

    def makes_empty(self, node: Node) -> bool:
        """Whether a node makes a latent image of a size, and of nothing else."""
        has_others = any(self.linked(node.inputs.get(each)) is not None for each in _LATENTS)
        return not has_others and None not in self.size_of(node)

    def _starts_empty(self, sampler: Node) -> bool:
        given = self.settings(sampler)
        node = self.linked(given.get("latent_image") or given.get("latent"))
        return self.makes_empty(node or Node("", "", given))


#: Names of what a loader of checkpoints loads.
MODEL_NAMES = frozenset({"ckpt_name", "unet_name"})


def is_loader(node: Node) -> bool:
    """Whether a node loads a model."""
    return not MODEL_NAMES.isdisjoint(node.inputs)


def text_with_tags(node: Node) -> str | None:
    """The text of a node that loads the LoRAs of its tags, and encodes the rest or gives it out."""
    if "model" not in node.inputs or "clip" not in node.inputs:
        return None
    found = (node.inputs.get(each) for each in ("populated_text", "text"))
    return next((each for each in found if isinstance(each, str)), None)


def _said(node: Node) -> list[Any]:
    tagged = text_with_tags(node)
    if tagged is not None:
        return [without_tags(tagged).strip()]
    populated = node.inputs.get("populated_text")
    return [populated] if isinstance(populated, str) else [node.inputs.get(each) for each in _TEXTS]


def as_text(node: Node, value: object) -> str | None:
    """A text; of a node that encodes texts also a number, which ComfyUI makes a text of."""
    if "clip" in node.inputs and isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) else None


#: Nodes that are run only where something takes what they make.
_NO_ENDS = ("KSampler", "KSamplerAdvanced", "SamplerCustom", "SamplerCustomAdvanced", "VAEDecode")

_GIVEN_TO_SAMPLERS = {"latent_image", "latent", "samples", "optional_latent", "pipe", "basic_pipe"}

#: What nodes that stand for a sampler or a schedule are, which others name.
_SAID_BY_KIND: dict[str, dict[str, Any]] = {
    "SamplerEulerAncestral": {"sampler_name": "euler_ancestral"},
    "SamplerEulerAncestralCFGPP": {"sampler_name": "euler_ancestral_cfg_pp"},
    "SamplerLMS": {"sampler_name": "lms"},
    "SamplerDPMAdaptative": {"sampler_name": "dpm_adaptive"},
    "SamplerDPMPP_2S_Ancestral": {"sampler_name": "dpmpp_2s_ancestral"},
    "SamplerDPMPP_SDE": {"sampler_name": "dpmpp_sde"},
    "SamplerDPMPP_2M_SDE": {"sampler_name": "dpmpp_2m_sde"},
    "SamplerDPMPP_3M_SDE": {"sampler_name": "dpmpp_3m_sde"},
    "SamplerER_SDE": {"sampler_name": "er_sde"},
    "SamplerSASolver": {"sampler_name": "sa_solver"},
    "KarrasScheduler": {"scheduler": "karras"},
    "ExponentialScheduler": {"scheduler": "exponential"},
    "PolyexponentialScheduler": {"scheduler": "Polyexponential"},
    "BetaSamplingScheduler": {"scheduler": "beta"},
    "AlignYourStepsScheduler": {"scheduler": "align_your_steps"},
}


def _only(name: str, node: Node, _: int) -> list[Any]:
    """What one input leads on to."""
    return [node.inputs.get(name)]


def _towards_texts(node: Node, output: int) -> list[Any]:
    """What leads on to texts: nodes that take both prompts and give both out keep their order.

    Loaders, which take them as texts, give out a model first.
    """
    if "positive" in node.inputs and "negative" in node.inputs:
        second = 2 if is_loader(node) or isinstance(node.inputs["positive"], str) else 1
        return [node.inputs["negative" if output == second else "positive"]]
    if node.kind == "ConditioningZeroOut":
        return []
    return [node.inputs.get(each) for each in (*_CONDITIONING, *_TEXTS)]
