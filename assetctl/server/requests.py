"""What a job is to make, as the API has it: its fields, and the request that they are."""

from __future__ import annotations

import secrets
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assetctl.errors import UsageError
from assetctl.options import LARGEST_SEED, MAX_SEED, OPTIONS, RANDOM, parse_sides, together
from assetctl.request import MAX_COUNT, Request, Use
from assetctl.server.endpoints import FLAG, LONGEST, NAME, NUMBER, PROMPT, TEXT, WHOLE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from assetctl.registry import Registry
    from assetctl.server.endpoints import Schema

_KINDS: dict[str, dict[str, Any]] = {"int": WHOLE, "float": NUMBER, "str": TEXT, "bool": FLAG}

#: Those options that are prompts, and may be as long.
PROMPTS = ("prompt_l", "negative_l")

#: Options of a picture that have a name of their own here; the others are called as in `assetctl.options`.
SETTINGS: Mapping[str, Schema] = {
    each.name: (PROMPT if each.name in PROMPTS else _KINDS[each.type.__name__])
    | ({} if each.bounds is None else {"minimum": each.bounds[0], "maximum": each.bounds[1]})
    | ({} if each.multiple == 1 else {"multipleOf": each.multiple})
    | {"description": each.help}
    for each in OPTIONS
    if each.name != "seed"
}

#: Those that are written with a point on the command line; JSON has 7 for 7.0, and pictures say what was written.
_FLOATS = frozenset(each.name for each in OPTIONS if each.type is float)

_BY_NAME: Schema = {
    "type": "object", "additionalProperties": {"type": ["number", "null"]}, "maxProperties": 100,
    "propertyNames": {"maxLength": LONGEST},
}  # fmt: skip

#: The assets and prompts of a picture.
SELECTION: Mapping[str, Schema] = {
    "prompt": PROMPT | {"description": "What the picture shows."},
    "negative_prompt": PROMPT | {"description": "What it must not show."},
    "checkpoint": NAME | {"description": "The model, by its name or hash."},
    "loras": _BY_NAME | {"description": "LoRAs by name, each with its weight; null for its own."},
    "textual_inversions": {
        "type": "object", "additionalProperties": {"type": ["string", "null"]}, "maxProperties": 100,
        "propertyNames": {"maxLength": LONGEST},
        "description": "Embeddings by name, each with its token in the prompts, or null.",
    },
    "vae": NAME | {"description": "A VAE in place of the checkpoint's own."},
    "auto_embeddings": FLAG | {"description": "Whether embeddings are found by their words in the prompts."},
}  # fmt: skip

#: What `/v1/generate` takes besides.
PICTURES: Mapping[str, Schema] = {
    **SETTINGS,
    "seed": {
        "type": ["integer", "array"], "minimum": RANDOM, "maximum": LARGEST_SEED,
        "items": WHOLE | {"minimum": 0, "maximum": LARGEST_SEED}, "minItems": 1, "maxItems": MAX_COUNT,
        "description": "One for the first picture, or one for each; by default by chance.",
    },
    "num_images": WHOLE | {"minimum": 1, "maximum": MAX_COUNT, "description": "How many pictures: by default 1."},
}  # fmt: skip


def job_of(body: Mapping[str, Any]) -> dict[str, Any]:
    """What a job is to make, as a line of a batch has it, with the seeds of its pictures.

    Raises:
        UsageError: A seed makes no sense, or there are more or fewer than pictures.
    """
    job = {
        name: float(value) if name in _FLOATS and type(value) is int and abs(value) < 2**53 else value
        for name, value in body.items()
        if name not in ("textual_inversions", "num_images", "seed")
    }
    if "textual_inversions" in body:
        job["embeddings"] = list(body["textual_inversions"])
    return {**job, "seeds": _seeds(body.get("seed"), body.get("num_images"))}


def see_tokens(body: Mapping[str, Any], registry: Registry) -> None:
    """See that the token that is said of an embedding is its own: by another, nothing in the prompt would be it.

    Raises:
        UsageError: It is not.
        NotFoundError, AmbiguousNameError: The embedding's name.
    """
    for name, token in body.get("textual_inversions", {}).items():
        if token is None:
            continue
        asset = registry.get(name)
        own = {word.casefold() for word in (*asset.trigger_words, asset.name, Path(asset.path).stem)}
        if token.casefold() not in own:
            message = f"textual_inversions: {asset.name} goes by {asset.token!r:.100}, and not by {token!r:.100}."
            raise UsageError(message, "Write its own token in the prompt, or null.")


def _seeds(asked: int | list[int] | None, count: int | None) -> list[int]:
    if isinstance(asked, list):
        if not asked:
            raise UsageError("seed is an empty list.", "Leave it out for one by chance.")
        if count not in (None, len(asked)):
            raise UsageError(f"There are {len(asked)} seeds for {count} pictures.", "Leave num_images out.")
        if len(set(asked)) < len(asked):
            raise UsageError("A seed is named twice, which makes the same picture twice.", "Name each once.")
        return list(asked)
    number = 1 if count is None else count
    Request(count=number, settings={} if asked is None else {"seed": asked})  # both make sense
    first = secrets.randbelow(MAX_SEED - MAX_COUNT) if asked in (None, RANDOM) else asked
    most = MAX_SEED if first <= MAX_SEED else LARGEST_SEED
    return [(first + each) % (most + 1) for each in range(number)]


def fields_of(typed: str) -> dict[str, Any] | None:
    """The fields of a body that flags with their values are; `None` where they are of no picture."""
    fields: dict[str, Any] = {}
    try:
        words = iter(shlex.split(typed))
        for word in words:
            flag, said, value = word.partition("=")
            options = together("flag").get(flag)
            if flag == "--no-auto-embeddings" or (options and options[0].type is bool):
                fields |= {"auto_embeddings": False} if options is None else {options[0].name: True}
                continue
            value = value if said else next(words)
            if flag == "--lora":
                use = Use.parse("lora", value)
                fields.setdefault("loras", {})[use.reference] = use.weight
            elif flag == "--embedding":
                fields.setdefault("textual_inversions", {})[value] = None
            elif options is not None:
                fields |= parse_sides(options, value) if len(options) > 1 else {options[0].name: options[0].type(value)}
            else:
                fields[_TEXTS[flag]] = value
    except (KeyError, StopIteration, ValueError, UsageError):
        return None
    return fields


_TEXTS = {"--checkpoint": "checkpoint", "--vae": "vae", "--negative": "negative_prompt", "--prompt": "prompt"}


def request_of(body: Mapping[str, Any]) -> Request:
    """The request that a body of selection and settings is, for a check.

    Raises:
        UsageError: It makes no sense.
    """
    uses = [Use(role, body[role]) for role in ("checkpoint", "vae") if body.get(role) is not None]
    uses += [Use("lora", name, weight) for name, weight in body.get("loras", {}).items()]
    names = body.get("embeddings", body.get("textual_inversions", ()))
    uses += [Use("embedding", name) for name in names]
    settings = {name: body[name] for name in SETTINGS if body.get(name) is not None}
    return Request(
        tuple(uses),
        body.get("prompt"),
        body.get("negative_prompt"),
        settings,
        auto_embeddings=body.get("auto_embeddings"),
    )
