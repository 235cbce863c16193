"""A prompt in chunks of 75 tokens, the words that these stand for, and CLIP's tokenizer without torch and transformers.

Byte-level BPE over lower-case text; method: Sennrich et al. 2016, https://arxiv.org/abs/1508.07909, and
`clip/simple_tokenizer.py` of https://github.com/openai/CLIP.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import orjson

from assetctl.errors import CorruptFileError
from assetctl.files.paths import read_regular
from assetctl.prompt.syntax import BREAK, ParsedPrompt, parse_prompt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from tokenizers import Tokenizer

    from assetctl.files.safetensors import Header


_BRACKETS = re.compile(r"[()\[\]\\]")
_GAP = re.compile(r"[\s_]+")
_COMMA = re.compile(r" ?, ?")

#: How ComfyUI begins the name of an embedding.
_PREFIX = re.compile(r"(?<!\w)embedding:\s*+", re.IGNORECASE)
_NAMED = re.compile(r"(?<!\w)embedding:\s*+([^\s,:;()\[\]<>|]++)", re.IGNORECASE)

#: Where ComfyUI itself takes what follows for one, and the name; and what files of embeddings may end in.
_CALL = "embedding:"
_CALLED = re.compile(rf"(?:\A|(?<=[ \n])){_CALL}\s*+(\S*+)")
_SUFFIX = re.compile(r"\.(?:safetensors|pt|bin)\Z")

#: Where a word begins; and how many names are looked for one by one.
_WORD = re.compile(r"(?<!\w)\w")
_FEW = 16

#: Stands for a chunk break, which no phrase reaches across.
_WALL = "\x00"


def split_at_tokens(text: str, tokens: Iterable[str]) -> list[tuple[str, str | None]]:
    """Cut `text` at the tokens of embeddings.

    A token matches as a whole word in any case, not as a part of a longer word or hyphenated name;
    where several match, the longest wins. ComfyUI's `embedding:` before it belongs to it.

    Returns:
        The pieces of `text` in order, which together are `text`: `(piece, None)` for plain text and
        `(piece, token)` for a match, with the token spelled as in `tokens`.
    """
    said = _folded(text)
    known = {_folded(token): token for token in tokens if token}
    places = [(at, name) for at, name in _places_of(known, said) if _is_whole(said, at, at + len(name))]
    named = {each.end(): each.start() for each in _PREFIX.finditer(said)} if places else {}
    begun = set(named.values())
    found = [(named.get(at, at), -at - len(name), name) for at, name in places if at not in begun]
    pieces: list[tuple[str, str | None]] = []
    start = 0
    for begin, end, name in sorted(found):
        if begin >= start:
            pieces += [(text[start:begin], None), (text[begin:-end], known[name])]
            start = -end
    pieces.append((text[start:], None))
    return [piece for piece in pieces if piece[0]]


def split_at_named(text: str, tokens: Iterable[str]) -> list[tuple[str, str | None]]:
    """Cut `text` where it names embeddings as ComfyUI has them named: by `embedding:NAME`, and no word by itself.

    That stands at the beginning, or behind a blank or a line's end; anywhere else it is words. A name goes on to the
    next blank. Commas at its end are words, unless the name has them.

    Returns:
        As `split_at_tokens` does. What names an embedding that is none of these is a piece of its own: `is_unknown`.
    """
    known = {_as_named(token): token for token in tokens if token}
    pieces: list[tuple[str, str | None]] = []
    start = 0
    for called in _CALLED.finditer(text):
        name = called[1] if _as_named(called[1]) in known else called[1].rstrip(",")
        end = called.start(1) + len(name)
        pieces += [(text[start : called.start()], None), (text[called.start() : end], known.get(_as_named(name)))]
        start = end
    pieces.append((text[start:], None))
    return [piece for piece in pieces if piece[0]]


def is_unknown(piece: str, token: str | None) -> bool:
    """Whether a piece of `split_at_named` names an embedding that there is not."""
    return token is None and piece.startswith(_CALL)


def _as_named(name: str) -> str:
    """A name of an embedding without regard to case, separator and suffix."""
    return _SUFFIX.sub("", _folded(name).replace("\\", "/"))


def _folded(text: str) -> str:
    """A text without regard to case, each letter at the place that it had."""
    if text.isascii():
        return text.lower()
    return "".join(folded if len(folded := letter.casefold()) == 1 else letter for letter in text)


def _places_of(names: Iterable[str], said: str) -> Iterator[tuple[int, str]]:
    """Where names stand by themselves: not inside a longer word, nor next to a hyphen that goes on with one."""
    wordy = {name for name in names if _is_word(name[0])}
    if len(wordy) <= _FEW:
        wordy = set()
    lengths = {len(name) for name in wordy}
    for begun in _WORD.finditer(said) if wordy else ():  # of very many, each word is looked up, and not each looked for
        at = begun.start()
        yield from ((at, name) for length in lengths if (name := said[at : at + length]) in wordy)
    for name in names:
        at = -1 if name in wordy else said.find(name)
        while at >= 0:
            yield at, name
            at = said.find(name, at + 1)


def _is_whole(said: str, at: int, end: int) -> bool:
    """Whether words end on both sides of a place in a text, hyphens and all; an edge that is a sign needs no end."""
    before, after = said[max(0, at - 2) : at][::-1], said[end : end + 2]
    return not (_is_word(said[at]) and _goes_on(before)) and not (_is_word(said[end - 1]) and _goes_on(after))


def _goes_on(beyond: str) -> bool:
    return _is_word(beyond[:1]) or (beyond[:1] == "-" and _is_word(beyond[1:]))


def _is_word(letter: str) -> bool:
    return letter.isalnum() or letter == "_"


def embeddings_named(text: str) -> list[str]:
    """The names in a text that it says are those of embeddings, as ComfyUI does: `embedding:NAME`."""
    return [found[1].rstrip(".!?") for found in _NAMED.finditer(text)]


def without_named(text: str) -> str:
    """A text without what `embeddings_named` finds in it."""
    return _NAMED.sub(" ", text)


def embeddings_called(text: str) -> list[str]:
    """The names in a text that ComfyUI itself takes for those of embeddings, as `split_at_named` does."""
    return [name for called in _CALLED.finditer(text) if (name := called[1].rstrip(","))]


def without_called(text: str) -> str:
    """A text without what `embeddings_called` finds in it, and no other word named as one."""
    return _PREFIX.sub(" ", _CALLED.sub(" ", text))


def words_present(prompt: ParsedPrompt | str, words: Iterable[str]) -> set[str]:
    """Those of `words` that occur in the prompt.

    A word or phrase occurs in any case, as whole words, whatever the weights and brackets around its parts,
    and with any run of spaces and underscores between them.
    """
    text = _plain(prompt)
    return {word for word in words if (plain := _plain(word)) and plain in text and re.search(_whole_word(plain), text)}


def _plain(prompt: ParsedPrompt | str) -> str:
    segments = (parse_prompt(prompt) if isinstance(prompt, str) else prompt).segments
    text = "".join(_WALL if text == BREAK and weight < 0 else text for text, weight in segments)
    spaced = _GAP.sub(" ", _BRACKETS.sub("", text)).casefold()
    return _COMMA.sub(", ", spaced).strip(" ,")


def _whole_word(word: str) -> str:
    """A pattern for `word`, not inside a longer word; an edge that is a sign needs no boundary."""
    before = r"(?<!\w)" if re.match(r"\w", word) else ""
    after = r"(?!\w)" if re.search(r"\w\Z", word) else ""
    return before + re.escape(word) + after


#: Tokens that CLIP reads at a time, without the start and the end.
CHUNK_LENGTH = 75

#: A chunk that fills up is cut after a comma if one is among its last so many tokens.
_BACKTRACK = 20


class Token(NamedTuple):
    """The number of a token in the vocabulary, and the piece of the prompt it stands for, where that is known."""

    id: int
    text: str = ""


@dataclass(slots=True)
class Chunk:
    """Tokens that are encoded together, without start, end and padding, and the weight of each."""

    tokens: list[Token] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)

    @property
    def count(self) -> int:
        """How many tokens it has."""
        return len(self.tokens)

    @property
    def ids(self) -> list[int]:
        """The numbers of the tokens."""
        return [token.id for token in self.tokens]

    @property
    def text(self) -> str:
        """What of the prompt is in this chunk, without brackets and weights."""
        return "".join(token.text for token in self.tokens).strip()


def cut_prompt(
    prompt: ParsedPrompt,
    tokenize: Callable[[str], Iterable[Token]],
    comma: int,
    embeddings: Mapping[str, Sequence[int]],
    length: int = CHUNK_LENGTH,
) -> list[Chunk]:
    """Tokenise a prompt and cut it into chunks. There is always at least one.

    Args:
        prompt: The prompt, taken apart.
        tokenize: Tells the tokens of plain text.
        comma: Number of the token `,`.
        embeddings: Token of each embedding to the numbers of its vectors, which are never cut apart.
        length: Most tokens of a chunk.
    """
    cutter = _Cutter(length, comma)
    for text, weight in prompt.segments:
        if text == BREAK and weight < 0:
            cutter.finish()
            continue
        for piece, name in split_at_tokens(text, embeddings):
            if name is None:
                for token in tokenize(piece):
                    cutter.add(token, weight)
            else:
                texts = [piece] + [""] * (len(embeddings[name]) - 1)
                cutter.add_vectors([Token(*each) for each in zip(embeddings[name], texts, strict=True)], weight)
    if cutter.current.tokens or not cutter.done:
        cutter.finish()
    return cutter.done


def number_vectors(counts: Mapping[str, int], start: int) -> dict[str, range]:
    """Numbers for the vectors of embeddings, given how many each token stands for: those behind the vocabulary's."""
    numbered = {}
    for token, count in counts.items():
        numbered[token] = range(start, start + count)
        start += count
    return numbered


