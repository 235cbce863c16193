"""Bad input: one sentence, one hint, one exit code, and nothing changed."""

from __future__ import annotations

import os
import resource
import signal
import sqlite3
import subprocess
import sys
import time

import pytest
from compat.sparse import write_sparse
from material import write_lora
from patience import fair

from assetctl.catalog import Catalog

SAFETENSORS = "x.safetensors"


def snapshot(home) -> dict[str, bytes]:
    """Every file of the home that could lose something, by name."""
    files = [path for path in home.rglob("*") if path.is_file() and not path.name.endswith(("-shm", "-wal", ".lock"))]
    return {str(path.relative_to(home)): path.read_bytes() for path in files}


def truncated(path):
    write_lora(path)
    path.write_bytes(path.read_bytes()[:-100])


def empty(path):
    path.write_bytes(b"")


def lfs_pointer(path):
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:" + "a" * 64 + "\nsize 12345\n")


def web_page(path):
    path.write_text("<!DOCTYPE html><html><title>Log in</title></html>")


def pickle(path):
    path.write_bytes(b"\x80\x04\x95\x0b\x00\x00\x00\x00\x00\x00\x00}\x94.")


def excuse(path):
    path.write_text("Sorry, this model wants \u2019early access\u2019.\nCome back on Friday.\n")


def noise(path):
    path.write_bytes(b"\xff" * 5000)


FILES = {
    truncated: "file_corrupt",
    empty: "file_refused",
    lfs_pointer: "file_refused",
    web_page: "file_refused",
    pickle: "file_refused",
    excuse: "file_refused",
    noise: "file_corrupt",
}


@pytest.mark.parametrize("command", ["identify", "import", "pull"])
@pytest.mark.parametrize(("make", "code"), FILES.items(), ids=lambda value: getattr(value, "__name__", value))
def test_a_bad_file_is_refused_and_changes_nothing(assetctl, home, tmp_path, command, make, code):
    Catalog(home / "catalog.db").close()
    before = snapshot(home)
    make(tmp_path / SAFETENSORS)
    plain = assetctl(command, tmp_path / SAFETENSORS)
    assert plain.code == 5
    assert plain.err.count("error: ") == 1
    assert plain.err.count("hint: ") == 1
    assert SAFETENSORS in plain.err
    ended = assetctl(command, tmp_path / SAFETENSORS, "--json")
    reported = ended.data[0]["error"] if command == "identify" else ended.error
    assert (ended.code, reported["code"]) == (5, code)
    assert snapshot(home) == before


@pytest.mark.parametrize("command", ["identify", "import", "pull"])
def test_a_path_that_is_not_there(assetctl, command):
    ended = assetctl(command, "./nowhere.safetensors", "--json")
    reported = ended.data[0]["error"] if command == "identify" else ended.error
    assert (ended.code, reported["code"]) == (3, "not_found")


@pytest.mark.parametrize("bad", ["torn.safetensors", "nowhere.safetensors"])
def test_a_named_file_that_can_not_be_identified_counts_beside_good_ones(assetctl, tmp_path, bad):
    good = write_lora(tmp_path / "good.safetensors")
    (tmp_path / "torn.safetensors").write_bytes(good.read_bytes()[:100])
    ended = assetctl("identify", tmp_path / bad, good, "--json")
    assert ended.code == 5
    assert {each["path"].rpartition("/")[2]: each["error"] is None for each in ended.data} == {
        bad: False, "good.safetensors": True,
    }  # fmt: skip
    ended = assetctl("identify", tmp_path / bad, good)
    assert (ended.code, "good.safetensors" in ended.out) == (5, True)
    assert ended.err.count("warning: ") == 1
    assert bad in ended.err
    assert assetctl("identify", tmp_path).code == 0


def test_a_folder_can_not_be_pulled(assetctl, tmp_path):
    (tmp_path / "folder").mkdir()
    ended = assetctl("pull", tmp_path / "folder", "--json")
    assert ended.code == 5
    assert "assetctl import" in ended.error["hint"]


