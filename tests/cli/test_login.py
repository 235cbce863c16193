"""Tokens: kept in the keyring, used for their own host alone, and written nowhere."""

from __future__ import annotations

import io

import keyring
import pytest
from keyring.backend import KeyringBackend
from material import write_lora

from assetctl import sources


class Keyring(KeyringBackend):
    """A keyring in memory."""

    priority = 1

    def __init__(self):
        self.kept = {}
        self.asked = 0

    def get_password(self, service, username):
        self.asked += 1
        return self.kept.get((service, username))

    def set_password(self, service, username, password):
        self.kept[service, username] = password

    def delete_password(self, service, username):
        if self.kept.pop((service, username), None) is None:
            raise keyring.errors.PasswordDeleteError


@pytest.fixture(autouse=True)
def notes(tmp_path, monkeypatch):
    """The folder where logins are noted."""
    monkeypatch.setattr("platformdirs.user_config_dir", lambda *_, **__: str(tmp_path / "config"))
    return tmp_path / "config" / "logins"


@pytest.fixture
def ring():
    before, ours = keyring.get_keyring(), Keyring()
    keyring.set_keyring(ours)
    sources._kept.cache_clear()
    yield ours
    keyring.set_keyring(before)
    sources._kept.cache_clear()


@pytest.fixture
def typed(monkeypatch):
    return lambda text: monkeypatch.setattr("sys.stdin", io.StringIO(text))


def test_a_token_is_kept_used_and_forgotten(assetctl, home, civitai, ring, typed, tmp_path):
    content = write_lora(tmp_path / "w.safetensors", "sdxl").read_bytes()
    civitai.add(7, 42, ("whiskers.safetensors", content))
    civitai.private.add(42)
    assert assetctl("pull", "civitai:7").code == 6

    typed(civitai.token + "\n")
    ended = assetctl("login", "civitai")
    assert "logged in as ann" in ended.out
    assert civitai.token not in ended.out + ended.err
    assert assetctl("pull", "civitai:7").code == 0
    assert {token for server, _, token in civitai.requests if server == "storage"} == {None}
    written = b"".join(path.read_bytes() for path in home.rglob("*") if path.is_file())
    assert civitai.token.encode() not in written

    assert assetctl("login", "--json").data[0] == {
        "source": "civitai", "where": "the system's keyring", "user": None,
    }  # fmt: skip
    assert assetctl("logout", "civitai", "--json").data["forgotten"]
    assert ring.kept == {}
    assert not assetctl("logout", "civitai", "--json").data["forgotten"]


def test_the_hub_takes_a_kept_token_where_its_own_client_has_none(assetctl, hub, ring, typed, tmp_path, monkeypatch):
    content = write_lora(tmp_path / "w.safetensors", "sdxl").read_bytes()
    hub.add("ann/cats", {"whiskers.safetensors": content}, private=True)
    typed(hub.token)
    assert assetctl("login", "hf", "--json").data["user"] == "ann"
    assert assetctl("pull", "hf://ann/cats").code == 0
    assert not any("authorization" in request.headers for request in hub.requests if request.server == "cdn")
    monkeypatch.setenv("HF_TOKEN", "hf_other")
    assert assetctl("pull", "hf://ann/cats/whiskers.safetensors").code == 6


def test_a_keyring_is_asked_only_by_those_who_logged_in(assetctl, civitai, ring, typed, notes, tmp_path):
    civitai.add(7, 42, ("whiskers.safetensors", write_lora(tmp_path / "w.safetensors", "sdxl").read_bytes()))
    assert assetctl("pull", "civitai:7").code == 0
    assert ring.asked == 0
    typed(civitai.token)
    assert assetctl("login", "civitai").code == 0
    assert [path.read_bytes() for path in notes.iterdir()] == [b""]
    assert assetctl("logout", "civitai").code == 0
    assert list(notes.iterdir()) == []


def test_a_login_that_can_not_be_noted_is_not_kept(assetctl, civitai, ring, typed, notes):
    notes.parent.write_text("no folder")
    typed(civitai.token)
    ended = assetctl("login", "civitai")
    assert ended.code == 1
    assert "CIVITAI_API_TOKEN" in ended.err
    assert ring.kept == {}


@pytest.mark.parametrize(
    ("source", "token", "code", "words"),
    [
        ("civitai", "wrong", 6, "may not have it"),
        ("hf", "wrong", 6, "does not know this token"),
        ("civitai", "  \n", 2, "No token was given"),
        ("civitai", "two words", 6, "no token has"),
        ("path", "x", 2, "takes a token"),
    ],
)
def test_what_is_no_token_is_not_kept(assetctl, civitai, hub, ring, typed, source, token, code, words):
    typed(token)
    ended = assetctl("login", source)
    assert ended.code == code
    assert words in ended.err
    assert token.strip() == "" or f"{token} " not in ended.err
    assert ring.kept == {}


def test_a_machine_without_a_keyring_says_what_to_do(assetctl, civitai, typed, notes):
    sources._kept.cache_clear()
    typed(civitai.token)
    ended = assetctl("login", "civitai")
    assert ended.code == 1
    assert "CIVITAI_API_TOKEN" in ended.err
    assert [login["where"] for login in assetctl("login", "--json").data] == [None, None]
    assert not notes.exists()
