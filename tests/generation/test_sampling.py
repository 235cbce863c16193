"""Samplers, schedules and noise of A1111 and ComfyUI, beside what their own code makes of a model that is a formula."""

from __future__ import annotations

import itertools
import time
import warnings
from typing import Any

import pytest
from tables import cases

from assetctl.options import filled
from assetctl.samplers import AUTOMATIC, canonical_sampler, canonical_scheduler, listing

pytestmark = pytest.mark.generation

torch = pytest.importorskip("torch")

#: Final latents at row 3, column 5 of each channel.
RUNS = [
    tuple(each[key] for key in ("program", "sampler", "schedule", "noise", "steps", "latents"))
    for each in cases("sampling/programs")
]
SHAPE = (1, 4, 12, 12)


def formula(x, sigma, at):
    """What the formula takes for the picture, guided by 7 and away from the prompt."""
    whole = (sigma**2 + 1) ** 0.5
    away = 0.9 * (x / whole) + 0.1 * torch.sin(x / whole + at / 300)
    towards = away + 0.03 * torch.cos(x / whole + at / 200)
    away, towards = x - away * sigma, x - towards * sigma
    return away + (towards - away) * 7, away


def run(flavour: str, sampler: str, schedule: str, steps: int, guess=formula, shape=SHAPE, **asked: Any):
    from assetctl.generation.sampling.noise import Levels
    from assetctl.generation.sampling.programs import course, first_and_between

    known = {"flavour": flavour, "sampler": canonical_sampler(sampler), "scheduler": canonical_scheduler(schedule)}
    settings = filled(known | {"steps": steps} | asked, None, [])
    kept = torch.float32 if flavour == "a1111" else torch.float64
    way = course(flavour, settings, Levels.scaled_linear(kept_as=kept))
    first, between = first_and_between(flavour, settings, 7, way.sigmas, shape, torch.zeros(1))
    return way.run(guess, first, between, lambda *_: None)


def test_latents_are_those_of_the_programs_own_code():
    for flavour, sampler, schedule, noise, steps, figures in RUNS:
        found = run(flavour, sampler, schedule, steps, noise=noise)[0, :, 3, 5]
        assert found.tolist() == pytest.approx(figures, abs=2e-4, rel=2e-5), (flavour, sampler, schedule, noise, steps)


def test_every_sampler_of_the_programs_is_there():
    names = {(flavour, sampler) for flavour, sampler, *_ in RUNS}
    assert len([name for flavour, name in names if flavour == "comfyui"]) == 42
    assert len([name for flavour, name in names if flavour == "a1111"]) == 20


#: What is usual, and what does not end in 0.
FEW = ("Automatic", "KL Optimal")


def few_steps(flavour: str, schedules) -> None:
    for sampler, schedule, steps in itertools.product(listing().samplers, schedules, (1, 2, 3, 4)):
        latents = run(flavour, sampler.name, schedule, steps, shape=(1, 4, 2, 2), noise="CPU")
        assert torch.isfinite(latents).all(), (sampler.name, schedule, steps)


@pytest.mark.parametrize("flavour", ["a1111", "comfyui"])
def test_few_steps_are_enough_for_every_sampler(flavour: str):
    few_steps(flavour, FEW)


@pytest.mark.parametrize("flavour", ["a1111", "comfyui"])
@pytest.mark.parametrize("every", [pytest.param(8, marks=pytest.mark.slow), pytest.param(1, marks=pytest.mark.long)])
def test_few_steps_are_enough_for_every_sampler_and_schedule(flavour: str, every: int):
    few_steps(flavour, [each.name for each in listing().schedules if each.name not in FEW][::every])


def test_steps_are_aligned_as_each_program_has_them():
    from assetctl.generation.sampling.noise import Levels
    from assetctl.generation.sampling.programs import course

    for flavour, sdxl, figures in (
        (
            "a1111",
            False,
            (14.615, 6.9724, 4.2416, 2.9742, 2.148, 1.6006, 1.1792, 0.8357, 0.5703, 0.3348, 0.1307, 0.029),
        ),
        ("comfyui", False, (14.6146, 7.4155, 4.5892, 3.2266, 2.3917, 1.792, 1.3944, 1.0254, 0.7431, 0.5094, 0.2883)),
        ("comfyui", True, (14.6146, 7.2662, 4.4767, 2.8669, 1.8544, 1.2454, 0.8621, 0.5973, 0.431, 0.2977, 0.1823)),
    ):
        asked = {"flavour": flavour, "scheduler": "Align Your Steps", "steps": 12}
        sigmas = course(flavour, filled(asked, None, []), Levels.scaled_linear(), sdxl=sdxl).sigmas
        assert sigmas[: len(figures)].tolist() == pytest.approx(figures, abs=1e-3), (flavour, sdxl)
        assert len(sigmas) == 13
        assert sigmas[-1] == 0


def test_a_brownian_path_is_torchsdes():
    torchsde = pytest.importorskip("torchsde")
    from assetctl.generation.sampling import noise as of
    from assetctl.generation.sampling.noise import brownian

    known = of.Levels.scaled_linear()
    for schedule, steps in itertools.product((of.karras, of.uniform, of.beta_of_levels), (2, 9)):
        sigmas, like = schedule(known, steps), torch.zeros(1, 4, 3, 3)
        ours = brownian("CPU", 11, sigmas, like)
        with warnings.catch_warnings():  # of levels that are rounded below the lowest or above the highest
            warnings.simplefilter("ignore")
            theirs = torchsde.BrownianTree(sigmas[-2], like, sigmas[0], entropy=11)
            for start, end in itertools.pairwise(sigmas[:-1]):
                expected = -theirs(end, start) / (start - end).sqrt()
                assert torch.equal(ours(start, end), expected), (steps, start, end)


def test_a_step_costs_little_beside_the_model():
    took = []
    for _ in range(3):
        begun = time.perf_counter()
        run("a1111", "Euler a", AUTOMATIC, 20, lambda x, *_: (x, x), noise="CPU")
        took.append((time.perf_counter() - begun) / 20)
    assert min(took) < 0.005  # it is a tenth of that, where nothing else runs


def test_what_is_said_of_eta_and_churn_is_so():
    from assetctl.samplers import takes_churn, takes_eta

    for sampler, flavour in itertools.product([each.name for each in listing().samplers], ("a1111", "comfyui")):

        def made(sampler: str = sampler, flavour: str = flavour, **asked: float):
            return run(flavour, sampler, AUTOMATIC, 5, shape=(1, 4, 4, 4), **asked)

        assert torch.equal(made(eta=0.4), made(eta=0.6)) is not takes_eta(sampler, flavour), (sampler, flavour)
        assert torch.equal(made(), made(s_churn=5.0)) is not takes_churn(sampler, flavour), (sampler, flavour)
