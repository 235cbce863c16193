"""Pictures as A1111 and ComfyUI make them, beside what their own samplers made."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from generation import tiny

from assetctl.demo import demo_assets
from assetctl.options import filled
from assetctl.samplers import canonical_sampler

if TYPE_CHECKING:
    from collections.abc import Sequence

pytestmark = [pytest.mark.generation, pytest.mark.filterwarnings("ignore")]

torch = pytest.importorskip("torch")
pytest.importorskip("diffusers")

CASES = Path(__file__).resolve().parents[3] / "shared" / "corpus" / "parity"

#: One of each way to begin, to draw noise and to end.
FEW = ("A1111 RNG=NV UniPC", "A1111 RNG=CPU DPM++ 2M SDE / Automatic", "ComfyUI lms / normal")

#: What was measured: the prompts, the seed; all else is as usual.
PROMPTS = ("a red star on a white background", "a blue circle")


def load(prompt: str = PROMPTS[0], negative: str = PROMPTS[1]):
    from assetctl.generation.diffusers.kept import Loaded
    from assetctl.run import silent

    family = demo_assets()
    checkpoint = tiny.asset(family.checkpoint, "checkpoint", "sd1")
    plan = tiny.plan(
        checkpoint,
        prompt,
        negative=negative,
        steps=20,
        width=96,
        height=96,
        tokenizer=family.config,
        prediction="epsilon",
    )
    return plan, Loaded.load(plan, "cpu", "fp32", silent())


@pytest.fixture(scope="module")
def painting():
    """Makes latents and pixels of a run, one thread to a model so small."""
    from dataclasses import replace

    from assetctl.generation.diffusers.session import Painter, Session

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    plan, loaded = load()

    def paint(flavour: str, sampler: str, **asked: Any):
        asked = {"flavour": flavour, "sampler": canonical_sampler(sampler), **asked}
        settings = filled(dict(plan.settings) | asked, None, [])
        session = Session.begin(replace(plan, settings=settings), loaded)
        painter = Painter(loaded.pipeline, session.prompts, settings, "epsilon", loaded.scheduler_config)
        steps = []
        latents = painter.latents(7, lambda *step: steps.append(step[:2]))
        return latents, painter.image(latents), steps

    yield paint
    torch.set_num_threads(threads)


def as_asked(name: str) -> dict[str, Any]:
    """`A1111 RNG=CPU Euler / Karras` as it is asked for."""
    from assetctl.options import option

    program, _, rest = name.partition(" ")
    noise, rest = rest.removeprefix("RNG=").split(" ", 1) if program == "A1111" else ("CPU", rest)
    sampler, _, schedule = rest.partition(" / ")
    scheduler = option("scheduler").checked(schedule or "Automatic")
    return {"flavour": program.lower(), "sampler": sampler, "scheduler": scheduler, "noise": noise}


def compare(painting, names) -> None:
    import numpy as np
    from safetensors.torch import load_file

    if not CASES.is_dir():
        pytest.skip("no pictures of other programs beside the checkout")
    latents, pixels = load_file(CASES / "latents.safetensors"), np.load(CASES / "pixels.npz")
    for name in names or latents:
        ours, image, _ = painting(**as_asked(name))
        assert (ours - latents[name]).abs().max() < 5e-4, name
        off = np.abs(np.asarray(image).astype(int) - pixels[name.replace("/", "|")])
        assert off.max() <= 1, name
        assert (off > 0).mean() < 0.002, name


def test_a_picture_is_the_one_that_a_program_made(painting):
    compare(painting, FEW)


@pytest.mark.slow
def test_every_picture_is_the_one_that_a_program_made(painting):
    compare(painting, ())


def test_steps_are_told_once_each_and_to_the_end(painting):
    for flavour, sampler, count in (("a1111", "Euler", 3), ("a1111", "Heun", 3), ("comfyui", "UniPC", 3)):
        assert painting(flavour, sampler, steps=count)[2] == [(step, count) for step in range(count)]


#: What NVIDIA's generator draws first of all with the seed 0, as torch prints it there.
NVIDIA = (-0.9247, -0.4253, -2.6438, 0.1452, -0.1209, -0.5797, -0.6229, -0.3284, -1.0745, -0.3631)


def test_noise_is_nvidias_and_the_processors_own():
    from assetctl.generation.sampling.noise import CpuSource, NvidiaSource, philox_normals

    source = NvidiaSource(0)
    assert source.draw((10,)).tolist() == pytest.approx(NVIDIA, abs=6e-5)
    assert torch.equal(source.draw((2, 3)).flatten(), torch.from_numpy(philox_normals(0, 1, 6)))
    assert not torch.equal(NvidiaSource(2**40).draw((4,)), NvidiaSource(2**41).draw((4,)))
    many = NvidiaSource(3).draw((100_000,))
    assert abs(float(many.mean())) < 0.02
    assert abs(float(many.std()) - 1) < 0.02
    generator = torch.Generator().manual_seed(9)
    assert torch.equal(CpuSource(9).draw((1, 4, 8, 8)), torch.randn((1, 4, 8, 8), generator=generator))


@pytest.mark.parametrize("flavour", ["a1111", "comfyui"])
def test_first_noise_and_noise_between_steps_come_from_where_a_program_has_them(flavour: str):
    from assetctl.generation.sampling.noise import SOURCES, Levels
    from assetctl.generation.sampling.programs import course, first_and_between

    for noise, ensd in itertools.product(("CPU", "NV"), (0, 31337)):
        asked = {"flavour": flavour, "sampler": "Euler a", "noise": noise, "ensd": ensd}
        settings, shape = filled(asked, None, []), (1, 4, 8, 8)
        sigmas = course(flavour, settings, Levels.scaled_linear()).sigmas
        first, between = first_and_between(flavour, settings, 5, sigmas, shape, torch.zeros(1))
        source = SOURCES["CPU" if flavour == "comfyui" else noise](5)
        assert torch.equal(first, source.draw(shape))
        if flavour == "comfyui":
            source = SOURCES[noise](5)
        elif ensd:
            source = SOURCES[noise](5 + ensd)
        assert torch.equal(between(sigmas[0], sigmas[1]), source.draw(shape))


def test_a_brownian_path_is_one_and_the_same_however_it_is_gone():
    from assetctl.generation.sampling.noise import brownian

    sigmas = torch.tensor([10.0, 5.0, 1.0, 0.0])
    for kind in ("CPU", "NV"):
        whole, halves = (brownian(kind, 3, sigmas, torch.zeros(1, 4, 8, 8)) for _ in range(2))
        way = whole(sigmas[0], sigmas[2]) * 9**0.5
        assert torch.allclose(way, halves(sigmas[0], sigmas[1]) * 5**0.5 + halves(sigmas[1], sigmas[2]) * 2, atol=1e-5)
    assert not torch.equal(*(brownian(kind, 3, sigmas, way)(sigmas[0], sigmas[1]) for kind in ("CPU", "NV")))


def test_every_schedule_goes_down_to_nothing():
    from assetctl.generation.sampling.noise import SCHEDULES, Levels

    levels = Levels.scaled_linear()
    for (name, schedule), steps in itertools.product(SCHEDULES.items(), (1, 2, 7, 10, 11, 20, 150)):
        sigmas = schedule(levels, steps)
        assert sigmas.dtype == torch.float32, name
        assert (sigmas.diff() <= 0).all(), (name, steps)
        assert sigmas[-1] == 0, name
        assert torch.isfinite(sigmas).all(), (name, steps)
        if name != "DDIM":  # which begins where its steps come out even
            assert float(sigmas[0]) == pytest.approx(levels.highest, rel=2e-3), (name, steps)
        if name not in ("DDIM", "Beta"):  # which drops times that are the same, and one has some more
            assert len(sigmas) == steps + 1, (name, steps)


def test_times_and_levels_are_each_others_opposite():
    from assetctl.generation.sampling.noise import Levels

    levels = Levels.scaled_linear()
    for time in (0.0, 0.5, 17.25, 998.75, 999.0):
        assert float(levels.time(levels.at(time))) == pytest.approx(time, abs=0.01)
    assert int(levels.nearest(levels.at(17.4))) == 17


def sigma_space(sampler: str, steps: int, flavour: str = "comfyui", **asked: Any):
    """A sampler's outcome where the picture is known to be 1 throughout, and how often it was asked for."""
    from assetctl.generation.sampling.noise import Levels
    from assetctl.generation.sampling.programs import course, first_and_between

    known = {"flavour": flavour, "sampler": sampler, "steps": steps, "noise": "CPU"}
    settings = filled(known | asked, None, [])
    way = course(flavour, settings, Levels.scaled_linear())
    first, between = first_and_between(flavour, settings, 1, way.sigmas, (1, 4, 4, 4), torch.zeros(1))
    calls = []

    def guess(x, sigma, time):
        calls.append(float(time))
        return torch.ones_like(x), torch.ones_like(x)

    return way.run(guess, first, between, lambda *_: None), calls, way


