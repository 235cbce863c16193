"""`check` and `generate --dry-run` answer one question: can assetctl make pictures of this? And with which words."""

from __future__ import annotations

import json
import os
import struct
from dataclasses import replace
from pathlib import Path

import headers
import pytest
from compat.sparse import low_rank, whole_checkpoint, whole_vae, write_companion, write_sparse
from generation import tiny
from identify.test_families import CASES
from material import write_embedding, write_lora, write_safetensors

from assetctl import AssetctlError, Registry, Request
from assetctl.compat.check import refusal

SMALL = ("--steps", "1", "--size", "64x64")
TEXT = "cond_stage_model.transformer.text_model."
ATTENTION = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0"
ATTENDS = "down_blocks.0.attentions.0.transformer_blocks.0"
HINTS = {"controlnet_cond_embedding.conv_in.weight": [16, 3, 3, 3], "controlnet_down_blocks.0.weight": [320, 320, 1, 1]}


def words(folder):
    """A vocabulary, and how many words it has."""
    tiny.write_vocabulary(folder)
    return len(json.loads((folder / "vocab.json").read_text()))


def write_whole(path, family="sd1", *, vocabulary=True, without=None, **more):
    """A checkpoint of a family that is driven, without the tensors whose names begin so."""
    rows = words(path.with_suffix(".config") / "tokenizer") if vocabulary else 10
    shapes = whole_checkpoint(family, words=rows, **more)
    return write_sparse(path, {name: of for name, of in shapes.items() if not (without and name.startswith(without))})


@pytest.fixture
def mine(assetctl, tmp_path):
    """Whole checkpoints of the families that are driven, each with its vocabulary, and a LoRA that fits the first."""
    folder = tmp_path / "mine"
    for family in ("sd1", "sd2", "sdxl"):
        write_whole(folder / f"{family}.safetensors", family)
    shapes = low_rank(f"{ATTENTION}_attn1_to_q", 8, [8]) | low_rank(f"{ATTENTION}_attn2_to_k", 8, [768])
    write_safetensors(folder / "ink.safetensors", shapes)
    assetctl("import", folder)
    return folder


def same(registry, *names, **more):
    """Whether both say the same, with the same code; what `check` says."""
    request = Request.of("a cat", names=names, **more)
    report, found = registry.check(request, purpose="generate"), None
    try:
        registry.plan(request)
    except AssetctlError as error:
        found = error
    told = refusal(report)
    assert report.can_generate is (found is None), (names, found)
    assert (told and (told.code, told.message)) == (found and (found.code, found.message)), names
    return report.can_generate


def write_changed(folder):
    """Files that are not what they were when they were registered, and one that was only touched."""
    changed = folder / "changed.safetensors"
    content = bytearray(changed.read_bytes())
    content[-1] ^= 1
    changed.write_bytes(content)
    for name in ("changed", "touched"):
        os.utime(folder / f"{name}.safetensors", (1, 1))
    (folder / "gone.safetensors").unlink()
    (folder / "short.safetensors").write_bytes(b"no longer")


def write_odd_models(folder):
    """Checkpoints that lack something, or ask for something that is never built."""
    for kind, without in (("vae", ("first_stage",)), ("text", (TEXT,)), ("layers", (TEXT + "encoder",))):
        write_whole(folder / f"lacks-{kind}.safetensors", without=without)
    write_whole(folder / "no-words.safetensors", vocabulary=False)
    write_whole(folder / "empty-words.safetensors", vocabulary=False)
    (folder / "empty-words.config" / "tokenizer").mkdir(parents=True)
    write_whole(folder / "paints.safetensors", channels=9)
    write_whole(folder / "sdxl-half.safetensors", "sdxl", without=("conditioner.embedders.1",))
    for name, bad in (("bad", '{"layers_per_block": 100000}'), ("coded", '{"auto_map": {"a": "b.C"}}'), ("good", "{}")):
        write_whole(folder / f"{name}-config.safetensors")
        write_companion(folder / f"{name}-config.config", unet=bad)