def count_vectors(header: Header) -> int:
    """How many tokens of a chunk the embedding in this file takes; 0 if it is none, or fits no chunk."""
    shapes = [header.shape(name) or () for name in header.tensors]
    count = max((shape[0] if len(shape) == 2 else 1 for shape in shapes if 1 <= len(shape) <= 2), default=0)
    return count if count <= CHUNK_LENGTH else 0


def beyond(chunks: Iterable[Chunk], length: int = CHUNK_LENGTH) -> str:
    """What of a prompt is past its first `length` tokens: lost where a program does not cut into chunks."""
    tokens = [token for chunk in chunks for token in chunk.tokens]
    return "".join(token.text for token in tokens[length:]).strip()


@dataclass(slots=True)
class _Cutter:
    """Cuts tokens into chunks of `length`, after a comma where one is near the end."""

    length: int
    comma_id: int
    done: list[Chunk] = field(default_factory=list)
    current: Chunk = field(default_factory=Chunk)
    comma: int = -1

    def add(self, token: Token, weight: float) -> None:
        size = len(self.current.tokens)
        if token.id == self.comma_id:
            self.comma = size
        elif size == self.length and self.comma != -1 and size - self.comma <= _BACKTRACK:
            self._finish_after_comma()
        if len(self.current.tokens) == self.length:
            self.finish()
        self._append([token], weight)

    def add_vectors(self, tokens: Sequence[Token], weight: float) -> None:
        """Add an embedding, which is never cut in two."""
        if len(self.current.tokens) + len(tokens) > self.length:
            self.finish()
        self._append(tokens, weight)

    def finish(self) -> None:
        self.done.append(self.current)
        self.current, self.comma = Chunk(), -1

    def _append(self, tokens: Sequence[Token], weight: float) -> None:
        self.current.tokens += tokens
        self.current.weights += [weight] * len(tokens)

    def _finish_after_comma(self) -> None:
        keep = self.comma + 1
        rest = Chunk(self.current.tokens[keep:], self.current.weights[keep:])
        del self.current.tokens[keep:], self.current.weights[keep:]
        self.finish()
        self.current = rest


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
