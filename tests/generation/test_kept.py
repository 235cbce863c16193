"""What a backend keeps from plan to plan: pictures after any sequence of changes are those of a new backend."""

from __future__ import annotations

import gc
import random
import shutil
import threading
import weakref
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from generation import tiny

from assetctl.demo import demo_assets
from assetctl.errors import GenerationError
from assetctl.generation.diffusers import DiffusersBackend
from assetctl.registry import Registry
from assetctl.request import Request
from assetctl.run import Run
from assetctl.samplers import LEGACY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from assetctl.request import Picture, Plan

pytestmark = [pytest.mark.generation, pytest.mark.filterwarnings("ignore")]
pytest.importorskip("diffusers")

Asked = dict[str, Any]


class Demo:
    """The demo family twice, with other numbers, and a VAE."""

    def __init__(self, folder: Path) -> None:
        family = demo_assets()
        self.config = family.config
        self.loras = [tiny.asset(path, "lora", "sd1") for path in (family.style, family.subject)]
        words = {family.embedding: "demo-cookie", family.negative: "demo-negative"}
        self.embeddings = [tiny.asset(path, "embedding", "sd1", trigger_words=(word,)) for path, word in words.items()]
        changed(family.checkpoint, folder / "other.safetensors")
        changed(family.checkpoint, folder / "vae.safetensors", "first_stage_model.")
        self.checkpoints = [
            tiny.asset(path, "checkpoint", "sd1") for path in (family.checkpoint, folder / "other.safetensors")
        ]
        self.vae = tiny.asset(folder / "vae.safetensors", "vae", "sd1")

    def plan(self, **asked: Any) -> Plan:
        prompt = "a demo-cookie on a red star, vintage cat"
        usual = {"steps": 1, "prediction": None, "tokenizer": self.config, "negative": "demo-negative"}
        checkpoint, flavour = asked.pop("checkpoint", 0), asked.pop("flavour", LEGACY)
        plan = tiny.plan(self.checkpoints[checkpoint], prompt, **usual | asked)
        return replace(plan, settings=dict(plan.settings) | {"flavour": flavour})

    def asked(self, chance: random.Random, before: Asked) -> Asked:
        """What somebody might ask for next: mostly as before."""
        weighed = [(lora, chance.choice((0.0, 0.4, 0.8, -0.7))) for lora in self.loras]
        changes: dict[str, Callable[[], Any]] = {
            "loras": lambda: chance.sample(weighed, chance.randint(0, 2)),
            "embeddings": lambda: chance.sample(self.embeddings, chance.randint(0, 2)),
            "vae": lambda: chance.choice((None, self.vae)),
            "checkpoint": lambda: chance.randint(0, 1),
            "dtype": lambda: chance.choice(("fp32", "fp32", "bf16")),
            "sampler": lambda: chance.choice(("Euler a", "Euler", "DPM++ 2M")),
            "flavour": lambda: chance.choice((LEGACY, "a1111", "comfyui", "diffusers")),
            "prediction": lambda: chance.choice((None, "epsilon", "v_prediction")),
        }
        names = chance.choices(list(changes), [6, 4, 3, 2, 1, 2, 2, 2], k=chance.randint(1, 2))
        return before | {name: changes[name]() for name in names}


def changed(path: Path, into: Path, prefix: str = "") -> None:
    """A copy whose numbers are a little smaller, of the tensors whose names begin so."""
    from safetensors.torch import load_file, save_file

    tensors = {name: tensor * 0.98 for name, tensor in load_file(path).items() if name.startswith(prefix)}
    save_file(tensors, into)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    return Demo(tmp_path_factory.mktemp("demo"))


def made(backend: DiffusersBackend, plan: Plan) -> list[bytes]:
    return [picture.image.tobytes() for picture in backend.generate(plan, Run())]


def cold(plan: Plan) -> list[bytes]:
    return made(DiffusersBackend(), plan)


def resident() -> int:
    """Bytes of memory that the process has of its own."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("RssAnon"))
    return 1024 * int(line.split()[1])


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is loaded: names of the parts of pipelines, and of files of LoRAs and embeddings."""
    from assetctl.generation.diffusers import conditioning, kept, pipeline

    loaded: list[str] = []

    def watch(module: Any, name: str, told: Callable[..., str]) -> None:
        function = getattr(module, name)

        def watched(*arguments: Any, **named: Any) -> Any:
            loaded.append(told(*arguments))
            return function(*arguments, **named)

        monkeypatch.setattr(module, name, watched)

    watch(kept, "load_pipeline", lambda plan, *_: f"{plan.checkpoint.name} without {sorted(_[-1])}")
    watch(kept, "load_vae", lambda plan, *_: plan.vae.name)
    for module in (pipeline, conditioning):
        watch(module, "load_file", lambda path: Path(path).stem)
    return loaded


