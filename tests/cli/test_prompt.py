"""How `assetctl prompt` reads a prompt."""

from __future__ import annotations

import io
import sys

import pytest
from compat.sparse import tiny_checkpoint, write_sparse
from material import write_safetensors

from assetctl.demo import demo_assets


@pytest.fixture(autouse=True)
def _no_torch(monkeypatch):
    """Anything that reaches for torch or transformers fails."""
    for name in ("torch", "transformers", "diffusers"):
        monkeypatch.setitem(sys.modules, name, None)


@pytest.fixture
def demo(assetctl):
    """The demo checkpoint, which carries a tokenizer, and its embedding."""
    family = demo_assets()
    assert assetctl("import", family.checkpoint, family.embedding, family.style).code == 0
    return family


def test_works_without_a_home_and_makes_none(assetctl, home):
    ended = assetctl("prompt", "a (cat:1.2) <lora:ink:0.5>", "--json")
    assert ended.data == {
        "segments": [["a ", 1.0], ["cat", 1.2], [" ", 1.0]],
        "loras": {"ink": 0.5},
        "lora_tags": [["ink", 0.5]],
        "unet_weights": [None],
        "stretches": [],
        "unknown_loras": None,
        "embeddings": [],
        "mentions": [],
        "notes": [],
        "chunks": None,
    }
    assert not home.exists()


def test_says_why_there_are_no_chunks(assetctl):
    ended = assetctl("prompt", "a cat")
    assert "No tokenizer is known" in ended.err
    assert "assetctl pull --support" in ended.err


@pytest.mark.usefixtures("demo")
def test_shows_the_chunks_of_the_only_checkpoint(assetctl):
    text = "cat " * 60 + ", " + "Dog " * 20 + "BREAK (a cat:1.3)"
    chunks = assetctl("prompt", text, "--json").data["chunks"]
    assert chunks == assetctl("prompt", text, "--checkpoint", "demo-checkpoint", "--json").data["chunks"]
    assert [chunk["text"] for chunk in chunks][-1] == "a cat"
    assert chunks[0]["text"].endswith("cat ,")
    assert chunks[0]["tokens"] == 61
    assert all(chunk["tokens"] <= 75 for chunk in chunks)
    shown = assetctl("prompt", text).out
    assert "61/75" in shown


def test_shows_embeddings_and_counts_chosen_ones_by_their_vectors(assetctl, demo):
    token = demo.embedding.stem
    plain = assetctl("prompt", f"a {token}", "--no-auto-embeddings", "--json").data
    chosen = assetctl("prompt", f"a {token}", "--embedding", token, "--json").data
    assert plain["embeddings"] == chosen["embeddings"] == [token]
    assert chosen["chunks"] == [{"tokens": 3, "text": f"a {token}"}]
    assert plain["chunks"][0]["tokens"] > 3
    found = assetctl("prompt", f"a {token}", "--json").data
    assert found["chunks"] == chosen["chunks"]
    assert [(each["word"], each["used"]) for each in found["mentions"]] == [(token, True)]
    assert "found" in assetctl("prompt", f"a {token}").out


def test_tells_which_loras_are_not_in_the_catalog(assetctl, demo):
    text = f"a cat <lora:{demo.style.stem}:0.5> <lora:lost:1>"
    assert assetctl("prompt", text, "--json").data["unknown_loras"] == ["lost"]
    assert "LoRA lost: 1, which is not in the catalog" in assetctl("prompt", text).out


def test_a_wrong_name_is_not_found(assetctl):
    assert assetctl("prompt", "a cat", "--checkpoint", "lost", "--json").code == 3
    assert assetctl("prompt", "a cat", "--embedding", "lost", "--json").code == 3


def test_a_damaged_tokenizer_is_refused(assetctl, tmp_path):
    path = write_sparse(tmp_path / "files" / "dream.safetensors", tiny_checkpoint())
    folder = path.with_suffix(".config") / "tokenizer"
    folder.mkdir(parents=True)
    (folder / "vocab.json").write_text("{")
    (folder / "merges.txt").write_text("")
    assetctl("import", path)
    ended = assetctl("prompt", "a cat", "--checkpoint", "dream", "--json")
    assert (ended.code, ended.error["code"]) == (5, "file_corrupt")
    assert "vocab.json" in ended.error["message"]


@pytest.mark.usefixtures("demo")
def test_check_tells_of_a_prompt_that_takes_several_chunks(assetctl):
    short = assetctl("check", "demo-checkpoint", "--prompt", "a cat, " * 9, "--json").data
    assert short["findings"] == []
    long = assetctl("check", "demo-checkpoint", "--prompt", "a cat, " * 30 + "BLUE", "--json").data
    (finding,) = long["findings"]
    assert (finding["rule"], finding["severity"]) == ("prompt_length", "info")
    assert "2 chunks of 75 tokens" in finding["message"]
    assert "BLUE" in finding["message"]
    assert long["ok"]


