"""Model folders: what of one is handed to diffusers, and what never is.

diffusers believes a folder: its index names the classes to import, and releases before 0.42 import code that lies in
it. So no folder is handed over as it is. What may be used of it is written anew elsewhere: an index of ours,
configurations whose every value was looked at, a tokenizer's words. Weights are linked, and safetensors files alone.
"""

from __future__ import annotations

import os
import re
import shutil
from contextlib import suppress
from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import orjson

from assetctl.errors import UnusableError
from assetctl.files.paths import read_bytes, read_object, write_json
from assetctl.files.safetensors import read_header
from assetctl.generation.bounds import Config, refuse_code, see_scheduler, shown_value, within_bounds
from assetctl.generation.families import build_of
from assetctl.generation.weights import DEFAULTS, see_weights, see_widths

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    #: Sees that a part of a single file is as a configuration, and the file that it was read from, have it.
    SeePart = Callable[[str, Config, Path], str | None]


#: What each component may be. Nothing else is ever imported on a configuration's word.
COMPONENTS = {
    "unet": ("diffusers", ("UNet2DConditionModel",)),
    "vae": ("diffusers", ("AutoencoderKL",)),
    "text_encoder": ("transformers", ("CLIPTextModel",)),
    "text_encoder_2": ("transformers", ("CLIPTextModelWithProjection",)),
    "tokenizer": ("transformers", ("CLIPTokenizer", "CLIPTokenizerFast")),
    "tokenizer_2": ("transformers", ("CLIPTokenizer", "CLIPTokenizerFast")),
}

#: Schedulers of diffusers that a folder may name.
_KNOWN_SCHEDULERS = frozenset({
    "PNDMScheduler", "DDIMScheduler", "EulerDiscreteScheduler",
    "DDPMScheduler", "DEISMultistepScheduler", "DPMSolverMultistepScheduler",
    "DPMSolverSDEScheduler", "DPMSolverSinglestepScheduler", "EulerAncestralDiscreteScheduler", "HeunDiscreteScheduler",
    "KDPM2AncestralDiscreteScheduler", "KDPM2DiscreteScheduler", "LCMScheduler", "LMSDiscreteScheduler",
    "SASolverScheduler", "TCDScheduler", "UniPCMultistepScheduler",
})  # fmt: skip

#: Where the parts come from that a folder may name and a picture from text does without. They are left out.
_LIBRARIES = frozenset({"diffusers", "transformers", "stable_diffusion", "stable_diffusion_xl"})


def check_folder(folder: Path, family: str) -> Config:
    """Refuse a diffusers folder whose index names other classes than those of its family, or code.

    Returns:
        The index.

    Raises:
        UnusableError: It does, or the index cannot be read.
    """
    path = folder / "model_index.json"
    index = read_object(path, folder)
    refuse_code(index, path)
    for part in (*build_of(family).parts, "scheduler"):
        if not _is_known(part, index.get(part)):
            raise UnusableError(
                f"{folder} cannot be used: its model_index.json makes {part} {str(index.get(part))[:80]!r}.",
                f"A folder of the family {family} has the parts of a {build_of(family).pipeline}.",
            )
    for key, entry in index.items():
        if not _is_harmless(key, entry):
            raise UnusableError(
                f"{folder} cannot be used: its model_index.json names code of its own as {key[:80]}: "
                f"{str(entry)[:80]!r}.",
                "Look for the same model without code in it: assetctl runs none that comes with a model.",
            )
    return index


def _is_known(part: str, entry: object) -> bool:
    match entry:
        case [str(library), str(name)] if part == "scheduler":
            return library == "diffusers" and name in _KNOWN_SCHEDULERS
        case [str(library), str(name)]:
            wanted, names = COMPONENTS[part]
            return library == wanted and name in names
    return False


def _is_harmless(key: str, entry: object) -> bool:
    """Whether an entry of an index is a setting, or a part of a library that is known."""
    if key == "_class_name":
        return isinstance(entry, str) and re.fullmatch(r"\w{1,100}", entry) is not None
    match entry:
        case [None, None]:
            return True
        case [str(library), str(name)]:
            return library in _LIBRARIES and re.fullmatch(r"\w{1,100}", name) is not None
        case list() | dict():
            return False
    return True


