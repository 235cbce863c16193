"""ComfyUI: the graph that was run (`prompt`), or only the one that was edited (`workflow`).

PNG files hold each as a text of that name. Savers of WebP and JPEG put `prompt:{…}` and `workflow:{…}` into EXIF
texts, which ones differs, or an object of both into the comment.
"""

from __future__ import annotations

import re
from collections import Counter
from itertools import islice
from typing import TYPE_CHECKING, Any

from assetctl.pictures.editor import to_api
from assetctl.pictures.graph import HANDING_ON, MODEL_NAMES, Graph, Node, as_text, text_with_tags
from assetctl.pictures.parameters import (
    LOST,
    MAX_ASSETS,
    NO_FILE,
    Collection,
    Dialect,
    PictureParameters,
    integer,
    mapping,
    model_name,
    number,
    parse_json,
    prompt,
    settings,
    shown,
    written,
)
from assetctl.prompt.syntax import find_tags
from assetctl.samplers import SCHEDULERS, a1111_name, steps_taken
from assetctl.text import Altered, line

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator, Mapping

_PLACES = ("ImageDescription", "Make", "Model", "Software", "UserComment", "Comment")
_PREFIX = re.compile(r"\s*(prompt|workflow)\s*:", re.IGNORECASE)
_EMBEDDING = re.compile(r"embedding:([^\s,():;|<>\[\]{}\"]+)", re.IGNORECASE)

#: A sampler's settings that are kept as fields.
_FIELDS = ("sampler_name", "scheduler", "denoise", "start_at_step", "end_at_step", "guidance")

#: Nodes that hold a plain value.
_PRIMITIVES = (
    "PrimitiveNode", "PrimitiveString", "PrimitiveStringMultiline", "PrimitiveInt", "PrimitiveFloat",
    "PrimitiveBoolean", "Seed (rgthree)",
)  # fmt: skip


def read(texts: Mapping[str, str]) -> PictureParameters | None:
    """What the graph's first sampler was given; what its models are even where there is no sampler."""
    graph, edited = _graph(texts)
    if not graph.nodes:
        return None
    samplers = graph.samplers()
    given = graph.settings(samplers[0]) if samplers else {}
    plain = {key: graph.scalar(value, key) for key, value in given.items()}
    plain.setdefault("guidance", graph.behind(given.get("positive", given.get("conditioning")), "guidance"))
    both = _of_sdxl(graph, given)
    positive = both.pop("prompt") if "prompt" in both else _text(graph, given, "positive", "conditioning")
    negative = both.pop("negative") if "negative" in both else _text(graph, given, "negative")
    link = _latent(given)
    width, height = graph.size_of(Node("", "", given)) if link is None else graph.size(link)
    count, index, _ = _batch(graph, given)
    other = (
        {"width": width, "height": height, "clip_skip": _clip_skip(graph, given)} | _window(graph, given, plain) | both
    )
    other |= {"latent_batch": count, "latent_index": index}
    sampler = a1111_name(line(plain.get("sampler_name")), line(plain.get("scheduler")))
    fields = {key: text for key in _FIELDS if (text := written(plain.get(key)))}
    prompts = "\n".join(filter(None, (positive, negative, both.get("prompt_l"), both.get("negative_l"))))
    tokens = _tokens(prompts)
    missing = _illegible(graph, given)
    if other["clip_skip"] == 1:  # which is not what every family reads without being asked
        fields["stop_at_clip_layer"] = "-1"
    return PictureParameters(
        software="ComfyUI",
        prompt=_with_tokens(positive, tokens),
        negative_prompt=_with_tokens(negative, tokens),
        settings=settings({**plain, **other, "sampler": sampler}),
        assets=_assets(graph, samplers, given, prompts).assets(),
        fields=fields,
        understood=_understood(fields, from_nothing=_from_nothing(graph, given)),
        notes=tuple(dict.fromkeys(_notes(graph, samplers, given, edited=edited))),
        illegible=missing,
    )


