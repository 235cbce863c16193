"""Whether assets work together, and what a prompt comes to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assetctl.registry.home import Home

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from assetctl.compat.check import Rule
    from assetctl.operations.select.prompts import PromptReading
    from assetctl.request import Request
    from assetctl.types import Asset, CheckReport


class Select(Home):
    """Whether assets work together, and what a prompt comes to."""

    def check(self, request: Request, *, commercial: bool = False) -> CheckReport:
        """Whether what a request names can work together; `commercial` asks the licences too."""
        from assetctl.operations.select.check import check

        return check(self._workspace, request, commercial=commercial)

    def rules(self) -> Sequence[Rule]:
        """What `check` looks for, by name."""
        from assetctl.compat.check import list_rules

        return list_rules()

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

    def prompt(self, text: str, *, checkpoint: str | None = None, embeddings: Iterable[str] = ()) -> PromptReading:
        """How a prompt is read: its segments, LoRAs, embeddings, and the chunks of 75 tokens that it takes.

        Works without a catalog, and makes none.

        Raises:
            NotFoundError, AmbiguousNameError: The checkpoint or an embedding.
            FileError: The checkpoint's tokenizer, or an embedding's file, is damaged.
        """
        from assetctl.operations.select.prompts import read_prompt

        return read_prompt(self._workspace, text, checkpoint=checkpoint, embeddings=embeddings)