@pytest.mark.parametrize("flavour", ["a1111", "comfyui"])
def test_every_sampler_finds_the_picture_where_the_model_knows_it(flavour: str):
    from assetctl.generation.sampling.programs import SOLVERS

    for sampler in (*SOLVERS, "DDIM"):
        for steps in (3, 20, 40):
            found, calls, way = sigma_space(sampler, steps, flavour)
            left = float(way.sigmas[-2 if sampler in ("DPM fast", "DPM adaptive") else -1])  # which end there
            assert torch.isfinite(found).all(), (sampler, steps)
            assert (found - 1).abs().max() < 5 * left + 2e-3, (sampler, steps)
            assert all(0 <= time <= 999 for time in calls), (sampler, steps)
            assert max(calls) > (997 - 1000 / steps if sampler in ("DDIM", "DDIM CFG++", "PLMS") else 998), (
                sampler,
                steps,
            )


@pytest.mark.parametrize("flavour", ["a1111", "comfyui"])
def test_one_step_is_enough_for_no_sampler_to_fail(flavour: str):
    from assetctl.generation.sampling.programs import SOLVERS

    for sampler in (*SOLVERS, "DDIM"):
        assert torch.isfinite(sigma_space(sampler, 1, flavour)[0]).all(), sampler


@pytest.mark.parametrize(
    ("flavour", "sampler", "calls"),
    [
        ("a1111", "Euler", 20), ("a1111", "Heun", 39), ("a1111", "DDIM", 19), ("a1111", "PLMS", 20),
        ("a1111", "UniPC", 20), ("a1111", "DPM2", 39), ("a1111", "Restart", 39), ("comfyui", "DPM2", 39),
        ("comfyui", "UniPC", 20), ("comfyui", "Heun++ 2", 57), ("comfyui", "DDIM", 20),
    ],
)  # fmt: skip
def test_the_model_is_asked_as_often_as_a_program_asks_it(flavour: str, sampler: str, calls: int):
    assert len(sigma_space(sampler, 20, flavour)[1]) == calls


