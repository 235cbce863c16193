"""What the demo family can do, counted in its pictures: `python examples/demo_family/evaluate.py`.

Generates with the shipped files and assetctl alone, as anyone would, and prints a row for each promise: on how many
of its prompts it was kept, on how many it seemed kept with the feature switched off, and how many are enough.
"""

from __future__ import annotations

import argparse
import itertools
import math
import random
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from measuring import background, colour, has_watermark, paint, shape, tone
from PIL import Image
from scenes import COLOURS, SHAPES, held_out

from assetctl import Output, Registry, Request
from assetctl.demo import demo_assets
from assetctl.generation.diffusers import DiffusersBackend
from assetctl.samplers import AUTOMATIC, FOR_FLOW, SAMPLERS, SCHEDULERS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

PROMPTS = 64
STEPS = 12

_GRAYS = ("white", "black", "gray")


@dataclass(frozen=True, slots=True)
class Wish:
    """A picture to ask for."""

    shape: str
    colour: str
    background: str
    seed: int

    @property
    def prompt(self) -> str:
        """All of it in words."""
        return f"{_a(self.colour)} {self.shape} on {_a(self.background)} background"


@dataclass(frozen=True, slots=True)
class Row:
    """One promise and how it was kept.

    Attributes:
        hits: Prompts on which it was kept.
        without: Prompts on which it seemed kept with the feature switched off.
        threshold: Share of the prompts that is enough.
    """

    attribute: str
    prompts: int
    hits: int
    without: int
    threshold: float

    @property
    def kept(self) -> bool:
        """Enough hits, and too few of them by chance."""
        return self.hits >= self.threshold * self.prompts > self.without


