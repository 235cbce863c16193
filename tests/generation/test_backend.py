from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from generation import tiny

from assetctl.errors import GenerationError, RefusedFileError, UsageError
from assetctl.generation.diffusers import DiffusersBackend
from assetctl.run import Cancelled, Event, Run, Started, Step

if TYPE_CHECKING:
    from pathlib import Path

    from generation.conftest import Models

    from assetctl.request import Plan

# what diffusers and peft warn of in a plain script is not ours to mend
pytestmark = [pytest.mark.generation, pytest.mark.filterwarnings("ignore")]

NEGATIVE = "dog, blurry"
PROMPT = "a photo of a cat, dog!"


def ours(plan: Plan) -> list[bytes]:
    return [picture.image.tobytes() for picture in DiffusersBackend().generate(plan, Run())]


def script(pipe: Any, scheduler: str = "EulerAncestralDiscreteScheduler", **arguments: Any) -> bytes:
    """What a person would write by hand."""
    import diffusers
    import torch

    pipe.scheduler = getattr(diffusers, scheduler).from_config(pipe.scheduler.config)
    defaults = {"prompt": PROMPT, "num_inference_steps": 2, "guidance_scale": 7.0, "width": 64, "height": 64}
    generator = torch.Generator("cpu").manual_seed(5)
    return bytes(pipe(**(defaults | arguments), generator=generator).images[0].tobytes())


def load(family: str, folder: str, file: str | None = None) -> Any:
    """A pipeline from a folder, or from a single file and a folder's configuration."""
    import diffusers

    pipeline = getattr(diffusers, "StableDiffusionXLPipeline" if family == "sdxl" else "StableDiffusionPipeline")
    if file is None:
        return pipeline.from_pretrained(folder)
    return pipeline.from_single_file(file, config=folder, local_files_only=True)


@pytest.mark.parametrize("family", ["sd1", "sd2", "sdxl"])
def test_a_folder_and_a_single_file_give_the_picture_that_a_script_gives(models: Models, family: str):
    folder, file = models.folder(family), models.file(family)
    for negative in ("", NEGATIVE):
        asked = {"negative_prompt": negative} if negative else {}
        common = {"negative": negative, "prediction": "epsilon"}
        assert ours(tiny.plan(folder, PROMPT, **common)) == [script(load(family, folder.path), **asked)]
        derived = tiny.plan(file, PROMPT, tokenizer=models.vocabulary, **common)
        assert ours(derived) == [script(load(family, folder.path, file.path), **asked)]


def test_a_companion_configuration_is_used_as_it_is(models: Models, tmp_path: Path):
    companion = tmp_path / "model.config"
    shutil.copytree(models.folder("sdxl").path, companion, ignore=shutil.ignore_patterns("*.safetensors"))
    (companion / "scheduler" / "scheduler_config.json").write_text('{"beta_schedule": "linear"}', "utf-8")
    plan = tiny.plan(models.file("sdxl"), PROMPT, tokenizer=companion)
    assert ours(plan) == [script(load("sdxl", str(companion), models.file("sdxl").path))]


def test_each_seed_runs_alone_and_gives_the_same_bytes_again(models: Models):
    checkpoint = models.folder("sd1")
    together = ours(tiny.plan(checkpoint, seeds=(5, 6, 5)))
    assert together[0] == together[2] != together[1]
    assert ours(tiny.plan(checkpoint, seeds=(6,))) == [together[1]]


def test_progress_counts_pictures_and_steps_also_for_samplers_of_second_order(models: Models):
    seen: list[Event] = []
    list(
        DiffusersBackend().generate(
            tiny.plan(models.folder("sd1"), sampler="Heun", steps=3, seeds=(1, 2)), Run(seen.append)
        )
    )
    assert seen[0] == Started(stage="load")
    assert seen[-1] == Step(picture=2, pictures=2, step=3, steps=3)
    steps = [each.step for each in seen if isinstance(each, Step) and each.picture == 1]
    assert steps == [1, 2, 2, 3, 3]