@pytest.mark.parametrize(
    "count", [5, pytest.param(25, marks=pytest.mark.slow), pytest.param(300, marks=pytest.mark.long)]
)
def test_a_picture_after_any_changes_is_the_one_of_a_new_backend(demo: Demo, count: int):
    chance, backend, asked = random.Random(count), DiffusersBackend(2**30), {}
    twins: dict[str, list[bytes]] = {}
    for number in range(count):
        asked = demo.asked(chance, asked)
        plan = demo.plan(**asked)
        warm = made(backend, plan)
        twins[repr(plan)] = twins.get(repr(plan)) or cold(plan)
        assert warm == twins[repr(plan)], f"picture {number}: {asked}"


@pytest.mark.slow
def test_memory_stays_as_it_is_when_models_come_and_go(demo: Demo):
    """Once every precision and sampler was met, which the libraries keep something of."""
    chance, backend, asked, memory = random.Random(3), DiffusersBackend(60 * 10**6), {}, []
    for _ in range(300):
        asked = demo.asked(chance, asked)
        made(backend, demo.plan(**asked))
        memory.append(resident())
    assert sum(memory[-75:]) / sum(memory[150:225]) < 1.02


def test_what_one_picture_was_sampled_with_is_not_taken_for_the_checkpoints_own(demo: Demo):
    backend = DiffusersBackend()
    for prediction, sampler in (("v_prediction", "DPM++ 2M Karras"), (None, "Euler")):
        plan = demo.plan(prediction=prediction, sampler=sampler, steps=2)
        assert made(backend, plan) == cold(plan)


def test_a_change_of_weight_reads_nothing_and_one_lora_goes_or_comes_alone(demo: Demo, read: list[str]):
    style, subject = demo.loras
    backend = DiffusersBackend()
    made(backend, demo.plan(loras=[(style, 0.8), (subject, 0.5)]))
    assert read == ["demo-checkpoint without []", "demo-vintage", "demo-cat"]
    read.clear()
    for loras in ([(style, 0.7), (subject, 0.5)], [(style, 0.7)], [(replace(style, name="renamed"), 0.7)], []):
        made(backend, demo.plan(loras=loras))
    assert read == []
    made(backend, demo.plan(loras=[(subject, 0.5)]))
    assert read == ["demo-cat"]


def test_another_vae_loads_no_unet_and_an_earlier_checkpoint_loads_nothing(demo: Demo, read: list[str]):
    backend = DiffusersBackend(2**30)
    made(backend, demo.plan(vae=demo.vae))
    assert read == ["vae", "demo-checkpoint without ['vae']"]
    read.clear()
    made(backend, demo.plan())
    parts = ["text_encoder", "tokenizer", "unet"]
    assert read == [f"demo-checkpoint without {parts}"]
    made(backend, demo.plan(checkpoint=1))
    read.clear()
    both = [{**checkpoint, **vae} for checkpoint in ({}, {"checkpoint": 1}) for vae in ({}, {"vae": demo.vae})]
    for asked in (*both, {"prediction": "epsilon"}):
        made(backend, demo.plan(**asked))
    assert read == []


def test_the_word_of_an_embedding_that_was_taken_off_is_text_again(demo: Demo, read: list[str]):
    backend = DiffusersBackend()
    cookie, negative = demo.embeddings
    plain = cold(demo.plan())
    assert made(backend, demo.plan(embeddings=[cookie, negative])) != plain
    assert made(backend, demo.plan()) == plain
    read.clear()
    made(backend, demo.plan(embeddings=[cookie]))
    made(backend, demo.plan(embeddings=[cookie, negative]))
    assert read == ["demo-cookie", "demo-negative"]


def test_of_two_embeddings_with_one_word_the_later_counts_however_they_came(demo: Demo):
    cookie, negative = demo.embeddings
    same = replace(negative, trigger_words=cookie.trigger_words)
    backend = DiffusersBackend()
    for chosen in ([cookie], [cookie, same], [same, cookie], [cookie, negative]):
        plan = demo.plan(embeddings=chosen)
        assert made(backend, plan) == cold(plan)


def test_no_more_is_kept_than_the_budget_and_what_goes_is_freed(demo: Demo, read: list[str]):
    one = DiffusersBackend(2**30)
    made(one, demo.plan())
    size = one._kept.size
    assert 20e6 < size < 40e6  # 14 MB in half precision
    backend = DiffusersBackend(int(1.5 * size))
    made(backend, demo.plan())
    unet = weakref.ref(backend._kept.loaded(demo.plan(), "cpu", "fp32", Run()).pipeline.unet)
    made(backend, demo.plan(checkpoint=1))
    gc.disable()  # nothing waits for the next collection
    try:
        made(backend, demo.plan(checkpoint=1))
        assert unet() is None
    finally:
        gc.enable()
    assert backend._kept.size <= 1.5 * size
    read.clear()
    made(backend, demo.plan())
    assert read == ["demo-checkpoint without ['vae']"]  # which is small, and was kept