class Studio:
    """Makes pictures with the shipped files, each only once."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._registry = Registry.open(home)
        self._backend = DiffusersBackend()
        self._made: dict[tuple[object, ...], Image.Image] = {}
        files = demo_assets()
        self._registry.import_files(files.checkpoint, files.style, files.subject, files.embedding, files.negative)

    def close(self) -> None:
        """Let go of the catalog."""
        self._registry.close()

    def picture(
        self,
        prompt: str,
        seed: int,
        *,
        loras: tuple[str, ...] = (),
        embeddings: tuple[str, ...] = (),
        negative: str = "",
        steps: int = STEPS,
        **settings: Any,  # noqa: ANN401 - options of a picture
    ) -> Image.Image:
        """The picture of a prompt."""
        key = (prompt, seed, loras, embeddings, negative, steps, *settings.items())
        if key not in self._made:
            # a home that was evaluated before has pictures of these names
            output = Output(self._home / "pictures" / f"{len(self._made)}.png", force=True)
            request = Request.of(
                prompt,
                negative,
                loras=loras,
                embeddings=embeddings,
                output=output,
                steps=steps,
                seed=seed,
                **settings,
            )
            result = self._registry.generate(request, backend=self._backend)
            self._made[key] = Image.open(result.images[0].path).convert("RGB")
        return self._made[key]


def wishes(count: int, *, shown: bool = True) -> list[Wish]:
    """Wishes by chance; of combinations that were shown in training, or of those that never were."""
    chance = random.Random(f"wishes {shown}")
    found: list[Wish] = []
    while len(found) < count:
        behind = chance.choice(list(COLOURS))
        front = chance.choice([name for name in COLOURS if name != behind])
        wish = Wish(SHAPES[len(found) % len(SHAPES)], front, behind, len(found))
        if held_out(wish.shape, wish.colour, wish.background) is not shown:
            found.append(wish)
    return found


def _count(asked: Sequence[Wish], is_kept: Callable[[Wish], bool]) -> int:
    return sum(is_kept(wish) for wish in asked)


def _prompts(studio: Studio, asked: Sequence[Wish], note: str) -> Iterator[Row]:
    def told(wish: Wish) -> Image.Image:
        return studio.picture(wish.prompt, wish.seed)

    def without_colour(wish: Wish) -> Image.Image:
        return studio.picture(f"a {wish.shape} on {_a(wish.background)} background", wish.seed)

    def without_background(wish: Wish) -> Image.Image:
        return studio.picture(f"{_a(wish.colour)} {wish.shape}", wish.seed)

    def without_shape(wish: Wish) -> Image.Image:
        return studio.picture(f"{_a(wish.background)} background", wish.seed)

    measures = (
        ("colour", colour, without_colour, 0.95),
        ("background", background, without_background, 0.95),
        ("shape", shape, without_shape, 0.9),
    )
    for name, measure, untold, threshold in measures:
        hits = _count(asked, lambda wish: measure(told(wish)) == getattr(wish, name))  # noqa: B023 - used at once
        chance = _count(asked, lambda wish: measure(untold(wish)) == getattr(wish, name))  # noqa: B023 - used at once
        yield Row(name + note, len(asked), hits, chance, threshold)


def _style(studio: Studio, asked: Sequence[Wish]) -> Iterator[Row]:
    def vintage(wish: Wish, weight: float | None) -> Image.Image:
        loras = () if weight is None else (f"demo-vintage:{weight}",)
        return studio.picture(f"{wish.prompt}, vintage", wish.seed, loras=loras)

    def toned(wish: Wish, weight: float | None) -> float:
        return tone(vintage(wish, weight), wish.background)

    def grows(wish: Wish, low: float, middle: float, high: float) -> bool:
        first, second, third = (toned(wish, weight) for weight in (low, middle, high))
        return first + 0.05 < second < third - 0.05

    def like_base(wish: Wish, weight: float) -> bool:
        return vintage(wish, weight).tobytes() == vintage(wish, None).tobytes()

    count = len(asked)
    hits, without = (_count(asked, lambda wish: toned(wish, weight) > _TONED) for weight in (1.0, None))  # noqa: B023
    yield Row("style LoRA at 1: toned borders", count, hits, without, 0.9)
    hits, without = (_count(asked, lambda wish: like_base(wish, weight)) for weight in (0.0, 1.0))  # noqa: B023
    yield Row("style LoRA at 0: the base picture, to the byte", count, hits, without, 1.0)
    for wish in asked:  # one weight after the other, so that each is loaded once
        vintage(wish, 0.5)
    hits, without = (_count(asked, lambda wish: grows(wish, *steps)) for steps in ((0.0, 0.5, 1.0), (0.0, 0.0, 0.0)))  # noqa: B023
    yield Row("style LoRA: 1 more than 0.5 more than 0", count, hits, without, 0.9)


def _subject(studio: Studio, asked: Sequence[Wish]) -> Iterator[Row]:
    def cat(wish: Wish, *loras: str) -> Image.Image:
        prompt = f"{_a(wish.colour)} cat on {_a(wish.background)} background"
        return studio.picture(prompt + ", vintage" * (len(loras) > 1), wish.seed, loras=loras)

    def both(wish: Wish, *loras: str) -> bool:
        image = cat(wish, *loras)
        return shape(image) == "cat" and tone(image, wish.background) > _TONED

    count = len(asked)
    hits, without = (_count(asked, lambda wish: shape(cat(wish, *loras)) == "cat") for loras in (("demo-cat",), ()))  # noqa: B023
    yield Row("subject LoRA at 1: a cat", count, hits, without, 0.9)
    pair = ("demo-cat", "demo-vintage:0.8")
    hits, without = (_count(asked, lambda wish: both(wish, *loras)) for loras in (pair, pair[:1]))  # noqa: B023
    yield Row("both LoRAs: a cat, toned borders", count, hits, without, 0.9)


#: How far the corners have gone to brown in a picture with toned borders.
_TONED = 0.25


def _embeddings(studio: Studio, asked: Sequence[Wish]) -> Iterator[Row]:
    def asked_for(wish: Wish) -> bool:
        prompt = f"a demo-cookie on {_a(wish.background)} background"
        return is_cookie(studio.picture(prompt, wish.seed, embeddings=("demo-cookie",)))

    def not_asked_for(wish: Wish) -> bool:
        return is_cookie(studio.picture(wish.prompt, wish.seed, embeddings=("demo-cookie",)))

    def is_cookie(image: Image.Image) -> bool:
        return colour(image) == "brown" and shape(image) == "circle"

    def clean(wish: Wish, *embeddings: str) -> bool:
        image = studio.picture(wish.prompt, wish.seed, embeddings=embeddings, negative=", ".join(embeddings))
        return not has_watermark(image)

    count = len(asked)
    hits, without = _count(asked, asked_for), _count(asked, not_asked_for)
    yield Row("embedding in the prompt: a brown disc", count, hits, without, 0.9)
    yield Row("embedding not in the prompt: none", count, count - without, count - hits, 0.95)
    hits, without = (_count(asked, lambda wish: clean(wish, *chosen)) for chosen in (("demo-negative",), ()))  # noqa: B023
    yield Row("negative embedding: no mark in the corner", count, hits, without, 0.95)


def _weights(studio: Studio, asked: Sequence[Wish]) -> Iterator[Row]:
    """Two colours in one prompt: a weight decides which of them the shape takes."""

    def leaning(wish: Wish, weight: float, negative: float = 0) -> float:
        """How far the shape's colour is from the first to the second: 0 to 1."""
        first, second = _two_colours(wish)
        prompt = f"{_a(first)} and {_weighted(second, weight)} {wish.shape} on {_a(wish.background)} background"
        unwanted = _weighted(f"{second} {wish.shape}", negative) if negative else ""
        image = studio.picture(prompt, wish.seed, negative=unwanted)
        way = np.array(COLOURS[second]) - COLOURS[first]
        return float((paint(image) - COLOURS[first]) @ way / (way @ way))

    def drawn(wish: Wish, low: float, high: float) -> bool:
        return leaning(wish, high) > leaning(wish, low) + 0.05

    def pushed(wish: Wish, low: float, high: float) -> bool:
        return leaning(wish, 1.2, negative=high) < leaning(wish, 1.2, negative=low) - 0.005

    count = len(asked)
    hits, without = (_count(asked, lambda wish: drawn(wish, *pair)) for pair in ((0.6, 1.4), (0.6, 0.6)))  # noqa: B023
    yield Row("prompt: (colour: 1.4) nearer to it than (colour: 0.6)", count, hits, without, 0.9)
    hits, without = (_count(asked, lambda wish: pushed(wish, *pair)) for pair in ((0.6, 1.4), (0.6, 0.6)))  # noqa: B023
    yield Row("negative: (colour: 1.4) farther from it than (colour: 0.6)", count, hits, without, 0.9)


