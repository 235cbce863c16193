"""Which files of a repository come: those of a diffusers folder, or one model. Pure: names in, names out."""

from __future__ import annotations

import json
import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from assetctl.errors import AmbiguousNameError, RefusedFileError, SourceNotFoundError
from assetctl.files.paths import clashing
from assetctl.files.safetensors import MODEL_SUFFIXES, PICKLE_SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

INDEX = "model_index.json"

#: Bytes that are read of an index: what is longer is cut short, and then is no JSON.
LARGEST_INDEX = 2**20

#: What a diffusers folder holds besides weights: configurations, vocabularies, sentencepiece models.
TEXT_SUFFIXES = (".json", ".txt", ".model")

#: Weights of other frameworks, of which nothing is known here.
REFUSED_SUFFIXES = (".msgpack", ".h5", ".onnx")

#: What is taken if it is there.
BEST_SUFFIXES = (".safetensors", ".sft")

#: How diffusers names weights: base, shard and variant, with the shard before or after the variant.
_WEIGHTS = re.compile(
    r"(?P<base>[^.]+?)(-\d{5}-of-\d{5})?(\.(?P<variant>[^.]+?))?(-\d{5}-of-\d{5})?\.safetensors", re.ASCII
)
_WEIGHTS_INDEX = re.compile(r"[^.]+\.safetensors\.index(\.(?P<variant>[^.]+))?\.json", re.ASCII)

#: One of several pieces that a model is split into.
_SHARD = re.compile(r"-\d{5}-of-(?!00001)\d{5}(?=\.)", re.ASCII)

#: What trainers keep to go on from: states of optimizers, schedules, scalers and random numbers, and arguments.
_OF_TRAINING = re.compile(
    r"(?:\w*optim(?:izer)?(?:_states)?|(?:lr_)?scheduler|(?:grad_)?scaler|training_(?:args|state)|rng_state|random_states?"
    r"|custom_checkpoint)(?:[-_]?\d+)*\.[a-z]+",
    re.ASCII | re.IGNORECASE,
)

#: A VAE that goes with the model beside it: `NAME.vae.pt` is A1111's way to say so.
_VAE = re.compile(r"(?:vae|ae|.+\.vae)\.[a-z]+", re.ASCII | re.IGNORECASE)

#: Where a name tells a precision, that of a GGUF file too; and, of files alike but for that, which comes.
_PRECISION = re.compile(
    r"(?:^|[._-])((?:fp|bf|mxfp|nvfp|nf|int|b?float)(?:4|8|16|32)(?:[._-](?:e4m3(?:fn)?|e5m2|scaled))*)(?=[._-]|$)",
    re.ASCII | re.IGNORECASE,
)
_QUANTISED = re.compile(r"[._-](?:ud[._-])?(?:i?q\d(?:_[0-9a-z]+)*|b?fp?(?:16|32))$", re.ASCII | re.IGNORECASE)
_PREFERRED = ("", "fp16", "bf16", "fp32")

#: More than any pipeline has: components, and files of them all.
_MOST_COMPONENTS, _MOST_FILES = 64, 2000

#: Names of files that one message tells.
_MOST_TOLD = 20

_ONE_FILE_HINT = "Name one file of it, if you trust it."
SAFETENSORS_HINT = "Look for a repository with safetensors files."


