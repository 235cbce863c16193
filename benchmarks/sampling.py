"""A step of ours against one of diffusers' own loop: the same network, the same calls of it, in one process by turns.

The picture is the demo's at 256 x 256, 20 steps of Euler a, as A1111 makes it and as diffusers' pipeline does. Peak
memory is that of whole processes, one for each side. `python benchmarks/run.py sampling` prints the ratios.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import time
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
    taken: dict[str, list[float]] = {name: [] for name in sides}
    for seed in range(runs + 1):
        for name in sorted(sides, reverse=bool(seed % 2)):  # each goes first as often as the other
            start = time.perf_counter()
            sides[name](seed)
            taken[name].append((time.perf_counter() - start) / STEPS)
    ours, theirs = (statistics.median(taken[name][1:]) for name in ("ours", "theirs"))
    memory = {name: statistics.median(_peak(name, registry_home) for _ in range(3)) for name in ("ours", "theirs")}
    against = "diffusers' own loop"
    return [
        Row("a step as A1111's, Euler a", against, ours, theirs, 1.02),
        Row("the same, peak memory", against, memory["ours"], memory["theirs"], 1.0, "MB"),
    ]


def _sides(home: Path) -> Sides:
    """Both ways to a picture's latents, over one pipeline in fp32."""
    from diffusers import EulerAncestralDiscreteScheduler  # noqa: PLC0415 - imports torch

    from assetctl import Registry, Request  # noqa: PLC0415 - likewise
    from assetctl.generation.diffusers.flavoured import Painter  # noqa: PLC0415 - likewise
    from assetctl.generation.diffusers.session import Loaded, Session  # noqa: PLC0415 - likewise
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