def test_check_says_that_assetctl_can_generate_exactly_where_a_dry_run_accepts(assetctl, home, mine):
    for number, (name, (shapes, kind, _)) in enumerate(CASES.items()):
        write_sparse(mine / "all" / f"{number}-{kind}-{''.join(filter(str.isalnum, name))}.safetensors", shapes)
    write_odd_models(mine)
    for number, name in enumerate(("changed", "touched", "gone", "short")):
        write_embedding(mine / f"{name}.safetensors", seed=number)
    torch = pytest.importorskip("torch")
    torch.save({"string_to_token": {"*": 265}, "string_to_param": {"*": torch.ones(3, 768)}}, mine / "calico.pt")
    assetctl("import", *(mine / f"{name}.safetensors" for name in ("changed", "touched", "gone", "short")))
    write_changed(mine)
    assetctl("import", "--no-hash", mine / "all", *sorted(mine.glob("*-*.safetensors")), mine / "calico.pt")
    for name in ("sd3", "z-image", "sd1"):
        write_whole(mine / f"labelled-{name}.safetensors")
        assetctl("import", mine / f"labelled-{name}.safetensors")
        assetctl("edit", f"labelled-{name}", "--family", name)
    said = []
    with Registry.open(home) as registry:
        assets = [asset for asset in registry.list() if asset.kind != "unknown"]
        models = [asset for asset in assets if asset.kind in ("checkpoint", "diffusion-model")]
        others = [asset for asset in assets if asset.kind in ("lora", "embedding", "vae", "controlnet")]
        said += [same(registry, model.path) for model in models]
        said += [same(registry, model, other.path) for model in ("sd1", "sd2", "sdxl") for other in others]
        for number, other in enumerate(others):
            said += [same(registry, model.path, other.path) for model in models[number % 9 :: 9]]
        for more in ({"clip_skip": 2}, {"clip_skip": 12}, {"steps": 200}):
            said += [same(registry, model, **more) for model in ("sd1", "sd2", "sdxl", "good-config")]
    assert len(said) > 350
    assert 15 < sum(said) < len(said) - 100


def damaged(folder):
    """One selection for each kind of fault, by what both commands are to call it, and how they end."""
    torch = pytest.importorskip("torch")
    torch.save({"string_to_token": {"*": 265}, "string_to_param": {"*": torch.ones(3, 768)}}, folder / "calico.pt")
    for number, name in enumerate(("changed", "gone", "page", "open")):
        write_embedding(folder / f"{name}.safetensors", seed=number)
    headers.write_safetensors(folder / "whole.safetensors", {"emb_params": [2, 768]}, dtype="I64")
    write_lora(folder / "wide.safetensors", "sdxl")
    write_whole(folder / "paints.safetensors", channels=9)
    write_whole(folder / "lacking.safetensors", without=("first_stage",))
    shapes = {f"{ATTENTION}_attn1_to_q.hada_w{half}": [8, 8] for half in ("1_a", "1_b", "2_a", "2_b")}
    write_sparse(folder / "loha.safetensors", shapes)
    return {
        ("changed",): ("hash_mismatch", 5), ("gone",): ("file_corrupt", 5), ("page",): ("hash_mismatch", 5),
        ("calico.pt",): ("unusable", 4), ("whole",): ("unusable", 4), ("loha",): ("unusable", 4),
        ("loha", "calico.pt"): ("unusable", 4), ("changed", "calico.pt"): ("unusable", 4),
        ("wide",): ("incompatible", 4), ("wide", "calico.pt"): ("incompatible", 4),
        ("wide", "changed"): ("incompatible", 4), ("<lora:lost:1>",): ("not_found", 3),
        ("<lora:lost:1>", "wide"): ("not_found", 3), ("nothing",): ("not_found", 3), ("paints",): ("unusable", 4),
        ("lacking",): ("unusable", 4), ("lacking", "wide"): ("incompatible", 4), ("open", "lacking"): ("unusable", 4),
    }  # fmt: skip


