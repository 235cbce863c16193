"""What is here, and what could be had: reading alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from assetctl.registry.home import Home, ignore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from assetctl.catalog import Generation
    from assetctl.errors import CatalogError
    from assetctl.operations.acquire.search import Offer
    from assetctl.operations.make.inspect_picture import PictureDetails
    from assetctl.registry.home import PathLike
    from assetctl.sources.base import FetchProgress
    from assetctl.types import Asset, AssetDetails


class Finding(Home):
    """What is here, and what could be had: reading alone."""

    def get(self, name: str) -> Asset:
        """The asset of this name, path, or hash from six digits up.

        Raises:
            NotFoundError, AmbiguousNameError: There is none, or there are several.
        """
        return self._workspace.catalog.read.find(name)

    def list(
        self,
        *,
        kind: str | None = None,
        family: str | None = None,
        base_model: str | None = None,
        tags: Iterable[str] = (),
        in_store: bool | None = None,
        limit: int | None = None,
        damaged: Callable[[CatalogError], None] | None = None,
        **filters: str | None,
    ) -> list[Asset]:
        """Assets in the order of their names, `limit` at most; filters add up, and ignore case.

        Raises:
            CatalogError: What is kept of one is damaged; who asks to be told of those that are `damaged` gets the rest.
        """
        filters |= {"kind": kind, "family": family, "base_model": base_model}
        catalog = self._workspace.catalog
        read = catalog.read if damaged is None else catalog.read_around(damaged)
        return read.assets(tags=tags, in_store=in_store, limit=limit, **filters)

    def fitting(
        self,
        checkpoint: str,
        *,
        tags: Iterable[str] = (),
        in_store: bool | None = None,
        limit: int | None = None,
        **filters: str | None,
    ) -> Sequence[tuple[Asset, str]]:
        """LoRAs, embeddings, VAEs and ControlNets that can be used with a checkpoint, best first, and how well.

        How well is `same base model`, `same family`, `same latents` (a VAE of a family that shares them),
        `other lineage`, or `perhaps` (a VAE whose file leaves several families open). What its header proves not to
        fit is left out.

        Raises:
            UsageError: It is no checkpoint, or nobody knows its family.
            NotFoundError, AmbiguousNameError: There is none, or there are several.
        """
        from assetctl.operations.select.check import fitting

        return fitting(self._workspace, checkpoint, tags=tags, in_store=in_store, limit=limit, **filters)

    def count(
        self,
        most: int,
        *,
        fits: str | None = None,
        tags: Iterable[str] = (),
        in_store: bool | None = None,
        **filters: str | None,
    ) -> int:
        """How many assets `list` would give, or at most `fitting` for a checkpoint; `most` if there are more."""
        read = self._workspace.catalog.read
        if fits is None:
            return read.count(most, tags=tags, in_store=in_store, **filters)
        return read.count_fitting(self.get(fits), most, tags=tags, in_store=in_store, **filters)

    def families(self) -> Sequence[str]:
        """Names of all families that can be identified."""
        from assetctl.identify.identification import families

        return [family.name for family in families()]

    def base_models(self) -> Sequence[str]:
        """Names of all base models that can be told, in Civitai's spelling."""
        from assetctl.operations.library.edit import base_models

        return base_models()

    def search(self, text: str, *, limit: int | None = None, **filters: str | None) -> Sequence[Asset]:
        """Assets whose names, trigger words, tags or notes hold words that begin like those of `text`, best first."""
        return self._workspace.catalog.read.search(text, limit=limit, **filters)

    def count_matches(self, text: str, **filters: str | None) -> int:
        """How many assets `search` would find, counted up to 1,001."""
        return self._workspace.catalog.read.count_matches(text, **filters)

    def search_source(
        self, source: str, query: str, *, kind: str | None = None, family: str | None = None, limit: int = 20
    ) -> Sequence[Offer]:
        """Models at a source, `huggingface` or `civitai`, and which of them are here.

        Raises:
            UsageError: No source of this name can be searched.
            SourceError: It can not be reached.
        """
        from assetctl.operations.acquire.search import search_source

        return search_source(self._workspace, source, query, kind=kind, family=family, limit=limit)

    def inspect(
        self, name: str, *, hashes: bool | None = None, report: Callable[[FetchProgress], None] = ignore
    ) -> AssetDetails:
        """Everything that is known of an asset.

        Hashes that were left for later are computed if `hashes` is true, and by itself of what is small.
        """
        from assetctl.operations.library.inspect_asset import inspect_asset

        return inspect_asset(self._workspace, name, hashes=hashes, report=report)

    def find_picture(self, name: str) -> Path | None:
        """The picture file that `name` is the path of, or `None`; one that is registered as an asset is an asset."""
        from assetctl.operations.make.inspect_picture import find_picture

        return find_picture(self._workspace, name)

    def inspect_picture(self, path: PathLike, *, hashes: bool | None = None) -> PictureDetails:
        """What a PNG, JPEG or WebP picture says of how it was made, and which of its assets are here.

        Of assets that go by the right name, hashes that were left for later are computed if `hashes` is true, and by
        itself of what is small.

        Raises:
            FileError: It is no such picture, or is damaged.
        """
        from assetctl.operations.make.inspect_picture import inspect_picture

        return inspect_picture(self._workspace, Path(path), hashes=hashes)

    def history(
        self,
        limit: int | None = 20,
        *,
        used: str | None = None,
        prompt: str | None = None,
        seed: int | None = None,
        since: str | None = None,
    ) -> Sequence[Generation]:
        """The pictures that were made, newest first, without their records; conditions add up.

        Args:
            limit: How many at most; `None` for all.
            used: An asset that took part, by name, path or hash; or by the name of one that is gone.
            prompt: Words that occur in the prompt.
            seed: Exactly this one.
            since: A date or time in ISO 8601, or `12h`, `7d`, `2w`, `3m`, `1y` ago.
        """
        from assetctl.operations.make.history import history

        return history(self._workspace, used=used, prompt=prompt, seed=seed, since=since, limit=limit)

    def generation(self, number: int) -> Generation:
        """One picture of the history, with its record.

        Raises:
            NotFoundError: No picture has this number.
        """
        from assetctl.operations.make.history import made_picture

        return made_picture(self._workspace, number)