@pytest.mark.parametrize(
    "arguments",
    [("inspect", "nobody"), ("edit", "nobody", "--tag", "x"), ("rm", "nobody"), ("check", "nobody"),
     ("verify", "nobody"), ("generate", "a cat", "--checkpoint", "nobody", "--dry-run"),
     ("generate", "a cat", "--dry-run")],
)  # fmt: skip
def test_an_unknown_name(assetctl, arguments):
    ended = assetctl(*arguments, "--json")
    assert (ended.code, ended.error["code"]) == (3, "not_found")
    assert ended.error["hint"]


@pytest.mark.parametrize(
    "arguments",
    [("list", "--nonsense"), ("nonsense",), ("inspect",), ("pull",), ("search", "***"), ("list", "--kind", "loras"),
     ("pull", "htp://what"), ("generate", "x", "--size", "wide")],
)  # fmt: skip
def test_wrong_usage(assetctl, arguments):
    ended = assetctl(*arguments, "--json")
    assert (ended.code, ended.error["code"]) == (2, "usage")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(("list", "--limit", "few"), "'few' is no whole number"), (("check", "--cfg", "high"), "'high' is no number"),
     (("generate", "x", "--steps", "1.5"), "'1.5' is no whole number")],
)  # fmt: skip
def test_a_wrong_value_is_told_in_plain_words(assetctl, arguments, said):
    assert said in assetctl(*arguments, "--json").error["message"]


def test_a_mistyped_command_suggests_the_near_one(assetctl):
    assert "assetctl inspect" in assetctl("inspct", "demo", "--json").error["hint"]


def test_a_catalog_that_is_not_sqlite(assetctl, home):
    home.mkdir()
    (home / "catalog.db").write_text("my diary, " * 100)
    ended = assetctl("list", "--json")
    assert (ended.code, ended.error["code"]) == (1, "catalog_error")
    assert (home / "catalog.db").read_text().startswith("my diary")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_a_home_whose_path_is_no_text_is_told(assetctl, home, tmp_path, monkeypatch):
    lora = write_lora(tmp_path / "lora.safetensors")
    monkeypatch.setenv("ASSETCTL_HOME", os.fsdecode(os.fsencode(home) + b"\xff"))
    for arguments in (["pull", lora], ["list"], ["verify"]):
        ended = assetctl(*arguments, "--json")
        assert (ended.code, ended.error["code"]) == (2, "usage")
        assert "is no valid text" in ended.error["message"]


def test_another_programs_home_gets_no_trash(assetctl, home):
    home.mkdir()
    (home / "catalog.db").write_text("my diary, not a database")
    assert assetctl("trash", "empty", "--yes").code == 0
    assert [path.name for path in home.iterdir()] == ["catalog.db"]


def test_a_broken_configuration_names_the_key(assetctl, home):
    home.mkdir()
    (home / "config.toml").write_text("dtpye = 'bf16'")
    ended = assetctl("list", "--json")
    assert ended.code == 2
    assert "dtpye" in ended.error["message"]


@pytest.mark.parametrize("arguments", [["list"], ["list", "--json"], ["check", "--rules"], ["--help"]])
def test_a_reader_that_has_seen_enough_is_no_failure(home, assetctl, tmp_path, arguments):
    assetctl("import", write_lora(tmp_path / "whiskers.safetensors"))
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "assetctl", *arguments]
    ended = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_nothing_at_all_asks_for_help(assetctl):
    ended = assetctl()
    assert (ended.code, ended.err) == (0, "")
    assert "Usage: assetctl" in ended.out


def start(home, *arguments, **options):
    environment = {**os.environ, "ASSETCTL_HOME": str(home)}
    return subprocess.Popen(
        [sys.executable, "-m", "assetctl", *map(str, arguments)],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options,
    )  # fmt: skip


