"""The diffusers backend. Importing this module is cheap; torch comes with the first picture."""

from __future__ import annotations

import importlib.util
import os
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from assetctl.errors import MissingExtraError
from assetctl.generation.diffusers.environment import choose_device, choose_dtype, describe, nearest
from assetctl.options import complete
from assetctl.request import Picture
from assetctl.run import Started

if TYPE_CHECKING:
    from collections.abc import Iterator

    from assetctl.generation.diffusers.kept import Kept
    from assetctl.request import Plan
    from assetctl.run import Run

_PACKAGES = ("torch", "diffusers", "transformers", "peft", "accelerate", "PIL")


class DiffusersBackend:
    """Makes pictures with diffusers pipelines, on the CPU or a GPU.

    A picture is a function of its plan, its seed and its environment: every seed runs alone, with its own
    scheduler and a generator on the CPU. What was loaded for one plan is kept for the next ones, within a budget.
    Several threads may have pictures made at once: each waits while another's is made.

    Args:
        budget: Bytes of what is kept beside what a plan needs; see `kept.Kept`.
    """

    name = "diffusers"

    def __init__(self, budget: int | None = None) -> None:
        self._budget = budget
        self._kept: Kept | None = None
        self._at_work = threading.Lock()

    def environment(self, device: str, dtype: str, threads: int | None) -> dict[str, str]:
        """What a picture that is made here would record, asked for this device, precision and number of threads.

        What cannot be had here is replaced by what can, as `auto` would. torch is loaded only where it alone knows.

        Raises:
            MissingExtraError: torch, diffusers or what they need is not installed.
        """
        _require_packages()
        with _loading_libraries():
            return describe(*nearest(device, dtype), threads)

    def generate(self, plan: Plan, run: Run) -> Iterator[Picture]:
        """Make the plan's pictures one by one, telling the run that loading began, and of every step.

        Raises:
            Cancelled: The run was cancelled. What was loaded is kept for the next one.
            MissingExtraError: torch, diffusers or what they need is not installed.
            UsageError: The device or precision cannot be had here.
            GenerationError: The assets could not be loaded, or a picture could not be made.
            FileError: A file is refused or corrupt.
        """
        _require_packages()
        run.tell(Started(stage="load"))
        with _loading_libraries():
            from assetctl.generation.diffusers.kept import Kept  # noqa: PLC0415 - torch and diffusers
            from assetctl.generation.diffusers.runtime import using_threads  # noqa: PLC0415 - torch
            from assetctl.generation.diffusers.session import Session  # noqa: PLC0415 - likewise

        device = choose_device(plan.device)
        dtype = choose_dtype(plan.dtype, device, complete(plan.settings)["flavour"])
        environment = describe(device, dtype, plan.threads)
        prompts = None
        for number, seed in enumerate(plan.seeds, 1):
            # others may have had theirs made meanwhile; and while nobody asks for the next one, nothing is held
            with run.holding(self._at_work), using_threads(plan.threads, run):
                self._kept = self._kept or Kept(self._budget)
                loaded = self._kept.loaded(plan, device, dtype, run)
                run.check()
                session = Session.begin(plan, loaded, prompts)
                begun = time.perf_counter()
                picture = Picture(session.picture(seed, number, run), seed, environment, loaded.findings)
                picture = replace(picture, seconds=time.perf_counter() - begun)
                prompts = session.prompts
                del loaded, session
            yield picture


def _require_packages() -> None:
    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingExtraError(
            f"Generating needs packages that are not installed: {', '.join(missing)}.",
            "Install them with `pip install 'assetctl[generate]'`.",
        )


#: What torch, diffusers and transformers read once, as they are imported. Threads of torch's sleep while they wait for
#: each other, so that a busy machine does not stall them, but for a thousand turns, some microseconds: where nothing
#: else runs, what is awaited comes within these. The others are hushed from their first word on.
_READ_ONCE = {
    "OMP_WAIT_POLICY": ("torch", "PASSIVE"),
    "GOMP_SPINCOUNT": ("torch", "1000"),
    "DIFFUSERS_VERBOSITY": ("diffusers", "error"),
    "TRANSFORMERS_VERBOSITY": ("transformers", "error"),
}


@contextmanager
def _loading_libraries() -> Iterator[None]:
    """Import them with an environment of their own; where one is there already, or someone chose, that counts."""
    wanted = ((key, value) for key, (library, value) in _READ_ONCE.items() if library not in sys.modules)
    ours = {key: value for key, value in wanted if key not in os.environ}
    if "OMP_WAIT_POLICY" in os.environ:
        ours.pop("GOMP_SPINCOUNT", None)
    os.environ.update(ours)
    try:
        yield
    except (ImportError, OSError) as error:
        hint = "Reinstall them: `pip install --force-reinstall 'assetctl[generate]'`."
        raise MissingExtraError(f"torch or diffusers is installed and cannot be loaded: {error}.", hint) from error
    finally:
        for key in ours:
            os.environ.pop(key, None)
