"""Chunks of 75 tokens, as A1111 cuts a prompt for CLIP, which reads no more at a time.

Behaviour: `tokenize_line` in `modules/sd_hijack_clip.py` of https://github.com/AUTOMATIC1111/stable-diffusion-webui
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from assetctl.prompt.weights import BREAK
from assetctl.prompt.words import split_at_tokens

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from assetctl.files.safetensors import Header
    from assetctl.prompt.tags import ParsedPrompt

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
