"""Lists that are cut short, what fits a checkpoint, and a search of common words."""

from __future__ import annotations

import pytest

from assetctl.catalog import Catalog, NewAsset
from assetctl.errors import NotFoundError
from assetctl.types import AssetFile, Evidence, Identification

#: Families with the latents of SDXL.
TWINS = ("sdxl-refiner",)


def entry(
    name: str,
    kind: str = "lora",
    family: str | None = "sdxl",
    base_model: str | None = None,
    *,
    tags: tuple[str, ...] = (),
    words: tuple[str, ...] = (),
    maybe: tuple[str, ...] = (),
) -> NewAsset:
    path = f"/models/{name}.safetensors"
    evidence = tuple(Evidence("tensors", f"family={each}", "its latents") for each in maybe)
    found = Identification(kind, family, base_model, trigger_words=words, evidence=evidence)
    return NewAsset(name, path, (AssetFile(path, 10, 1),), found, in_store=False, tags=tags)


def add(catalog: Catalog, *entries: NewAsset) -> None:
    with catalog.write() as writer:
        writer.add(entries)


def names(assets: object) -> list[str]:
    return [asset.name for asset in assets]


@pytest.fixture
def mixed(catalog):
    add(
        catalog,
        entry("dreamer", "checkpoint", "sdxl", "Illustrious"),
        entry("plain", "checkpoint", "sdxl"),
        entry("a-pony", base_model="Pony"),
        entry("b-unknown"),
        entry("d-same", base_model="illustrious", tags=("cats",)),
        entry("c-same", base_model="Illustrious"),
        entry("old", family="sd1", base_model="SD 1.5"),
        entry("token", "embedding"),
        entry("refiner-vae", "vae", "sdxl-refiner"),
        entry("any-vae", "vae", None, maybe=("sd1", "sdxl")),
        entry("other-vae", "vae", None, maybe=("flux1",)),
        entry("pose", "controlnet"),
        entry("bigger", "upscaler", "sdxl"),
    )
    return catalog.read


def test_what_fits_comes_by_lineage_and_then_by_name(mixed):
    others = mixed.fitting(mixed.find("dreamer"), sharing=TWINS, strange=("pony",))
    found = [(asset.name, fit) for asset, fit in others]
    assert found == [
        ("c-same", "same base model"),
        ("d-same", "same base model"),
        ("b-unknown", "same family"),
        ("pose", "same family"),
        ("token", "same family"),
        ("refiner-vae", "same latents"),
        ("a-pony", "other lineage"),
        ("any-vae", "perhaps"),
    ]


def test_without_a_lineage_of_its_own_a_checkpoint_takes_all_of_its_family_alike(mixed):
    fits = {asset.name: fit for asset, fit in mixed.fitting(mixed.find("plain"))}
    assert fits["a-pony"] == fits["c-same"] == "same family"


def test_what_fits_is_filtered_limited_and_counted(mixed):
    dreamer = mixed.find("dreamer")
    assert names(asset for asset, _ in mixed.fitting(dreamer, sharing=TWINS, kind="VAE")) == ["refiner-vae", "any-vae"]
    assert names(asset for asset, _ in mixed.fitting(dreamer, sharing=TWINS, tags=["cats"])) == ["d-same"]
    assert names(asset for asset, _ in mixed.fitting(dreamer, sharing=TWINS, limit=2)) == ["c-same", "d-same"]
    assert mixed.count_fitting(dreamer, 100, sharing=TWINS) == 8
    assert mixed.count_fitting(dreamer, 3) == 3
    assert mixed.count_fitting(dreamer, 100, kind="lora") == 4


def test_a_list_is_cut_short_in_the_order_of_its_names(mixed):
    assert names(mixed.assets(limit=2)) == ["a-pony", "any-vae"]
    assert names(mixed.assets(kind="lora", family="SDXL", limit=3)) == ["a-pony", "b-unknown", "c-same"]
    assert names(mixed.assets(base_model="ILLUSTRIOUS")) == ["c-same", "d-same", "dreamer"]
    assert mixed.count(100) == 13
    assert mixed.count(100, kind="lora", family="SDXL") == 4
    assert mixed.count(5) == 5


def test_names_that_begin_with_what_is_sought_come_first(catalog):
    add(catalog, entry("my-cat"), entry("zoo", words=("cat",)), entry("cat-and-dog"), entry("cat"))
    assert names(catalog.read.search("cat"))[0].startswith("cat")
    assert set(names(catalog.read.search("cat"))[:2]) == {"cat", "cat-and-dog"}


def test_a_search_of_a_common_word_is_bounded_and_still_puts_names_first(catalog):
    common = [entry(f"x{number:04}", words=("cat",)) for number in range(1100)]
    add(catalog, *common, entry("my-cat"), entry("cat-one"), entry("cat-sd1", family="sd1"))
    read = catalog.read
    assert names(read.search("cat", limit=5))[:3] == ["cat-one", "cat-sd1", "my-cat"]
    assert len(read.search("cat", limit=5)) == 5
    assert names(read.search("cat", limit=2, family="sd1")) == ["cat-sd1"]
    assert len(read.search("cat")) == 1103
    assert read.count_matches("cat") == 1001


def test_a_similar_name_is_found_among_very_many(catalog):
    add(catalog, *(entry(f"asset-{number:05}") for number in range(5000)), entry("whiskers"))
    with pytest.raises(NotFoundError) as error:
        catalog.read.find("whisker")
    assert "whiskers" in str(error.value.hint)
