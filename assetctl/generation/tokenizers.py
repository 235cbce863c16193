"""CLIP's tokenizer: found, checked against a checkpoint's vocabulary, and written as diffusers wants it.

A tokenizer that is not there would load silently as a vocabulary of two words, and every prompt would
give the same picture; so it is checked here.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson

from assetctl.errors import GenerationError

if TYPE_CHECKING:
    from pathlib import Path

_FILES = ("vocab.json", "merges.txt", "tokenizer_config.json", "special_tokens_map.json")

START = "<|startoftext|>"
END = "<|endoftext|>"

#: CLIP's own vocabulary has 1.1 MB.
_MAX_VOCABULARY = 16 * 2**20

_HINT = (
    "Name a folder that holds CLIP's vocab.json and merges.txt, or put the checkpoint's own configuration beside it "
    "as NAME.config/."
)


@dataclass(frozen=True, slots=True)
class TokenizerSource:
    """A folder with `vocab.json` and `merges.txt`; `own` if it is the checkpoint's own, configuration and all."""

    folder: Path
    own: bool


def find_tokenizer(folder: Path | None, part: str, checkpoint: Path) -> TokenizerSource:
    """The files of `part`, `tokenizer` or `tokenizer_2`, in `folder` or below it.

    Raises:
        GenerationError: `folder` has none.
    """
    candidates = [] if folder is None else [folder / part, folder / "tokenizer", folder]
    for candidate in candidates:
        if all((candidate / name).is_file() for name in _FILES[:2]):
            own = candidate.name == part and candidate != folder
            return TokenizerSource(candidate, own and (candidate / "tokenizer_config.json").is_file())
    raise GenerationError(f"There is no tokenizer for {checkpoint}.", _HINT)


def read_vocabulary(folder: Path, rows: int, checkpoint: Path) -> dict[str, int]:
    """The vocabulary in `folder`: word to number.

    Raises:
        GenerationError: It is damaged, or has not one word for each of the checkpoint's `rows`.
    """
    path = folder / "vocab.json"
    try:
        vocabulary = orjson.loads(path.read_bytes()) if path.stat().st_size <= _MAX_VOCABULARY else None
    except (OSError, orjson.JSONDecodeError) as error:
        raise GenerationError(f"{path} can not be read: {error}.", _HINT) from error
    if not isinstance(vocabulary, dict) or not all(isinstance(vocabulary.get(word), int) for word in (START, END)):
        raise GenerationError(f"{path} is not a CLIP vocabulary.", _HINT)
    if len(vocabulary) != rows:
        raise GenerationError(f"{path} has {len(vocabulary)} words, and {checkpoint} knows {rows}.", _HINT)
    return vocabulary


def write_tokenizer(source: TokenizerSource, into: Path, pad: str, length: int) -> None:
    """Write a tokenizer folder: the vocabulary, with the family's padding and `length` tokens a chunk.

    A checkpoint's own tokenizer is copied as it is.
    """
    into.mkdir(parents=True, exist_ok=True)
    wanted = _FILES if source.own else _FILES[:2]
    for name in wanted:
        if (source.folder / name).is_file():
            shutil.copyfile(source.folder / name, into / name)
    if source.own:
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
    (into / "tokenizer_config.json").write_bytes(orjson.dumps(config, option=orjson.OPT_INDENT_2))
