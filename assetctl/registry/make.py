"""Pictures: made, made again, looked into and remembered."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from assetctl.registry.home import Home, ignore

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from assetctl.catalog import Generation
    from assetctl.operations.make.generate import GenerationResult
    from assetctl.operations.make.inspect_picture import PictureDetails
    from assetctl.operations.make.reproduce import Reproduced, Reproduction
    from assetctl.plan import Backend, Plan, Progress
    from assetctl.registry.home import PathLike
    from assetctl.request import Request
    from assetctl.types import CheckReport


class Make(Home):
    """Pictures: made, made again, looked into and remembered."""

    def plan(
        self,
        request: Request,
    ) -> tuple[Plan, CheckReport]:
        """Make a request exact and check it, and where its pictures would go; nothing is loaded or written."""
        from assetctl.operations.make.generate import find_output_path
        from assetctl.operations.make.plan import resolve

        find_output_path(self._workspace, request.output, count=request.count or 1)
        return resolve(self._workspace, request)

    def generate(
        self,
        request: Request,
        *,
        backend: Backend | None = None,
        progress: Callable[[Progress], None] = ignore,
    ) -> GenerationResult:
        """Make pictures, save them with their parameters inside, and record them.

        Raises:
            InterruptedGenerationError: A `KeyboardInterrupt` that names the pictures done.
            AssetctlError: Likewise, in its `done`.
        """
        from assetctl.generation.diffusers import DiffusersBackend
        from assetctl.operations.make.generate import generate

        plan, report = self.plan(request)
        painter = backend or DiffusersBackend()
        return generate(self._workspace, plan, report, painter, output=request.output, progress=progress)

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

        assetctl's own pictures come out the same on the same device, precision and versions; those of others resemble.

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

    def check_reproduction_path(
        self, reproduction: Reproduction, *, out: PathLike | None = None, force: bool = False
    ) -> None:
        """Find out whether a picture that is made again can be saved there; see `reproduce`.

        Raises:
            UsageError: The file that `out` names is there, or is the original itself.
        """
        from assetctl.operations.make.reproduce import check_output_path

        check_output_path(self._workspace, reproduction, out=None if out is None else Path(out), force=force)

    def find_picture(self, name: str) -> Path | None:
        """The picture file that `name` is the path of, or `None`; one that is registered as an asset is an asset."""
        from assetctl.operations.make.picture_file import find_picture

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
