"""Model folders, LoRAs and embeddings that someone wrote to be loaded: what they ask for is never done."""

from __future__ import annotations

import inspect
import json
import math
import os
import re
import sys
import time
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from generation import tiny
from headers import write_safetensors
from patience import fair
from tables import table

from assetctl.errors import AssetctlError, GenerationError, UnusableError
from assetctl.files.safetensors import Header, read_header
from assetctl.generation import folders
from assetctl.generation.bounds import check_lora, see_scheduler, within_bounds
from assetctl.generation.configuration import unet_config
from assetctl.generation.diffusers import DiffusersBackend
from assetctl.generation.folders import check_model, copy_tokenizer, hand_over, hand_over_vae
from assetctl.identify.identification import identify_diffusers
from assetctl.run import Run

if TYPE_CHECKING:
    from generation.conftest import Models

    from assetctl.request import Plan

pytestmark = [pytest.mark.generation, pytest.mark.filterwarnings("ignore")]

#: What runs where a line of it is imported.
CODE = "import pathlib\npathlib.Path({!r}).write_text('ran')\n"


def ours(plan: Plan) -> list[bytes]:
    return [picture.image.tobytes() for picture in DiffusersBackend().generate(plan, Run())]


@pytest.fixture
def folder(models: Models, tmp_path: Path) -> Path:
    """A sound folder of SD 1, to be spoilt: its weights are links to the same bytes."""
    return copied(Path(models.folder("sd1").path), tmp_path / "spoilt")


def copied(source: Path, target: Path) -> Path:
    for path in source.rglob("*"):
        there = target / path.relative_to(source)
        if path.is_dir():
            continue
        there.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".safetensors":
            os.link(path, there)
        else:
            there.write_bytes(path.read_bytes())
    return target


def change(path: Path, **values: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | values), "utf-8")


def refusal(folder: Path, family: str = "sd1") -> AssetctlError:
    """The one sentence that loading a folder ends with, soon."""
    start = time.monotonic()
    with pytest.raises(AssetctlError) as caught:
        ours(tiny.plan(tiny.asset(folder, "checkpoint", family)))
    assert time.monotonic() - start < fair(10)
    error = caught.value
    assert error.exit_code in (4, 5)
    assert error.hint
    assert "\n" not in error.message
    return error


@pytest.mark.parametrize("case", table("hostile_configurations"))
def test_a_configuration_out_of_bounds_is_named_with_its_key(folder: Path, case: dict[str, Any]):
    change(folder / case["file"], **{case["key"]: case["value"]})
    error = refusal(folder)
    assert case["file"] in error.message
    assert case.get("named", case["key"]) in error.message
    with pytest.raises(UnusableError, match=re.escape(case.get("named", case["key"]))):
        check_model(folder, "sd1")


@pytest.mark.parametrize("value", [10**400, [-(10**400)], 2**70], ids=["huge", "list", "large"])
@pytest.mark.parametrize("key", ["other", "norm_eps", "block_out_channels"])
def test_a_number_that_no_processor_holds_is_named_with_its_key(folder: Path, key: str, value: Any):
    """JSON has none so large, but where it holds Python's NaN, it is read as Python reads it."""
    change(folder / "unet" / "config.json", **{"_note": math.nan, key: value})
    assert key in refusal(folder).message


@pytest.mark.parametrize(
    ("key", "value"),
    [("_class_name", ["evil", "Evil"]), ("image_encoder", ["evil", "Evil"]), ("unet", ["evil", "Evil"]),
     ("unet", ["diffusers", "evil.Evil"]), ("scheduler", ["diffusers", "EvilScheduler"]), ("custom_pipeline", "evil"),
     ("vae", {"a": 1}), ("extra", ["evil", "Evil", "more"]), ("safety_checker", ["diffusers", "../evil"])],
    ids=lambda value: str(value)[:20],
)  # fmt: skip
def test_an_index_that_names_code_of_its_own_is_refused(folder: Path, key: str, value: Any):
    change(folder / "model_index.json", **{key: value})
    assert re.search(rf"model_index\.json.* {key}\b", refusal(folder).message)


