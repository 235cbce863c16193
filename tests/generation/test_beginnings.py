"""Where diffusers' schedulers begin, and what they make of a checkpoint's own configuration."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from assetctl.samplers import SAMPLERS

pytestmark = [pytest.mark.generation, pytest.mark.filterwarnings("ignore")]

pytest.importorskip("diffusers")

BASE = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}
CONFIGS: dict[str, dict[str, Any]] = {
    "nothing": {}, "leading": {"timestep_spacing": "leading"}, "linspace": {"timestep_spacing": "linspace"},
    "trailing": {"timestep_spacing": "trailing"}, "clipped": {"clip_sample": True, "thresholding": True},
}  # fmt: skip
# one of each class: those of DPM2 take most of a second to make
NAMES = [name for name, each in SAMPLERS.items() if each.scheduler and not name.endswith("Karras")]


def times(name: str, steps: int, config: dict[str, Any], **more: Any) -> list[float]:
    from assetctl.generation.diffusers.pipeline import make_scheduler

    scheduler = make_scheduler(BASE | config, name, None, steps, **more)
    scheduler.set_timesteps(steps)
    known = inspect.signature(type(scheduler).__init__).parameters
    assert not any(scheduler.config[key] for key in ("clip_sample", "thresholding") if key in known)
    return [float(each) for each in scheduler.timesteps]


@pytest.mark.parametrize("name", NAMES)
def test_the_first_step_is_where_all_is_noise(name: str):
    for called, steps in (("leading", 1), ("linspace", 33), ("clipped", 4)):
        assert times(name, steps, CONFIGS[called])[0] == pytest.approx(999, abs=0.6), (called, steps)


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_and_a_single_file_step_alike(name: str):
    assert times(name, 20, CONFIGS["leading"]) == times(name, 20, CONFIGS["nothing"])
    if not name.startswith("DPM2"):
        assert times(name, 4, CONFIGS["leading"], few=True) == times(name, 4, CONFIGS["trailing"])


def test_pictures_of_old_step_as_each_checkpoint_said():
    from assetctl.generation.diffusers.pipeline import make_scheduler

    scheduler = make_scheduler(BASE | {"timestep_spacing": "leading"}, "Euler", None)
    scheduler.set_timesteps(4)
    assert float(scheduler.timesteps[0]) == 751


def test_a_record_that_names_no_flavour_is_of_old():
    from assetctl.operations.make.from_picture import recipe_of_record

    record = {
        "version": 1, "prompt": "a cat", "negative_prompt": "", "steps": 2, "cfg_scale": 7.0, "sampler": "DDIM",
        "seed": 3, "width": 64, "height": 64, "assets": [], "prediction": None, "environment": {},
    }  # fmt: skip
    settings = recipe_of_record(record, "The record").request.settings
    assert (settings["flavour"], settings["scheduler"], settings["noise"]) == ("legacy", "Automatic", "CPU")
    newer = recipe_of_record(record | {"flavour": "comfyui", "sgm_noise": True}, "The record").request.settings
    assert (newer["flavour"], newer["sgm_noise"]) == ("comfyui", True)


def test_ddim_draws_what_euler_draws():
    import numpy as np
    import torch
    from diffusers import StableDiffusionPipeline

    from assetctl.demo import demo_assets
    from assetctl.generation.diffusers.pipeline import make_scheduler

    family = demo_assets()
    pipe = StableDiffusionPipeline.from_single_file(
        str(family.checkpoint), config=str(family.config), local_files_only=True, torch_dtype=torch.float32
    )
    pipe.set_progress_bar_config(disable=True)
    config, pictures = pipe.scheduler.config, []
    for name in ("Euler", "DDIM"):
        pipe.scheduler = make_scheduler(config, name, None, 12)
        generator = torch.Generator().manual_seed(7)
        pictures.append(pipe("a red star", generator=generator, num_inference_steps=12, output_type="np").images[0])
    assert np.abs(pictures[0] - pictures[1]).mean() < 0.05
