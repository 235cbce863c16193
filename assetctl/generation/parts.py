"""The parts of a model on disk: its safetensors files, and CLIP's tokenizer."""

from __future__ import annotations

import os
import re
import shutil
from contextlib import suppress
from dataclasses import dataclass
from math import prod
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import orjson

from assetctl.errors import UnusableError
from assetctl.files.paths import read_bytes, read_object, write_json
from assetctl.files.safetensors import FLOATS, NUMBERS, read_header
from assetctl.generation.bounds import refuse_code
from assetctl.tensors.adapters import EMBEDDINGS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from assetctl.files.safetensors import Header


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


#: What would be an expression rather than a name, where peft looks for modules of a name.
_EXPRESSION = re.compile(r"[\\()\[\]{}*+?|^$\x00-\x1f]")
#: Its characters, but for what stands between names: looked for one by one, they cost a tenth of an expression.
_MARKS = [char for char in map(chr, range(128)) if _EXPRESSION.match(char) and char != "\n"]

#: What an alpha may be written as.
_WHOLE = ("I16", "I32", "I64", "U8", "I8")

_ELSEWHERE = "Fetch it again, or leave it out."


#: How tensors end of changes that diffusers would stumble over, though it applies what is beside them.
_NOT_READ = {
    ".lora_mid.weight": "convolutions in three parts",
    ".mid.weight": "convolutions in three parts",
    ".lora_up.bias": "biases of its own",
    ".reshape_weight": "reshaped weights",
}


def check_lora(name: str, header: Header) -> None:
    """Look at the names and the numbers of a LoRA's tensors, whose names peft takes for expressions.

    Args:
        name: What the LoRA is called.
        header: Its.

    Raises:
        UnusableError: A name or a kind of number is none that a trainer writes.
    """
    tensors = header.tensors
    names = header.names
    if any(mark in names for mark in _MARKS) or names.count("\n") != len(tensors) + 1:
        odd = next((each for each in tensors if _EXPRESSION.search(each) and not each.startswith(EMBEDDINGS)), None)
        if odd is not None:  # embeddings that came along are not handed over, and `.*` ends their names
            raise UnusableError(f"The LoRA {name} has a tensor of an unknown name: {odd[:60]!r}.", _ELSEWHERE)
    if header.has_empty:  # without a byte in it, it could claim any rank
        empty = next(tensor for tensor, entry in tensors.items() if 0 in entry["shape"])
        raise UnusableError(f"The LoRA {name} is damaged: {empty} is empty.", _ELSEWHERE)
    if (what := next((what for ending, what in _NOT_READ.items() if f"{ending}\n" in names), None)) is not None:
        hint = "Leave it out, or convert it to a plain LoRA with a tool such as sd-scripts."
        raise UnusableError(f"The LoRA {name} has {what}, which diffusers does not apply.", hint)
    alphas = [tensor for tensor in tensors if tensor.endswith(".alpha")]
    if (odd := next((alpha for alpha in alphas if prod(tensors[alpha]["shape"]) != 1), None)) is not None:
        raise UnusableError(f"The LoRA {name} is damaged: {odd} is not one number.", _ELSEWHERE)
    if header.kinds <= FLOATS:
        return
    for tensor, entry in tensors.items():
        kind = entry["dtype"]
        if kind not in FLOATS and not (tensor.endswith("alpha") and kind in _WHOLE):
            held = NUMBERS.get(kind, kind)
            raise UnusableError(f"The LoRA {name} cannot be used: {tensor} holds {held}.", _ELSEWHERE)


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

_HINT = (
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
    raise UnusableError(f"There is no tokenizer for {checkpoint}.", _HINT)


def read_vocabulary(folder: Path, rows: int, checkpoint: Path) -> dict[str, int]:
    """The vocabulary in `folder`: word to number.

    Raises:
        UnusableError: It is damaged, or has not one word for each of the checkpoint's `rows`.
    """
    path = folder / "vocab.json"
    vocabulary = _checked_vocabulary(read_object(path, folder.parent, _MAX_VOCABULARY), path)
    if len(vocabulary) != rows:
        raise UnusableError(f"{path} has {len(vocabulary)} words, and {checkpoint} knows {rows}.", _HINT)
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
        raise UnusableError(f"{path} is not CLIP's tokenizer: it holds no words and merges.", _HINT)
    joined = [" ".join(pair) if isinstance(pair, list) and all(map(_is_text, pair)) else pair for pair in merges]
    if not all(map(_is_text, joined)):
        raise UnusableError(f"{path} is not CLIP's tokenizer: not all its merges are text.", _HINT)
    return _checked_vocabulary(words, path), joined


def _checked_vocabulary(vocabulary: dict[str, Any], path: Path) -> dict[str, int]:
    numbers = all(type(number) is int and 0 <= number < _MOST_WORDS for number in vocabulary.values())
    if not numbers or len(vocabulary) > _MOST_WORDS or not vocabulary.keys() >= {START, END}:
        raise UnusableError(f"{path} is not a CLIP vocabulary.", _HINT)
    return vocabulary


def _settings(folder: Path, root: Path) -> dict[str, Any]:
    """What a tokenizer's configuration says of special tokens and lengths, and nothing else of it."""
    path, special = folder / "tokenizer_config.json", folder / "special_tokens_map.json"
    config = read_object(path, root) if path.exists() else {}
    refuse_code(config, path)
    if config.get("tokenizer_class", "CLIPTokenizer") not in _CLASSES:
        name = f"{config['tokenizer_class']!r:.60}"
        raise UnusableError(f"{path} cannot be used: its tokenizer_class is {name}.", _HINT)
    added = config.get("added_tokens_decoder")
    if added is None and special.exists():
        config |= read_object(special, root)
    kept: dict[str, Any] = {"tokenizer_class": "CLIPTokenizer"}
    kept |= {key: _token(config[key], key, path) for key in SPECIAL if config.get(key) is not None}
    length = config.get("model_max_length")
    if isinstance(length, int | float) and length < _LONGEST:  # where there is no limit, a huge number stands
        if not (type(length) is int and length >= _SHORTEST):
            raise UnusableError(f"{path} cannot be used: its model_max_length is {length}.", _HINT)
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
        raise UnusableError(f"{path} is not a list of added words.", _HINT)
    return {str(number): _PLAIN | {"content": word, "special": False} for word, number in words.items()}


def _decoder(added: object, path: Path) -> dict[str, Any]:
    if not isinstance(added, dict) or len(added) > _MOST_ADDED or not all(re.fullmatch(r"\d{1,7}", n) for n in added):
        raise UnusableError(f"{path} cannot be used: its added_tokens_decoder is not a list of words.", _HINT)
    return {number: _token(each, "added_tokens_decoder", path) for number, each in added.items()}


def _token(value: object, key: str, path: Path) -> str | dict[str, Any]:
    """A special token: a word, or a word with how it is found in a text."""
    if _is_text(value):
        return str(value)
    if isinstance(value, dict) and _is_text(value.get("content")):
        flags = {name: value[name] for name in (*_PLAIN, "special") if isinstance(value.get(name), bool)}
        marked = {} if key == "added_tokens_decoder" else {"__type": "AddedToken"}
        return marked | {"content": value["content"]} | flags
    raise UnusableError(f"{path} cannot be used: its {key} is not a word.", _HINT)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _LONGEST_WORD
