"""`inspect PICTURE`: what a picture says, and which of its assets are here."""

from __future__ import annotations

import hashlib

import pytest
from material import write_embedding, write_lora, write_safetensors
from written_pictures import infotext, write_png


@pytest.fixture
def loras(assetctl, tmp_path):
    """Two LoRAs in the catalog, with all hashes: what `inspect` says of each, by name."""
    for number, name in enumerate(("whiskers", "paws")):
        write_lora(tmp_path / "loras" / f"{name}.safetensors", seed=number)
    assetctl("import", tmp_path / "loras")
    return {name: assetctl("inspect", name, "--json").data["files"][0] for name in ("whiskers", "paws")}


@pytest.fixture
def inspect(assetctl, tmp_path):
    """Inspect a picture with this infotext: the data, and its assets by name."""

    def call(text: str, *options: str) -> tuple[dict, dict]:
        data = assetctl("inspect", write_png(tmp_path / "cat.png", parameters=text), *options, "--json").data
        return data, {asset["name"]: asset for asset in data["assets"]}

    return call


def test_a_picture_tells_what_it_says_and_needs_no_catalog(inspect, tmp_path):
    data, assets = inspect(infotext("a [cat]", "bad", Model="dream", Model_hash="0123456789", Clip_skip=2))
    assert (data["path"], data["format"], data["width"], data["height"]) == (str(tmp_path / "cat.png"), "png", 64, 64)
    said = data["parameters"]
    assert data["software"] == "A1111"
    assert (said["prompt"], said["negative_prompt"], said["steps"], said["seed"]) == ("a [cat]", "bad", 2, 5)
    assert (said["sampler"], said["cfg_scale"], said["clip_skip"]) == ("Euler a", 7.0, 2)
    assert assets["dream"]["status"] == "missing"
    assert assets["dream"]["sources"] == ["https://civitai.com/search/models?query=0123456789"]


@pytest.mark.parametrize(
    ("kind", "length", "matched_by"),
    [("sha256", 64, "sha256"), ("sha256", 10, "autov2"), ("autov3", 12, "autov3"), ("blake3", 64, "blake3"),
     ("blake3", 6, "blake3"), ("sha256", 12, "sha256")],
)  # fmt: skip
def test_an_asset_is_found_by_any_hash_whatever_its_name(loras, inspect, kind, length, matched_by):
    _, assets = inspect(infotext(Lora_hashes=f'"old name: {loras["paws"][kind][:length]}"'))
    found = assets["old name"]
    assert (found["status"], found["asset"], found["matched_by"]) == ("here", "paws", matched_by)


def test_the_first_hash_of_a1111_is_computed_when_it_is_asked_for(assetctl, inspect, tmp_path):
    path = write_safetensors(tmp_path / "old.safetensors", {"x": (600_000,)}, seed=3)
    assetctl("import", path)
    assetctl("edit", "old", "--kind", "checkpoint")
    autov1 = hashlib.sha256(path.read_bytes()[0x100000:][:0x10000]).hexdigest()[:8]
    _, assets = inspect(infotext(Model="anything", Model_hash=autov1))
    assert (assets["anything"]["asset"], assets["anything"]["matched_by"]) == ("old", "autov1")


def test_the_same_name_with_other_bytes_is_not_the_asset(assetctl, loras, inspect, tmp_path):
    _, assets = inspect(infotext("a cat <lora:Whiskers:0.5>", Lora_hashes='"Whiskers: aaaaaaaaaaaa"'))
    found = assets["Whiskers"]
    assert (found["status"], found["asset"], found["weight"]) == ("other_bytes", "whiskers", 0.5)
    assert "same name, other bytes" in assetctl("inspect", tmp_path / "cat.png").out


def test_a_name_alone_is_a_match_and_is_told_so(loras, inspect):
    _, assets = inspect(infotext("a cat <lora:WHISKERS:0.5> <lora:ghost:1>"))
    assert (assets["WHISKERS"]["status"], assets["WHISKERS"]["matched_by"]) == ("here", "name")
    assert assets["ghost"]["status"] == "missing"
    assert "query=ghost" in assets["ghost"]["sources"][0]


def test_a_name_belongs_to_its_kind(assetctl, inspect, tmp_path):
    assetctl("import", write_embedding(tmp_path / "whiskers.safetensors"))
    _, assets = inspect(infotext("a cat <lora:whiskers:1>"))
    assert assets["whiskers"]["status"] == "missing"


