"""Fitting: what can be used with a checkpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assetctl.errors import UsageError

if TYPE_CHECKING:
    from assetctl.operations.workspace import Workspace
    from assetctl.types import Asset


def checkpoint_to_fit(workspace: Workspace, name: str) -> Asset:
    """The checkpoint of this name, path or hash, whose family is known.

    Raises:
        UsageError: It is no checkpoint, or nobody knows its family.
        NotFoundError, AmbiguousNameError: The name.
    """
    asset = workspace.catalog.read.find(name)
    if asset.kind != "checkpoint":
        hint = "Name a checkpoint: `assetctl list --kind checkpoint` shows all."
        raise UsageError(f"{asset.name} is of kind {asset.kind}, and what fits is asked of a checkpoint.", hint)
    if asset.family is None:
        hint = f"If you know it, set it: `assetctl edit {asset.typed} --family sd1`."
        raise UsageError(f"The family of {asset.name} is unknown, so nobody can tell what fits it.", hint)
    return asset