def test_both_end_with_one_code_and_one_sentence_for_each_kind_of_fault(assetctl, mine):
    faults = damaged(mine)
    assetctl("import", mine)
    assetctl("edit", "loha", "--family", "sd1")
    with (mine / "changed.safetensors").open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\x3f")
    (mine / "gone.safetensors").unlink()
    size = (mine / "page.safetensors").stat().st_size
    (mine / "page.safetensors").write_bytes(b"<html>".ljust(size))
    for names, (code, exit_code) in faults.items():
        prompt = " ".join(["a cat", *(name for name in names if name.startswith("<"))])
        rest = [name for name in names if not name.startswith("<")]
        model = [] if {"paints", "lacking"} & set(names) else ["sd1"]
        options = [
            each
            for name in (*model, *rest)
            for each in ("--checkpoint" if name in ("sd1", "paints", "lacking")
            else "--lora" if name in ("wide", "loha") else "--embedding", name)
        ]  # fmt: skip
        checked = assetctl("check", *model, *rest, "--prompt", prompt)
        ended = assetctl("generate", prompt, *options, "--dry-run", *SMALL, "--json")
        assert (ended.code, ended.error["code"]) == (exit_code, code), names
        assert checked.code == exit_code, names
        assert ended.error["message"].rstrip(".").partition(": ")[0] in checked.out + checked.err, names
        if rest != ["nothing"]:
            said = assetctl("check", *model, *rest, "--prompt", prompt, "--quiet")
            assert (said.code, said.out.split()) == (exit_code, [code]), names
            assert lines(checked)[-1].startswith("✗"), names


def lines(ended):
    return ended.out.splitlines()


def test_the_last_line_says_whether_assetctl_can_generate(assetctl, mine):
    good = assetctl("check", "sd1", "ink")
    assert (good.code, lines(good)[-1]) == (0, "✓ This selection fits. assetctl can generate this.")
    write_whole(mine / "paints.safetensors", channels=9)
    assetctl("import", mine)
    bad = assetctl("check", "paints", "ink")
    assert bad.code == 4
    assert lines(bad)[-1].startswith(
        "✗ This selection fits, but assetctl cannot generate this: paints is an inpainting"
    )
    for purpose in ("any", "comfyui"):
        asked = assetctl("check", "paints", "ink", "--for", purpose)
        assert (asked.code, lines(asked)[-1]) == (0, "✓ This selection fits.")
    odd = assetctl("check", "sd1", "--for", "fun", "--json")
    assert (odd.code, "generate, comfyui, any" in odd.error["hint"]) == (2, True)


def test_the_document_says_it_too(assetctl, mine):
    write_whole(mine / "paints.safetensors", channels=9)
    assetctl("import", mine)
    asked = {
        ("sd1",): (True, "generate", True),
        ("paints",): (True, "generate", False),
        ("paints", "--for", "any"): (True, "any", None),
        ("sd1", "sdxl", "--for", "any"): None,
        ("ink",): (True, "any", None),
        ("ink", "--checkpoint", "sdxl"): (False, "generate", False),
    }
    for names, wanted in asked.items():
        if wanted is not None:
            data = assetctl("check", *names, "--json").data
            assert (data["ok"], data["purpose"], data["can_generate"]) == wanted
    assert assetctl("check", "paints", "--quiet").out.split() == ["unusable"]
    assert assetctl("check", "ink", "--checkpoint", "sdxl", "--quiet").out.split() == ["incompatible"]


def test_a_selection_without_a_checkpoint_is_asked_about_with_the_only_one(assetctl, mine):
    assert assetctl("check", "ink", "--for", "generate", "--json").error["code"] == "usage"
    for name in ("sd2", "sdxl"):
        assetctl("rm", name, "--yes")
    assert assetctl("check", "ink", "--for", "generate", "--json").data["can_generate"] is True


def refused(assetctl, *arguments):
    """The error findings of a check, and what `generate` says of the same."""
    report = assetctl("check", *arguments, "--json")
    assert report.code == 4
    return [finding for finding in report.data["findings"] if finding["severity"] == "error"]


@pytest.mark.parametrize(
    ("without", "named", "hint"),
    [(("first_stage",), "lacks a VAE", "--vae NAME"), ((TEXT,), "lacks a text encoder", "choose a checkpoint")],
)
def test_a_part_that_is_missing_is_named(assetctl, mine, without, named, hint):
    write_whole(mine / "lacking.safetensors", without=without)
    assetctl("import", mine / "lacking.safetensors")
    (finding,) = refused(assetctl, "lacking", "ink")
    assert (finding["rule"], named in finding["message"], hint in finding["hint"]) == ("generate", True, True)
    ended = assetctl("generate", "a cat", "--checkpoint", "lacking", "--dry-run", *SMALL, "--json")
    assert (ended.code, ended.error["code"], named in ended.error["message"]) == (4, "unusable", True)
    assert assetctl("check", "lacking", "ink", "--for", "any").code == 0


