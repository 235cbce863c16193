"""What a picture's bytes depend on beside its plan and seed, in words that fit its record.

Another number of threads or another processor sums up in another order; another version of a library
may compute, or compress, otherwise.
"""

from __future__ import annotations

import importlib.metadata
import platform
from pathlib import Path

import torch

_PACKAGES = ("assetctl", "torch", "diffusers", "transformers", "peft", "pillow")
_CPUINFO = Path("/proc/cpuinfo")


def describe(device: str, dtype: str) -> dict[str, str]:
    """Device, precision, threads, processor, and the versions of everything that has a hand in it."""
    versions = {name: importlib.metadata.version(name) for name in _PACKAGES}
    return {
        "device": device,
        "dtype": dtype,
        "threads": str(torch.get_num_threads()),
        "processor": _processor(device),
        "python": platform.python_version(),
        **versions,
    }


def _processor(device: str) -> str:
    if device.startswith("cuda"):
        return str(torch.cuda.get_device_name(device))
    instructions = torch.backends.cpu.get_cpu_capability()
    return f"{_cpu_model()} ({instructions})"


def _cpu_model() -> str:
    """The processor's name, as the system tells it."""
    try:
        lines = _CPUINFO.read_text("utf-8", "replace").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor() or platform.machine()