def test_code_in_a_folder_is_not_handed_over_and_changes_nothing(models: Models, folder: Path, tmp_path: Path):
    ran = tmp_path / "ran"
    for name in ("unet/diffusers.py", "unet/unet_2d_condition.py", "pipeline.py", "text_encoder/modeling_clip.py"):
        (folder / name).write_text(CODE.format(str(ran)), "utf-8")
    for name in ("unet/diffusion_pytorch_model.bin", "text_encoder/pytorch_model.bin", "vae/x.pt"):
        (folder / name).write_bytes(b"\x80\x04N.")
    change(
        folder / "model_index.json",
        safety_checker=["stable_diffusion", "StableDiffusionSafetyChecker"],
        feature_extractor=["transformers", "CLIPImageProcessor"],
        image_encoder=["transformers", "CLIPVisionModelWithProjection"],
    )
    assert ours(tiny.plan(tiny.asset(folder, "checkpoint", "sd1"))) == ours(tiny.plan(models.folder("sd1")))
    assert not ran.exists()


def test_nothing_is_handed_over_but_an_index_of_ours_configurations_words_and_weights(folder: Path, tmp_path: Path):
    (folder / "unet" / "evil.py").write_text("", "utf-8")
    (folder / "safety_checker").mkdir()
    change(folder / "text_encoder" / "config.json", num_labels=10**9, dtype="evil.Evil", id2label={"0": "a"})
    change(folder / "unet" / "config.json", _name_or_path="/etc", _evil="x")
    handed = hand_over(folder, "sd1", tmp_path / "handed")
    names = {str(path.relative_to(handed)) for path in handed.rglob("*") if not path.is_dir()}
    weights = {"unet/diffusion_pytorch_model", "vae/diffusion_pytorch_model", "text_encoder/model"}
    assert names == {
        "model_index.json", "unet/config.json", "vae/config.json", "text_encoder/config.json",
        "scheduler/scheduler_config.json", "tokenizer/vocab.json", "tokenizer/merges.txt",
        "tokenizer/tokenizer_config.json", *(f"{name}.safetensors" for name in weights),
    }  # fmt: skip
    text = json.loads((handed / "text_encoder" / "config.json").read_text("utf-8"))
    assert not text.keys() & {"num_labels", "dtype", "id2label", "auto_map"}
    unet = json.loads((handed / "unet" / "config.json").read_text("utf-8"))
    assert [key for key in unet if key.startswith("_")] == ["_class_name"]
    index = json.loads((handed / "model_index.json").read_text("utf-8"))
    assert index["image_encoder"] == index["safety_checker"] == [None, None]


@pytest.mark.parametrize(
    "name",
    ["model_index.json", "unet/config.json", "tokenizer/tokenizer_config.json", "scheduler/scheduler_config.json"],
)
def test_a_link_out_of_the_folder_is_refused_and_the_hubs_own_are_followed(folder: Path, tmp_path: Path, name: str):
    elsewhere = tmp_path / "elsewhere.json"
    elsewhere.write_bytes((folder / name).read_bytes())
    (folder / name).unlink()
    (folder / name).symlink_to(elsewhere)
    assert name in refusal(folder).message
    cache = tmp_path / "models--ann--cats"
    (cache / "blobs").mkdir(parents=True)
    elsewhere.rename(cache / "blobs" / "0123")
    snapshot = cache / "snapshots" / "abc"
    snapshot.parent.mkdir()
    folder.rename(snapshot)
    (snapshot / name).unlink()
    (snapshot / name).symlink_to(cache / "blobs" / "0123")
    check_model(snapshot, "sd1")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pipes of this kind")
