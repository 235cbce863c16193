"""A step of ours against one of diffusers' own loop: the same network, the same calls of it, in one process by turns.

The picture is the demo's at 256 x 256, 20 steps of Euler a, as A1111 makes it and as diffusers' pipeline does. Where
other work waits for the processors, the processor's time tells more than the clock: a ratio is the median of those of
pairs, so that what both suffer from counts for neither. Peak memory is that of whole processes, one for each side.
`python benchmarks/run.py sampling` prints the ratios.
"""

from __future__ import annotations

import itertools
import resource
import statistics
import subprocess
import sys
import time
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from measure import Row

from assetctl.demo import demo_assets

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Sides = dict[str, Callable[[int], object]]

PROMPT, NEGATIVE, STEPS, SIDE = "a red star on a white background", "a blue circle", 20, 256


def rows(folder: Path, runs: int = 15) -> list[Row]:
    """Seconds of a step, and megabytes of a process."""
    registry_home = folder / "home"
    sides = _sides(registry_home)
    clocks = {"the clock": time.perf_counter, "the processor": time.process_time}
    taken: dict[tuple[str, str], list[float]] = {(name, clock): [] for name in sides for clock in clocks}
    for seed in range(runs + 1):
        for name in sorted(sides, reverse=bool(seed % 2)):  # each goes first as often as the other
            started = {clock: read() for clock, read in clocks.items()}
            sides[name](seed)
            for clock, read in clocks.items():
                taken[name, clock].append((read() - started[clock]) / STEPS)
    memory = {name: statistics.median(_peak(name, registry_home) for _ in range(3)) for name in ("ours", "theirs")}
    against = "diffusers' own loop"
    steps = []
    for clock in clocks:
        ours, theirs = taken["ours", clock][1:], taken["theirs", clock][1:]
        middle = statistics.median(theirs)
        ratio = statistics.median(one / other for one, other in zip(ours, theirs, strict=True))
        steps.append(Row(f"a step as A1111's, Euler a, by {clock}", against, ratio * middle, middle, 1.02))
    return [
        *steps,
        Row("the same, peak memory", against, memory["ours"], memory["theirs"], 1.0, "MB"),
        *_bare(),
    ]


def _bare() -> list[Row]:
    """Steps without a model, which answers at once; and noise off a Brownian path against torchsde's own tree."""
    import torch  # noqa: PLC0415 - as above
    import torchsde  # noqa: PLC0415 - likewise

    from assetctl.generation.sampling.noise import (  # noqa: PLC0415 - likewise
        Levels,
        brownian,
        karras,
    )
    from assetctl.generation.sampling.programs import course, first_and_between  # noqa: PLC0415 - likewise
    from assetctl.options import filled  # noqa: PLC0415 - likewise

    levels, found = Levels.scaled_linear(), []
    sigmas = karras(levels, STEPS)

    def loop(shape: tuple[int, ...]) -> None:
        settings = filled({"flavour": "a1111", "sampler": "DPM++ 2M", "steps": STEPS}, None, [])
        way = course("a1111", settings, levels)
        first, between = first_and_between("a1111", settings, 1, way.sigmas, shape, torch.zeros(1))
        way.run(lambda x, *_: (x, x), first, between, lambda *_: None)

    def ours(shape: tuple[int, ...], kind: str) -> None:
        path = brownian(kind, 1, sigmas, torch.zeros(shape))
        for start, end in itertools.pairwise(sigmas[:-1]):
            path(start, end)

    def theirs(shape: tuple[int, ...]) -> None:
        path = torchsde.BrownianTree(sigmas[-2], torch.zeros(shape), sigmas[0], entropy=1)
        for start, end in itertools.pairwise(sigmas[:-1]):
            path(end, start)

    for side in (96, 512):
        shape = (1, 4, side // 8, side // 8)
        found.append(Row(f"the loop alone, a step, {side} px", "a millisecond", _best(loop, shape), 0.001, 1.0))
        tree = _best(theirs, shape)
        for kind, goal in (("CPU", 0.7), ("NV", 2.0)):
            what = f"Brownian noise, a step, {kind}, {side} px"
            found.append(Row(what, "torchsde's, on the processor", _best(ours, shape, kind), tree, goal))
    return found


def _best(what: Callable[..., None], *given: object) -> float:
    """Seconds of a step where nothing else runs."""
    taken = []
    with warnings.catch_warnings():  # torchsde says of the ends that they are rounded
        warnings.simplefilter("ignore")
        for _ in range(10):
            start = time.perf_counter()
            what(*given)
            taken.append((time.perf_counter() - start) / STEPS)
    return min(taken)


def _sides(home: Path) -> Sides:
    """Both ways to a picture's latents, over one pipeline in fp32."""
    from diffusers import EulerAncestralDiscreteScheduler  # noqa: PLC0415 - imports torch

    from assetctl import Registry, Request  # noqa: PLC0415 - likewise
    from assetctl.generation.diffusers.kept import Loaded  # noqa: PLC0415 - likewise
    from assetctl.generation.diffusers.session import Painter, Session  # noqa: PLC0415 - likewise
    from assetctl.options import complete  # noqa: PLC0415 - likewise
    from assetctl.run import silent  # noqa: PLC0415 - likewise

    with Registry.open(home) as registry:
        registry.pull(str(demo_assets().checkpoint))
        asked: dict[str, Any] = {
            "steps": STEPS,
            "width": SIDE,
            "height": SIDE,
            "flavour": "a1111",
            "sampler": "Euler a",
        }
        plan, _ = registry.plan(Request.of(PROMPT, NEGATIVE, **asked))
    loaded = Loaded.load(plan, "cpu", "fp32", silent())
    pipeline, settings = loaded.pipeline, complete(plan.settings)
    painter = Painter(pipeline, Session.begin(plan, loaded).prompts, settings, "epsilon", loaded.scheduler_config)
    bare = replace(plan, settings=dict(plan.settings) | {"flavour": "diffusers"})
    prompts: Any = Session.begin(bare, loaded).prompts
    config = dict(loaded.scheduler_config) | {"timestep_spacing": "linspace"}

    def ours(seed: int) -> object:
        return painter.latents(seed, lambda *_: None)

    def theirs(seed: int) -> object:
        import torch  # noqa: PLC0415 - as above

        pipeline.scheduler = EulerAncestralDiscreteScheduler.from_config(config)
        return pipeline(
            **prompts,
            num_inference_steps=STEPS,
            guidance_scale=settings["cfg_scale"],
            width=SIDE,
            height=SIDE,
            generator=torch.Generator("cpu").manual_seed(seed),
            output_type="latent",
        )

    return {"ours": ours, "theirs": theirs}


def _peak(name: str, home: Path) -> float:
    """Megabytes that a process takes at most which samples one picture."""
    done = subprocess.run([sys.executable, __file__, name, str(home)], capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


if __name__ == "__main__":
    from pathlib import Path

    _sides(Path(sys.argv[2]))[sys.argv[1]](0)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
