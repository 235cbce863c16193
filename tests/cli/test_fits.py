"""`list --fits`, and lists that are cut short for people and whole for programs."""

from __future__ import annotations

import pytest
from material import write_embedding, write_lora, write_safetensors

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
    assert "2 of at most 3 shown" in assetctl("list", "--fits", "dreamer", "--limit", 2).err


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


TO_K = "input_blocks.1.1.transformer_blocks.0.attn2.to_k"


@pytest.fixture
def studio(assetctl, tmp_path):
    """A small checkpoint of SD 1, and LoRAs and embeddings that the catalog takes to be of that family."""
    folder = tmp_path / "studio"
    unet = {"input_blocks.0.0.weight": (8, 4, 3, 3), "time_embed.0.weight": (8, 8), f"{TO_K}.weight": (320, 768)}
    shapes = {f"model.diffusion_model.{name}": shape for name, shape in unet.items()}
    shapes["cond_stage_model.transformer.text_model.encoder.layers.0.self_attn.q_proj.weight"] = (8, 8)
    shapes["first_stage_model.decoder.conv_in.weight"] = (8, 4, 3, 3)
    write_safetensors(folder / "photo.safetensors", shapes)
    for number in range(6):
        write_lora(folder / f"good-{number}.safetensors", seed=number)
        module = f"lora_unet_down_blocks_0_attentions_{number + 4}_transformer_blocks_0_attn2_to_k"
        halves = {f"{module}.lora_down.weight": (4, 768), f"{module}.lora_up.weight": (320, 4)}
        write_safetensors(folder / f"broken-{number}.safetensors", halves, seed=number)
    write_embedding(folder / "wide.safetensors", width=1280)
    write_embedding(folder / "soft.safetensors")
    assetctl("import", folder)
    for name in ("wide", "soft"):
        assetctl("edit", name, "--family", "sd1")
    return folder


GOOD = [f"good-{number}" for number in range(6)]


@pytest.mark.usefixtures("studio")
def test_what_check_would_refuse_is_not_listed(assetctl):
    assert assetctl("list", "--fits", "photo", "--quiet").out.split() == [*GOOD, "soft"]
    for name in (*GOOD, "soft"):
        assert assetctl("check", "photo", name, "--for", "any").code == 0
    assert assetctl("check", "photo", "broken-0").code == assetctl("check", "photo", "wide").code == 4


@pytest.mark.usefixtures("studio")
def test_what_fits_moves_up_where_something_does_not(assetctl):
    shown = assetctl("list", "--fits", "photo", "--limit", 3)
    assert [line.split()[0] for line in shown.out.splitlines()[1:]] == GOOD[:3]
    assert "3 of at most 14 shown" in shown.err


def test_what_is_gone_is_not_listed(assetctl, studio):
    (studio / "good-2.safetensors").unlink()
    assert assetctl("list", "--fits", "photo", "--quiet").out.split() == [*GOOD[:2], *GOOD[3:], "soft"]
    assert assetctl("check", "photo", "good-2", "--for", "any").code == 5


def test_a_list_reads_no_large_file_whole(assetctl, studio):
    """`check` reads what was written to since: there it is one file, and here there may be a thousand."""
    for name, rank in (("large", 512), ("small", 8)):
        path = write_lora(studio / f"{name}.safetensors", seed=9, rank=rank)
        assetctl("import", path)
        content = path.read_bytes()
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert (studio / "large.safetensors").stat().st_size > 2**20
    listed = assetctl("list", "--fits", "photo", "--quiet").out.split()
    assert ("large" in listed, "small" in listed) == (True, False)


def test_where_the_checkpoint_is_gone_all_stays_as_the_catalog_has_it(assetctl, studio):
    (studio / "photo.safetensors").unlink()
    assert len(assetctl("list", "--fits", "photo", "--quiet").out.split()) == 14


def test_a_damaged_file_is_not_listed(assetctl, studio):
    (studio / "good-1.safetensors").write_bytes(b"no longer")
    assert "good-1" not in assetctl("list", "--fits", "photo", "--quiet").out


def test_a_table_reads_only_so_many_headers(assetctl, home, studio):
    with Catalog(home / "catalog.db") as catalog, catalog.write() as writer:
        copies = [studio / f"a-broken-{number:03}.safetensors" for number in range(150)]
        for copy in copies:
            copy.hardlink_to(studio / "broken-0.safetensors")
        found = Identification("lora", "sd1")
        writer.add([
            NewAsset(copy.stem, str(copy), (AssetFile(str(copy), copy.stat().st_size, 1),), found, in_store=False)
            for copy in copies
        ])  # fmt: skip
    shown = assetctl("list", "--fits", "photo", "--limit", 2)
    assert "0 of the first 108 fit; `--limit 0` looks at all, at most 164." in shown.err
    assert "good-0" in assetctl("list", "--fits", "photo", "--limit", 0).out


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