def choose_single_file(paths: Iterable[str], where: str, prefix: str, variant: str | None = None) -> str:
    """The one model file of a repository that is no diffusers folder.

    Of files alike but for their precision the plain one comes, as of a folder's weights, else fp16, bf16 or fp32.

    Args:
        paths: All files.
        where: The repository, for messages.
        prefix: What turns a path into a reference.
        variant: What the file's name is to tell, such as `fp16`.

    Raises:
        AmbiguousNameError: There are several.
        RefusedFileError: There are only other frameworks' weights, or pieces of a model, or none has the variant.
        SourceNotFoundError: There is none.
    """
    paths = sorted(paths)
    models = whole_models(paths)
    if not models:
        raise _without_model(paths, where)
    if variant is not None:
        named = re.compile(rf"[._-]{re.escape(variant)}(?=[._-])", re.IGNORECASE)
        models = [path for path in models if named.search(PurePosixPath(path).name)]
        if not models:
            raise RefusedFileError(f"{where} has no weights of the variant {variant}.", "Leave out `?variant=`.")
    found = _uppermost(models)
    chosen = _of_best_precision(found)
    if chosen is not None:
        return chosen
    raise AmbiguousNameError(
        f"{where} has {len(found)} model files: {listed(found)}.",
        f"Name one of them, for example: assetctl pull {prefix}{found[0]}",
        candidates=[prefix + path for path in dict.fromkeys((*found, *models))],
    )


def whole_models(paths: Iterable[str]) -> list[str]:
    """Files that can be a model by themselves: neither a piece of one, nor what was kept of its training."""
    names = ((path, PurePosixPath(path).name) for path in sorted(paths) if path.lower().endswith(MODEL_SUFFIXES))
    return [path for path, name in names if not (_SHARD.search(name) or _OF_TRAINING.fullmatch(name))]


def _uppermost(models: list[str]) -> list[str]:
    """Those that a repository can be about: at its top, where there are some, and in the safest of their forms."""
    models = [path for path in models if not _VAE.fullmatch(PurePosixPath(path).name)] or models
    safe = {path for path in models if path.lower().endswith(BEST_SUFFIXES)}
    known = {_precision(path)[0] for path in safe}
    models = [path for path in models if path in safe or _precision(path)[0] not in known]
    top = [path for path in models if "/" not in path]
    if not safe.isdisjoint(top):
        return [path for path in top if not path.lower().endswith(PICKLE_SUFFIXES)]
    return models if safe or not top else top


def _of_best_precision(models: Sequence[str]) -> str | None:
    """Of one file, or of some that are alike but for their precision, the one that comes; `None` where none does."""
    told = [_precision(path) for path in models]
    if len({name for name, _ in told}) > 1:
        return None
    for wanted in _PREFERRED:
        fitting = [path for path, (_, precision) in zip(models, told, strict=True) if precision == wanted]
        if fitting:
            return fitting[0] if len(fitting) == 1 else None
    return models[0] if len(models) == 1 else None


def _precision(path: str) -> tuple[str, str]:
    """What a model file is called but for its precision, and that; how a GGUF file is quantised, a person chooses."""
    folder, _, file = path.rpartition("/")
    name, _, suffix = file.lower().rpartition(".")
    if suffix == "gguf":
        return f"{folder}/{_QUANTISED.sub('', name)}", suffix
    found = _PRECISION.search(name)
    return (
        (f"{folder}/{name}", "")
        if found is None
        else (f"{folder}/{name[: found.start()]}{name[found.end() :]}", found[1])
    )


def _without_model(paths: Sequence[str], where: str) -> RefusedFileError | SourceNotFoundError:
    """Why there is no file to choose."""
    pieces = [path for path in paths if path.lower().endswith(MODEL_SUFFIXES) and _SHARD.search(path)]
    if pieces:
        hint = "Look for a repository that has it as one file, or as a diffusers folder."
        if str(PurePosixPath(pieces[0]).with_name("config.json")) in paths:
            hint += " Or download the shards and the config.json beside them; then `assetctl import` their folder."
        message = f"{where} has its model in shards ({pieces[0]}, …), none of which is a model by itself."
        return RefusedFileError(message, hint)
    if any(path.lower().endswith(REFUSED_SUFFIXES) for path in paths):
        return RefusedFileError(f"{where} has no safetensors file.", SAFETENSORS_HINT)
    return SourceNotFoundError(f"{where} has no model file.", "Check the repository's page for what it is.")


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
