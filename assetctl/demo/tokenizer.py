"""A small vocabulary for the demo's text encoder, in the shape of CLIP's.

Byte pair encoding over a list of words: Sennrich, Haddow, Birch, https://arxiv.org/abs/1508.07909. The alphabet is
that of GPT-2 and CLIP: each byte a visible character, and each once more with `</w>` for the end of a word.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import pairwise

import orjson

START, END = "<|startoftext|>", "<|endoftext|>"
MERGES = 420

_END_OF_WORD = "</w>"
_WORDS = """
a an the and or of in on at by with from to for over under near behind before into through her his its
demo style subject photo photograph painting drawing sketch portrait landscape picture image illustration art artwork
watercolor oil ink pencil digital render anime cartoon comic poster pixel realistic cinematic vintage modern abstract
cat dog bird horse fox wolf bear lion tiger fish dragon robot astronaut knight wizard witch princess king queen
man woman girl boy child person people face eyes hair hand smile dress hat coat armor sword shield
house castle tower city street village forest tree flower garden mountain hill river lake sea ocean beach desert
sky cloud sun moon star night day morning evening sunset sunrise rain snow storm fog fire water light shadow
red orange yellow green blue purple pink black white gray brown gold silver dark bright soft warm cold colorful
small large big tiny old young beautiful pretty cute simple detailed sharp blurry clean quiet empty
masterpiece best high low quality highly intricate background outdoors indoors standing sitting walking riding running
looking holding wearing smiling bad worst ugly deformed extra missing text watermark signature
""".split()  # noqa: SIM905 - words read best as words


@dataclass(frozen=True, slots=True)
class Tokenizer:
    """A vocabulary and the merges that lead to it, in the order of their rank."""

    vocabulary: dict[str, int]
    merges: list[tuple[str, str]]

    def files(self) -> dict[str, bytes]:
        """The files of a diffusers `tokenizer/` folder, by name."""
        special = {"bos_token": START, "eos_token": END, "unk_token": END, "pad_token": END}
        config = {"tokenizer_class": "CLIPTokenizer", "model_max_length": 77, "do_lower_case": True, **special}
        lines = ["#version: 0.2", *(f"{left} {right}" for left, right in self.merges), ""]
        return {
            "vocab.json": orjson.dumps(self.vocabulary),
            "merges.txt": "\n".join(lines).encode(),
            "tokenizer_config.json": orjson.dumps(config, option=orjson.OPT_INDENT_2),
            "special_tokens_map.json": orjson.dumps(special, option=orjson.OPT_INDENT_2),
        }


def demo_tokenizer() -> Tokenizer:
    """Train the vocabulary; the two special tokens come last."""
    alphabet = _byte_characters()
    merges = _train([[*word[:-1], word[-1] + _END_OF_WORD] for word in _WORDS], MERGES)
    tokens = [*alphabet, *(each + _END_OF_WORD for each in alphabet), *("".join(pair) for pair in merges), START, END]
    return Tokenizer({token: number for number, token in enumerate(tokens)}, merges)


def _train(words: list[list[str]], count: int) -> list[tuple[str, str]]:
    """The `count` most useful merges, each the most frequent pair after the one before; ties go by spelling."""
    merges = []
    for _ in range(count):
        pairs = Counter(pair for word in words for pair in pairwise(word))
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        words = [_merged(word, best) for word in words]
        merges.append(best)
    return merges


def _merged(word: list[str], pair: tuple[str, str]) -> list[str]:
    merged: list[str] = []
    for symbol in word:
        if merged and (merged[-1], symbol) == pair:
            merged[-1] += symbol
        else:
            merged.append(symbol)
    return merged


def _byte_characters() -> list[str]:
    """A visible character for each byte: itself where it has one, or else the next free one from U+0100 on."""
    visible = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    return [chr(byte) for byte in visible] + [chr(0x100 + index) for index in range(256 - len(visible))]
