"""A request in other words: as cURL, as Python and as a line of the command line, each ready to paste."""

from __future__ import annotations

import json
import pprint
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from assetctl.options import together
from assetctl.settings import default_home

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

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
    job = json.load(answer)["data"]
"""

#: What is done with pictures.
_SAVING = """\
for image in job["images"]:
    picture = urllib.request.Request(image["url"], headers={more})
    with urllib.request.urlopen(picture) as answer, open(f"{{image['number']}}.png", "wb") as file:
        file.write(answer.read())
    print(f"{{image['number']}}.png", image["sha256"])
"""


@dataclass(frozen=True, slots=True)
class Said:
    """The same request in three languages."""

    curl: str
    python: str
    command: str


def said(of: str, body: Mapping[str, Any], base: str, home: Path, *, token: bool) -> Said:
    """What to paste to have the same done.

    Args:
        of: `generate` or `pull`.
        body: As `/v1/generate` or `/v1/pull` takes it.
        base: Where the server is.
        home: That it serves.
        token: Whether whoever asks must show one; it is named by a variable, and not shown.
    """
    url = f"{base}/v1/{of}?wait=true"
    python = _python(body, url, token=token, saving=of == "generate")
    return Said(_curl(body, url, token=token), python, command(of, body, home))


def _curl(body: Mapping[str, Any], url: str, *, token: bool) -> str:
    words = ["curl", "--silent", "--show-error", url, "--header", "Content-Type: application/json"]
    shown = ' --header "Authorization: Bearer $ASSETCTL_TOKEN"' if token else ""
    return f"{shlex.join(words)}{shown} --data-raw {shlex.quote(json.dumps(body, ensure_ascii=False))}"


def _python(body: Mapping[str, Any], url: str, *, token: bool, saving: bool) -> str:
    more = '{"Authorization": f"Bearer {os.environ[\'ASSETCTL_TOKEN\']}"}' if token else "{}"
    headers = '{"Content-Type": "application/json"' + (f", **{more}" if token else "") + "}"
    wanted = pprint.pformat(dict(body), sort_dicts=False, width=100)
    text = _PYTHON + (_SAVING if saving else 'print(job["status"])\n')
    return text.format(os=" os," if token else "", wanted=wanted, url=url, headers=headers, more=more)


def command(of: str, body: Mapping[str, Any], home: Path) -> str:
    """The line that asks for the same at a terminal."""
    words = ["assetctl", *([] if home == default_home() else ["--home", str(home)]), of]
    return shlex.join([*words, *(_pulled(body) if of == "pull" else _generated(body))])


def _pulled(body: Mapping[str, Any]) -> list[str]:
    return ["--", body.get("reference", "")]


def _generated(body: Mapping[str, Any]) -> list[str]:
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
    if body.get("num_images"):
        words += ["--count", str(body["num_images"])]
    return [*words, *_settings(body), "--", body.get("prompt", "")]


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