@pytest.mark.parametrize("name", ["model_index.json", "unet/config.json", "tokenizer/tokenizer.json"])
@pytest.mark.parametrize("kind", ["deep", "large", "pipe", "loop"])
def test_a_file_that_no_one_should_read_is_one_refusal(folder: Path, name: str, kind: str):
    path = folder / name
    path.unlink()
    if kind == "deep":
        path.write_text('{"a":' * 100_000, "utf-8")
    elif kind == "large":
        with path.open("wb") as file:
            file.truncate(2**34)
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to(path.name)
    assert name.partition("/")[0] in refusal(folder).message


@pytest.mark.parametrize(
    ("file", "values"),
    [("tokenizer_config.json", {"auto_map": {"AutoTokenizer": ["evil.Evil", None]}}),
     ("tokenizer_config.json", {"tokenizer_class": "EvilTokenizer"}),
     ("tokenizer_config.json", {"model_max_length": 0}), ("tokenizer_config.json", {"pad_token": {"a": 1}}),
     ("tokenizer_config.json", {"added_tokens_decoder": {"x": "y"}}), ("added_tokens.json", {"word": "1"}),
     ("tokenizer.json", {"model": []}), ("tokenizer.json", {"model": {"vocab": {"a": -1}, "merges": []}})],
)  # fmt: skip
def test_a_tokenizer_that_asks_for_more_is_refused(folder: Path, file: str, values: dict[str, Any]):
    path = folder / "tokenizer" / file
    if not path.exists():
        path.write_text("{}", "utf-8")
    change(path, **values)
    assert file in refusal(folder).message


def test_words_that_were_added_to_a_tokenizer_are_kept(folder: Path, tmp_path: Path):
    from transformers import CLIPTokenizer

    (folder / "tokenizer" / "added_tokens.json").write_text('{"<mine>": 600}', "utf-8")
    copy_tokenizer(folder / "tokenizer", folder, tmp_path / "handed")
    assert CLIPTokenizer.from_pretrained(tmp_path / "handed").convert_tokens_to_ids("<mine>") in (523, 600)


@pytest.mark.parametrize(("name", "family"), [("sd15", "sd1"), ("sdxl", "sdxl")])
def test_published_configurations_are_handed_over_with_all_that_they_set(
    corpus: Path, tmp_path: Path, name: str, family: str
):
    published = corpus / "diffusers-configs" / name
    handed = hand_over(published, family, tmp_path / "handed", see_part=lambda *_: None)
    for part in ("unet", "vae", "text_encoder", "scheduler"):
        file = "scheduler_config.json" if part == "scheduler" else "config.json"
        given, kept = (json.loads((folder / part / file).read_text("utf-8")) for folder in (published, handed))
        given["model_type"] = kept.get("model_type")
        notes = ("torch_dtype", "transformers_version", "dropout", "initializer_range", "initializer_factor")
        lost = {key for key in given.keys() - kept.keys() if not key.startswith("_") and key not in notes}
        assert lost <= {"model_type"}
        assert all(kept[key] == given[key] for key in kept.keys() & given.keys() - {"_class_name"})


def test_a_schedule_without_an_end_is_kept_as_diffusers_writes_it(models: Models, folder: Path):
    from diffusers import DPMSolverMultistepScheduler

    change(folder / "model_index.json", scheduler=["diffusers", "DPMSolverMultistepScheduler"])
    DPMSolverMultistepScheduler(beta_schedule="scaled_linear").save_pretrained(folder / "scheduler")
    assert "-Infinity" in (folder / "scheduler" / "scheduler_config.json").read_text("utf-8")
    assert identify_diffusers(folder).kind == "checkpoint"
    plan = tiny.plan(tiny.asset(folder, "checkpoint", "sd1"), sampler="DPM++ 2M")
    assert ours(plan) != ours(tiny.plan(models.folder("sd1"), sampler="DPM++ 2M"))