def test_takes_any_text(assetctl, tmp_path):
    write_safetensors(tmp_path / "tok.safetensors", {"emb_params": [2, 768]})
    assetctl("import", tmp_path / "tok.safetensors")
    for text in ("", "((((", "\\", ":1)", "BREAK", "<lora:", "a\x1b[2J", "tok" * 9, "<lora:\x00:1>", "猫 🐱"):
        assert assetctl("prompt", text, "--json").code == 0
        assert "\x1b[2J" not in assetctl("prompt", text).out


@pytest.mark.usefixtures("demo")
@pytest.mark.parametrize("shape", [[10**12, 0], [0, 768], [76, 768], [1, 1, 768]])
def test_what_fits_no_chunk_is_no_embedding(assetctl, tmp_path, shape):
    write_sparse(tmp_path / "files" / "tok.safetensors", {"emb_params": shape})
    assert assetctl("import", tmp_path / "files").code == 0
    ended = assetctl("prompt", "a tok", "--embedding", "tok", "--json")
    assert (ended.code, ended.error["code"]) == (5, "file_corrupt")
    assert assetctl("check", "demo-checkpoint", "--prompt", "a tok " * 40, "--json").code == 0


def test_tells_what_is_not_read_as_a1111_does(assetctl):
    ended = assetctl("prompt", "a [cat:dog:0.5] <lora:ink:9>", "--flavour", "diffusers", "--json")
    assert ended.data["loras"] == {"ink": 9.0}
    assert "warning: '[cat:dog:0.5]' is read as words" in ended.err
    assert "warning: <lora:ink> has the weight 9" in ended.err
    assert "warning" not in assetctl("prompt", "a [cat], (dog: 0.8) <lora:ink:0.7>").err


def piped(monkeypatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


def test_a_prompt_comes_by_standard_input(assetctl, monkeypatch):
    piped(monkeypatch, "a (löwe:1.2)\n".encode())
    assert assetctl("prompt", "-", "--json").data["segments"] == [["a ", 1.0], ["löwe", 1.2]]
    for command in (["generate", "-"], ["check", "--prompt", "-"]):
        for data, words in (
            (b"\xff\xfe", "no UTF-8 text"), (b"a" * 1_000_001, "longer than 1000000 bytes"), (b" \n", "Nothing comes"),
        ):  # fmt: skip
            piped(monkeypatch, data)
            ended = assetctl(*command)
            assert (ended.code, words in ended.err) == (2, True), ended.err
    ended = assetctl("generate", "-", "--negative", "-")
    assert (ended.code, "one prompt, not two" in ended.err) == (2, True)


def test_a_prompt_is_read_as_its_flavour_reads_it(assetctl):
    text = "a (cat:1.2) [on|in] a mat BREAK"
    usual, theirs = (assetctl("prompt", text, *more, "--json").data for more in ((), ("--flavour", "comfyui")))
    assert ["BREAK", -1.0] in usual["segments"]
    assert theirs["segments"] == [["a ", 1.0], ["cat", 1.2], [" [on|in] a mat BREAK", 1.0]]
    assert "as words" not in assetctl("prompt", text).err
    for flavour, told in (("comfyui", ("alternate", "BREAK")), ("diffusers", ("alternate",))):
        said = assetctl("prompt", text, "--flavour", flavour).err
        assert all(word in said for word in told), said
    assert assetctl("prompt", text, "--flavour", "x").code == 2


def test_a_prompt_that_changes_is_shown_as_it_is_told(assetctl):
    ended = assetctl("prompt", "a [red|blue] [star:moon:0.5]")
    rows = [" ".join(line.split()) for line in ended.out.splitlines()]
    assert "1-2, 4, 6, 8, 10 1 1 'a red star'" in rows
    assert not any("0.5" in row or "|" in row for row in rows)
    data = assetctl("prompt", "a cat AND a dog :0.5", "--json").data
    assert [(each["weight"], each["segments"][0][0].strip()) for each in data["stretches"]] == [
        (1, "a cat"),
        (0.5, "a dog"),
    ]
    assert assetctl("prompt", "a cat AND a dog", "--flavour", "diffusers", "--json").data["stretches"] == []


def test_a_prompt_that_nobody_writes_is_refused_in_one_sentence(assetctl, tmp_path, monkeypatch):
    monkeypatch.setenv("ASSETCTL_HOME", str(tmp_path / "home"))
    long = "a" * 60_000 + " " * 60_000
    for typed in (("prompt", long), ("check", "--prompt", long), ("generate", long, "--dry-run")):
        ended = assetctl(*typed, "--json")
        assert (ended.code, ended.error["code"]) == (2, "usage")
        assert "120000 characters" in ended.error["message"]
    assert assetctl("prompt", "[a:b:1e999]", "--flavour", "a1111").code == 0


def test_a_batch_of_comfyuis_that_is_too_large_is_refused_before_anything_is_loaded(assetctl, demo):
    typed = ("generate", "a star", "--dry-run", "--json", "--flavour", "comfyui", "--size", "1024x1024")
    for more in (("--latent-batch", "1025"), ("--latent-index", "1024")):
        ended = assetctl(*typed, *more)
        assert (ended.code, "1024 are the most" in ended.error["message"]) == (2, True)
    assert assetctl(*typed, "--latent-batch", "1024").code == 0
