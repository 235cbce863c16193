"""`list --fits`, and lists that are cut short for people and whole for programs."""

from __future__ import annotations

import pytest
from material import write_safetensors

from assetctl.catalog import Catalog, NewAsset
from assetctl.types import AssetFile, Identification


def entry(name: str, kind: str = "lora", family: str | None = "sdxl", base_model: str | None = None) -> NewAsset:
    path = f"/models/{name}.safetensors"
    found = Identification(kind, family, base_model)
    return NewAsset(name, path, (AssetFile(path, 10, 1),), found, in_store=False)


@pytest.fixture
def filled(home):
    with Catalog(home / "catalog.db") as catalog, catalog.write() as writer:
        writer.add(
            [
                entry("dreamer", "checkpoint", base_model="Illustrious"),
                entry("mystery", "checkpoint", None),
                entry("ink", base_model="Pony"),
                entry("tail", base_model="Illustrious"),
                entry("token", "embedding"),
                entry("old", family="sd1"),
                *(entry(f"many-{number:03}", family="sd1") for number in range(150)),
            ]
        )


@pytest.mark.usefixtures("filled")
def test_a_table_says_how_well_each_fits(assetctl):
    shown = assetctl("list", "--fits", "dreamer")
    lines = shown.out.splitlines()
    assert lines[0].split()[:2] == ["NAME", "FIT"]
    assert [line.split()[0] for line in lines[1:]] == ["tail", "token", "ink"]
    assert "same base model" in lines[1]
    assert "same family" in lines[2]
    assert "other lineage" in lines[3]


@pytest.mark.usefixtures("filled")
def test_json_has_the_assets_with_their_fit_and_quiet_the_names(assetctl):
    data = assetctl("list", "--fits", "dreamer", "--json").data
    assert [(item["name"], item["fit"]) for item in data] == [
        ("tail", "same base model"), ("token", "same family"), ("ink", "other lineage"),
    ]  # fmt: skip
    assert {"kind", "family", "trigger_words", "path"} <= data[0].keys()
    assert assetctl("list", "--fits", "dreamer", "--quiet", "--kind", "lora").out == "tail\nink\n"


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize(("name", "code", "said"), [("ink", 2, "lora"), ("mystery", 2, "family"), ("nobody", 3, "")])
def test_what_is_no_checkpoint_of_a_known_family_is_refused(assetctl, name, code, said):
    ended = assetctl("list", "--fits", name, "--json")
    assert ended.code == code
    assert said in ended.error["message"]
    assert "assetctl" in ended.error["hint"]


@pytest.mark.usefixtures("filled")
def test_a_person_is_shown_a_hundred_and_told_of_the_rest(assetctl):
    shown = assetctl("list")
    assert len(shown.out.splitlines()) == 101
    assert "100 of 156 shown; `--limit 0` shows all." in shown.err
    assert len(assetctl("list", "--limit", 0).out.splitlines()) == 157
    assert "5 of 150 shown" in assetctl("search", "many", "--limit", 5).err
    assert "2 of 3 shown" in assetctl("list", "--fits", "dreamer", "--limit", 2).err


@pytest.mark.usefixtures("filled")
def test_a_program_is_never_cut_short_unless_it_asks(assetctl):
    assert len(assetctl("list", "--json").data) == 156
    assert len(assetctl("search", "many", "--json").data) == 150
    assert len(assetctl("list", "--quiet").out.splitlines()) == 156
    assert len(assetctl("list", "--json", "--limit", 7).data) == 7
    assert assetctl("list", "--limit", -1).code == 2


@pytest.mark.usefixtures("filled")
def test_a_list_that_just_fills_the_limit_says_nothing(assetctl):
    assert "shown" not in assetctl("list", "--family", "sdxl", "--limit", 4).err


@pytest.mark.usefixtures("filled")
def test_nothing_that_fits_is_said(assetctl):
    ended = assetctl("list", "--fits", "dreamer", "--kind", "vae")
    assert (ended.code, ended.out) == (0, "")
    assert "No asset" in ended.err


def test_inspect_says_what_it_is_before_why_and_shortens_metadata(assetctl, tmp_path):
    words = {"ss_network_dim": "16", "ss_network_alpha": "8", "story": "once upon a time\n" * 500}
    words |= {f"zz_{number:02}": "x" for number in range(30)}
    names = [f"lora_unet_down_blocks_{n}_attentions_0_proj_in.{part}.weight"
             for n in range(2) for part in ("lora_down", "lora_up")]  # fmt: skip
    path = tmp_path / "whiskers.safetensors"
    write_safetensors(path, dict.fromkeys(names, (4, 4)), words)
    assetctl("import", path)
    assetctl("edit", "whiskers", "--default-weight", "0.7", "--trigger-word", "long whiskers")
    shown = assetctl("inspect", "whiskers").out.splitlines()
    labels = [line.strip().split("  ")[0] for line in shown]
    wanted = ["name", "kind", "family", "size", "trigger words", "default weight", "path"]
    assert labels[:7] == wanted
    assert any("16, alpha 8" in line for line in shown)
    assert max(map(len, shown)) < 200
    assert labels.index("SHA256") < labels.index("evidence") < labels.index("metadata")
    assert "13 more" in shown[-1]
    assert len(assetctl("inspect", "whiskers", "--json").data["metadata"]["story"]) == 8500