@pytest.mark.parametrize("command", ["check", "generate"])
def test_a_clip_skip_beyond_the_layers_is_refused_with_their_number(assetctl, mine, command):
    arguments = ("check", "sd1") if command == "check" else ("generate", "a cat", "-c", "sd1", "--dry-run", *SMALL)
    write_whole(mine / "sd1.safetensors", layers=3)
    assetctl("import", mine)
    assert assetctl(*arguments, "--clip-skip", 3).code == 0
    ended = assetctl(*arguments, "--clip-skip", 4)
    assert ended.code == 4
    assert "has 3 layers" in ended.out + ended.err


def test_check_and_list_say_the_same_of_a_vae_that_could_be_for_several(assetctl, mine):
    write_sparse(mine / "soft.safetensors", whole_vae())
    write_sparse(mine / "wide.safetensors", whole_vae(latent_channels=16))
    assetctl("import", mine)
    for model in ("sd1", "sdxl"):
        fits = {each["name"]: each["fit"] for each in assetctl("list", "--fits", model, "--kind", "vae", "--json").data}
        assert fits == {"soft": "perhaps"}
        report = assetctl("check", model, "soft", "--json")
        assert (report.code, [each["rule"] for each in report.data["findings"]]) == (0, ["unknown_family"])
        assert "as far as it could be compared" in lines(assetctl("check", model, "soft"))[-1]
        assert {finding["rule"] for finding in refused(assetctl, model, "wide")} == {"family", "vae_channels"}


def test_lists_have_what_check_takes_and_nothing_that_it_refuses(assetctl, mine):
    """A LoRA that may be of several families, a ControlNet, a file that was written to, and one with no family."""
    write_sparse(mine / "open.safetensors", low_rank(f"{ATTENTION}_attn1_to_q", 8, [8]))
    write_sparse(mine / "odd.safetensors", low_rank("lora_unet_novel_blocks_0_to_q", 8, [8]))
    write_sparse(mine / "pose.safetensors", HINTS | {f"{ATTENDS}.attn2.to_k.weight": [320, 768]})
    for number, name in enumerate(("changed", "short")):
        write_embedding(mine / f"{name}.safetensors", seed=number)
    assetctl("import", mine)
    content = (mine / "changed.safetensors").read_bytes()
    (mine / "changed.safetensors").write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    (mine / "short.safetensors").write_bytes(content + b"more")
    wanted = {"ink": "same family", "pose": "same family", "open": "perhaps"}
    assert assetctl("inspect", "open", "--json").data["family"] is None
    found = {each["name"]: each["fit"] for each in assetctl("list", "--fits", "sd1", "--json").data}
    assert found == wanted
    for model in ("sd1", "sd2", "sdxl"):
        listed = assetctl("list", "--fits", model, "--quiet").out.split()
        for name in ("ink", "pose", "changed", "short", *(["open"] if model == "sd1" else [])):
            assert (assetctl("check", model, name).code == 0) == (name in listed), (model, name)
    told = assetctl("check", "sd1", "odd", "--json").data["findings"]
    assert "unknown_family" in [each["rule"] for each in told]  # nothing shows it to be of this family: not listed


@pytest.mark.parametrize(
    ("shapes", "word"),
    [({"clip_l": [2, 1280], "clip_g": [2, 768]}, "needs 768 and 1280"),
     ({"clip_l": [2, 768], "clip_g": [3, 1280]}, "2 and 3"), ({"a": [2, 768], "b": [2, 1280]}, "clip_l")],
)  # fmt: skip
def test_an_embedding_for_two_text_encoders_has_as_many_vectors_for_each(assetctl, mine, shapes, word):
    write_sparse(mine / "tok.safetensors", shapes)
    assetctl("import", mine)
    assetctl("edit", "tok", "--family", "sdxl")
    (finding,) = refused(assetctl, "sdxl", "tok")
    assert (finding["rule"], word in finding["message"]) == ("embedding_width", True)
    assert "tok" not in assetctl("list", "--fits", "sdxl", "--quiet").out