def _understood(fields: dict[str, str], *, from_nothing: bool) -> frozenset[str]:
    """Fields that the sampler's name tells, or the steps that are taken of a picture that begins as noise."""
    tells = {
        "scheduler": fields.get("scheduler") in SCHEDULERS.values(),
        "denoise": from_nothing or fields.get("denoise") == "1",
    }
    known = ("sampler_name", "start_at_step", "end_at_step", "stop_at_clip_layer")
    return frozenset(key for key in fields if key in known or tells.get(key, False))


def _with_tokens(text: str | None, tokens: Mapping[str, str]) -> str | None:
    """A prompt where embeddings stand as ComfyUI names them, without suffixes and the folders of another machine."""
    return None if text is None else _EMBEDDING.sub(lambda match: f"embedding:{tokens.get(match[1], match[1])}", text)


def _tokens(prompts: str) -> dict[str, str]:
    """How each embedding is called that prompts name: by its file alone, or with its folders where two are alike."""
    names = {match[1]: model_name(match[1]) or match[1] for match in _EMBEDDING.finditer(prompts)}
    files = Counter(name.rpartition("/")[2].casefold() for name in dict.fromkeys(names.values()))
    return {
        said: name if files[name.rpartition("/")[2].casefold()] > 1 else name.rpartition("/")[2]
        for said, name in names.items()
    }


def _graph(texts: Mapping[str, str]) -> tuple[Graph, bool]:
    """The graph that was run, else the one that was edited, and which; empty where there is neither."""
    run, edited = _found(texts, "prompt"), _found(texts, "workflow")
    graph = Graph(run)
    return (graph, False) if graph.nodes else (Graph(to_api(edited)), True)


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


def _sides(given: dict[str, Any]) -> Iterator[tuple[str, object]]:
    """What leads to either prompt, as far as the sampler has it."""
    for name, keys in (("prompt", ("positive", "conditioning")), ("negative_prompt", ("negative",))):
        yield from ((name, given[key]) for key in keys if key in given)


def _illegible(graph: Graph, given: dict[str, Any]) -> frozenset[str]:
    """Prompts that are there and of which nothing could be read; an empty one is read."""
    return frozenset(name for name, link in _sides(given) if not graph.texts_are_read(link)[0])


def _clip_skip(graph: Graph, given: dict[str, Any]) -> int | None:
    """As A1111 counts: ComfyUI's -2 is 2. What the prompt's own encoder was told last counts."""
    encoders = graph.encoders(given.get("positive", given.get("conditioning")))
    chain = graph.clip_chain(encoders[0].inputs.get("clip")) if encoders else []
    for node in (*reversed(chain), *([] if chain else graph.nodes.values()), Node("", "", given)):
        for key in ("stop_at_clip_layer", "clip_skip"):
            layer = integer(graph.scalar(node.inputs.get(key)), -100, -1)
            if layer is not None:
                return -layer
    return None


def _assets(graph: Graph, samplers: list[Node], given: dict[str, Any], prompts: str) -> Collection:
    found = Collection()
    chain = graph.model_chain(given.get("model"))
    if not any(MODEL_NAMES & node.inputs.keys() for node in chain):  # the way to the loader leads through custom nodes
        chain += [node for node in graph.nodes.values() if MODEL_NAMES & node.inputs.keys()][: 1 if given else None]
    for node in (*chain, Node("", "", given)):
        for key in sorted(MODEL_NAMES & node.inputs.keys()):
            found.add("checkpoint", _named(graph, node.inputs[key], key))
    for name, model, clip in _strengths(graph, chain, given):
        if model or clip:
            found.add("lora", name, weight=model, text_weight=clip, turn=found.uses("lora", name))
    _add_refiners(found, graph, samplers[1:_MAX_SAMPLERS])
    for match in _EMBEDDING.finditer(prompts):
        found.add("embedding", match[1])
    strengths, decoding = _control_strengths(graph), _decoding(graph)
    for node in graph.nodes.values():
        _add_others(found, graph, node, strengths, decoding)
    return found


