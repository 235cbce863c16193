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


@pytest.mark.usefixtures("whiskers")
@pytest.mark.parametrize("value", ["safetensors", "SafeTensors", "diffusers", "pickle", "gguf", "png", ""])
def test_every_format_can_be_asked_for(assetctl, value):
    ended = assetctl("list", "--format", value, "--json")
    assert (ended.code, len(ended.data)) == (0, value.lower() == "safetensors")


@pytest.mark.usefixtures("whiskers")
@pytest.mark.parametrize(
    ("value", "near"),
    [("nosuch", ""), ("SD 1.55", "SD 1.5"), ("Ilustrious", "Illustrious"), ("Pony", None), ("pony", None)],
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