def is_complete(companion: Path) -> bool:
    """Whether a folder beside a checkpoint holds the whole configuration of a pipeline, not a tokenizer alone."""
    return (companion / "unet" / "config.json").is_file()


def check_model(folder: Path, family: str, *, own_vae: bool = True, see_part: SeePart | None = None) -> tuple[str, ...]:
    """Look at all that `hand_over` would look at, and write nothing.

    Returns:
        Doubts: what of its configurations is not understood.

    Raises:
        UnusableError: As `hand_over` does.
        FileError: Weights are refused or corrupt.
    """
    return _checked(folder, family, own_vae=own_vae, see_part=see_part)[1]


def hand_over(folder: Path, family: str, into: Path, *, own_vae: bool = True, see_part: SeePart | None = None) -> Path:
    """Write what may be used of a model folder to where diffusers can have it.

    Args:
        folder: A diffusers pipeline, or the configuration of one that stands beside a checkpoint.
        family: `sd1`, `sd2` or `sdxl`.
        into: An empty folder, which nobody else writes to.
        own_vae: Whether its VAE is wanted.
        see_part: Of a configuration beside a checkpoint, whose weights are elsewhere: looks at these.

    Returns:
        `into`.

    Raises:
        UnusableError: It asks for code, a value is out of bounds, or it does not fit its weights.
        FileError: Weights are refused or corrupt.
    """
    parts, _ = _checked(folder, family, own_vae=own_vae, see_part=see_part)
    given = check_folder(folder, family)
    index = model_index(family) | {"scheduler": given["scheduler"]}
    zeros = given.get("force_zeros_for_empty_prompt", True)
    if "force_zeros_for_empty_prompt" in index:
        index["force_zeros_for_empty_prompt"] = bool(zeros)
    write_json(into / "model_index.json", index)
    for part in _used(family, own_vae=own_vae):
        if part.startswith("tokenizer"):
            copy_tokenizer(folder / part, folder, into / part)
            continue
        _write_part(into / part, parts[part], part)
        if see_part is None and part != "scheduler":
            link_weights(folder / part, COMPONENTS[part][0], into / part)
    return into


def _checked(
    folder: Path, family: str, *, own_vae: bool, see_part: SeePart | None
) -> tuple[dict[str, Config], tuple[str, ...]]:
    """The configurations of the parts that are used, and what of them is in doubt."""
    index = check_folder(folder, family)
    used = _used(family, own_vae=own_vae)
    parts = {part: _read_part(folder, part) for part in used if not part.startswith("tokenizer")}
    see_scheduler(parts["scheduler"], index["scheduler"][1], _config_path(folder, "scheduler"))
    see = see_part or (lambda part, config, path: _see_own(folder / part, part, config, path))
    doubts = [see(part, config, _config_path(folder, part)) for part, config in parts.items() if part != "scheduler"]
    see_together(parts, family, folder)
    for part in (name for name in used if name.startswith("tokenizer")):
        words, _, settings = read_tokenizer(folder / part, folder)
        encoder = parts[part.replace("tokenizer", "text_encoder")]
        _see_words(words, settings, encoder, folder / part)
    return parts, tuple(doubt for doubt in doubts if doubt is not None)