def test_loras_give_the_picture_that_a_script_gives(models: Models, tmp_path: Path):
    pipe = load("sd1", models.folder("sd1").path)
    paths = [tmp_path / "first.safetensors", tmp_path / "second.v2.safetensors"]
    for seed, path in enumerate(paths):
        tiny.write_lora(path, pipe, seed)
    plain = script(pipe)
    loras = [tiny.asset(path, "lora", "sd1") for path in paths]
    uses = list(zip(loras, (0.8, -0.5), strict=True))
    for name, path in zip("ab", paths, strict=True):
        pipe.load_lora_weights(str(path), adapter_name=name)
    pipe.set_adapters(["a", "b"], [0.8, -0.5])
    both = script(pipe)
    assert both != plain
    assert ours(tiny.plan(models.folder("sd1"), PROMPT, loras=uses)) == [both]
    assert ours(tiny.plan(models.folder("sd1"), PROMPT, loras=[(loras[0], 0.0)])) == [plain]


#: Layouts that diffusers does not read of SD 1: prefixes of the UNet and the text encoder, and what stands for what.
OTHERS = (
    ("lycoris_", "lora_te1_", {"_to_q.": "_to_q_."}),
    ("model.diffusion_model.", "text_encoders.clip_l.transformer.", {"": ""}),
    (
        "unet.base_model.model.",
        "text_encoder.base_model.model.",
        {"lora_down": "lora_A.x", "lora_up": "lora_B.x"},
    ),
)


def test_a_lora_gives_one_picture_under_whatever_names_it_was_written(models: Models, tmp_path: Path):
    from safetensors.torch import load_file, save_file

    pipe = load("sd1", models.folder("sd1").path)
    tiny.write_lora(tmp_path / "plain.safetensors", pipe, 1)
    tensors = load_file(tmp_path / "plain.safetensors")
    paths = {f"lora_unet_{path.replace('.', '_')}": path for path, _ in pipe.unet.named_modules()}
    for number, layout in enumerate(OTHERS):
        names = {name: renamed(name, pipe, paths, *layout) for name in tensors}
        save_file({names[name]: each for name, each in tensors.items()}, tmp_path / f"{number}.safetensors")
    loras = [tiny.asset(tmp_path / f"{name}.safetensors", "lora", "sd1") for name in ("plain", *range(len(OTHERS)))]
    pictures = [ours(tiny.plan(models.folder("sd1"), PROMPT, loras=[(lora, 0.8)])) for lora in loras]
    assert pictures == [pictures[0]] * len(loras)


def renamed(name: str, pipe: Any, paths: dict[str, str], unet: str, encoder: str, others: dict[str, str]) -> str:
    """A name of kohya's in another layout; where nothing stands for anything, blocks are counted as CompVis does."""
    module, _, ending = name.partition(".")
    if module in paths:
        prefix = unet
        path = paths[module] if "" not in others else tiny.original_name(paths[module], pipe)
    else:
        prefix, path = encoder, module.removeprefix("lora_te_").replace("_", ".")
        for word in ("text_model", "self_attn", "q_proj", "v_proj"):
            path = path.replace(word.replace("_", "."), word)
    called = f"{prefix}{path.replace('.', '_') if prefix.endswith('_') else path}.{ending}"
    for old, new in others.items():
        called = called.replace(old, new) if old else called
    return called


@pytest.mark.parametrize(
    ("key", "word"),
    [("x.hada_w1_a", "LoHa"), ("x.lokr_w1", "LoKr"), ("x.dora_scale", "DoRA"), ("x.lora_magnitude_vector", "DoRA")],
)
def test_a_lora_that_would_be_dropped_or_misread_is_refused_by_name(
    models: Models, tmp_path: Path, key: str, word: str
):
    import torch
    from safetensors.torch import save_file

    path = tmp_path / "odd.safetensors"
    save_file({key: torch.zeros(2, 2), "x.lora_down.weight": torch.zeros(2, 2)}, path)
    with pytest.raises(GenerationError, match=f"odd is a {word}"):
        ours(tiny.plan(models.folder("sd1"), loras=[(tiny.asset(path, "lora", "sd1"), 1.0)]))


def test_a_lora_of_another_family_is_an_error_that_names_it(models: Models, tmp_path: Path, capfd: Any):
    path = tmp_path / "wide.safetensors"
    tiny.write_lora(path, load("sd2", models.folder("sd2").path), 1)
    capfd.readouterr()
    with pytest.raises(GenerationError, match="wide"):
        ours(tiny.plan(models.folder("sd1"), loras=[(tiny.asset(path, "lora", "sd2"), 1.0)]))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("key", ["emb_params", "<token>"])
