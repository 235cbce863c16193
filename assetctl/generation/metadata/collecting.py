"""Used assets as they are mentioned here and there in a text, each put together from all its mentions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from assetctl.generation.metadata.parameters import UsedAsset
from assetctl.generation.metadata.values import digits, line, number, stem

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Assets of one picture, and sources of one asset, that are kept.
MAX_ASSETS = 500
_MAX_SOURCES = 20

#: What stands in the place of a name where no file is chosen.
NO_FILE = frozenset({"", "none", "automatic", "auto", "baked vae"})

#: The order in which assets are listed; within a role it is that of the text.
_ROLES = ("checkpoint", "lora", "embedding", "vae", "controlnet", "upscaler", "other")

#: Roles by what others call them.
_OTHER_NAMES = {
    "model": "checkpoint", "main": "checkpoint", "unet": "checkpoint", "diffusionmodel": "checkpoint",
    "lyco": "lora", "lycoris": "lora", "locon": "lora", "dora": "lora",
    "embed": "embedding", "embeddings": "embedding", "textualinversion": "embedding", "ti": "embedding",
}  # fmt: skip


def role_of(value: object) -> str:
    """The role by any of its names; `other` for what is not known."""
    name = (line(value) or "").lower().replace(" ", "").replace("-", "").replace("_", "")
    name = _OTHER_NAMES.get(name, name)
    return name if name in _ROLES else "other"


class Collection:
    """Assets by role and name."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, object], UsedAsset] = {}

    def add(
        self,
        role: str,
        name: object = None,
        *,
        digest: object = None,
        weight: object = None,
        sources: Iterable[str] = (),
    ) -> None:
        """Note one mention; values come as they were found. The longest hash and the first weight count."""
        text = line(name) or ""
        if text.startswith("urn:air:"):  # Civitai's nodes take these for names
            name, sources = None, (text, *sources)
        said = UsedAsset(role, stem(name), digits(digest), number(weight), tuple(sources))
        key = (role, said.name.casefold() if said.name else said.sources)
        if said.name or said.hash or said.sources:
            known = self._found.get(key)
            if known is not None:
                self._found[key] = _joined(known, said)
            elif len(self._found) < MAX_ASSETS:
                self._found[key] = said

    def attach(self, role: str, sources: tuple[str, ...]) -> bool:
        """Give sources to the one asset of a role, if there is exactly one and it has none."""
        keys = [key for key in self._found if key[0] == role]
        if len(keys) != 1 or self._found[keys[0]].sources:
            return False
        self._found[keys[0]] = _joined(self._found[keys[0]], UsedAsset(role, sources=sources))
        return True

    def extend(self, assets: Iterable[UsedAsset]) -> None:
        """Note assets that were put together before."""
        for each in assets:
            self.add(each.role, each.name, digest=each.hash, weight=each.weight, sources=each.sources)

    def assets(self) -> tuple[UsedAsset, ...]:
        """All assets, the checkpoint first."""
        return tuple(sorted(self._found.values(), key=lambda each: _ROLES.index(each.role)))


def _joined(known: UsedAsset, said: UsedAsset) -> UsedAsset:
    return UsedAsset(
        known.role,
        known.name or said.name,
        max(known.hash or "", said.hash or "", key=len) or None,
        said.weight if known.weight is None else known.weight,
        tuple(dict.fromkeys((*known.sources, *said.sources)))[:_MAX_SOURCES],
    )


def civitai_sources(resource: dict[str, Any]) -> tuple[str, ...]:
    """Where a resource of Civitai's comes from: its AIR, or the page of its version."""
    air = line(resource.get("air"))
    if air and air.startswith("urn:air:"):
        return (air,)
    version = resource.get("modelVersionId")
    known = isinstance(version, int) and not isinstance(version, bool) and version > 0
    return (f"https://civitai.com/model-versions/{version}",) if known else ()