def _strengths(graph: Graph, chain: list[Node], given: dict[str, Any]) -> Iterator[tuple[object, object, object]]:
    """LoRAs, each with its strength for the model, and for the text encoders where that is another one.

    A loader that only the model passes through leaves text encoders alone, and the other way round.
    """
    if not given:
        for node in graph.nodes.values():
            yield from ((_named(graph, *each[:1], "lora_name"), each[1], None) for each in _read(graph, node))
        return
    encoders = graph.encoders(given.get("positive", given.get("conditioning")))
    read = _readers(graph, encoders)
    keys, texts = {node.key for node in chain}, {node.key for node in read}
    for node in (*chain, *(node for node in read if node.key not in keys)):
        for name, model, clip in _read(graph, node):
            strength = model if node.key in keys else 0.0
            said = model if clip is None else clip
            if read and (node.key not in texts or node.kind == "LoraLoaderModelOnly"):
                said = 0.0
            yield _named(graph, name, "lora_name"), strength, None if said == strength else said


def _readers(graph: Graph, encoders: list[Node]) -> list[Node]:
    """Nodes that the first encoder's text encoders pass through: itself too, where it loads LoRAs for itself."""
    if not encoders:
        return []
    itself = encoders[:1] if text_with_tags(encoders[0]) is not None else []
    return [*graph.clip_chain(encoders[0].inputs.get("clip")), *itself]


def _read(graph: Graph, node: Node) -> Iterator[tuple[object, float | None, float | None]]:
    for name, model, clip in islice(_loras(node), MAX_ASSETS):
        yield name, number(graph.scalar(model, "strength_model")), number(graph.scalar(clip, "strength_clip"))


#: Nodes whose part in a picture is known, as long as they are linked in the usual way.
_KNOWN = frozenset({
    "KSampler", "KSamplerAdvanced", "SamplerCustom", "SamplerCustomAdvanced", "KSamplerSelect", "BasicScheduler",
    "RandomNoise", "CFGGuider", "CheckpointLoaderSimple", "LoraLoader", "LoraLoaderModelOnly", "VAELoader", "VAEDecode",
    "SaveImage", "PreviewImage", "CLIPTextEncode", "CLIPTextEncodeSDXL", "CLIPSetLastLayer", "EmptyLatentImage",
    "LatentFromBatch", "RepeatLatentBatch", "Reroute", "Note", "MarkdownNote", "PrimitiveNode", "PrimitiveString",
    "PrimitiveStringMultiline", "PrimitiveInt", "PrimitiveFloat", "PrimitiveBoolean", "SaveImageWebsocket",
    "Power Lora Loader (rgthree)", "Lora Loader Stack (rgthree)", "LoRA Stacker", "CR LoRA Stack",
    "CR Apply LoRA Stack", "Seed (rgthree)", "Image Comparer (rgthree)", "ShowText|pysssh", "ControlNetLoader",
    "UpscaleModelLoader", "ImpactKSamplerBasicPipe", "Lora Loader (LoraManager)", "Input Parameters (Image Saver)",
    "Checkpoint Loader with Name (Image Saver)", "Sampler Selector (Image Saver)", "Scheduler Selector (Image Saver)",
    "Seed Generator (Image Saver)", "Int Literal", "easy seed", "easy int", "easy float", "CR Seed", *HANDING_ON,
})  # fmt: skip

#: Nodes that keep or show a picture, where nothing takes it from them.
_SHOWS = re.compile(r"save|preview|show|compar", re.IGNORECASE)


def _is_known(node: Node, read: Container[str]) -> bool:
    return node.kind in _KNOWN or (node.key not in read and _SHOWS.search(node.kind) is not None)


#: Nodes of these that a note names.
_NAMED = 8

#: Notes, or how they begin, on what an infotext beside the graph may tell better.
EDITED = "It has the graph as it was edited, not as it was run: seeds and texts may have been others."
STRANGE = "Nodes that are not known here may change the picture"
NO_PROMPT = "It does not say its prompt: none is taken."