def test_an_embedding_gives_the_picture_that_load_textual_inversion_gives(models: Models, tmp_path: Path, key: str):
    import torch
    from safetensors.torch import save_file

    path = tmp_path / "style.safetensors"
    save_file({key: torch.randn(3, 64)}, path)
    pipe = load("sd1", models.folder("sd1").path)
    pipe.load_textual_inversion(str(path), token="qstyle")
    prompt, negative = "a cat, qstyle, dog", "qstyle"
    wanted = script(pipe, prompt=prompt, negative_prompt=negative)
    embedding = tiny.asset(path, "embedding", "sd1", trigger_words=("qstyle",))
    assert ours(tiny.plan(models.folder("sd1"), prompt, negative=negative, embeddings=[embedding])) == [wanted]


def test_an_sdxl_embedding_reaches_both_encoders(models: Models, tmp_path: Path):
    import torch
    from safetensors.torch import save_file

    path = tmp_path / "qstyle.safetensors"
    vectors = {"clip_l": torch.randn(2, 64), "clip_g": torch.randn(2, 128)}
    save_file(vectors, path)
    pipe = load("sdxl", models.folder("sdxl").path)
    for key, suffix in (("clip_l", ""), ("clip_g", "_2")):
        parts = {part: getattr(pipe, part + suffix) for part in ("tokenizer", "text_encoder")}
        pipe.load_textual_inversion({key: vectors[key]}, token="qstyle", **parts)
    embedding = tiny.asset(path, "embedding", "sdxl")
    wanted = script(pipe, prompt="a qstyle cat")
    assert ours(tiny.plan(models.folder("sdxl"), "a qstyle cat", embeddings=[embedding])) == [wanted]


def test_an_embedding_of_another_width_is_an_error_that_names_it(models: Models, tmp_path: Path):
    import torch
    from safetensors.torch import save_file

    path = tmp_path / "wide.safetensors"
    save_file({"emb_params": torch.zeros(1, 768)}, path)
    with pytest.raises(GenerationError, match=r"wide .* 768 wide, .* 64"):
        ours(tiny.plan(models.folder("sd1"), embeddings=[tiny.asset(path, "embedding", "sd1")]))
    with pytest.raises(GenerationError, match="wide"):
        ours(tiny.plan(models.folder("sdxl"), embeddings=[tiny.asset(path, "embedding", "sd1")]))


@pytest.mark.parametrize("layout", ["original", "diffusers", "folder"])
def test_another_vae_decodes_the_picture(models: Models, tmp_path: Path, layout: str):
    import torch
    from diffusers import AutoencoderKL
    from safetensors.torch import save_file

    pipe = load("sd1", models.folder("sd1").path)
    torch.manual_seed(11)
    pipe.vae = AutoencoderKL.from_config(pipe.vae.config)
    path = tmp_path / "other.safetensors"
    if layout == "folder":
        path = tmp_path / "other"
        pipe.vae.save_pretrained(path)
    elif layout == "diffusers":
        save_file(pipe.vae.state_dict(), path)
    else:
        tensors = {name: each for name, each in tiny.single_file("sd1", pipe).items() if name.startswith("first_stage")}
        save_file(tensors, path)
    plan = tiny.plan(
        models.file("sd1"), PROMPT, vae=tiny.asset(path, "vae", "sd1"), tokenizer=models.vocabulary, prediction=None
    )
    assert ours(plan) == [script(pipe)]


def test_a_checkpoint_without_a_vae_says_how_to_name_one(models: Models, tmp_path: Path):
    from safetensors.torch import load_file, save_file

    tensors = load_file(models.file("sd1").path)
    path = tmp_path / "bare.safetensors"
    save_file({name: each for name, each in tensors.items() if not name.startswith("first_stage")}, path)
    with pytest.raises(GenerationError, match="lacks a VAE") as raised:
        ours(tiny.plan(tiny.asset(path, "checkpoint", "sd1"), tokenizer=models.vocabulary))
    assert "--vae" in str(raised.value.hint)


