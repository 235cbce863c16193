"""Civitai's generator: an infotext with resources in JSON, or a ComfyUI graph with the request beside it.

Format, as its own reader takes it: `src/utils/metadata` of https://github.com/civitai/civitai. A resource is
named by its AIR (https://github.com/civitai/civitai/wiki/AIR-%E2%80%90-Uniform-Resource-Names-for-AI) or by the
number of its version alone.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from assetctl.pictures.dialects import a1111, comfyui
from assetctl.pictures.parameters import (
    Collection,
    Dialect,
    PictureParameters,
    civitai_sources,
    mapping,
    parse_json,
    prompt,
    role_of,
    sequence,
    settings,
    with_understood,
    written,
)
from assetctl.samplers import a1111_name
from assetctl.text import line

if TYPE_CHECKING:
    from collections.abc import Mapping

_RESOURCES, _METADATA, _REQUEST = "Civitai resources", "Civitai metadata", "extraMetadata"

#: A request's fields by the attribute that expresses them.
_ATTRIBUTES = {
    "prompt": "prompt", "negativePrompt": "negative_prompt", "steps": "steps", "sampler": "sampler",
    "cfgScale": "cfg_scale", "seed": "seed", "width": "width", "height": "height", "clipSkip": "clip_skip",
    _REQUEST: "software",
}  # fmt: skip


def read(texts: Mapping[str, str]) -> PictureParameters | None:
    """An infotext with Civitai's fields, or a graph with its request."""
    if not any(each in texts.get(place, "") for place in a1111.PLACES for each in (_RESOURCES, _METADATA)):
        return _from_request(texts)
    found = a1111.read(texts)
    if found is None:
        return None
    resources = sequence(found.extra.get(_RESOURCES))
    metadata = mapping(found.extra.get(_METADATA))
    if not resources and not metadata:
        return None
    assets = _with_resources(found, resources or sequence(metadata.get("resources")))
    found = replace(found, software="Civitai", assets=assets)
    return with_understood(found, {_RESOURCES: "software", _METADATA: "software", "Created Date": "software"})


def _from_request(texts: Mapping[str, str]) -> PictureParameters | None:
    around = mapping(parse_json(texts.get("UserComment"))) or mapping(parse_json(texts.get("prompt")))
    said = texts.get(_REQUEST) or around.get(_REQUEST)
    request = mapping(parse_json(said) if isinstance(said, str) else said)
    if not request:
        return None
    graph = comfyui.read(texts) or PictureParameters()
    found = replace(
        graph,
        software="Civitai",
        prompt=prompt(request.get("prompt")) or graph.prompt,
        negative_prompt=prompt(request.get("negativePrompt")) or graph.negative_prompt,
        settings=settings(request | {"sampler": _sampler(request, graph)}, graph.settings),
        assets=_with_resources(graph, sequence(request.get("resources"))),
        fields=graph.fields | {key: text for key, value in request.items() if (text := written(value))},
        extra={**graph.extra, _REQUEST: request},
    )
    return with_understood(found, _ATTRIBUTES)


def _sampler(request: dict[str, Any], graph: PictureParameters) -> object:
    """The sampler of the graph, which is what ran, or that of the request."""
    return graph.settings.get("sampler") or a1111_name(line(request.get("sampler")))


def _first(value: Any, other: Any) -> Any:  # noqa: ANN401 - two numbers of one type
    return other if value is None else value


def _with_resources(found: PictureParameters, resources: list[Any]) -> tuple[Any, ...]:
    """The picture's assets with the resources: a checkpoint that both name is one asset."""
    assets = Collection()
    assets.extend(found.assets)
    for each in map(mapping, resources):
        sources = civitai_sources(each)
        air = line(each.get("air")) or ""
        role = role_of(each.get("type") or (air.split(":")[3:4] or [""])[0])
        if role == "checkpoint" and sources and assets.attach(role, sources):
            continue
        weight = _first(each.get("weight"), each.get("strength"))
        assets.add(role, each.get("modelName"), weight=weight, sources=sources)
    return assets.assets()


DIALECT = Dialect("Civitai", 10, read)