def test_neither_a_list_nor_a_hint_names_what_check_refuses(assetctl, mine):
    torch = pytest.importorskip("torch")
    torch.save({"string_to_token": {"*": 265}, "string_to_param": {"*": torch.ones(3, 768)}}, mine / "soft-cat.pt")
    loha = {f"{ATTENTION}_attn1_to_q.hada_w{half}": [8, 8] for half in ("1_a", "1_b", "2_a", "2_b")}
    write_sparse(mine / "soft-loha.safetensors", loha)
    write_sparse(mine / "soft-xl.safetensors", {"clip_l": [2, 768], "clip_g": [2, 1280]})
    assetctl("import", mine)
    assetctl("edit", "soft-loha", "--family", "sd1")
    assert assetctl("list", "--fits", "sd1", "--quiet").out.split() == ["ink"]
    (finding,) = refused(assetctl, "sd1", "soft-xl")
    assert "soft-cat" not in finding["hint"]


def test_lists_and_checks_know_the_same_lineages(assetctl, tmp_path):
    models = tmp_path / "models"
    write_whole(models / "noob.safetensors", "sdxl")
    assetctl("import", models)
    assetctl("edit", "noob", "--base-model", "NoobAI")
    for number, base in enumerate(("Illustrious", "Pony", "SDXL 1.0", "NoobAI", "")):
        path = write_lora(models / f"lora-{number}.safetensors", "sdxl", seed=number)
        assetctl("import", path)
        assetctl("edit", path.stem, "--base-model", base)
    fits = {each["name"]: each["fit"] for each in Fits(assetctl).of("noob")}
    for name, fit in fits.items():
        rules = [each["rule"] for each in assetctl("check", "noob", name, "--json").data["findings"]]
        assert ("lineage" in rules) == (fit == "other lineage"), name
    assert list(fits.values()) == ["same base model", "same family", "same family", "other lineage", "other lineage"]


class Fits:
    """What fits by the catalog alone: the files of these tests share no modules."""

    def __init__(self, assetctl):
        self.assetctl = assetctl

    def of(self, name):
        path = Path(self.assetctl("inspect", name, "--json").data["path"])
        moved = path.rename(path.with_suffix(".away"))
        found = self.assetctl("list", "--fits", name, "--json").data
        moved.rename(path)
        return found


VPRED = (
    "model:\n  target: ldm.models.diffusion.ddpm.LatentDiffusion\n  params:\n    parameterization: {}\n    beta: 0.1\n"
)


@pytest.mark.parametrize(
    ("text", "prediction"),
    [(VPRED.format('"v"'), "v_prediction"), (VPRED.format("v  # velocity"), "v_prediction"),
     (VPRED.format("'eps'"), "epsilon"), (VPRED.format("x0"), None), ("# parameterization: v\n", None),
     (VPRED.format("v") + VPRED.format("eps"), None),
     ("parameterization: v" + " " * 2**17, None), ("!!python/object/apply:os.system ['touch ran']\n", None)],
    ids=range(8),
)  # fmt: skip
@pytest.mark.parametrize("how", [(), ("--copy",)], ids=["in place", "copied"])
def test_a_configuration_beside_a_checkpoint_says_what_it_predicts(assetctl, tmp_path, text, prediction, how):
    path = write_whole(tmp_path / "mine" / "dream.safetensors", "sdxl")
    path.with_suffix(".yaml").write_text(text)
    assetctl("import", path, *how)
    details = assetctl("inspect", "dream", "--json").data
    assert details["prediction"] == prediction
    assert any("dream.yaml" in each["detail"] for each in details["identification"]["evidence"]) == bool(prediction)
    assert not (tmp_path / "ran").exists()


def test_a_pipe_beside_a_checkpoint_is_left_alone(assetctl, tmp_path):
    path = write_whole(tmp_path / "mine" / "dream.safetensors")
    os.mkfifo(path.with_suffix(".yaml"))
    assert assetctl("import", path).code == 0


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("noob-vpred-1.0", 1),
        ("sdxl_v-pred", 1),
        ("merge_v_prediction", 1),
        ("vpredator", 0),
        ("vivid", 0),
        ("dream", 0),
    ],
)
def test_a_name_that_promises_v_prediction_is_told_of(assetctl, tmp_path, name, count):
    path = write_whole(tmp_path / "mine" / f"{name}.safetensors", "sdxl")
    assetctl("import", path)
    findings = [each for each in assetctl("check", name, "--json").data["findings"] if each["rule"] == "prediction"]
    assert [each["severity"] for each in findings] == ["warning"] * count
    for finding in findings:
        assert f"assetctl edit {name} --prediction v_prediction" in finding["hint"]
        assetctl("edit", name, "--prediction", "epsilon")
        assert assetctl("check", name, "--json").data["findings"] == []


