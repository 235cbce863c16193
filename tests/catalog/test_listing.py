"""Lists that are cut short, what fits a checkpoint, and a search of common words."""

from __future__ import annotations

import random
from functools import partial

import pytest
from selections import lora_use, picture_entry

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


#: Orders of a list, as Python has them.
ORDERS = {
    "name": lambda asset, _: asset.name,
    "size": lambda asset, _: (-asset.size, asset.name),
    "added": lambda asset, _: (tuple(-ord(each) for each in asset.added_at), -asset.id),
    "used": lambda asset, used: (-used.get(asset.id, 0), asset.name),
}


@pytest.fixture
def many(catalog):
    """Assets of many sorts, some of equal size, some used for pictures; and the last picture of each."""
    chance = random.Random(4)
    kinds, families, bases = (
        ("lora", "embedding", "vae"),
        ("sdxl", "SDXL", "sd1", None),
        ("Pony", "pony", "SD 1.5", None),
    )
    for batch in range(3):
        new = []
        for number in range(60):
            path = f"/models/{batch}-{number}.safetensors"
            what = chance.choice(kinds), chance.choice(families), chance.choice(bases)
            found = Identification(*what, format=chance.choice(("safetensors", "pickle", None)))
            file = AssetFile(path, chance.choice((1, 2, 3)), 1)
            tags = tuple(each for each in ("cats", "Rare") if chance.random() < (0.5 if each == "cats" else 0.03))
            name = f"{chance.randrange(10**6)}-{batch}-{number}"
            new.append(NewAsset(name, path, (file,), found, in_store=chance.random() < 0.3, tags=tags))
        add(catalog, *new)
    with catalog.write() as writer:  # as if they had come at other times
        writer.connection.execute("UPDATE assets SET added_at = '2020-01-01T00:00:0' || (id % 7) || 'Z'")
    used = {}
    for _ in range(40):
        taken = chance.sample(catalog.read.assets(), 2)
        number = catalog.generations.record(picture_entry(loras=map(lora_use, taken)))
        used |= dict.fromkeys((each.id for each in taken), number)
    return catalog, used


@pytest.mark.parametrize("sort", ORDERS)
@pytest.mark.parametrize(
    "wanted",
    [
        {}, {"kind": "LoRA"}, {"family": "sdxl"}, {"family": ""}, {"base_model": "PONY", "kind": "vae"},
        {"format": "pickle"}, {"format": ""}, {"in_store": True}, {"in_store": False, "family": "sd1"},
        {"tags": ["cats"]}, {"tags": ["cats", "rare"]}, {"tags": ["CATS"], "kind": "embedding", "in_store": False},
        {"kind": "upscaler"}, {"variant": "turbo"},
    ],
    ids=str,
)  # fmt: skip
def test_pages_of_a_list_in_any_order_are_the_whole_of_it(many, wanted, sort, monkeypatch):
    catalog, used = many
    expected = sorted(
        filter(partial(fulfils, wanted), catalog.read.assets()), key=lambda each: ORDERS[sort](each, used)
    )
    for few, shelves in ((2000, 450), (3, 450), (2000, 2)):  # gathered by a tag, or gone through; merged, or sorted
        monkeypatch.setattr("assetctl.catalog.listing._FEW", few)
        monkeypatch.setattr("assetctl.catalog.listing._MOST_SHELVES", shelves)
        pages, after = [], None
        while page := catalog.read.assets(sort=sort, after=after, limit=7, **wanted):
            pages += page
            after = page[-1].name
        assert names(pages) == names(catalog.read.assets(sort=sort, **wanted)) == names(expected)
        assert catalog.read.count(1000, **wanted) == len(expected)


def fulfils(wanted, asset):
    tags = {each.lower() for each in asset.tags}
    fields = ((name, value) for name, value in wanted.items() if name not in ("tags", "in_store"))
    return (
        all((getattr(asset, name) or "").lower() == value.lower() for name, value in fields)
        and tags.issuperset(each.lower() for each in wanted.get("tags", ()))
        and wanted.get("in_store") in (None, asset.in_store)
    )


def test_words_as_they_were_typed_come_before_those_that_begin_so_and_pages_of_a_search_leave_none_out(catalog):
    ends = ("cat", "cats", "catalog")
    add(catalog, *(entry(f"x{number:04}", words=(ends[number % 3],)) for number in range(1200)))
    add(catalog, entry("my-cats"), entry("my-cat"), entry("cats-two"))
    read = catalog.read
    first = names(read.search("cat", limit=500))
    assert first[:3] == ["cats-two", "my-cat", "my-cats"]
    assert first[3:] == [f"x{number:04}" for number in range(1200) if number % 3 == 0][:400] + first[403:]
    pages = [names(read.search("cat", limit=200, offset=start)) for start in range(0, 1400, 200)]
    found = [name for page in pages for name in page]
    assert (found[:500], len(found), set(found)) == (first, 1203, set(names(read.search("cat"))))
    assert [read.count_matches(word) for word in ("cat", "cats", "my", "cat my")] == [1001, 402, 2, 2]


def test_the_next_page_of_a_search_is_what_the_first_one_left(many):
    read = many[0].read
    whole = names(read.search("1"))
    assert len(whole) > 20
    paged = [name for start in range(0, len(whole) + 7, 7) for name in names(read.search("1", limit=7, offset=start))]
    assert paged == whole