def test_hashes_that_are_not_known_yet_are_computed_where_the_name_is_right(assetctl, inspect, tmp_path):
    path = write_lora(tmp_path / "whiskers.safetensors")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assetctl("import", path, "--no-hash")
    text = infotext(Lora_hashes=f'"whiskers: {digest[:10]}"')
    _, assets = inspect(text, "--no-hash")
    assert (assets["whiskers"]["status"], assets["whiskers"]["matched_by"]) == ("here", "name")
    assert "not known" in assets["whiskers"]["note"]
    _, assets = inspect(text)
    assert (assets["whiskers"]["status"], assets["whiskers"]["matched_by"]) == ("here", "autov2")


def test_assets_without_hashes_could_be_what_is_missing(assetctl, tmp_path):
    assetctl("import", write_lora(tmp_path / "whiskers.safetensors"), "--no-hash")
    picture = write_png(tmp_path / "cat.png", parameters=infotext(Lora_hashes='"other: aaaaaaaaaaaa"'))
    assert "1 asset lacks a hash" in assetctl("inspect", picture).err


def test_several_that_it_could_be_are_all_named(assetctl, inspect, tmp_path):
    for folder, seed in (("a", 1), ("b", 2)):
        assetctl("import", write_lora(tmp_path / folder / "whiskers.safetensors", seed=seed))
    assetctl("edit", "whiskers", "--name", "first")
    _, assets = inspect(infotext("a cat <lora:whiskers:1>"))
    assert assets["whiskers"]["status"] == "ambiguous"
    assert sorted(assets["whiskers"]["candidates"]) == ["first", "whiskers-2"]


def test_a_file_that_is_gone_is_told_of(assetctl, loras, inspect, tmp_path):
    (tmp_path / "loras" / "paws.safetensors").unlink()
    _, assets = inspect(infotext("<lora:paws:1>"))
    assert "its file is gone" in assets["paws"]["note"]


def test_a_picture_that_says_nothing_is_no_error(assetctl, tmp_path):
    ended = assetctl("inspect", write_png(tmp_path / "plain.png"))
    assert ended.code == 0
    assert "does not say" in ended.out
    data = assetctl("inspect", tmp_path / "plain.png", "--json").data
    assert (data["parameters"], data["assets"], data["record"]) == (None, [], None)


@pytest.mark.parametrize("content", [b"", b"<html>", b"\x89PNG\r\n\x1a\n", b"\x89PNG\r\n\x1a\n\xff\xff\xff\xfftEXt"])
def test_what_is_no_picture_is_refused_in_one_sentence(assetctl, tmp_path, content):
    path = tmp_path / "cat.png"
    path.write_bytes(content)
    ended = assetctl("inspect", path)
    assert ended.code == 5
    assert ended.err.count("error: ") == 1


def test_a_picture_that_is_not_there(assetctl, tmp_path):
    assert assetctl("inspect", tmp_path / "nowhere.png").code == 3


def test_words_of_strangers_do_nothing_to_the_terminal(assetctl, tmp_path):
    text = infotext("a \x1b[31mred\x1b[0m [bold]cat[/bold] \u202e", "x\x07", Model="\x1b]0;title\x07dream")
    ended = assetctl("inspect", write_png(tmp_path / "cat.png", parameters=text))
    assert "[bold]cat[/bold]" in ended.out
    assert not set("\x1b\x07\u202e") & set(ended.out + ended.err)


def test_quiet_prints_the_names_of_what_is_here(assetctl, loras, tmp_path):
    picture = write_png(tmp_path / "cat.png", parameters=infotext("<lora:paws:1> <lora:ghost:1>"))
    assert assetctl("inspect", picture, "--quiet").out == "paws\n"


def test_only_hashes_of_the_sort_that_is_sought_are_lacking(assetctl, loras, tmp_path):
    picture = write_png(tmp_path / "cat.png", parameters=infotext(Model="dream", Model_hash="0123456789"))
    assert "lack" not in assetctl("inspect", picture).err


def test_texts_that_are_not_understood_are_named(assetctl, tmp_path):
    picture = write_png(tmp_path / "cat.png", parameters="{}", mystery='{"steps": 3}')
    ended = assetctl("inspect", picture)
    assert "mystery" in ended.out
    assert "does not understand" in ended.out
    assert assetctl("inspect", picture, "--json").data["parameters"] is None