def hint_of(assetctl, rule, *arguments):
    (finding,) = [each for each in assetctl("check", *arguments, "--json").data["findings"] if each["rule"] == rule]
    return finding["hint"]


def test_no_hint_calls_a_family_wrong_that_the_tensors_prove(assetctl, mine):
    write_sparse(mine / "tok.safetensors", {"clip_l": [2, 768], "clip_g": [2, 1280]})
    assetctl("import", mine)
    assert "edit" not in hint_of(assetctl, "family", "sd1", "tok")
    assetctl("edit", "tok", "--family", "sd2")
    hint = hint_of(assetctl, "family", "sd1", "tok")
    assert "You set the family of tok: `assetctl edit tok --reset family` takes that back." in hint
    assert "--family sd1`." not in hint.partition("You set")[2]


def test_what_a_person_set_of_a_checkpoint_is_what_they_take_back(assetctl, mine):
    write_sparse(mine / "tok.safetensors", {"emb_params": [2, 768]})
    assetctl("import", mine)
    assetctl("edit", "sd1", "--family", "sd3")
    assert "assetctl edit sd1 --reset family" in hint_of(assetctl, "family", "sd1", "tok")
    assert "assetctl edit sd1 --reset family" in hint_of(assetctl, "generate", "sd1")
    assetctl("edit", "sd1", "--family", "")
    assert "assetctl edit sd1 --reset family" in hint_of(assetctl, "unknown_family", "sd1")


def test_a_family_that_tensors_leave_open_can_be_set_right(assetctl, mine):
    low = low_rank("lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q", 320, [320])
    write_sparse(mine / "open.safetensors", low)
    assetctl("import", mine)
    assetctl("edit", "open", "--family", "sd2")
    assetctl("edit", "open", "--reset", "family")
    with Registry.open() as registry:
        found = replace(registry.inspect("open").identification, family="sd2", confidence="likely")
        with registry._workspace.catalog.write() as writer:
            writer.set_identification(writer.find("open").id, found)
    assert "assetctl edit open --family sd1" in hint_of(assetctl, "family", "sd1", "open")


def test_a_wrong_kind_is_told_of_alone(assetctl, mine):
    write_lora(mine / "cat.safetensors", words="purr", seed=3)
    assetctl("import", mine)
    wrong = ("check", "sd1", "--embedding", "cat", "--lora", "cat", "--prompt", "purr")
    findings = assetctl(*wrong, "--json").data["findings"]
    assert {each["rule"] for each in findings if each["assets"] == ["cat"]} == {"kind"}
    assetctl("edit", "cat", "--kind", "vae")
    assert "assetctl edit cat --reset kind" in hint_of(assetctl, "kind", "sd1", "--lora", "cat")


@pytest.mark.parametrize(
    ("family", "hint"),
    [("sd15", "--family sd1 --base-model 'SD 1.5'"), ("pony", "--family sdxl --base-model Pony"), ("sd1.x", "mean sd1"),
     ("sdxl turbo", "--base-model 'SDXL Turbo'"), ("flux", "flux1"), ("qwen", "qwen-image"),
     ("zimage", "z-image"), ("new family", "Families are: ")],
)  # fmt: skip
def test_a_family_that_is_none_is_an_error_with_what_was_meant(assetctl, mine, family, hint):
    ended = assetctl("edit", "ink", "--family", family, "--json")
    assert (ended.code, ended.error["code"]) == (2, "usage")
    assert hint in ended.error["hint"]
    assert assetctl("inspect", "ink", "--json").data["family"] != family


def test_a_family_that_is_new_to_everybody_is_taken_and_told(assetctl, mine):
    ended = assetctl("edit", "ink", "--family", "novel", "--json")
    assert (ended.code, ended.data[0]["family"]) == (0, "novel")
    assert "novel is not a known family, and fits nothing." in ended.err