def see_together(parts: Mapping[str, Config], family: str, model: Path) -> None:
    """See that what one part of a model gives is as wide as what another takes: drawing would fail.

    Args:
        parts: Configurations by their names: the UNet's, its text encoders', and the VAE's where that is used.
        family: Its.
        model: What they are of, to be named.

    Raises:
        UnusableError: It is not; or the UNet paints over a given picture.
    """
    full = {part: DEFAULTS.get(part, {}) | config for part, config in parts.items()}
    unet, sized = full["unet"], build_of(family).told.sizes
    given = sum(config["hidden_size"] for part, config in full.items() if part.startswith("text_encoder"))
    taken = unet.get("encoder_hid_dim") or unet["cross_attention_dim"]
    if any(width != given for width in (taken if isinstance(taken, list) else [taken])):
        what = f"its text encoders give {given} numbers for a word, and its UNet takes {shown_value(taken)}"
        raise UnusableError(f"{model} cannot be used: {what}.", _ANOTHER)
    if unet["in_channels"] != unet["out_channels"]:
        raise UnusableError(
            f"{model} paints over a given picture and cannot make one from text alone.",
            "Choose a checkpoint without a variant: `assetctl list --kind checkpoint`.",
        )
    latents = full["vae"]["latent_channels"] if "vae" in full else unet["in_channels"]
    if latents != unet["in_channels"]:
        what = f"its UNet paints {unet['in_channels']} channels, and its VAE reads {latents}"
        raise UnusableError(f"{model} cannot be used: {what}.", _ANOTHER)
    if (unet.get("addition_embed_type") == "text_time") != sized:
        what = (
            f"its UNet is {'not ' if sized else ''}told of sizes, which those of {family} are{'' if sized else ' not'}"
        )
        raise UnusableError(f"{model} cannot be used: {what}.", _ANOTHER)
    if sized:
        pooled, each = full["text_encoder_2"]["projection_dim"], unet.get("addition_time_embed_dim") or 0
        taken = unet.get("projection_class_embeddings_input_dim")
        if taken != pooled + 6 * each:
            what = f"its UNet is told of sizes by {taken} numbers, and {pooled} + 6 x {each} are given"
            raise UnusableError(f"{model} cannot be used: {what}.", _ANOTHER)


_ANOTHER = "Fetch it again, or choose another checkpoint."


def _see_own(folder: Path, part: str, config: Config, path: Path) -> str | None:
    """Compare a configuration with the tensors in its folder that it is to describe."""
    tensors = tensors_of(folder, COMPONENTS[part][0])
    see_widths(tensors, config, part, path)
    return see_weights(tensors, config, part, file=folder, source=path)


def _see_words(words: Iterable[str], settings: Mapping[str, Any], encoder: Config, folder: Path) -> None:
    """See that a text encoder knows the words of its tokenizer: it may have spare rows, but none too few."""
    special = (settings.get(key) for key in SPECIAL)
    added = (*settings.get("added_tokens_decoder", {}).values(), *special)
    count = len({*words, *(each["content"] if isinstance(each, dict) else each for each in added if each is not None)})
    rows = (DEFAULTS["text_encoder"] | encoder)["vocab_size"]
    if not rows // 2 <= count <= rows:
        raise UnusableError(
            f"{folder} has {count} words, and the text encoder knows {rows}.",
            "The tokenizer is missing or damaged: fetch the checkpoint again.",
        )


def model_index(family: str) -> Config:
    """The components of a family's pipeline, and none besides."""
    build = build_of(family)
    index: Config = {part: [COMPONENTS[part][0], COMPONENTS[part][1][0]] for part in build.parts}
    index |= {"_class_name": build.pipeline, "scheduler": ["diffusers", build.scheduler]}
    return index | {"feature_extractor": [None, None], "image_encoder": [None, None], **build.index}


def files_of(folder: Path) -> list[Path]:
    """The weights that are handed over of a folder: a pipeline's, or one part's."""
    places = [folder, *(folder / part for part in COMPONENTS if not part.startswith("tokenizer"))]
    found: list[Path] = []
    for place in places:
        for library in ("diffusers", "transformers"):
            with suppress(UnusableError):
                found += weight_files(place, library).values()
    return found


def hand_over_vae(folder: Path, into: Path) -> Path:
    """Write what may be used of a VAE's folder to where diffusers can have it; see `hand_over`.

    Raises:
        UnusableError: It asks for code, a value is out of bounds, or it does not fit its weights.
        FileError: Weights are refused or corrupt.
    """
    _write_part(into, checked_vae(folder)[0], "vae")
    link_weights(folder, "diffusers", into)
    return into


