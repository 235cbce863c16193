"""CLIP's tokenizer, from its two files, without torch and transformers.

Byte-level BPE over lower-case text; method: Sennrich et al. 2016, https://arxiv.org/abs/1508.07909, and
`clip/simple_tokenizer.py` of https://github.com/openai/CLIP.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson

from assetctl.errors import CorruptFileError
from assetctl.files.paths import read_regular
from assetctl.prompt.chunks import Token, cut_prompt, number_vectors

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tokenizers import Tokenizer

    from assetctl.prompt.chunks import Chunk
    from assetctl.prompt.syntax import ParsedPrompt

VOCABULARY, MERGES = "vocab.json", "merges.txt"

START, END = "<|startoftext|>", "<|endoftext|>"

_WORD_END = "</w>"
_SPLIT = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"

#: CLIP's own files have 1.1 MB and 0.5 MB.
_MAX_SIZE = 16 * 2**20
_MAX_ID = 2**32 - 1


@dataclass(frozen=True, slots=True)
class ClipTokenizer:
    """Text to the tokens of one vocabulary.

    Attributes:
        words: How many words the vocabulary has; CLIP's own has 49,408.
        comma: Number of the token `,`; that of an unknown word in a vocabulary without it.
    """

    words: int
    comma: int
    _model: Tokenizer

    def cut(self, prompt: ParsedPrompt, embeddings: Mapping[str, int] | None = None) -> list[Chunk]:
        """The chunks of a prompt; `embeddings` gives the number of vectors that each token stands for."""
        return cut_prompt(prompt, self.tokenize, self.comma, number_vectors(embeddings or {}, self.words))

    def tokenize(self, text: str) -> Iterator[Token]:
        """The tokens of plain text, which together carry all of it; lone surrogates are read as `?`."""
        readable = text.encode("utf-8", "replace").decode()
        encoding = self._model.encode(readable, add_special_tokens=False)
        ends = [end for _, end in encoding.offsets]
        if ends:
            ends[-1] = len(text)
        start = 0
        for number, end in zip(encoding.ids, ends, strict=True):
            yield Token(number, text[start:end])
            start = max(start, end)


def load_tokenizer(folder: Path) -> ClipTokenizer:
    """Build the tokenizer of the `vocab.json` and `merges.txt` in `folder`.

    Raises:
        CorruptFileError: One of them is missing, too large, or not what it should be.
    """
    from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers  # noqa: PLC0415 - 40 ms

    words = _read_vocabulary(folder / VOCABULARY)
    merges = _read_merges(folder / MERGES, words)
    model = Tokenizer(models.BPE(words, merges, end_of_word_suffix=_WORD_END, unk_token=END))
    model.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    model.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(_SPLIT), "removed", invert=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    model.add_special_tokens([AddedToken(word, normalized=False, special=True) for word in (START, END)])
    return ClipTokenizer(len(words), words.get("," + _WORD_END, words[END]), model)


def _read_vocabulary(path: Path) -> dict[str, int]:
    try:
        words = orjson.loads(_read(path))
    except orjson.JSONDecodeError as error:
        raise _damaged(path, f"it is not JSON ({error})") from error
    if not isinstance(words, dict) or not all(type(number) is int for number in words.values()):
        raise _damaged(path, "it does not give each word a number")
    if START not in words or END not in words or not all(0 <= number <= _MAX_ID for number in words.values()):
        raise _damaged(path, "it is not a CLIP vocabulary")
    return words


def _read_merges(path: Path, words: dict[str, int]) -> list[tuple[str, str]]:
    """Pairs of words in the order in which they are joined; the first line tells the format's version."""
    try:
        lines = _read(path).decode().split("\n")
    except UnicodeDecodeError as error:
        raise _damaged(path, "it is not text") from error
    merges: list[tuple[str, str]] = []
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#version"):
            continue
        first, _, second = line.strip().partition(" ")
        if not {first, second, first + second} <= words.keys():
            raise _damaged(path, f"line {number} joins words that {VOCABULARY} does not have")
        merges.append((first, second))
    return merges


def _read(path: Path) -> bytes:
    try:
        return read_regular(path, _MAX_SIZE)
    except OSError as error:
        raise _damaged(path, error.strerror or str(error)) from error


def _damaged(path: Path, why: str) -> CorruptFileError:
    return CorruptFileError(
        f"{path} cannot be read as CLIP's tokenizer: {why}.",
        "Fetch CLIP's own with `assetctl pull --support sd1`, or put a whole vocab.json and merges.txt there.",
    )
