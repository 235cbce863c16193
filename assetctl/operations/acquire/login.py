"""Logins: tokens that the system's keyring keeps, and which of them are there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from assetctl.errors import UsageError
from assetctl.sources import guarded

if TYPE_CHECKING:
    from assetctl.operations.workspace import Workspace
    from assetctl.sources.base import Guarded


@dataclass(frozen=True, slots=True)
class Login:
    """A source that takes tokens.

    Attributes:
        source: Its name.
        where: What the token is from: a variable, a login of the Hub's, or the keyring; `None` if there is none.
        user: Whose it is, where the source was asked.
    """

    source: str
    where: str | None
    user: str | None = None


@dataclass(frozen=True, slots=True)
class Logout:
    """A source whose token is `forgotten`, or had none."""

    source: str
    forgotten: bool


def login(workspace: Workspace, source: str, token: str) -> Login:
    """Keep a token, once the source was seen to know it.

    Raises:
        UsageError: The source takes no tokens, or this cannot be one.
        UnauthorizedError: The source does not know it.
        SourceError: The source cannot be reached.
        StorageError: There is no keyring.
    """
    from assetctl.sources import _web  # noqa: PLC0415 - only here

    place = _place(workspace, source)
    token = token.strip()
    if not token:
        raise UsageError("No token was given.", f"Paste it, or: `assetctl login {source} < FILE`.")
    user = place.user(_web.checked_token(token, "what was given"))
    _web.keep_token(place.name, token)
    return Login(place.name, "the system's keyring", user)


def logout(workspace: Workspace, source: str) -> bool:
    """Forget a token; whether the keyring had one.

    Raises:
        UsageError: The source takes no tokens.
    """
    from assetctl.sources import _web  # noqa: PLC0415 - as above

    return _web.forget_token(_place(workspace, source).name)


def logins() -> list[Login]:
    """Which sources there is a token for; none of them is asked."""
    from assetctl.sources import _web  # noqa: PLC0415 - as above

    found = []
    for source in _web.VARIABLES:
        token = _web.find_token(source)
        found.append(Login(source, _web.where_else(source) if token is None else token[1]))
    return found


def _place(workspace: Workspace, source: str) -> Guarded:
    place = guarded(source, workspace.settings)
    if place is None:
        raise UsageError(f"There is no source {source!r} that takes a token.", "Name civitai or hf.")
    return place