@pytest.mark.parametrize("command", [("check",), ("generate", "a cat", "--dry-run"), ("prompt", "a cat")])
def test_two_checkpoints_are_refused_in_a_sentence(assetctl, mine, command):
    ended = assetctl(*command, "--checkpoint", "sd1", "-c", "sdxl", "--json")
    assert (ended.code, ended.error["code"]) == (2, "usage")
    assert "sd1 and sdxl" in ended.error["message"]
    again = assetctl(*command, "--checkpoint", "sd1", "-c", "sd1", "--json")
    assert again.code == 0
    if command == ("check",):
        assert assetctl("check", "sd1", "sdxl").code == 2
        assert assetctl("check", "sd1", "--vae", "ink", "--vae", "sd2").code == 2


def test_a_name_that_is_typed_takes_the_place_of_a_recipes_checkpoint(assetctl, home, mine):
    manifest = mine / "registry.toml"
    assets = "".join(f"[assets.{name}]\nsource = 'x'\n" for name in ("sd1", "ink"))
    manifest.write_text(f"{assets}[recipes.r]\ncheckpoint = 'sd1'\nloras = ['ink:0.5']\nprompt = 'a cat'\n")
    recipe = ("--recipe", "r", "--file", manifest, "--json")
    assert assetctl("check", "sd1", *recipe).data["can_generate"] is True
    rules = {each["rule"] for each in assetctl("check", "sd2", *recipe).data["findings"] if each["severity"] == "error"}
    assert rules == {"family", "coverage"} or "family" in rules
    with Registry.open(home) as registry:
        base = Request.of("a cat", checkpoint="sd1", loras=["ink:0.5"])
        assert (
            registry.plan(Request.of(names=["sd2"]).over(Request.of("a cat", checkpoint="sd1")))[0].checkpoint.name
            == "sd2"
        )
        assert registry.plan(Request.of(names=["sd1"]).over(base))[0].checkpoint.name == "sd1"
        assert (
            registry.plan(Request.of(names=["ink"]).over(Request.of("a cat", checkpoint="sd1")))[0].checkpoint.name
            == "sd1"
        )


@pytest.mark.parametrize("name", ["sd1", "tok"])
def test_only_loras_have_a_default_weight(assetctl, mine, name):
    write_embedding(mine / "tok.safetensors")
    assetctl("import", mine)
    ended = assetctl("edit", name, "--default-weight", "0.5", "--json")
    assert (ended.code, "Only LoRAs" in ended.error["message"]) == (2, True)
    assert assetctl("edit", "ink", "--default-weight", "0.5", "--json").code == 0


@pytest.mark.parametrize("weight", ["1e9", "-101", "100.5"])
def test_a_weight_out_of_bounds_is_refused(assetctl, mine, weight):
    commands = (
        ("check", "sd1", f"ink:{weight}"), ("check", "sd1", "--prompt", f"<lora:ink:{weight}>"),
        ("generate", "a cat", "-c", "sd1", "--lora", f"ink:{weight}", "--dry-run"),
        ("generate", f"a cat <lora:ink:{weight}>", "-c", "sd1", "--dry-run"),
        ("edit", "ink", "--default-weight", weight),
    )  # fmt: skip
    for command in commands:
        ended = assetctl(*command, "--json")
        assert (ended.code, ended.error["code"]) == (2, "usage"), command
        assert "-100 to 100" in ended.error["hint"]


def test_a_comma_in_a_weight_is_named(assetctl, mine):
    prompt = ("generate", "a (cat: 1,2) <lora:ink:0,7>", "-c", "sd1", "--dry-run", *SMALL, "--json")
    told = [each for each in assetctl(*prompt).data["findings"] if each["rule"] == "unread_syntax"]
    assert [("(cat: 1.2)" in each["hint"], "<lora:ink:0.7>" in each["hint"]) for each in told] in (
        [(True, False), (False, True)], [(False, True), (True, False)],
    )  # fmt: skip
    for command in (("check", "sd1", "ink:0,7"), ("generate", "a cat", "-c", "sd1", "--lora", "ink:0,7")):
        ended = assetctl(*command, "--json")
        assert (ended.code, "with a point, not a comma: ink:0.7" in ended.error["hint"]) == (3, True)
    for harmless in ("a cat, (1,2)", "(cat, dog: 1.2)", "(at 5:30, dusk)", "a map (1:2,000)"):
        data = assetctl("generate", harmless, "-c", "sd1", "--dry-run", *SMALL, "--json").data
        assert [each["rule"] for each in data["findings"]] == []


