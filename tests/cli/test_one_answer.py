"""`check` and `generate --dry-run` answer one question: can assetctl make pictures of this? And with which words."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from compat.sparse import low_rank, whole_checkpoint, write_sparse
from generation import tiny
from identify.test_families import CASES
from material import write_embedding, write_lora, write_safetensors

from assetctl import AssetctlError, Registry, Request
from assetctl.generation.folders import model_index

SMALL = ("--steps", "1", "--size", "64x64")
TEXT = "cond_stage_model.transformer.text_model."
ATTENTION = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0"


def words(folder):
    """A vocabulary, and how many words it has."""
    tiny.write_vocabulary(folder)
    return len(json.loads((folder / "vocab.json").read_text()))


def whole(family, *, rows, layers=1, channels=4):
    """A checkpoint of few modules with all that a configuration is read off."""
    shapes = whole_checkpoint(context={"sd1": 768, "sd2": 1024, "sdxl": 2048}[family])
    shapes["model.diffusion_model.input_blocks.0.0.weight"] = [8, channels, 3, 3]
    rest = {name: shape for name, shape in shapes.items() if not name.startswith("cond_stage_model.")}
    first = {
        "embeddings.token_embedding.weight": [rows, 768], "embeddings.position_embedding.weight": [77, 768],
        **{f"encoder.layers.{layer}.mlp.fc1.weight": [8, 768] for layer in range(layers)},
        **{f"encoder.layers.{layer}.self_attn.q_proj.weight": [768, 768] for layer in range(layers)},
    }  # fmt: skip
    width = 1024 if family == "sd2" else 1280
    second = {
        "token_embedding.weight": [rows, width], "positional_embedding": [77, width],
        "transformer.resblocks.0.mlp.c_fc.weight": [8, width], "text_projection": [width, width],
    }  # fmt: skip
    if family == "sd1":
        return rest | {TEXT + name: shape for name, shape in first.items()}
    if family == "sd2":
        return rest | {f"cond_stage_model.model.{name}": shape for name, shape in second.items()}
    rest["model.diffusion_model.label_emb.0.0.weight"] = [32, 1280 + 6 * 256]
    return (
        rest
        | {f"conditioner.embedders.0.transformer.text_model.{name}": shape for name, shape in first.items()}
        | {f"conditioner.embedders.1.model.{name}": shape for name, shape in second.items()}
    )


def write_whole(path, family="sd1", *, vocabulary=True, without=None, **more):
    """A checkpoint of a family that is driven, without the tensors whose names begin so."""
    rows = words(path.with_suffix(".config") / "tokenizer") if vocabulary else 10
    shapes = whole(family, rows=rows, **more)
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


def answers(registry, *names, **more):
    """What a check says of these, and whether they can be planned with."""
    request = Request.of("a cat", names=names, **more)
    report = registry.check(request, purpose="generate")
    try:
        registry.plan(request)
    except AssetctlError as error:
        return report.can_generate, error
    return report.can_generate, None


def same(registry, *names, **more):
    """Whether both say the same; what `check` says."""
    said, error = answers(registry, *names, **more)
    assert said is (error is None), (names, error)
    return said


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
        write_config(folder / f"{name}-config.config", bad)


def write_config(companion, unet):
    """A whole configuration beside a checkpoint."""
    written = {"unet/config": unet, "vae/config": "{}", "text_encoder/config": "{}", "scheduler/scheduler_config": "{}"}
    for name, text in (written | {"model_index": json.dumps(model_index("sd1"))}).items():
        path = companion / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


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
    assert 20 < sum(said) < len(said) - 100


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
    [(("first_stage",), "lacks its VAE", "--vae NAME"), ((TEXT,), "lacks its text encoder", "choose a checkpoint")],
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


VAE = {
    "decoder.conv_in.weight": [512, 4, 3, 3], "decoder.mid.block_1.conv1.weight": [512, 512, 3, 3],
    "encoder.conv_in.weight": [128, 3, 3, 3],
}  # fmt: skip


def test_check_and_list_say_the_same_of_a_vae_that_could_be_for_several(assetctl, mine):
    write_sparse(mine / "soft.safetensors", VAE)
    write_sparse(mine / "wide.safetensors", VAE | {"decoder.conv_in.weight": [512, 16, 3, 3]})
    assetctl("import", mine)
    for model in ("sd1", "sdxl"):
        fits = {each["name"]: each["fit"] for each in assetctl("list", "--fits", model, "--kind", "vae", "--json").data}
        assert fits == {"soft": "perhaps"}
        report = assetctl("check", model, "soft", "--json")
        assert (report.code, [each["rule"] for each in report.data["findings"]]) == (0, ["unknown_family"])
        assert "as far as it could be compared" in lines(assetctl("check", model, "soft"))[-1]
        assert {finding["rule"] for finding in refused(assetctl, model, "wide")} == {"family", "vae_channels"}


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