def unread(name: str) -> tuple[str, str]:
    """What a note says of a prompt that could not be read, and of one that could be in part."""
    said = f"{name.replace('_', ' ')} could not be read: it is left out."
    return f"Its {said}", f"Part of its {said}"


#: Samplers whose last level but one ComfyUI's KSampler leaves out, and a custom sampler does not.
_DISCARDING = ("dpm_2", "dpm_2_ancestral", "uni_pc", "uni_pc_bh2")


def _notes(graph: Graph, samplers: list[Node], given: dict[str, Any], *, edited: bool) -> Iterator[str]:
    """What the picture depends on beside what is read, or may depend on."""
    if not given:
        return
    if edited:
        yield EDITED
    links = (link for node in graph.nodes.values() for link in node.inputs.values())
    read = {found.key for found in map(graph.linked, links) if found is not None}
    strange = list(dict.fromkeys(node.kind for node in graph.nodes.values() if not _is_known(node, read)))
    if strange:
        more = f" and {len(strange) - _NAMED} more" if len(strange) > _NAMED else ""
        yield f"{STRANGE}: {', '.join(strange[:_NAMED])}{more}."
    if graph.makes_several(samplers):
        yield "Several of its samplers start from an empty picture: the first is followed, be it its own or not."
    elif len(samplers) > 1:
        yield f"Its graph has {len(samplers)} samplers: only the one that starts from an empty picture is followed."
    yield from _of_latents(graph, given)
    yield from _of_sampling(graph, given)
    yield from _of_steps(graph, given)
    yield from _unread_values(graph, given)
    yield from _of_texts(graph, given)
    yield from _of_models(graph, given)
    yield from _of_decoding(graph, samplers[0])


def _of_latents(graph: Graph, given: dict[str, Any]) -> Iterator[str]:
    if not _from_nothing(graph, given):
        yield "It does not start from an empty picture alone: it is made from text alone here."
    count, index, unknown = _batch(graph, given)
    if unknown:
        yield "Pictures were taken out of a batch and drawn together, which is not done: the first one alone is made."
    elif count > 1 and index == 0:
        yield f"It is one of a batch of {count}, and does not say which: the first one is made."


def _of_sampling(graph: Graph, given: dict[str, Any]) -> Iterator[str]:
    name = str(graph.scalar(given.get("sampler_name"), "sampler_name"))
    if str(graph.scalar(given.get("add_noise", "enable"), "add_noise")).lower() in ("disable", "false"):
        yield "Its sampler added no noise: it went on with what another had made."
    if "sampler" in given and name in _DISCARDING:
        yield f"A custom sampler keeps a noise level that KSampler leaves out for {name}, as is done here."
    if name.endswith("_gpu"):
        yield f"{name} draws its noise on the card: here it is drawn on the processor."


def _of_texts(graph: Graph, given: dict[str, Any]) -> Iterator[str]:
    sides = dict(_sides(given))
    if "prompt" not in sides:
        yield NO_PROMPT
    for name, link in sides.items():
        any_, all_ = graph.texts_are_read(link)
        if not all_:
            yield unread(name)[any_]
        if any(isinstance(each, Altered) for each in graph.texts(link)):
            yield LOST
    encoders = [graph.encoders(given.get(side)) for side in ("positive", "negative")]
    if any(len(each) > 1 for each in encoders):
        yield "Several texts were combined: they are read as one."
    chains = [[node.key for node in _readers(graph, each)] for each in encoders if each]
    if len(chains) > 1 and chains[0] != chains[1]:
        yield "The two prompts were read by other text encoders: both are read as the first one was."
    texts = f"{_text(graph, given, 'positive', 'conditioning')}{_text(graph, given, 'negative')}"
    if "<lora:" in texts.lower():
        yield "ComfyUI reads tags of LoRAs as words: here they are LoRAs, and not read."


