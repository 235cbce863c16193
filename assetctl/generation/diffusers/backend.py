"""The diffusers backend. Importing this module is cheap; torch comes with the first picture."""

from __future__ import annotations

import importlib.util
import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from assetctl.errors import MissingExtraError
from assetctl.plan import Picture, Progress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from assetctl.generation.diffusers.session import Loaded
    from assetctl.plan import Plan

_PACKAGES = ("torch", "diffusers", "transformers", "peft", "accelerate", "PIL")


class DiffusersBackend:
    """Makes pictures with diffusers pipelines, on the CPU or a GPU.

    A picture is a function of its plan, its seed and its environment: every seed runs alone, with its own
    scheduler and a generator on the CPU. What was loaded for one plan is kept for the next, as long as that
    names the same assets.
    """

    name = "diffusers"

    def __init__(self) -> None:
        self._loaded: Loaded | None = None

    def environment(self, device: str, dtype: str, threads: int | None) -> dict[str, str]:
        """What a picture that is made here would record, asked for this device, precision and number of threads.

        What cannot be had here is replaced by what can, as `auto` would. Loads torch, and no more.

        Raises:
            MissingExtraError: torch, diffusers or what they need is not installed.
        """
        _require_packages()
        with _loading_libraries():
            from assetctl.generation.diffusers.runtime import (  # noqa: PLC0415 - torch
                describe,
                nearest,
                using_threads,
            )

        with using_threads(threads):
            return describe(*nearest(device, dtype))

    def generate(self, plan: Plan, report: Callable[[Progress], None]) -> Iterator[Picture]:
        """Make the plan's pictures one by one, telling `report` of every step.

        Raises:
            MissingExtraError: torch, diffusers or what they need is not installed.
            UsageError: The device or precision cannot be had here.
            GenerationError: The assets could not be loaded, or a picture could not be made.
            FileError: A file is refused or corrupt.
        """
        _require_packages()
        report(Progress("load"))
        for package in ("DIFFUSERS", "TRANSFORMERS"):
            os.environ[f"{package}_VERBOSITY"] = "error"  # read when they are imported, before anything can hush them
        with _loading_libraries():
            from assetctl.generation.diffusers.runtime import (  # noqa: PLC0415 - torch
                choose_device,
                choose_dtype,
                describe,
                using_threads,
            )
            from assetctl.generation.diffusers.session import Loaded, Run  # noqa: PLC0415 - torch and diffusers

        device = choose_device(plan.device)
        dtype = choose_dtype(plan.dtype, device)
        with using_threads(plan.threads):
            if self._loaded is None or not self._loaded.serves(plan, device, dtype):
                self._loaded = None  # two at once would need twice the memory
                self._loaded = Loaded.load(plan, device, dtype)
            session = Run.begin(plan, self._loaded)
            environment = describe(device, dtype)
            for number, seed in enumerate(plan.seeds, 1):
                yield Picture(session.picture(seed, number, report), seed, environment, self._loaded.findings)


def _require_packages() -> None:
    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingExtraError(
            f"Generating needs packages that are not installed: {', '.join(missing)}.",
            "Install them with `pip install 'assetctl[generate]'`.",
        )


@contextmanager
def _loading_libraries() -> Iterator[None]:
    _let_threads_sleep()
    try:
        yield
    except (ImportError, OSError) as error:
        hint = "Reinstall them: `pip install --force-reinstall 'assetctl[generate]'`."
        raise MissingExtraError(f"torch or diffusers is installed and cannot be loaded: {error}.", hint) from error


def _let_threads_sleep() -> None:
    """Have torch's threads sleep while they wait for each other, so that a busy machine does not stall them.

    A thousand turns come first, some microseconds: where nothing else runs, what is awaited comes within these.
    OpenMP reads this once, as torch is imported: where it is there already, or someone chose otherwise, that counts.
    """
    if "torch" in sys.modules or "OMP_WAIT_POLICY" in os.environ:
        return
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
