"""Every command: its JSON, its exit codes, its help."""

from __future__ import annotations

import io
import os
import re

import pytest
from material import write_embedding, write_lora

from assetctl.cli.main import COMMANDS, load

ASSET_KEYS = {
    "name", "kind", "family", "base_model", "variant", "prediction", "format", "layout", "size", "sha256",
    "trigger_words", "tags", "path", "source",
}  # fmt: skip
IDENTIFY_KEYS = ASSET_KEYS - {"name", "size", "sha256", "trigger_words", "tags", "source"} | {
    "confidence", "evidence", "error",
}  # fmt: skip


@pytest.fixture
def lora(tmp_path):
    return write_lora(tmp_path / "files" / "whiskers.safetensors")


def test_a_pulled_file_is_copied_into_the_store_and_described(assetctl, home, lora):
    (asset,) = assetctl("pull", lora, "--json").data
    assert asset.keys() >= ASSET_KEYS
    assert (asset["name"], asset["kind"], asset["family"], asset["layout"]) == ("whiskers", "lora", "sd1", "kohya")
    assert asset["trigger_words"] == ["long whiskers"]
    assert asset["path"] == str(home / "models" / "loras" / "whiskers.safetensors")
    assert lora.is_file()


def test_a_path_means_the_same_wherever_one_stands(assetctl, lora, monkeypatch):
    monkeypatch.chdir(lora.parent)
    (asset,) = assetctl("pull", "../files/whiskers.safetensors", "--json").data
    assert asset["source"] == str(lora)


def test_an_imported_file_stays_where_it_is(assetctl, home, lora):
    (asset,) = assetctl("import", lora, "--json").data
    assert asset["path"] == str(lora)
    assert not asset["in_store"]
    assert not (home / "models").exists()


def test_the_same_bytes_are_stored_once(assetctl, home, tmp_path, lora):
    assetctl("pull", lora)
    twin = write_lora(tmp_path / "twin.safetensors")
    (asset,) = assetctl("pull", twin, "--json").data
    assert asset["name"] == "whiskers"
    assert len(list((home / "models").rglob("*.safetensors"))) == 1
    assert len(assetctl("list", "--json").data) == 1


def test_a_missing_file_is_replaced_and_what_was_edited_stays(assetctl, tmp_path, lora):
    assetctl("import", lora)
    assetctl("edit", "whiskers", "--tag", "cats")
    saved = lora.rename(tmp_path / "elsewhere.safetensors")
    (asset,) = assetctl("pull", saved, "--json").data
    assert (asset["name"], asset["tags"], asset["in_store"]) == ("whiskers", ["cats"], True)


def test_a_moved_file_is_followed_by_the_next_import(assetctl, tmp_path, lora):
    assetctl("import", lora)
    assetctl("edit", "whiskers", "--tag", "cats")
    new = tmp_path / "files" / "sub" / "renamed.safetensors"
    new.parent.mkdir()
    lora.rename(new)
    assert f"whiskers has moved to {new}" in assetctl("import", tmp_path / "files").err
    (asset,) = assetctl("list", "--json").data
    assert (asset["name"], asset["path"], asset["tags"]) == ("whiskers", str(new), ["cats"])
    assert assetctl("verify").code == 0


def test_twins_in_a_folder_are_one_asset_with_two_places(assetctl, tmp_path):
    write_lora(tmp_path / "loras" / "a.safetensors")
    write_lora(tmp_path / "loras" / "deep" / "b.safetensors")
    imported = assetctl("import", tmp_path / "loras")
    assert "same bytes as a" in imported.err
    (asset,) = assetctl("list", "--json").data
    assert assetctl("inspect", "b", "--json").data["name"] == asset["name"] == "a"


def test_a_twin_brings_its_tags_along(assetctl, tmp_path):
    first = write_lora(tmp_path / "first.safetensors")
    twin = write_lora(tmp_path / "twin.safetensors")
    assetctl("import", first, "--tag", "old", "--no-hash")
    assetctl("import", twin, "--tag", "cats", "--no-hash")
    assetctl("import", first, twin)
    (asset,) = assetctl("list", "--tag", "cats", "--json").data
    assert sorted(asset["tags"]) == ["cats", "old"]
    assert assetctl("search", "cats", "--json").data == [asset]