#: What output of a node goes into an input of this name; `""` is any.
_OUTPUTS: dict[str, dict[str, int]] = {
    "CheckpointLoaderSimple": {"model": 0, "clip": 1, "vae": 2, "": 0},
    "LoraLoader": {"model": 0, "clip": 1, "": 0},
    **{
        kind: {"": 0}
        for kind in (
            "LoraLoaderModelOnly", "CLIPTextEncode", "CLIPTextEncodeSDXL", "CLIPSetLastLayer", "EmptyLatentImage",
            "LatentFromBatch", "RepeatLatentBatch", "KSampler", "KSamplerAdvanced", "VAELoader", "VAEDecode",
        )
    },
}  # fmt: skip


def _of_models(graph: Graph, given: dict[str, Any]) -> Iterator[str]:
    """Links to models, and their names and strengths, that could not be read."""
    chain = graph.model_chain(given.get("model"))
    mine = {node.key for node in chain if MODEL_NAMES & node.inputs.keys()}
    is_strange = any(node.kind not in _KNOWN for node in graph.nodes.values())  # and told of
    if not mine and not is_strange:
        yield "What leads to its model could not be followed: the first that there is is taken."
    read: list[Node] = []
    for name, link in _sides(given):
        encoders = graph.encoders(link)[:1]
        read += [node for each in encoders for node in graph.clip_chain(each.inputs.get("clip"))]
        loaders = {node.key for node in read if "ckpt_name" in node.inputs}
        if (not (loaders and encoders) and not is_strange) or loaders - mine:
            yield f"The text encoder of its {name.replace('_', ' ')} is not the checkpoint's: that is used."
    for node in {node.key: node for node in (*chain, *read)}.values():
        for called, model, clip in islice(_loras(node), MAX_ASSETS):
            yield from _of_lora(graph, node, called, (model, clip))
        if not _switches_are_read(node.inputs):
            yield "Which of a loader's LoRAs were chosen could not be read."
    names = (node.inputs[key] for node in chain for key in MODEL_NAMES & node.inputs.keys())
    if not all(model_name(graph.scalar(each, "ckpt_name")) for each in names):
        yield "The name of its checkpoint could not be read."
    decoding = _decoding(graph)
    vaes = [node for node in graph.nodes.values() if decoding is None or node.key in decoding]
    names = (node.inputs["vae_name"] for node in vaes if "vae_name" in node.inputs)
    if not all(isinstance(graph.scalar(each, "vae_name"), str) for each in names):
        yield "The name of its VAE could not be read: the checkpoint's own is used."
    yield from _of_outputs(graph)


def _of_outputs(graph: Graph) -> Iterator[str]:
    """Links that known nodes could not have run with."""
    for node in graph.nodes.values():
        for key, value in node.inputs.items():
            source = graph.linked(value)
            outputs = None if source is None or node.kind not in _KNOWN else _OUTPUTS.get(source.kind)
            if outputs is not None and value[1] != outputs.get(key, outputs.get("")):
                yield "A link takes something else than its input is for: it is read as the usual one."


def _switches_are_read(inputs: dict[str, Any]) -> bool:
    """Whether what turns LoRAs of a loader on and off says which of both."""
    switches = [
        each.get("on", True) for key, each in inputs.items() if key.lower().startswith("lora_") and mapping(each)
    ]
    switches += [each for key, each in inputs.items() if key.startswith("switch_")]
    is_counted = "lora_count" not in inputs or integer(inputs["lora_count"]) is not None
    return is_counted and all(isinstance(each, bool) or each in ("On", "Off") for each in switches)


def _of_lora(graph: Graph, node: Node, name: object, strengths: tuple[object, object]) -> Iterator[str]:
    said = graph.scalar(name, "lora_name")
    if not isinstance(said, str):
        yield "The name of a LoRA could not be read: it is left out."
    elif said.strip().lower() in NO_FILE:
        return
    for part, value in zip(_PARTS, strengths, strict=True):
        is_needed = part == "model" or node.kind == "LoraLoader"  # others take one strength for both
        if (is_needed or value is not None) and number(graph.scalar(value, f"strength_{part}")) is None:
            called = model_name(said) or "without a name"
            yield f"The strength of the LoRA {called} could not be read: 1 is taken, or its other one."