def test_what_is_set_of_a_sampler_is_obeyed(painting):
    plain = painting("a1111", "Euler", steps=4)[0]
    for asked in (
        {"s_churn": 4.0}, {"discard_penultimate": True}, {"sgm_noise": True}, {"noise": "CPU"}, {"scheduler": "Karras"},
    ):  # fmt: skip
        assert not torch.equal(plain, painting("a1111", "Euler", steps=4, **asked)[0]), asked
    for nothing in ({"ensd": 3}, {"eta": 0.5}, {"s_churn": 4.0, "s_tmin": 99.0}, {"s_noise": 0.5}):
        assert torch.equal(plain, painting("a1111", "Euler", steps=4, **nothing)[0]), nothing
    ancestral = painting("a1111", "Euler a", steps=4)[0]
    for asked in ({"ensd": 3}, {"eta": 0.5}):
        assert not torch.equal(ancestral, painting("a1111", "Euler a", steps=4, **asked)[0]), asked
    assert torch.equal(ancestral, painting("a1111", "Euler a", steps=4, s_noise=0.5)[0])  # A1111 does not tell it
    assert not torch.equal(*(painting("a1111", "DPM2 a", steps=4, s_noise=noise)[0] for noise in (0.5, 1.0)))
    assert not torch.equal(*(painting("a1111", "DDIM", steps=4, eta=eta)[0] for eta in (0.0, 1.0)))


def test_comfyui_goes_from_nothing_to_a_token_times_its_weight():
    from assetctl.generation.diffusers.conditioning import Encoder, encode
    from assetctl.prompt import parse_prompt

    _, loaded = load()
    (encoder,) = loaded.encoders
    assert isinstance(encoder, Encoder)

    def states(*prompts: str):
        return [each.states for each in encode([encoder], map(parse_prompt, prompts), 1, "comfyui")]

    words, nothing = states("a red star", "")
    (weighed,) = states("a (red:1.4) star")
    expected = words.clone()
    expected[0, 2] = nothing[0, 2] + (words[0, 2] - nothing[0, 2]) * 1.4
    assert torch.allclose(weighed, expected, atol=1e-5)
    longer, shorter = states("red star " * 60, "a blue circle")
    (alone,) = states("a blue circle")
    assert longer.shape == shorter.shape == (1, 2 * encoder.length, longer.shape[-1])
    assert torch.equal(shorter, alone.repeat(1, 2, 1))


def test_a_shorter_prompt_counts_as_if_it_stood_alone():
    from assetctl.generation.diffusers.conditioning import encode
    from assetctl.prompt import parse_prompt

    _, loaded = load()
    prompts = [parse_prompt("red star " * 120), parse_prompt("red star " * 60)]
    three, two = (each.states for each in encode(loaded.encoders, prompts, 1, "diffusers"))
    (alone,) = (each.states for each in encode(loaded.encoders, prompts[1:], 1, "diffusers"))
    length = loaded.encoders[0].length
    assert three.shape[1] == two.shape[1] == math.lcm(4, 2) * length or three.shape == two.shape
    assert torch.equal(two[:, : alone.shape[1]], alone)
    before = encode(loaded.encoders, prompts, 1)  # as pictures were made once: empty chunks follow
    assert not torch.equal(before[1].states[:, -length:], alone[:, -length:])


