"""The diffusers backend, and what a picture's bytes depend on beside its plan and seed: device, precision, versions.

Importing this module is cheap: torch comes with the first picture, or where it alone knows what is asked.
"""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import os
import platform
import sys
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assetctl.errors import MissingExtraError, UsageError
from assetctl.options import complete
from assetctl.request import Picture
from assetctl.run import Started
from assetctl.samplers import FLAVOURS, sampled_by_diffusers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from assetctl.generation.diffusers.kept import Kept
    from assetctl.request import Plan
    from assetctl.run import Run

_NEEDED = ("torch", "diffusers", "transformers", "peft", "accelerate", "PIL")


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
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
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


_DTYPES = ("bf16", "fp32", "fp16")

#: What Linux says of a processor, and of the devices that a graphics card shows up as: NVIDIA's, AMD's, and Windows'.
_CPUINFO = Path("/proc/cpuinfo")
_CARDS = ("nvidiactl", "nvidia0", "kfd", "dxg")

#: Its flags for processors that compute in bfloat16: x86 and ARM.
_BF16_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}

#: Those that an x86 processor needs for what torch calls its capability, the best first.
_CAPABILITIES = {"AVX512": {"avx512vl", "avx512bw", "avx512dq", "fma"}, "AVX2": {"avx2", "fma"}}


def choose_device(wanted: str) -> str:
    """The torch device for a setting: `auto` is the best there is.

    Raises:
        UsageError: The device is not there.
    """
    there = _devices()
    if wanted == "auto":
        return next(name for name in ("cuda", "mps", "cpu") if there[name])
    if not there.get(wanted.partition(":")[0], False):
        present = ", ".join(name for name, is_there in there.items() if is_there)
        raise UsageError(f"This torch has no device {wanted!r}.", f"Set device to auto or one of: {present}.")
    return wanted


def choose_dtype(wanted: str, device: str, flavour: str = FLAVOURS[0]) -> str:
    """The precision for a setting: `auto` is the fastest that is safe on `device`, or that of another program.

    A CPU computes fp16 a hundred times slower than bf16, so it is never used there. A1111 and ComfyUI compute in fp16
    on a GPU and in fp32 on a CPU.

    Raises:
        UsageError: fp16 is wanted on a CPU, or the name is unknown.
    """
    kind = device.partition(":")[0]
    if wanted == "auto" and not sampled_by_diffusers(flavour):
        return "fp32" if kind == "cpu" else "fp16"
    if wanted == "auto":
        return _on_cpu() if kind == "cpu" else _on_gpu(kind)
    if wanted not in _DTYPES:
        raise UsageError(f"There is no precision {wanted!r}.", f"Choose one of: auto, {', '.join(_DTYPES)}.")
    if wanted == "fp16" and kind == "cpu":
        raise UsageError("A CPU computes in fp16 far too slowly to be of use.", "Set dtype to auto, bf16 or fp32.")
    return wanted


def nearest(device: str, dtype: str) -> tuple[str, str]:
    """Device and precision as wanted, or as `auto` has it where that cannot be had here."""
    found = choose_device("auto")
    with suppress(UsageError):
        found = choose_device(device)
    with suppress(UsageError):
        return found, choose_dtype(dtype, found)
    return found, choose_dtype("auto", found)


_RECORDED = ("assetctl", "torch", "diffusers", "transformers", "peft", "pillow")


def describe(device: str, dtype: str, threads: int | None) -> dict[str, str]:
    """Device, precision, threads, processor, and the versions of everything that has a hand in it."""
    return {
        "device": device,
        "dtype": dtype,
        "threads": str(threads or _torch().get_num_threads()),
        "processor": _processor(device),
        "python": platform.python_version(),
        **_versions(),
    }


def known_environment(device: str, dtype: str, threads: int | None) -> dict[str, str]:
    """What of an environment is known without torch, which is loaded to generate alone.

    That is all of it where the processor is certainly the only device, and else the versions.

    Raises:
        MissingExtraError: torch, diffusers or what they need is not installed.
    """
    _require_packages()
    found = {"python": platform.python_version()}
    try:
        found |= _versions()
    except importlib.metadata.PackageNotFoundError:  # it lies there without having been installed
        return found
    is_told = "torch" in sys.modules or (platform.machine() == "x86_64" and "ATEN_CPU_CAPABILITY" not in os.environ)
    if threads is None or not (_is_plain() and is_told):
        return found
    return describe(*nearest(device, dtype), threads)


def _torch() -> Any:  # noqa: ANN401 - a module
    import torch  # noqa: PLC0415 - seconds

    torch.get_num_threads()  # some OpenMP read their environment only now
    return torch


def _devices() -> dict[str, bool]:
    if "torch" not in sys.modules and _is_plain():
        return {"cpu": True, "cuda": False, "mps": False}
    torch = _torch()
    return {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}


def _is_plain() -> bool:
    """Whether this is a machine whose only device is certainly its processor."""
    if sys.platform != "linux":
        return False
    with suppress(importlib.metadata.PackageNotFoundError):
        if importlib.metadata.version("torch").endswith("+cpu"):
            return True
    return not any(Path("/dev", name).exists() for name in _CARDS)


def _on_gpu(kind: str) -> str:
    return "bf16" if kind == "cuda" and _torch().cuda.is_bf16_supported(including_emulation=False) else "fp16"


def _on_cpu() -> str:
    return "bf16" if _flags() & _BF16_FLAGS else "fp32"


def _flags() -> set[str]:
    try:
        return set(_CPUINFO.read_text("utf-8", "replace").split())
    except OSError:
        return set()


def _processor(device: str) -> str:
    if device.startswith("cuda"):
        return str(_torch().cuda.get_device_name(device))
    return f"{_cpu_model()} ({_capability()})"


def _capability() -> str:
    """The instructions that torch computes with."""
    if "torch" not in sys.modules and platform.machine() == "x86_64" and "ATEN_CPU_CAPABILITY" not in os.environ:
        flags = _flags()
        for name, needed in _CAPABILITIES.items():
            if needed <= flags:
                return name
    return str(_torch().backends.cpu.get_cpu_capability())


def _cpu_model() -> str:
    """The processor's name, as the system tells it."""
    try:
        lines = _CPUINFO.read_text("utf-8", "replace").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor() or platform.machine()


@functools.cache
def _versions() -> dict[str, str]:
    return {name: importlib.metadata.version(name) for name in _RECORDED}