def test_a_checkpoint_that_lacks_weights_is_an_error(models: Models, tmp_path: Path):
    from safetensors.torch import load_file, save_file

    tensors = load_file(models.file("sd1").path)
    del tensors["model.diffusion_model.middle_block.1.transformer_blocks.0.attn1.to_q.weight"]
    path = tmp_path / "holed.safetensors"
    save_file(tensors, path)
    with pytest.raises(GenerationError, match=r"holed\.safetensors lacks weights of its UNet: .*attn1\.to_q\.weight"):
        ours(tiny.plan(tiny.asset(path, "checkpoint", "sd1"), tokenizer=models.vocabulary))


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder"])
def test_a_folder_that_lacks_weights_is_an_error_and_none_are_made_up(models: Models, tmp_path: Path, part: str):
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "holed"
    shutil.copytree(models.folder("sd1").path, folder)
    (path,) = (folder / part).glob("*.safetensors")
    tensors = load_file(path)
    tensors.pop(next(name for name in sorted(tensors) if name.endswith("weight")))
    save_file(tensors, path, {"format": "pt"})
    with pytest.raises(GenerationError, match="holed"):
        ours(tiny.plan(tiny.asset(folder, "checkpoint", "sd1")))


def test_a_folder_of_a_variant_loads_and_one_of_pickles_does_not(models: Models, tmp_path: Path):
    import torch

    pipe = load("sd1", models.folder("sd1").path)
    pipe.save_pretrained(tmp_path / "half", variant="fp16")
    assert len(ours(tiny.plan(tiny.asset(tmp_path / "half", "checkpoint", "sd1")))) == 1
    pipe.save_pretrained(tmp_path / "old")
    for path in (tmp_path / "old").glob("*/*.safetensors"):
        torch.save({}, path.with_suffix(".bin"))
        path.unlink()
    with pytest.raises(GenerationError, match="old could not be loaded"):
        ours(tiny.plan(tiny.asset(tmp_path / "old", "checkpoint", "sd1")))


def test_a_folder_without_its_tokenizer_is_refused(models: Models, tmp_path: Path):
    folder = tmp_path / "mute"
    shutil.copytree(models.folder("sd1").path, folder)
    for path in (folder / "tokenizer").iterdir():
        path.unlink()
    with pytest.raises(GenerationError, match="mute"):
        ours(tiny.plan(tiny.asset(folder, "checkpoint", "sd1")))


def test_a_pickle_under_a_safetensors_name_is_refused(models: Models, tmp_path: Path):
    path = tmp_path / "evil.safetensors"
    path.write_bytes(b"\x80\x04" + b"." * 200)
    with pytest.raises(RefusedFileError, match="pickle"):
        ours(tiny.plan(tiny.asset(path, "checkpoint", "sd1"), tokenizer=models.vocabulary))


@pytest.mark.usefixtures("models")
def test_precision_follows_the_device():
    from assetctl.generation.diffusers.backend import choose_device, choose_dtype, nearest

    assert choose_dtype("auto", "cpu") == choose_dtype("auto", "cpu", "comfyui") == "fp32"
    assert choose_dtype("auto", "cuda") == choose_dtype("auto", "cuda", "comfyui") == "fp16"
    assert choose_dtype("bf16", "cpu") == "bf16"
    assert choose_dtype("auto", "cpu", "diffusers") in ("bf16", "fp32")
    assert nearest("cpu", "fp16") == ("cpu", "fp32")  # of a picture that a graphics card made
    assert choose_dtype("fp32", "cpu") == "fp32"
    assert choose_dtype("fp16", "cuda") == "fp16"
    with pytest.raises(UsageError, match="fp16"):
        choose_dtype("fp16", "cpu")
    with pytest.raises(UsageError, match="quantum"):
        choose_device("quantum")


def test_generating_is_silent_and_leaves_logging_as_it_was(models: Models, tmp_path: Path, capfd: Any):
    import logging

    import diffusers

    paths = [tmp_path / f"{seed}.safetensors" for seed in range(2)]
    for seed, path in enumerate(paths):
        tiny.write_lora(path, load("sd1", models.folder("sd1").path), seed)
    before = diffusers.utils.logging.get_verbosity(), logging.getLogger("transformers").level
    capfd.readouterr()
    loras = [(tiny.asset(path, "lora", "sd1"), 0.5) for path in paths]
    ours(tiny.plan(models.file("sd1"), "cat " * 200, loras=loras, tokenizer=models.vocabulary))
    assert capfd.readouterr() == ("", "")
    assert (diffusers.utils.logging.get_verbosity(), logging.getLogger("transformers").level) == before
    assert diffusers.utils.logging.is_progress_bar_enabled()