def test_check_tells_a_lora_tag_that_names_nothing_and_what_was_meant(assetctl, lora):
    assetctl("import", lora)
    checked = assetctl("check", "whiskers", "--prompt", "long whiskers <lora:whisker:0.7>", "--json")
    assert checked.code == 3
    (finding,) = [each for each in checked.data["findings"] if each["rule"] == "unknown_lora"]
    assert (finding["severity"], "<lora:whisker>" in finding["message"]) == ("error", True)
    assert "whiskers" in finding["hint"]


def test_check_lists_its_rules(assetctl):
    rules = {rule["rule"]: rule for rule in assetctl("check", "--rules", "--json").data}
    assert {"family", "coverage", "lineage", "shared_token", "vae_channels"} <= rules.keys()
    assert all(rule["description"] and rule["severities"] for rule in rules.values())
    assert "lineage" in assetctl("check", "--rules").out


def test_inspect_tells_files_hashes_and_evidence(assetctl, lora):
    assetctl("import", lora)
    data = assetctl("inspect", "whiskers", "--json").data
    (file,) = data["files"]
    assert file["sha256"] == data["sha256"]
    assert len(file["autov3"]) == 12
    assert len(file["blake3"]) == 64
    assert data["identification"]["evidence"]
    assert data["metadata"]["modelspec.trigger_phrase"] == "long whiskers"
    assert assetctl("inspect", file["autov3"][:6], "--json").data["name"] == "whiskers"


def test_identify_needs_no_catalog(assetctl, home, lora):
    (found,) = assetctl("identify", lora, "--json").data
    assert found.keys() >= IDENTIFY_KEYS
    assert (found["kind"], found["family"], found["error"]) == ("lora", "sd1", None)
    assert not home.exists()


def test_edit_outranks_the_file_and_survives_identification(assetctl, lora):
    assetctl("import", lora)
    assetctl("edit", "whiskers", "--family", "sdxl", "--trigger-word", "mine", "--tag", "cats", "--notes", "x")
    (asset,) = assetctl("identify", "--again", "--json").data
    assert (asset["family"], asset["trigger_words"], asset["tags"]) == ("sdxl", ["mine"], ["cats"])
    (asset,) = assetctl("edit", "whiskers", "--reset", "family", "--name", "cat", "--untag", "cats", "--json").data
    assert (asset["name"], asset["family"], asset["tags"]) == ("cat", "sd1", [])


def test_rm_keeps_a_persons_file_and_deletes_ours(assetctl, home, lora):
    assetctl("import", lora)
    assert assetctl("rm", "whiskers").code == 0
    assert lora.is_file()
    assetctl("pull", lora)
    assert assetctl("rm", "whiskers", "--json").data[0]["deleted"]
    assert list((home / "models").rglob("*.safetensors")) == []
    assetctl("import", lora)
    assert assetctl("rm", "whiskers", "--delete-files", "--yes").code == 0
    assert not lora.exists()


def test_rm_of_the_only_copy_takes_a_word_in_a_script_too(assetctl, home, lora):
    assetctl("import", "--move", lora)
    ended = assetctl("rm", "whiskers", "--json")
    assert (ended.code, ended.error["code"], "--yes" in ended.error["hint"]) == (2, "usage", True)
    assert (home / "models" / "loras" / "whiskers.safetensors").is_file()
    assert assetctl("rm", "whiskers", "--yes", "--json").data[0]["deleted"]
    assert list((home / "models").rglob("*.safetensors")) == []


