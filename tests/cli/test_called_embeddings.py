"""Embeddings that prompts call by their words, as in A1111 and ComfyUI."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from compat.sparse import whole_checkpoint, write_sparse
from generation import tiny
from material import write_embedding, write_safetensors
from tables import table

DREAM = ("--checkpoint", "dream")


@pytest.fixture
def library(assetctl, tmp_path):
    """A checkpoint of SD 1, and embeddings at these paths; what the catalog calls each."""

    def fill(families: dict[str, str]) -> dict[str, str]:
        root = tmp_path / "files"
        write_sparse(root / "dream.safetensors", whole_checkpoint())
        tiny.write_vocabulary(root / "dream.config" / "tokenizer")
        for seed, (path, family) in enumerate(families.items()):
            file = root / "embeddings" / f"{path}.safetensors"
            if family == "sdxl":
                write_safetensors(file, {"clip_l": (2, 768), "clip_g": (2, 1280)}, seed=seed)
            else:
                write_embedding(file, seed=seed)
        assetctl("import", root)
        names = {each["path"]: each["name"] for each in assetctl("list", "--json").data}
        return {path: names[str(root / "embeddings" / f"{path}.safetensors")] for path in families}

    return fill


@pytest.fixture
def planned(assetctl):
    """The embeddings of a plan, each with the word that it was found by, and its findings."""

    def call(prompt: str, *options: str) -> tuple[dict[str, str | None], list[dict[str, Any]]]:
        small = ("--steps", "1", "--size", "64x64", "--seed", "1", "--dry-run", "--json")
        data = assetctl("generate", prompt, *DREAM, *options, *small).data
        used = {each["name"]: each["found_by"] for each in data["selection"] if each["role"] == "embedding"}
        return used, data["findings"]

    return call


@pytest.mark.parametrize("case", table("prompts/called_embeddings"))
def test_a_word_stands_for_its_embedding(assetctl, library, planned, case: dict[str, Any]):
    names = library(case["library"])
    negative = ("--negative", case["negative"]) if "negative" in case else ()
    checked = assetctl("check", *DREAM, "--prompt", case["prompt"], *negative, "--json")
    if case.get("ambiguous"):
        assert (checked.code, checked.error["code"]) == (3, "ambiguous")
        assert all(name in checked.error["message"] for name in names.values())
        return
    found, findings = planned(case["prompt"], *negative)
    assert found == {names[path]: word for path, word in case["found"].items()}
    told = [each for each in findings if each["rule"] == "embedding_found"]
    assert sorted(each["assets"] for each in told) == sorted([name] for name in found)
    assert all(case.get("where", "prompt") in each["message"] for each in told)
    left = {each["severity"] for each in findings if each["rule"] == "embedding_not_selected"}
    assert left == set(case.get("told", {}).values())
    rules = ("embedding_found", "embedding_not_selected")
    same = [each for each in checked.data["findings"] if each["rule"] in rules]
    assert same == [each for each in findings if each["rule"] in rules]
    text = case["negative"] if negative else case["prompt"]
    read = assetctl("prompt", text, *DREAM, "--json").data["mentions"]
    assert {each["word"] for each in read if each["used"]} == set(case["found"].values())


def test_comfyui_has_embeddings_named(assetctl, library, planned):
    library({"bad": "sd1"})
    comfyui = ("--flavour", "comfyui")
    found, findings = planned("a bad cat", *comfyui)
    (told,) = [each for each in findings if each["rule"] == "embedding_not_selected"]
    assert (found, told["severity"], "embedding:bad" in told["hint"]) == ({}, "info", True)
    for words in ("(embedding:bad, x:1.2)", "\nembedding:BAD.safetensors,"):
        assert list(planned(f"a bad cat, {words}", *comfyui)[0]) == ["bad"], words
    found, findings = planned("a,embedding:bad [embedding:bad] embedding:bad,b", *comfyui)
    told = [each["severity"] for each in findings if each["rule"] == "embedding_not_selected"]
    assert (found, sorted(told)) == ({}, ["info", "warning"])  # words, and a name that none has
    chosen = ("--embedding", "bad", *comfyui)
    for prompt, lost in (("a bad cat", True), ("[embedding:bad]", True), ("a cat, embedding:bad", False)):
        rules = [each["rule"] for each in planned(prompt, *chosen)[1]]
        assert ("embedding_in_prompt" in rules) == lost, prompt
    read = assetctl("prompt", "a bad cat, embedding:bad", *DREAM, *comfyui, "--json").data
    assert [each["used"] for each in read["mentions"]] == [True, False]
    reads = [assetctl("prompt", text, *DREAM, *comfyui, "--json").data["chunks"] for text in ("a bad", "a bad bad")]
    assert reads[0][0]["tokens"] < reads[1][0]["tokens"]


def test_a_token_that_a_page_tells_is_a_word_too_and_a_files_name_comes_first(assetctl, library, planned):
    library({"bad_v2": "sd1", "bad prompt": "sd1"})
    assetctl("edit", "bad_v2", "--trigger-word", "bad prompt")
    assert planned("a bad prompt")[0] == {"bad prompt": "bad prompt"}
    assetctl("edit", "bad_v2", "--trigger-word", "worst_of_all")
    assert planned("worst_of_all")[0] == {"bad_v2": "worst_of_all"}
    assert planned("bad_v2")[0] == {"bad_v2": "bad_v2"}


def test_what_is_chosen_wins(library, planned):
    names = library({"a/bad": "sd1", "b/bad": "sd1"})
    found, findings = planned("bad", "--embedding", names["b/bad"])
    assert found == {names["b/bad"]: None}
    assert not [each for each in findings if each["rule"].startswith("embedding_")]


def test_none_is_found_where_nobody_wants_it(assetctl, library, planned, tmp_path):
    library({"bad": "sd1"})
    found, findings = planned("bad", "--no-auto-embeddings")
    assert found == {}
    assert [(each["rule"], each["severity"]) for each in findings if each["assets"] == ["bad"]] == [
        ("embedding_not_selected", "info")
    ]
    text = '[assets.dream]\nsource = "x.safetensors"\n[recipes.plain]\ncheckpoint = "dream"\nprompt = "bad"\n'
    manifest = tmp_path / "registry.toml"
    for auto, used in (("", ["bad"]), ("auto_embeddings = false\n", [])):
        manifest.write_text(text + auto)
        data = assetctl("generate", "--recipe", "plain", "--file", manifest, "--dry-run", "--json").data
        assert [each["name"] for each in data["selection"] if each["role"] == "embedding"] == used
    (mention,) = assetctl("prompt", "bad", "--no-auto-embeddings", "--json").data["mentions"]
    assert not mention["used"]
    assert "mere words" in assetctl("prompt", "bad", "--no-auto-embeddings").out


def test_a_damaged_or_dangerous_embedding_stops_no_picture(assetctl, library, planned, tmp_path):
    library({"bad": "sd1"})
    write_embedding(tmp_path / "files" / "embeddings" / "huge.safetensors", vectors=76)
    assetctl("import", tmp_path / "files")
    (tmp_path / "files" / "embeddings" / "bad.safetensors").write_bytes(b"x")
    found, findings = planned("bad, huge")
    assert found == {}
    assert {each["severity"] for each in findings if each["rule"] == "embedding_not_selected"} == {"info"}


def test_several_checkpoints_with_tokenizers_of_their_own_are_told(assetctl, tmp_path):
    for name in ("one", "two"):
        write_sparse(tmp_path / "files" / f"{name}.safetensors", whole_checkpoint() | {name: [1]})
        folder = tmp_path / "files" / f"{name}.config" / "tokenizer"
        folder.mkdir(parents=True)
        (folder / "vocab.json").write_text(f'{{"<|startoftext|>": 0, "<|endoftext|>": 1, "{name}": 2}}')
        (folder / "merges.txt").write_text("#version: 0.2\n")
    assetctl("import", tmp_path / "files")
    ended = assetctl("prompt", "a cat")
    assert "2 checkpoints" in ended.err
    assert "--checkpoint" in ended.err
    (tmp_path / "files" / "two.config" / "tokenizer" / "vocab.json").write_bytes(
        (tmp_path / "files" / "one.config" / "tokenizer" / "vocab.json").read_bytes()
    )
    assert assetctl("prompt", "a cat", "--json").data["chunks"] is not None


def test_the_only_checkpoint_decides_what_a_prompt_calls_for_check_and_generate_alike(assetctl, tmp_path):
    write_sparse(tmp_path / "dream.safetensors", whole_checkpoint())
    tiny.write_vocabulary(tmp_path / "dream.config" / "tokenizer")
    write_embedding(tmp_path / "zorgon.safetensors", width=1024)
    assetctl("import", tmp_path / "dream.safetensors", tmp_path / "zorgon.safetensors")
    checked = assetctl("check", "--for", "generate", "--prompt", "a zorgon cat", "--json").data
    planned = assetctl("generate", "a zorgon cat", "--dry-run", "--json").data
    assert checked["can_generate"] is True
    assert [each["rule"] for each in checked["findings"]] == [each["rule"] for each in planned["findings"]]


def test_an_embedding_that_is_not_loaded_is_not_called_either(assetctl, library):
    torch = pytest.importorskip("torch")
    library({"ink": "sd1"})
    path = Path(assetctl("list", "--kind", "embedding", "--json").data[0]["path"]).with_name("oldstyle.pt")
    torch.save({"string_to_token": {"*": 265}, "string_to_param": {"*": torch.ones(2, 768)}}, path)
    assetctl("import", path)
    for command in (("check", "--for", "generate", "--prompt"), ("generate", "--dry-run")):
        ended = assetctl(*command, "a cat, oldstyle", *DREAM, "--json")
        assert ended.code == 0
        told = [each for each in ended.data["findings"] if "oldstyle" in each["message"]]
        assert [(each["rule"], each["severity"]) for each in told] == [("embedding_not_selected", "info")]
        assert "is a pickle" in told[0]["message"]
