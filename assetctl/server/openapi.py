"""What the APIs are, made of what their endpoints declare: an OpenAPI 3.1 document, and a page for people."""

from __future__ import annotations

import re
from functools import cache
from html import escape
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import orjson
from starlette.responses import Response
from starlette.routing import Route

import assetctl
from assetctl.wire.schema import DIALECT, api_schemas

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from starlette.requests import Request

    from assetctl.server.endpoints import Endpoint
    from assetctl.server.face import Face

_ABOUT = (
    "Everything that assetctl does, over HTTP, on this machine. Answers of `/v1` are the documents that `--json` "
    "prints; errors of every face have the same codes. A picture is made by a job, one after the other."
)

#: What follows a parameter's name in a path, which is starlette's.
_CONVERTER = re.compile(r":\w+(?=\})")


def description(faces: Sequence[Face]) -> dict[str, Any]:
    """The OpenAPI document of these APIs."""
    schemas, components = api_schemas({each.gives for face in faces for each in face.endpoints if each.gives})
    paths: dict[str, dict[str, Any]] = {}
    for face in faces:
        for endpoint in face.endpoints:
            path = _CONVERTER.sub("", endpoint.path)
            said = _operation(face, endpoint, schemas)
            paths.setdefault(path, {}).setdefault(endpoint.method.lower(), said)
    groups = dict.fromkeys(_group(face, each) for face in faces for each in face.endpoints)
    return {
        "openapi": "3.1.0",
        "info": {"title": "assetctl", "version": assetctl.__version__, "description": _ABOUT},
        "jsonSchemaDialect": DIALECT,
        "tags": [{"name": each} for each in groups],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"token": []}],
    }


def _group(face: Face, endpoint: Endpoint) -> str:
    return endpoint.group or face.title


def _operation(face: Face, endpoint: Endpoint, schemas: Mapping[str, Any]) -> dict[str, Any]:
    names = re.findall(r"\{(\w+)", endpoint.path)
    word = re.sub(r"\W+", "_", f"{endpoint.method.lower()} {_CONVERTER.sub('', endpoint.path)}").strip("_")
    parameters = [{"name": each, "in": "path", "required": True, "schema": {"type": "string"}} for each in names] + [
        _parameter(name, schema, required=name in endpoint.required) for name, schema in endpoint.query.items()
    ]
    said: dict[str, Any] = {"operationId": word, "summary": endpoint.summary, "tags": [_group(face, endpoint)]}
    said |= {"parameters": parameters} if parameters else {}
    said |= {"requestBody": _body(endpoint)} if endpoint.upload or endpoint.body else {}
    schema = schemas.get(endpoint.gives) or face.schema(endpoint)
    content = {endpoint.produces: {"schema": schema} if endpoint.produces == "application/json" else {}}
    statuses = [endpoint.status] if endpoint.also is None else [endpoint.status, endpoint.also]
    said["responses"] = {
        str(status): {"description": HTTPStatus(status).phrase, "content": content} for status in statuses
    }
    error = {"$ref": "#/components/schemas/ErrorDocument"} if face.has_our_errors else {}
    said["responses"]["default"] = {"description": "An error", "content": {"application/json": {"schema": error}}}
    return said


def _parameter(name: str, schema: Mapping[str, Any], *, required: bool) -> dict[str, Any]:
    bare = {key: value for key, value in schema.items() if key != "description"}
    said: dict[str, Any] = {"name": name, "in": "query", "schema": bare}
    said |= {"description": schema["description"]} if "description" in schema else {}
    return said | ({"required": True} if required else {})


def _body(endpoint: Endpoint) -> dict[str, Any]:
    if endpoint.upload:
        return {"required": True, "content": {"application/octet-stream": {"schema": {}}}}
    body = endpoint.body or {}
    required = [name for name in endpoint.required if name in body]
    schema = {"type": "object", "properties": dict(body), "additionalProperties": endpoint.open}
    schema |= {"required": required} if required else {}
    return {"required": bool(required), "content": {"application/json": {"schema": schema}}}


def description_routes(faces: Sequence[Face]) -> list[Route]:
    """`/openapi.json` and `/docs`, made when they are first asked for."""

    @cache
    def made() -> tuple[bytes, bytes]:
        said = description(faces)
        return orjson.dumps(said), _page(said).encode()

    def document(_request: Request) -> Response:
        return Response(made()[0], media_type="application/json")

    def page(_request: Request) -> Response:
        only = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'"
        return Response(made()[1], media_type="text/html", headers={"content-security-policy": only})

    return [Route("/openapi.json", document), Route("/docs", page)]


_STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881 }
* { box-sizing: border-box }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 0 auto; padding: 1rem; overflow-wrap: anywhere }
code, pre { font: 14px/1.45 ui-monospace, monospace } pre { overflow-x: auto; padding: .6rem; background: var(--soft) }
details { border: 1px solid var(--line); border-radius: 6px; margin: .4rem 0; padding: .3rem .7rem }
summary { cursor: pointer } summary b { display: inline-block; min-width: 4.5rem }
table { border-collapse: collapse; width: 100% } td, th { text-align: left; vertical-align: top; padding: .2rem .6rem;
border-bottom: 1px solid var(--line) } nav a { margin-right: 1rem; display: inline-block }
@media (max-width: 40rem) { tr { display: block; padding: .3rem 0; border-bottom: 1px solid var(--line) }
td, th { display: inline-block; padding: 0 .4rem 0 0; border: 0 } td:last-child { display: block }
tr:has(th) { display: none } }
"""


def _page(said: Mapping[str, Any]) -> str:
    """The document as a page for people."""
    groups: dict[str, list[str]] = {each["name"]: [] for each in said["tags"]}
    for path, operations in said["paths"].items():
        for method, operation in operations.items():
            groups[operation["tags"][0]].append(_shown(path, method.upper(), operation))
    there = {name: "".join(each) for name, each in groups.items() if each}
    links = "".join(f'<a href="#{_anchor(name)}">{escape(name)}</a>' for name in there)
    body = "".join(f'<h2 id="{_anchor(name)}">{escape(name)}</h2>{each}' for name, each in there.items())
    schemas = "".join(
        f'<details id="{_anchor(name)}"><summary><code>{escape(name)}</code> '
        f"{escape(str(each.get('description', '')))}</summary>{_json(each)}</details>"
        for name, each in sorted(said["components"]["schemas"].items())
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><title>assetctl: the API</title>'
        f"<style>{_STYLE}</style></head><body><main><h1>assetctl: the API</h1><p>{_prose(said['info']['description'])}"
        ' <a href="/openapi.json">openapi.json</a> is all of this for programs.</p>'
        f'<nav>{links}<a href="#documents">Documents</a></nav>{body}'
        f'<h2 id="documents">Documents</h2>{schemas}</main></body></html>'
    )


def _shown(path: str, method: str, operation: Mapping[str, Any]) -> str:
    rows = [
        (each["name"], each["in"], each["schema"], each.get("description", ""), each.get("required", False))
        for each in operation.get("parameters", ())
    ]
    content = operation.get("requestBody", {}).get("content", {})
    fields = content.get("application/json", {}).get("schema", {})
    rows += [
        (name, "body", schema, schema.get("description", ""), name in fields.get("required", ()))
        for name, schema in fields.get("properties", {}).items()
    ]
    listed = "".join(
        f"<tr><td><code>{escape(name)}</code>{' (needed)' if needed else ''}</td><td>{escape(place)}</td>"
        f"<td>{escape(_type(schema))}</td><td>{_prose(told)}</td></tr>"
        for name, place, schema, told, needed in rows
    )
    head = "<tr><th>name</th><th>in</th><th>type</th><th></th></tr>"
    table = f"<table>{head}{listed}</table>" if rows else ""
    body = "<p>The body is the file, as it is.</p>" if "application/octet-stream" in content else ""
    answers = "".join(
        f"<p>{escape(status)} {escape(answer['description'])}{_linked(answer)}</p>"
        for status, answer in operation["responses"].items()
    )
    summary = f"<b>{method}</b> <code>{escape(path)}</code> {escape(operation['summary'])}"
    return f'<details id="{operation["operationId"]}"><summary>{summary}</summary>{body}{table}{answers}</details>'


def _linked(answer: Mapping[str, Any]) -> str:
    """What an answer is made of, each leading to its schema."""
    kind, content = next(iter(answer["content"].items()))
    names = dict.fromkeys(re.findall(r"#/components/schemas/(\w+)", orjson.dumps(content).decode()))
    links = ", ".join(f'<a href="#{_anchor(name)}">{escape(name)}</a>' for name in names)
    return f": {links}" if links else f": {escape(kind)}"


def _type(schema: Mapping[str, Any]) -> str:
    kinds = schema.get("type", "anything")
    said = kinds if isinstance(kinds, str) else " or ".join(kinds)
    if "enum" in schema:
        said = ", ".join(str(each) for each in schema["enum"] if each is not None)
    low, high = schema.get("minimum"), schema.get("maximum")
    return said if low is None and high is None else f"{said}, {low} to {high}"


def _prose(text: str) -> str:
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))


def _json(value: object) -> str:
    return f"<pre>{escape(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())}</pre>"


def _anchor(name: str) -> str:
    return re.sub(r"\W+", "-", name)
