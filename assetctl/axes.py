"""The axes of a grid: what differs between the pictures of one sheet, as a person writes it.

    checkpoint: dream, "other, v2"; lora whiskers: 0.4-1.2 (+0.4); steps: 10, 20; prompt cat: dog, horse

Ranges are those of A1111's X/Y/Z plot: `1-4`, `10-30 (+5)`, `4-10 [4]`. So is the search in prompts: its first value is
what stands there. A value in double quotes may hold anything, a double quote twice.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

from assetctl.errors import UsageError
from assetctl.options import OPTIONS, RANDOM, Option, check_weight, option, parse_sides, shown, together

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Kind = Literal["checkpoint", "vae", "lora", "weight", "prompt", "option"]

#: Cells of a grid, axes, and characters of what is written for one.
MAX_CELLS, MAX_AXES, _LONGEST = 400, 8, 50_000

#: What stands for no VAE but the checkpoint's own, and for no LoRA.
NONE = ("none", "automatic", "auto")

_EXAMPLE = "Write axes like 'checkpoint: a, b; lora whiskers: 0.4, 0.8; steps: 10-30 (+10)'."


@dataclass(frozen=True, slots=True)
class Value:
    """One value of an axis.

    Attributes:
        text: As it was written; of a number, as it is meant.
        settings: What it sets, of an option's axis.
    """

    text: str
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def is_none(self) -> bool:
        """Whether it stands for nothing."""
        return self.text.casefold() in NONE


@dataclass(frozen=True, slots=True)
class Axis:
    """Something that differs.

    Attributes:
        kind: `checkpoint`, `vae`, `lora` (which one), `weight` (of one), `prompt` (a word of it) or `option`.
        name: What it is called: `checkpoint`, `lora whiskers`, `steps`.
        about: The LoRA whose weight it is, or the word of the prompt.
        values: The first is what stands in the prompt already, of a word.
        labels: What they are called on a sheet.
    """

    kind: Kind
    name: str
    about: str
    values: tuple[Value, ...]
    labels: tuple[str, ...]

    def __str__(self) -> str:
        """As it is written."""
        head = {"weight": f"lora {_quoted(self.about)}", "prompt": f"prompt {_quoted(self.about)}"}
        return f"{head.get(self.kind, self.name)}: {', '.join(_quoted(each.text) for each in self.values)}"

    @property
    def settings(self) -> tuple[str, ...]:
        """The options that it sets."""
        return tuple(self.values[0].settings)


def parse_axes(text: str) -> tuple[Axis, ...]:
    """The axes that a text names.

    Raises:
        UsageError: It is no such text, there is no such axis, a value makes no sense, or there are too many.
    """
    if len(text) > _LONGEST:
        raise UsageError(f"--grid takes {_LONGEST:,} characters, not {len(text):,}.", _EXAMPLE)
    axes = tuple(_axis(*part) for part in _parts(text))
    if not axes:
        raise UsageError("--grid names no axis.", _EXAMPLE)
    see_axes(axes)
    return axes


def see_axes(axes: Sequence[Axis]) -> None:
    """See that axes make one grid.

    Raises:
        UsageError: Two are about the same, or there are too many of them, or of cells.
    """
    if len(axes) > MAX_AXES:
        raise UsageError(f"A grid has {MAX_AXES} axes at most, not {len(axes)}.", "Leave some out.")
    there: set[tuple[str, str]] = set()
    for axis in axes:
        own = {("option", name) for name in axis.settings} or {(axis.kind, axis.about)}
        if axis.kind != "lora" and own & there:
            raise UsageError(f"Two axes are about the same: {axis.name}.", "Write all its values in one.")
        there |= own
    cells = 1
    for axis in axes:
        cells *= len(axis.values)
    if cells > MAX_CELLS:
        raise UsageError(
            f"This grid would have {cells:,} cells, of {MAX_CELLS} at most.", "Ask for fewer values, or make several."
        )


#: A value in quotes, one without, or what ends either.
_PIECE = re.compile(r'\s*+(?:"(?P<quoted>(?:[^"]|"")*+)"[^\S\n]*+|(?P<plain>[^,;\n]*+))(?P<end>[,;\n]|\Z)')
#: What stands before a colon: a tag of a LoRA or a quoted text may hold one.
_HEAD = re.compile(r'(?P<name>(?:"(?:[^"]|"")*+"|<[^<>;\n]*+>|[^":;\n])*+):')


def _parts(text: str) -> Iterator[tuple[str, list[tuple[str, bool]]]]:
    """What stands before the colon of each axis, and its values; each with whether it was quoted."""
    place = 0
    while place < len(text):
        if text[place].isspace() or text[place] == ";":
            place += 1
            continue
        head = _HEAD.match(text, place)
        if head is None:
            raise UsageError(f"{shown(text[place : place + 60])} is no axis: it has no colon.", _EXAMPLE)
        place, values, end = head.end(), list[tuple[str, bool]](), ","
        while end == ",":
            piece = _PIECE.match(text, place)
            if piece is None or (piece["quoted"] is None and piece["plain"].lstrip().startswith('"')):
                raise UsageError(
                    f"{shown(text[place : place + 60].strip())} has quotes that do not enclose a value.",
                    'Enclose a whole value in double quotes; one within it is written twice: "a ""b"" c".',
                )
            if piece["quoted"] is not None:
                values.append((piece["quoted"].replace('""', '"'), True))
            elif piece["plain"].strip():
                values.append((piece["plain"].strip(), False))
            place, end = piece.end(), piece["end"]
        yield head["name"].strip(), values


def _quoted(text: str) -> str:
    plain = text and text == text.strip() and not re.search(r'[,;:"\n]|^<', text) and _range_of(text) is None
    return text if plain else '"' + text.replace('"', '""') + '"'


def _plain(name: str) -> str:
    return " ".join(re.sub(r"[\s_-]+|(?<=[^\W_])\.(?=\s|$)", " ", name.casefold()).split())


#: What A1111 and people call the axes that are no option.
_CALLED: dict[str, Kind] = {
    "checkpoint": "checkpoint", "checkpoints": "checkpoint", "checkpoint name": "checkpoint", "model": "checkpoint",
    "vae": "vae", "lora": "lora", "loras": "lora",
    "prompt": "prompt", "prompt s/r": "prompt", "prompt sr": "prompt", "s/r": "prompt",
}  # fmt: skip


#: What A1111's X/Y/Z plot and settings call options, where that is no other name of these already.
_OF_A1111 = {
    "var. seed": "variation_seed", "var. strength": "variation_strength", "variation strength": "variation_strength",
    "rng source": "noise", "random number generator source": "noise", "sigma min": "s_tmin", "sigma max": "s_tmax",
    "eta noise seed delta": "ensd", "emphasis mode": "emphasis", "stop at clip layers": "clip_skip",
    "sampling steps": "steps", "sampling method": "sampler", "scheduler type": "scheduler",
    "always discard next-to-last sigma": "discard_penultimate", "downcast alphas_cumprod": "half_levels",
    "downcast model alphas cumprod to fp16 before sampling": "half_levels", "sgm noise multiplier": "sgm_noise",
    "pad prompt/negative prompt": "pad_prompts", "pad prompt/negative prompt to be same length": "pad_prompts",
    "use old prompt editing timelines": "old_editing", "noise multiplier for s_noise": "s_noise",
}  # fmt: skip


def _options_by_name() -> dict[str, list[Option]]:
    """Options by whatever they are called; those that are written together by what they share."""
    found: dict[str, list[Option]] = {}
    for each in OPTIONS:
        for name in (each.name, *each.others):
            found.setdefault(_plain(name), [each])
    for shared in ("flag", "key", "field"):
        for name, several in together(shared).items():
            found.setdefault(_plain(name.removeprefix("--")), several)
    for name, meant in _OF_A1111.items():
        found.setdefault(_plain(name), [option(meant)])
    return found


def _axis(head: str, values: list[tuple[str, bool]]) -> Axis:
    """One axis, of what stands before its colon and of its values."""
    name, about = _named(head)
    if not values:
        raise UsageError(f"The axis {shown(head)} has no value.", _EXAMPLE)
    options = _options_by_name().get(name)
    kind = _CALLED.get(name)
    if kind == "lora" and about:
        return _weights(about, values)
    if kind == "prompt":
        return _words(about, [text for text, _ in values])
    if kind is not None and not about:
        texts = tuple(dict.fromkeys(text for text, _ in values))
        return Axis(kind, kind, "", tuple(map(Value, texts)), tuple(f"{kind}: {text}" for text in texts))
    if options is None or about:
        known = {*_CALLED, *_options_by_name()}
        near = difflib.get_close_matches(_plain(head), known, n=1)
        meant = f"Did you mean {near[0]}? " if near else ""
        own = ", ".join(together("flag")).replace("--", "")
        hint = f"{meant}There are: checkpoint, vae, lora, lora NAME, prompt WORD, {own}."
        raise UsageError(f"There is no axis {shown(head)}.", hint)
    return _of_options(options, values)


def _named(head: str) -> tuple[str, str]:
    """What an axis is called, and what it is about: of `lora whiskers`, the LoRA."""
    if _plain(head) in _CALLED or _plain(head) in _options_by_name():
        return _plain(head), ""
    for name in sorted(_CALLED, key=len, reverse=True):
        found = re.fullmatch(rf"{re.escape(name)}\s+(?P<about>\S.*)", head, re.IGNORECASE | re.DOTALL)
        if found:
            about = found["about"]
            quoted = re.fullmatch(r'"((?:[^"]|"")*)"', about, re.DOTALL)
            return name, quoted[1].replace('""', '"') if quoted else about
    return _plain(head), ""


def _words(about: str, texts: list[str]) -> Axis:
    """A word of the prompt and what takes its place; it comes first itself, unless it stands among these."""
    about = about or texts[0]
    if not about:
        raise UsageError("The axis prompt searches for nothing.", "Name a word of the prompt: 'prompt cat: dog'.")
    every = tuple(dict.fromkeys(texts if about in texts else [about, *texts]))
    return Axis(
        "prompt", f"prompt {about}", about, tuple(map(Value, every)), tuple(each or "(nothing)" for each in every)
    )


def _weights(about: str, values: list[tuple[str, bool]]) -> Axis:
    """Weights of a LoRA; `none` leaves it out."""
    name = f"lora {about}"
    numbers = dict.fromkeys(
        number for text, is_quoted in values for number in ([text] if is_quoted else _numbers(text, float, name))
    )
    found = []
    for text in numbers:
        if text.casefold() != "none":
            if not _NUMBER.fullmatch(text):
                raise UsageError(f"{shown(text)} is no weight for {shown(about)}.", "Write numbers: 0.4, 0.8, 1.2.")
            check_weight(float(text), shown(about))
        found.append(Value(text))
    return Axis("weight", name, about, tuple(found), tuple(f"{name}: {each.text}" for each in found))


def _of_options(options: Sequence[Option], values: list[tuple[str, bool]]) -> Axis:
    """The values of an option, or of some that are written together."""
    first = options[0]
    alone = len(options) == 1 < len(together("flag")[first.flag])
    name = (first.name if alone else first.key).replace("_", " ")
    found: dict[object, Value] = {}
    for text, is_quoted in values:
        several = [text] if is_quoted or len(options) > 1 else _numbers(text, first.type, name)
        for each in several:
            settings = parse_sides(options, each) if len(options) > 1 else {first.name: _typed(first, each)}
            settings = {one.name: one.checked(settings[one.name]) for one in options}
            said = "x".join(map(_said, settings.values()))
            by_chance = first.name == "seed" and settings["seed"] == RANDOM  # which is another one each time
            found.setdefault(len(found) if by_chance else said, Value(said, settings))
    made = tuple(found.values())
    return Axis("option", name, "", made, tuple(f"{name}: {each.text}" for each in made))


def _said(value: object) -> str:
    return repr(value).removesuffix(".0") if isinstance(value, float) else str(value)


def _typed(option: Option, text: str) -> Any:  # noqa: ANN401 - of the option's type
    """The value that a text means; what it does not mean stays one, and the option says what is wrong with it."""
    if option.type is bool:
        return {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}.get(
            text.casefold(), text
        )
    if option.type is int and re.fullmatch(r"[+-]?[0-9]{1,20}", text):
        return int(text)
    if option.type is float and _NUMBER.fullmatch(text):
        return float(text)
    return text


#: Digits behind the point of a range that is parted: a third of a weight has no end.
_DIGITS_OF_PARTS = 4

_DIGITS = r"[0-9]{1,20}(?:\.[0-9]{0,20})?|\.[0-9]{1,20}"
_NUMBER = re.compile(rf"[+-]?(?:{_DIGITS})")
_RANGE = re.compile(
    rf"(?P<first>[+-]?(?:{_DIGITS}))\s*-\s*(?P<last>[+-]?(?:{_DIGITS}))\s*"
    rf"(?:\(\s*(?P<step>[+-](?:{_DIGITS}))\s*\)|\[\s*(?P<count>[0-9]{{1,9}})\s*\])?"
)


def _range_of(text: str) -> re.Match[str] | None:
    return _RANGE.fullmatch(text)


def _numbers(text: str, kind: type, name: str) -> list[str]:
    """The numbers that a text stands for, if it is a range of them; else the text alone."""
    found = _range_of(text) if kind in (int, float) else None
    if found is None:
        return [text]
    first, last = Decimal(found["first"]), Decimal(found["last"])
    if found["count"] is not None:
        count = int(found["count"])
        step = (last - first) / max(count - 1, 1)
    else:
        step = Decimal(found["step"] or (1 if last >= first else -1))
        count = 0 if step == 0 else int((last - first) / step) + 1 if (last - first) / step >= 0 else 0
    if not 0 < count <= MAX_CELLS:
        few = "no values" if count <= 0 else f"{count:,} values, of {MAX_CELLS} at most"
        raise UsageError(f"The range {shown(text)} of {name} has {few}.", "Write it like 1-4, 10-30 (+5) or 4-10 [4].")
    numbers = [first + step * number for number in range(count)]
    if kind is int and all(each == int(each) for each in (first, last)) and found["count"] is not None:
        return [str(int(each)) for each in numbers]  # as A1111 rounds them
    return [_decimal(each if found["count"] is None else round(each, _DIGITS_OF_PARTS)) for each in numbers]


def _decimal(number: Decimal) -> str:
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