HALF = {name: shape for name, shape in whole_vae().items() if not name.startswith("encoder.conv_out")}
LOW = low_rank(f"{ATTENTION}_attn1_to_q", 8, [8])


@pytest.mark.parametrize(
    ("kind", "shapes", "dtype", "word"),
    [("vae", HALF, "F16", "lacks"), ("lora", LOW, "I64", "whole numbers"),
     ("lora", LOW | {"a(b)": [2]}, "F16", "unknown name")],
    ids=["half a vae", "numbers", "expression"],
)  # fmt: skip
def test_what_loading_would_refuse_of_other_assets_is_told_before(assetctl, mine, kind, shapes, dtype, word):
    headers.write_safetensors(mine / "odd.safetensors", shapes, dtype=dtype)
    assetctl("import", mine)
    assetctl("edit", "odd", "--kind", kind, "--family", "sd1")
    for more in ((), ("--for", "any")):
        report = assetctl("check", "sd1", f"--{kind}", "odd", *more, "--json")
        told = [each for each in report.data["findings"] if each["rule"] == "generate"]
        assert (report.code, [word in each["message"] for each in told]) == ((0, []) if more else (4, [True]))
    ended = assetctl("generate", "a cat", "-c", "sd1", f"--{kind}", "odd", "--dry-run", *SMALL, "--json")
    assert (ended.code, ended.error["code"], word in ended.error["message"]) == (4, "unusable", True)
    assert "odd" not in assetctl("list", "--fits", "sd1", "--quiet").out.split()


#: A number that is none, in the bytes of each kind, and one that is as large as can be.
ODD = {
    "F16": (b"\x00\x7c", b"\xff\x7b"), "BF16": (b"\x80\xff", b"\x7f\x7f"),
    "F32": (b"\x01\x00\x80\x7f", b"\xff\xff\x7f\x7f"),
    "F64": (struct.pack("<d", 1e39), struct.pack("<d", -3e38)),
}  # fmt: skip


def write_numbers(path, kind, number, *, at=500, width=768):
    """An embedding of one kind of number, all zero but for one."""
    size = len(number)
    end = 2 * width * size
    raw = json.dumps({"emb_params": {"dtype": kind, "shape": [2, width], "data_offsets": [0, end]}}).encode()
    data = bytearray(end)
    data[at * size : (at + 1) * size] = number
    path.write_bytes(len(raw).to_bytes(8, "little") + raw + data)
    return path


@pytest.mark.parametrize("kind", ODD)
def test_an_embedding_with_a_number_that_is_none_is_refused_before_anything_is_loaded(assetctl, mine, kind):
    for name, number in zip(("odd", "large"), ODD[kind], strict=True):
        write_numbers(mine / f"{name}.safetensors", kind, number)
    assetctl("import", mine)
    assert assetctl("check", "sd1", "large", "--for", "any").code == 0
    for more in ((), ("--for", "any")):
        report = assetctl("check", "sd1", "odd", *more, "--json")
        (told,) = [each for each in report.data["findings"] if each["severity"] == "error"]
        assert (report.code, told["rule"], "NaN or infinite" in told["message"]) == (4, "embedding_numbers", True)
    for words in (("a cat", "--embedding", "odd"), ("a cat, odd", "--auto-embeddings")):
        ended = assetctl("generate", *words, "-c", "sd1", "--dry-run", *SMALL, "--json")
        if ended.code == 0:  # an embedding that nobody named is left out, and that is told
            assert any("NaN or infinite" in (each["hint"] or "") + each["message"] for each in ended.data["findings"])
        else:
            assert (ended.code, ended.error["code"], ended.error["message"]) == (4, "unusable", told["message"])
    assert "odd" not in assetctl("list", "--fits", "sd1", "--quiet").out.split()


def test_a_pickled_embedding_with_such_a_number_is_refused_once_it_is_converted(assetctl, mine):
    torch = pytest.importorskip("torch")
    vectors = torch.ones(3, 768)
    vectors[1, 5] = float("nan")
    torch.save({"string_to_token": {"*": 265}, "string_to_param": {"*": vectors}}, mine / "calico.pt")
    assetctl("import", mine / "calico.pt")
    assert assetctl("convert", "calico.pt").code == 0
    assert [each["rule"] for each in refused(assetctl, "sd1", "calico")] == ["embedding_numbers"]