#: For samplers and schedules: their steps, and for how many prompts of other rows they have one, as there are many.
_USUAL_STEPS, _FEWER = 20, 6

#: Samplers that every schedule is tried with: the one that is taken, and one without new noise.
_WITH_SCHEDULES = ("Euler a", "DPM++ 2M")


#: Those that go by slopes further back, or along one for long, overshoot where a strong guidance bends the way. The
#: demo knows a picture from its prompt alone: with a CFG of 7, its first guess is ten times as large as a picture.
_OVERSHOOT, _GENTLE = ("LMS", "PLMS", "IPNDM", "IPNDM_V", "DEIS", "DPM fast", "RES a", "Gradient Estimation"), 3.0

#: Set by `--strict`.
_STRICT: list[bool] = []

Way: TypeAlias = tuple[str, dict[str, Any]]


def _way(flavour: str, sampler: str, scheduler: str = AUTOMATIC) -> Way:
    """What a sampler with a schedule is called, and how it is asked for."""
    called = sampler if scheduler == AUTOMATIC else f"{sampler}, {scheduler}"
    gentle = {"cfg_scale": _GENTLE} if sampler in _OVERSHOOT and not _STRICT else {}
    if gentle:
        called += f", CFG {_GENTLE:g}"
    return f"{flavour}: {called}", {"flavour": flavour, "sampler": sampler, "scheduler": scheduler, **gentle}