def _of_decoding(graph: Graph, sampler: Node) -> Iterator[str]:
    """What makes pixels of the sampler's latents: one VAE, and nothing behind it."""
    decoders = [node for node in graph.readers(sampler) if node.kind == "VAEDecode"]  # others are not known, and told
    loaders = [_vae_loader(graph, node.inputs.get("vae")) for node in decoders]
    mine = [node.key for node in graph.model_chain(graph.settings(sampler).get("model")) if "ckpt_name" in node.inputs]
    if len({None if each is None else str(each.inputs.get("vae_name", each.key)) for each in loaders}) > 1:
        yield "Several VAEs decoded it, and it does not say which made this picture: the first that it names is used."
    elif any(each is None or (each.kind == "CheckpointLoaderSimple" and each.key not in mine) for each in loaders):
        yield "It was decoded by the VAE of another checkpoint: this one's own is used."


def _vae_loader(graph: Graph, link: object) -> Node | None:
    way = graph.walk(link, lambda each, _: [next(iter(each.inputs.values()), None)])
    return next((each for each in way if each.kind != "Reroute"), None)


def _from_nothing(graph: Graph, given: dict[str, Any]) -> bool:
    chain = graph.latents(_latent(given)) or [Node("", "", given)]
    return all(node.kind in _OF_LATENTS or graph.makes_empty(node) for node in chain)


def _latent(given: dict[str, Any]) -> object:
    return given.get("latent_image") or given.get("latent") or given.get("samples")


_OF_LATENTS = ("EmptyLatentImage", "LatentFromBatch", "RepeatLatentBatch", "Reroute", *_PRIMITIVES)


def _batch(graph: Graph, given: dict[str, Any]) -> tuple[int, int, bool]:
    """How many pictures were drawn at once, which of them this is, and whether that can be told so."""
    count, index, taken = 1, 0, False
    for node in graph.latents(_latent(given)) or [Node("", "", given)]:
        if graph.makes_empty(node):
            count = integer(graph.scalar(node.inputs.get("batch_size"), "batch_size"), 1, _MOST_OF_BATCH) or 1
        elif node.kind == "RepeatLatentBatch" and not taken:
            count *= integer(graph.scalar(node.inputs.get("amount"), "amount"), 1, _MOST_OF_BATCH) or 1
        elif node.kind == "LatentFromBatch":
            first = integer(graph.scalar(node.inputs.get("batch_index"), "batch_index"), 0, _MOST_OF_BATCH) or 0
            index = index + min(first, count - 1)
            length = integer(graph.scalar(node.inputs.get("length"), "length"), 1, _MOST_OF_BATCH) or 1
            count, taken = min(length, count - min(first, count - 1)), True
    unknown = taken and count > 1 and index > 0
    return (1 if unknown else min(count, _MOST_OF_BATCH)), min(index, _MOST_OF_BATCH - 1), unknown


_MOST_OF_BATCH = 4096


def _window(graph: Graph, given: dict[str, Any], plain: Mapping[str, Any]) -> dict[str, Any]:
    """Which steps were taken. A weaker `denoise` of nothing is the end of more steps."""
    steps, start, end = (integer(plain.get(name)) for name in ("steps", "start_at_step", "end_at_step"))
    share = number(plain.get("denoise"))
    found: dict[str, Any] = {"start_step": start or 0, "end_step": 0, "leftover_noise": False}
    if steps and end is not None and end < _taken(plain, steps):
        leftover = str(plain.get("return_with_leftover_noise", "disable")).lower() == "enable"
        found |= {"end_step": end, "leftover_noise": leftover}
    is_weaker = steps and share is not None and steps / _MOST_STEPS <= share < 1 and start is None
    if steps and share and is_weaker and _from_nothing(graph, given):
        more = int(steps / share)
        found |= {"steps": more, "start_step": max(_taken(plain, more) - steps, 0)}
    return found