@pytest.mark.parametrize("family", ["sd1", "sd2", "sdxl"])
def test_every_family_is_drawn_in_every_flavour(models, family: str):
    from dataclasses import replace

    import numpy as np

    from assetctl.generation.diffusers import DiffusersBackend
    from assetctl.run import silent

    backend, pictures = DiffusersBackend(), []
    plain = tiny.plan(models.folder(family), "a (cat:1.2) in a box", tokenizer=models.vocabulary)
    for flavour, negative in itertools.product(("a1111", "comfyui", "diffusers"), ("", "dog " * 90)):
        settings = filled(dict(plain.settings) | {"flavour": flavour}, None, [])
        plan = replace(plain, settings=settings, negative_prompt=tiny.plan(models.folder(family), negative).prompt)
        (once,), (again,) = (list(backend.generate(plan, silent())) for _ in range(2))
        assert np.array_equal(np.asarray(once.image), np.asarray(again.image))
        assert once.image.size == (64, 64)
        pictures.append(np.asarray(once.image).tobytes())
    assert len(set(pictures)) == len(pictures)


@pytest.mark.parametrize("family", ["sd1", "sd2", "sdxl"])
def test_every_family_is_drawn_whatever_it_predicts_and_nobody_names_a_flavour(models, family: str):
    from dataclasses import replace

    import numpy as np

    from assetctl.generation.diffusers import DiffusersBackend
    from assetctl.run import silent

    backend, plain, pictures = DiffusersBackend(), tiny.plan(models.folder(family), "a cat"), []
    settings = filled({"steps": 2, "width": 64, "height": 64}, None, [])
    for predicts in ("epsilon", "v_prediction"):
        plan = replace(plain, settings=settings, prediction=predicts)
        pictures += [np.asarray(each.image) for each in backend.generate(plan, silent())]
    assert all(each.std() > 1 for each in pictures)  # none is black, nor of one colour
    assert not np.array_equal(*pictures)


USUAL = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}


class Knowing:
    """A UNet that knows that the picture is 0.5 throughout, and says so as it is asked to.

    `only` are the times that it was taught: at any other, what it takes for the picture is nonsense.
    """

    dtype, device = torch.float32, torch.device("cpu")

    def __init__(
        self, predicts: str = "epsilon", more: dict[str, Any] | None = None, only: Sequence[int] | None = None
    ):
        from assetctl.generation.diffusers.session import levels_of

        self.predicts, self.only, self.asked = predicts, only, []
        self.config = USUAL | (more or {})
        self.levels = levels_of(self.config, "a1111")

    def __call__(self, given, time, _states, **_):
        self.asked.append(float(time))
        picture = 0.5 if self.only is None or any(abs(float(time) - each) < 1.5 for each in self.only) else 50.0
        sigma = self.levels.at(float(time))
        whole = (1 + sigma**2) ** 0.5
        noise = (given * whole - picture) / sigma
        return (noise if self.predicts == "epsilon" else noise / whole - sigma / whole * picture,)

    def draw(self, asked: dict[str, Any], family: Any = None, base_model: str | None = None):
        from types import SimpleNamespace

        from assetctl.generation.diffusers.session import Painter

        settings = filled({"width": 64, "height": 64} | asked, family, [base_model])
        pipeline = SimpleNamespace(unet=self, vae_scale_factor=8)
        prompts = {"prompt_embeds": torch.zeros(1, 77, 4)}
        return Painter(pipeline, prompts, settings, self.predicts, self.config).latents(1, lambda *_: None)


@pytest.mark.parametrize("flavour", ["a1111", "comfyui"])
def test_what_predicts_velocities_is_asked_for_the_same_picture(flavour: str):
    for predicts in ("epsilon", "v_prediction"):
        latents = Knowing(predicts).draw({"flavour": flavour, "sampler": "DPM++ 2M"})
        assert torch.allclose(latents, torch.full_like(latents, 0.5), atol=2e-3), predicts


def test_what_predicts_something_else_is_not_sampled_as_if_it_were_noise():
    from assetctl.errors import UnusableError

    for predicts in ("sample", "flow"):
        with pytest.raises(UnusableError, match=predicts):
            Knowing(predicts).draw({"flavour": "a1111"})


@pytest.mark.parametrize("flavour", ["a1111", "comfyui"])
def test_every_sampler_begins_where_nothing_of_the_picture_is_left(flavour: str):
    from assetctl.samplers import listing

    for each in listing().samplers:
        unet = Knowing("v_prediction", {"rescale_betas_zero_snr": True})
        latents = unet.draw({"flavour": flavour, "sampler": each.name, "steps": 12})
        assert (latents - 0.5).abs().mean() < 0.06, each.name  # some end above the lowest level
        assert max(unet.asked) > (900 if each.name in ("DDIM", "DDIM CFG++", "PLMS") else 998), each.name


