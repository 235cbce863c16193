"""What a picture's bytes depend on beside its plan and seed: device, precision, threads, processor, versions.

torch is imported only where it alone knows: what is to be made, and not, is told without it on a plain processor.
"""

from __future__ import annotations

import functools
import importlib.metadata
import os
import platform
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from assetctl.errors import UsageError
from assetctl.samplers import FLAVOURS, sampled_by_diffusers

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


_PACKAGES = ("assetctl", "torch", "diffusers", "transformers", "peft", "pillow")


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
    return {name: importlib.metadata.version(name) for name in _PACKAGES}