def checked_vae(folder: Path) -> tuple[Config, tuple[str, ...]]:
    """The configuration of a VAE's folder, which fits its weights; and what of it is in doubt.

    Raises:
        UnusableError, FileError: As `hand_over_vae` does.
    """
    path = folder / "config.json"
    config = within_bounds(read_object(path, folder), "vae", path)
    doubt = _see_own(folder, "vae", config, path)
    return config, () if doubt is None else (doubt,)


def _used(family: str, *, own_vae: bool) -> list[str]:
    return [part for part in (*build_of(family).parts, "scheduler") if own_vae or part != "vae"]


def _config_path(folder: Path, part: str) -> Path:
    return folder / part / ("scheduler_config.json" if part == "scheduler" else "config.json")


def _read_part(folder: Path, part: str) -> Config:
    path = _config_path(folder, part)
    read = read_object(path, folder)
    if part.startswith("text_encoder"):
        read = _text_config(read, path)
    return within_bounds(read, part, path)


def _text_config(config: Config, path: Path) -> Config:
    """The text half of what was written for both of CLIP's halves."""
    refuse_code(config, path)
    inner = config.get("text_config")
    return inner if config.get("model_type") == "clip" and isinstance(inner, dict) else config


def _write_part(into: Path, config: Config, part: str) -> None:
    name = "scheduler_config.json" if part == "scheduler" else "config.json"
    if part.startswith("text_encoder"):
        config = config | {"architectures": [COMPONENTS[part][1][0]], "model_type": "clip_text_model"}
    elif part in COMPONENTS:
        config = config | {"_class_name": COMPONENTS[part][1][0]}
    write_json(into / name, DEFAULTS.get(part, {}) | config)


#: Kinds of weights: how their files are called, by the component's library.
_WEIGHTS = {"diffusers": "diffusion_pytorch_model", "transformers": "model"}

_MAX_SHARDS = 256


def weight_files(folder: Path, library: str) -> dict[str, Path]:
    """The safetensors files of a component's weights, of one variant, by the names under which they are handed over.

    The variant without a name goes before others, and one file before many.

    Raises:
        UnusableError: There are none, too many, or not all of the pieces that there should be.
    """
    name = _WEIGHTS[library]
    pattern = re.compile(rf"{re.escape(name)}(\.\w{{1,32}})?(?:-(\d{{5}})-of-(\d{{5}}))?(\.\w{{1,32}})?\.safetensors")
    found = [(match, path) for path in folder.glob("*.safetensors") if (match := pattern.fullmatch(path.name))]
    if not found or len(found) > _MAX_SHARDS:
        what = "none of its weights are in a safetensors file" if not found else "its weights are in too many pieces"
        pickles = any(folder.glob("*.bin")) or any(folder.glob("*.pt"))
        raise UnusableError(
            f"{folder.parent} could not be loaded: of its {folder.name}, {what}.",
            "Pickled weights (.bin) are never loaded: look for the same model with safetensors files."
            if pickles
            else _FETCH,
        )
    first = min(match[1] or match[4] or "" for match, _ in found)
    chosen = [(match, path) for match, path in found if (match[1] or match[4] or "") == first]
    if (whole := next((path for match, path in chosen if match[2] is None), None)) is not None:
        return {f"{name}.safetensors": whole}
    count = max(int(match[3]) for match, _ in chosen)
    pieces = {f"{name}-{int(match[2]):05}-of-{count:05}.safetensors": path for match, path in sorted(chosen, key=_path)}
    if len(pieces) != count:
        message = (
            f"{folder.parent} could not be loaded: of its {folder.name}, {len(pieces)} of {count} pieces are there."
        )
        raise UnusableError(message, _FETCH)
    return pieces


_FETCH = "Fetch it again, or choose another checkpoint."

_path = itemgetter(1)

#: What diffusers called the attention of a VAE once: it still reads that, where the weights are in one file.
_FORMER = {".query.": ".to_q.", ".key.": ".to_k.", ".value.": ".to_v.", ".proj_attn.": ".to_out.0."}


