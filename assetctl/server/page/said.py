"""A request in other words: as cURL, as Python and as a line of the command line, each ready to paste."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from assetctl.options import together
from assetctl.server.endpoints import NAME, NAMES, Endpoint
from assetctl.server.own import OWN
from assetctl.settings import program

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_OWN = {each.path: each for each in OWN.endpoints if each.method == "POST"}

#: What can be said in other words, and what each takes; an import is a file that is sent as it is.
FORMS: Mapping[str, Endpoint] = {
    "generate": _OWN["/v1/generate"],
    "check": _OWN["/v1/check"],
    "pull": _OWN["/v1/pull"],
    "import": Endpoint(
        "POST", "/page/said", lambda _: None, "", body={"filename": NAME, "tags": NAMES}, required=("filename",)
    ),
}

_PYTHON = """\
import json
import{os} urllib.request

wanted = {wanted}
request = urllib.request.Request(
    {url!r},
    json.dumps(wanted).encode(),
    {headers},
)
with urllib.request.urlopen(request) as answer:
    found = json.load(answer)["data"]
"""

#: What is done with what was answered.
_ENDS = {
    "generate": """\
for image in found["images"]:
    picture = urllib.request.Request(image["url"], headers={more})
    with urllib.request.urlopen(picture) as answer, open(f"{{image['number']}}.png", "wb") as file:
        file.write(answer.read())
    print(f"{{image['number']}}.png", image["sha256"])
""",
    "check": """\
for each in found["findings"]:
    print(f"{{each['severity']}}: {{each['message']}}")
print("It works together." if found["ok"] else "It does not work together.")
""",
    "pull": 'print(found["status"], *found["assets"])\n',
}

_SENDING = """\
import json
import os
import urllib.request

path = {path!r}
with open(path, "rb") as file:
    request = urllib.request.Request(
        {url!r},
        file,
        {headers},
    )
    with urllib.request.urlopen(request) as answer:
        print(json.load(answer)["data"]["name"])