def ways() -> list[Way]:
    """All samplers and schedules in the ways of A1111 and ComfyUI."""
    found = []
    for flavour in ("a1111", "comfyui"):
        found += [_way(flavour, name) for name in SAMPLERS]
        schedules = [each for each in SCHEDULERS if each != AUTOMATIC and (_STRICT or each not in FOR_FLOW)]
        found += [_way(flavour, *each) for each in itertools.product(_WITH_SCHEDULES, schedules)]
    return found


#: One way of each kind, where few prompts are asked for.
_FEW_WAYS = (
    _way("a1111", "Euler a"),
    _way("comfyui", "DPM++ 2M", "Karras"),
    _way("a1111", "DPM++ 2M SDE", "Exponential"),
    _way("comfyui", "UniPC", "SGM Uniform"),
    _way("a1111", "DDIM"),
    _way("comfyui", "LMS", "Beta"),
)


def _samplers(studio: Studio, count: int) -> Iterator[Row]:
    """Each sampler and schedule draws the colour that is asked for; another prompt's colour is there by chance."""
    few = count < 2 * _FEWER
    asked = wishes(_FEWER)[-1:] if few else wishes(count // _FEWER)
    for called, settings in _FEW_WAYS if few else ways():
        found = [colour(studio.picture(wish.prompt, wish.seed, steps=_USUAL_STEPS, **settings)) for wish in asked]
        hits = sum(name == wish.colour for name, wish in zip(found, asked, strict=True))
        chance = sum(name == wish.colour for name, wish in zip(found, asked[1:], strict=False))
        yield Row(f"colour, {called}", len(asked), hits, chance, 0.9)


#: The promises, by what makes them, in the order of the table.
PARTS: dict[str, Callable[[Studio, int], Iterator[Row]]] = {
    "prompts": lambda studio, count: _prompts(studio, wishes(count), ""),
    "prompts never shown": lambda studio, count: _prompts(studio, wishes(count, shown=False), ", never shown together"),
    "style LoRA": lambda studio, count: _style(studio, wishes(count)),
    "subject LoRA": lambda studio, count: _subject(studio, wishes(count)),
    "embeddings": lambda studio, count: _embeddings(studio, wishes(count)),
    "weights": lambda studio, count: _weights(studio, wishes(count)),
    "samplers": _samplers,
}


def _two_colours(wish: Wish) -> tuple[str, str]:
    """Two colours far from each other, neither of them gray nor the background's."""
    others = [name for name in COLOURS if name not in (*_GRAYS, wish.background)]
    first = others[wish.seed % len(others)]
    return first, max(others, key=lambda name: math.dist(COLOURS[first], COLOURS[name]))


def _weighted(word: str, weight: float) -> str:
    return word if weight == 1 else f"({word}: {weight})"


def _a(word: str) -> str:
    return f"an {word}" if word[0] in "aeiou" else f"a {word}"


def main() -> int:
    """Print the table; the exit code says whether every promise was kept."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--prompts", type=int, default=PROMPTS, help="How many for each promise.")
    options.add_argument("--part", choices=PARTS, help="These rows alone.")
    options.add_argument("--strict", action="store_true", help="Samplers and schedules that ruin too, with a CFG of 7.")
    given = options.parse_args()
    _STRICT[:] = [True] * given.strict
    print(f"{'attribute':58} {'prompts':>7} {'hits':>5} {'without':>7} {'enough':>6}")
    missed = 0
    with tempfile.TemporaryDirectory() as home:
        studio = Studio(Path(home))
        parts = [PARTS[given.part]] if given.part else PARTS.values()
        for row in itertools.chain.from_iterable(part(studio, given.prompts) for part in parts):
            missed += not row.kept
            mark = "" if row.kept else "  missed"
            enough = round(row.threshold * row.prompts + 0.499)
            print(f"{row.attribute:58} {row.prompts:7} {row.hits:5} {row.without:7} {enough:6}{mark}", flush=True)
        studio.close()
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
