"""Inputs that hypothesis makes up, for what is written and read again: the same ones at every run."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st

from assetctl.types import can_be_name

# No test depends on the clock, on chance, or on what an earlier run left behind.
settings.register_profile("assetctl", derandomize=True, deadline=None, database=None, max_examples=100)
settings.load_profile("assetctl")

#: What means something in prompts, infotexts, paths, TOML or terminals.
_PIECES = (
    ",", ", ", '"', "'", "\\", "\n", "\r\n", "\r", "\t", "  ", ": ", ":", "(", ")", ":1.2)", "[", "]", "{", "}", "<",
    ">", "<lora:", "<lora:x:1>", "|", "/", "//", "..", ".", "-", "#", "=", "%2F", "?", "@", "*", "&", "+", '"""', "a",
    "Steps: 20", "Steps: 20, Sampler: x, Seed: 3", "\nNegative prompt: ", "AND", "b c", "1.5", "CON", "nul.txt", "猫",
    "é", "e\u0301", "🧑\u200d🎨", "Ã©", "İ", "ﬁ", "\uff1a", "\0", "\x1b[31m", "\x7f", "\u202e", "\u200b", "\ufeff",
    "\u2028",
)  # fmt: skip


def texts(most: int = 12) -> st.SearchStrategy[str]:
    """Texts of anything that Unicode has, and of what means something somewhere."""
    letters = st.text(st.characters(exclude_categories=["Cs"]), max_size=3)
    return st.lists(st.sampled_from(_PIECES) | letters, max_size=most).map("".join)


def names() -> st.SearchStrategy[str]:
    """Names that an asset can have."""
    return (
        texts(6)
        .map(lambda text: "".join(each for each in text if can_be_name(f"a{each}a")).strip())
        .filter(can_be_name)
    )