class Terminal(io.StringIO):
    """A person at a terminal who types this."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("answer", "code"), [("n\n", 1), ("y\n", 0)])
def test_rm_asks_a_person_before_the_only_copy_goes(assetctl, home, monkeypatch, lora, answer, code):
    assetctl("import", "--move", lora)
    monkeypatch.setattr("sys.stdin", Terminal(answer))
    assert assetctl("rm", "whiskers").code == code
    assert (home / "models" / "loras" / "whiskers.safetensors").exists() == (code == 1)


def test_rm_of_what_is_gone_takes_no_word(assetctl, home, lora):
    assetctl("pull", lora)
    (home / "models" / "loras" / "whiskers.safetensors").unlink()
    assert assetctl("rm", "whiskers").code == 0


def test_rm_of_a_persons_file_takes_a_word_of_theirs(assetctl, monkeypatch, lora):
    assetctl("import", lora)
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    ended = assetctl("rm", "whiskers", "--delete-files", "--json")
    assert (ended.code, ended.error["code"]) == (2, "usage")
    assert lora.is_file()


def test_verify_tells_missing_from_changed(assetctl, tmp_path):
    for seed, name in enumerate(("fine", "gone", "grown", "altered")):
        write_lora(tmp_path / "loras" / f"{name}.safetensors", seed=seed)
    assetctl("import", tmp_path / "loras")
    assert assetctl("verify").code == 0
    (tmp_path / "loras" / "gone.safetensors").unlink()
    with (tmp_path / "loras" / "grown.safetensors").open("ab") as file:
        file.write(b"more")
    altered = tmp_path / "loras" / "altered.safetensors"
    altered.write_bytes(altered.read_bytes()[:-1] + b"\x07")
    ended = assetctl("verify", "--json")
    assert ended.code == 5
    states = {item["name"]: item["status"] for item in ended.data}
    assert states == {"fine": "ok", "gone": "missing", "grown": "changed", "altered": "changed"}


def test_a_quick_verification_tells_what_was_written_to_and_hashes_settle_it(assetctl, lora):
    assetctl("import", lora)
    assert assetctl("verify", "--quick").code == 0
    later = lora.stat().st_mtime_ns + 10**9
    os.utime(lora, ns=(later, later))
    ended = assetctl("verify", "--quick")
    assert ended.code == 5
    assert "changed since" in ended.out
    assert "0 of 1 file" in ended.out
    assert "Without --quick" in ended.err
    assert assetctl("verify").code == 0
    assert assetctl("verify", "--quick").code == 0
    assert "1 unchanged" in assetctl("import", lora).err


def test_check_accepts_what_fits_and_refuses_what_does_not(assetctl, tmp_path):
    write_lora(tmp_path / "loras" / "one.safetensors", "sd1", seed=1)
    write_lora(tmp_path / "loras" / "two.safetensors", "sd1", seed=2)
    write_lora(tmp_path / "loras" / "big.safetensors", "sdxl", seed=3)
    write_embedding(tmp_path / "loras" / "easy.safetensors")
    assetctl("import", tmp_path / "loras")
    fits = assetctl("check", "one:0.7", "two", "easy", "--json")
    assert (fits.code, fits.data["ok"]) == (0, True)
    clash = assetctl("check", "one", "big", "--json")
    assert (clash.code, clash.data["ok"]) == (4, False)
    assert {"rule", "severity", "assets", "message", "hint"} == clash.data["findings"][0].keys()


def test_prompt_shows_segments_and_loras(assetctl):
    data = assetctl("prompt", "a (cat: 0.8) BREAK dog <lora:x:0.5>", "--json").data
    assert data["segments"][1] == ["cat", 0.8]
    assert ["BREAK", -1] in data["segments"]
    assert data["loras"] == {"x": 0.5}


def test_quiet_prints_names_alone(assetctl, lora):
    assetctl("import", lora)
    assert assetctl("list", "--quiet").out == "whiskers\n"


def test_a_second_import_opens_nothing(assetctl, lora):
    assetctl("import", lora)
    lora.chmod(0)
    again = assetctl("import", lora.parent)
    assert (again.code, "1 unchanged" in again.err) == (0, True)


def test_a_changed_file_is_identified_anew_and_keeps_its_name(assetctl, lora):
    (before,) = assetctl("import", lora, "--json").data
    assetctl("edit", "whiskers", "--tag", "cats")
    write_lora(lora, "sdxl", seed=9)
    (after,) = assetctl("import", lora, "--json").data
    assert (after["name"], after["family"], after["tags"]) == ("whiskers", "sdxl", ["cats"])
    assert after["sha256"] != before["sha256"]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_examples(assetctl, command):
    ended = assetctl(command, "--help")
    assert ended.code == 0
    assert re.search(r"\$ assetctl", ended.out)
    assert "--json" in ended.out


@pytest.mark.parametrize("command", COMMANDS)
def test_help_is_shown_as_it_is_written(assetctl, monkeypatch, command):
    monkeypatch.setenv("COLUMNS", "1000")
    known = load(command)
    shown, again = (re.sub(r"[│\s]", "", assetctl(command, "--help").out) for _ in range(2))
    written = [text for each in (known, *known.params) for text in (each.help, getattr(each, "epilog", None)) if text]
    assert [text for text in written if re.sub(r"\s", "", text) not in shown] == []
    assert shown == again


def test_every_command_is_in_the_help(assetctl):
    ended = assetctl("--help")
    assert [name for name in COMMANDS if name not in ended.out] == []
