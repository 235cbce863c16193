"""A value that nothing can have is no answer, and whoever only reads makes nothing."""

from __future__ import annotations

import pytest
from material import write_lora

from assetctl import Registry, Request
from assetctl.errors import UsageError


@pytest.fixture
def whiskers(assetctl, tmp_path):
    assetctl("import", write_lora(tmp_path / "whiskers.safetensors"))
    assetctl("edit", "whiskers", "--base-model", "Lumberjack 2")


@pytest.mark.usefixtures("whiskers")
@pytest.mark.parametrize("more", [[], ["--fits", "whiskers"]])
@pytest.mark.parametrize(
    ("option", "value"),
    [("--kind", "loras"), ("--format", "nosuch"), ("--tag", ""), ("--tag", " "), ("--family", "nosuch")],
)
def test_what_no_asset_can_have_is_wrong_usage(assetctl, option, value, more):
    ended = assetctl("list", option, value, *more, "--json")
    assert (ended.code, ended.error["code"]) == (2, "usage")


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (("list", "--kind", "loras"), "lora"),
        (("list", "--format", "safetensor"), "safetensors"),
        (("generate", "a cat", "--scheduler", "karas", "--dry-run"), "Karras"),
    ],
)
def test_what_was_meant_by_a_wrong_value_is_told(assetctl, typed, meant):
    ended = assetctl(*typed, "--json")
    assert (ended.code, ended.error["hint"].startswith(f"Did you mean {meant}? ")) == (2, True), ended.error


@pytest.mark.usefixtures("whiskers")
@pytest.mark.parametrize("value", ["safetensors", "SafeTensors", "diffusers", "pickle", "gguf", "png", ""])
def test_every_format_can_be_asked_for(assetctl, value):
    ended = assetctl("list", "--format", value, "--json")
    assert (ended.code, len(ended.data)) == (0, value.lower() == "safetensors")


@pytest.mark.usefixtures("whiskers")
@pytest.mark.parametrize(
    ("value", "near"),
    [
        ("nosuch", ""),
        ("SD 1.55", "SD 1.5"),
        ("SD1.5", "SD 1.5"),
        ("Ilustrious", "Illustrious"),
        ("Pony", None),
        ("pony", None),
    ],
)
def test_a_base_model_that_nothing_has_is_told(assetctl, value, near):
    ended = assetctl("list", "--base-model", value)
    assert ended.code == 0
    assert (f"warning: No asset is of the base model {value}" in ended.err) is (near is not None)
    assert not near or f"Did you mean {near}" in ended.err
    assert assetctl("list", "--base-model", value, "--json").data == []


@pytest.mark.usefixtures("whiskers")
def test_a_base_model_that_a_person_made_up_is_known(assetctl):
    ended = assetctl("list", "--base-model", "lumberjack 2")
    assert (ended.code, "whiskers" in ended.out, ended.err) == (0, True, "")
    assert "warning" not in assetctl("list", "--base-model", "Lumberjack 2", "--kind", "vae").err


@pytest.mark.parametrize(
    "ask",
    [
        lambda registry: registry.list(tags="cats"),
        lambda registry: registry.count(5, tags="cats"),
        lambda registry: registry.list(limit=2.5),
        lambda registry: registry.list(limit=-1),
        lambda registry: registry.list(limit=True),
        lambda registry: registry.list(format="nosuch"),
        lambda registry: registry.list(base_model=5),
        lambda registry: registry.search("x", limit=2.5),
        lambda registry: registry.history(2.5),
        lambda registry: registry.history(seed=2.5),
        lambda registry: registry.check("whiskers"),
        lambda registry: registry.plan("a cat"),
        lambda registry: registry.generate("a cat"),
        lambda registry: registry.pull("x.safetensors", tags="cats"),
        lambda registry: registry.pull_all("x.safetensors"),
        lambda registry: registry.import_files(".", tags="cats"),
        lambda registry: registry.add_to_store(".", tags="cats"),
        lambda registry: registry.prompt("a cat", embeddings="easynegative"),
    ],
)
def test_python_is_told_too(home, ask):
    with Registry.open(home) as registry, pytest.raises(UsageError):
        ask(registry)


def test_what_is_right_stays_right(home):
    with Registry.open(home) as registry:
        assert registry.list(tags=("cats",), limit=0) == registry.list(tags=iter(["cats"])) == []
        with pytest.raises(UsageError, match="Nothing was selected"):
            registry.check(Request.of("a cat"))


READING = [
    ("list",), ("search", "x"), ("inspect", "x"), ("check", "x"), ("history",), ("history", "1"), ("du",), ("verify",),
    ("outdated",), ("export",), ("trash",), ("prune",), ("prune", "--dry-run"), ("dedupe",), ("prompt", "a cat"),
    ("rm", "x"), ("edit", "x", "--tag", "y"), ("generate", "a cat"), ("generate", "a cat", "--dry-run"),
    ("reproduce", "1"), ("enrich",), ("list", "--fits", "x"), ("convert", "x"), ("identify", "x"),
    ("check", "--rules"), ("import", "/nowhere/x"), ("pull", "/nowhere/x"), ("lock", "--check"),
    ("sync", "--check"), ("sync", "--dry-run"),
]  # fmt: skip


@pytest.mark.parametrize("command", READING, ids=" ".join)
def test_whoever_only_reads_makes_no_home(assetctl, home, tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    write_lora(tmp_path / "whiskers.safetensors")
    (tmp_path / "registry.toml").write_text('[assets.whiskers]\nsource = "./whiskers.safetensors"\n')
    for asked in ((*command,), (*command, "--json")):
        ended = assetctl(*asked)
        assert "defect" not in ended.err + ended.out
    assert not home.exists()


@pytest.mark.parametrize(
    "command",
    [
        ("list",),
        ("search", "x"),
        ("history",),
        ("du",),
        ("verify",),
        ("outdated",),
        ("export",),
        ("trash",),
        ("prune",),
    ],
    ids=" ".join,
)
def test_a_home_that_is_not_there_is_told(assetctl, tmp_path, command):
    typo = tmp_path / "typo"
    for asked in ((*command, "--home", typo), ("--home", typo, *command)):
        ended = assetctl(*asked, "--json")
        assert (ended.code, ended.error["code"]) == (1, "catalog_error")
        assert str(typo) in ended.error["message"]
    assert not typo.exists()
    typo.mkdir()
    assert assetctl(*command, "--home", typo).code == 0


def test_a_home_of_the_environment_that_is_not_there_is_empty(assetctl, home):
    ended = assetctl("list")
    assert (ended.code, str(home) in ended.err) == (0, True)
    assert assetctl("list", "--json").data == []


def test_a_home_that_others_make_meanwhile_is_seen(assetctl, home, tmp_path):
    with Registry.open(home) as reading, Registry.open(home) as writing:
        assert reading.list() == writing.list() == []
        writing.import_files(write_lora(tmp_path / "whiskers.safetensors"))
        assert [asset.name for asset in reading.list()] == [asset.name for asset in writing.list()] == ["whiskers"]
        reading.remove(reading.plan_removal("whiskers"))
        assert reading.list() == writing.list() == []