"""

_AUTHORIZATION = '"Authorization": f"Bearer {os.environ[\'ASSETCTL_TOKEN\']}"'


@dataclass(frozen=True, slots=True)
class Said:
    """The same request in three languages; the command line may have no words for it."""

    curl: str
    python: str
    command: str | None


def said(of: str, body: Mapping[str, Any], base: str, home: Path, *, token: bool) -> Said:
    """What to paste to have the same done.

    Args:
        of: One of `FORMS`.
        body: As that takes it.
        base: Where the server is.
        home: That it serves.
        token: Whether whoever asks must show one; it is named by a variable, and not shown.
    """
    if of == "import":
        asked = urlencode(
            [("filename", body["filename"]), *(("tag", tag) for tag in body.get("tags", ()))], quote_via=quote
        )
        url = f"{base}/v1/assets?{asked}"
        return Said(_sent(body, url, token=token), _sending(body, url, token=token), command(of, body, home))
    url = f"{base}/v1/{of}{'' if of == 'check' else '?wait=true'}"
    return Said(_curl(body, url, token=token), _python(of, body, url, token=token), command(of, body, home))


def _curl(body: Mapping[str, Any], url: str, *, token: bool) -> str:
    words = ["curl", "--silent", "--show-error", url, "--header", "Content-Type: application/json"]
    return f"{shlex.join(words)}{_header(token=token)} --data-raw {shlex.quote(json.dumps(body, ensure_ascii=False))}"


def _sent(body: Mapping[str, Any], url: str, *, token: bool) -> str:
    """A file as it is; its name is no pattern."""
    words = ["curl", "--silent", "--show-error", "--globoff", "--request", "POST", "--upload-file", _path(body), url]
    return f"{shlex.join([*words, '--header', 'Content-Type: application/octet-stream'])}{_header(token=token)}"


def _header(*, token: bool) -> str:
    return ' --header "Authorization: Bearer $ASSETCTL_TOKEN"' if token else ""


def _path(body: Mapping[str, Any]) -> str:
    """A file in the folder where somebody pastes, whatever its name begins with."""
    return f"./{body['filename']}"


def _python(of: str, body: Mapping[str, Any], url: str, *, token: bool) -> str:
    headers = '{"Content-Type": "application/json"' + (f", {_AUTHORIZATION}" if token else "") + "}"
    wanted = "{\n" + "".join(f"    {name!r}: {value!r},\n" for name, value in body.items()) + "}"
    more = f"{{{_AUTHORIZATION}}}" if token else "{}"
    return (_PYTHON + _ENDS[of]).format(os=" os," if token else "", wanted=wanted, url=url, headers=headers, more=more)


def _sending(body: Mapping[str, Any], url: str, *, token: bool) -> str:
    headers = '{"Content-Type": "application/octet-stream", "Content-Length": str(os.path.getsize(path))'
    headers += (f", {_AUTHORIZATION}" if token else "") + "}"
    return _SENDING.format(path=_path(body), url=url, headers=headers)


def command(of: str, body: Mapping[str, Any], home: Path) -> str:
    """The line that asks for the same at a terminal: several, where seeds are named one by one."""
    if isinstance(seeds := body.get("seed"), list):
        one = {name: value for name, value in body.items() if name != "num_images"}
        return " && ".join(command(of, {**one, "seed": seed}, home) for seed in seeds)
    if body.get("prompt") == body.get("negative_prompt") == "-":  # standard input can be one of them
        if of == "generate":
            return _batched(body, home)
        body = {**body, "prompt": " -"}  # which a check reads alike
    words = {"pull": _pulled, "import": _imported, "check": _checked, "generate": _generated}[of](body)
    # a prompt of this alone is what comes by standard input
    said = "echo - | " if "-" in (body.get("prompt"), body.get("negative_prompt")) else ""
    return f"{said}{shlex.join(program(home))} {shlex.join([of, *words])}"


def _batched(body: Mapping[str, Any], home: Path) -> str:
    """The same as a job of a list, where nothing has a meaning of its own."""
    names = {"textual_inversions": "embeddings", "num_images": "count"}
    job = {
        names.get(name, name): list(value) if name == "textual_inversions" else value for name, value in body.items()
    }
    line = shlex.quote(json.dumps(job, ensure_ascii=False))
    return f"printf '%s' {line} | {shlex.join([*program(home), 'generate', '--batch', '-'])}"


def _pulled(body: Mapping[str, Any]) -> list[str]:
    words = [f"--name={body['name']}"] if "name" in body else []
    words += [f"--tag={tag}" for tag in body.get("tags", ())]
    words += [f"--{flag}" for flag in ("previews", "nsfw") if body.get(flag)]
    return [*words, "--", body["reference"]]


def _imported(body: Mapping[str, Any]) -> list[str]:
    return ["--copy", *(f"--tag={tag}" for tag in body.get("tags", ())), "--", _path(body)]


def _checked(body: Mapping[str, Any]) -> list[str]:
    return [*_selected(body), *_settings(body), *([f"--prompt={body['prompt']}"] if "prompt" in body else [])]


def _generated(body: Mapping[str, Any]) -> list[str]:
    count = ["--count", str(body["num_images"])] if body.get("num_images") else []
    return [*_selected(body), *count, *_settings(body), "--", body.get("prompt", "")]


def _selected(body: Mapping[str, Any]) -> list[str]:
    words: list[str] = []
    for role in ("checkpoint", "vae"):
        words += [f"--{role}", body[role]] if body.get(role) else []
    for name, weight in body.get("loras", {}).items():
        words += ["--lora", name if weight is None else f"{name}:{_number(weight)}"]
    for name in body.get("textual_inversions", ()):
        words += ["--embedding", name]
    if body.get("auto_embeddings") is False:
        words.append("--no-auto-embeddings")
    if body.get("negative_prompt"):
        words.append(f"--negative={body['negative_prompt']}")
    return words


def _settings(body: Mapping[str, Any]) -> list[str]:
    words = []
    for flag, options in together("flag").items():
        values = [body.get(each.name) for each in options]
        if None in values:
            continue
        if options[0].type is bool:
            words += [flag] if values[0] else []
        else:
            words.append(f"{flag}={'x'.join(_number(value) for value in values)}")
    return words


def _number(value: object) -> str:
    return repr(value).removesuffix(".0") if isinstance(value, float) else str(value)
