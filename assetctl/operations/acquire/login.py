"""Logins: tokens that the system's keyring keeps, and which of them are there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from assetctl import sources
from assetctl.errors import UsageError
from assetctl.sources.base import TakesTokens

if TYPE_CHECKING:
    from assetctl.operations.workspace import Workspace


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
    place = _place(workspace, source)
    token = token.strip()
    if not token:
        raise UsageError("No token was given.", f"Paste it, or: `assetctl login {source} < FILE`.")
    user = place.user(sources.checked_token(token, "what was given"))
    sources.keep_token(place.name, token)
    return Login(place.name, "the system's keyring", user)


def logout(workspace: Workspace, source: str) -> bool:
    """Forget a token; whether the keyring had one.

    Raises:
        UsageError: The source takes no tokens.
    """
    return sources.forget_token(_place(workspace, source).name)


def logins() -> list[Login]:
    """Which sources there is a token for; none of them is asked."""
    found = []
    for source in sources.VARIABLES:
        token = sources.find_token(source)
        found.append(Login(source, sources.where_else(source) if token is None else token[1]))
    return found


def _place(workspace: Workspace, source: str) -> TakesTokens:
    places = sources.capable(TakesTokens, workspace.settings, source)
    if not places:
        raise UsageError(f"There is no source {source!r} that takes a token.", "Name civitai or hf.")
    return places[0]