@pytest.mark.parametrize("arguments", ["list", "list --json", "inspect nobody"])
@pytest.mark.parametrize("where", ["> /dev/full", ">&-", "2>&-"])
@pytest.mark.parametrize("unbuffered", [{}, {"PYTHONUNBUFFERED": "1"}], ids=["buffered", "unbuffered"])
def test_results_that_can_not_be_written_are_told_in_one_sentence(assetctl, tmp_path, arguments, where, unbuffered):
    assetctl("import", write_lora(tmp_path / "whiskers.safetensors"))
    command = f"{sys.executable} -m assetctl {arguments} {where}"
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"} | unbuffered
    ended = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False, env=environment)
    if where == "2>&-":
        assert ended.returncode == (3 if "nobody" in arguments else 0)
    elif "nobody" not in arguments:
        assert (ended.returncode, ended.stderr.count("error: ")) == (1, 1), ended.stderr
        assert "cannot be written" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "Exception ignored" not in ended.stderr


def test_a_full_disk_is_told_and_leaves_nothing_half_done(assetctl, home, tmp_path):
    Catalog(home / "catalog.db").close()
    before = snapshot(home)
    lora = write_lora(tmp_path / "big.safetensors", rank=64)

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    process = start(home, "pull", lora, preexec_fn=limit)
    _, err = process.communicate(timeout=fair(60))
    assert process.returncode == 1, err
    assert err.count("error: ") == 1
    assert "Traceback" not in err
    stored = [path for path in (home / "models").rglob("*.safetensors") if ".staging" not in path.parts]
    assert stored == []
    assert snapshot(home)["catalog.db"] == before["catalog.db"]
    assert assetctl("pull", lora).code == 0


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read and write everything")
def test_no_permission(assetctl, tmp_path):
    lora = write_lora(tmp_path / SAFETENSORS)
    lora.chmod(0)
    assert assetctl("import", lora).code == 1


def test_ctrl_c_ends_with_130_and_the_next_run_goes_on(home, assetctl, tmp_path):
    folder = tmp_path / "loras"
    for number in range(4):
        rows = (4 + number) * 2**30 // 1536  # more than is hashed before the signal comes
        write_sparse(folder / f"{number}.safetensors", {"emb_params": [rows, 768]})
    process = start(home, "import", folder)
    deadline = time.monotonic() + fair(30)
    while time.monotonic() < deadline and not registered(home):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=fair(30))
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert err.count("error: ") == 1
    assert len(assetctl("list", "--json").data) == 4
    again = assetctl("import", folder, "--no-hash")
    assert "4 unchanged" in again.err


def test_a_manifest_is_written_whole_or_not_at_all(assetctl, home, tmp_path):
    assetctl("import", write_lora(tmp_path / "whiskers.safetensors"))
    assetctl("edit", "whiskers", "--notes", "x" * 200_000)

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    out = tmp_path / "out" / "registry.toml"
    out.parent.mkdir()
    process = start(home, "export", "-o", out, preexec_fn=limit)
    _, err = process.communicate(timeout=fair(60))
    assert (process.returncode, err.count("error: ")) == (1, 1), err
    assert list(out.parent.iterdir()) == []
    assert assetctl("export", "-o", out).code == 0
    assert "x" * 200_000 in out.read_text()


def registered(home) -> bool:
    try:
        with sqlite3.connect(home / "catalog.db", timeout=0.1) as connection:
            return connection.execute("SELECT count(*) FROM assets").fetchone()[0] == 4
    except sqlite3.Error:
        return False


@pytest.mark.parametrize("command", ["inspect", "check"])
def test_a_file_that_is_not_in_the_catalog_can_be_identified_or_imported(assetctl, tmp_path, command):
    path = write_lora(tmp_path / "my whiskers.safetensors")
    ended = assetctl(command, path)
    assert ended.code == 3
    assert f"{path} is a file, and not in the catalog" in ended.err
    assert f"assetctl import '{path}'" in ended.err
    assert f"assetctl identify '{path}'" in ended.err
