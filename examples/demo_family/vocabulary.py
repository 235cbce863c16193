"""A small vocabulary in the shape of CLIP's.

Byte pair encoding over a list of words: Sennrich, Haddow, Birch, https://arxiv.org/abs/1508.07909. The alphabet is
that of GPT-2 and CLIP: each byte a visible character, and each once more with `</w>` for the end of a word.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import pairwise

import orjson

START, END = "<|startoftext|>", "<|endoftext|>"

_END_OF_WORD = "</w>"
_WORDS = """
a an the and or of in on at by with from to for over under near behind before beside into through
background picture photo painting drawing image art style scene
circle square triangle star cat dog heart ring shape face eyes whiskers long
red green blue yellow orange purple pink cyan white black gray brown gold dark light bright pale
watermark vintage old soft sharp clean simple small large big tiny
demo cookie negative best high low quality bad worst
""".split()  # noqa: SIM905 - words read best as words


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Words and parts of words by number, and the merges that lead to it, in the order of their rank."""

    numbers: dict[str, int]
    merges: list[tuple[str, str]]

    def files(self) -> dict[str, bytes]:
        """The files of a diffusers `tokenizer/` folder, by name."""
        special = {"bos_token": START, "eos_token": END, "unk_token": END, "pad_token": END}
        config = {"tokenizer_class": "CLIPTokenizer", "model_max_length": 77, "do_lower_case": True, **special}
        lines = ["#version: 0.2", *(f"{left} {right}" for left, right in self.merges), ""]
        return {
            "vocab.json": orjson.dumps(self.numbers),
            "merges.txt": "\n".join(lines).encode(),
            "tokenizer_config.json": orjson.dumps(config, option=orjson.OPT_INDENT_2),
            "special_tokens_map.json": orjson.dumps(special, option=orjson.OPT_INDENT_2),
        }


def make_vocabulary() -> Vocabulary:
    """Learn the vocabulary from a list of words; the two special tokens come last."""
    alphabet = _byte_characters()
    merges = _train([[*word[:-1], word[-1] + _END_OF_WORD] for word in _WORDS])
    tokens = [*alphabet, *(each + _END_OF_WORD for each in alphabet), *("".join(pair) for pair in merges), START, END]
    return Vocabulary({token: number for number, token in enumerate(tokens)}, merges)


def _train(words: list[list[str]]) -> list[tuple[str, str]]:
    """Merges until every word is whole, each the most frequent pair after the one before; ties go by spelling."""
    merges = []
    while pairs := Counter(pair for word in words for pair in pairwise(word)):
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
