"""Tokens: from the environment or the system's keyring, which also keeps them."""

from __future__ import annotations

import contextlib
import os
from functools import cache
from pathlib import Path

from assetctl.errors import StorageError, UnauthorizedError

#: Under this name the keyring shows our entries to people.
_ENTRY = "assetctl"

#: Where each source's token is looked for first.
VARIABLES = {"civitai": "CIVITAI_API_TOKEN", "huggingface": "HF_TOKEN"}


def find_token(source: str) -> tuple[str, str] | None:
    """The token for a source and where it is from, or `None`.

    Raises:
        UnauthorizedError: It has characters that cannot be sent.
    """
    variable = VARIABLES[source]
    token, where = os.environ.get(variable, "").strip(), variable
    if not token:
        token, where = _kept(source) or "", "the system's keyring"
    return (checked_token(token, where), where) if token else None


def checked_token(token: str, where: str) -> str:
    """`token`, if it can be one; it is not repeated in the message otherwise.

    Raises:
        UnauthorizedError: It has characters that cannot be sent.
    """
    if not token.isascii() or not token.isprintable() or " " in token:
        raise UnauthorizedError(f"The token of {where} has characters that no token has.", f"Mend {where}.")
    return token


def keep_token(source: str, token: str) -> None:
    """Put a token into the system's keyring.

    Raises:
        StorageError: There is no keyring, or it refuses.
    """
    import keyring  # noqa: PLC0415 - 100 ms that only logins pay
    from keyring.errors import KeyringError  # noqa: PLC0415

    try:
        keyring.set_password(_ENTRY, source, token)
    except KeyringError as error:
        raise StorageError(
            "There is no keyring on this machine that could keep the token.",
            f"Set {VARIABLES[source]} instead: nothing was kept.",
        ) from error
    if _ask(source) != token:  # the null keyring takes everything and keeps nothing
        raise StorageError("The keyring of this machine did not keep the token.", f"Set {VARIABLES[source]} instead.")
    note = _note(source)
    try:
        note.parent.mkdir(parents=True, exist_ok=True)
        note.touch()
    except OSError as error:
        forget_token(source)  # nobody would ask for it
        message = f"{note} cannot be written: {error.strerror}."
        raise StorageError(message, f"Set {VARIABLES[source]} instead: nothing was kept.") from error
    _kept.cache_clear()


def forget_token(source: str) -> bool:
    """Whether the keyring had a token, which is gone now."""
    import keyring  # noqa: PLC0415 - as above
    from keyring.errors import KeyringError  # noqa: PLC0415

    had = _ask(source) is not None
    with contextlib.suppress(KeyringError):
        keyring.delete_password(_ENTRY, source)
    with contextlib.suppress(OSError):
        _note(source).unlink(missing_ok=True)
    _kept.cache_clear()
    return had


@cache
def _kept(source: str) -> str | None:
    """What the keyring has, if it was ever given something."""
    return _ask(source) if os.path.exists(_note(source)) else None  # noqa: PTH110 - a folder that is closed has none


def _ask(source: str) -> str | None:
    """What the keyring has; a machine without one has nothing."""
    import keyring  # noqa: PLC0415 - as above

    try:
        return keyring.get_password(_ENTRY, source) or None
    except Exception:  # noqa: BLE001 - none, locked or broken: what is for everyone must come all the same
        return None


def _note(source: str) -> Path:
    """The empty file that says that the keyring has a token for a source."""
    import platformdirs  # noqa: PLC0415 - as above

    return Path(platformdirs.user_config_dir("assetctl", appauthor=False)) / "logins" / source


def where_else(source: str) -> str | None:
    """Where else a source's own tools keep a token, if they do: the Hub's client has a login of its own."""
    if source != "huggingface":
        return None
    from huggingface_hub import get_token  # noqa: PLC0415 - costs 200 ms

    return "a login of the Hub's own tools" if get_token() else None