@pytest.mark.parametrize("variant", [None, "fp16"])
def test_weights_in_pieces_are_handed_over_with_an_index_of_ours(models: Models, folder: Path, variant: str | None):
    from diffusers import UNet2DConditionModel

    unet = UNet2DConditionModel.from_pretrained(folder / "unet")
    (folder / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    unet.save_pretrained(folder / "unet", max_shard_size="1MB", variant=variant)
    assert len(list((folder / "unet").glob("*.safetensors"))) > 2
    (folder / "unet" / "diffusion_pytorch_model.safetensors.index.bf16.json").write_text(
        '{"weight_map": {"conv_in.weight": "../../elsewhere.safetensors"}}', "utf-8"
    )
    assert ours(tiny.plan(tiny.asset(folder, "checkpoint", "sd1"))) == ours(tiny.plan(models.folder("sd1")))


def test_a_vae_folder_is_handed_over_likewise(folder: Path, tmp_path: Path):
    (folder / "vae" / "evil.py").write_text("", "utf-8")
    handed = hand_over_vae(folder / "vae", tmp_path / "handed")
    assert {path.name for path in handed.iterdir()} == {"config.json", "diffusion_pytorch_model.safetensors"}
    change(folder / "vae" / "config.json", latent_channels=10**9)
    with pytest.raises(UnusableError, match="latent_channels"):
        hand_over_vae(folder / "vae", tmp_path / "again")


def test_a_companion_that_does_not_fit_its_checkpoint_is_named_with_its_key(models: Models, folder: Path):
    change(folder / "text_encoder" / "config.json", hidden_size=96)
    with pytest.raises(UnusableError, match=r"text_encoder/config\.json .* hidden_size is 96"):
        ours(tiny.plan(models.file("sd1"), tokenizer=folder))


def test_a_file_whose_tensors_name_far_too_many_layers_is_refused(models: Models, tmp_path: Path):
    from safetensors.torch import load_file, save_file

    tensors = load_file(models.file("sd1").path)
    name = "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight"
    tensors[name.replace("blocks.0.", "blocks.9999.")] = tensors[name]
    path = tmp_path / "tall.safetensors"
    save_file({key: each.clone() for key, each in tensors.items()}, path)
    with pytest.raises(UnusableError, match="transformer_layers_per_block"):
        ours(tiny.plan(tiny.asset(path, "checkpoint", "sd1"), tokenizer=models.vocabulary))


def test_a_unet_of_as_many_blocks_as_can_be_named_is_refused_at_once(tmp_path: Path):
    names = [f"model.diffusion_model.input_blocks.{block}.0.in_layers.2.weight" for block in range(1, 10_000)]
    names += [f"model.diffusion_model.input_blocks.9999{'x' * 50}{number}" for number in range(50_000)]
    header = Header(tmp_path / "odd.safetensors", 0, 0, {name: {"shape": [1, 1, 1, 1]} for name in names}, {})
    start = time.monotonic()
    with pytest.raises(UnusableError, match="known shape"):
        unet_config(header, "sd1", {})
    assert time.monotonic() - start < fair(2)


# LoRAs.


def lora_with(models: Models, path: Path, metadata: dict[str, str]) -> Any:
    from diffusers import StableDiffusionPipeline
    from safetensors.torch import load_file, save_file

    tiny.write_lora(path, StableDiffusionPipeline.from_pretrained(models.folder("sd1").path), 3)
    save_file(load_file(path), path, metadata)
    return tiny.asset(path, "lora", "sd1")


def test_what_a_lora_says_of_itself_decides_nothing(models: Models, tmp_path: Path):
    plain = lora_with(models, tmp_path / "plain.safetensors", {"format": "pt"})
    asked = {
        f"{part}.{key}": value
        for part in ("unet", "text_encoder")
        for key, value in {
            "r": 10**6, "lora_alpha": 10**9, "target_modules": "(" * 3 + "a+)+)+)+b|.*" + "x", "megatron_core": "evil",
            "auto_mapping": {"parent_library": "evil", "base_model_class": "Evil"}, "peft_type": "LORA",
        }.items()
    }  # fmt: skip
    hostile = lora_with(models, tmp_path / "hostile.safetensors", {"lora_adapter_metadata": json.dumps(asked)})
    (tmp_path / "adapter_config.json").write_text(json.dumps(asked), "utf-8")
    pictures = [ours(tiny.plan(models.folder("sd1"), loras=[(lora, 0.8)])) for lora in (plain, hostile)]
    assert pictures[0] == pictures[1]


@pytest.mark.parametrize(
    "name", ["lora_unet_(a+)+b.lora_down.weight", "unet.((.*)*)*x.lora_A.weight", "a\nb.lora_A.weight"]
)
def test_a_loras_tensor_whose_name_is_an_expression_is_refused(models: Models, tmp_path: Path, name: str):
    import torch
    from safetensors.torch import save_file

    path = tmp_path / "odd.safetensors"
    save_file({name: torch.zeros(2, 2)}, path)
    with pytest.raises(UnusableError, match="LoRA odd has a tensor of an unknown name"):
        ours(tiny.plan(models.folder("sd1"), loras=[(tiny.asset(path, "lora", "sd1"), 1.0)]))


# Numbers.


@pytest.mark.parametrize(
    ("dtype", "word"), [("int64", "whole"), ("complex64", "complex"), ("bool", "truth"), ("uint8", "whole")]
)
def test_vectors_or_halves_that_are_no_real_numbers_are_refused(models: Models, tmp_path: Path, dtype: str, word: str):
    import torch
    from safetensors.torch import save_file

    tensor = torch.ones(2, 64).to(getattr(torch, dtype))
    save_file({"emb_params": tensor}, tmp_path / "odd.safetensors")
    embedding = tiny.asset(tmp_path / "odd.safetensors", "embedding", "sd1")
    with pytest.raises(UnusableError, match=f"embedding odd cannot be used: its vectors are {word}"):
        ours(tiny.plan(models.folder("sd1"), "odd", embeddings=[embedding]))
    save_file({"lora_unet_x.lora_down.weight": tensor}, tmp_path / "half.safetensors")
    with pytest.raises(UnusableError, match=f"LoRA half cannot be used: .* {word}"):
        ours(tiny.plan(models.folder("sd1"), loras=[(tiny.asset(tmp_path / "half.safetensors", "lora", "sd1"), 1.0)]))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_vectors_of_no_numbers_are_refused(models: Models, tmp_path: Path, value: float):
    import torch
    from safetensors.torch import save_file

    save_file({"emb_params": torch.full((1, 64), value)}, tmp_path / "odd.safetensors")
    embedding = tiny.asset(tmp_path / "odd.safetensors", "embedding", "sd1")
    with pytest.raises(UnusableError, match="embedding odd cannot be used"):
        ours(tiny.plan(models.folder("sd1"), "odd", embeddings=[embedding]))


def test_a_vae_of_no_numbers_is_an_error_rather_than_a_black_picture(folder: Path):
    from safetensors.torch import load_file, save_file

    (path,) = (folder / "vae").glob("*.safetensors")
    tensors = load_file(path)
    path.unlink()
    name = "decoder.conv_out.weight"
    save_file(tensors | {name: tensors[name] * float("nan")}, path, {"format": "pt"})
    with pytest.raises(GenerationError, match="NaN"):
        ours(tiny.plan(tiny.asset(folder, "checkpoint", "sd1")))


def test_a_lora_of_far_more_tensors_than_there_are_modules_is_refused_at_once(models: Models, tmp_path: Path):
    import torch
    from safetensors.torch import save_file

    ranks = {f"lora_unet_m{number}": 1 + number % 50 for number in range(2500)}
    tensors = {f"{module}.lora_up.weight": torch.zeros(1, rank) for module, rank in ranks.items()}
    tensors |= {f"{module}.lora_down.weight": torch.zeros(rank, 1) for module, rank in ranks.items()}
    save_file(tensors, tmp_path / "many.safetensors")
    start = time.monotonic()
    with pytest.raises(UnusableError, match="LoRA many does not fit the checkpoint"):
        ours(tiny.plan(models.folder("sd1"), loras=[(tiny.asset(tmp_path / "many.safetensors", "lora", "sd1"), 1.0)]))
    assert time.monotonic() - start < fair(10)


@pytest.mark.parametrize("half", ["lora_A", "lora_B"])
@pytest.mark.parametrize("module", ["unet.mid_block.attentions.0.proj_in", "text_encoder.encoder.layers.0.mlp.fc1"])
def test_a_lora_that_lacks_a_half_is_refused_as_check_refuses_it(
    models: Models, tmp_path: Path, module: str, half: str
):
    import torch
    from safetensors.torch import save_file

    save_file({f"{module}.{half}.weight": torch.zeros(4, 4)}, tmp_path / "half.safetensors")
    with pytest.raises(UnusableError, match="LoRA half is damaged: 1 of its modules lack the half"):
        ours(tiny.plan(models.folder("sd1"), loras=[(tiny.asset(tmp_path / "half.safetensors", "lora", "sd1"), 1.0)]))


def test_whether_a_lora_has_too_many_tensors_does_not_depend_on_those_that_are_on(models: Models, tmp_path: Path):
    from diffusers import StableDiffusionPipeline

    from assetctl.generation.diffusers.pipeline import _modules

    pipeline = StableDiffusionPipeline.from_pretrained(models.folder("sd1").path)
    tiny.write_lora(tmp_path / "ink.safetensors", pipeline, 1)
    before = _modules(pipeline)
    for name in ("one", "two"):
        pipeline.load_lora_weights(tmp_path / "ink.safetensors", adapter_name=name)
        assert _modules(pipeline) == before


def test_a_loras_tensor_without_a_byte_in_it_is_refused(models: Models, tmp_path: Path):
    import torch
    from safetensors.torch import save_file

    save_file({"lora_unet_x.lora_up.weight": torch.zeros(0, 10**9)}, tmp_path / "empty.safetensors")
    with pytest.raises(UnusableError, match="LoRA empty is damaged"):
        ours(tiny.plan(models.folder("sd1"), loras=[(tiny.asset(tmp_path / "empty.safetensors", "lora", "sd1"), 1.0)]))


def test_what_goes_wrong_is_told_of_the_persons_folder_and_not_of_ours(folder: Path):
    change(folder / "model_index.json", scheduler=["diffusers", "DPMSolverMultistepScheduler"])
    change(folder / "scheduler" / "scheduler_config.json", algorithm_type="unheard_of")
    message = refusal(folder).message
    assert message.startswith(f"{folder / 'scheduler' / 'scheduler_config.json'} cannot be used: its algorithm_type")
    assert "assetctl-" not in message


def test_a_scheduler_is_refused_before_it_is_made_exactly_where_diffusers_cannot_make_it(tmp_path: Path):
    import diffusers

    whole = {"beta_schedule": "scaled_linear", "num_train_timesteps": 10}
    changes: list[dict[str, Any]] = [
        {}, {"use_karras_sigmas": True}, {"use_karras_sigmas": True, "use_exponential_sigmas": True},
        {"use_karras_sigmas": False, "use_exponential_sigmas": True}, {"use_flow_sigmas": True},
        *({"beta_schedule": word} for word in ("linear", "squaredcos_cap_v2", "sigmoid", "laplace", "exp", "other")),
        {"beta_schedule": "laplace", "trained_betas": [0.1] * 10},
        *({"solver_type": word} for word in ("midpoint", "heun", "logrho", "bh1", "bh2", None)),
        *({"algorithm_type": way, "final_sigmas_type": end}
          for way in ("dpmsolver", "dpmsolver++", "sde-dpmsolver", "sde-dpmsolver++", "deis", "data_prediction",
                      "noise_prediction", None)
          for end in ("zero", "sigma_min")),
        *({"algorithm_type": way} for way in ("dpmsolver", "dpmsolver++", "deis")),
        {"algorithm_type": "unheard"}, {"solver_type": "unheard"},
    ]  # fmt: skip
    for kind in sorted(folders._KNOWN_SCHEDULERS):
        takes = inspect.signature(getattr(diffusers, kind).__init__).parameters
        for change in changes:
            if any(each in ("unheard", "other") for each in change.values()) and not change.keys() & takes.keys():
                continue  # a word that is none is refused of all classes: a sampler's own class may take it
            config = whole | change
            try:
                getattr(diffusers, kind).from_config(config)
                made = True
            except (ValueError, NotImplementedError):
                made = False
            except ImportError:
                continue  # DPM++ SDE draws its noise with another package
            try:
                see_scheduler(within_bounds(config, "scheduler", tmp_path), kind, tmp_path)
                taken = True
            except UnusableError:
                taken = False
            assert taken is made, (kind, change)


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder"])
def test_weights_that_are_no_real_numbers_are_refused(models: Models, folder: Path, tmp_path: Path, part: str):
    from safetensors.torch import load_file, save_file

    (path,) = (folder / part).glob("*.safetensors")
    tensors = load_file(path)
    name = next(name for name in sorted(tensors) if name.endswith("weight"))
    path.unlink()
    save_file(tensors | {name: tensors[name].long()}, path, {"format": "pt"})
    assert name in refusal(folder).message
    tensors = load_file(models.file("sd1").path)
    start = {"unet": "model.diffusion_model.", "vae": "first_stage_model.", "text_encoder": "cond_stage_model."}[part]
    name = next(name for name in sorted(tensors) if name.startswith(start) and name.endswith("weight"))
    save_file(tensors | {name: tensors[name].long()}, tmp_path / "whole.safetensors")
    with pytest.raises(UnusableError, match=re.escape(name)):
        ours(tiny.plan(tiny.asset(tmp_path / "whole.safetensors", "checkpoint", "sd1"), tokenizer=models.vocabulary))


def test_no_release_is_taken_that_runs_what_a_model_brings_along():
    checkout = Path(__file__).resolve().parents[2]
    floors = tomllib.loads((checkout / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"][
        "generate"
    ]
    least = {name: version(least) for name, _, least in (floor.partition(">=") for floor in floors)}
    assert least["diffusers"] >= (0, 42, 1)
    assert least["peft"] >= (0, 21, 2)
    pins = dict(re.findall(r"^([\w-]+)==(.+)$", (checkout / "constraints.txt").read_text("utf-8"), re.MULTILINE))
    pins = {name.lower(): pin for name, pin in pins.items()}
    assert all(version(pins[name]) >= floor for name, floor in least.items())


def version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))