def _taken(plain: Mapping[str, Any], steps: int) -> int:
    """How many steps the sampler's schedule has, of so many that are asked for."""
    schedule, sampler = line(plain.get("scheduler")) or "", a1111_name(line(plain.get("sampler_name"))) or ""
    return steps_taken(sampler, schedule, steps)


_MOST_STEPS = 10_000

_SWITCHES = {"enable": True, "disable": False, "true": True, "false": False, "on": True, "off": False}

#: A sampler's settings that are not asked for where they are missing, and what reads them.
_SILENT: dict[str, Callable[[object], object]] = {
    "scheduler": line, "denoise": number, "start_at_step": integer, "end_at_step": integer,
    "add_noise": lambda value: _SWITCHES.get(str(value).lower()),
    "return_with_leftover_noise": lambda value: _SWITCHES.get(str(value).lower()),
}  # fmt: skip


#: Likewise of nodes that latents and texts pass through, by the bounds of what can have been.
_SILENT_OF_NODES = {
    "batch_size": (1, 4096), "amount": (1, 4096), "batch_index": (0, 4095), "length": (1, 4096),
    "stop_at_clip_layer": (-24, -1),
}  # fmt: skip


def _unread_values(graph: Graph, given: dict[str, Any]) -> Iterator[str]:
    """Values that are there and are none: of the sampler, and of nodes that its latents and texts pass through."""
    encoders = [each for _, link in _sides(given) for each in graph.encoders(link)[:1]]  # of more, a note tells
    passed = graph.latents(_latent(given))
    passed += [node for each in encoders for node in graph.clip_chain(each.inputs.get("clip"))]
    looked = [(node.inputs, key) for node in passed for key in _SILENT_OF_NODES if key in node.inputs]
    looked += [(given, key) for key in _SILENT if key in given]
    for inputs, key in looked:
        said = graph.scalar(inputs[key], key)
        bounds = _SILENT_OF_NODES.get(key)
        read = _SILENT[key](said) if bounds is None else integer(said, *bounds)
        if read is None or (key == "denoise" and not 0 <= (number(said) or 0) <= 1):
            yield f"Its {key}, {shown(said)}, could not be read: what is usual is taken."


def _of_steps(graph: Graph, given: dict[str, Any]) -> Iterator[str]:
    """Whether it took any step, and not more than can be told."""
    keys = ("steps", "start_at_step", "end_at_step", "denoise", "sampler_name", "scheduler")
    plain = {key: graph.scalar(given.get(key), key) for key in keys}
    steps, start, end = (integer(plain[key]) for key in ("steps", "start_at_step", "end_at_step"))
    share = number(plain["denoise"])
    all_ = _taken(plain, steps) if steps else steps
    last = min(each for each in (all_, end, _MOST_STEPS) if each is not None)
    if (start or 0) >= last or (share == 0 and start is None):
        yield "Its sampler took no step: all steps are taken here."
    elif steps and share and 0 < share < min(steps / _MOST_STEPS, 1):
        yield f"Its denoise, {share:g}, is the end of too many steps: all steps are taken here."


def _of_sdxl(graph: Graph, given: dict[str, Any]) -> dict[str, Any]:
    """Texts and sizes of nodes that give SDXL's encoders one each; their prompts are what the second reads."""
    found: dict[str, Any] = {}
    sides = (("positive", "prompt", "prompt_l", "sizes"), ("negative", "negative", "negative_l", "negative_sizes"))
    for side, whole, first, sizes in sides:
        encoders = graph.encoders(given.get(side))
        if len(encoders) != 1 or encoders[0].kind != "CLIPTextEncodeSDXL":
            continue
        said = {key: graph.scalar(value, key) for key, value in encoders[0].inputs.items()}
        texts = [as_text(encoders[0], said.get(key)) for key in ("text_g", "text_l")]
        found[whole], own = prompt(texts[0]), prompt(texts[1])
        found[first] = "" if own == found[whole] or texts[1] is None else own or NOTHING
        numbers = [integer(said.get(key), 0, 99_999) for key in _SIZES_OF_SDXL]
        if None not in numbers:
            found[sizes] = "{}x{}+{}+{}-{}x{}".format(*numbers)
    return found