def test_with_no_budget_what_the_last_plan_needed_stays(demo: Demo, read: list[str]):
    backend = DiffusersBackend(0)
    for asked in ({}, {}, {"vae": demo.vae}, {"vae": demo.vae, "loras": [(demo.loras[0], 0.5)]}):
        made(backend, demo.plan(**asked))
    assert read == ["demo-checkpoint without []", "vae", "demo-vintage"]
    assert len(backend._kept._kept) == 2


@pytest.mark.parametrize(("gigabytes", "budget"), [(None, None), ("0", 0), ("12", 12 * 10**9)])
def test_how_much_is_kept_can_be_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gigabytes: str | None, budget: int | None
):
    begun: list[DiffusersBackend] = []

    class Noted(DiffusersBackend):
        def generate(self, plan: Plan, run: Run) -> Iterator[Picture]:
            begun.append(self)
            return super().generate(plan, run)

    monkeypatch.setattr("assetctl.generation.diffusers.DiffusersBackend", Noted)
    if gigabytes is not None:
        monkeypatch.setenv("ASSETCTL_KEEP_GIGABYTES", gigabytes)
    with Registry.open(tmp_path) as registry:
        registry.import_files(demo_assets().checkpoint)
        registry.generate(Request.of("a red star", checkpoint="demo-checkpoint", steps=1, width=64, height=64))
    assert [backend._budget for backend in begun] == [budget]


def test_a_lora_that_fails_leaves_no_network_half_changed(demo: Demo, tmp_path: Path):
    import torch
    from safetensors.torch import load_file, save_file

    backend = DiffusersBackend()
    style, subject = demo.loras
    good = demo.plan(loras=[(style, 0.8)])
    wanted = made(backend, good)
    tensors = load_file(subject.path)
    ups = [name for name in tensors if name.endswith("lora_up.weight")]
    tensors[ups[-1]] = torch.zeros(7, tensors[ups[-1]].shape[1])  # the last of all, when the others are on
    save_file(tensors, tmp_path / "bad.safetensors")
    bad = tiny.asset(tmp_path / "bad.safetensors", "lora", "sd1")
    for loras in ([(style, 0.8), (bad, 0.5)], [(bad, 0.5)], [(subject, 0.3), (bad, 0.5)]):
        with pytest.raises(GenerationError, match="bad"):
            made(backend, demo.plan(loras=loras))
        assert made(backend, good) == wanted


@pytest.mark.parametrize("what", ["checkpoint", "lora", "vae"])
def test_a_file_that_is_overwritten_is_not_served_from_what_was_kept(demo: Demo, tmp_path: Path, what: str):
    family = demo_assets()
    paths = {"checkpoint": family.checkpoint, "lora": family.style, "vae": Path(demo.vae.path)}
    path, aside = tmp_path / f"{what}.safetensors", tmp_path / "aside.safetensors"
    shutil.copy(paths[what], path)
    changed(path, aside)
    backend = DiffusersBackend(2**30)

    def plan() -> Plan:
        mine = tiny.asset(path, what, "sd1")
        match what:
            case "checkpoint":
                return tiny.plan(mine, steps=1, tokenizer=demo.config)
            case "lora":
                return demo.plan(loras=[(mine, 0.8)])
        return demo.plan(vae=mine)

    first = made(backend, plan())
    before = path.read_bytes()
    path.write_bytes(aside.read_bytes())  # in place: what is mapped changes too
    second = made(backend, plan())
    assert second == cold(plan()) != first
    path.write_bytes(before)
    assert made(backend, plan()) == first


def test_two_runs_at_once_through_one_backend_make_their_own_pictures(demo: Demo):
    backend, found = DiffusersBackend(0), {}
    style, subject = demo.loras
    plans = [
        demo.plan(loras=[(style, 0.8)], seeds=(1, 2, 3)),
        demo.plan(loras=[(subject, 0.5)], embeddings=demo.embeddings, seeds=(1, 2, 3)),
    ]
    ready = threading.Barrier(2)

    def make(number: int) -> None:
        ready.wait()
        found[number] = made(backend, plans[number])

    workers = [threading.Thread(target=make, args=(number,)) for number in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert found == {number: cold(plan) for number, plan in enumerate(plans)}


def test_runs_in_turn_in_one_thread_wait_for_nothing(demo: Demo):
    backend = DiffusersBackend()
    plans = [demo.plan(seeds=(1, 2)), demo.plan(loras=[(demo.loras[0], 0.8)], seeds=(1, 2))]
    runs = [backend.generate(plan, Run()) for plan in plans]
    pictures = [[next(run).image.tobytes() for run in runs] for _ in range(2)]
    assert [list(each) for each in zip(*pictures, strict=True)] == [cold(plan) for plan in plans]