def test_a_picture_says_what_its_bytes_depend_on(models: Models):
    picture = next(DiffusersBackend().generate(tiny.plan(models.folder("sd1")), Run()))
    assert picture.seed == 5
    assert picture.environment["dtype"] == "fp32"
    assert picture.environment.keys() >= {
        "device",
        "dtype",
        "threads",
        "torch",
        "diffusers",
        "transformers",
        "peft",
        "assetctl",
    }


@pytest.mark.parametrize(("skip", "layers"), [(2, 2), (3, 1), (12, 1)])
def test_clip_skip_leaves_the_last_layers_of_the_text_encoder_out(models: Models, skip: int, layers: int):
    checkpoint = models.folder("sd1")
    pipe = load("sd1", checkpoint.path)
    network = getattr(pipe.text_encoder, "text_model", pipe.text_encoder).encoder
    network.layers = network.layers[:layers]
    wanted = script(pipe, negative_prompt="dog")
    assert ours(tiny.plan(checkpoint, PROMPT, negative="dog", clip_skip=skip)) == [wanted]
    assert ours(tiny.plan(checkpoint, PROMPT, negative="dog")) != [wanted]


def test_a_lora_that_was_never_trained_is_told_of(models: Models, tmp_path: Path):
    pipe = load("sd1", models.folder("sd1").path)
    uses = []
    for name, strength in (("trained", 1.0), ("blank", 0.0)):
        tiny.write_lora(tmp_path / f"{name}.safetensors", pipe, 1, strength)
        uses.append((tiny.asset(tmp_path / f"{name}.safetensors", "lora", "sd1"), 1.0))
    picture = next(DiffusersBackend().generate(tiny.plan(models.folder("sd1"), loras=uses), Run()))
    assert [(finding.rule, finding.severity, finding.assets) for finding in picture.findings] == [
        ("blank", "warning", ("blank",))
    ]


def test_as_many_threads_compute_as_the_plan_says_and_then_as_many_as_before(models: Models):
    import torch

    before = torch.get_num_threads()
    (picture,) = DiffusersBackend().generate(tiny.plan(models.folder("sd1"), threads=before + 1), Run())
    assert picture.environment["threads"] == str(before + 1)
    assert torch.get_num_threads() == before


@pytest.mark.usefixtures("models")
def test_the_environment_is_that_of_a_picture_and_takes_what_is_there():
    here = DiffusersBackend().environment("cpu", "fp32", 3)
    assert (here["device"], here["dtype"], here["threads"]) == ("cpu", "fp32", "3")
    assert here.keys() >= {"processor", "python", "pillow", "torch"}
    assert DiffusersBackend().environment("quantum", "fp8", None)["device"] in ("cpu", "cuda", "mps")
    code = "from assetctl.generation.diffusers import DiffusersBackend as B; print(B().environment('cpu', 'auto', 3))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # without torch
    assert done.stdout.strip() == str(DiffusersBackend().environment("cpu", "auto", 3))


@pytest.mark.parametrize("chosen", [None, "ACTIVE"])
def test_idle_threads_sleep_unless_someone_chose_otherwise(tmp_path: Path, chosen: str | None):
    """OpenMP reads it once, as torch is imported; a torch that only tells what it sees then will do."""
    torch = "import os\nprint(os.environ.get('OMP_WAIT_POLICY'), os.environ.get('GOMP_SPINCOUNT'))\nraise ImportError"
    (tmp_path / "torch.py").write_text(torch, "utf-8")
    code = "from assetctl.generation.diffusers import DiffusersBackend as B\nB().environment('cpu', 'fp32', None)"
    environment = {
        name: value for name, value in os.environ.items() if name not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
    }
    environment |= {"PYTHONPATH": str(tmp_path)} | ({"OMP_WAIT_POLICY": chosen} if chosen else {})
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment)
    assert done.stdout.split() == ([chosen, "None"] if chosen else ["PASSIVE", "1000"])


