"""ComfyUI: the graph that was run (`prompt`), or only the one that was edited (`workflow`).

PNG files hold each as a text of that name. Savers of WebP and JPEG put `prompt:{…}` and `workflow:{…}` into EXIF
texts, which ones differs, or an object of both into the comment.
"""

from __future__ import annotations

import re
from collections import Counter
from itertools import islice
from typing import TYPE_CHECKING, Any

from assetctl.options import a1111_name
from assetctl.pictures.graph import Graph, Node, to_api
from assetctl.pictures.parameters import (
    MAX_ASSETS,
    NO_FILE,
    Collection,
    Dialect,
    PictureParameters,
    integer,
    line,
    mapping,
    model_name,
    number,
    parse_json,
    prompt,
    settings,
    written,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_PLACES = ("ImageDescription", "Make", "Model", "Software", "UserComment", "Comment")
_PREFIX = re.compile(r"\s*(prompt|workflow)\s*:", re.IGNORECASE)
_EMBEDDING = re.compile(r"embedding:([^\s,():;|<>\[\]{}\"]+)", re.IGNORECASE)

#: A sampler's settings that are kept as fields.
_FIELDS = ("sampler_name", "scheduler", "denoise", "start_at_step", "end_at_step", "guidance")


def read(texts: Mapping[str, str]) -> PictureParameters | None:
    """What the graph's first sampler was given; what its models are even where there is no sampler."""
    graph = _graph(texts)
    if not graph.nodes:
        return None
    samplers = graph.samplers()
    given = graph.settings(samplers[0]) if samplers else {}
    plain = {key: graph.scalar(value, key) for key, value in given.items()}
    plain.setdefault("guidance", graph.behind(given.get("positive", given.get("conditioning")), "guidance"))
    positive = _text(graph, given, "positive", "conditioning")
    negative = _text(graph, given, "negative")
    width, height = graph.size(given.get("latent_image") or given.get("latent") or given.get("samples"))
    other = {"width": width, "height": height, "clip_skip": _clip_skip(graph)}
    sampler = a1111_name(line(plain.get("sampler_name")), line(plain.get("scheduler")))
    fields = {key: text for key in _FIELDS if (text := written(plain.get(key)))}
    prompts = f"{positive or ''}\n{negative or ''}"
    tokens = _tokens(prompts)
    return PictureParameters(
        software="ComfyUI",
        prompt=_with_tokens(positive, tokens),
        negative_prompt=_with_tokens(negative, tokens),
        settings=settings({**plain, **other, "sampler": sampler}),
        assets=_assets(graph, samplers, given, prompts).assets(),
        fields=fields,
        understood=_understood(fields, plain.get("steps")),
        notes=tuple(dict.fromkeys(_notes(graph, given))),
    )


def _understood(fields: dict[str, str], steps: object) -> frozenset[str]:
    """Fields that the sampler's name tells, or that are as they are for a picture made whole by one sampler."""
    last, count = integer(fields.get("end_at_step")), integer(steps)
    tells = {
        "sampler_name": True,
        "scheduler": fields.get("scheduler") in ("normal", "karras", "exponential"),
        "denoise": fields.get("denoise") == "1",
        "start_at_step": fields.get("start_at_step") == "0",
        "end_at_step": last is not None and count is not None and last >= count,
    }
    return frozenset(key for key in fields if tells.get(key, False))


def _with_tokens(text: str | None, tokens: Mapping[str, str]) -> str | None:
    """A prompt where embeddings stand by their bare names, as in other programs."""
    return None if text is None else _EMBEDDING.sub(lambda match: tokens.get(match[1], match[1]), text)


def _tokens(prompts: str) -> dict[str, str]:
    """How each embedding is called that prompts name: by its file alone, or with its folders where two are alike."""
    names = {match[1]: model_name(match[1]) or match[1] for match in _EMBEDDING.finditer(prompts)}
    files = Counter(name.rpartition("/")[2].casefold() for name in dict.fromkeys(names.values()))
    return {
        said: name if files[name.rpartition("/")[2].casefold()] > 1 else name.rpartition("/")[2]
        for said, name in names.items()
    }


def _graph(texts: Mapping[str, str]) -> Graph:
    """The graph that was run, else the one that was edited; empty where there is neither."""
    run, edited = _found(texts, "prompt"), _found(texts, "workflow")
    graph = Graph(run)
    return graph if graph.nodes else Graph(to_api(edited))


def _found(texts: Mapping[str, str], name: str) -> object:
    found = parse_json(texts.get(name))
    if found is not None:
        return found
    for text in (texts[place] for place in _PLACES if place in texts):
        prefix = _PREFIX.match(text)
        if prefix is not None and prefix[1].lower() == name:
            return parse_json(text[prefix.end() :].strip())
        around = mapping(parse_json(text)) if text.lstrip().startswith("{") else {}
        if name in around:
            inner = around[name]
            return parse_json(inner) if isinstance(inner, str) else inner
        if name == "prompt" and around:
            return around
    return None


def _text(graph: Graph, given: dict[str, Any], *names: str) -> str | None:
    """The prompt behind the first of some inputs: several texts on lines of their own."""
    for name in names:
        value = given.get(name)
        found = prompt(value) or prompt("\n".join(graph.texts(value)))
        if found is not None:
            return found
    return None


def _clip_skip(graph: Graph) -> int | None:
    """As A1111 counts: ComfyUI's -2 is 2."""
    for node in graph.nodes.values():
        for key in ("stop_at_clip_layer", "clip_skip"):
            layer = integer(graph.scalar(node.inputs.get(key)), -100, -1)
            if layer is not None:
                return -layer
    return None


def _assets(graph: Graph, samplers: list[Node], given: dict[str, Any], prompts: str) -> Collection:
    found = Collection()
    chain = graph.model_chain(given.get("model"))
    if not any(_MODEL_NAMES & node.inputs.keys() for node in chain):  # the way to the loader leads through custom nodes
        chain += [node for node in graph.nodes.values() if _MODEL_NAMES & node.inputs.keys()][: 1 if given else None]
    for node in (*chain, Node("", "", given)):
        for key in sorted(_MODEL_NAMES & node.inputs.keys()):
            found.add("checkpoint", _named(graph, node.inputs[key], key))
    for name, strength, _ in _strengths(graph, chain if given else graph.nodes.values()):
        if strength != 0:
            found.add("lora", name, weight=strength, turn=found.uses("lora", name))
    _add_refiners(found, graph, samplers[1:_MAX_SAMPLERS])
    for match in _EMBEDDING.finditer(prompts):
        found.add("embedding", match[1])
    strengths = _control_strengths(graph)
    for node in graph.nodes.values():
        _add_others(found, graph, node, strengths)
    return found


def _strengths(graph: Graph, nodes: Iterable[Node]) -> Iterator[tuple[object, float | None, float | None]]:
    """The LoRAs of some nodes, each with its strength for the model and for the text encoders."""
    for node in nodes:
        for name, model, clip in islice(_loras(node.inputs), MAX_ASSETS):
            strengths = (number(graph.scalar(model, "strength_model")), number(graph.scalar(clip, "strength_clip")))
            yield _named(graph, name, "lora_name"), *strengths


def _notes(graph: Graph, given: dict[str, Any]) -> Iterator[str]:
    """LoRAs whose text encoders were changed by another strength than the model, for which there is one weight here."""
    chain = graph.model_chain(given.get("model")) if given else graph.nodes.values()
    for name, model, clip in islice(_strengths(graph, chain), MAX_ASSETS):
        if name is None or clip is None or model is None or clip == model:
            continue
        lora = f"The LoRA {model_name(name)}"
        if model == 0:
            yield f"{lora} changed the text encoders alone, at {clip:g}: it is left out."
        else:
            yield f"{lora} was applied at {model:g}, and at {clip:g} to the text encoders: {model:g} is used for both."


_MODEL_NAMES = {"ckpt_name", "unet_name"}

#: What a LoRA has a strength for.
_PARTS = ("model", "clip")

#: Samplers whose models are looked at.
_MAX_SAMPLERS = 8


def _named(graph: Graph, value: object, key: str) -> object:
    """A file's name; `None` where a loader says that there is none."""
    name = graph.scalar(value, key)
    return None if isinstance(name, str) and name.strip().lower() in NO_FILE else name


def _add_refiners(found: Collection, graph: Graph, samplers: list[Node]) -> None:
    """Checkpoints of samplers that come after the first, where they have others."""
    first = {each.name for each in found.assets() if each.role == "checkpoint"}
    for sampler in samplers:
        for node in graph.model_chain(graph.settings(sampler).get("model")):
            for key in sorted(_MODEL_NAMES & node.inputs.keys()):
                name = _named(graph, node.inputs[key], key)
                if model_name(name) not in first:
                    found.add("other", name)


def _loras(inputs: dict[str, Any]) -> Iterator[tuple[object, object, object]]:
    """Name and strengths of a loader's LoRAs: of the usual one, of stacks, and of rgthree's.

    A stack keeps the names beyond its count, which it does not use.
    """
    count = integer(inputs.get("lora_count"))
    is_advanced = inputs.get("input_mode") == "advanced"
    both = () if is_advanced else ("lora_wt_",)
    weights, clips = (*both, "model_str_", "model_weight_"), (*both, "clip_str_", "clip_weight_")
    for key, value in inputs.items():
        each = mapping(value)
        if each:
            if key.lower().startswith("lora_") and each.get("on", True) is True:
                yield each.get("lora"), each.get("strength"), each.get("strengthTwo")
        elif key == "lora_name":
            yield value, *(inputs.get(f"strength_{part}", inputs.get(f"lora_{part}_strength")) for part in _PARTS)
        elif key.startswith("lora_name_"):
            place = key.removeprefix("lora_name_")
            is_beyond = count is not None and (integer(place) or 0) > count
            if not is_beyond and inputs.get(f"switch_{place}") != "Off":
                given = [
                    next((inputs[each + place] for each in names if each + place in inputs), None)
                    for names in (weights, clips)
                ]
                yield value, *given


def _control_strengths(graph: Graph) -> dict[str, object]:
    """The strength of each ControlNet by its loader's key."""
    uses = ((graph.linked(node.inputs.get("control_net")), node) for node in graph.nodes.values())
    return {loader.key: node.inputs.get("strength") for loader, node in uses if loader is not None}


def _add_others(found: Collection, graph: Graph, node: Node, strengths: dict[str, object]) -> None:
    inputs = node.inputs
    if "vae_name" in inputs:
        found.add("vae", _named(graph, inputs["vae_name"], "vae_name"))
    if "control_net_name" in inputs:
        strength = graph.scalar(strengths.get(node.key), "strength")
        found.add("controlnet", _named(graph, inputs["control_net_name"], "control_net_name"), weight=strength)
    if node.kind == "UpscaleModelLoader":
        found.add("upscaler", _named(graph, inputs.get("model_name"), "model_name"))


DIALECT = Dialect("ComfyUI", 40, read)