def tensors_of(folder: Path, library: str) -> dict[str, Mapping[str, Any]]:
    """The tensors of a component, from all its pieces, as its class of today calls them.

    Raises:
        UnusableError: As `weight_files` does.
        FileError: A file is refused or corrupt.
    """
    files = weight_files(folder, library).values()
    there: dict[str, Mapping[str, Any]] = {}
    for file in files:
        there |= read_header(file).tensors
    if library == "transformers":
        return {name.removeprefix("text_model."): entry for name, entry in there.items()}
    return there if len(files) > 1 else with_todays_names(there)


def with_todays_names(tensors: Mapping[str, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Tensors of diffusers' VAE, those that older releases wrote under the names that they have today."""
    there = dict(tensors)
    for name in [name for name in there if ".attentions." in name]:
        former = next((each for each in _FORMER if each in name), None)
        if former is not None:
            there[name.replace(former, _FORMER[former])] = there[name]
    return there


def link_weights(folder: Path, library: str, into: Path) -> None:
    """Make a component's weights appear in `into`, with an index of ours where they are in pieces.

    Raises:
        UnusableError: As `weight_files` does.
        FileError: A piece is refused or corrupt.
    """
    into.mkdir(parents=True, exist_ok=True)
    files = weight_files(folder, library)
    for name, path in files.items():
        link(path.resolve(), into / name)
    if len(files) > 1:
        table = {tensor: name for name, path in files.items() for tensor in read_header(path).tensors}
        write_json(into / f"{_WEIGHTS[library]}.safetensors.index.json", {"metadata": {}, "weight_map": table})


def link(path: Path, there: Path) -> None:
    """Make a file appear in another place."""
    for way in (os.symlink, os.link):
        try:
            way(path, there)
        except OSError:
            continue
        return
    shutil.copyfile(path, there)  # Windows, without the right to make links, and on another drive


_FILES = ("vocab.json", "merges.txt")

START = "<|startoftext|>"
END = "<|endoftext|>"

#: CLIP's own vocabulary has 1.1 MB.
_MAX_VOCABULARY = 16 * 2**20
_MOST_WORDS, _MOST_ADDED = 2**20, 4096

#: Characters of a word of it; tokens of a chunk: fewer are no prompt, more are no limit.
_LONGEST_WORD, _SHORTEST, _LONGEST = 512, 8, 2**16

#: Classes and special tokens that a tokenizer's configuration may name.
_CLASSES = ("CLIPTokenizer", "CLIPTokenizerFast")
SPECIAL = ("bos_token", "eos_token", "unk_token", "pad_token")

#: How a word that was added is found in a text, unless it says so.
_PLAIN = {"lstrip": False, "rstrip": False, "single_word": False, "normalized": True}

_NAME_ANOTHER = (
    "Name a folder that holds CLIP's vocab.json and merges.txt, or put the checkpoint's own configuration beside it "
    "as NAME.config/."
)


@dataclass(frozen=True, slots=True)
class TokenizerSource:
    """A folder with `vocab.json` and `merges.txt`; `own` if it is the checkpoint's own, configuration and all."""

    folder: Path
    own: bool


def find_tokenizer_files(folder: Path | None, part: str, checkpoint: Path) -> TokenizerSource:
    """The files of `part`, `tokenizer` or `tokenizer_2`, in `folder` or below it.

    Raises:
        UnusableError: `folder` has none.
    """
    candidates = [] if folder is None else [folder / part, folder / "tokenizer", folder]
    for candidate in candidates:
        if all((candidate / name).is_file() for name in _FILES):
            own = candidate.name == part and candidate != folder
            return TokenizerSource(candidate, own and (candidate / "tokenizer_config.json").is_file())
    raise UnusableError(f"There is no tokenizer for {checkpoint}.", _NAME_ANOTHER)


def read_vocabulary(folder: Path, rows: int, checkpoint: Path) -> dict[str, int]:
    """The vocabulary in `folder`: word to number.

    Raises:
        UnusableError: It is damaged, or has not one word for each of the checkpoint's `rows`.
    """
    path = folder / "vocab.json"
    vocabulary = _checked_vocabulary(read_object(path, folder.parent, _MAX_VOCABULARY), path)
    if len(vocabulary) != rows:
        raise UnusableError(f"{path} has {len(vocabulary)} words, and {checkpoint} knows {rows}.", _NAME_ANOTHER)
    return vocabulary


def check_vocabulary(folder: Path, rows: int, checkpoint: Path) -> None:
    """See that `read_vocabulary` would read one; a file is read once, as long as it stays as it is.

    Raises:
        UnusableError: As `read_vocabulary` does.
    """
    with suppress(OSError):
        status = (folder / "vocab.json").stat()
        if _counted.get(folder) == (status.st_size, status.st_mtime_ns, rows):
            return
        read_vocabulary(folder, rows, checkpoint)
        _counted[folder] = (status.st_size, status.st_mtime_ns, rows)
        return
    read_vocabulary(folder, rows, checkpoint)


#: Size, time and number of words of the vocabularies that were read.
_counted: dict[Path, tuple[int, int, int]] = {}


def write_tokenizer(source: TokenizerSource, into: Path, pad: str, length: int) -> None:
    """Write a tokenizer folder: the vocabulary, with the family's padding and `length` tokens a chunk.

    A checkpoint's own tokenizer keeps its own settings.

    Raises:
        UnusableError: It is damaged.
    """
    if source.own:
        copy_tokenizer(source.folder, source.folder.parent, into)
        return
    config = {
        "tokenizer_class": "CLIPTokenizer",
        "bos_token": START,
        "eos_token": END,
        "unk_token": END,
        "pad_token": pad,
        "do_lower_case": True,
        "model_max_length": length,
    }
    vocabulary, merges = _read_words(source.folder, source.folder.parent)
    _write(into, vocabulary, merges, config)


def copy_tokenizer(folder: Path, root: Path, into: Path) -> None:
    """Write what may be used of the tokenizer in `folder`: its words, its special tokens, and how long a chunk is.

    A `tokenizer.json` is read for its words alone: the expressions in it, by which text is cut, are CLIP's anyway.

    Args:
        folder: With `vocab.json` and `merges.txt`, or `tokenizer.json`.
        root: The model's folder.
        into: Where to.

    Raises:
        UnusableError: It is damaged, or asks for code.
    """
    _write(into, *read_tokenizer(folder, root))


def read_tokenizer(folder: Path, root: Path) -> tuple[dict[str, int], list[str], dict[str, Any]]:
    """Words, merges and settings of the tokenizer in `folder`; see `copy_tokenizer`.

    Raises:
        UnusableError: It is damaged, or asks for code.
    """
    vocabulary, merges = _read_words(folder, root)
    return vocabulary, merges, _settings(folder, root)


def _write(into: Path, vocabulary: dict[str, int], merges: list[str], config: dict[str, Any]) -> None:
    into.mkdir(parents=True, exist_ok=True)
    (into / "vocab.json").write_bytes(orjson.dumps(vocabulary))
    (into / "merges.txt").write_bytes("\n".join(["#version: 0.2", *merges, ""]).encode())
    (into / "tokenizer_config.json").write_bytes(orjson.dumps(config, option=orjson.OPT_INDENT_2))


def _read_words(folder: Path, root: Path) -> tuple[dict[str, int], list[str]]:
    path = folder / "vocab.json"
    if path.exists() or not (folder / "tokenizer.json").exists():
        vocabulary = _checked_vocabulary(read_object(path, root, _MAX_VOCABULARY), path)
        text = read_bytes(folder / "merges.txt", root, _MAX_VOCABULARY).decode("utf-8", "replace")
        # split at line ends alone: some merges are of characters that Python takes for others
        lines = [line.removesuffix("\r") for line in text.split("\n")]
        return vocabulary, [line for line in lines if line and not line.startswith("#version")]
    path = folder / "tokenizer.json"
    model = read_object(path, root, _MAX_VOCABULARY).get("model")
    words, merges = (model.get("vocab"), model.get("merges")) if isinstance(model, dict) else (None, None)
    if not isinstance(words, dict) or not isinstance(merges, list):
        raise UnusableError(f"{path} is not CLIP's tokenizer: it holds no words and merges.", _NAME_ANOTHER)
    joined = [" ".join(pair) if isinstance(pair, list) and all(map(_is_text, pair)) else pair for pair in merges]
    if not all(map(_is_text, joined)):
        raise UnusableError(f"{path} is not CLIP's tokenizer: not all its merges are text.", _NAME_ANOTHER)
    return _checked_vocabulary(words, path), joined


def _checked_vocabulary(vocabulary: dict[str, Any], path: Path) -> dict[str, int]:
    numbers = all(type(number) is int and 0 <= number < _MOST_WORDS for number in vocabulary.values())
    if not numbers or len(vocabulary) > _MOST_WORDS or not vocabulary.keys() >= {START, END}:
        raise UnusableError(f"{path} is not a CLIP vocabulary.", _NAME_ANOTHER)
    return vocabulary


def _settings(folder: Path, root: Path) -> dict[str, Any]:
    """What a tokenizer's configuration says of special tokens and lengths, and nothing else of it."""
    path, special = folder / "tokenizer_config.json", folder / "special_tokens_map.json"
    config = read_object(path, root) if path.exists() else {}
    refuse_code(config, path)
    if config.get("tokenizer_class", "CLIPTokenizer") not in _CLASSES:
        name = f"{config['tokenizer_class']!r:.60}"
        raise UnusableError(f"{path} cannot be used: its tokenizer_class is {name}.", _NAME_ANOTHER)
    added = config.get("added_tokens_decoder")
    if added is None and special.exists():
        config |= read_object(special, root)
    kept: dict[str, Any] = {"tokenizer_class": "CLIPTokenizer"}
    kept |= {key: _token(config[key], key, path) for key in SPECIAL if config.get(key) is not None}
    length = config.get("model_max_length")
    if isinstance(length, int | float) and length < _LONGEST:  # where there is no limit, a huge number stands
        if not (type(length) is int and length >= _SHORTEST):
            raise UnusableError(f"{path} cannot be used: its model_max_length is {length}.", _NAME_ANOTHER)
        kept["model_max_length"] = length
    extra = _added(folder, root)
    if added is not None or extra:
        kept["added_tokens_decoder"] = _decoder(added or {}, path) | extra
    return kept


def _added(folder: Path, root: Path) -> dict[str, Any]:
    """Words that were added after training, as older releases of transformers note them."""
    path = folder / "added_tokens.json"
    if not path.exists():
        return {}
    words = read_object(path, root)
    if len(words) > _MOST_ADDED or not all(type(n) is int and 0 <= n < _MOST_WORDS for n in words.values()):
        raise UnusableError(f"{path} is not a list of added words.", _NAME_ANOTHER)
    return {str(number): _PLAIN | {"content": word, "special": False} for word, number in words.items()}


def _decoder(added: object, path: Path) -> dict[str, Any]:
    if not isinstance(added, dict) or len(added) > _MOST_ADDED or not all(re.fullmatch(r"\d{1,7}", n) for n in added):
        raise UnusableError(f"{path} cannot be used: its added_tokens_decoder is not a list of words.", _NAME_ANOTHER)
    return {number: _token(each, "added_tokens_decoder", path) for number, each in added.items()}


def _token(value: object, key: str, path: Path) -> str | dict[str, Any]:
    """A special token: a word, or a word with how it is found in a text."""
    if _is_text(value):
        return str(value)
    if isinstance(value, dict) and _is_text(value.get("content")):
        flags = {name: value[name] for name in (*_PLAIN, "special") if isinstance(value.get(name), bool)}
        marked = {} if key == "added_tokens_decoder" else {"__type": "AddedToken"}
        return marked | {"content": value["content"]} | flags
    raise UnusableError(f"{path} cannot be used: its {key} is not a word.", _NAME_ANOTHER)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _LONGEST_WORD