@pytest.mark.parametrize(
    ("family", "base_model", "steps"),
    [
        ("sdxl", "SDXL Turbo", (1, 2, 4)), ("sdxl", "SDXL Lightning", (1, 2, 4, 8)), ("sdxl", "SDXL Hyper", (1, 4, 8)),
        ("sd1", "SD 1.5 Hyper", (1, 4, 8)),
    ],
)  # fmt: skip
def test_a_distilled_model_is_asked_at_the_times_that_it_was_taught(
    family: str, base_model: str, steps: tuple[int, ...]
):
    """Even ones from the last step of training, as their authors have them: with one step, that alone."""
    from assetctl.identify.plugins import family_called

    for count, flavour in itertools.product(steps, ("a1111", "comfyui")):
        unet = Knowing(only=[999 - number * 1000 // count for number in range(count)])
        latents = unet.draw({"flavour": flavour, "steps": count}, family_called(family), base_model)
        assert (len(unet.asked), unet.asked[0]) == (count, 999)
        assert (latents - 0.5).abs().max() < 1e-2, (flavour, count, unet.asked)


@pytest.mark.parametrize("sampler", ["LCM", "TCD"])
@pytest.mark.parametrize("flavour", ["a1111", "comfyui"])
def test_lcm_and_tcd_need_few_steps(flavour: str, sampler: str):
    for count in (1, 2, 4):
        unet = Knowing()
        latents = unet.draw({"flavour": flavour, "sampler": sampler, "steps": count})
        assert (len(unet.asked), unet.asked[0]) == (count, 999)
        assert (latents - 0.5).abs().max() < 2e-3, count


def test_numbers_are_cut_off_to_8_bits_as_both_programs_do():
    from types import SimpleNamespace

    import numpy as np

    from assetctl.generation.diffusers.session import Painter

    class VAE:
        dtype = torch.float32
        config = SimpleNamespace(scaling_factor=1.0, force_upcast=True)

        def decode(self, latents, **_):
            return (latents,)

    shown = torch.tensor([-3.0, 0.0, 0.9, 127.5, 127.999, 128.0, 254.999, 255.0, 300.0]) / 255
    pipeline = SimpleNamespace(vae=VAE())
    image = Painter(pipeline, {}, {}, "epsilon", {}).image((shown * 2 - 1).expand(1, 3, 1, -1).clone())
    assert np.asarray(image)[0, :, 0].tolist() == [0, 0, 0, 127, 127, 128, 254, 255, 255]


def slerp(first, second, strength: float):
    """As numpy has it: by columns of each channel."""
    import numpy as np

    units = [each / np.linalg.norm(each, axis=1, keepdims=True) for each in (first, second)]
    angle = np.arccos(np.sum(units[0] * units[1], axis=1, keepdims=True))
    return (np.sin((1 - strength) * angle) * first + np.sin(strength * angle) * second) / np.sin(angle)


@pytest.mark.parametrize("noise", ["CPU", "NV"])
def test_a_second_seed_is_mixed_in_column_by_column(noise: str):
    import numpy as np

    from assetctl.generation.diffusers.session import varied
    from assetctl.generation.sampling.noise import SOURCES

    shape = (4, 8, 6)
    own, other = (SOURCES[noise](seed).draw(shape) for seed in (7, 9))
    for strength, expected in (
        (0.0, own),
        (0.3, slerp(own.double().numpy(), other.double().numpy(), 0.3)),
        (1.0, other),
    ):
        settings = filled({"noise": noise, "variation_seed": 9, "variation_strength": strength}, None, [])
        assert np.allclose(varied(own[None], settings, 7)[0], expected, atol=1e-5), strength
    same = filled({"noise": noise, "variation_seed": 7, "variation_strength": 0.3}, None, [])
    assert torch.allclose(varied(own[None], same, 7)[0], own)


@pytest.mark.parametrize("size", [(96, 64), (32, 32), (40, 96), (64, 48)])
def test_another_sizes_noise_stays_in_the_middle(size):
    from assetctl.generation.diffusers.session import varied
    from assetctl.generation.sampling.noise import SOURCES

    width, height = size
    first = SOURCES["NV"](3).draw((1, 4, 8, 7))
    found = varied(
        first, filled({"noise": "NV", "resize_seed_width": width, "resize_seed_height": height}, None, []), 3
    )
    other, expected = SOURCES["NV"](3).draw((4, height // 8, width // 8)), first[0].clone()
    down, right = (8 - height // 8) // 2, (7 - width // 8) // 2
    for row, column in itertools.product(range(max(down, 0), 8), range(max(right, 0), 7)):
        inner = row - down, column - right
        if inner[0] < height // 8 - (-down if down < 0 else 0) and inner[1] < width // 8 - (-right if right < 0 else 0):
            expected[:, row, column] = other[:, inner[0], inner[1]]
    assert torch.equal(found[0], expected)


def test_variations_and_old_levels_are_of_a1111_alone(painting):
    for flavour, changed in (("a1111", True), ("comfyui", False)):
        plain = painting(flavour, "Euler a", steps=3)[0]
        for asked in (
            {"variation_strength": 0.1, "variation_seed": 3},
            {"resize_seed_width": 64, "resize_seed_height": 64},
        ):
            assert torch.equal(plain, painting(flavour, "Euler a", steps=3, **asked)[0]) != changed, (flavour, asked)
    assert not torch.equal(
        painting("a1111", "Euler", steps=3)[0], painting("a1111", "Euler", steps=3, half_levels=True)[0]
    )


def test_old_levels_were_computed_in_16_bits_throughout():
    import numpy as np

    from assetctl.generation.diffusers.session import levels_of

    config = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
    betas = np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2
    kept = np.cumprod(1 - betas).astype(np.float16)
    expected = np.sqrt(((np.float16(1) - kept) / kept).astype(np.float16))
    found = levels_of(config, "a1111", half=True)
    assert found.sigmas.numpy() == pytest.approx(expected.astype(np.float32), rel=1e-3)
    assert float(found.sigmas[0]) == pytest.approx(0.03125, rel=2e-3)  # and not 0.0292


@pytest.fixture(scope="module")
def told():
    """What a picture is guided by, as A1111 reads a prompt and a negative one."""
    from assetctl.generation.diffusers.conditioning import guidance
    from assetctl.prompt import parse_prompt

    _, loaded = load()

    def tell(prompt: str, negative: str = "", **asked: Any):
        settings = filled({"flavour": "a1111", "steps": 10} | asked, None, [])
        return guidance(loaded.encoders, [parse_prompt(prompt), parse_prompt(negative)], settings, 1, zeros=False)

    return tell


def states(guidance, time: int = 0):
    return guidance.at(time)[0][0][1].states


def test_weights_do_what_the_emphasis_says(told):
    plain, weighed = states(told("a red star")), states(told("a (red:1.5) star"))
    bare = states(told("a (red:1.5) star", emphasis="No norm"))
    assert torch.allclose(bare[0, 2], plain[0, 2] * 1.5)
    assert torch.allclose(weighed, bare * (plain.mean() / bare.mean()), rtol=1e-4)
    assert torch.equal(states(told("a (red:1.5) star", emphasis="Ignore")), plain)
    words = states(told("a (red:1.5) star", emphasis="None"))
    assert not torch.equal(words, plain)
    assert torch.equal(words, states(told(r"a \(red:1.5\) star")))


def test_a_prompt_changes_when_the_model_is_asked_for_the_time(told):
    before, after, changing = told("a red star"), told("a blue star"), told("a [red:blue:3] star", "[a:b:0.5]")
    assert [torch.equal(states(changing, time), states(before)) for time in range(6)] == [True] * 4 + [False] * 2
    assert torch.equal(states(changing, 4), states(after))
    assert not torch.equal(changing.at(5)[1].states, changing.at(6)[1].states)
    twice = told("a [red:blue:0.5] star", sampler="Heun")
    assert torch.equal(states(twice, 10), states(before))
    assert torch.equal(states(twice, 11), states(after))
    turns = told("a [red|blue] star")
    assert [torch.equal(states(turns, time), states(before)) for time in range(5)] == [True, True, False, True, False]


def test_texts_of_one_prompt_are_weighed_together(told):
    alone = [told(f"a ({colour}:1.4) star", emphasis="No norm") for colour in ("red", "blue")]
    plain = [states(told(f"a {colour} star")) for colour in ("red", "blue")]
    once = told("a ([red:blue:5]:1.4) star")
    share = torch.cat(plain).mean() / torch.cat([states(each) for each in alone]).mean()
    assert torch.allclose(states(once), states(alone[0]) * share, rtol=1e-4)
    often = told("a ([red|blue|red]:1.4) star")
    counts = [sum((step - 1) % 3 != 1 for step in range(1, 11)), sum((step - 1) % 3 == 1 for step in range(1, 11))]
    means = [sum(each.mean() * count for each, count in zip(of, counts, strict=True))
             for of in (plain, [states(each) for each in alone])]  # fmt: skip
    assert torch.allclose(states(often), states(alone[0]) * (means[0] / means[1]), rtol=1e-4)


def test_prompts_of_other_lengths_are_padded_if_asked(told):
    longer, shorter = "red star " * 60, "a blue circle"
    plain, padded = told(longer, shorter), told(longer, shorter, pad_prompts=True)
    (alone,), empty = {plain.at(0)[1].states}, states(told(""))
    assert alone.shape[1] * 2 == states(plain).shape[1]
    assert torch.equal(padded.at(0)[1].states, torch.cat([alone, empty], dim=1))
    assert torch.equal(states(padded), states(plain))


def test_composed_prompts_pull_with_their_weights():
    from types import SimpleNamespace

    from assetctl.generation.diffusers.conditioning import Conditioning, Guidance
    from assetctl.generation.diffusers.session import Painter

    class UNet:
        """Says of each picture what it was told."""

        dtype, device = torch.float32, torch.device("cpu")

        def __call__(self, given, _time, states, **_):
            return (states.mean(dim=(1, 2))[:, None, None, None] * torch.ones_like(given),)

    def of(value: float, length: int = 77):
        return ((0, Conditioning(torch.full((1, length, 4), value))),)

    settings = filled({"flavour": "a1111", "cfg_scale": 4.0, "width": 64, "height": 64}, None, [])
    pipeline = SimpleNamespace(unet=UNet(), vae_scale_factor=8)
    guided = Guidance(((1.0, of(0.5)), (-0.5, of(0.2))), of(0.1, 154))
    guess = Painter(pipeline, guided, settings, "epsilon", {})._guess()
    x, sigma = torch.zeros(1, 4, 8, 8), torch.tensor(2.0)
    expected = 0.1 + 4 * (0.5 - 0.1) - 0.5 * 4 * (0.2 - 0.1)
    assert torch.allclose(guess(x, sigma, torch.tensor(500.0))[0], x - expected * sigma, atol=1e-5)


def noise_of(seed: int, shape: tuple[int, ...], **asked: Any):
    """A picture's first noise and those of two steps, as ComfyUI draws them."""
    from types import SimpleNamespace

    from assetctl.generation.diffusers.session import Painter

    settings = filled({"flavour": "comfyui", "sampler": "Euler a"} | asked, None, [])
    pipeline = SimpleNamespace(unet=SimpleNamespace(device=torch.device("cpu")))
    sigmas = torch.tensor([14.0, 7.0, 3.0, 0.0])
    first, between = Painter(pipeline, {}, settings, "epsilon", {})._noise(seed, sigmas, shape)
    return first, between(sigmas[0], sigmas[1]), between(sigmas[1], sigmas[2])


@pytest.mark.parametrize("sampler", ["Euler a", "DPM++ 2M SDE"])
def test_comfyui_draws_a_batch_at_once(sampler: str):
    shape, draws = (4, 8, 6), torch.Generator().manual_seed(5)
    whole = torch.randn((3, *shape), generator=draws)
    draws.manual_seed(5)
    steps = [torch.randn((3, *shape), generator=draws) for _ in range(2)]
    for place in range(3):
        first, *between = noise_of(5, shape, sampler=sampler, latent_batch=3, latent_index=place)
        assert torch.equal(first[0], whole[place])
        if sampler == "Euler a":
            assert all(torch.equal(ours[0], theirs[place]) for ours, theirs in zip(between, steps, strict=True))
        assert between[0].shape == (1, *shape)
    alone, *between = noise_of(5, shape, sampler=sampler, latent_index=2)  # taken out of a batch, by LatentFromBatch
    assert torch.equal(alone[0], whole[2])
    assert all(torch.equal(*each) for each in zip(between, noise_of(5, shape, sampler=sampler)[1:], strict=True))


def test_some_steps_of_comfyui_alone():
    from assetctl.generation.diffusers.session import windowed
    from assetctl.generation.sampling.noise import Levels
    from assetctl.generation.sampling.programs import course

    levels = Levels.scaled_linear()
    for asked, sigmas in (
        ({}, slice(None)),
        ({"end_step": 10_000}, slice(None)),
        ({"start_step": 4}, slice(4, None)),
        ({"end_step": 6, "leftover_noise": True}, slice(0, 7)),
        ({"start_step": 2, "end_step": 6, "leftover_noise": True}, slice(2, 7)),
    ):
        settings = filled({"flavour": "comfyui", "sampler": "Euler", "steps": 10} | asked, None, [])
        whole = course("comfyui", settings, levels)
        way = windowed(whole, settings, levels)
        assert torch.equal(way.sigmas, whole.sigmas[sigmas]), asked
        assert float(way.start) == pytest.approx(float(whole.start if way.sigmas[0] > 14 else way.sigmas[0]))
    settings = filled({"flavour": "comfyui", "sampler": "Euler", "steps": 10, "end_step": 6}, None, [])
    assert windowed(course("comfyui", settings, levels), settings, levels).sigmas[-2:].tolist() == [
        pytest.approx(float(whole.sigmas[5])),
        0.0,
    ]


def test_sdxl_is_told_other_texts_and_sizes(models):
    from assetctl.generation.diffusers.conditioning import guidance
    from assetctl.generation.diffusers.kept import Loaded
    from assetctl.prompt import parse_prompt
    from assetctl.run import silent

    plan = tiny.plan(models.folder("sdxl"), "a cat", tokenizer=models.vocabulary)
    loaded = Loaded.load(plan, "cpu", "fp32", silent())

    def tell(**asked: Any):
        settings = filled({"flavour": "comfyui"} | asked, None, [])
        prompts = [parse_prompt("a cat"), parse_prompt("dog")]
        return guidance(loaded.encoders, prompts, settings, asked.get("clip_skip", 1), zeros=True)

    plain, first = tell().at(0)[0][0][1], tell(prompt_l="dog", sizes="2048x1024+0+8-512x256").at(0)[0][0][1]
    dog = tell().at(0)[1]
    width = loaded.encoders[0].model.config.hidden_size
    assert torch.equal(first.states[..., width:], plain.states[..., width:])
    assert torch.equal(first.states[..., :width], dog.states[..., :width])
    assert torch.equal(first.pooled, plain.pooled)
    assert (first.sizes, plain.sizes) == ((2048, 1024, 0, 8, 512, 256), ())
    assert torch.equal(tell(clip_skip=2).at(0)[1].states, dog.states)
    assert not torch.equal(tell(clip_skip=3).at(0)[1].states, dog.states)


def test_a1111_has_zeros_for_an_empty_negative_prompt_whatever_a_folder_says(models):
    from dataclasses import replace

    from assetctl.generation.diffusers.kept import Loaded
    from assetctl.generation.diffusers.session import Session
    from assetctl.run import silent

    plan = tiny.plan(models.folder("sdxl"), "a cat", tokenizer=models.vocabulary)
    loaded = Loaded.load(plan, "cpu", "fp32", silent())

    def is_nothing(flavour: str, *, zeros: bool) -> bool:
        loaded.pipeline.register_to_config(force_zeros_for_empty_prompt=zeros)
        settings = filled(dict(plan.settings) | {"flavour": flavour}, None, [])
        prompts = Session.begin(replace(plan, settings=settings), loaded).prompts
        away = prompts["negative_prompt_embeds"] if flavour == "diffusers" else prompts.at(0)[1].states
        return not away.any()

    said = {
        each: [is_nothing(each, zeros=zeros) for zeros in (True, False)] for each in ("a1111", "comfyui", "diffusers")
    }
    assert said == {"a1111": [True, True], "comfyui": [False, False], "diffusers": [True, False]}


@pytest.mark.parametrize("noise", ["CPU", "NV"])
@pytest.mark.parametrize("shape", [(7, 4, 8, 6), (5, 4, 5, 5), (3, 1, 1, 3), (9, 4, 3, 3)])
def test_one_picture_of_a_batch_is_the_one_that_is_drawn_with_all(monkeypatch, noise: str, shape: tuple[int, ...]):
    from assetctl.generation.sampling import noise as module

    monkeypatch.setattr(module, "_AT_ONCE", 64)
    for place in range(shape[0]):
        whole, one = (module.SOURCES[noise](5) for _ in range(2))
        for _ in range(2):  # the second goes on where the first ended
            assert torch.equal(one.draw_one(shape, place), whole.draw(shape)[place : place + 1])


def test_a_large_batch_takes_the_memory_of_a_picture(monkeypatch):
    largest, draw = [0], torch.randn

    def noted(*size: Any, **more: Any) -> torch.Tensor:
        found = draw(*size, **more)
        largest[0] = max(largest[0], found.numel())
        return found

    monkeypatch.setattr(torch, "randn", noted)
    for sampler in ("Euler a", "DPM++ 2M SDE"):
        first, *between = noise_of(5, (4, 32, 32), sampler=sampler, latent_batch=1024, latent_index=1000)
        assert {each.shape for each in (first, *between)} == {(1, 4, 32, 32)}
    assert largest[0] < 2 * 2**20


def test_what_is_remembered_of_a_path_is_bounded_by_bytes_and_changes_no_number(monkeypatch):
    from assetctl.generation.sampling import noise as module

    sigmas, like = torch.linspace(14.0, 0.1, 30), torch.zeros(1, 4, 8, 8)
    plain = module.brownian("CPU", 3, sigmas, like)
    expected = [plain(*each) for each in itertools.pairwise(sigmas)]
    monkeypatch.setattr(module, "_MOST_BYTES", 1000)
    path = module._Path("CPU", 3, float(sigmas.min()), float(sigmas.max()), (1, 4, 8, 8), 0)
    bounded = module.brownian("CPU", 3, sigmas, like)
    assert all(
        torch.equal(bounded(*each), other) for each, other in zip(itertools.pairwise(sigmas), expected, strict=True)
    )
    for start, end in itertools.pairwise(sigmas.tolist()):
        path.way(end, start)
    assert len(path._halves) <= 8


def test_another_sizes_noise_counts_in_the_latents_of_the_vae():
    from assetctl.generation.diffusers.session import varied
    from assetctl.generation.sampling.noise import SOURCES

    first = SOURCES["CPU"](3).draw((1, 4, 8, 8))
    settings = filled({"noise": "CPU", "resize_seed_width": 64, "resize_seed_height": 64}, None, [])
    other = SOURCES["CPU"](3).draw((4, 4, 4))
    assert torch.equal(varied(first, settings, 3, 16)[0, :, 2:6, 2:6], other)


def test_and_is_a_word_to_comfyui_and_runs_no_negative_prompt(models):
    from assetctl.generation.diffusers.kept import Loaded
    from assetctl.generation.diffusers.session import Session
    from assetctl.run import silent

    plan = tiny.plan(models.folder("sd1"), "a cat AND a dog", tokenizer=models.vocabulary, negative="rain")
    loaded = Loaded.load(plan, "cpu", "fp32", silent())
    for flavour, guided in (("a1111", True), ("comfyui", False)):
        plan.settings.update(flavour=flavour, cfg_scale=1.0)
        assert bool(Session.begin(plan, loaded).prompts.away) == guided
