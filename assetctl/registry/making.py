"""Selections are checked, prompts read, pictures made and made again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from assetctl.registry.home import Home, ignore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from assetctl.compat.check import Rule
    from assetctl.operations.make.generate import GenerationResult
    from assetctl.operations.make.reproduce import Reproduced, Reproduction
    from assetctl.operations.select.prompts import PromptReading
    from assetctl.operations.select.selection import Choice
    from assetctl.plan import Backend, GenerationRequest, Plan, Progress
    from assetctl.registry.home import PathLike
    from assetctl.types import CheckReport


class Making(Home):
    """Selections are checked, prompts read, pictures made and made again."""

    def check(self, choice: Choice) -> CheckReport:
        """Whether a selection can work together."""
        from assetctl.operations.select.check import check

        return check(self._workspace, choice)

    def rules(self) -> Sequence[Rule]:
        """What `check` looks for, by name."""
        from assetctl.compat.check import list_rules

        return list_rules()

    def prompt(self, text: str, *, checkpoint: str | None = None, embeddings: Iterable[str] = ()) -> PromptReading:
        """How a prompt is read: its segments, LoRAs, embeddings, and the chunks of 75 tokens that it takes.

        Works without a catalog, and makes none.

        Raises:
            NotFoundError, AmbiguousNameError: The checkpoint or an embedding.
            FileError: The checkpoint's tokenizer, or an embedding's file, is damaged.
        """
        from assetctl.operations.select.prompts import read_prompt

        return read_prompt(self._workspace, text, checkpoint=checkpoint, embeddings=embeddings)

    def plan(
        self,
        request: GenerationRequest,
        choice: Choice,
        *,
        out: PathLike | None = None,
        format: str | None = None,  # noqa: A002 - what it is called everywhere
        force: bool = False,
    ) -> tuple[Plan, CheckReport]:
        """Make a request exact and check it, and where its pictures would go; nothing is loaded or written."""
        from assetctl.operations.make.generate import find_target
        from assetctl.operations.make.plan import plan_generation

        planned = plan_generation(self._workspace, request, choice)
        target = self._workspace.settings.outputs if out is None else Path(out)
        find_target(target, format, count=request.count, force=force)
        return planned

    def generate(
        self,
        request: GenerationRequest,
        choice: Choice,
        *,
        out: PathLike | None = None,
        format: str | None = None,  # noqa: A002 - what it is called everywhere
        force: bool = False,
        backend: Backend | None = None,
        progress: Callable[[Progress], None] = ignore,
    ) -> GenerationResult:
        """Make pictures, save them with their parameters inside, and record them.

        `out` is a folder or the first picture's name, `format` one of `png`, `jpg` and `webp`: what the
        name says unless given, and else PNG. A file of that name is an error, unless `force` replaces it.

        Raises:
            InterruptedGenerationError: A `KeyboardInterrupt` that names the pictures done.
            AssetctlError: Likewise, in its `done`.
        """
        from assetctl.generation.diffusers import DiffusersBackend
        from assetctl.operations.make.generate import generate

        plan, report = self.plan(request, choice, out=out, format=format, force=force)
        target, painter = None if out is None else Path(out), backend or DiffusersBackend()
        return generate(
            self._workspace, plan, report, painter, out=target, format=format, force=force, progress=progress
        )

    def plan_reproduction(
        self, picture: PathLike | int, *, other_bytes: bool = False, backend: Backend | None = None
    ) -> Reproduction:
        """Say how a picture would be made again, and what would differ; see `reproduce`."""
        from assetctl.generation.diffusers import DiffusersBackend
        from assetctl.operations.make.reproduce import plan_reproduction

        painter = backend or DiffusersBackend()
        return plan_reproduction(self._workspace, str(picture), painter, other_bytes=other_bytes)

    def reproduce(
        self,
        picture: PathLike | int | Reproduction,
        *,
        out: PathLike | None = None,
        force: bool = False,
        other_bytes: bool = False,
        backend: Backend | None = None,
        progress: Callable[[Progress], None] = ignore,
    ) -> Reproduced:
        """Make a picture again and compare it with its original.

        assetctl's own pictures come out the same where the surroundings are; those of other programs resemble.

        Args:
            picture: A picture file, a number of the history, or what `plan_reproduction` returned.
            out: A folder, or the new picture's name; the outputs folder unless given.
            force: Replace the file that `out` names.
            other_bytes: Take assets of the right name where the files themselves are not here.
            backend: Who makes it; diffusers unless given.
            progress: Told of every step.

        Raises:
            NotFoundError: There is no such picture, it does not say how it was made, or an asset is missing.
            HashMismatchError: An asset is here by its name alone.
        """
        from assetctl.generation.diffusers import DiffusersBackend
        from assetctl.operations.make.reproduce import Reproduction, reproduce

        painter = backend or DiffusersBackend()
        if not isinstance(picture, Reproduction):
            picture = self.plan_reproduction(picture, other_bytes=other_bytes, backend=painter)
        target = None if out is None else Path(out)
        return reproduce(self._workspace, picture, painter, out=target, force=force, progress=progress)

    def check_reproduction_target(
        self, reproduction: Reproduction, *, out: PathLike | None = None, force: bool = False
    ) -> None:
        """Find out whether a picture that is made again can be saved there; see `reproduce`.

        Raises:
            UsageError: The file that `out` names is there, or is the original itself.
        """
        from assetctl.operations.make.reproduce import check_target

        check_target(self._workspace, reproduction, out=None if out is None else Path(out), force=force)
