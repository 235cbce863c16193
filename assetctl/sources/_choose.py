"""Which files make up a diffusers folder. Pure: names in, names out."""

from __future__ import annotations

import json
import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from assetctl.errors import RefusedFileError
from assetctl.files.paths import clashing
from assetctl.files.safetensors import MODEL_SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Sequence

INDEX = "model_index.json"

#: Bytes that are read of an index: what is longer is cut short, and then is no JSON.
LARGEST_INDEX = 2**20

#: What a diffusers folder holds besides weights: configurations, vocabularies, sentencepiece models.
TEXT_SUFFIXES = (".json", ".txt", ".model")

#: Weights of other frameworks, of which nothing is known here.
REFUSED_SUFFIXES = (".msgpack", ".h5", ".onnx")

#: How diffusers names weights: base, shard and variant, with the shard before or after the variant.
_WEIGHTS = re.compile(
    r"(?P<base>[^.]+?)(-\d{5}-of-\d{5})?(\.(?P<variant>[^.]+?))?(-\d{5}-of-\d{5})?\.safetensors", re.ASCII
)
_WEIGHTS_INDEX = re.compile(r"[^.]+\.safetensors\.index(\.(?P<variant>[^.]+))?\.json", re.ASCII)

#: More than any pipeline has: components, and files of them all.
_MOST_COMPONENTS, _MOST_FILES = 64, 2000

#: Names of files that one message tells.
_MOST_TOLD = 20

_ONE_FILE_HINT = "Name one file of it, if you trust it."
SAFETENSORS_HINT = "Look for a repository with safetensors files."


def read_index(raw: bytes, where: str) -> object:
    """What a `model_index.json` holds.

    Raises:
        RefusedFileError: It is no JSON that anybody could mean.
    """
    try:
        index: object = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise RefusedFileError(f"{where} has a {INDEX} that is not JSON.", "Get a complete repository.") from error
    return index


def diffusers_files(paths: Sequence[str], index: object, where: str, variant: str | None = None) -> tuple[str, ...]:
    """The files of a diffusers folder that a pipeline loads, and no others.

    Args:
        paths: All files, relative, with `/`.
        index: The parsed `model_index.json`.
        where: The repository or folder, for messages.
        variant: Weights to prefer to the plain ones, such as `fp16`; components that lack it come plain, as diffusers
            has it.

    Raises:
        RefusedFileError: A component is missing, or has no safetensors weights, or none has the variant; or two of the
            files could not lie beside each other.
    """
    chosen = [INDEX]
    for component in _components(index, where):
        inside = [path for path in paths if path.count("/") == 1 and path.startswith(component + "/")]
        if not inside:
            raise RefusedFileError(
                f"{where} has no folder {component}, which its {INDEX} names.", "Get a complete repository."
            )
        chosen += _component_files(inside, f"{where}/{component}", variant)
    if variant is not None and not any(f".{variant}." in path for path in chosen):
        raise RefusedFileError(f"{where} has no weights of the variant {variant}.", "Leave out `?variant=`.")
    if len(chosen) > _MOST_FILES:
        raise RefusedFileError(f"{where} has {len(chosen)} files, more than any diffusers model.", _ONE_FILE_HINT)
    if not any(path.endswith(".safetensors") for path in chosen):
        raise RefusedFileError(f"{where} has no safetensors weights.", SAFETENSORS_HINT)
    see_beside(chosen, where)
    return tuple(sorted(chosen))


def variants_of(paths: Sequence[str]) -> list[str]:
    """The variants of weights that there are in the folders of a repository, such as `fp16`."""
    names = (PurePosixPath(path).name for path in paths if path.count("/") == 1)
    matches = (match for name in names if (match := _WEIGHTS.fullmatch(name)))
    return sorted({match["variant"] for match in matches if match["variant"]})[:_MOST_TOLD]


def see_beside(paths: Sequence[str], where: str) -> None:
    """See that files can lie beside each other on any disk.

    Raises:
        RefusedFileError: They cannot.
    """
    if twin := clashing(paths):
        message = f"{where} has {twin!r}, which on many disks is the file, or in the file, of another name of it."
        raise RefusedFileError(message, "Rename one of the two.")


def could_be_chosen(paths: Sequence[str], variant: str | None = None) -> bool:
    """Whether these could be the files that `diffusers_files` chooses of something; its index is not known."""
    folders = {key: ["?", "?"] for key in (path.partition("/")[0] for path in paths if path != INDEX)}
    try:
        return sorted(paths) == list(diffusers_files(paths, folders, "", variant))
    except RefusedFileError:
        return False


def see_chosen(raw: bytes, paths: Sequence[str], where: str, variant: str | None = None) -> None:
    """See that files are those of the components that their index names.

    Args:
        raw: What the index holds.
        paths: The files, itself among them.
        where: The repository or folder, for messages.
        variant: As for `diffusers_files`.

    Raises:
        RefusedFileError: They are not.
    """
    of_it = diffusers_files(paths, read_index(raw, where), where, variant)
    others = sorted(set(paths) - set(of_it))
    if others:
        raise RefusedFileError(
            f"{where} would have files that its {INDEX} does not ask for: {listed(others)}.",
            "If a lockfile names them, `assetctl lock --upgrade` makes it anew.",
        )


def listed(names: Sequence[str]) -> str:
    """Names for a message."""
    return ", ".join(names[:_MOST_TOLD]) + (", …" if len(names) > _MOST_TOLD else "")


def _components(index: object, where: str) -> list[str]:
    """Names in `model_index.json` that stand for a folder: those with a library and a class."""
    if not isinstance(index, dict):
        raise RefusedFileError(f"{where} has a {INDEX} that is not a JSON object.", "Get a complete repository.")
    names = [
        name
        for name, value in index.items()
        if isinstance(value, list) and len(value) == 2 and all(value) and not name.startswith("_")
    ]
    if len(names) > _MOST_COMPONENTS:
        raise RefusedFileError(f"{where} has {len(names)} components, more than any diffusers model.", _ONE_FILE_HINT)
    return names


def _component_files(paths: list[str], where: str, preferred: str | None) -> list[str]:
    """Texts and weights of one component: the preferred, else the plain weights, else those of a variant to be had."""
    variants = [match["variant"] for path in paths if (match := _WEIGHTS.fullmatch(PurePosixPath(path).name))]
    if not variants and any(path.endswith((*MODEL_SUFFIXES, *REFUSED_SUFFIXES)) for path in paths):
        raise RefusedFileError(f"{where} has no safetensors weights.", SAFETENSORS_HINT)
    variant = next((wanted for wanted in (preferred, None, "fp16", "bf16") if wanted in variants), "")
    if variants and variant == "":
        raise RefusedFileError(
            f"{where} has weights only as {listed(sorted({v for v in variants if v}))}.",
            "Get a repository with plain or fp16 weights.",
        )
    return [path for path in paths if _belongs(PurePosixPath(path).name, variant)]


def _belongs(name: str, variant: str | None) -> bool:
    match = _WEIGHTS.fullmatch(name) or _WEIGHTS_INDEX.fullmatch(name)
    if match:
        return match["variant"] == variant
    return name.endswith(TEXT_SUFFIXES) and ".index." not in name