@pytest.mark.usefixtures("models")
def test_where_torch_is_there_already_its_environment_is_left_alone(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    DiffusersBackend().environment("cpu", "fp32", None)
    assert "OMP_WAIT_POLICY" not in os.environ


def test_without_torch_the_error_says_what_to_install():
    code = """
import sys
sys.modules["torch"] = None
from assetctl.errors import MissingExtraError
from assetctl.generation.diffusers import DiffusersBackend
from assetctl.run import Run
try:
    next(DiffusersBackend().generate(None, Run()))
except MissingExtraError as error:
    print(error.hint)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "assetctl[generate]" in done.stdout


def test_what_is_loaded_for_one_plan_serves_the_next_and_changes_nothing(models: Models):
    first = tiny.plan(models.folder("sd1"), PROMPT)
    second = tiny.plan(models.folder("sd1"), "a dog (barking: 1.3)", negative=NEGATIVE)
    other = tiny.plan(models.folder("sd2"), PROMPT, prediction="epsilon")
    backend = DiffusersBackend()
    for plan in (first, second, first, other, second):
        kept = [picture.image.tobytes() for picture in backend.generate(plan, Run())]
        assert kept == ours(plan)


@pytest.mark.usefixtures("models")
def test_what_other_threads_log_and_warn_of_arrives_while_one_generates(
    models: Models, caplog: pytest.LogCaptureFixture
):
    """They do so at every step: of their own, and by the very loggers and modules of the libraries."""
    import logging
    import threading
    import warnings

    import diffusers
    import torch

    threads, environment = torch.get_num_threads(), dict(os.environ)
    plan = tiny.plan(models.folder("sd1"), steps=3)
    list(DiffusersBackend().generate(plan, Run()))  # what is imported late may warn of itself
    steps: list[int] = []

    def speak() -> None:
        steps.append(torch.get_num_threads())
        logging.getLogger("mine").warning("a record of step %s", len(steps))
        logging.getLogger("peft.other").warning("a record of peft in step %s", len(steps))
        warnings.warn(f"a warning in step {len(steps)}", UserWarning, stacklevel=1)
        assert bool(diffusers.utils.logging.tqdm([1], disable=True).disable)
        assert dict(os.environ) == environment

    def elsewhere(event: Event) -> None:
        if isinstance(event, Step):
            thread = threading.Thread(target=speak)
            thread.start()
            thread.join()
            logging.getLogger("diffusers.other").error("not to be heard: one is generating in this thread")

    with warnings.catch_warnings(record=True) as caught, caplog.at_level("WARNING"):
        warnings.simplefilter("always")
        list(DiffusersBackend().generate(plan, Run(elsewhere)))
    heard = [record.message for record in caplog.records if record.name in ("mine", "peft.other", "diffusers.other")]
    assert heard == [
        text for step in (1, 2, 3) for text in (f"a record of step {step}", f"a record of peft in step {step}")
    ]
    assert [str(each.message) for each in caught] == [f"a warning in step {step}" for step in (1, 2, 3)]
    assert steps == [threads] * 3
    assert (torch.get_num_threads(), dict(os.environ)) == (threads, environment)


def test_two_threads_that_generate_with_other_numbers_of_threads_leave_both_as_they_were(models: Models):
    import threading

    import torch

    before, found = torch.get_num_threads(), {}
    ready = threading.Barrier(3)

    def make(number: int | None) -> None:
        torch.get_num_threads()  # a thread that is new to torch gets what was set last
        ready.wait()
        (picture,) = DiffusersBackend().generate(tiny.plan(models.folder("sd1"), threads=number), Run())
        found[number] = picture.environment["threads"], torch.get_num_threads()

    workers = [threading.Thread(target=make, args=(number,)) for number in (None, before + 1, before + 2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert found == {number: (str(number or before), before) for number in (None, before + 1, before + 2)}
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("place", [1, 2, 3])
def test_cancelled_at_any_event_the_same_backend_makes_the_same_picture_afterwards(models: Models, place: int):
    plan, backend, told = tiny.plan(models.folder("sd1")), DiffusersBackend(), []

    def hear(event: Event) -> None:
        told.append(event)
        if len(told) == place:
            run.cancel()

    run = Run(hear)
    with pytest.raises(Cancelled):
        list(backend.generate(plan, run))
    assert len(told) == place
    assert [picture.image.tobytes() for picture in backend.generate(plan, Run())] == ours(plan)
