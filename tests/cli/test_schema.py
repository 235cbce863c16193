"""`assetctl schema`, and what documents say beside their data. Every other test here holds documents against it too."""

from __future__ import annotations

import jsonschema
import pytest
from documents import hold
from material import write_lora
from selections import picture_entry

from assetctl.cli.main import COMMANDS
from assetctl.registry import Registry


@pytest.fixture
def loras(assetctl, tmp_path):
    write_lora(tmp_path / "one" / "cats.safetensors", seed=1)
    write_lora(tmp_path / "two" / "sdxl.safetensors", "sdxl", seed=2)
    assert assetctl("import", tmp_path / "one", tmp_path / "two").code == 0


def test_every_command_is_described_with_its_options_and_errors(assetctl):
    said = assetctl("schema", "--json").data
    assert [each["name"] for each in said["commands"]] == list(COMMANDS)
    assert {"not_found": 3, "incompatible": 4, "interrupted": 130}.items() <= {
        each["code"]: each["exit_code"] for each in said["errors"]
    }.items()
    for each in said["commands"]:
        jsonschema.Draft202012Validator.check_schema(each["document"])
        assert "--json" in [name for option in each["options"] for name in option["names"]]
    jsonschema.Draft202012Validator.check_schema(said["events"])


def test_one_command_is_described_for_a_person(assetctl):
    (check,) = assetctl("schema", "check", "--json").data["commands"]
    options = {name: each for each in check["options"] for name in each["names"]}
    assert (options["--steps"]["type"], options["--lora"]["many"]) == ("integer", True)
    assert options["--file"]["default"] == "registry.toml"
    shown = assetctl("schema", "check")
    assert "--commercial" in shown.out
    assert '"shape_conflicts"' in shown.out
    assert assetctl("schema", "chek", "--json").error["code"] == "not_found"


@pytest.mark.parametrize("command", COMMANDS)
def test_a_wrong_use_of_any_command_is_a_document_of_it(assetctl, command):
    ended = assetctl(command, "--no-such-option", "--json")
    assert (ended.code, ended.error["code"]) == (2, "usage")


@pytest.mark.parametrize("command", COMMANDS)
def test_a_document_with_a_key_too_many_is_refused(command):
    for wrong in ('{"version":1,"error":{"code":"usage","message":"","hint":null,"more":1}}', '{"version":1,"data":3}'):
        with pytest.raises(AssertionError, match=command):
            hold([command], wrong)


def test_an_ambiguous_name_lists_its_candidates(assetctl, tmp_path):
    for number, name in enumerate(("a", "b")):
        for file in name, f"{name}/twin":
            assetctl("import", write_lora(tmp_path / f"{file}.safetensors", seed=number))
    ended = assetctl("inspect", "twin", "--json")
    assert (ended.code, ended.error["code"], ended.error["candidates"]) == (3, "ambiguous", ["a", "b"])


@pytest.mark.parametrize("more", [(), ("--dry-run",)])
def test_what_does_not_fit_is_said_by_its_findings(assetctl, loras, more):
    assert assetctl("demo", "--pull").code == 0
    ended = assetctl("generate", "a cat", "--checkpoint", "demo-checkpoint", "--lora", "sdxl", *more, "--json")
    assert (ended.code, ended.error["code"]) == (4, "incompatible")
    checked = assetctl("check", "demo-checkpoint", "sdxl", "--prompt", "a cat", "--json").data["findings"]
    assert (
        [each for each in ended.error["findings"] if each["severity"] == "error"]
        == [each for each in checked if each["severity"] == "error"]
        != []
    )


def test_of_several_that_are_pulled_the_document_says_which_came_and_which_did_not(assetctl, tmp_path):
    good = write_lora(tmp_path / "good.safetensors")
    ended = assetctl("pull", tmp_path / "no.safetensors", good, tmp_path / "nor.safetensors", "--json")
    assert (ended.code, [each["name"] for each in ended.error["done"]]) == (3, ["good"])
    assert [each["code"] for each in ended.error["errors"]] == ["not_found", "not_found"]
    assert "no.safetensors" in ended.error["message"]
    assert "nor.safetensors" in ended.error["errors"][1]["message"]


def test_warnings_are_in_the_document_and_on_stderr(assetctl, loras):
    ended = assetctl("edit", "cats", "--base-model", "SD 1.6", "--json")
    (warning,) = hold(["edit"], ended.out)["warnings"]
    assert "SD 1.6" in warning["message"]
    assert "SD 1.5" in warning["hint"]
    assert "warning: SD 1.6" in ended.err
    assert "warnings" not in hold(["list"], assetctl("list", "--json").out)


def test_a_result_that_an_error_follows_is_still_one_document(assetctl, home):
    with Registry.open(home) as registry:
        registry._workspace.catalog.generations.record(picture_entry("a cat", (), path="/gone.png", sha256="ab" * 32))
    ended = assetctl("history", "1", "--open", "--json")
    assert (ended.code, ended.error["done"]["number"]) == (3, 1)