ODD_PARTS = {
    "alpha": {".alpha": [3]},
    "middle": {".lora_mid.weight": [4, 4, 1, 1]},
    "bias": {".lora_up.bias": [8]},
    "reshaped": {".reshape_weight": [2]},
}


@pytest.mark.parametrize("odd", ODD_PARTS)
def test_a_lora_that_diffusers_would_stumble_over_is_refused_by_its_header(tmp_path: Path, odd: str):
    module = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k"
    shapes = {f"{module}.lora_down.weight": [4, 8], f"{module}.lora_up.weight": [8, 4]}
    shapes |= {f"{module}{ending}": shape for ending, shape in ODD_PARTS[odd].items()}
    path = write_safetensors(tmp_path / "odd.safetensors", shapes)
    with pytest.raises(UnusableError, match="The LoRA odd"):
        check_lora("odd", read_header(path))


def test_a_tensor_of_no_change_keeps_no_lora_from_being_loaded(models: Models, tmp_path: Path):
    import torch
    from safetensors.torch import load_file, save_file

    plain = lora_with(models, tmp_path / "plain.safetensors", {"format": "pt"})
    beside = {"random.tensor": torch.zeros(3), "bundle_emb.cat.string_to_param.*": torch.zeros(2, 768)}
    save_file(load_file(plain.path) | beside, tmp_path / "more.safetensors")
    more = tiny.asset(tmp_path / "more.safetensors", "lora", "sd1")
    one, other = (ours(tiny.plan(models.folder("sd1"), loras=[(lora, 0.8)])) for lora in (plain, more))
    assert one == other