#: A text of no words, where an empty one stands for the prompt: brackets around nothing.
NOTHING = "()"

_SIZES_OF_SDXL = ("width", "height", "crop_w", "crop_h", "target_width", "target_height")


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
            for key in sorted(MODEL_NAMES & node.inputs.keys()):
                name = _named(graph, node.inputs[key], key)
                if model_name(name) not in first:
                    found.add("other", name)


def _loras(node: Node) -> Iterator[tuple[object, object, object]]:
    """Name and strengths of a loader's LoRAs: of the usual one, of stacks, rgthree's, a manager's, and tags in texts.

    A stack keeps the names beyond its count, which it does not use.
    """
    inputs = node.inputs
    yield from _listed(node)
    count = integer(inputs.get("lora_count"))
    is_advanced = inputs.get("input_mode") == "advanced"
    both = () if is_advanced else ("lora_wt_",)
    weights, clips = (*both, "model_str_", "model_weight_"), (*both, "clip_str_", "clip_weight_")
    for key, value in inputs.items():
        each = mapping(value)
        if each:
            if key.lower().startswith("lora_") and each.get("on", True) is True:
                yield each.get("lora"), each.get("strength"), each.get("strengthTwo")
        elif key.startswith("lora_") and key.removeprefix("lora_").isdecimal():
            yield value, inputs.get(f"strength_{key.removeprefix('lora_')}"), None
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


def _listed(node: Node) -> Iterator[tuple[object, object, object]]:
    """LoRAs of a list, as the LoRA Manager keeps one, or of tags in a text: their second weight is text encoders'."""
    loras = node.inputs.get("loras")
    listed = mapping(loras).get("__value__", loras)
    if isinstance(listed, list):
        chosen = (each for each in map(mapping, listed) if each.get("active", True) is True)
        yield from ((each.get("name"), each.get("strength"), each.get("clipStrength")) for each in chosen)
    else:
        for tag in find_tags(text_with_tags(node) or ""):
            yield tag.name, 1.0 if tag.weight is None else tag.weight, tag.unet


def _control_strengths(graph: Graph) -> dict[str, object]:
    """The strength of each ControlNet by its loader's key."""
    uses = ((graph.linked(node.inputs.get("control_net")), node) for node in graph.nodes.values())
    return {loader.key: node.inputs.get("strength") for loader, node in uses if loader is not None}


def _add_others(
    found: Collection, graph: Graph, node: Node, strengths: dict[str, object], decoding: set[str] | None
) -> None:
    inputs = node.inputs
    if "vae_name" in inputs and (decoding is None or node.key in decoding):
        found.add("vae", _named(graph, inputs["vae_name"], "vae_name"))
    if "control_net_name" in inputs:
        strength = graph.scalar(strengths.get(node.key), "strength")
        found.add("controlnet", _named(graph, inputs["control_net_name"], "control_net_name"), weight=strength)
    if node.kind == "UpscaleModelLoader":
        found.add("upscaler", _named(graph, inputs.get("model_name"), "model_name"))


def _decoding(graph: Graph) -> set[str] | None:
    """Nodes that a decoder's VAE passes through; a VAE elsewhere makes no pixels. `None` where no decoder shows."""
    links = [node.inputs.get("vae") for node in graph.nodes.values() if node.kind.startswith("VAEDecode")]
    # one walk from all of them, which goes over no node twice
    return {node.key for node in graph.walk_from(links, lambda each, _: list(each.inputs.values()))} if links else None


DIALECT = Dialect("ComfyUI", 40, read)
